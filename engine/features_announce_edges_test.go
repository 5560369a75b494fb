package engine

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"ribd/wire"
)

func TestNextHopSelfIsOursAndTheGivenOneStays(t *testing.T) {
	t.Parallel()
	c, to := hub(t, "", "address: 127.21.95.1, as: 65001", "address: 127.21.95.2, as: 65002, next_hop: self", "address: 127.21.95.3, as: 64512", "address: 127.21.95.4, as: 65004, extended_next_hop: true")
	plain := play(t, to, playerOptions{from: ip("127.21.95.1"), as: 65001}).settle()
	self := play(t, to, playerOptions{from: ip("127.21.95.2"), as: 65002}).settle()
	internal := play(t, to, playerOptions{from: ip("127.21.95.3"), as: 64512}).settle()
	extended := play(t, to, playerOptions{from: ip("127.21.95.4"), as: 65004, more: []wire.Capability{wire.ExtendedNextHopCapability(wire.NewFamilySet(v4u))}}).settle()
	for _, x := range []struct{ body, key, plain, self, internal string }{
		{`{"prefix":"203.0.113.0/24","next_hop":"192.0.2.1"}`, "203.0.113.0/24", "192.0.2.1", "127.0.0.1", "192.0.2.1"},
		{`{"prefix":"203.0.114.0/24","next_hop":"self"}`, "203.0.114.0/24", "127.0.0.1", "127.0.0.1", "127.0.0.1"},
		{`{"prefix":"2001:db8:1::/48","next_hop":"2001:db8::1"}`, "2001:db8:1::/48", "2001:db8::1", "::ffff:127.0.0.1", "2001:db8::1"},
	} {
		c.post("/api/v1/paths", x.body)
		for p, want := range map[*player]string{plain: x.plain, self: x.self, internal: x.internal} {
			eventually(t, x.body, func() bool { return p.text(x.key, wire.AttrNextHop) != "-" })
			if got := p.text(x.key, wire.AttrNextHop); got != want {
				t.Errorf("%s to AS %d: next hop %s, want %s", x.body, p.as, got, want)
			}
		}
	}
	// An IPv6 next hop of an IPv4 route is for peers with RFC 8950.
	a := c.post("/api/v1/paths", `{"prefix":"203.0.115.0/24","next_hop":"2001:db8::1"}`)
	s := a.states()
	if s["127.21.95.4"] != "sent" || !strings.HasPrefix(s["127.21.95.1"], "refused: ") {
		t.Errorf("an IPv6 next hop of an IPv4 route: %v", s)
	}
	eventually(t, "RFC 8950", func() bool { return extended.text("203.0.115.0/24", wire.AttrNextHop) == "2001:db8::1" })
}

// RFC 1997: they bound what is received with them. What is announced here with
// one is for its receivers to keep to themselves (RFC 7999 3.2: blackhole routes
// go to a neighbour with NO_EXPORT).
func TestWellKnownCommunitiesBoundReceiversNotWhatIsAnnouncedHere(t *testing.T) {
	t.Parallel()
	c, to := hub(t, "", "address: 127.21.96.1, as: 65001, extended_messages: true", "address: 127.21.96.2, as: 64512, extended_messages: true")
	one := play(t, to, playerOptions{from: ip("127.21.96.1"), as: 65001}).settle()
	two := play(t, to, playerOptions{from: ip("127.21.96.2"), as: 64512, extended: true}).settle()
	a := c.post("/api/v1/paths", `{"prefix":"203.0.113.0/24","next_hop":"192.0.2.1","communities":["no-export"]}`)
	wantStates(t, "no-export", a.states(), map[string]string{"127.21.96.1": "sent", "127.21.96.2": "sent"})
	a = c.post("/api/v1/paths", `{"prefix":"203.0.114.0/24","next_hop":"192.0.2.1","communities":["no-advertise"]}`)
	wantStates(t, "no-advertise", a.states(), map[string]string{"127.21.96.1": "sent", "127.21.96.2": "sent"})
	var l []string
	for i := range 1200 {
		l = append(l, fmt.Sprintf(`"64512:%d"`, i))
	}
	a = c.post("/api/v1/paths", `{"prefix":"203.0.115.0/24","next_hop":"192.0.2.1","communities":[`+strings.Join(l, ",")+`]}`)
	wantStates(t, "more than 4,096 octets", a.states(), map[string]string{"127.21.96.1": "refused: too long", "127.21.96.2": "sent"})
	one.expect("what fits", "203.0.113.0/24", "203.0.114.0/24")
	two.expect("all", "203.0.113.0/24", "203.0.114.0/24", "203.0.115.0/24")
	if got := one.text("203.0.113.0/24", wire.AttrCommunities); got != "65535:65281" {
		t.Errorf("no-export arrives as %s", got)
	}
}

func TestAPathForAPeerThatIsDownWaitsForIt(t *testing.T) {
	t.Parallel()
	c, to := hub(t, "", "address: 127.21.97.1, as: 65001", "address: 127.21.97.2, as: 65002, name: later", "prefix: 127.21.98.0/24, as: any")
	one := play(t, to, playerOptions{from: ip("127.21.97.1"), as: 65001}).settle()
	a := c.post("/api/v1/paths", `{"prefix":"203.0.113.0/24","next_hop":"192.0.2.1","peers":["later"]}`)
	if s := a.states(); s["127.21.97.2"] != "down" || len(s) != 1 {
		t.Errorf("down: %v", s)
	}
	play(t, to, playerOptions{from: ip("127.21.97.2"), as: 65002}).expect("it comes", "203.0.113.0/24")
	one.expect("not for it")
	// What is for everybody is for those that come by a range, too.
	c.post("/api/v1/paths", `{"prefix":"198.51.100.0/24","next_hop":"192.0.2.1"}`)
	dynamic := play(t, to, playerOptions{from: ip("127.21.98.7"), as: 65098}).settle()
	dynamic.expect("a dynamic one", "198.51.100.0/24")
	a = c.post("/api/v1/paths", `{"prefix":"192.0.2.0/24","next_hop":"192.0.2.1"}`)
	if s := a.states()["127.21.98.7"]; s != "sent" {
		t.Errorf("a dynamic one: %s", s)
	}
}

func TestRoutesOfFamiliesWithoutPrefixesAreAnnouncedByTheirOctets(t *testing.T) {
	t.Parallel()
	const fs = ", families: [ipv4-unicast, l2vpn-evpn]"
	c, to := hub(t, "", "address: 127.21.99.1, as: 65001"+fs)
	one := play(t, to, playerOptions{from: ip("127.21.99.1"), as: 65001, families: []wire.Family{v4u, wire.L2VPNEVPN}}).settle()
	const raw = "02210000fde9000000010000000000000000000000000000300200c0ffee0100000640"
	c.post("/api/v1/paths", `{"family":"l2vpn-evpn","nlri":"`+raw+`","next_hop":"198.51.100.1","ext_communities":["rt:65001:1"]}`)
	one.expect("an EVPN route", "l2vpn-evpn "+raw)
	c.change("DELETE", "/api/v1/paths", `{"family":"l2vpn-evpn","nlri":"`+raw+`"}`, nil)
	one.expect("withdrawn")
	for _, body := range []string{
		`{"family":"l2vpn-evpn","nlri":"0221","next_hop":"198.51.100.1"}`, `{"family":"l2vpn-evpn","nlri":"xyz","next_hop":"198.51.100.1"}`,
		`{"family":"ipv4-flowspec","nlri":"030e8101"}`, `{"family":"ipv4-flowspec","nlri":"0401"}`, `{"family":"nonsense","prefix":"10.0.0.0/8","next_hop":"192.0.2.1"}`,
	} {
		if status, b := c.ask("POST", "/api/v1/paths", "application/json", strings.NewReader(body)); status != 400 {
			t.Errorf("%s: %d %s", body, status, b)
		}
	}
}

func TestOneIdempotencyKeyIsDoneOnce(t *testing.T) {
	t.Parallel()
	c, to := hub(t, "", "address: 127.21.100.1, as: 65001")
	one := play(t, to, playerOptions{from: ip("127.21.100.1"), as: 65001}).settle()
	var mu sync.Mutex
	answers := map[string]int{}
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			req := newRequest(t, c, "POST", "/api/v1/paths", `{"prefix":"203.0.113.0/24","next_hop":"192.0.2.1"}`)
			req.Header.Set("Idempotency-Key", "the same")
			status, b := do(t, c, req)
			mu.Lock()
			defer mu.Unlock()
			answers[fmt.Sprint(status, " ", b)]++
		})
	}
	wg.Wait()
	one.expect("the route", "203.0.113.0/24")
	good := 0
	for a, n := range answers {
		if strings.HasPrefix(a, "20") {
			good++
		} else if !strings.HasPrefix(a, "409") && !strings.HasPrefix(a, "425") && !strings.HasPrefix(a, "503") {
			t.Errorf("%d times %s", n, a)
		}
	}
	if good != 1 {
		t.Errorf("answers: %v", answers)
	}
}

func TestAPeerThatDoesNotReadHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	const n = 100_000 // more than the system's buffers take for it
	c, to := hub(t, "", "address: 127.21.101.1, as: 65001", "address: 127.21.101.2, as: 65002")
	slow := play(t, to, playerOptions{from: ip("127.21.101.1"), as: 65001}).settle()
	fast := play(t, to, playerOptions{from: ip("127.21.101.2"), as: 65002}).settle()
	slow.mu.Lock() // its reader waits here
	letRead := sync.OnceFunc(slow.mu.Unlock)
	defer letRead() // or its end would wait for ever
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `{"prefix":"%d.%d.%d.0/24","next_hop":"192.0.2.1","med":%d}`+"\n", 20+i>>16, i>>8&255, i&255, i)
	}
	answers := c.lines("/api/v1/paths", b.String())
	states := map[string]int{}
	for _, a := range answers {
		for p, s := range a.states() {
			states[p+" "+s]++
		}
	}
	eventually(t, "the other one has all", func() bool { return fast.count() == n })
	fast.inStep()
	start := time.Now()
	a := c.post("/api/v1/paths", `{"prefix":"10.0.0.0/8","next_hop":"192.0.2.1"}`)
	if took := time.Since(start); took > waitLimit/2 {
		t.Errorf("one more takes %s", took)
	}
	if s := a.states(); s["127.21.101.1"] != "queued" || s["127.21.101.2"] != "sent" {
		t.Errorf("one more: %v (of the lines: %v)", s, states)
	}
	letRead()
	eventually(t, "it catches up", func() bool { return slow.count() == n+1 })
	if states["127.21.101.2 sent"] < n/2 || states["127.21.101.1 queued"] == 0 {
		t.Errorf("states of the lines: %v", states)
	}
}

// TestManyPathsEndAtOnce gives 20,000 paths one end. The time until it is doubled where the machine needs all of it to
// take the paths in.
func TestManyPathsEndAtOnce(t *testing.T) {
	t.Parallel()
	const n = 20_000
	c, to := hub(t, "", "address: 127.21.102.1, as: 65001")
	one := play(t, to, playerOptions{from: ip("127.21.102.1"), as: 65001}).settle()
	count := one.count
	// before says that all were at the peer at a moment before their end.
	before := func(life time.Duration) bool {
		end := time.Now().Add(life)
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `{"prefix":"20.%d.%d.0/24","next_hop":"192.0.2.1","expires_at":%q}`+"\n", i>>8&255, i&255, end.UTC().Format(time.RFC3339Nano))
		}
		for i, a := range c.lines("/api/v1/paths", b.String()) {
			if len(a.Error) > 0 && time.Now().Before(end) {
				t.Fatalf("line %d: %s", i, a.Error)
			}
		}
		all := false
		for time.Until(end) > 50*time.Millisecond {
			got := count()
			if now := time.Now(); all && got != n && now.Before(end) {
				t.Fatalf("%d ended %s before their time", n-got, end.Sub(now))
			}
			all = got == n
			time.Sleep(time.Millisecond)
		}
		return all
	}
	life := 3 * time.Second
	for !before(life) {
		if life *= 2; life > waitLimit {
			t.Fatalf("%d of %d are there after %s", count(), n, life/2)
		}
		t.Logf("taken in too slowly: once more, with %s to live", life)
		eventually(t, "the first have ended", func() bool { return count() == 0 && len(c.originates("")) == 0 })
	}
	eventually(t, "all have ended", func() bool { return count() == 0 && len(c.originates("")) == 0 })
}
