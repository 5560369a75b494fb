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
// nothing follows b. ok is false when there is none; then at is how far b has
// been searched, and the octets before it need not be kept.
func Resync(b []byte, last uint32, eof bool) (at int, ok bool) {
	for at = 0; at+HeaderLen <= len(b); at++ {
		h, _ := ParseHeader(b[at:])
		if h.strict(last) && chained(b[at:], last, eof) {
			return at, true
		}
	}
	return at, false
}

// chained reports whether a chain of headers stands at the start of b. A chain
// that runs out of b counts when b is not all there is, or when it ends
// exactly at the end of it, or has made one step at least.
func chained(b []byte, last uint32, eof bool) bool {
	for n := 0; n < resyncChain; n++ {
		h, ok := ParseHeader(b)
		if !ok {
			return n > 1 || len(b) == 0 || !eof
		}
		if !h.strict(last) {
			return false
		}
		if h.Size() > len(b) {
			return n > 0 || !eof
		}
		b = b[h.Size():]
	}
	return true
}
