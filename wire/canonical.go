package wire

// hopSource says where the next hop of a canonical set comes from.
type hopSource uint8

const (
	hopAttr  hopSource = iota // NEXT_HOP
	hopReach                  // MP_REACH_NLRI, never NEXT_HOP (RFC 4760 section 3)
)

// appendCanonical appends the attributes that the scan kept in canonical form.
func (s *scan) appendCanonical(dst []byte, from hopSource) []byte {
	pending := from == hopReach && s.reach.hopN != 0
	aggregator, path4 := true, true
	if !s.as4 {
		aggregator, path4 = s.mergeRule()
	}
	for _, it := range s.list() {
		if pending && it.typ() > AttrNextHop {
			dst, pending = s.appendReachHop(dst), false
		}
		switch it.typ() {
		case AttrNextHop:
			if from == hopReach {
				continue
			}
		case AttrASPath:
			if !s.as4 {
				dst = s.appendMerged(dst, it, path4)
				continue
			}
		case AttrAggregator:
			dst = s.appendAggregator(dst, it, aggregator)
			continue
		case AttrAS4Path, AttrAS4Aggregator:
			continue
		case AttrLargeCommunities:
			if s.dupLarge {
				dst = s.appendUnique(dst, it)
				continue
			}
		}
		dst = AppendAttr(dst, it.flags(), it.typ(), s.val(it))
	}
	if pending {
		dst = s.appendReachHop(dst)
	}
	return dst
}

func (s *scan) appendReachHop(dst []byte) []byte {
	dst = append(dst, FlagTransitive, byte(AttrNextHop), byte(s.reach.hopN))
	return s.reach.appendHop(dst, s.b)
}

func (s *scan) appendUnique(dst []byte, it item) []byte {
	var room [12 * manyLarge]byte
	return AppendAttr(dst, it.flags(), it.typ(), unique12(room[:0], s.val(it)))
}

// mergeRule applies RFC 6793 section 4.2.3 to what came with 2-octet AS
// numbers: whether AGGREGATOR is replaced by AS4_AGGREGATOR, and whether
// AS4_PATH counts.
func (s *scan) mergeRule() (aggregator, path4 bool) {
	const both = 1<<AttrAggregator | 1<<AttrAS4Aggregator
	if s.have&both != both {
		return false, true
	}
	agg, ok1 := s.get(AttrAggregator)
	_, ok2 := s.get(AttrAS4Aggregator)
	if !ok1 || !ok2 {
		return false, true
	}
	v := s.val(agg)
	if len(v) == 8 {
		return false, true
	}
	trans := int(v[0])<<8|int(v[1]) == ASTrans
	return trans, trans
}

// appendAggregator appends AGGREGATOR with 8 octets.
func (s *scan) appendAggregator(dst []byte, it item, use4 bool) []byte {
	v := s.val(it)
	if len(v) == 8 && s.as4 {
		return AppendAttr(dst, it.flags(), it.typ(), v)
	}
	if !s.as4 && use4 {
		if four, ok := s.get(AttrAS4Aggregator); ok {
			return AppendAttr(dst, it.flags(), it.typ(), s.val(four))
		}
	}
	if len(v) == 8 {
		return AppendAttr(dst, it.flags(), it.typ(), v)
	}
	dst = append(dst, it.flags(), byte(it.typ()), 8, 0, 0)
	return append(dst, v...)
}

// appendMerged appends AS_PATH with 4-octet AS numbers, made of a 2-octet
// AS_PATH and, where path4 is true, of AS4_PATH.
func (s *scan) appendMerged(dst []byte, it item, path4 bool) []byte {
	v := s.val(it)
	var tail []byte
	if path4 && s.have&(1<<AttrAS4Path) != 0 {
		if four, ok := s.get(AttrAS4Path); ok {
			tail = s.val(four)
		}
	}
	// The head is written once its length is known: room for the short form
	// first.
	at := len(dst)
	dst = append(dst, it.flags(), byte(it.typ()), 0)
	dst = appendMergedPath(dst, v, tail)
	n := len(dst) - at - 3
	if n > 255 {
		dst = append(dst, 0)
		copy(dst[at+4:], dst[at+3:])
		dst[at], dst[at+2], dst[at+3] = it.flags()|FlagExtended, byte(n>>8), byte(n)
		return dst
	}
	dst[at+2] = byte(n)
	return dst
}

// tooLong is true where the 4-octet form of the AS path could not be written:
// only a message longer than any real one gets there.
func (s *scan) tooLong() bool {
	if s.as4 || len(s.b) < 16000 {
		return false
	}
	path, _ := s.get(AttrASPath)
	four, _ := s.get(AttrAS4Path)
	return 2*path.n()+four.n() > 65535
}

// appendMergedPath appends the segments of a 2-octet AS_PATH with 4-octet AS
// numbers; where there is an AS4_PATH that counts no more ASes, its segments
// take the place of as many at the end (RFC 6793 section 4.2.3).
func appendMergedPath(dst, v, tail []byte) []byte {
	if len(tail) == 0 {
		return appendWide(dst, v)
	}
	n := pathLen(v, 2) - pathLen(tail, 4)
	if n < 0 {
		return appendWide(dst, v)
	}
	cut, last := false, -1
	for len(v) > 0 {
		t, c := SegmentType(v[0]), int(v[1])
		size := 2 + 2*c
		take := c
		switch t {
		case SegSequence:
			take = min(n, c)
			n -= take
		case SegSet:
			if n == 0 {
				take = 0
			} else {
				n--
			}
		}
		// A confederation's segment goes along: it leads, or follows what does.
		if take == 0 {
			break
		}
		last = len(dst)
		dst = appendWideSegment(dst, t, v[2:2+2*take])
		if take < c {
			cut = t == SegSequence
			break
		}
		v = v[size:]
	}
	return appendTail(dst, tail, cut, last)
}

// appendTail appends the segments of AS4_PATH but those of a confederation.
// Where the merge cut a sequence in two, at last, and a sequence follows, the
// two are one again.
func appendTail(dst, tail []byte, cut bool, last int) []byte {
	for len(tail) > 0 {
		t, c := SegmentType(tail[0]), int(tail[1])
		size := 2 + 4*c
		switch {
		case t != SegSequence && t != SegSet:
		case cut && t == SegSequence && int(dst[last+1])+c <= 255:
			dst[last+1] += byte(c)
			dst = append(dst, tail[2:size]...)
			cut = false
		default:
			dst = append(dst, tail[:size]...)
			cut = false
		}
		tail = tail[size:]
	}
	return dst
}

// appendWide appends 2-octet segments as 4-octet ones.
func appendWide(dst, v []byte) []byte {
	for len(v) >= 2 {
		size := 2 + 2*int(v[1])
		dst = appendWideSegment(dst, SegmentType(v[0]), v[2:size])
		v = v[size:]
	}
	return dst
}

func appendWideSegment(dst []byte, t SegmentType, ases []byte) []byte {
	dst = append(dst, byte(t), byte(len(ases)/2))
	for ; len(ases) >= 2; ases = ases[2:] {
		dst = append(dst, 0, 0, ases[0], ases[1])
	}
	return dst
}

// pathLen counts the ASes of a path as RFC 4271 section 9.1.2.2 and RFC 5065
// section 5.3 do: a set is one, a confederation's segments are none.
func pathLen(v []byte, size int) int {
	n := 0
	for len(v) >= 2 {
		c := int(v[1])
		switch SegmentType(v[0]) {
		case SegSequence:
			n += c
		case SegSet:
			n++
		}
		v = v[min(len(v), 2+size*c):]
	}
	return n
}
