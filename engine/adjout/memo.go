package adjout

import "ribd/shard/rib"

// memo remembers what was found out about a set from a source: what is sent for
// it, that nothing is, or that every route has to be asked about. It is emptied
// at each sweep of the sets, so that no id in it can have ended, and when it is
// full. It belongs to one goroutine.
type memo struct {
	cells      []memoCell
	used       int
	generation uint64
}

// memoCell is one answer. Key 0 is empty.
type memoCell struct {
	key uint64
	answer
}

// answer is a set that is sent, memoRefuse with the reason, or memoAsk.
type answer struct {
	attrs uint32
	why   why
}

func refusal(w why) answer { return answer{memoRefuse, w} }

const (
	memoAsk    = 1<<32 - 1 // each route has to be judged
	memoRefuse = 0         // no route is sent

	memoMin  = 1 << 10
	memoKeep = 1 << 12 // cells that stay when it is emptied
	memoMax  = 1 << 21 // cells: 32 MiB
)

// memoKey is the key of a set (32 bits) from a peer (20) in a family of the
// group (6) that has still to be judged.
func memoKey(fam uint8, peer rib.PeerNum, id rib.AttrID) uint64 {
	return uint64(1)<<63 | uint64(fam)<<52 | uint64(peer)<<32 | uint64(id)
}

// judgedKey is the key of a set that was judged, for one route.
func judgedKey(fam uint8, peer rib.PeerNum, id rib.AttrID, did chosen) uint64 {
	return memoKey(fam, peer, id) | 1<<62 | uint64(did)<<58
}

func (m *memo) reset(generation uint64) {
	m.generation = generation
	if len(m.cells) > memoKeep {
		m.cells = nil
	}
	clear(m.cells)
	m.used = 0
}

func (m *memo) at(key uint64) uint64 {
	return key * 0x9e3779b97f4a7c15 >> 32 & uint64(len(m.cells)-1)
}

func (m *memo) get(key uint64) (a answer, ok bool) {
	if len(m.cells) == 0 {
		return a, false
	}
	for i := m.at(key); ; i = (i + 1) & uint64(len(m.cells)-1) {
		switch c := &m.cells[i]; c.key {
		case key:
			return c.answer, true
		case 0:
			return a, false
		}
	}
}

// put remembers an answer that is not there.
func (m *memo) put(key uint64, a answer) {
	if m.used*4 >= len(m.cells)*3 {
		m.grow()
	}
	m.set(key, a)
}

func (m *memo) set(key uint64, a answer) {
	i := m.at(key)
	for m.cells[i].key != 0 {
		i = (i + 1) & uint64(len(m.cells)-1)
	}
	m.cells[i] = memoCell{key, a}
	m.used++
}

func (m *memo) grow() {
	old := m.cells
	if len(old) >= memoMax {
		m.reset(m.generation)
		return
	}
	m.cells = make([]memoCell, max(memoMin, 2*len(old)))
	m.used = 0
	for _, c := range old {
		if c.key != 0 {
			m.set(c.key, c.answer)
		}
	}
}
