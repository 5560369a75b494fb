package engine

import (
	"net"
	"slices"
	"strings"
	"testing"

	"ribd/wire"
)

// internalHub is a route reflector of AS 64512 with an external peer (1), two
// internal ones (2, 3) and two clients (4, 5).
func internalHub(t *testing.T, net, more string) (*client, map[int]*player) {
	t.Helper()
	c, to := hub(t, more,
		"address: "+net+"1, as: 65001", "address: "+net+"2, as: 64512", "address: "+net+"3, as: 64512",
		"address: "+net+"4, as: 64512, route_reflector_client: true", "address: "+net+"5, as: 64512, route_reflector_client: true")
	players := map[int]*player{1: play(t, to, playerOptions{from: ip(net + "1"), as: 65001})}
	for i := 2; i <= 5; i++ {
		players[i] = play(t, to, playerOptions{from: ip(net + string(rune('0'+i))), as: 64512})
	}
	return c, players
}

func TestInternalPeersAndReflectionFollowTheRules(t *testing.T) {
	t.Parallel()
	_, players := internalHub(t, "127.20.3.", "cluster_id: 192.0.2.77\n")
	pref := func(e *wire.AttrEditor) { e.SetUint32(wire.AttrLocalPref, 150); e.SetUint32(wire.AttrMED, 7) }
	players[1].announce(0, []uint32{65001, 65100}, func(e *wire.AttrEditor) { e.SetUint32(wire.AttrMED, 9) }, "203.0.113.0/24")
	players[2].announce(0, []uint32{65200}, pref, "198.51.100.0/24")
	players[4].announce(0, nil, pref, "192.0.2.0/24")
	players[4].announce(0, nil, func(e *wire.AttrEditor) {
		e.SetUint32(wire.AttrLocalPref, 100)
		e.SetUint32(wire.AttrOriginatorID, 0x0a000001)
		e.PrependCluster(0x0a000002)
	}, "192.0.2.128/25")

	const external, plain, client, deep = "203.0.113.0/24", "198.51.100.0/24", "192.0.2.0/24", "192.0.2.128/25"
	players[1].expect("external: everything", plain, client, deep)
	players[2].expect("internal: not the other internal peers'", external, client, deep)
	players[3].expect("internal: not the other internal peers'", external, client, deep)
	players[4].expect("client: everything but its own", external, plain)
	players[5].expect("client: everything", external, plain, client, deep)

	type want struct{ path, hop, pref, med, originator, clusters string }
	for _, tt := range []struct {
		to    int
		route string
		want
	}{
		{2, external, want{"65001 65100", "127.20.3.1", "100", "9", "-", "-"}}, // RFC 4271 5.1.3, 5.1.5
		{4, external, want{"65001 65100", "127.20.3.1", "100", "9", "-", "-"}},
		{1, plain, want{"64512 65200", "127.0.0.1", "-", "-", "-", "-"}},
		{4, plain, want{"65200", "127.20.3.2", "150", "7", "127.20.3.2", "192.0.2.77"}}, // RFC 4456 8
		{2, client, want{"", "127.20.3.4", "150", "7", "127.20.3.4", "192.0.2.77"}},
		{5, client, want{"", "127.20.3.4", "150", "7", "127.20.3.4", "192.0.2.77"}},
		{1, client, want{"64512", "127.0.0.1", "-", "-", "-", "-"}},
		{5, deep, want{"", "127.20.3.4", "100", "-", "10.0.0.1", "192.0.2.77 10.0.0.2"}},
		{1, deep, want{"64512", "127.0.0.1", "-", "-", "-", "-"}},
	} {
		p := players[tt.to]
		got := want{p.text(tt.route, wire.AttrASPath), p.text(tt.route, wire.AttrNextHop), p.text(tt.route, wire.AttrLocalPref),
			p.text(tt.route, wire.AttrMED), p.text(tt.route, wire.AttrOriginatorID), p.text(tt.route, wire.AttrClusterList)}
		if got != tt.want {
			t.Errorf("%s to peer %d: got %+v, want %+v", tt.route, tt.to, got, tt.want)
		}
	}
}

func TestLoopsOfReflectionAreRefusedAndShown(t *testing.T) {
	t.Parallel()
	c, players := internalHub(t, "127.20.4.", "cluster_id: 192.0.2.77\n")
	for prefix, edit := range map[string]func(*wire.AttrEditor){
		"203.0.113.0/25":   func(e *wire.AttrEditor) { e.SetUint32(wire.AttrOriginatorID, 0xc00002fe) }, // our router id
		"203.0.113.128/25": func(e *wire.AttrEditor) { e.PrependCluster(0xc000024d); e.PrependCluster(1) },
		"203.0.113.0/24":   func(e *wire.AttrEditor) { e.PrependCluster(0xc00002fe) }, // our router id is not our cluster's
	} {
		players[2].announce(0, nil, func(e *wire.AttrEditor) { e.SetUint32(wire.AttrLocalPref, 100); edit(e) }, prefix)
	}
	players[4].expect("what is no loop", "203.0.113.0/24")
	reasons := map[string]string{}
	eventually(t, "both loops", func() bool {
		for _, r := range c.routes("?filtered=true").Routes {
			reasons[*r.Prefix] = *r.FilterReason
		}
		return len(reasons) == 2
	})
	if reasons["203.0.113.0/25"] != "originator-loop" || reasons["203.0.113.128/25"] != "cluster-loop" {
		t.Errorf("got %v", reasons)
	}
	// Loop checks of reflection mean nothing from an external peer: the
	// attributes are discarded (RFC 7606 7.9).
	players[1].announce(0, []uint32{65001}, func(e *wire.AttrEditor) { e.SetUint32(wire.AttrOriginatorID, 0xc00002fe) }, "198.51.100.0/24")
	if r := c.one("?prefix=198.51.100.0/24"); r.OriginatorID != nil || r.Filtered {
		t.Errorf("from an external peer: %+v", r)
	}
}

func TestNextHopsAreAsTheConfigurationSays(t *testing.T) {
	t.Parallel()
	_, to := hub(t, "",
		"address: 127.20.5.1, as: 65001", "address: 127.20.5.2, as: 64512, next_hop: self", "address: 127.20.5.3, as: 65003, next_hop: unchanged",
		"address: 127.20.5.4, as: 65004", "address: 127.20.5.5, as: 64512, next_hop: unchanged")
	one := play(t, to, playerOptions{from: ip("127.20.5.1"), as: 65001})
	attrs := attributes([]uint32{65001}, ip("198.51.100.9"), nil)
	one.tell(wire.IPv4Unicast, attrs, nlri{prefix: "203.0.113.0/24"})
	attrs6 := attributes([]uint32{65001}, ip("2001:db8::9"), nil)
	one.tell(wire.IPv6Unicast, attrs6, nlri{prefix: "2001:db8:1::/48"})
	for i, want := range map[string][2]string{
		"2": {"127.0.0.1", "::ffff:127.0.0.1"}, "3": {"198.51.100.9", "2001:db8::9"},
		"4": {"127.0.0.1", "::ffff:127.0.0.1"}, "5": {"198.51.100.9", "2001:db8::9"},
	} {
		as := uint32(65000) + uint32(i[0]-'0')
		if i == "2" || i == "5" {
			as = 64512
		}
		p := play(t, to, playerOptions{from: ip("127.20.5." + i), as: as})
		p.expect("the routes", "2001:db8:1::/48", "203.0.113.0/24")
		if got := [2]string{p.text("203.0.113.0/24", wire.AttrNextHop), p.text("2001:db8:1::/48", wire.AttrNextHop)}; got != want {
			t.Errorf("peer %s: next hops %v, want %v", i, got, want)
		}
	}
}

func TestNextHopsThatCanBeNoneAreRefused(t *testing.T) {
	t.Parallel()
	c, to := hub(t, "", "address: 127.20.6.1, as: 65001")
	one := play(t, to, playerOptions{from: ip("127.20.6.1"), as: 65001})
	hops := []string{"0.0.0.0", "224.0.0.5", "240.0.0.1", "255.255.255.255", "127.0.0.1", "0.1.2.3"}
	if as, err := net.InterfaceAddrs(); err == nil {
		for _, a := range as {
			if p, ok := a.(*net.IPNet); ok && p.IP.To4() != nil && !p.IP.IsLoopback() {
				hops = append(hops, p.IP.String()) // ours
				break
			}
		}
	}
	for i, hop := range hops {
		prefix := "203.0.113." + string(rune('0'+i)) + "/32"
		one.tell(wire.IPv4Unicast, attributes([]uint32{65001}, ip(hop), nil), nlri{prefix: prefix})
		if r := c.one("?filtered=any&prefix=" + prefix); r.FilterReason == nil || *r.FilterReason != "next-hop" || *r.NextHop != hop {
			t.Errorf("%s: %+v", hop, r)
		}
	}
	for i, hop := range []string{"::", "ff02::1"} {
		prefix := "2001:db8:" + string(rune('1'+i)) + "::/48"
		one.tell(wire.IPv6Unicast, attributes([]uint32{65001}, ip(hop), nil), nlri{prefix: prefix})
		if r := c.one("?filtered=any&prefix=" + prefix); r.FilterReason == nil || *r.FilterReason != "next-hop" {
			t.Errorf("%s: %+v", hop, r)
		}
	}
	if one.over() {
		t.Error("a bad next hop has ended the session")
	}
}

func TestWellKnownCommunitiesBoundHowFarARouteGoes(t *testing.T) {
	t.Parallel()
	c, to := hub(t, "policies: {strip: [{then: {accept: true, remove_communities: [no-export]}}]}\n",
		"address: 127.20.7.1, as: 65001", "address: 127.20.7.2, as: 65002", "address: 127.20.7.3, as: 64512", "address: 127.20.7.4, as: 65004, export: strip")
	one := play(t, to, playerOptions{from: ip("127.20.7.1"), as: 65001})
	two := play(t, to, playerOptions{from: ip("127.20.7.2"), as: 65002})
	three := play(t, to, playerOptions{from: ip("127.20.7.3"), as: 64512})
	four := play(t, to, playerOptions{from: ip("127.20.7.4"), as: 65004})
	for prefix, community := range map[string]uint32{
		"192.0.2.0/28": 0xffffff01, "192.0.2.16/28": 0xffffff02, "192.0.2.32/28": 0xffffff03, "192.0.2.48/28": 0xfde80001,
	} {
		one.announce(0, []uint32{65001}, func(e *wire.AttrEditor) { e.AddCommunities([]uint32{community}) }, prefix)
	}
	two.expect("external", "192.0.2.48/28")
	three.expect("internal", "192.0.2.0/28", "192.0.2.32/28", "192.0.2.48/28")
	four.expect("external, whatever its policy makes of it", "192.0.2.48/28")
	if got := three.text("192.0.2.0/28", wire.AttrCommunities); got != "65535:65281" {
		t.Errorf("communities %s", got)
	}
	if r := c.routes("?community=no-export").Routes; len(r) != 1 || !slices.Equal(r[0].Communities, []string{"65535:65281"}) {
		t.Errorf("by name: %+v", r)
	}
}

func TestGracefulShutdownIsTheLastChoice(t *testing.T) {
	t.Parallel()
	c, to := hub(t, "", "address: 127.20.8.1, as: 65001", "address: 127.20.8.2, as: 65002", "address: 127.20.8.3, as: 64512")
	one := play(t, to, playerOptions{from: ip("127.20.8.1"), as: 65001})
	two := play(t, to, playerOptions{from: ip("127.20.8.2"), as: 65002})
	three := play(t, to, playerOptions{from: ip("127.20.8.3"), as: 64512})
	two.announce(0, []uint32{65002, 65100, 65101}, nil, "203.0.113.0/24")
	one.announce(0, []uint32{65001}, nil, "203.0.113.0/24")
	eventually(t, "the shorter path", func() bool { return three.text("203.0.113.0/24", wire.AttrASPath) == "65001" })
	one.announce(0, []uint32{65001}, func(e *wire.AttrEditor) { e.AddCommunities([]uint32{0xffff0000}) }, "203.0.113.0/24")
	eventually(t, "the other one", func() bool { return three.text("203.0.113.0/24", wire.AttrASPath) == "65002 65100 65101" })
	r := c.one("?community=graceful-shutdown")
	if r.Best || r.LocalPref == nil || *r.LocalPref != 0 {
		t.Errorf("local-pref of what is being shut down: %+v", r)
	}
	if pre := c.one("?community=graceful-shutdown&policy=pre"); pre.LocalPref != nil {
		t.Errorf("before policy: %+v", pre)
	}
	two.withdraw(0, "203.0.113.0/24")
	eventually(t, "it is still better than none", func() bool { return three.text("203.0.113.0/24", wire.AttrASPath) == "65001" })
	if got := three.text("203.0.113.0/24", wire.AttrLocalPref) + " " + three.text("203.0.113.0/24", wire.AttrCommunities); got != "0 65535:0" {
		t.Errorf("internal peers are sent %s", got)
	}
	if p := c.peer("127.20.8.1"); !strings.Contains(p.State, "established") {
		t.Errorf("state %s", p.State)
	}
}
