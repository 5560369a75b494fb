package wire

import "encoding/binary"

// multi takes MP_REACH_NLRI or MP_UNREACH_NLRI apart (RFC 4760 sections 3 and
// 4): it finds the parts, and leaves the NLRI to Update. Wrong flags do not
// keep it from that, since the routes have to be known to be withdrawn.
func (s *scan) multi(t AttrType, flags byte, it item) {
	if (flags^s.row.flags)&keepKind != 0 {
		s.fail(s.row.onFlags, s.head, "Optional and Transitive flags are wrong", "RFC 7606 3(c)", SubAttributeFlags)
	}
	switch {
	case t == AttrMPUnreach:
		if !s.rib {
			s.multiUnreach(it)
		}
	case s.rib:
		s.ribReach(it)
	default:
		s.multiReach(it)
	}
}

func (s *scan) multiUnreach(it item) {
	v := s.val(it)
	if len(v) < 3 {
		s.bad(s.head+2, "length is under 3")
		return
	}
	at := it.at()
	s.unreach = mpRange{family: family3(v), ok: true, nlri: at + 3, end: at + len(v)}
}

func (s *scan) multiReach(it item) {
	v := s.val(it)
	if len(v) < 5 {
		s.bad(s.head+2, "length is under 5")
		return
	}
	at, n := it.at(), int(v[3])
	if 5+n > len(v) {
		s.bad(at+3, "next hop runs past the end")
		return
	}
	m := mpRange{family: family3(v), ok: true, hop: at + 4, hopN: n, nlri: at + 5 + n, end: at + len(v)}
	if !m.trim() {
		s.bad(at+3, "length of the next hop does not fit the family")
		return
	}
	s.reach = m
}

// ribReach reads MP_REACH_NLRI of a table dump, which is the next hop's length
// and the next hop alone (RFC 6396 section 4.3.4), or the whole attribute.
func (s *scan) ribReach(it item) {
	v := s.val(it)
	at := it.at()
	m := mpRange{family: s.family, ok: true}
	switch {
	case len(v) >= 4 && family3(v) == s.family && 4+int(v[3]) <= len(v):
		m.hop, m.hopN = at+4, int(v[3])
	case len(v) >= 1 && 1+int(v[0]) == len(v):
		m.hop, m.hopN = at+1, int(v[0])
	default:
		s.fail(TreatAsWithdraw, s.head+2, "neither a next hop nor a whole attribute", "RFC 6396 4.3.4", SubOptionalAttribute)
		return
	}
	if !m.trim() {
		s.fail(TreatAsWithdraw, s.head+2, "length of the next hop does not fit the family", "RFC 6396 4.3.4", SubInvalidNextHop)
		return
	}
	s.reach = m
}

// trim takes the route distinguishers off the next hop, and is false where its
// length does not fit the family (RFC 2545, 4364, 4659, 4760, 8950).
func (m *mpRange) trim() bool {
	switch m.family.Form() {
	case FormPrefix, FormLabelled:
		// Which address family a next hop may have is negotiated (RFC 8950);
		// the length tells which it has.
		return m.hopN == 4 || m.hopN == 16 || m.hopN == 32
	case FormVPN:
		switch m.hopN {
		case 12, 24, 48:
			m.strip()
			return true
		case 16, 32:
			// As RFC 5549 had it; routers still send IPv6 next hops of IPv4
			// VPN routes without a distinguisher.
			return true
		}
		return false
	}
	switch m.family.SAFI() {
	case safiFlowSpecVPN, safiLSVPN, safiVPNMulticast:
		switch m.hopN {
		case 12, 24, 48:
			m.strip()
		}
	}
	return true
}

func (m *mpRange) strip() {
	m.hop += 8
	m.hopN -= 8
	if m.hopN == 40 {
		m.hopN, m.hop2 = 32, m.hop+24
	}
}

// appendHop appends the next hop.
func (m *mpRange) appendHop(dst, b []byte) []byte {
	if m.hop2 != 0 {
		dst = append(dst, b[m.hop:m.hop+16]...)
		return append(dst, b[m.hop2:m.hop2+16]...)
	}
	return append(dst, b[m.hop:m.hop+m.hopN]...)
}

func family3(v []byte) Family { return MakeFamily(binary.BigEndian.Uint16(v), v[2]) }
