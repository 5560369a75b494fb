package engine

import (
	"fmt"
	"testing"

	"ribd/wire"
)

// RFC 7947: AS path, next hop, MED and communities go through a route server
// as they came.
func TestARouteServerIsTransparent(t *testing.T) {
	t.Parallel()
	c, to := hub(t, "", "address: 127.20.30.1, as: 65001, route_server_client: true", "address: 127.20.30.2, as: 65002, route_server_client: true",
		"address: 127.20.30.3, as: 65003")
	one := play(t, to, playerOptions{from: ip("127.20.30.1"), as: 65001})
	two := play(t, to, playerOptions{from: ip("127.20.30.2"), as: 65002})
	three := play(t, to, playerOptions{from: ip("127.20.30.3"), as: 65003})
	one.announce(0, []uint32{65001, 65100}, func(e *wire.AttrEditor) {
		e.SetUint32(wire.AttrMED, 7)
		e.AddCommunities([]uint32{0xffffff01, 65001<<16 | 5})
		e.AddExtCommunities([]uint64{0x4300000000000001}) // not transitive across ASes
	}, "203.0.113.0/24")
	one.tell(wire.IPv6Unicast, attributes([]uint32{65001}, ip("2001:db8::9"), nil), nlri{prefix: "2001:db8:1::/48"})
	two.expect("client to client, NO_EXPORT too", "2001:db8:1::/48", "203.0.113.0/24")
	three.expect("what is not a client", "2001:db8:1::/48")
	for a, want := range map[wire.AttrType]string{
		wire.AttrASPath: "65001 65100", wire.AttrNextHop: "127.20.30.1", wire.AttrMED: "7", wire.AttrCommunities: "65535:65281 65001:5", wire.AttrLocalPref: "-",
		wire.AttrExtCommunities: "0x4300000000000001",
	} {
		if got := two.text("203.0.113.0/24", a); got != want {
			t.Errorf("%s: got %s, want %s", a, got, want)
		}
	}
	if got := two.text("2001:db8:1::/48", wire.AttrNextHop) + ", " + two.text("2001:db8:1::/48", wire.AttrASPath); got != "2001:db8::9, 65001" {
		t.Errorf("IPv6: %s", got)
	}
	if got := three.text("2001:db8:1::/48", wire.AttrASPath); got != "64512 65001" {
		t.Errorf("out of the route server: AS path %s", got)
	}
	if p := c.peer("127.20.30.1"); !p.RouteServerClient {
		t.Errorf("peer %+v", p)
	}
}

// RFC 7947 2.3: what policy hides from a client, or is the client's own, hides
// no other path.
func TestEachClientOfARouteServerHasItsOwnBestPath(t *testing.T) {
	t.Parallel()
	c, to := hub(t, `policies: {not-one: [{if: 'from.asn == 65001', then: reject}, {then: accept}]}
`, "address: 127.20.31.1, as: 65001, route_server_client: true", "address: 127.20.31.2, as: 65002, route_server_client: true",
		"address: 127.20.31.3, as: 65003, route_server_client: true", "address: 127.20.31.4, as: 65004, route_server_client: true, export: not-one")
	const prefix = "203.0.113.0/24"
	players := map[int]*player{}
	for i := 1; i <= 4; i++ {
		players[i] = play(t, to, playerOptions{from: ip(fmt.Sprintf("127.20.31.%d", i)), as: uint32(65000 + i)})
	}
	has := func(what string, paths ...string) {
		t.Helper()
		for i, want := range paths {
			eventually(t, fmt.Sprintf("%s: client %d has %s", what, i+1, want), func() bool {
				got := players[i+1].text(prefix, wire.AttrASPath)
				return got == want
			})
		}
	}
	players[2].announce(0, []uint32{65002, 65100, 65101}, nil, prefix)
	players[3].announce(0, []uint32{65003, 65100}, nil, prefix)
	players[1].announce(0, []uint32{65001}, nil, prefix)
	has("three paths", "65003 65100", "65001", "65001", "65003 65100")
	for i, want := range map[int]string{1: "65003 65100", 2: "65001", 4: "65003 65100"} {
		r := c.routes(fmt.Sprintf("?table=adj-out&peer=127.20.31.%d&prefix=%s", i, prefix)).Routes
		if len(r) != 1 || r[0].ASPath != want {
			t.Errorf("adj-out of %d: %+v, want %s", i, r, want)
		}
	}
	players[3].withdraw(0, prefix)
	has("two paths", "65002 65100 65101", "65001", "65001", "65002 65100 65101")
	players[1].withdraw(0, prefix)
	has("one path", "65002 65100 65101", "-", "65002 65100 65101", "65002 65100 65101")
	players[2].close()
	has("none", "-")
	for _, i := range []int{1, 3, 4} {
		players[i].expect("none")
	}
}
