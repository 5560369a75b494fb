package wire

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strconv"
)

// SegmentType is the type of an AS_PATH segment (RFC 4271 4.3, RFC 5065 3).
type SegmentType uint8

// The segment types.
const (
	SegSet            SegmentType = 1
	SegSequence       SegmentType = 2
	SegConfedSequence SegmentType = 3
	SegConfedSet      SegmentType = 4
)

// ASTrans stands for an AS number over 65535 on a 2-octet session (RFC 6793).
const ASTrans = 23456

func unnamed(t byte) string { return "attribute " + strconv.Itoa(int(t)) }

func (s *scan) origin(it item) bool {
	if s.b[it.at()] > OriginIncomplete {
		s.bad(it.at(), "value is not 0, 1 or 2")
		return false
	}
	return true
}

func (s *scan) asPath(it item) bool {
	v := s.val(it)
	size := 4
	if !s.as4 {
		size = 2
		s.plain = false
	}
	if p, reason := checkSegments(v, size, s.external, s.recorded); reason != "" {
		s.bad(it.at()+p, reason)
		if reason == reasonZeroAS {
			s.err.RFC = "RFC 7607 2"
		}
		return false
	}
	return true
}

const reasonZeroAS = "holds the AS number 0"

// checkSegments returns where segments of AS numbers of size octets are
// malformed and why, or "" where they are sound.
func checkSegments(v []byte, size int, external, zero bool) (int, string) {
	most := SegConfedSet
	if external {
		most = SegSequence
	}
	for p := 0; p < len(v); {
		if len(v)-p < 2 {
			return p, "segment header runs past the end"
		}
		t, n := SegmentType(v[p]), int(v[p+1])
		if t-1 >= most {
			if t-1 < SegConfedSet {
				return p, "confederation segment from an external peer"
			}
			return p, "unknown segment type"
		}
		if n == 0 {
			return p + 1, "segment without AS numbers"
		}
		next := p + 2 + n*size
		if next > len(v) {
			return p + 1, "segment runs past the end"
		}
		if !zero {
			if at := zeroAS(v[p+2:next], size); at >= 0 {
				return p + 2 + at, reasonZeroAS
			}
		}
		p = next
	}
	return 0, ""
}

// zeroAS returns where the AS number 0 is, or -1.
func zeroAS(v []byte, size int) int {
	if size == 4 {
		for p := 0; len(v)-p >= 4; p += 4 {
			if binary.BigEndian.Uint32(v[p:]) == 0 {
				return p
			}
		}
		return -1
	}
	for p := 0; len(v)-p >= 2; p += 2 {
		if binary.BigEndian.Uint16(v[p:]) == 0 {
			return p
		}
	}
	return -1
}

func (s *scan) aggregator(it item) bool {
	switch {
	case it.n() == 8 && (s.as4 || s.recorded):
	case it.n() == 6 && (!s.as4 || s.recorded):
		s.plain = false
	case s.as4:
		s.bad(s.head+2, "length is not 8")
		return false
	default:
		s.bad(s.head+2, "length is not 6")
		return false
	}
	if v := s.val(it); !s.recorded && zeroAS(v[:len(v)-4], len(v)-4) == 0 {
		s.bad(it.at(), reasonZeroAS)
		s.err.RFC = "RFC 7607 2"
		return false
	}
	return true
}

// as4Path lets confederation segments pass: the merge leaves them out
// (RFC 6793 section 6).
func (s *scan) as4Path(it item) bool {
	if !s.old() {
		return false
	}
	v := s.val(it)
	p, reason := checkSegments(v, 4, false, s.recorded)
	if len(v) < 6 {
		p, reason = -it.at()+s.head+2, "length is under 6"
	}
	if reason != "" {
		s.bad(it.at()+p, reason)
		return false
	}
	s.plain = false
	return true
}

func (s *scan) as4Aggregator(it item) bool {
	if !s.old() {
		return false
	}
	if !s.recorded && be32(s.val(it)) == 0 {
		s.bad(it.at(), reasonZeroAS)
		return false
	}
	s.plain = false
	return true
}

// old is true on a session with 2-octet AS numbers. On any other, AS4_PATH and
// AS4_AGGREGATOR are discarded.
func (s *scan) old() bool {
	if s.as4 {
		s.fail(AttributeDiscard, s.head, "beside 4-octet AS numbers", "RFC 6793 4.1", SubOptionalAttribute)
		return false
	}
	return true
}

// large notes whether a large community is there twice: the receiver
// removes the second (RFC 8092 section 5).
func (s *scan) large(it item) bool {
	if v := s.val(it); len(v) > 12 && !ascending12(v) && repeats12(v) {
		s.dupLarge = true
		s.plain = false
	}
	return true
}

// ascending12 is true where each 12 octets are greater than those before.
func ascending12(v []byte) bool {
	for p := 12; p < len(v); p += 12 {
		if bytes.Compare(v[p-12:p], v[p:p+12]) >= 0 {
			return false
		}
	}
	return true
}

// manyLarge is the count of large communities above which they are sorted to
// find the equal ones; it allocates, which a peer makes happen only by sending
// more than anyone does.
const manyLarge = 48

func repeats12(v []byte) bool {
	if len(v) > 12*manyLarge {
		return len(unique12(nil, v)) < len(v)
	}
	for p := 12; p < len(v); p += 12 {
		if seen12(v[:p], v[p:p+12]) {
			return true
		}
	}
	return false
}

// seen12 is true where one of v is c.
func seen12(v, c []byte) bool {
	a, b := binary.BigEndian.Uint64(c), binary.BigEndian.Uint32(c[8:])
	for ; len(v) >= 12; v = v[12:] {
		if binary.BigEndian.Uint64(v) == a && binary.BigEndian.Uint32(v[8:]) == b {
			return true
		}
	}
	return false
}

// unique12 appends the 12-octet values of v, each once, at its first place.
func unique12(dst, v []byte) []byte {
	if len(v) > 12*manyLarge {
		return unique12Sorted(dst, v)
	}
	base := len(dst)
	for ; len(v) >= 12; v = v[12:] {
		if !seen12(dst[base:], v[:12]) {
			dst = append(dst, v[:12]...)
		}
	}
	return dst
}

func unique12Sorted(dst, v []byte) []byte {
	at := func(i int) []byte { return v[12*i : 12*i+12] }
	order := make([]int, len(v)/12)
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int { return bytes.Compare(at(i), at(j)) })
	again := make([]bool, len(order))
	for i := 1; i < len(order); i++ {
		again[order[i]] = bytes.Equal(at(order[i]), at(order[i-1]))
	}
	for i := range again {
		if !again[i] {
			dst = append(dst, at(i)...)
		}
	}
	return dst
}
