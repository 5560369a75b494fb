package rib

// Single is a block of one path, which most are: what takes its place is
// written without taking the paths apart and ranking them.
type Single struct {
	Handle uint32
	ref    uint32
	size   uint32
	birth  uint32
	rec    []uint32
}

// Single reads a block; ok is false where it has more than one path.
func (b Blocks) Single(ref uint32) (s Single, ok bool) {
	w := b.words(ref)
	head := 1 + w[0]>>31
	w0 := w[head]
	if w0&recLast == 0 || w0>>recPeerShift == MaxPeers {
		return Single{}, false
	}
	n := recordWords(w0)
	s = Single{Handle: w[0] & headHandle, ref: ref, size: head + n, rec: w[head : head+n]}
	if head == 2 {
		s.birth = w[1]
	}
	return s, true
}

// Is says whether the path has the key.
func (s *Single) Is(peer PeerNum, hasPathID bool, pathID uint32) bool {
	w0 := s.rec[0]
	if PeerNum(w0>>recPeerShift) != peer || w0&recPathID != 0 != hasPathID {
		return false
	}
	return !hasPathID || s.rec[minRecord] == pathID
}

// IsOf says whether the path has the key of the one in a record.
func (s *Single) IsOf(rec []uint32) bool {
	if (s.rec[0]^rec[0])&(0xfffff<<recPeerShift|recPathID) != 0 {
		return false
	}
	return rec[0]&recPathID == 0 || s.rec[minRecord] == rec[minRecord]
}

// Same says whether WriteSingle of a record would change nothing.
func (s *Single) Same(rec []uint32, mark bool) bool {
	if len(s.rec) != len(rec) || singleWord(rec[0], mark) != s.rec[0] {
		return false
	}
	for i := 1; i < len(rec); i++ {
		if rec[i] != s.rec[i] {
			return false
		}
	}
	return true
}

// SameBest says whether the path in a record is as good as the one of the block:
// all but their times is equal, or both are filtered.
func (s *Single) SameBest(rec []uint32) bool {
	const what = recContent &^ recFiltered
	a, b := s.rec[0], rec[0]
	if a&b&recFiltered != 0 {
		return true
	}
	if (a^b)&(what|recFiltered) != 0 || s.rec[1] != rec[1] {
		return false
	}
	for i := minRecord; i < len(rec); i++ {
		if s.rec[i] != rec[i] {
			return false
		}
	}
	return true
}

// Record is the path, for ReadRecord. It is borrowed from the block.
func (s *Single) Record() []uint32 { return s.rec }

// singleWord is the first word of a record as a block of that path alone has it.
func singleWord(w0 uint32, mark bool) uint32 {
	w0 = w0&^recMark | recLast
	if mark {
		w0 |= recMark
	}
	if w0&recFiltered == 0 {
		w0 = w0&^recNibble | uint32(StepOnlyPath)<<recNibbleShift
	}
	return w0
}

// WriteSingle writes a block of the one path in a record, as Put and Commit
// would.
func (e *Editor) WriteSingle(rec []uint32, mark bool, handle, version uint32, held, reserved bool) (ref uint32, ok bool) {
	head := e.headWords(held)
	size := head + uint32(len(rec))
	if ref, ok = e.alloc(size, reserved); !ok {
		return 0, false
	}
	w := e.b.arena.Words(ref, size)
	w = w[writeHead(w, handle, version, held):]
	w[0] = singleWord(rec[0], mark)
	for i := 1; i < len(rec); i++ {
		w[i] = rec[i]
	}
	return ref, true
}

// RetireSingle gives back a block that was replaced.
func (e *Editor) RetireSingle(s *Single) { e.heap.Retire(s.ref, s.size, s.birth) }

// DiscardSingle frees a block that WriteSingle has made of a record and nobody
// has read.
func (e *Editor) DiscardSingle(ref uint32, rec []uint32, held bool) {
	e.heap.Free(ref, e.headWords(held)+uint32(len(rec)))
}
