package engine

import (
	"fmt"
	"strings"
	"testing"

	"ribd/wire"
)

// otcPeers are the peers of a test of roles: what we are to each.
var otcPeers = []struct {
	local, remote string
	role          wire.Role // theirs
}{
	{"provider", "customer", wire.RoleCustomer},
	{"customer", "provider", wire.RoleProvider},
	{"peer", "peer", wire.RolePeer},
	{"rs", "rs-client", wire.RoleRSClient},
	{"rs-client", "rs", wire.RoleRS},
	{"", "", 0},
}

// otcAfter is RFC 9234 section 5 for what comes in: the OTC of the route, 0 for
// none, and whether it is refused.
func otcAfter(local string, otc, theirs uint32) (uint32, bool) {
	switch local {
	case "provider", "rs":
		return otc, otc != 0
	case "peer":
		if otc != 0 && otc != theirs {
			return otc, true
		}
		return theirs, false
	case "customer", "rs-client":
		if otc == 0 {
			return theirs, false
		}
	}
	return otc, false
}

// otcSent is section 5 for what goes out.
func otcSent(local string, otc, ours uint32) (uint32, bool) {
	switch local {
	case "customer", "peer", "rs-client":
		if otc != 0 {
			return 0, false
		}
	}
	switch local {
	case "provider", "peer", "rs":
		if otc == 0 {
			return ours, true
		}
	}
	return otc, true
}

func TestOnlyToCustomerIsAsRFC9234HasIt(t *testing.T) {
	t.Parallel()
	var lines []string
	for i, p := range otcPeers {
		line := fmt.Sprintf("address: 127.20.20.%d, as: %d", i+1, 65001+i)
		if p.local != "" {
			line += ", local_role: " + p.local
		}
		lines = append(lines, line)
	}
	c, to := hub(t, "", append(lines, "address: 127.20.20.9, as: 64512")...)
	players := make([]*player, len(otcPeers))
	for i, p := range otcPeers {
		o := playerOptions{from: ip(fmt.Sprintf("127.20.20.%d", i+1)), as: uint32(65001 + i)}
		if p.local != "" {
			o.more = append(o.more, wire.RoleCapability(p.role))
		}
		players[i] = play(t, to, o)
		c.established(o.from.String())
		if r := c.peer(o.from.String()).Role; p.local != "" && (*r.Local != p.local || *r.Remote != p.remote) {
			t.Errorf("roles %s and %s, want %s and %s", *r.Local, *r.Remote, p.local, p.remote)
		}
	}
	internal := play(t, to, playerOptions{from: ip("127.20.20.9"), as: 64512})

	reasons, sent := map[string]string{}, make([][]string, len(otcPeers))
	otcs := map[string]uint32{} // in the Loc-RIB
	for i, p := range otcPeers {
		for j, otc := range []uint32{0, players[i].as, 3356} {
			prefix := fmt.Sprintf("10.%d.%d.0/24", i, j)
			players[i].announce(0, []uint32{players[i].as}, func(e *wire.AttrEditor) {
				if otc != 0 {
					e.SetUint32(wire.AttrOTC, otc)
				}
			}, prefix)
			after, refused := otcAfter(p.local, otc, players[i].as)
			if refused {
				reasons[prefix] = "otc"
				continue
			}
			otcs[prefix] = after
			for k, to := range otcPeers {
				if out, ok := otcSent(to.local, after, 64512); ok && k != i {
					sent[k] = append(sent[k], fmt.Sprintf("%s %d", prefix, out))
				}
			}
		}
	}
	for k, p := range otcPeers {
		var want []string
		for _, s := range sent[k] {
			prefix, _, _ := strings.Cut(s, " ")
			want = append(want, prefix)
		}
		players[k].expect("to a "+p.remote, want...)
		for _, s := range sent[k] {
			prefix, otc, _ := strings.Cut(s, " ")
			if got := strings.Replace(players[k].text(prefix, wire.AttrOTC), "-", "0", 1); got != otc {
				t.Errorf("%s to a %s: OTC %s, want %s", prefix, p.remote, got, otc)
			}
		}
	}
	eventually(t, "all that is refused", func() bool { return len(c.reasons()) == len(reasons) })
	if got := c.reasons(); fmt.Sprint(got) != fmt.Sprint(reasons) {
		t.Errorf("refused %v, want %v", got, reasons)
	}
	for prefix, otc := range otcs {
		if r := c.one("?prefix=" + prefix); otc == 0 != (r.OnlyToCustomer == nil) || otc != 0 && *r.OnlyToCustomer != otc {
			t.Errorf("%s: only_to_customer %v, want %d", prefix, r.OnlyToCustomer, otc)
		}
	}
	eventually(t, "an internal peer has all of it", func() bool { return len(internal.holds()) == len(otcs) })
}

// refusedOpen tries a session that is refused, and returns what the player is
// told.
func refusedOpen(t *testing.T, to string, o playerOptions) wire.Notification {
	t.Helper()
	p, err := tryPlay(t, to, o)
	if err == nil {
		t.Fatal("the session is established")
	}
	n := p.notifications()
	if len(n) != 1 {
		t.Fatalf("notifications %v", n)
	}
	return n[0]
}

func TestRolesThatDoNotFitRefuseTheSession(t *testing.T) {
	t.Parallel()
	const strict = ", local_role: provider, role_strict: true"
	c, to := hub(t, "", "address: 127.20.21.1, as: 65001"+strict, "address: 127.20.21.2, as: 65001"+strict, "address: 127.20.21.3, as: 65001"+strict,
		"address: 127.20.21.4, as: 65002, local_role: peer")
	for i, caps := range [][]wire.Capability{
		nil, // strict asks for one
		{wire.RoleCapability(wire.RoleProvider)},
		{wire.RoleCapability(wire.RoleCustomer), wire.RoleCapability(wire.RolePeer)}, // they differ
	} {
		from := fmt.Sprintf("127.20.21.%d", i+1)
		n := refusedOpen(t, to, playerOptions{from: ip(from), as: 65001, more: caps})
		if n.Code != wire.CodeOpen || n.Subcode != wire.SubRoleMismatch {
			t.Errorf("%s: %s", from, n.String())
		}
		p := c.peer(from)
		if s := p.LastNotification.Sent; s == nil || s.Name != "role mismatch" || p.Reason == nil || p.State == "established" {
			t.Errorf("%s, the peer's page: %+v, reason %v", from, s, p.Reason)
		}
	}
	play(t, to, playerOptions{from: ip("127.20.21.4"), as: 65002}) // not strict: without the capability it is as configured
	if r := c.peer("127.20.21.4").Role; *r.Local != "peer" || r.Remote != nil {
		t.Errorf("roles %+v", r)
	}
}

func TestOpensThatCanNotBeAreRefusedBySubcode(t *testing.T) {
	t.Parallel()
	var lines []string
	for i := 1; i <= 5; i++ {
		lines = append(lines, fmt.Sprintf("address: 127.20.22.%d, as: 65001, families: [ipv6-unicast]", i))
	}
	c, to := hub(t, "", append(lines, "address: 127.20.22.6, as: 64512")...)
	for i, tt := range []struct {
		name    string
		change  func(*playerOptions)
		subcode uint8
	}{
		{"a family that the other end has", func(o *playerOptions) { o.id = 0xc00002fe }, 0}, // an external peer may have our identifier (RFC 6286)
		{"another AS", func(o *playerOptions) { o.as = 65009 }, wire.SubBadPeerAS},
		{"AS 0", func(o *playerOptions) { o.as = 0 }, wire.SubBadPeerAS}, // RFC 7607
		{"a hold time of 2 s", func(o *playerOptions) { o.hold = 2 }, wire.SubUnacceptableHoldTime},
		{"no family in common", func(o *playerOptions) { o.families = []wire.Family{wire.IPv4VPN} }, wire.SubUnsupportedCapability},
		{"our identifier, internal", func(o *playerOptions) { o.as, o.id = 64512, 0xc00002fe }, wire.SubBadID}, // RFC 6286
	} {
		o := playerOptions{from: ip(fmt.Sprintf("127.20.22.%d", i+1)), as: 65001}
		tt.change(&o)
		if tt.subcode == 0 {
			play(t, to, o)
			continue
		}
		if n := refusedOpen(t, to, o); n.Code != wire.CodeOpen || n.Subcode != tt.subcode {
			t.Errorf("%s: %s", tt.name, n.String())
		}
		p := c.peer(o.from.String())
		if s := p.LastNotification.Sent; s == nil || s.Subcode != tt.subcode || len(p.History) == 0 || p.History[len(p.History)-1].Reason == "" {
			t.Errorf("%s, the peer's page: %+v, %+v", tt.name, s, p.History)
		}
	}
}
