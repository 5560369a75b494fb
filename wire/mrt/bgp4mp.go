package mrt

import (
	"encoding/binary"
	"net/netip"

	"ribd/wire"
)

// MessageType is the type of a BGP message (RFC 4271 section 4.1).
type MessageType uint8

// The types of BGP messages.
const (
	Open         MessageType = 1
	Update       MessageType = 2
	Notification MessageType = 3
	Keepalive    MessageType = 4
	RouteRefresh MessageType = 5
)

// msgHeader is the size of the header of a BGP message.
const msgHeader = 19

// Message is a BGP message that a collector received or, with Local set, sent.
// Data and Body alias the record.
type Message struct {
	PeerAS, LocalAS uint32
	Peer, Local     netip.Addr
	Interface       uint16
	AS4             bool // AS numbers of the message, and of the record's header, have 4 octets
	Sent            bool // a _LOCAL subtype: the collector sent it
	AddPath         bool // an _ADDPATH subtype: its NLRI carry path ids
	Type            MessageType
	Data            []byte // the message with its header; nil in the deprecated types, which leave it out
	Body            []byte // the message after its header
	BodyOff         int    // octet of the record that Body starts at
}

// Parse decodes a record of [KindMessage].
func (m *Message) Parse(r *Record) *Error {
	b := reader{b: r.Body}
	if r.Type != TypeBGP4MP && r.Type != TypeBGP4MPET {
		return m.parseOld(r, &b)
	}
	m.AS4, m.Sent, m.AddPath = false, false, false
	switch r.Subtype {
	case MessageAS4:
		m.AS4 = true
	case MessageLocal:
		m.Sent = true
	case MessageAS4Local:
		m.AS4, m.Sent = true, true
	case MessageAP:
		m.AddPath = true
	case MessageAS4AP:
		m.AS4, m.AddPath = true, true
	case MessageLocalAP:
		m.Sent, m.AddPath = true, true
	case MessageAS4LocalAP:
		m.AS4, m.Sent, m.AddPath = true, true, true
	}
	if err := m.session(r, &b); err != nil {
		return err
	}
	rest := r.Body[b.at:]
	if len(rest) < msgHeader {
		return &Error{r.base + b.at, "BGP Message", "shorter than its header", rfcMessage}
	}
	switch n := int(binary.BigEndian.Uint16(rest[16:])); {
	case n < msgHeader:
		return &Error{r.base + b.at + 16, "BGP Message", "length below 19", rfcMessage}
	case n > len(rest):
		return &Error{r.base + b.at + 16, "BGP Message", "longer than the record", rfcMessage}
	case n < len(rest):
		return &Error{r.base + b.at + n, "BGP Message", "octets left over after the message", rfcMessage}
	}
	m.Type = MessageType(rest[18])
	m.Data, m.Body, m.BodyOff = rest, rest[msgHeader:], r.base+b.at+msgHeader
	return nil
}

// session reads the fields that MESSAGE and STATE_CHANGE begin with.
func (m *Message) session(r *Record, b *reader) *Error {
	m.PeerAS, m.LocalAS = b.as(m.AS4), b.as(m.AS4)
	m.Interface = b.u16()
	afiAt := b.at
	afi := b.u16()
	size := 4
	switch {
	case b.short:
		return b.fail(r.base, "BGP4MP", "cut off", rfcMessage)
	case afi == 2:
		size = 16
	case afi != 1:
		return &Error{r.base + afiAt, "Address Family", "neither IPv4 nor IPv6", rfcMessage}
	}
	m.Peer, m.Local = addr(b.take(size)), addr(b.take(size))
	if b.short {
		return b.fail(r.base, "BGP4MP", "cut off", rfcMessage)
	}
	return nil
}

// parseOld decodes the deprecated types BGP, BGP4PLUS and BGP4PLUS_01: the
// message stands without its header, and the subtype says what it is.
func (m *Message) parseOld(r *Record, b *reader) *Error {
	size := oldAddrSize(r.Type)
	*m = Message{}
	m.PeerAS, m.Peer = uint32(b.u16()), addr(b.take(size))
	m.LocalAS, m.Local = uint32(b.u16()), addr(b.take(size))
	if b.short {
		return b.fail(r.base, r.Type.String(), "cut off", rfcOldBGP)
	}
	switch r.Subtype {
	case BGPUpdate:
		m.Type = Update
	case BGPOpen:
		m.Type = Open
	case BGPNotify:
		m.Type = Notification
	case BGPKeepalive:
		m.Type = Keepalive
	}
	m.Body, m.BodyOff = r.Body[b.at:], r.base+b.at
	return nil
}

func oldAddrSize(t Type) int {
	if t == TypeBGP {
		return 4
	}
	return 16
}

// StateChange is a change of state of the session with a peer (RFC 6396
// section 4.4.1). The deprecated type BGP gives no local end.
type StateChange struct {
	PeerAS, LocalAS uint32
	Peer, Local     netip.Addr
	Interface       uint16
	AS4             bool
	Old, New        State
}

// Parse decodes a record of [KindStateChange].
func (s *StateChange) Parse(r *Record) *Error {
	b := reader{b: r.Body}
	rfc := rfcState
	if r.Type == TypeBGP4MP || r.Type == TypeBGP4MPET {
		m := Message{AS4: r.Subtype == StateChangeAS4}
		if err := m.session(r, &b); err != nil {
			return err
		}
		*s = StateChange{PeerAS: m.PeerAS, LocalAS: m.LocalAS, Peer: m.Peer, Local: m.Local,
			Interface: m.Interface, AS4: m.AS4}
	} else {
		rfc = rfcOldBGP
		*s = StateChange{PeerAS: uint32(b.u16()), Peer: addr(b.take(oldAddrSize(r.Type)))}
	}
	s.Old, s.New = State(b.u16()), State(b.u16())
	if b.short {
		return b.fail(r.base, "STATE_CHANGE", "cut off", rfc)
	}
	if b.at != len(b.b) {
		return b.fail(r.base, "STATE_CHANGE", "octets left over", rfc)
	}
	return nil
}

// OldEntry is a BGP4MP_ENTRY: one path of a table in a form that was
// deprecated before it was used much (RFC 6396 appendix B.4.1). Attrs, NextHop
// and NLRI alias the record.
type OldEntry struct {
	PeerAS, LocalAS uint32
	Peer, Local     netip.Addr
	Interface       uint16
	View, Status    uint16
	Originated      uint32
	Family          wire.Family
	NextHop         []byte
	NLRI            []byte // a length octet and the bits
	Attrs           []byte // AS numbers have two octets
	AttrsOff        int
}

// Parse decodes a record of [KindEntry].
func (e *OldEntry) Parse(r *Record) *Error {
	b := reader{b: r.Body}
	var m Message
	if err := m.session(r, &b); err != nil {
		return err
	}
	*e = OldEntry{PeerAS: m.PeerAS, LocalAS: m.LocalAS, Peer: m.Peer, Local: m.Local, Interface: m.Interface}
	e.View, e.Status, e.Originated = b.u16(), b.u16(), b.u32()
	e.Family = wire.MakeFamily(b.u16(), b.u8())
	e.NextHop = b.take(int(b.u8()))
	if b.short {
		return b.fail(r.base, "BGP4MP_ENTRY", "cut off", rfcBGP4MPOld)
	}
	v4 := e.Family.Is4()
	if e.Family.Form() != wire.FormPrefix {
		return b.fail(r.base, "Address Family", "neither IPv4 nor IPv6, unicast or multicast", rfcBGP4MPOld)
	}
	if b.at == len(b.b) {
		return b.fail(r.base, "Prefix Length", "cut off", rfcBGP4MPOld)
	}
	n := int(b.b[b.at])
	if n > 128 || v4 && n > 32 {
		return b.fail(r.base, "Prefix Length", lengthOver(v4), rfcBGP4MPOld)
	}
	e.NLRI = b.take(1 + (n+7)>>3)
	size := int(b.u16())
	if b.short || size != len(b.b)-b.at {
		return b.fail(r.base, "Attribute Length", "is not what is left of the record", rfcBGP4MPOld)
	}
	e.AttrsOff = r.base + b.at
	e.Attrs = b.take(size)
	return nil
}

// Key returns the prefix left-aligned in 128 bits, the bits past its length
// cleared.
func (e *OldEntry) Key() (hi, lo uint64, n uint8) {
	hi, lo = keyBits(e.NLRI[1:])
	hi, lo = maskBits(hi, lo, e.NLRI[0])
	return hi, lo, e.NLRI[0]
}
