package fsm

import (
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"ribd/wire"
)

var (
	v4, v6   = wire.IPv4Unicast, wire.IPv6Unicast
	setOf    = wire.NewFamilySet
	anyone   = Want{AnyAS: true}
	onlyPeer = Want{AS: []uint32{65002}}
)

// local is what the tests say of themselves, with changes.
func local(change func(*Local)) *Local {
	l := &Local{AS: 65001, ID: 1, HoldTime: 90, Families: []wire.Family{v4, v6}}
	if change != nil {
		change(l)
	}
	return l
}

// remote is the OPEN of the peer, as it comes over the wire.
func remote(t testing.TB, change func(*Local)) *wire.Open {
	t.Helper()
	return carried(t, OurOpen(local(func(l *Local) {
		l.AS, l.ID = 65002, 2
		if change != nil {
			change(l)
		}
	})))
}

func carried(t testing.TB, o *wire.Open) *wire.Open {
	t.Helper()
	got, err := wire.ParseOpen(wire.AppendOpen(nil, o))
	if err != nil {
		t.Fatal(err)
	}
	return &got
}

func TestOpensThatAreRefused(t *testing.T) {
	role := func(r wire.Role) func(*Local) { return func(l *Local) { l.Role, l.HasRole = r, true } }
	provider := role(wire.RoleProvider)
	for _, c := range []struct {
		name    string
		ours    func(*Local)
		theirs  func(*Local)
		want    Want
		subcode uint8 // 0: taken
	}{
		{"all is well", nil, nil, anyone, 0},
		{"its AS number is wanted", nil, nil, onlyPeer, 0},
		{"one of several", nil, nil, Want{AS: []uint32{1, 65002}}, 0},
		{"another AS number", nil, nil, Want{AS: []uint32{65003}}, wire.SubBadPeerAS},
		{"none is wanted", nil, nil, Want{}, wire.SubBadPeerAS},
		{"AS 0", nil, func(l *Local) { l.AS = 0 }, anyone, wire.SubBadPeerAS},
		{"AS_TRANS", nil, func(l *Local) { l.AS = wire.ASTrans }, anyone, wire.SubBadPeerAS},
		{"4-octet AS", nil, func(l *Local) { l.AS = 4200000001 }, Want{AS: []uint32{4200000001}}, 0},
		{"identifier 0", nil, func(l *Local) { l.ID = 0 }, anyone, wire.SubBadID},
		{"our identifier, external", nil, func(l *Local) { l.ID = 1 }, anyone, 0},
		{"our identifier, internal", nil, func(l *Local) { l.ID, l.AS = 1, 65001 }, anyone, wire.SubBadID},
		{"another identifier, internal", nil, func(l *Local) { l.AS = 65001 }, anyone, 0},
		{"hold time 0", nil, func(l *Local) { l.HoldTime = 0 }, anyone, 0},
		{"hold time 1", nil, func(l *Local) { l.HoldTime = 1 }, anyone, wire.SubUnacceptableHoldTime},
		{"hold time 2", nil, func(l *Local) { l.HoldTime = 2 }, anyone, wire.SubUnacceptableHoldTime},
		{"hold time 3", nil, func(l *Local) { l.HoldTime = 3 }, anyone, 0},
		{"no family in common", func(l *Local) { l.Families = []wire.Family{v6} }, func(l *Local) { l.Families = []wire.Family{v4} }, anyone, wire.SubUnsupportedCapability},
		{"no family named is IPv4 unicast", nil, func(l *Local) { l.Families = nil }, anyone, 0},
		{"one family in common", func(l *Local) { l.Families = []wire.Family{v4, wire.LS} }, func(l *Local) { l.Families = []wire.Family{v6, wire.LS} }, anyone, 0},
		{"roles that fit", provider, role(wire.RoleCustomer), anyone, 0},
		{"roles that do not", provider, role(wire.RolePeer), anyone, wire.SubRoleMismatch},
		{"both provider", provider, provider, anyone, wire.SubRoleMismatch},
		{"a role that is not known", provider, role(9), anyone, wire.SubRoleMismatch},
		{"no role of the peer", provider, nil, anyone, 0},
		{"no role of the peer, strict", provider, nil, Want{AnyAS: true, RoleStrict: true}, wire.SubRoleMismatch},
		{"no role of ours, strict", nil, role(wire.RolePeer), Want{AnyAS: true, RoleStrict: true}, 0},
		{"roles do not count inside", provider, func(l *Local) { provider(l); l.AS = 65001 }, anyone, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			n, note := Negotiate(OurOpen(local(c.ours)), remote(t, c.theirs), &c.want)
			if (n == nil) == (note == nil) {
				t.Fatalf("got %v and %v", n, note)
			}
			got := uint8(0)
			if note != nil {
				got = note.Subcode
			}
			if got != c.subcode || note != nil && note.Code != wire.CodeOpen {
				t.Errorf("got %v, want subcode %d", note, c.subcode)
			}
		})
	}
}

// TestRefusedFamiliesAreNamed: RFC 5492 section 5.
func TestRefusedFamiliesAreNamed(t *testing.T) {
	_, n := Negotiate(OurOpen(local(nil)), remote(t, func(l *Local) { l.Families = []wire.Family{wire.LS} }), &anyone)
	if got, want := n.Text(), "multiprotocol ipv4-unicast, multiprotocol ipv6-unicast"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestRolesThatDifferAreRefused(t *testing.T) {
	theirs := remote(t, nil)
	theirs.Capabilities = append(theirs.Capabilities, wire.RoleCapability(wire.RoleCustomer), wire.RoleCapability(wire.RolePeer))
	ours := OurOpen(local(func(l *Local) { l.Role, l.HasRole = wire.RoleProvider, true }))
	if _, n := Negotiate(ours, theirs, &anyone); n == nil || n.Subcode != wire.SubRoleMismatch {
		t.Errorf("got %v", n)
	}
}

func TestTheSmallerHoldTimeCounts(t *testing.T) {
	for _, c := range []struct {
		ours, theirs    uint16
		hold, keepalive time.Duration
	}{
		{90, 180, 90 * time.Second, 30 * time.Second},
		{180, 90, 90 * time.Second, 30 * time.Second},
		{3, 240, 3 * time.Second, time.Second},
		{0, 90, 0, 0},
		{90, 0, 0, 0},
		{65535, 65535, 65535 * time.Second, 21845 * time.Second},
	} {
		n, err := Negotiate(OurOpen(local(func(l *Local) { l.HoldTime = c.ours })), remote(t, func(l *Local) { l.HoldTime = c.theirs }), &anyone)
		if err != nil || n.HoldTime != c.hold || n.Keepalive != c.keepalive {
			t.Errorf("%d and %d: got %+v %v", c.ours, c.theirs, n, err)
		}
	}
}

// all is everything that a speaker can want.
func all(l *Local) {
	l.Families = []wire.Family{v4, v6, wire.IPv4VPN, wire.IPv4FlowSpec}
	l.AddPathReceive, l.AddPathSend = setOf(v4, v6), setOf(v4)
	l.ExtendedMessages, l.ExtendedNextHop = true, true
	l.Graceful = Graceful{Enabled: true, Notification: true, RestartTime: 120, Forwarding: true, LLGR: true, StaleTime: 3600}
	l.Role, l.HasRole = wire.RolePeer, true
	l.Hostname, l.Domain = "rtr", "example.net"
}

func TestWhatBothEndsHaveIsNegotiated(t *testing.T) {
	n, err := Negotiate(carried(t, OurOpen(local(all))), remote(t, func(l *Local) {
		all(l)
		l.Families = []wire.Family{v4, v6, wire.IPv4VPN}
		l.AddPathReceive, l.AddPathSend = setOf(v4, v6), setOf(v6)
		l.Graceful.Restarting = true
	}), &Want{AnyAS: true, StaleTime: 60})
	if err != nil {
		t.Fatal(err)
	}
	check := func(name string, got, want any) {
		t.Helper()
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
	check("external", n.External, true)
	check("families", n.Families, setOf(v4, v6, wire.IPv4VPN))
	check("path ids received", n.AddPathReceive, setOf(v6))
	check("path ids sent", n.AddPathSend, setOf(v4))
	check("next hops", n.ExtendedNextHop, setOf(v4, wire.IPv4VPN))
	check("flags", []bool{n.AS4, n.ExtendedReceive, n.ExtendedSend, n.RefreshReceive, n.RefreshSend, n.EnhancedRefresh},
		[]bool{true, true, true, true, true, true})
	check("roles", []any{n.Role, n.HasRole, n.RemoteRole, n.HasRemoteRole}, []any{wire.RolePeer, true, wire.RolePeer, true})
	check("host", []string{n.Hostname, n.Domain}, []string{"rtr", "example.net"})
	check("peer", []uint32{n.PeerAS(), n.PeerID()}, []uint32{65002, 2})
	g := n.Graceful
	check("retained", g.Families, setOf(v4, v6, wire.IPv4VPN))
	check("forwarding", g.Forwarding, setOf(v4, v6, wire.IPv4VPN))
	check("restart", []any{g.RestartTime, g.Notification, g.Restarting, g.ByPeer, g.EndOfRIB, g.LLGR},
		[]any{2 * time.Minute, true, true, true, true, true})
	check("long-lived", g.LongLived, []LongLived{{v4, true, time.Minute, false}, {v6, true, time.Minute, false}, {wire.IPv4VPN, true, time.Minute, false}})
	check("session", n.Session(), wire.Session{AS4: true, External: true, Extended: true, Families: n.Families, AddPath: n.AddPathReceive})
	check("sending", n.SendOptions(), wire.SendOptions{AS4: true, Extended: true, AddPath: n.AddPathSend})
}

func TestWhatOneEndLacksIsNotNegotiated(t *testing.T) {
	bare := func(l *Local) { l.NoRouteRefresh = true }
	for name, c := range map[string][2]func(*Local){"the peer has nothing": {all, bare}, "we have nothing": {bare, all}} {
		t.Run(name, func(t *testing.T) {
			n, err := Negotiate(OurOpen(local(c[0])), remote(t, c[1]), &Want{AnyAS: true, StaleTime: 60})
			if err != nil {
				t.Fatal(err)
			}
			g := n.Graceful
			if !n.AddPathReceive.Empty() || !n.AddPathSend.Empty() || !n.ExtendedNextHop.Empty() || n.ExtendedSend || n.EnhancedRefresh ||
				!g.Families.Empty() || g.Notification || g.LLGR || g.ByPeer || g.LongLived != nil {
				t.Errorf("got %+v", n)
			}
		})
	}
}

// TestTwoOctetPeers: one that lacks the 4-octet AS capability.
func TestTwoOctetPeers(t *testing.T) {
	theirs := &wire.Open{AS: 65002, ID: 2, HoldTime: 90}
	n, err := Negotiate(OurOpen(local(func(l *Local) { l.AS = 4200000000 })), theirs, &onlyPeer)
	if err != nil || n.AS4 || n.Session().AS4 || n.SendOptions().AS4 {
		t.Errorf("got %+v %v", n, err)
	}
	if !reflect.DeepEqual(n.Families, setOf(v4)) {
		t.Errorf("families %v", n.Families)
	}
}

// TestExtendedMessagesGoOneWayToo: RFC 8654 section 4: who said so takes them.
func TestExtendedMessagesGoOneWayToo(t *testing.T) {
	n, _ := Negotiate(OurOpen(local(func(l *Local) { l.ExtendedMessages = true })), remote(t, nil), &anyone)
	if !n.ExtendedReceive || n.ExtendedSend {
		t.Errorf("got %v %v", n.ExtendedReceive, n.ExtendedSend)
	}
}

func TestGracefulRestartOfAHelper(t *testing.T) {
	helper := func(l *Local) { all(l); l.Graceful.HelperOnly = true }
	n, _ := Negotiate(OurOpen(local(helper)), remote(t, all), &Want{AnyAS: true, StaleTime: 10})
	if g := n.Graceful; g.Families.Empty() || g.ByPeer || !g.Notification || len(g.LongLived) != 4 {
		t.Errorf("we help: got %+v", g)
	}
	n, _ = Negotiate(OurOpen(local(all)), remote(t, helper), &Want{AnyAS: true, StaleTime: 10})
	if g := n.Graceful; !g.Families.Empty() || !g.ByPeer || !g.LLGR || !g.EndOfRIB || g.LongLived != nil {
		t.Errorf("the peer helps: got %+v", g)
	}
}

// TestLongLivedWithoutGraceful: a family that only LLGR names has no restart
// time; without a stale time of ours none is kept.
func TestLongLivedWithoutGraceful(t *testing.T) {
	theirs := remote(t, nil)
	theirs.Capabilities = append(theirs.Capabilities,
		wire.GracefulRestartCapability(wire.GracefulRestart{Time: 30, Families: []wire.GracefulFamily{{Family: v6}}}),
		wire.LLGRCapability([]wire.LLGRFamily{{Family: v4, StaleTime: 100}, {Family: v6, StaleTime: 100}, {Family: wire.LS, StaleTime: 100}}))
	n, _ := Negotiate(OurOpen(local(all)), theirs, &Want{AnyAS: true, StaleTime: 60})
	want := []LongLived{{v4, false, time.Minute, true}, {v6, false, time.Minute, false}}
	if g := n.Graceful; !reflect.DeepEqual(g.LongLived, want) || !reflect.DeepEqual(g.Families, setOf(v4, v6)) || !g.Forwarding.Empty() {
		t.Errorf("got %+v", g)
	}
	n, _ = Negotiate(OurOpen(local(all)), theirs, &anyone)
	if g := n.Graceful; g.LongLived != nil || !g.LLGR || !reflect.DeepEqual(g.Families, setOf(v6)) {
		t.Errorf("got %+v", g)
	}
}

func TestOurOpenSaysOnlyWhatIsWanted(t *testing.T) {
	codes := func(change func(*Local)) (c []int) {
		for _, x := range OurOpen(local(change)).Capabilities {
			c = append(c, int(x.Code))
		}
		return c
	}
	for _, c := range []struct {
		name   string
		change func(*Local)
		want   []int
	}{
		{"plain", nil, []int{1, 1, 2, 65, 70}},
		{"without refresh", func(l *Local) { l.NoRouteRefresh = true }, []int{1, 1, 65}},
		{"all", all, []int{1, 1, 1, 1, 2, 5, 6, 9, 64, 65, 69, 70, 71, 73}},
		{"a role inside the AS", func(l *Local) { l.HasRole, l.Internal = true, true }, []int{1, 1, 2, 65, 70}},
		{"IPv6 alone has no IPv6 next hops for IPv4", func(l *Local) { l.Families, l.ExtendedNextHop = []wire.Family{v6}, true }, []int{1, 2, 65, 70}},
		{"LLGR needs graceful restart", func(l *Local) { l.Graceful.LLGR = true }, []int{1, 1, 2, 65, 70}},
		{"path ids of families that are not there", func(l *Local) { l.AddPathSend = setOf(wire.LS) }, []int{1, 1, 2, 65, 70}},
	} {
		if got := codes(c.change); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
}

// TestOpensOfManyFamiliesCanBeWritten: each capability has 255 octets, and the
// parameters together more (RFC 9072).
func TestOpensOfManyFamiliesCanBeWritten(t *testing.T) {
	for _, n := range []int{4, 36, 37, 42, 43, 63, 64, 65, 250, 251, 400} {
		l := local(all)
		l.Families = []wire.Family{v4, wire.IPv4Multicast, wire.IPv4VPN, wire.IPv4LabelledUnicast}
		for i := range n - 4 {
			l.Families = append(l.Families, wire.MakeFamily(uint16(i+100), 1))
		}
		l.AddPathReceive, l.AddPathSend = setOf(l.Families...), setOf(l.Families[0])
		o := carried(t, OurOpen(l))
		receive, send := o.AddPath()
		if n := min(n, 250); !reflect.DeepEqual(receive, setOf(l.Families[:n]...)) || !reflect.DeepEqual(send, l.AddPathSend) {
			t.Errorf("%d families: path ids of %d", n, len(receive.Families()))
		}
		fs := o.Families()
		if got := len(fs.Families()); got != min(n, 250) {
			t.Errorf("got %d families of %d", got, n)
		}
	}
}

func TestCapabilitiesSideBySide(t *testing.T) {
	ours := carried(t, OurOpen(local(all)))
	theirs := remote(t, func(l *Local) {
		l.AddPathReceive, l.AddPathSend = setOf(v4), setOf(v4)
		l.Graceful = Graceful{Enabled: true, RestartTime: 60}
		l.Role, l.HasRole = wire.RolePeer, true
	})
	theirs.Capabilities = append(theirs.Capabilities, wire.Capability{Code: 200, Value: []byte{0, 0xff}}, wire.Capability{Code: 201},
		wire.Capability{Code: 202, Value: []byte{2}}, wire.Capability{Code: 202, Value: []byte{1}}, wire.Capability{Code: 202, Value: []byte{1}},
		wire.Capability{Code: wire.CapMultipleLabels, Value: []byte{0, 1, 4, 3}},
		wire.Capability{Code: wire.CapPathsLimit, Value: []byte{0, 1, 1, 1, 0}},
		wire.Capability{Code: wire.CapSoftwareVersion, Value: []byte{3, 'f', 'r', 'r'}},
		wire.Capability{Code: wire.CapLLGR, Value: []byte{0, 1, 1, 0x80, 0, 0, 9}})
	n, err := Negotiate(ours, theirs, &Want{AnyAS: true, StaleTime: 5})
	if err != nil {
		t.Fatal(err)
	}
	type m = map[string]any
	fams := m{}
	for _, f := range []string{"ipv4-unicast", "ipv6-unicast", "ipv4-vpn", "ipv4-flowspec"} {
		fams[f] = m{"forwarding": true}
	}
	stale := m{}
	for f := range fams {
		stale[f] = m{"stale_time": int64(3600), "forwarding": true}
	}
	both := m{"ipv4-unicast": m{"forwarding": false}, "ipv6-unicast": m{"forwarding": false}}
	want := []Capability{
		{1, "multiprotocol", []string{"ipv4-unicast", "ipv4-vpn", "ipv4-flowspec", "ipv6-unicast"}, []string{"ipv4-unicast", "ipv6-unicast"}, []string{"ipv4-unicast", "ipv6-unicast"}},
		{2, "route-refresh", true, true, true},
		{5, "extended-next-hop", []string{"ipv4-unicast", "ipv4-vpn"}, nil, nil},
		{6, "extended-message", true, nil, nil},
		{8, "multiple-labels", nil, m{"ipv4-labelled-unicast": int64(3)}, nil},
		{9, "role", "peer", "peer", "peer"},
		{64, "graceful-restart", m{"restart_time": int64(120), "restarting": false, "notification": true, "families": fams},
			m{"restart_time": int64(60), "restarting": false, "notification": false, "families": both},
			m{"restart_time": int64(60), "notification": false, "families": []string{"ipv4-unicast", "ipv6-unicast"}}},
		{65, "4-octet-as", int64(65001), int64(65002), true},
		{69, "add-path", m{"ipv4-unicast": "both", "ipv6-unicast": "receive"}, m{"ipv4-unicast": "both"}, m{"ipv4-unicast": "both"}},
		{70, "enhanced-route-refresh", true, true, true},
		{71, "long-lived-graceful-restart", stale, m{"ipv4-unicast": m{"stale_time": int64(9), "forwarding": true}}, m{"ipv4-unicast": m{"stale_time": int64(5)}}},
		{73, "hostname", m{"hostname": "rtr", "domain": "example.net"}, nil, nil},
		{75, "software-version", nil, "frr", nil},
		{76, "paths-limit", nil, m{"ipv4-unicast": int64(256)}, nil},
		{200, "unknown", nil, "00ff", nil},
		{201, "unknown", nil, true, nil},
		{202, "unknown", nil, []string{"01", "02"}, nil},
	}
	got := n.Capabilities()
	if len(got) != len(want) {
		t.Fatalf("got %d rows, want %d", len(got), len(want))
	}
	for i := range want {
		if !reflect.DeepEqual(got[i], want[i]) {
			t.Errorf("got  %#v\nwant %#v", got[i], want[i])
		}
	}
	if rows := ListCapabilities(ours, nil); len(rows) != 11 || rows[0].Received != nil || rows[0].Sent == nil {
		t.Errorf("without a peer's OPEN: %+v", rows)
	}
	if rows := ListCapabilities(nil, nil); len(rows) != 0 {
		t.Errorf("of nothing: %+v", rows)
	}
}

// TestBrokenCapabilitiesAreShownAsHex: nothing is hidden, nothing panics.
func TestBrokenCapabilitiesAreShownAsHex(t *testing.T) {
	for code := range 256 {
		for _, v := range [][]byte{nil, {1}, {1, 2, 3}, {255, 255, 255, 255, 255, 255, 255, 255}} {
			theirs := remote(t, nil)
			theirs.Capabilities = append(theirs.Capabilities, wire.Capability{Code: wire.CapabilityCode(code), Value: v})
			n, err := Negotiate(OurOpen(local(all)), theirs, &Want{AnyAS: true, StaleTime: 60})
			if err != nil {
				if code != int(wire.CapRole) {
					t.Errorf("capability %d of %x: %v", code, v, err)
				}
				continue
			}
			if !slices.ContainsFunc(n.Capabilities(), func(c Capability) bool { return int(c.Code) == code && c.Received != nil }) {
				t.Errorf("capability %d of %x is not listed", code, v)
			}
		}
	}
	o := &wire.Open{Capabilities: []wire.Capability{{Code: wire.CapRole, Value: []byte{1, 2}}}}
	if rows := ListCapabilities(nil, o); rows[0].Received != "0102" {
		t.Errorf("got %v", rows[0].Received)
	}
}

// TestCollisionsEndTheSameAtBothEnds: RFC 4271 section 6.8, RFC 6286 section 2.3.
func TestCollisionsEndTheSameAtBothEnds(t *testing.T) {
	for _, c := range []struct{ id, as, peerID, peerAS uint32 }{
		{1, 65001, 2, 65002}, {2, 65001, 1, 65002}, {7, 65001, 7, 65002}, {7, 65002, 7, 65001}, {1 << 31, 1, 1, 2},
	} {
		if KeepOutgoing(c.id, c.as, c.peerID, c.peerAS) == KeepOutgoing(c.peerID, c.peerAS, c.id, c.as) {
			t.Errorf("%+v: both ends keep, or both drop, what they made", c)
		}
	}
	for out := range State(NumStates) {
		for in := range State(NumStates) {
			for _, keep := range []bool{false, true} {
				t.Run(fmt.Sprint(out, in, keep), func(t *testing.T) {
					a, b := Collide(out, in, keep)
					if a && b {
						t.Error("both have to go")
					}
					if a && out == Established || b && in == Established && out != Established {
						t.Error("an established session has to go")
					}
					if out == OpenConfirm && in == OpenConfirm && (a == keep || b != keep) {
						t.Errorf("got %v %v", a, b)
					}
					if out < OpenConfirm && in < OpenConfirm && (a || b) {
						t.Error("a collision before an OPEN")
					}
				})
			}
		}
	}
}
