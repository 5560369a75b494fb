package mrt

// How sure Resync wants to be: so many headers in a row that lead to each
// other, unless the data ends before, and so near in time to the last good
// record.
const (
	resyncChain = 3
	resyncTime  = 2 * 86400
)

// Plausible reports whether h can be the header of a record: a type of the
// registry, a subtype that the type has, and a length below [MaxLen].
func (h Header) Plausible() bool {
	if h.Len > MaxLen {
		return false
	}
	switch h.Type {
	case TypeTableDump:
		return h.Subtype >= TableDumpIPv4 && h.Subtype <= TableDumpIPv6AS4 && h.Len >= 22
	case TypeTableDump2:
		return h.Subtype >= PeerIndexTable && h.Subtype <= lastTableDump2 && h.Len >= 7
	case TypeBGP4MP, TypeBGP4MPET:
		return h.Subtype <= lastBGP4MP && h.Len >= 2
	case TypeBGP, TypeBGP4Plus, TypeBGP4Plus01:
		return h.Subtype <= lastBGP
	case TypeISIS, TypeISISET, TypeOSPFv3, TypeOSPFv3ET, TypeOSPFv2:
		return true
	case TypeNull, TypeStart, TypeDie, TypeIAmDead, TypePeerDown, TypeRIP, TypeIDRP, TypeRIPng:
		return true
	}
	return false
}

// strict is the narrower test of Resync: one of the types that tables and
// updates are written in, a length that such a record has, and a time near
// that of the last good record (any, when last is 0).
func (h Header) strict(last uint32) bool {
	if !h.Plausible() || h.Len > 1<<20 {
		return false
	}
	switch h.Type {
	case TypeTableDump, TypeTableDump2, TypeBGP4MP, TypeBGP4MPET:
	case TypeBGP, TypeBGP4Plus, TypeBGP4Plus01:
		if h.Len > 4096+44 {
			return false
		}
	default:
		return false
	}
	d := int64(h.Time) - int64(last)
	return last == 0 || (d >= -resyncTime && d <= resyncTime)
}

// Resync looks in b for the next place where records go on after damage: the
// first offset at which a header stands that leads to another, and that one to
// a third. last is the time of the last good record, or 0; eof says that
// nothing follows b, and then the end of the data may stand for the third.
//
// When ok is false there is no such place before offset at: those octets need
// not be kept. Unless eof is set, what is at that offset may turn out to be one
// when more is there to see.
func Resync(b []byte, last uint32, eof bool) (at int, ok bool) {
	for at = 0; at+HeaderLen <= len(b); at++ {
		h, _ := ParseHeader(b[at:])
		if !h.strict(last) {
			continue
		}
		switch chain(b[at:], last, eof) {
		case chainHolds:
			return at, true
		case chainOpen:
			return at, false
		}
	}
	return at, false
}

type chainResult uint8

const (
	chainBroken chainResult = iota
	chainHolds
	chainOpen // goes on past the data
)

// chain follows the headers from the start of b.
func chain(b []byte, last uint32, eof bool) chainResult {
	for n := range resyncChain {
		h, ok := ParseHeader(b)
		short := !ok || h.strict(last) && h.Size() > len(b)
		switch {
		case short && !eof:
			return chainOpen
		case short && (n > 1 || n == 1 && (ok || len(b) == 0)):
			return chainHolds
		case short || !h.strict(last):
			return chainBroken
		}
		b = b[h.Size():]
	}
	return chainHolds
}
