package engine

import (
	"fmt"
	"net/url"
	"testing"
	"time"

	"ribd/wire"
)

// restarting are the capabilities of a peer whose routes are to be retained.
func restarting(notification bool, seconds uint16, fs ...wire.Family) []wire.Capability {
	g := wire.GracefulRestart{Notification: notification, Time: seconds}
	for _, f := range fs {
		g.Families = append(g.Families, wire.GracefulFamily{Family: f, Forwarding: true})
	}
	return []wire.Capability{wire.GracefulRestartCapability(g)}
}

// again opens a session as soon as it is taken.
func again(t *testing.T, to string, o playerOptions) (p *player) {
	t.Helper()
	eventually(t, "a new session", func() bool {
		var err error
		p, err = tryPlay(t, to, o)
		return err == nil
	})
	return p
}

// staleOf is the stale mark of a route, "none" without one, "-" without a route.
func (c *client) staleOf(prefix string) string {
	c.t.Helper()
	r := c.routes("?prefix=" + prefix).Routes
	switch {
	case len(r) == 0:
		return "-"
	case r[0].Stale == nil:
		return "none"
	}
	return *r[0].Stale
}

const v4u, v6u = wire.IPv4Unicast, wire.IPv6Unicast

func TestRoutesOutliveARestartAndAreSweptAfterIt(t *testing.T) {
	t.Parallel()
	c, to := hub(t, "", "address: 127.20.60.1, as: 65001", "address: 127.20.60.2, as: 65002")
	o := playerOptions{from: ip("127.20.60.1"), as: 65001, more: restarting(false, 60, v4u)}
	one := play(t, to, o)
	two := play(t, to, playerOptions{from: ip("127.20.60.2"), as: 65002})
	one.announce(0, []uint32{65001}, nil, "203.0.113.0/24", "198.51.100.0/24")
	one.tell(v6u, attributes([]uint32{65001}, ip("2001:db8::9"), nil), nlri{prefix: "2001:db8:1::/48"})
	two.expect("the routes", "198.51.100.0/24", "2001:db8:1::/48", "203.0.113.0/24")
	one.close()
	two.expect("what is retained is still sent; IPv6 was not asked for", "198.51.100.0/24", "203.0.113.0/24")
	eventually(t, "stale", func() bool { return c.staleOf("203.0.113.0/24") == "gr" })
	eventually(t, "both are", func() bool {
		return len(c.routes("?stale=true").Routes) == 2 && c.peer("127.20.60.1").Families[0].Stale == 2
	})
	p := c.peer("127.20.60.1")
	if f := p.Families[0]; p.State == "established" || f.Stale != 2 || f.GracefulRestart == nil || f.GracefulRestart.StaleUntil == nil || *f.GracefulRestart.Stale != "gr" {
		t.Errorf("the peer's page: %s, %+v", p.State, f.GracefulRestart)
	}
	if r := c.routes("?stale=true").Routes; len(r) != 2 {
		t.Errorf("stale=true: %+v", r)
	}

	o.more = []wire.Capability{wire.GracefulRestartCapability(wire.GracefulRestart{Restarting: true, Time: 60, Families: []wire.GracefulFamily{{Family: v4u, Forwarding: true}}})}
	one = again(t, to, o)
	if got := c.staleOf("203.0.113.0/24"); got != "gr" {
		t.Errorf("at the return: %s", got)
	}
	one.announce(0, []uint32{65001}, nil, "203.0.113.0/24")
	eventually(t, "fresh again", func() bool { return c.staleOf("203.0.113.0/24") == "none" })
	one.send(wire.AppendEndOfRIB(nil, v4u))
	two.expect("what did not come again is swept", "203.0.113.0/24")
	if f := c.peer("127.20.60.1").Families[0]; f.Stale != 0 || f.Received != 1 {
		t.Errorf("counts: %+v", f)
	}
	// Gone without a word while the family is not in the new OPEN: swept at once.
	one.close()
	eventually(t, "stale", func() bool { return c.staleOf("203.0.113.0/24") == "gr" })
	o.more = restarting(false, 60)
	again(t, to, o)
	two.expect("its forwarding state is lost")
}

func TestStaleRoutesGoWhenTheirTimeIsOver(t *testing.T) {
	t.Parallel()
	c, to := hub(t, "", "address: 127.20.61.1, as: 65001", "address: 127.20.61.2, as: 65002")
	one := play(t, to, playerOptions{from: ip("127.20.61.1"), as: 65001, more: restarting(false, 1, v4u)})
	two := play(t, to, playerOptions{from: ip("127.20.61.2"), as: 65002})
	one.announce(0, []uint32{65001}, nil, "203.0.113.0/24")
	two.expect("the route", "203.0.113.0/24")
	began := time.Now()
	one.close()
	// Whoever looks too late for "gr" finds no route any more.
	eventually(t, "stale", func() bool { return c.staleOf("203.0.113.0/24") != "none" })
	two.expect("a second later")
	if took := time.Since(began); took < time.Second {
		t.Errorf("it went after %s", took)
	}
	if p := c.peer("127.20.61.1"); p.Families[0].Stale != 0 || p.Families[0].Received != 0 {
		t.Errorf("counts: %+v", p.Families[0])
	}
}

// RFC 4724 4.2 and RFC 8538 4: which ends of a session keep the routes.
func TestWhichEndsOfASessionKeepItsRoutes(t *testing.T) {
	t.Parallel()
	cease := func(subcode uint8) []byte {
		return wire.AppendNotification(nil, wire.Notification{Code: wire.CodeCease, Subcode: subcode})
	}
	hard := wire.AppendNotification(nil, wire.HardReset(wire.Notification{Code: wire.CodeCease, Subcode: wire.CeaseAdminShutdown, Data: wire.ShutdownData("bye")}))
	cases := []struct {
		name  string
		n     bool   // both ends have the N bit
		last  []byte // what the peer sends at the end
		keeps bool
	}{
		{"the connection is lost", false, nil, true},
		{"a NOTIFICATION", false, cease(wire.CeaseAdminReset), false},
		{"a NOTIFICATION, with RFC 8538", true, cease(wire.CeaseAdminReset), true},
		{"a Hard Reset, with RFC 8538", true, hard, false},
		{"a malformed message, with RFC 8538", true, rawUpdate(unhex("40 01 01 00  40 02 00  40 03 04 c6336401"), unhex("21 cb007100 80")), true},
		{"a malformed message", false, rawUpdate(unhex("40 01 01 00  40 02 00  40 03 04 c6336401"), unhex("21 cb007100 80")), false},
	}
	lines := []string{"address: 127.20.62.100, as: 65100"}
	for i := range cases {
		lines = append(lines, fmt.Sprintf("address: 127.20.62.%d, as: %d", i+1, 65001+i))
	}
	c, to := hub(t, "", lines...)
	sink := play(t, to, playerOptions{from: ip("127.20.62.100"), as: 65100})
	var kept, all []string
	var players []*player
	for i, tt := range cases {
		p := play(t, to, playerOptions{from: ip(fmt.Sprintf("127.20.62.%d", i+1)), as: uint32(65001 + i), more: restarting(tt.n, 60, v4u)})
		prefix := fmt.Sprintf("10.%d.0.0/16", i)
		p.announce(0, []uint32{p.as}, nil, prefix)
		players, all = append(players, p), append(all, prefix)
		if tt.keeps {
			kept = append(kept, prefix)
		}
	}
	sink.expect("all", all...)
	for i, tt := range cases {
		if tt.last != nil {
			players[i].send(tt.last)
			eventually(t, tt.name, players[i].over)
		}
		players[i].close()
	}
	sink.expect("what is kept", kept...)
	for i, tt := range cases {
		prefix, want := all[i], "-"
		if tt.keeps {
			want = "gr"
		}
		eventually(t, tt.name+" is known", func() bool { return c.peer(fmt.Sprintf("127.20.62.%d", i+1)).State != "established" })
		eventually(t, fmt.Sprintf("%s: stale %s", tt.name, want), func() bool { return c.staleOf(prefix) == want })
	}
	n := c.peer("127.20.62.4").LastNotification.Received
	if n == nil || n.Subcode != wire.CeaseHardReset || n.Message == nil || *n.Message != "bye" {
		t.Errorf("the Hard Reset on the peer's page: %+v", n)
	}
}

func TestOperatorsEndSessionsForGood(t *testing.T) {
	t.Parallel()
	c, to := hub(t, "", "address: 127.20.63.1, as: 65001", "address: 127.20.63.2, as: 65002", "address: 127.20.63.3, as: 65003")
	one := play(t, to, playerOptions{from: ip("127.20.63.1"), as: 65001, more: restarting(true, 60, v4u)})
	two := play(t, to, playerOptions{from: ip("127.20.63.2"), as: 65002})
	three := play(t, to, playerOptions{from: ip("127.20.63.3"), as: 65003})
	one.announce(0, []uint32{65001}, nil, "203.0.113.0/24")
	two.announce(0, []uint32{65002}, nil, "198.51.100.0/24")
	three.expect("both", "198.51.100.0/24", "203.0.113.0/24")
	post := func(what, message string) {
		t.Helper()
		if message != "" {
			what += "?message=" + url.QueryEscape(message)
		}
		if status, b := c.ask("POST", "/api/v1/peers/"+what, "", nil); status/100 != 2 {
			t.Fatalf("%s: %d %s", what, status, b)
		}
	}
	post("127.20.63.1/reset", "new route maps – 3 min")
	post("127.20.63.2/disable", "Wartung bis 22 Uhr")
	three.expect("neither is kept")
	eventually(t, "both sessions end", func() bool { return one.over() && two.over() })
	n := one.notifications()
	if len(n) != 1 || n[0].Code != wire.CodeCease || n[0].Subcode != wire.CeaseHardReset {
		t.Fatalf("with RFC 8538: %v, want a Hard Reset", n)
	}
	if in, ok := n[0].Unwrap(); !ok || in.Subcode != wire.CeaseAdminReset || in.Text() != "new route maps – 3 min" {
		t.Errorf("in the Hard Reset: %s", in.String())
	}
	if n = two.notifications(); len(n) != 1 || n[0].Subcode != wire.CeaseAdminShutdown || n[0].Text() != "Wartung bis 22 Uhr" {
		t.Errorf("without: %v", n)
	}
	p := c.peer("127.20.63.2")
	if p.Enabled || p.State != "idle" || p.LastNotification.Sent == nil || p.LastNotification.Sent.Message == nil || *p.LastNotification.Sent.Message != "Wartung bis 22 Uhr" {
		t.Errorf("disabled: %+v", p.LastNotification.Sent)
	}
	if _, err := tryPlay(t, to, playerOptions{from: ip("127.20.63.2"), as: 65002}); err == nil {
		t.Error("a disabled peer gets a session")
	}
	post("127.20.63.2/enable", "")
	again(t, to, playerOptions{from: ip("127.20.63.2"), as: 65002})
	again(t, to, playerOptions{from: ip("127.20.63.1"), as: 65001})

	// The other way: what the peer says is on its page.
	three.send(wire.AppendNotification(nil, wire.Notification{Code: wire.CodeCease, Subcode: wire.CeaseAdminShutdown, Data: wire.ShutdownData("moving racks")}))
	three.close()
	eventually(t, "the peer's words", func() bool {
		n := c.peer("127.20.63.3").LastNotification.Received
		return n != nil && n.Name == "administrative shutdown" && n.Message != nil && *n.Message == "moving racks"
	})
}

// RFC 9494.
func TestLongLivedStaleRoutesAreTheLastChoice(t *testing.T) {
	t.Parallel()
	long := ", graceful_restart: {llgr_stale_time: 1h}"
	c, to := hub(t, "", "address: 127.20.64.1, as: 65001"+long, "address: 127.20.64.2, as: 65002"+long, "address: 127.20.64.3, as: 65003",
		"address: 127.20.64.4, as: 65004"+long)
	caps := append(restarting(false, 0, v4u), wire.LLGRCapability([]wire.LLGRFamily{{Family: v4u, StaleTime: 600, Forwarding: true}, {Family: v6u, StaleTime: 600, Forwarding: true}}))
	o := playerOptions{from: ip("127.20.64.1"), as: 65001, more: caps}
	one := play(t, to, o)
	takes := play(t, to, playerOptions{from: ip("127.20.64.2"), as: 65002, more: caps})
	without := play(t, to, playerOptions{from: ip("127.20.64.3"), as: 65003})
	other := play(t, to, playerOptions{from: ip("127.20.64.4"), as: 65004})
	const plain, refuses, shared = "203.0.113.0/24", "198.51.100.0/24", "192.0.2.0/24"
	one.announce(0, []uint32{65001}, nil, plain)
	one.announce(0, []uint32{65001}, func(e *wire.AttrEditor) { e.AddCommunities([]uint32{0xffff0007}) }, refuses)
	one.announce(0, []uint32{65001}, nil, shared)
	one.tell(v6u, attributes([]uint32{65001}, ip("2001:db8::9"), nil), nlri{prefix: "2001:db8:1::/48"})
	other.announce(0, []uint32{65004, 65100, 65101}, nil, shared)
	for _, p := range []*player{takes, without} {
		p.expect("all", plain, refuses, shared, "2001:db8:1::/48")
		eventually(t, "the shorter path", func() bool { return p.text(shared, wire.AttrASPath) == "64512 65001" })
	}
	one.close()
	takes.expect("but those that do not want it", plain, shared, "2001:db8:1::/48")
	without.expect("nothing that is long-lived stale", shared)
	for _, p := range []*player{takes, without} {
		eventually(t, "any other path is better", func() bool { return p.text(shared, wire.AttrASPath) == "64512 65004 65100 65101" })
	}
	eventually(t, "communities: LLGR_STALE", func() bool { return takes.text(plain, wire.AttrCommunities) == "65535:6" })
	r := c.one("?prefix=" + plain)
	if r.Stale == nil || *r.Stale != "llgr" || fmt.Sprint(r.Communities) != "[65535:6]" {
		t.Errorf("shown: %+v", r)
	}
	if r := c.routes("?community=llgr-stale&family=ipv4-unicast").Routes; len(r) != 2 {
		t.Errorf("%d routes with LLGR_STALE", len(r))
	}
	f := c.peer("127.20.64.1").Families[0].GracefulRestart
	if f == nil || f.Stale == nil || *f.Stale != "llgr" || f.StaleUntil == nil || time.Until(*f.StaleUntil) < 5*time.Minute || *f.LLGRStaleTime != 600 {
		t.Errorf("the peer's page: %+v", f)
	}
	// A stale route of somebody else's is one here too.
	other.announce(0, []uint32{65004}, func(e *wire.AttrEditor) { e.AddCommunities([]uint32{0xffff0006}) }, "192.0.2.128/25")
	takes.expect("with LLGR_STALE", plain, shared, "192.0.2.128/25", "2001:db8:1::/48")
	one = again(t, to, o)
	one.announce(0, []uint32{65001}, nil, plain, refuses)
	without.expect("it is back", plain, refuses, shared)
	one.end()
	takes.expect("swept", plain, refuses, shared, "192.0.2.128/25")
	eventually(t, "no communities after its return", func() bool { return takes.text(plain, wire.AttrCommunities) == "-" })
}

// RFC 9494 4.2: a family that graceful restart does not cover has no restart
// time, and one that it covers has it first.
func TestLongLivedTimeFollowsOnTheRestartTime(t *testing.T) {
	t.Parallel()
	c, to := hub(t, "", "address: 127.20.65.1, as: 65001, graceful_restart: {llgr_stale_time: 1h}")
	llgr := wire.LLGRCapability([]wire.LLGRFamily{{Family: v4u, StaleTime: 600, Forwarding: true}, {Family: v6u, StaleTime: 600, Forwarding: true}})
	one := play(t, to, playerOptions{from: ip("127.20.65.1"), as: 65001, more: append(restarting(false, 1, v4u), llgr)})
	one.announce(0, []uint32{65001}, nil, "203.0.113.0/24")
	one.tell(v6u, attributes([]uint32{65001}, ip("2001:db8::9"), nil), nlri{prefix: "2001:db8:1::/48"})
	eventually(t, "both", func() bool { return len(c.routes("").Routes) == 2 })
	began := time.Now()
	one.close()
	eventually(t, "IPv6 at once", func() bool { return c.staleOf("2001:db8:1::/48") == "llgr" })
	eventually(t, "IPv4 meanwhile, and after a second", func() bool {
		got := c.staleOf("203.0.113.0/24")
		if got == "llgr" && time.Since(began) < time.Second {
			t.Fatalf("IPv4 is long-lived stale after %s", time.Since(began))
		}
		return got == "llgr"
	})
}
