package engine

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"ribd/wire"
)

func TestMaxPrefixesWarnsAndEndsTheSession(t *testing.T) {
	t.Parallel()
	c, to := hub(t, "",
		"address: 127.20.70.1, as: 65001, max_prefixes: {ipv4-unicast: {warn: 2, limit: 4, action: shutdown}}",
		"address: 127.20.70.2, as: 65002, max_prefixes: {ipv4-unicast: {warn: 2, limit: 4, action: warn}}",
		"address: 127.20.70.3, as: 65003, max_prefixes: {ipv4-unicast: {limit: 4, action: restart, restart_after: 1s}}",
		"address: 127.20.70.4, as: 65004, import: reject-all, max_prefixes: {ipv4-unicast: {limit: 4, action: shutdown}}")
	prefixes := func(i, n int) (s []string) {
		for j := range n {
			s = append(s, fmt.Sprintf("10.%d.%d.0/24", i, j))
		}
		return s
	}
	var players []*player
	for i := 1; i <= 4; i++ {
		p := play(t, to, playerOptions{from: ip(fmt.Sprintf("127.20.70.%d", i)), as: uint32(65000 + i)})
		p.announce(0, []uint32{p.as}, nil, prefixes(i, 4)...)
		players = append(players, p)
	}
	for i := range players {
		addr := fmt.Sprintf("127.20.70.%d", i+1)
		eventually(t, "four are taken", func() bool { return c.peer(addr).Families[0].Received == 4 })
		l := c.peer(addr).Families[0].PrefixLimit
		if want := map[int]string{0: "warned", 1: "warned"}[i]; l == nil || want != "" && l.State != want || want == "" && l.State != "ok" || l.Limit != 4 {
			t.Errorf("%s at the limit: %+v", addr, l)
		}
		if players[i].over() {
			t.Errorf("%s: the limit itself is too many", addr)
		}
	}
	for i, p := range players {
		p.announce(0, []uint32{p.as}, nil, prefixes(i+1, 5)[4:]...)
	}
	for _, i := range []int{0, 2, 3} { // before policy too
		eventually(t, "one too many", players[i].over)
		n := players[i].notifications()
		if len(n) != 1 || n[0].Code != wire.CodeCease || n[0].Subcode != wire.CeaseMaxPrefixes {
			t.Fatalf("player %d is told %v", i+1, n)
		}
		if d := n[0].Data; len(d) != 7 || d[1] != 1 || d[2] != 1 || binary.BigEndian.Uint32(d[3:]) != 4 {
			t.Errorf("RFC 4486 4: data %x", d)
		}
	}
	eventually(t, "the warned one goes on", func() bool {
		f := c.peer("127.20.70.2").Families[0]
		return f.Received == 5 && f.PrefixLimit.State == "exceeded"
	})
	p := c.peer("127.20.70.1")
	if p.State == "established" || p.Reason == nil || !strings.Contains(*p.Reason, "prefixes") || p.Families[0].Received != 0 {
		t.Errorf("shut down: %s, %v", p.State, *p.Reason)
	}
	if _, err := tryPlay(t, to, playerOptions{from: ip("127.20.70.1"), as: 65001}); err == nil {
		t.Error("it is taken again, though the action is shutdown")
	}
	again(t, to, playerOptions{from: ip("127.20.70.3"), as: 65003}) // after a second
	if status, b := c.ask("POST", "/api/v1/peers/127.20.70.1/enable", "", nil); status/100 != 2 {
		t.Errorf("enable: %d %s", status, b)
	}
	again(t, to, playerOptions{from: ip("127.20.70.1"), as: 65001})
}

func TestARangeTakesNeighboursUpToItsLimit(t *testing.T) {
	t.Parallel()
	c, to := hub(t, "groups: {ix: {import: accept-all, export: accept-all, hold_time: 33s, mode: passive}}\n",
		"prefix: 127.20.71.0/28, as: [65001, 65002], group: ix, max_peers: 2", "address: 127.20.71.3, as: 65003, name: of its own", "prefix: 127.20.71.16/28, as: any")
	one := play(t, to, playerOptions{from: ip("127.20.71.1"), as: 65001})
	two := play(t, to, playerOptions{from: ip("127.20.71.2"), as: 65002})
	play(t, to, playerOptions{from: ip("127.20.71.3"), as: 65003})
	if _, err := tryPlay(t, to, playerOptions{from: ip("127.20.71.4"), as: 65001}); err == nil {
		t.Error("there is a third one")
	}
	if _, err := tryPlay(t, to, playerOptions{from: ip("127.20.71.77"), as: 65001}); err == nil {
		t.Error("there is one out of any range")
	}
	anyAS := play(t, to, playerOptions{from: ip("127.20.71.17"), as: 4200000000})
	one.announce(0, []uint32{65001}, nil, "203.0.113.0/24")
	two.expect("from neighbour to neighbour", "203.0.113.0/24")
	anyAS.expect("from neighbour to neighbour", "203.0.113.0/24")
	p := c.peer("127.20.71.1")
	if p.DynamicRange == nil || *p.DynamicRange != "127.20.71.0/28" || p.ASN != 65001 || p.Timers.Hold.Configured != 33 || *p.Group != "ix" || *p.ConfiguredBy != "range" {
		t.Errorf("a neighbour's page: %+v", p)
	}
	if p = c.peer("127.20.71.3"); p.DynamicRange != nil || *p.Name != "of its own" {
		t.Errorf("a peer with an address in the range: %+v", p)
	}
	one.close()
	two.expect("it has gone")
	eventually(t, "it is listed with its end", func() bool {
		p := c.peer("127.20.71.1")
		return p.State != "established" && p.Reason != nil && len(p.History) > 0
	})
	var third *player
	eventually(t, "its place is free", func() bool {
		var err error
		third, err = tryPlay(t, to, playerOptions{from: ip("127.20.71.4"), as: 65002})
		return err == nil
	})
	third.announce(0, []uint32{65002}, nil, "198.51.100.0/24")
	two.expect("the next one's", "198.51.100.0/24")
	if n := refusedOpen(t, to, playerOptions{from: ip("127.20.71.18"), as: 0}); n.Subcode != wire.SubBadPeerAS {
		t.Errorf("AS 0 is any: %s", n.String())
	}
}

func TestSeveralPeersOfOneAddressAreNone(t *testing.T) {
	t.Parallel()
	c, to := hub(t, "", "address: 127.20.72.1, as: 65001")
	one := play(t, to, playerOptions{from: ip("127.20.72.1"), as: 65001})
	one.announce(0, []uint32{65001}, nil, "203.0.113.0/24")
	eventually(t, "the route", func() bool { return len(c.routes("").Routes) == 1 })
	// A second connection while the session is established is a collision that
	// the session wins (RFC 4271 6.8).
	if p, err := tryPlay(t, to, playerOptions{from: ip("127.20.72.1"), as: 65001}); err == nil {
		t.Errorf("two sessions: %v", p.opened)
	}
	if one.over() || len(c.routes("").Routes) != 1 {
		t.Error("the second connection has ended the first")
	}
	// An AS or address that is not configured is refused without a trace.
	if _, err := tryPlay(t, to, playerOptions{from: netip.MustParseAddr("127.20.72.9"), as: 65001}); err == nil {
		t.Error("a stranger gets a session")
	}
}

func TestALimitThatIsLoweredCountsAtOnce(t *testing.T) {
	t.Parallel()
	src := hubConfig("", "address: 127.20.73.1, as: 65001, max_prefixes: {ipv4-unicast: {limit: 9}}", "address: 127.20.73.2, as: 65002")
	e, c, write := speaking(t, src, nil)
	one := play(t, e.BGPAddrs()[0].String(), playerOptions{from: ip("127.20.73.1"), as: 65001})
	one.announce(0, []uint32{65001}, nil, "10.0.0.0/16", "10.1.0.0/16", "10.2.0.0/16")
	eventually(t, "the routes", func() bool { return c.peer("127.20.73.1").Families[0].Received == 3 })
	write(strings.Replace(src, "{limit: 9}", "{warn: 2, limit: 5}", 1))
	if _, err := e.Reload(context.Background()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "warned", func() bool { return c.peer("127.20.73.1").Families[0].PrefixLimit.State == "warned" })
	write(strings.Replace(src, "{limit: 9}", "{limit: 2}", 1))
	if _, err := e.Reload(context.Background()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "too many", one.over)
	if n := one.notifications(); len(n) != 1 || n[0].Subcode != wire.CeaseMaxPrefixes {
		t.Errorf("told %v", n)
	}
}
