package wire

import (
	"bytes"
	"slices"
	"testing"
)

func TestMessageActions(t *testing.T) {
	badMED := attr(0x80, AttrMED, 1)
	for _, c := range []struct {
		name string
		msg  []byte
		s    Session
		want Action
		rfc  string
	}{
		{"sound", message(nil, mandatory, prefix), external, ActionNone, ""},
		{"sound, all four kinds", message([]byte{8, 11}, join(mandatory, reach6, unreach6), prefix), external, ActionNone, ""},
		{"second MED: the first wins", message(nil, join(mandatory, attr(0x80, AttrMED, 0, 0, 0, 1), attr(0x80, AttrMED, 9)), prefix), external, AttributeDiscard, "RFC 7606 3(g)"},
		{"second unknown", message(nil, join(mandatory, attr(0xc0, 200, 1), attr(0xc0, 200, 1)), prefix), external, AttributeDiscard, "RFC 7606 3(g)"},
		{"second MP_REACH_NLRI", message(nil, join(origin, asPath, reach6, reach6), nil), external, SessionReset, "RFC 7606 3(g)"},
		{"second MP_UNREACH_NLRI", message(nil, join(unreach6, unreach6), nil), external, SessionReset, "RFC 7606 3(g)"},
		{"prefix length over 32", message(nil, mandatory, []byte{33, 1, 2, 3, 4, 5}), external, SessionReset, "RFC 7606 5.3"},
		{"prefix overruns", message(nil, mandatory, []byte{24, 1, 2}), external, SessionReset, "RFC 7606 5.3"},
		{"withdrawn prefix overruns", message([]byte{24, 1, 2}, nil, nil), external, SessionReset, "RFC 7606 5.3"},
		{"withdrawn prefix length over 32", message([]byte{40, 1, 2, 3, 4, 5}, nil, nil), external, SessionReset, "RFC 7606 5.3"},
		{"IPv6 prefix length over 128", message(nil, attr(0x80, AttrMPUnreach, append([]byte{0, 2, 1, 129}, make([]byte, 17)...)...), nil), external, SessionReset, "RFC 7606 5.3"},
		{"IPv6 prefix overruns", message(nil, attr(0x80, AttrMPUnreach, 0, 2, 1, 32, 1, 2), nil), external, SessionReset, "RFC 7606 5.3"},
		{"path id overruns", message(nil, mandatory, []byte{0, 0, 0, 1}), Session{AS4: true, AddPath: AllFamilies()}, SessionReset, "RFC 7606 5.3"},
		{"EVPN route overruns", message(nil, attr(0x80, AttrMPUnreach, 0, 25, 70, 2, 9, 1), nil), external, SessionReset, "RFC 7606 5.4"},
		{"MP_REACH_NLRI of 4 octets", message(nil, join(origin, asPath, attr(0x80, AttrMPReach, 0, 2, 1, 0)), nil), external, SessionReset, "RFC 7606 7.11"},
		{"next hop overruns", message(nil, join(origin, asPath, attr(0x80, AttrMPReach, 0, 2, 1, 16, 1, 2)), nil), external, SessionReset, "RFC 7606 7.11"},
		{"next hop of 5", message(nil, join(origin, asPath, attr(0x80, AttrMPReach, 0, 2, 1, 5, 1, 2, 3, 4, 5, 0)), nil), external, SessionReset, "RFC 7606 7.11"},
		{"VPN next hop without distinguisher", message(nil, join(origin, asPath, attr(0x80, AttrMPReach, 0, 1, 128, 4, 1, 2, 3, 4, 0)), nil), external, SessionReset, "RFC 7606 7.11"},
		{"MP_UNREACH_NLRI of 2 octets", message(nil, attr(0x80, AttrMPUnreach, 0, 2), nil), external, SessionReset, "RFC 7606 7.12"},
		{"MP_REACH_NLRI flags", message(nil, join(origin, asPath, attr(0xc0, reach6Type, reach6[3:]...)), nil), external, TreatAsWithdraw, "RFC 7606 3(c)"},
		{"ORIGIN is missing", message(nil, join(asPath, nextHop), prefix), external, TreatAsWithdraw, "RFC 7606 3(d)"},
		{"AS_PATH is missing", message(nil, join(origin, nextHop), prefix), external, TreatAsWithdraw, "RFC 7606 3(d)"},
		{"NEXT_HOP is missing", message(nil, join(origin, asPath), prefix), external, TreatAsWithdraw, "RFC 7606 3(d)"},
		{"NEXT_HOP is not needed", message(nil, join(origin, asPath, reach6), nil), external, ActionNone, ""},
		{"nothing is mandatory in a withdrawal", message(prefix, nil, nil), external, ActionNone, ""},
		{"the worst counts: discard and withdraw", message(nil, join(mandatory, attr(0x40, AttrAtomicAggregate, 1), badMED), prefix), external, TreatAsWithdraw, "RFC 7606 7.4"},
		{"the worst counts: withdraw and reset", message(nil, join(mandatory, badMED), []byte{33, 0}), external, SessionReset, "RFC 7606 5.3"},
		{"no route to withdraw", message(nil, join(origin, badMED), nil), external, SessionReset, "RFC 7606 7.4, 5.2"},
		{"no route to withdraw, but a withdrawal", message(prefix, badMED, nil), external, SessionReset, "RFC 7606 7.4, 5.2"},
		{"discard without a route", message(prefix, attr(0x40, AttrAtomicAggregate, 1), nil), external, AttributeDiscard, "RFC 7606 7.6"},
		{"withdrawn routes length", []byte{0, 5, 0, 0}, external, SessionReset, "RFC 4271 6.3"},
		{"total path attribute length", []byte{0, 0, 0, 5, 1}, external, SessionReset, "RFC 4271 6.3"},
		{"family not negotiated", message(nil, join(origin, asPath, reach6), nil), Session{AS4: true, Families: NewFamilySet(IPv4Unicast)}, AttributeDiscard, "RFC 4760 8"},
		{"IPv4 not negotiated", message(nil, mandatory, prefix), Session{AS4: true, Families: NewFamilySet(IPv6Unicast)}, AttributeDiscard, "RFC 4760 8"},
		{"negotiated family of no name", message(nil, join(origin, asPath, attr(0x80, AttrMPReach, 0, 9, 9, 0, 0, 7)), nil), Session{AS4: true, Families: NewFamilySet(MakeFamily(9, 9))}, ActionNone, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			var u Update
			var err *Error
			if len(c.msg) < HeaderLen {
				err = u.ParseBody(c.msg, &c.s)
				checkError(t, err, len(c.msg))
			} else {
				err = parse(t, &u, c.msg, &c.s)
				if body := u.ParseBody(c.msg[HeaderLen:], &c.s); (body == nil) != (err == nil) ||
					err != nil && (body.Off != err.Off-HeaderLen || body.Reason != err.Reason) {
					t.Errorf("ParseBody: %v, Parse: %v", body, err)
				}
			}
			if got := actionOf(err); got != c.want {
				t.Fatalf("got %v (%v), want %v", got, err, c.want)
			}
			if err != nil && err.RFC != c.rfc {
				t.Errorf("got %v, want %s", err, c.rfc)
			}
		})
	}
}

const reach6Type = AttrMPReach

func TestHeader(t *testing.T) {
	sound := message(nil, mandatory, prefix)
	change := func(at int, v byte) []byte {
		b := slices.Clone(sound)
		b[at] = v
		return b
	}
	long := func(n int) []byte {
		m := message(nil, join(mandatory, AppendAttr(nil, 0xc0, AttrCommunities, make([]byte, 4000))), nil)
		for len(m) < n {
			m = append(m, 0)
		}
		m = m[:n]
		m[16], m[17] = byte(n>>8), byte(n)
		return m
	}
	for _, c := range []struct {
		name     string
		msg      []byte
		extended bool
		sub      uint8
	}{
		{"sound", sound, false, 0},
		{"empty", nil, false, SubBadLength},
		{"18 octets", sound[:18], false, SubBadLength},
		{"marker", change(3, 0), false, SubNotSynchronized},
		{"type 9", change(18, 9), false, SubBadType},
		{"KEEPALIVE", change(18, 4), false, SubBadLength},
		{"length too small", change(17, 22), false, SubBadLength},
		{"length not the message's", change(17, sound[17]+1), false, SubBadLength},
		{"4096 octets", long(4096), false, 0},
		{"4097 octets", long(4097), false, SubBadLength},
		{"4097 octets, extended", long(4097), true, 0},
		{"65535 octets, extended", long(65535), true, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			var u Update
			err := parse(t, &u, c.msg, &Session{AS4: true, Extended: c.extended})
			if got := err != nil; got != (c.sub != 0) {
				t.Fatalf("got %v", err)
			}
			if err != nil && (err.Code != CodeHeader || err.Subcode != c.sub || err.Action != SessionReset) {
				t.Errorf("got code %d/%d, %v", err.Code, err.Subcode, err)
			}
		})
	}
	// RFC 8654 section 4: OPEN and KEEPALIVE stay at 4096.
	open := AppendOpen(nil, &Open{AS: 1, ID: 1})
	open[16], open[17] = 0x10, 1
	if _, _, err := ParseHeader(open, &Session{Extended: true}); err == nil {
		t.Error("an OPEN of 4097 octets passed")
	}
}

func TestMixedMessageHasTwoNextHops(t *testing.T) {
	med := attr(0x80, AttrMED, 0, 0, 0, 1)
	var u Update
	if err := parse(t, &u, message([]byte{8, 11}, join(reach6, unreach6, mandatory, med), prefix), &external); err != nil {
		t.Fatal(err)
	}
	if got, want := u.Attributes(nil), join(mandatory, med); !bytes.Equal(got, want) {
		t.Errorf("attributes of NLRI: got %x, want %x", got, want)
	}
	if got, want := u.ReachAttributes(nil), join(origin, asPath, attr(0x40, AttrNextHop, hop6...), med); !bytes.Equal(got, want) {
		t.Errorf("attributes of MP_REACH_NLRI: got %x, want %x", got, want)
	}
	m, ok := u.Reach()
	if w := m.NLRI6(); !ok || m.Family != IPv6Unicast || !w.Next() || w.Prefix().String() != "2001:db8::/32" || w.Next() || w.Err() != nil {
		t.Errorf("MP_REACH_NLRI: %v %v", ok, m)
	}
	m, ok = u.Unreach()
	if w := m.NLRI6(); !ok || !w.Next() || w.Prefix().String() != "2001:db9::/32" {
		t.Errorf("MP_UNREACH_NLRI: %v %v", ok, m)
	}
	if got := prefixes4(u.Withdrawn4()); !slices.Equal(got, []string{"11.0.0.0/8"}) {
		t.Errorf("withdrawn: %v", got)
	}
	if got := prefixes4(u.NLRI4()); !slices.Equal(got, []string{"10.0.0.0/8"}) {
		t.Errorf("NLRI: %v", got)
	}
}

func TestEndOfRIB(t *testing.T) {
	for _, c := range []struct {
		name string
		msg  []byte
		want Family
		ok   bool
	}{
		{"IPv4", message(nil, nil, nil), IPv4Unicast, true},
		{"IPv6", message(nil, attr(0x80, AttrMPUnreach, 0, 2, 1), nil), IPv6Unicast, true},
		{"IPv6, long", message(nil, attr(0x90, AttrMPUnreach, 0, 2, 1), nil), IPv6Unicast, true},
		{"flowspec", message(nil, attr(0x80, AttrMPUnreach, 0, 1, 133), nil), IPv4FlowSpec, true},
		{"a withdrawal", message(nil, unreach6, nil), 0, false},
		{"an attribute more", message(nil, join(attr(0x80, AttrMPUnreach, 0, 2, 1), attr(0x80, 99)), nil), 0, false},
		{"a withdrawal beside it", message(prefix, attr(0x80, AttrMPUnreach, 0, 2, 1), nil), 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			var u Update
			if err := parse(t, &u, c.msg, &external); err != nil {
				t.Fatal(err)
			}
			if f, ok := u.EndOfRIB(); ok != c.ok || ok && f != c.want {
				t.Errorf("got %v %v, want %v %v", f, ok, c.want, c.ok)
			}
		})
	}
}

func TestNextHopForms(t *testing.T) {
	rd := make([]byte, 8)
	label := []byte{0, 0x10, 1}
	for _, c := range []struct {
		name string
		f    Family
		hop  []byte
		nlri []byte
		want []byte
	}{
		{"IPv4 in MP_REACH_NLRI", IPv4Unicast, []byte{192, 0, 2, 1}, prefix, []byte{192, 0, 2, 1}},
		{"IPv4 over IPv6 (RFC 8950)", IPv4Unicast, hop6, prefix, hop6},
		{"IPv4 over IPv6, link-local", IPv4Unicast, join(hop6, hopLocal), prefix, join(hop6, hopLocal)},
		{"VPNv4", IPv4VPN, join(rd, []byte{192, 0, 2, 1}), join([]byte{24 + 64 + 8}, label, rd, []byte{10}), []byte{192, 0, 2, 1}},
		{"VPNv4 over IPv6, bare", IPv4VPN, hop6, join([]byte{24 + 64 + 8}, label, rd, []byte{10}), hop6},
		{"VPNv4 over IPv6", IPv4VPN, join(rd, hop6), join([]byte{24 + 64 + 8}, label, rd, []byte{10}), hop6},
		{"VPNv6", IPv6VPN, join(rd, hop6), join([]byte{24 + 64 + 8}, label, rd, []byte{0x20}), hop6},
		{"VPNv6, link-local", IPv6VPN, join(rd, hop6, rd, hopLocal), join([]byte{24 + 64 + 8}, label, rd, []byte{0x20}), join(hop6, hopLocal)},
		{"flowspec", IPv4FlowSpec, nil, []byte{3, 1, 8, 10}, nil},
		{"flowspec, where it is to be ignored (RFC 8955 4)", IPv4FlowSpec, []byte{1, 2, 3, 4, 5}, []byte{3, 1, 8, 10}, []byte{1, 2, 3, 4, 5}},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := join([]byte{byte(c.f >> 16), byte(c.f >> 8), byte(c.f), byte(len(c.hop))}, c.hop, []byte{0}, c.nlri)
			var u Update
			if err := parse(t, &u, message(nil, join(attr(0x80, AttrMPReach, v...), origin, asPath), nil), &external); err != nil {
				t.Fatal(err)
			}
			m, _ := u.Reach()
			if !bytes.Equal(m.NextHop, c.want) {
				t.Errorf("next hop: got %x, want %x", m.NextHop, c.want)
			}
			got, ok := FindAttr(u.ReachAttributes(nil), AttrNextHop)
			if ok != (c.want != nil) || !bytes.Equal(got, c.want) {
				t.Errorf("canonical next hop: got %x, want %x", got, c.want)
			}
		})
	}
}
