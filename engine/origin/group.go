package origin

import (
	"errors"
	"fmt"
	"sync"

	"ribd/shard/rib"
)

// slice is how many routes are worked on before others get the lock.
const slice = 4096

type requestKind uint8

const (
	requestAnnounce requestKind = iota
	requestCheck
	requestWithdraw
	requestAlone // a function that runs while no group is in hand
)

// request is a call that waits for its turn.
type request struct {
	kind   requestKind
	mode   Mode
	routes []Route
	keys   []Key
	alone  func()

	results []Result
	found   []bool
	err     error
	turn    chan bool // of who waits: true says that it is the leader now, false that it is done
}

// Classes of requests: only those of one class are in a group.
const (
	classAnnounce = iota
	classWithdraw // the journal keeps room for it when there is none for others
	classAlone
)

func (r *request) class() int {
	switch r.kind {
	case requestWithdraw:
		return classWithdraw
	case requestAlone:
		return classAlone
	}
	return classAnnounce
}

// requests is the calls that wait. The first to come leads: it does the work of
// all that wait, then hands over to the first who came meanwhile.
type requests struct {
	mu      sync.Mutex
	waiting []*request
	leading bool
	group   []*request // the leader's
}

// do returns when the request is done.
func (m *Manager) do(r *request) {
	q := &m.requests
	q.mu.Lock()
	q.waiting = append(q.waiting, r)
	if q.leading {
		r.turn = make(chan bool, 1)
		q.mu.Unlock()
		if lead := <-r.turn; !lead {
			return
		}
		q.mu.Lock()
	}
	q.leading = true
	q.take()
	q.mu.Unlock()
	finished := false
	defer func() { q.handOver(r, finished) }()
	m.group(q.group)
	finished = true
}

// ErrUnfinished is what calls return that waited for one which a panic has ended.
var ErrUnfinished = errors.New("this is a bug of ribd; its log tells more")

// handOver tells the group that it is done, also where it is not, and makes the
// first who waits the leader.
func (q *requests) handOver(r *request, finished bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, o := range q.group {
		if !finished {
			o.err = ErrUnfinished
		}
		if o != r && o.turn != nil {
			o.turn <- false
		}
	}
	clear(q.group)
	if len(q.waiting) > 0 {
		q.waiting[0].turn <- true
		return
	}
	q.leading = false
}

// take makes the next group: those that wait up to one of another class.
func (q *requests) take() {
	n, class := 1, q.waiting[0].class()
	for class != classAlone && n < len(q.waiting) && q.waiting[n].class() == class {
		n++
	}
	q.group = append(q.group[:0], q.waiting[:n]...)
	rest := copy(q.waiting, q.waiting[n:])
	clear(q.waiting[rest:])
	q.waiting = q.waiting[:rest]
}

// alone runs f while no group is in hand.
func (m *Manager) alone(f func()) { m.do(&request{kind: requestAlone, alone: f}) }

// batch is what a group has changed, so that it can be undone.
type batch struct {
	undo    []undo
	touched []*entry
	records recordWriter

	ownIs  []addr // asked once in a group
	hasOwn bool

	before   []byte // the attributes before, and their set
	beforeID rib.AttrID
}

// undo is what an entry was.
type undo struct {
	e    *entry
	val  value
	live bool
}

// mark is a place in a batch that undone goes back to.
type mark struct {
	undo int
	rec  recordMark
}

func (b *batch) mark() mark { return mark{len(b.undo), b.records.mark()} }

// group does what the requests ask: it checks, then writes the journal, then
// the RIB.
func (m *Manager) group(group []*request) {
	if group[0].kind == requestAlone {
		group[0].alone()
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		for _, r := range group {
			r.err = ErrClosed
		}
		return
	}
	b := &m.batch
	b.begin()
	written := false
	defer func() {
		if !written { // a panic
			m.undoTo(mark{})
		}
		m.publish()
	}()
	for _, r := range group {
		m.request(r)
	}
	if err := m.keep(group[0].kind == requestWithdraw); err != nil {
		m.undoTo(mark{})
		for _, r := range group {
			if r.kind != requestCheck && r.err == nil {
				// Also who wrote nothing: it may have found what is undone now.
				r.err, r.results, r.found = err, nil, nil
			}
		}
	}
	written = true
}

// keep writes the records of the group. The lock is given up meanwhile: what
// ends by itself must not wait for a disk.
func (m *Manager) keep(urgent bool) error {
	b := &m.batch
	if m.o.Journal == nil || b.records.len() == 0 {
		return nil
	}
	err := m.write(b.records.bytes(), urgent)
	m.look()
	if err != nil {
		m.stats.NotKept += uint64(len(b.undo))
		return fmt.Errorf("%w: %w", ErrNotKept, err)
	}
	return nil
}

func (m *Manager) write(rec []byte, urgent bool) error {
	m.mu.Unlock()
	defer m.mu.Lock()
	return m.o.Journal.Append(rec, urgent)
}

// publish puts what the group has changed into the RIB.
func (m *Manager) publish() {
	b := &m.batch
	for i, e := range b.touched {
		e.touched = false
		m.show(e)
		if i%slice == slice-1 {
			m.breathe()
		}
	}
	m.fan.Flush()
	b.end()
}

// breathe lets others have the lock.
func (m *Manager) breathe() {
	m.fan.Flush()
	m.mu.Unlock()
	if m.o.breath != nil {
		m.o.breath()
	}
	m.mu.Lock()
}

func (b *batch) begin() {
	b.hasOwn, b.ownIs = false, nil
	b.before, b.beforeID = nil, 0
}

func (b *batch) end() {
	clear(b.undo)
	clear(b.touched)
	b.undo, b.touched = b.undo[:0], b.touched[:0]
	if cap(b.undo) > 16*slice {
		b.undo, b.touched = nil, nil
	}
	b.before = nil
	b.records.reset()
}

// change gives an entry of the group a value.
func (m *Manager) change(e *entry, v value, live bool) {
	b := &m.batch
	b.undo = append(b.undo, undo{e, e.val, e.live})
	if !e.touched {
		e.touched = true
		b.touched = append(b.touched, e)
	}
	m.put(e, v, live)
}

// undoTo takes back what the group did since a mark.
func (m *Manager) undoTo(to mark) {
	b := &m.batch
	for i := len(b.undo) - 1; i >= to.undo; i-- {
		u := &b.undo[i]
		m.put(u.e, u.val, u.live)
		*u = undo{}
	}
	b.undo = b.undo[:to.undo]
	b.records.cut(to.rec)
}
