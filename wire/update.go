package wire

import "encoding/binary"

// Update is an UPDATE message taken apart in place: ranges over the message,
// which it borrows until the next Parse. One is meant to be used again and
// again; parsing a sound message allocates nothing.
//
// Withdrawals are to be applied before announcements: a prefix that is in both
// counts as announced (RFC 4271 section 4.3).
type Update struct {
	withdrawn, nlri       []byte
	withdrawnOff, nlriOff int
	reach, unreach        MP
	hasReach, hasUnreach  bool
	addPath4              bool
	eor                   bool
	eorFamily             Family
	scan                  scan
	hop                   [32]byte // a next hop that is not in one piece in the message
}

// MP is what MP_REACH_NLRI or MP_UNREACH_NLRI holds (RFC 4760).
type MP struct {
	Family  Family
	NextHop []byte // 0, 4, 16 or 32 octets (global, link-local), without route distinguishers; empty for a withdrawal
	NLRI    []byte
	Off     int  // octet of NLRI in the message
	AddPath bool // NLRI carry path ids
	single  bool // a label stack is one label
}

// NLRI4 returns a cursor over IPv4 prefixes (FormPrefix).
func (m *MP) NLRI4() NLRI4 { return NewNLRI4(m.NLRI, m.Off, m.AddPath) }

// NLRI6 returns a cursor over IPv6 prefixes (FormPrefix).
func (m *MP) NLRI6() NLRI6 { return NewNLRI6(m.NLRI, m.Off, m.AddPath) }

// Labelled returns a cursor over labelled prefixes or VPN routes
// (FormLabelled, FormVPN).
func (m *MP) Labelled() NLRILabelled {
	return NewNLRILabelled(m.NLRI, m.Off, m.Family, m.AddPath, m.single)
}

// Raw returns a cursor over NLRI of any other family.
func (m *MP) Raw() NLRIRaw { return NewNLRIRaw(m.NLRI, m.Off, m.Family, m.AddPath) }

// check walks the NLRI and returns the error of a malformed one.
func (m *MP) check() *Error {
	switch m.Family.Form() {
	case FormPrefix:
		if m.Family.Is4() {
			if p := check4(m.NLRI, m.AddPath); p < len(m.NLRI) {
				return prefixError(m.NLRI, p, m.Off, 32, m.AddPath)
			}
		} else if p := check6(m.NLRI, m.AddPath); p < len(m.NLRI) {
			return prefixError(m.NLRI, p, m.Off, 128, m.AddPath)
		}
	case FormLabelled, FormVPN:
		w := m.Labelled()
		for w.Next() {
		}
		return w.err
	default:
		w := m.Raw()
		for w.Next() {
		}
		return w.err
	}
	return nil
}

// Parse takes a whole message apart, with its header. It returns what Err
// returns afterwards. After SessionReset there is nothing to walk; after
// TreatAsWithdraw the announcements are there to be withdrawn; after
// AttributeDiscard everything else is as it should be.
func (u *Update) Parse(msg []byte, s *Session) *Error {
	u.reset()
	if err := checkHeader(msg, s, MsgUpdate); err != nil {
		return u.lose(err)
	}
	return u.parse(msg[HeaderLen:], HeaderLen, s)
}

// ParseBody is Parse for an UPDATE without its header; offsets count from
// body[0].
func (u *Update) ParseBody(body []byte, s *Session) *Error {
	u.reset()
	if len(body) < minUpdateLen-HeaderLen || len(body) > MaxExtendedLen-HeaderLen {
		return u.lose(&Error{End: len(body), Field: "UPDATE", Reason: "too short or too long",
			RFC: "RFC 4271 6.1", Action: SessionReset, Code: CodeHeader, Subcode: SubBadLength})
	}
	return u.parse(body, 0, s)
}

func (u *Update) reset() {
	u.withdrawn, u.nlri = nil, nil
	u.hasReach, u.hasUnreach, u.eor = false, false, false
	u.scan.err = nil
}

// lose ends in an error that leaves nothing of the message.
func (u *Update) lose(err *Error) *Error {
	u.withdrawn, u.nlri = nil, nil
	u.hasReach, u.hasUnreach, u.eor = false, false, false
	u.scan.start(nil, 0)
	u.scan.err = err
	return err
}

func (u *Update) parse(b []byte, off int, s *Session) *Error {
	wn := int(binary.BigEndian.Uint16(b))
	if wn > len(b)-4 {
		return u.lose(lengthError(off, off+2, "Withdrawn Routes Length"))
	}
	an := int(binary.BigEndian.Uint16(b[2+wn:]))
	if an > len(b)-4-wn {
		return u.lose(lengthError(off+2+wn, off+4+wn, "Total Path Attribute Length"))
	}
	attrs := b[4+wn : 4+wn+an]
	u.withdrawn, u.withdrawnOff = b[2:2+wn], off+2
	u.nlri, u.nlriOff = b[4+wn+an:], off+4+wn+an
	u.addPath4 = s.AddPath.Has(IPv4Unicast)
	sc := &u.scan
	sc.start(attrs, off+4+wn)
	sc.as4, sc.external, sc.recorded = s.AS4, s.External, s.Recorded
	sc.run()
	if sc.action() == SessionReset {
		return u.lose(sc.err)
	}
	if err := u.multi(s); err != nil {
		return u.lose(err)
	}
	if err := u.classic(s); err != nil {
		return u.lose(err)
	}
	if sc.reach.ok || len(u.nlri) > 0 {
		u.mandatory(off + 2 + wn)
	}
	// Where no route can be read of a message with malformed attributes, they
	// may have hidden one (RFC 7606 section 5.2).
	if a := sc.action(); a >= TreatAsWithdraw {
		others := sc.count
		if sc.have&(1<<AttrMPUnreach) != 0 {
			others--
		}
		if len(u.nlri) == 0 && (!sc.reach.ok || sc.reach.nlri == sc.reach.end) && others > 0 {
			sc.err.Action, sc.err.RFC = SessionReset, sc.err.RFC+", 5.2"
			return u.lose(sc.err)
		}
	}
	u.endOfRIB(len(b), an, wn)
	return sc.err
}

// classic checks the withdrawn routes and the NLRI that lie outside of the
// attributes.
func (u *Update) classic(s *Session) *Error {
	if len(u.withdrawn) == 0 && len(u.nlri) == 0 {
		return nil
	}
	if p := check4(u.withdrawn, u.addPath4); p < len(u.withdrawn) {
		err := prefixError(u.withdrawn, p, u.withdrawnOff, 32, u.addPath4)
		err.Field = "Withdrawn Routes"
		return err
	}
	if p := check4(u.nlri, u.addPath4); p < len(u.nlri) {
		return prefixError(u.nlri, p, u.nlriOff, 32, u.addPath4)
	}
	if !s.takes(IPv4Unicast) {
		b, off, field := u.nlri, u.nlriOff, "NLRI"
		if len(b) == 0 {
			b, off, field = u.withdrawn, u.withdrawnOff, "Withdrawn Routes"
		}
		u.ignore(b, off, field)
		u.withdrawn, u.nlri = nil, nil
	}
	return nil
}

// multi takes over what the scan found of the multiprotocol attributes.
func (u *Update) multi(s *Session) *Error {
	sc := &u.scan
	if m := &sc.unreach; m.ok {
		u.unreach = MP{Family: m.family, NLRI: sc.b[m.nlri:m.end], Off: sc.off + m.nlri,
			AddPath: s.AddPath.Has(m.family), single: true}
		if !s.takes(m.family) {
			u.ignore(u.unreach.NLRI, u.unreach.Off, "MP_UNREACH_NLRI")
		} else if err := u.unreach.check(); err != nil {
			err.Field = "MP_UNREACH_NLRI"
			return err
		} else {
			u.hasUnreach = true
		}
	}
	if m := &sc.reach; m.ok {
		u.reach = MP{Family: m.family, NextHop: sc.b[m.hop : m.hop+m.hopN], NLRI: sc.b[m.nlri:m.end],
			Off: sc.off + m.nlri, AddPath: s.AddPath.Has(m.family)}
		// Beside PREFIX_SID the label is a part of a SID, and stands alone
		// whatever its last bit is (RFC 9252 section 4).
		u.reach.single = sc.have&(1<<AttrPrefixSID) != 0
		if m.hop2 != 0 {
			u.reach.NextHop = m.appendHop(u.hop[:0], sc.b)
		}
		if !s.takes(m.family) {
			u.ignore(u.reach.NLRI, u.reach.Off, "MP_REACH_NLRI")
		} else if err := u.reach.check(); err != nil {
			err.Field = "MP_REACH_NLRI"
			return err
		} else {
			u.hasReach = true
		}
	}
	return nil
}

// ignore notes NLRI of a family that was not negotiated.
func (u *Update) ignore(b []byte, off int, field string) {
	if u.scan.err != nil {
		return
	}
	if len(b) == 0 {
		off-- // an octet of the header before it
	}
	u.scan.err = &Error{Off: off, Start: off, End: off + max(1, len(b)), Field: field, Reason: "family was not negotiated",
		RFC: "RFC 4760 8", Action: AttributeDiscard, Code: CodeUpdate, Subcode: SubOptionalAttribute}
}

// mandatory looks for the attributes that routes must have (RFC 7606 3(d)).
func (u *Update) mandatory(at int) {
	sc := &u.scan
	const both = 1<<AttrOrigin | 1<<AttrASPath
	reason := ""
	switch {
	case sc.have&both == both && (len(u.nlri) == 0 || sc.have&(1<<AttrNextHop) != 0):
		if sc.tooLong() && sc.action() < TreatAsWithdraw {
			sc.err = tooLongError(at, 2+len(sc.b))
		}
		return
	case sc.have&(1<<AttrOrigin) == 0:
		reason = "ORIGIN is missing"
	case sc.have&(1<<AttrASPath) == 0:
		reason = "AS_PATH is missing"
	default:
		reason = "NEXT_HOP is missing"
	}
	if sc.action() < TreatAsWithdraw {
		sc.err = &Error{Off: at, Start: at, End: at + 2 + len(sc.b), Field: "path attributes", Reason: reason,
			RFC: "RFC 7606 3(d)", Action: TreatAsWithdraw, Code: CodeUpdate, Subcode: SubMissingWellKnown}
	}
}

// tooLongError says that an AS_PATH cannot be kept.
func tooLongError(at, n int) *Error {
	return &Error{Off: at, Start: at, End: at + n, Field: "path attributes",
		Reason: "AS_PATH is longer than an attribute once its AS numbers have 4 octets",
		RFC:    "RFC 7606 7.2", Action: TreatAsWithdraw, Code: CodeUpdate, Subcode: SubMalformedASPath}
}

// endOfRIB recognizes the End-of-RIB marker (RFC 4724 section 2).
func (u *Update) endOfRIB(n, attrs, withdrawn int) {
	switch {
	case n == 4:
		u.eor, u.eorFamily = true, IPv4Unicast
	case withdrawn == 0 && n == 4+attrs && u.hasUnreach && len(u.unreach.NLRI) == 0 &&
		u.scan.count == 1:
		u.eor, u.eorFamily = true, u.unreach.Family
	}
}

func lengthError(at, end int, field string) *Error {
	return &Error{Off: at, Start: at, End: end, Field: field, Reason: "longer than the message",
		RFC: "RFC 4271 6.3", Action: SessionReset, Code: CodeUpdate, Subcode: SubMalformedAttributes}
}

// Err returns the first error of the worst action, nil for a sound message. It
// is the caller's to keep.
func (u *Update) Err() *Error { return u.scan.err }

// Action returns the worst action that the message calls for.
func (u *Update) Action() Action { return u.scan.action() }

// Withdrawn4 returns a cursor over the Withdrawn Routes field.
func (u *Update) Withdrawn4() NLRI4 { return NewNLRI4(u.withdrawn, u.withdrawnOff, u.addPath4) }

// NLRI4 returns a cursor over the NLRI field; Attributes belong to its routes.
func (u *Update) NLRI4() NLRI4 { return NewNLRI4(u.nlri, u.nlriOff, u.addPath4) }

// HasNLRI4 is true where the NLRI field holds routes.
func (u *Update) HasNLRI4() bool { return len(u.nlri) > 0 }

// AddPath4 is true where the Withdrawn Routes and NLRI fields carry path ids.
func (u *Update) AddPath4() bool { return u.addPath4 }

// Reach returns what MP_REACH_NLRI announces; ReachAttributes belong to it.
func (u *Update) Reach() (MP, bool) {
	if !u.hasReach {
		return MP{}, false
	}
	return u.reach, true
}

// ReachFamily returns the family of what MP_REACH_NLRI announces.
func (u *Update) ReachFamily() (Family, bool) { return u.reach.Family, u.hasReach }

// Unreach returns what MP_UNREACH_NLRI withdraws.
func (u *Update) Unreach() (MP, bool) {
	if !u.hasUnreach {
		return MP{}, false
	}
	return u.unreach, true
}

// HasReachable is true where the message announces a route.
func (u *Update) HasReachable() bool {
	return len(u.nlri) > 0 || u.hasReach && len(u.reach.NLRI) > 0
}

// EndOfRIB returns the family whose End-of-RIB the message is.
func (u *Update) EndOfRIB() (Family, bool) { return u.eorFamily, u.eor }

// Attributes returns the canonical attributes of the routes in the NLRI field.
// Where the message holds them in that form already they are a part of the
// message, else they are built in scratch[:0], which grows where it must.
func (u *Update) Attributes(scratch []byte) []byte {
	if u.scan.plain {
		return u.scan.b
	}
	return u.scan.appendCanonical(scratch[:0], hopAttr)
}

// RawAttributes returns the path attributes as they stand in the message, and the
// octet at which they begin.
func (u *Update) RawAttributes() (b []byte, off int) { return u.scan.b, u.scan.off }

// ReachAttributes returns the canonical attributes of the routes in
// MP_REACH_NLRI: those have its next hop. They are built in scratch[:0].
func (u *Update) ReachAttributes(scratch []byte) []byte {
	return u.scan.appendCanonical(scratch[:0], hopReach)
}

// AppendAttributes appends what Attributes returns.
func (u *Update) AppendAttributes(dst []byte) []byte {
	if u.scan.plain {
		return append(dst, u.scan.b...)
	}
	return u.scan.appendCanonical(dst, hopAttr)
}

// AppendReachAttributes appends what ReachAttributes returns.
func (u *Update) AppendReachAttributes(dst []byte) []byte {
	return u.scan.appendCanonical(dst, hopReach)
}
