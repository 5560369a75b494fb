package rib

import (
	"encoding/binary"
	"math"
	"sync/atomic"

	"ribd/wire"
)

// Summary is what the decision process and the packed answers need of a set.
type Summary struct {
	LocalPref, MED         uint32 // 100 and 0 where the set has none
	NeighborAS, OriginAS   uint32
	PathLen                uint16 // RFC 4271 9.1.2.2, RFC 5065; 65535 stands for more
	Origin                 uint8
	HasLocalPref, HasMED   bool
	HasNeighbor, HasOrigin bool // of NeighborAS and OriginAS: false for an empty path, HasOrigin for a final AS_SET
	LLGRStale              bool // has the community LLGR_STALE (RFC 9494): least preferred
}

// DefaultLocalPref counts where a set has no LOCAL_PREF.
const DefaultLocalPref = 100

// Words of an entry of Attrs after those of every store.
const (
	sumLocalPref = entryUser + iota
	sumMED
	sumNeighbor
	sumOriginAS
	sumASPath // 0: nobody has asked yet
	sumRest   // path length << 16 | origin << 8 | flags
	sumWords
)

const (
	sumHasLocalPref = 1 << iota
	sumHasMED
	sumHasNeighbor
	sumHasOrigin
	sumReflected // has ORIGINATOR_ID or CLUSTER_LIST
	sumLLGRStale
)

// communityLLGRStale marks routes of a peer that is gone, whoever keeps them.
const communityLLGRStale = 0xffff0006

// Attrs interns attribute sets and, apart, the AS_PATHs that somebody has asked
// for in them. Any goroutine may call its methods.
type Attrs struct {
	sets  *store
	paths *store
	empty ASPathID // of the empty path

	generation atomic.Uint64 // sweeps begun
}

// AttrsOptions bounds the tables; zero means the limits of ids.
type AttrsOptions struct {
	MaxSets  uint32 // sets, and AS_PATHs
	MaxWords uint64 // of 4 octets, for the octets of sets; of AS_PATHs the same
}

// NewAttrs makes empty tables.
func NewAttrs(o AttrsOptions) *Attrs {
	if o.MaxSets == 0 {
		o.MaxSets = math.MaxUint32 >> stripeBits
	}
	if o.MaxWords == 0 {
		o.MaxWords = 1 << 32
	}
	a := &Attrs{
		sets:  newStore("attributes", sumWords, o.MaxSets, o.MaxWords),
		paths: newStore("as-paths", entryUser, o.MaxSets, o.MaxWords),
	}
	a.sets.fill = summarise
	id, ok := a.paths.intern(nil)
	if !ok {
		panic("BUG: rib: no room for the empty AS_PATH")
	}
	a.empty = ASPathID(id)
	return a
}

// Close gives the memory back. Nothing that came out of a may be used after it.
func (a *Attrs) Close() {
	a.sets.close()
	a.paths.close()
}

// Intern returns the id of a set, given as its canonical bytes, which are
// copied where they are new. ok is false when the tables are full, and the
// routes are to be refused.
//
// The id is safe until the second sweep from now, and in a block for as long as
// it is there; who keeps ids elsewhere calls Touch or interns again.
func (a *Attrs) Intern(canonical []byte) (id AttrID, ok bool) {
	n, ok := a.sets.intern(canonical)
	return AttrID(n), ok
}

// Hash returns the hash of canonical bytes that InternHashed and WarmHashes take.
func (a *Attrs) Hash(canonical []byte) uint64 { return a.sets.hash(canonical) }

// InternHashed is Intern for who knows the Hash of the set.
func (a *Attrs) InternHashed(canonical []byte, hash uint64) (id AttrID, ok bool) {
	n, ok := a.sets.internHashed(canonical, hash)
	return AttrID(n), ok
}

// WarmHashes loads what InternHashed will, for several sets at a time: interning
// them is quicker after it. The result means nothing.
func (a *Attrs) WarmHashes(hashes []uint64) uint32 { return a.sets.warm(hashes) }

// Find returns the id of a set without interning it; 0: not interned.
func (a *Attrs) Find(canonical []byte) AttrID { return AttrID(a.sets.lookup(canonical)) }

// Touch is Intern for a set whose id is known: ok is false where the set has
// ended.
func (a *Attrs) Touch(id AttrID) (ok bool) {
	st := &a.sets.stripes[id&(numStripes-1)]
	st.mu.Lock()
	defer st.mu.Unlock()
	if !a.sets.isLive(uint32(id)) {
		return false
	}
	a.sets.touch(uint32(id))
	return true
}

// Bytes returns the canonical bytes of a set, in place. ok is false for an id
// that is not in use. The bytes stay as they are until the id may be used
// again, minutes after its end: no pin is needed.
func (a *Attrs) Bytes(id AttrID) (canonical []byte, ok bool) { return a.sets.bytes(uint32(id)) }

// Valid says whether an id is in use.
func (a *Attrs) Valid(id AttrID) bool { return a.sets.isLive(uint32(id)) }

// Summary returns the summary of a set; ok is false for an id that is not in
// use.
func (a *Attrs) Summary(id AttrID) (s Summary, ok bool) {
	if !a.sets.isLive(uint32(id)) {
		return Summary{}, false
	}
	e, base := a.sets.entries, uint32(id)*sumWords
	rest := e.Load(base + sumRest)
	return Summary{
		LocalPref:    e.Load(base + sumLocalPref),
		MED:          e.Load(base + sumMED),
		NeighborAS:   e.Load(base + sumNeighbor),
		OriginAS:     e.Load(base + sumOriginAS),
		PathLen:      uint16(rest >> 16),
		Origin:       uint8(rest >> 8),
		HasLocalPref: rest&sumHasLocalPref != 0,
		HasMED:       rest&sumHasMED != 0,
		HasNeighbor:  rest&sumHasNeighbor != 0,
		HasOrigin:    rest&sumHasOrigin != 0,
		LLGRStale:    rest&sumLLGRStale != 0,
	}, true
}

// OriginNeighbor returns the origin and neighbour AS of a set that is in use,
// 0 where there is none: the part of Summary that packed answers need.
func (a *Attrs) OriginNeighbor(id AttrID) (origin, neighbor uint32) {
	base := uint32(id) * sumWords
	return a.sets.entries.Load(base + sumOriginAS), a.sets.entries.Load(base + sumNeighbor)
}

// Warm loads a word of a set's summary and returns it, for who will ask for many
// summaries soon. Any id below MaxSet will do.
func (a *Attrs) Warm(id AttrID) uint32 {
	return a.sets.entries.Load(uint32(id)*sumWords + sumNeighbor)
}

// ASPathOf returns the AS_PATH's id of a set that is in use, which the first who
// asks has interned: most sets are never asked. It is 0 where there is no room
// for another AS_PATH, and for a set that has ended before anybody asked.
func (a *Attrs) ASPathOf(id AttrID) ASPathID {
	if p := a.sets.entries.Load(uint32(id)*sumWords + sumASPath); p != 0 {
		return ASPathID(p)
	}
	st := &a.sets.stripes[id&(numStripes-1)]
	st.mu.Lock()
	defer st.mu.Unlock()
	b, ok := a.sets.bytes(uint32(id))
	if !ok {
		return 0
	}
	path := a.empty
	if v, _ := wire.FindAttr(b, wire.AttrASPath); len(v) > 0 {
		n, ok := a.paths.intern(v)
		if !ok {
			return 0
		}
		path = ASPathID(n)
	}
	a.sets.entries.Store(uint32(id)*sumWords+sumASPath, uint32(path))
	return path
}

// ASPathBytes returns the value of an AS_PATH, segments of 4-octet AS numbers,
// in place, for as long as Bytes does.
func (a *Attrs) ASPathBytes(id ASPathID) (value []byte, ok bool) { return a.paths.bytes(uint32(id)) }

// MaxSet bounds the ids of sets in use: they are below it.
func (a *Attrs) MaxSet() AttrID { return AttrID(a.sets.max()) }

// MaxASPath bounds the ids of AS_PATHs in use: they are below it.
func (a *Attrs) MaxASPath() ASPathID { return ASPathID(a.paths.max()) }

// Sets ranges over the sets in use, in the order of ids.
func (a *Attrs) Sets(yield func(AttrID, []byte) bool) {
	a.sets.each(func(id uint32, b []byte) bool { return yield(AttrID(id), b) })
}

// ASPaths ranges over the AS_PATHs in use, in the order of ids.
func (a *Attrs) ASPaths(yield func(ASPathID, []byte) bool) {
	a.paths.each(func(id uint32, b []byte) bool { return yield(ASPathID(id), b) })
}

// AttrsStats counts the tables of Attrs.
type AttrsStats struct {
	Sets        int
	ASPaths     int    // that somebody has asked for
	Ended       int    // sets that are no longer in use and whose ids rest
	SetBytes    uint64 // canonical bytes of the sets in use
	MemoryBytes uint64 // all that the tables take
	Refused     uint64 // sets that the caps did not allow
}

// Stats counts the tables.
func (a *Attrs) Stats() AttrsStats {
	s, p := a.sets.stats(), a.paths.stats()
	return AttrsStats{
		Sets:        s.live,
		ASPaths:     p.live,
		Ended:       s.ended,
		SetBytes:    s.octets,
		MemoryBytes: s.memory + p.memory,
		Refused:     a.sets.refused.Load(),
	}
}

// summarise sets the words of a new entry from the set's bytes.
func summarise(row []uint32, canonical []byte) {
	var (
		localPref, med      uint32 = DefaultLocalPref, 0
		neighbor, originAS  uint32
		origin, flags, size uint32
	)
	// wire.WalkAttributes by hand: this is a tenth of what a new set costs.
	for b := canonical; len(b) >= 3; {
		n, h := int(b[2]), 3
		if b[0]&wire.FlagExtended != 0 {
			if len(b) < 4 {
				break
			}
			n, h = n<<8|int(b[3]), 4
		}
		if n > len(b)-h {
			break
		}
		t, v := wire.AttrType(b[1]), b[h:h+n]
		b = b[h+n:]
		switch t {
		case wire.AttrOrigin:
			if len(v) == 1 {
				origin = uint32(v[0])
			}
		case wire.AttrASPath:
			p := wire.SummariseASPath(v)
			size, neighbor, originAS = uint32(min(p.Len, math.MaxUint16)), p.Neighbor, p.Origin
			if p.HasNeighbor {
				flags |= sumHasNeighbor
			}
			if p.HasOrigin {
				flags |= sumHasOrigin
			}
		case wire.AttrMED:
			if len(v) == 4 {
				med, flags = binary.BigEndian.Uint32(v), flags|sumHasMED
			}
		case wire.AttrLocalPref:
			if len(v) == 4 {
				localPref, flags = binary.BigEndian.Uint32(v), flags|sumHasLocalPref
			}
		case wire.AttrOriginatorID, wire.AttrClusterList:
			flags |= sumReflected
		case wire.AttrCommunities:
			for ; len(v) >= 4; v = v[4:] {
				if binary.BigEndian.Uint32(v) == communityLLGRStale {
					flags |= sumLLGRStale
				}
			}
		}
	}
	row[sumLocalPref], row[sumMED] = localPref, med
	row[sumNeighbor], row[sumOriginAS] = neighbor, originAS
	row[sumASPath], row[sumRest] = 0, size<<16|min(origin, 255)<<8|flags
}

// AttrsSweep is one search for sets that nothing uses. One at a time.
type AttrsSweep struct {
	a    *Attrs
	sets *marks
}

// BeginSweep starts a search. Wait then until everything that was interned
// before is in a block or given up, mark the sets of all blocks, and End.
func (a *Attrs) BeginSweep() *AttrsSweep {
	a.generation.Add(1)
	return &AttrsSweep{a, a.sets.begin()}
}

// Generation counts the sweeps that have begun. Who keeps ids of sets that it
// interned, or was given, forgets them when this changes: then no sweep ends a
// set before an id that was still in use is in a block.
func (a *Attrs) Generation() uint64 { return a.generation.Load() }

// Mark notes that a set is in use. Any goroutine may call it.
func (s *AttrsSweep) Mark(id AttrID) { s.sets.mark(uint32(id)) }

// End ends the sets that were unused in this sweep and the one before. With
// mayEnd false (somebody holds a view from before the last sweep) it ends none.
// now and the time at or before which a set must have ended for its id to be
// used again are in seconds; at least 10 minutes should be between them.
func (s *AttrsSweep) End(mayEnd bool, now, rested uint32) (ended, freed int) {
	a := s.a
	ended, freed = a.sets.end(s.sets, mayEnd, now, rested)
	// An AS_PATH is in use while a set that knows its id is not free: the bytes of
	// an ended set may still be read.
	paths := a.paths.begin()
	paths.mark(uint32(a.empty))
	for id, top := uint32(numStripes), a.sets.max(); id < top; id++ {
		if a.sets.entries.Load(id*sumWords)&stateMask != stateFree {
			paths.mark(a.sets.entries.Load(id*sumWords + sumASPath))
		}
	}
	a.paths.end(paths, mayEnd, now, rested)
	return ended, freed
}
