package rib

// Strings interns octet strings of other kinds than attributes: NLRI of
// families without a trie of their own, and stacks of labels. Ids are from 32
// up, and swept like those of Attrs. Any goroutine may call its methods.
type Strings struct{ store *store }

// NewStrings makes an empty table of at most maxIDs strings (0: the limit of
// ids). The name is for metrics and errors.
func NewStrings(name string, maxIDs uint32) *Strings {
	if maxIDs == 0 {
		maxIDs = 1 << 26
	}
	return &Strings{newStore(name, entryUser, maxIDs, uint64(maxIDs)*16)}
}

// Close gives the memory back.
func (s *Strings) Close() { s.store.close() }

// Intern returns the id of b, which is copied where it is new. ok is false when
// the table is full.
func (s *Strings) Intern(b []byte) (id uint32, ok bool) { return s.store.intern(b) }

// Find returns the id of b, or 0 where it is not interned.
func (s *Strings) Find(b []byte) uint32 { return s.store.lookup(b) }

// Bytes returns a string in place; see Attrs.Bytes.
func (s *Strings) Bytes(id uint32) (b []byte, ok bool) { return s.store.bytes(id) }

// Max bounds the ids in use.
func (s *Strings) Max() uint32 { return s.store.max() }

// Len is the number of strings in use, and Memory what they take in octets.
func (s *Strings) Len() (n int, memory uint64) {
	t := s.store.stats()
	return t.live, t.memory
}

// BeginSweep starts a search for unused strings, as Attrs.BeginSweep does.
func (s *Strings) BeginSweep() *StringsSweep { return &StringsSweep{s.store, s.store.begin()} }

// StringsSweep is one search for strings that nothing uses.
type StringsSweep struct {
	s *store
	m *marks
}

// Mark notes that a string is in use. Any goroutine may call it.
func (w *StringsSweep) Mark(id uint32) { w.m.mark(id) }

// End ends what was unused in this sweep and the one before; see
// AttrsSweep.End.
func (w *StringsSweep) End(mayEnd bool, now, rested uint32) (ended, freed int) {
	return w.s.end(w.m, mayEnd, now, rested)
}
