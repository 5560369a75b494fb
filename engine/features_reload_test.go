package engine

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"ribd/wire"
)

// A peer's name, group and description are taken over live, and policies of
// others look at them.
func TestWhoARouteIsOfMayChangeLive(t *testing.T) {
	t.Parallel()
	src := hubConfig(`groups: {a: {import: in, export: accept-all}, b: {import: in, export: accept-all}}
policies:
  in: [{if: 'peer.description == "old"', then: {accept: true, set: {local_pref: 50}}}, {then: accept}]
  of-a: [{if: 'from.group == "a"', then: accept}]
  named: [{if: 'from.name == "new"', then: accept}]
  to-me: [{if: 'peer.name == "me"', then: accept}]
`, "address: 127.20.140.1, as: 65001, group: a, mode: passive, description: old, name: first", "address: 127.20.140.2, as: 65002, export: of-a",
		"address: 127.20.140.3, as: 65003, export: named", "address: 127.20.140.4, as: 65004, export: to-me, name: me")
	e, c, write := speaking(t, src, nil)
	to := e.BGPAddrs()[0].String()
	players := map[int]*player{}
	for i := 1; i <= 4; i++ {
		players[i] = play(t, to, playerOptions{from: ip(fmt.Sprintf("127.20.140.%d", i)), as: uint32(65000 + i)})
	}
	const prefix = "203.0.113.0/24"
	players[1].announce(0, []uint32{65001}, nil, prefix)
	players[2].expect("group a", prefix)
	players[4].expect("to me", prefix)
	players[3].expect("not of that name")
	if r := c.one("?prefix=" + prefix); *r.LocalPref != 50 {
		t.Errorf("local-pref %d", *r.LocalPref)
	}
	reload := func(pairs ...string) {
		t.Helper()
		src = strings.NewReplacer(pairs...).Replace(src)
		write(src)
		if _, err := e.Reload(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	reload("group: a, mode", "group: b, mode")
	players[2].expect("another group")
	reload("name: first", "name: new")
	players[3].expect("of that name", prefix)
	reload("description: old", "description: fresh")
	eventually(t, "its import knows the description", func() bool { return c.one("?prefix="+prefix).LocalPref == nil })
	reload("name: me", "name: you")
	players[4].expect("I am somebody else")
	for i, p := range players {
		if p.over() {
			t.Errorf("player %d: its session has ended", i)
		}
	}
}

func TestReloadsReachWhatIsRetained(t *testing.T) {
	t.Parallel()
	src := hubConfig(`policies: {in: [{then: accept}]}
`, "address: 127.20.141.1, as: 65001, import: in", "address: 127.20.141.2, as: 65002, import: in", "address: 127.20.141.3, as: 65003", "prefix: 127.20.141.16/28, as: any, import: in")
	e, c, write := speaking(t, src, nil)
	to := e.BGPAddrs()[0].String()
	sink := play(t, to, playerOptions{from: ip("127.20.141.3"), as: 65003})
	var all []string
	for i, from := range []string{"127.20.141.1", "127.20.141.2", "127.20.141.17"} {
		p := play(t, to, playerOptions{from: ip(from), as: uint32(65001 + i), more: restarting(false, 60, v4u)})
		prefixes := []string{fmt.Sprintf("10.%d.0.0/16", i), fmt.Sprintf("10.%d.0.0/24", i)}
		p.announce(0, []uint32{p.as}, nil, prefixes...)
		all = append(all, prefixes...)
		eventually(t, "the routes", func() bool { return c.peer(from).Families[0].Received == 2 })
		p.close()
	}
	sink.expect("all are kept", all...)
	eventually(t, "and stale", func() bool { return len(c.routes("?stale=gr").Routes) == 6 })

	src = strings.Replace(src, "in: [{then: accept}]", "in: [{if: 'prefix.length < 24', then: accept}]", 1)
	write(src)
	if _, err := e.Reload(context.Background()); err != nil {
		t.Fatal(err)
	}
	sink.expect("stale routes are judged again", "10.0.0.0/16", "10.1.0.0/16", "10.2.0.0/16")
	src = strings.Replace(src, "  - {address: 127.20.141.1, as: 65001, import: in}\n", "", 1)
	write(src)
	if _, err := e.Reload(context.Background()); err != nil {
		t.Fatal(err)
	}
	sink.expect("a peer that is taken out keeps nothing", "10.1.0.0/16", "10.2.0.0/16")
	for _, addr := range []string{"127.20.141.2", "127.20.141.17"} {
		if p := c.peer(addr); p.Families[0].Stale != 2 || p.Families[0].Filtered != 1 {
			t.Errorf("%s: %+v", addr, p.Families[0])
		}
	}
	if status, b := c.ask("POST", "/api/v1/peers/127.20.141.2/disable", "", nil); status/100 != 2 {
		t.Fatalf("%d %s", status, b)
	}
	sink.expect("nor one that is disabled", "10.2.0.0/16")
	p := again(t, to, playerOptions{from: ip("127.20.141.17"), as: 65003, more: restarting(false, 60, v4u)})
	p.announce(0, []uint32{65003}, nil, "10.9.0.0/16")
	p.send(wire.AppendEndOfRIB(nil, v4u))
	sink.expect("a neighbour of a range comes back", "10.9.0.0/16")
	var n struct{ Prefixes, Paths int }
	c.get("/api/v1/routes/count?table=adj-out&peer=127.20.141.3", &n)
	if n.Prefixes != 1 || n.Paths != 1 {
		t.Errorf("counted: %+v", n)
	}
}
