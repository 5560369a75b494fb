package wire

// item is an attribute that the scan keeps: its type in the top 8 bits, then the
// flags of its canonical form (8), the octets of its value (16) and where that
// starts in scan.b (32). One word is one store, and items sort by type.
type item uint64

func makeItem(t AttrType, flags byte, n, at int) item {
	return item(t)<<56 | item(flags)<<48 | item(uint16(n))<<32 | item(uint32(at))
}

func (it item) typ() AttrType { return AttrType(it >> 56) }
func (it item) flags() byte   { return byte(it >> 48) } // without the extended length bit
func (it item) n() int        { return int(uint16(it >> 32)) }
func (it item) at() int       { return int(uint32(it)) }

// few is how many attributes a scan holds without allocating.
const few = 32

// scan is one pass over a block of path attributes: it applies attrTable,
// keeps what survives in ascending order, and finds out whether the block is
// canonical as it lies.
type scan struct {
	b        []byte // the block, borrowed
	off      int    // of b[0] in the message
	as4      bool   // AS numbers of AS_PATH and AGGREGATOR have 4 octets
	external bool
	recorded bool // from a recording, where some forms are laxer
	rib      bool // an entry of a table dump, not a message
	family   Family
	plain    bool      // canonical so far
	dupLarge bool      // a large community is there twice
	have     uint64    // types under 64 that were seen
	high     [3]uint64 // and those from 64
	count    int       // attributes seen, kept or not
	n        int
	items    [few]item
	more     []item // all items, once there are more than few
	row      *attrRow
	head     int // first octet of the attribute being checked
	reach    mpRange
	unreach  mpRange
	err      *Error
}

// mpRange is what MP_REACH_NLRI or MP_UNREACH_NLRI holds: positions in scan.b.
type mpRange struct {
	family    Family
	ok        bool
	hop, hopN int // next hop without its route distinguisher
	hop2      int // link-local half of a next hop of 48 octets, 0 without one
	nlri, end int
}

// start makes the scan ready for another block. It leaves the array of items
// alone: n tells how many of it are in use.
func (s *scan) start(b []byte, off int) {
	s.b, s.off = b, off
	s.as4, s.external, s.recorded, s.rib, s.family = false, false, false, false, 0
	s.plain, s.dupLarge = true, false
	s.have, s.high = 0, [3]uint64{}
	s.count, s.n, s.more = 0, 0, nil
	s.reach.ok, s.reach.hopN, s.unreach.ok = false, 0, false
	s.row, s.head, s.err = nil, 0, nil
}

// run walks the block.
func (s *scan) run() {
	b := s.b
	last := AttrType(0)
	for p := 0; p < len(b); {
		if len(b)-p < 3 {
			s.block(p, TreatAsWithdraw, "attribute header runs past the end")
			return
		}
		flags, t := b[p], AttrType(b[p+1])
		n, v := int(b[p+2]), p+3
		if flags&FlagExtended != 0 {
			if len(b)-p < 4 {
				s.block(p, TreatAsWithdraw, "attribute header runs past the end")
				return
			}
			n, v = n<<8|int(b[p+3]), p+4
		}
		if n > len(b)-v {
			s.overrun(p, t)
			return
		}
		row := &attrTable[t]
		s.row, s.head = row, p
		s.count++
		p = v + n
		seen := &s.have
		if t >= 64 {
			seen = &s.high[t>>6-1]
		}
		bit := uint64(1) << (t & 63)
		if *seen&bit != 0 {
			if !s.again(t) {
				return
			}
			continue
		}
		*seen |= bit
		if t == AttrMPReach || t == AttrMPUnreach {
			s.plain = false
			s.multi(t, flags, makeItem(t, 0, n, v))
			continue
		}
		if !row.known || (flags^row.flags)&keepKind != 0 || s.external && row.external != 0 {
			if !s.odd(t, flags) {
				s.plain = false
				continue
			}
			row = &unknownRow
		}
		it := makeItem(t, flags&row.keep, n, v)
		if !row.ok(n) {
			s.bad(s.head+2, row.wants())
			s.plain = false
			continue
		}
		if row.check > checkOrigin && !s.check(row.check, it) || row.check == checkOrigin && !s.origin(it) {
			s.plain = false
			continue
		}
		want := it.flags()
		if n > 255 {
			want |= FlagExtended
		}
		if flags != want || t < last {
			s.plain = false
		}
		if t > last && s.n < few {
			s.items[s.n] = it
			s.n++
			last = t
			continue
		}
		s.add(it, t < last)
		last = max(last, t)
	}
}

// unknownRow is the row of an optional transitive attribute that has none.
var unknownRow = attrRow{keep: keepAll}

// odd deals with an attribute that has no row, whose flags are wrong, or that
// an external peer must not send. It is true where the attribute is to be kept
// as it came.
func (s *scan) odd(t AttrType, flags byte) bool {
	row := s.row
	switch {
	case s.external && row.external != 0:
		s.fail(row.external, s.head, "from an external peer", row.rfc, SubOptionalAttribute)
	case row.known:
		s.fail(row.onFlags, s.head, "Optional and Transitive flags are wrong", "RFC 7606 3(c)", SubAttributeFlags)
	case flags&FlagOptional == 0:
		s.fail(SessionReset, s.head, "unrecognized, and not optional", "RFC 4271 6.3", SubUnrecognizedWellKnown)
	default:
		// An optional attribute that is not transitive is quietly ignored
		// (RFC 4271 section 5).
		return flags&FlagTransitive != 0
	}
	return false
}

// again deals with a second attribute of one type; it is false where the
// message is lost.
func (s *scan) again(t AttrType) bool {
	s.plain = false
	if t == AttrMPReach || t == AttrMPUnreach {
		s.fail(SessionReset, s.head, "is there twice", "RFC 7606 3(g)", SubMalformedAttributes)
		return false
	}
	s.fail(AttributeDiscard, s.head, "is there twice", "RFC 7606 3(g)", SubMalformedAttributes)
	return true
}

// overrun deals with an attribute that is longer than what is left. The routes
// of a multiprotocol attribute are lost with it.
func (s *scan) overrun(p int, t AttrType) {
	if (t == AttrMPReach || t == AttrMPUnreach) && !s.rib {
		s.block(p, SessionReset, "multiprotocol attribute runs past the end")
		s.err.RFC = "RFC 7606 3(j)"
		return
	}
	s.block(p, TreatAsWithdraw, "attribute runs past the end")
}

// add keeps an attribute, in its place.
func (s *scan) add(it item, early bool) {
	if s.more == nil {
		if s.n < few {
			s.items[s.n] = it
		} else {
			s.more = append(append(make([]item, 0, 2*few), s.items[:]...), it)
		}
	} else {
		s.more = append(s.more, it)
	}
	s.n++
	if early {
		l := s.list()
		for i := len(l) - 1; i > 0 && l[i-1] > l[i]; i-- {
			l[i-1], l[i] = l[i], l[i-1]
		}
	}
}

// list returns what was kept, in ascending order of type.
func (s *scan) list() []item {
	if s.more != nil {
		return s.more
	}
	return s.items[:s.n]
}

// get returns the item of type t.
func (s *scan) get(t AttrType) (item, bool) {
	for _, it := range s.list() {
		if it.typ() == t {
			return it, true
		}
	}
	return 0, false
}

// val returns an item's value.
func (s *scan) val(it item) []byte { return s.b[it.at() : it.at()+it.n()] }

// action returns the worst that was found.
func (s *scan) action() Action {
	if s.err == nil {
		return ActionNone
	}
	return s.err.Action
}

// bad reports a malformed value by the rule of its row. at is in s.b.
func (s *scan) bad(at int, reason string) {
	s.fail(s.row.action, at, reason, s.row.rfc, s.row.subcode)
}

// fail reports what is wrong with the attribute being checked.
func (s *scan) fail(a Action, at int, reason, rfc string, subcode uint8) {
	s.plain = false
	if a <= s.action() {
		return
	}
	b := s.b[s.head:]
	end := 3 + int(b[2])
	if b[0]&FlagExtended != 0 {
		end = 4 + int(b[2])<<8 + int(b[3])
	}
	name := s.row.name
	if name == "" {
		name = unnamed(b[1])
	}
	s.err = &Error{Off: s.off + at, Start: s.off + s.head, End: s.off + s.head + end, Field: name,
		Reason: reason, RFC: rfc, Action: a, Code: CodeUpdate, Subcode: subcode}
}

// block reports what is wrong with the block of attributes as a whole.
func (s *scan) block(at int, a Action, reason string) {
	s.plain = false
	s.count++
	if a <= s.action() {
		return
	}
	s.err = &Error{Off: s.off + at, Start: s.off, End: s.off + len(s.b), Field: "path attributes",
		Reason: reason, RFC: "RFC 7606 4", Action: a, Code: CodeUpdate, Subcode: SubMalformedAttributes}
}
