package wire

import (
	"encoding/binary"
	"errors"
)

// SendOptions is what the two ends of a session agreed on, as far as it
// changes how messages are written.
type SendOptions struct {
	AS4      bool      // both ends sent the 4-octet AS capability (RFC 6793)
	Extended bool      // the peer takes messages of up to 65,535 octets (RFC 8654)
	AddPath  FamilySet // families whose NLRI are sent with path ids (RFC 7911)
	// MP4 sends IPv4 unicast in MP_REACH_NLRI and MP_UNREACH_NLRI (RFC 4760)
	// even where its next hop is an IPv4 address.
	MP4 bool
}

// ErrTooLong says that attributes, or a route, leave no room in a message.
var ErrTooLong = errors.New("wire: the route does not fit into a message")

// Encoder packs routes into UPDATE messages: as many of one kind and one set
// of attributes as a message holds, MP_REACH_NLRI or MP_UNREACH_NLRI first, and
// never two of the four kinds of NLRI in one message (RFC 7606 section 5.1).
//
//	e.Announce(wire.IPv4Unicast, attrs)
//	e.Route4(addr, 24, 0)
//	conn.Write(e.Flush())
//
// The messages stay valid until Reset. An Encoder belongs to one goroutine.
type Encoder struct {
	o       SendOptions
	out     []byte // finished messages
	attrs   []byte // of the current set, less the multiprotocol attribute
	hop     []byte // of the current set, as MP_REACH_NLRI writes it
	nlri    []byte // routes of the current message
	room    int    // for nlri, in octets
	family  Family
	open    kind
	addPath bool
}

// kind is one of the four kinds of NLRI, or none.
type kind uint8

const (
	kindNone kind = iota
	kindNLRI
	kindWithdrawn
	kindReach
	kindUnreach
)

// maxPrefixLen bounds the octets of one NLRI that is no raw one: path id, length
// and 255 bits.
const maxPrefixLen = 4 + 1 + 32

// NewEncoder returns an encoder for a session.
func NewEncoder(o SendOptions) *Encoder { return &Encoder{o: o} }

// Reset forgets the messages, and keeps their memory.
func (e *Encoder) Reset() { e.out, e.nlri, e.open = e.out[:0], e.nlri[:0], kindNone }

// Flush ends the current message and returns all messages since Reset, one
// after the other.
func (e *Encoder) Flush() []byte {
	e.flush()
	return e.out
}

func (e *Encoder) max() int {
	if e.o.Extended {
		return MaxExtendedLen
	}
	return MaxMessageLen
}

// Announce makes the routes that follow announcements of family f with a set
// of canonical attributes, whose next hop goes where the family wants it. It
// fails where the attributes leave no room for a route: such a route has to be
// withdrawn (RFC 8654 section 4).
func (e *Encoder) Announce(f Family, attrs []byte) error {
	e.flush()
	e.open, e.family, e.addPath = kindNone, f, e.o.AddPath.Has(f)
	hop, _ := FindAttr(attrs, AttrNextHop)
	k := kindReach
	if f == IPv4Unicast && len(hop) == 4 && !e.o.MP4 {
		k = kindNLRI
	}
	e.attrs = appendSent(e.attrs[:0], attrs, e.o.AS4, k == kindNLRI)
	e.room = e.max() - minUpdateLen - len(e.attrs)
	if k == kindReach {
		e.hop = appendSentHop(e.hop[:0], f, hop)
		e.room -= 4 + 5 + len(e.hop)
	}
	if e.room < maxPrefixLen || len(e.attrs) > 65535 {
		return ErrTooLong
	}
	e.open = k
	return nil
}

// Withdraw makes the routes that follow withdrawals of family f.
func (e *Encoder) Withdraw(f Family) {
	e.flush()
	e.family, e.addPath = f, e.o.AddPath.Has(f)
	e.attrs, e.hop = e.attrs[:0], e.hop[:0]
	e.open, e.room = kindUnreach, e.max()-minUpdateLen-4-3
	if f == IPv4Unicast && !e.o.MP4 {
		e.open, e.room = kindWithdrawn, e.max()-minUpdateLen
	}
}

// Route4 adds an IPv4 prefix (FormPrefix); the path id counts with Add-Path.
func (e *Encoder) Route4(addr uint32, n uint8, pathID uint32) {
	at := e.begin(pathID)
	e.nlri = AppendNLRI4(e.nlri, addr, n)
	e.end(at)
}

// Route6 adds an IPv6 prefix (FormPrefix).
func (e *Encoder) Route6(hi, lo uint64, n uint8, pathID uint32) {
	at := e.begin(pathID)
	e.nlri = AppendNLRI6(e.nlri, hi, lo, n)
	e.end(at)
}

// RouteLabelled adds a labelled prefix or a VPN route (FormLabelled, FormVPN).
// labels has three octets a label. A withdrawal has none: whatever labels says,
// the one that means it stands there, since a stack would read as a part of the
// prefix (RFC 8277 section 2.4). It is false where the labels leave no room for
// the prefix: the route is not added.
func (e *Encoder) RouteLabelled(rd uint64, labels []byte, hi, lo uint64, n uint8, pathID uint32) bool {
	if len(labels) == 0 || e.open == kindUnreach {
		labels = withdrawnLabel
	}
	vpn := e.family.Form() == FormVPN
	if bits := 8*len(labels) + int(n); bits > 255 || vpn && bits > 255-64 {
		return false
	}
	at := e.begin(pathID)
	e.nlri = AppendNLRILabelled(e.nlri, vpn, rd, labels, hi, lo, n)
	e.end(at)
	return true
}

// RouteRaw adds an NLRI of another family, with its own framing octets; of a
// family whose framing is not known it is the only one of its message, as two
// would read as one. It is false where the NLRI is longer than a message has
// room: it is not added.
func (e *Encoder) RouteRaw(nlri []byte, pathID uint32) bool {
	if 4+len(nlri) > e.room {
		return false
	}
	if e.family.frame() == frameWhole {
		e.flush()
	}
	at := e.begin(pathID)
	e.nlri = append(e.nlri, nlri...)
	e.end(at)
	return true
}

func (e *Encoder) begin(pathID uint32) int {
	if e.open == kindNone {
		panic("BUG: route without Announce or Withdraw, or after either failed")
	}
	at := len(e.nlri)
	if e.addPath {
		e.nlri = binary.BigEndian.AppendUint32(e.nlri, pathID)
	}
	return at
}

// end sends what was before the route at at, where that does not fit any more.
func (e *Encoder) end(at int) {
	if len(e.nlri) <= e.room {
		return
	}
	n := len(e.nlri) - at
	e.message(e.nlri[:at])
	copy(e.nlri, e.nlri[at:])
	e.nlri = e.nlri[:n]
}

func (e *Encoder) flush() {
	if len(e.nlri) > 0 {
		e.message(e.nlri)
		e.nlri = e.nlri[:0]
	}
}

// message writes one message with the routes given.
func (e *Encoder) message(nlri []byte) {
	at := len(e.out)
	b := appendHeader(e.out, MsgUpdate)
	switch e.open {
	case kindWithdrawn:
		b = binary.BigEndian.AppendUint16(b, uint16(len(nlri)))
		b = append(b, nlri...)
		b = append(b, 0, 0)
	case kindNLRI:
		b = append(b, 0, 0)
		b = binary.BigEndian.AppendUint16(b, uint16(len(e.attrs)))
		b = append(b, e.attrs...)
		b = append(b, nlri...)
	default:
		b = append(b, 0, 0, 0, 0)
		start := len(b)
		if e.open == kindReach {
			b = appendAttrHead(b, FlagOptional, AttrMPReach, 5+len(e.hop)+len(nlri))
			b = appendFamily(b, e.family)
			b = append(b, byte(len(e.hop)))
			b = append(b, e.hop...)
			b = append(b, 0)
		} else {
			b = appendAttrHead(b, FlagOptional, AttrMPUnreach, 3+len(nlri))
			b = appendFamily(b, e.family)
		}
		b = append(b, nlri...)
		b = append(b, e.attrs...)
		binary.BigEndian.PutUint16(b[start-2:], uint16(len(b)-start))
	}
	e.out = endMessage(b, at)
}

// AppendEndOfRIB appends the End-of-RIB marker of a family (RFC 4724 section
// 2).
func AppendEndOfRIB(dst []byte, f Family) []byte {
	at := len(dst)
	dst = append(appendHeader(dst, MsgUpdate), 0, 0)
	if f == IPv4Unicast {
		return endMessage(append(dst, 0, 0), at)
	}
	dst = append(dst, 0, 6, FlagOptional, byte(AttrMPUnreach), 3)
	return endMessage(appendFamily(dst, f), at)
}

var withdrawnLabel = []byte{0x80, 0, 0}

func appendFamily(dst []byte, f Family) []byte {
	return append(dst, byte(f>>16), byte(f>>8), byte(f))
}

// AppendNLRI4 appends an IPv4 prefix, its spare bits cleared.
func AppendNLRI4(dst []byte, addr uint32, n uint8) []byte {
	hi, _ := mask128(uint64(addr)<<32, 0, n)
	dst = append(dst, n, byte(hi>>56), byte(hi>>48), byte(hi>>40), byte(hi>>32))
	return dst[:len(dst)-4+int(n+7)/8]
}

// AppendNLRI6 appends an IPv6 prefix, its spare bits cleared.
func AppendNLRI6(dst []byte, hi, lo uint64, n uint8) []byte {
	return appendBits(append(dst, n), hi, lo, n)
}

func appendBits(dst []byte, hi, lo uint64, n uint8) []byte {
	hi, lo = mask128(hi, lo, n)
	at := len(dst)
	dst = binary.BigEndian.AppendUint64(dst, hi)
	dst = binary.BigEndian.AppendUint64(dst, lo)
	return dst[:at+(int(n)+7)/8]
}

// AppendNLRILabelled appends a labelled prefix (RFC 8277) or, with vpn, a VPN
// route (RFC 4364). Length of labels, distinguisher and prefix together must
// not be over 255 bits.
func AppendNLRILabelled(dst []byte, vpn bool, rd uint64, labels []byte, hi, lo uint64, n uint8) []byte {
	bits := 8*len(labels) + int(n)
	if vpn {
		bits += 64
	}
	if bits > 255 {
		panic("BUG: labelled NLRI over 255 bits")
	}
	dst = append(append(dst, byte(bits)), labels...)
	if vpn {
		dst = binary.BigEndian.AppendUint64(dst, rd)
	}
	return appendBits(dst, hi, lo, n)
}

// appendSentHop writes a next hop of 0, 4, 16 or 32 octets as MP_REACH_NLRI of
// family f has it: with zero route distinguishers for the VPN families.
func appendSentHop(dst []byte, f Family, hop []byte) []byte {
	if f.Form() != FormVPN && f.SAFI() != safiFlowSpecVPN || len(hop) == 0 {
		return append(dst, hop...)
	}
	for len(hop) > 0 {
		n := min(16, len(hop))
		dst = append(dst, 0, 0, 0, 0, 0, 0, 0, 0)
		dst = append(dst, hop[:n]...)
		hop = hop[n:]
	}
	return dst
}

// appendSent writes canonical attributes as a session has them.
func appendSent(dst, attrs []byte, as4, nextHop bool) []byte {
	var path, aggregator []byte
	flush := func(t AttrType) { // AS4_* in their places
		if path != nil && t > AttrAS4Path {
			dst, path = appendAS4Path(dst, path), nil
		}
		if aggregator != nil && t > AttrAS4Aggregator {
			dst, aggregator = AppendAttr(dst, optTransitive, AttrAS4Aggregator, aggregator), nil
		}
	}
	for w := WalkAttributes(attrs); w.Next(); {
		flush(w.Type())
		v := w.Value()
		switch t := w.Type(); {
		case t == AttrNextHop && !nextHop:
		case t == AttrASPath && !as4:
			var wide bool
			dst, wide = appendNarrowPath(dst, w.Flags(), v)
			if wide {
				path = v
			}
		case t == AttrAggregator && !as4 && len(v) == 8:
			short := v[2:8]
			if be32(v) > 0xffff {
				aggregator = v
				short = append([]byte{ASTrans >> 8, ASTrans & 0xff}, v[4:8]...)
			}
			dst = AppendAttr(dst, w.Flags(), t, short)
		default:
			dst = AppendAttr(dst, w.Flags(), t, v)
		}
	}
	flush(255)
	return dst
}

// appendNarrowPath writes AS_PATH with 2-octet AS numbers, and tells whether an
// AS number had to be written as AS_TRANS (RFC 6793 section 4.2.2).
func appendNarrowPath(dst []byte, flags byte, v []byte) (b []byte, wide bool) {
	n := 0
	for w := WalkASPath(v); w.Next(); {
		n += 2 + 2*w.Len()
	}
	dst = appendAttrHead(dst, flags, AttrASPath, n)
	for w := WalkASPath(v); w.Next(); {
		dst = append(dst, byte(w.typ), byte(w.Len()))
		for i := range w.Len() {
			as := w.AS(i)
			if as > 0xffff {
				as, wide = ASTrans, true
			}
			dst = append(dst, byte(as>>8), byte(as))
		}
	}
	return dst, wide
}

// appendAS4Path writes AS4_PATH: the path but for its confederation segments.
func appendAS4Path(dst, v []byte) []byte {
	n := 0
	for w := WalkASPath(v); w.Next(); {
		if w.typ == SegSequence || w.typ == SegSet {
			n += 2 + 4*w.Len()
		}
	}
	if n == 0 {
		return dst
	}
	dst = appendAttrHead(dst, optTransitive, AttrAS4Path, n)
	for w := WalkASPath(v); w.Next(); {
		if w.typ == SegSequence || w.typ == SegSet {
			dst = append(append(dst, byte(w.typ), byte(w.Len())), w.ases...)
		}
	}
	return dst
}
