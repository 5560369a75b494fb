package wire

import "strconv"

// Segments walks the segments of a canonical AS_PATH: 4-octet AS numbers. It
// ends at the first segment that overruns.
type Segments struct {
	rest []byte
	ases []byte
	typ  SegmentType
}

// String names the segment type as RFC 4271 and RFC 5065 do.
func (t SegmentType) String() string {
	switch t {
	case SegSet:
		return "AS_SET"
	case SegSequence:
		return "AS_SEQUENCE"
	case SegConfedSequence:
		return "AS_CONFED_SEQUENCE"
	case SegConfedSet:
		return "AS_CONFED_SET"
	}
	return "segment " + strconv.Itoa(int(t))
}

// WalkASPath returns a cursor over the value of a canonical AS_PATH.
func WalkASPath(v []byte) Segments { return Segments{rest: v} }

// Next moves to the next segment, and is false at the end.
func (s *Segments) Next() bool {
	if len(s.rest) < 2 {
		return false
	}
	end := 2 + 4*int(s.rest[1])
	if end > len(s.rest) {
		return false
	}
	s.typ, s.ases, s.rest = SegmentType(s.rest[0]), s.rest[2:end], s.rest[end:]
	return true
}

// Type returns the segment's type.
func (s *Segments) Type() SegmentType { return s.typ }

// Len returns how many AS numbers the segment holds.
func (s *Segments) Len() int { return len(s.ases) / 4 }

// AS returns AS number i of the segment.
func (s *Segments) AS(i int) uint32 { return be32(s.ases[4*i:]) }

// ASPathLen returns the length of a canonical AS_PATH as the decision process
// counts it: an AS_SET is one, a confederation's segments are none (RFC 4271
// section 9.1.2.2, RFC 5065 section 5.3).
func ASPathLen(v []byte) int { return pathLen(v, 4) }

// ASPathOrigin returns the AS that the route comes from: the last of the path.
// There is none where the path is empty or ends in a set.
func ASPathOrigin(v []byte) (uint32, bool) {
	w := WalkASPath(v)
	as, ok := uint32(0), false
	for w.Next() {
		switch {
		case w.typ == SegSequence && len(w.ases) > 0:
			as, ok = w.AS(w.Len()-1), true
		case w.typ == SegSet:
			as, ok = 0, false
		}
	}
	return as, ok
}

// ASPathNeighbor returns the AS that the route was learned from: the first of
// the first sequence, past a confederation's segments. There is none where the
// path is empty or starts with a set.
func ASPathNeighbor(v []byte) (uint32, bool) {
	w := WalkASPath(v)
	for w.Next() {
		switch w.typ {
		case SegSequence:
			if len(w.ases) > 0 {
				return w.AS(0), true
			}
		case SegSet:
			return 0, false
		}
	}
	return 0, false
}

// ASPathSummary is ASPathLen, ASPathNeighbor and ASPathOrigin of a path.
type ASPathSummary struct {
	Len                    int
	Neighbor, Origin       uint32
	HasNeighbor, HasOrigin bool
}

// SummariseASPath walks a canonical AS_PATH once.
func SummariseASPath(v []byte) (s ASPathSummary) {
	if n := len(v); n >= 6 && SegmentType(v[0]) == SegSequence && n == 2+4*int(v[1]) {
		// Nearly all are one sequence.
		return ASPathSummary{int(v[1]), be32(v[2:]), be32(v[n-4:]), true, true}
	}
	s.Len = ASPathLen(v)
	s.Neighbor, s.HasNeighbor = ASPathNeighbor(v)
	s.Origin, s.HasOrigin = ASPathOrigin(v)
	return s
}

// ASPathContains counts how often as stands in the path, in any segment.
func ASPathContains(v []byte, as uint32) int {
	w := WalkASPath(v)
	n := 0
	for w.Next() {
		for i := range w.Len() {
			if w.AS(i) == as {
				n++
			}
		}
	}
	return n
}
