package engine

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"ribd/wire"
)

func TestWhatIsOriginatedIsSentAgainAfterAReconnect(t *testing.T) {
	t.Parallel()
	c, to := hub(t, "", "address: 127.21.10.1, as: 65001, families: [ipv4-unicast, ipv4-flowspec]", "address: 127.21.10.2, as: 65002")
	o := playerOptions{from: ip("127.21.10.1"), as: 65001, families: []wire.Family{v4u, wire.IPv4FlowSpec}}
	a := c.post("/api/v1/paths", `{"prefix":"203.0.113.0/24","next_hop":"192.0.2.1"}`)
	wantStates(t, "before any session", a.states(), map[string]string{"127.21.10.1": "down", "127.21.10.2": "down"})
	c.post("/api/v1/flowspec", `{"text":"destination 203.0.113.7/32 protocol =udp then rate-limit 0"}`)
	keys := []string{"203.0.113.0/24", "ipv4-flowspec 090120cb007107038111"}
	one := play(t, to, o)
	one.expect("what was announced before", keys...)
	one.close()
	eventually(t, "it is known", func() bool { return c.peer("127.21.10.1").State != "established" })
	a = c.post("/api/v1/paths", `{"prefix":"198.51.100.0/24","next_hop":"192.0.2.1"}`)
	if got := a.states()["127.21.10.1"]; got != "down" {
		t.Errorf("while it is down: %s", got)
	}
	c.change("DELETE", "/api/v1/paths", `{"prefix":"203.0.113.0/24"}`, nil)
	one = again(t, to, o)
	one.expect("what is originated by then", "198.51.100.0/24", keys[1])
	one.send(wire.AppendRouteRefresh(nil, wire.RouteRefresh{Family: v4u}))
	eventually(t, "what is asked for again", func() bool {
		one.mu.Lock()
		defer one.mu.Unlock()
		n := 0
		for _, s := range one.said {
			if s == "update" {
				n++
			}
		}
		return n >= 3
	})
	one.expect("the same", "198.51.100.0/24", keys[1])
}

// advertised is the id on the wire for a peer.
func (a *told) advertised(peer string) string {
	for _, p := range a.Peers {
		if p.Peer == peer && p.AdvertisedPathID != nil {
			return fmt.Sprint(*p.AdvertisedPathID)
		}
	}
	return "none"
}

func TestPathIDsKeySeveralPathsOfAPrefix(t *testing.T) {
	t.Parallel()
	c, to := hub(t, "", "address: 127.21.11.1, as: 65001, add_path: {send: all}", "address: 127.21.11.2, as: 65002")
	all := play(t, to, playerOptions{from: ip("127.21.11.1"), as: 65001, takeIDs: true}).settle()
	plain := play(t, to, playerOptions{from: ip("127.21.11.2"), as: 65002}).settle()
	const prefix = "203.0.113.0/24"
	ids := map[string]string{}
	for _, x := range []struct{ id, path string }{{"null", "64990"}, {"0", "64991 1"}, {"7", "64992 1 2"}} {
		a := c.post("/api/v1/paths", `{"prefix":"`+prefix+`","next_hop":"192.0.2.1","as_path":"`+x.path+`","path_id":`+x.id+`}`)
		ids["64512 "+x.path] = a.advertised("127.21.11.1")
		if got := a.advertised("127.21.11.2"); got != "none" {
			t.Errorf("without Add-Path the id is %s", got)
		}
		if s := a.states()["127.21.11.1"]; s != "sent" {
			t.Errorf("path_id %s: %s", x.id, s)
		}
	}
	eventually(t, "three paths", func() bool { return len(all.pathsOf(prefix)) == 3 })
	if got := all.pathsOf(prefix); !maps.Equal(got, ids) {
		t.Errorf("ids on the wire %v, answered %v", got, ids)
	}
	plain.expect("the best", prefix)
	if got := plain.text(prefix, wire.AttrASPath); got != "64512 64990" {
		t.Errorf("the best is %s", got)
	}
	if got := c.originates(""); !slices.Equal(got, []string{prefix, prefix + " 0", prefix + " 7"}) {
		t.Errorf("originated: %v", got)
	}
	if r := c.routes("?source=local&prefix=" + prefix).Routes; len(r) != 3 {
		t.Errorf("routes: %+v", r)
	}
	c.change("DELETE", "/api/v1/paths", `{"prefix":"`+prefix+`"}`, nil)
	eventually(t, "the null one is gone", func() bool { return len(all.pathsOf(prefix)) == 2 })
	// One that changes keeps its id.
	a := c.post("/api/v1/paths", `{"prefix":"`+prefix+`","next_hop":"192.0.2.1","as_path":"64993","path_id":7}`)
	if got, want := a.advertised("127.21.11.1"), ids["64512 64992 1 2"]; got != want {
		t.Errorf("changed, its id is %s, was %s", got, want)
	}
	eventually(t, "it changes", func() bool { return all.pathsOf(prefix)["64512 64993"] == ids["64512 64992 1 2"] })
	c.change("DELETE", "/api/v1/paths", `{"prefix":"`+prefix+`","path_id":0}`, nil)
	eventually(t, "one is left", func() bool { return len(all.pathsOf(prefix)) == 1 })
	c.refused(404, "DELETE", "/api/v1/paths", `{"prefix":"`+prefix+`"}`, prefix)
}

var hexMessage = regexp.MustCompile(`"((?i:ff){16}[0-9a-fA-F]{6,})"`)

// messagesOf asks POST /updates for the messages of a body.
func (c *client) messagesOf(query, body string) (out []string) {
	c.t.Helper()
	status, b := c.ask("POST", "/api/v1/updates"+query, "application/json", strings.NewReader(body))
	if status/100 != 2 {
		c.t.Fatalf("POST /updates %s: %d %s", body, status, b)
	}
	for _, m := range hexMessage.FindAllSubmatch(b, -1) {
		out = append(out, strings.ToLower(string(m[1])))
	}
	return out
}

func TestUpdatesShowsTheOctetsThatAPeerIsSent(t *testing.T) {
	t.Parallel()
	c, to := hub(t, "policies:\n  more: [{then: {accept: true, add_communities: ['64512:99'], prepend: {as: 64512, times: 2}}}, {if: 'family == \"ipv4-flowspec\"', then: accept}]\n",
		"address: 127.21.12.1, as: 65001, export: more, add_path: {send: all}, families: [ipv4-unicast, ipv6-unicast, ipv4-flowspec]",
		"address: 127.21.12.2, as: 64512, families: [ipv4-unicast, ipv6-unicast, ipv4-flowspec]", "address: 127.21.12.3, as: 65003, export: reject-all")
	fs := []wire.Family{v4u, v6u, wire.IPv4FlowSpec}
	players := map[string]*player{
		"127.21.12.1": play(t, to, playerOptions{from: ip("127.21.12.1"), as: 65001, takeIDs: true, keep: true, families: fs}).settle(),
		"127.21.12.2": play(t, to, playerOptions{from: ip("127.21.12.2"), as: 64512, keep: true, families: fs}).settle(),
	}
	play(t, to, playerOptions{from: ip("127.21.12.3"), as: 65003}).settle()
	heard := func(p *player) []string {
		p.mu.Lock()
		defer p.mu.Unlock()
		var out []string
		for _, u := range p.updates {
			// All of it but End-of-RIB.
			if len(u) > 2*30 {
				out = append(out, u)
			}
		}
		return out
	}
	bodies := []string{
		`{"prefix":"203.0.113.0/24","next_hop":"192.0.2.1","communities":["64512:1"],"med":7}`,
		`{"prefix":"2001:db8:1::/48","next_hop":"2001:db8::1","next_hop_link_local":"fe80::1","large_communities":["1:2:3"]}`,
		`{"family":"ipv4-flowspec","nlri":"090120cb007107038111","ext_communities":["0x8006000000000000"]}`,
	}
	for _, body := range bodies {
		want := map[string][]string{}
		for addr := range players {
			if want[addr] = c.messagesOf("?peer="+addr, body); len(want[addr]) != 1 {
				t.Fatalf("%s: %d messages for %s", body, len(want[addr]), addr)
			}
		}
		before := map[string]int{}
		for addr, p := range players {
			before[addr] = len(heard(p))
		}
		c.change("POST", "/api/v1/paths", body, nil)
		for addr, p := range players {
			eventually(t, "the route", func() bool { return len(heard(p)) > before[addr] })
			got := heard(p)[before[addr]:]
			if addr == "127.21.12.1" {
				// The id on the wire is chosen when it is originated.
				if len(got) != 1 || len(got[0]) != len(want[addr][0]) {
					t.Errorf("%s to %s: sent %v, shown %v", body, addr, got, want[addr])
				}
				continue
			}
			if !slices.Equal(got, want[addr]) {
				t.Errorf("%s to %s: sent\n%v, shown\n%v", body, addr, got, want[addr])
			}
		}
	}
	if got := c.messagesOf("?peer=127.21.12.3", bodies[0]); len(got) != 0 {
		t.Errorf("to a peer whose policy refuses it: %v", got)
	}
	// Plain eBGP without a peer, by hand: ORIGIN, AS_PATH 64512, NEXT_HOP, MED.
	plain := c.messagesOf("", `{"prefix":"198.51.100.0/24","next_hop":"192.0.2.1","med":9}`)
	const want = "ffffffffffffffffffffffffffffffff003602000000" + "1b" + "40010100" + "400206020100" + "00fc00" + "400304c0000201" + "80040400000009" + "18c63364"
	if len(plain) != 1 || plain[0] != want {
		t.Errorf("plain eBGP: %v\nwant %s", plain, want)
	}
	if got := c.originates("?prefix=198.51.100.0/24"); len(got) != 0 {
		t.Errorf("what is shown is originated: %v", got)
	}
	c.messagesOf("?peer=127.21.12.2", `{"prefix":"198.51.100.0/24","next_hop":"192.0.2.1","send":true}`)
	eventually(t, "with send it goes out", func() bool { return slices.Contains(players["127.21.12.2"].holds(), "198.51.100.0/24") })
	if got := c.messagesOf("?peer=127.21.12.2", `[`+strings.Join(bodies, ",")+`]`); len(got) != 3 {
		t.Errorf("a list of three families: %d messages", len(got))
	}
}

func TestAPathEndsWithItsTimeWithin100Milliseconds(t *testing.T) {
	t.Parallel()
	c, to := hub(t, "", "address: 127.21.13.1, as: 65001")
	one := play(t, to, playerOptions{from: ip("127.21.13.1"), as: 65001}).settle()
	ends := map[string]time.Time{}
	// announce says that all are there before the first one ends.
	announce := func(life time.Duration) bool {
		for i := range 10 {
			prefix := fmt.Sprintf("10.%d.0.0/16", i)
			ttl := life + time.Duration(100*i)*time.Millisecond
			before := time.Now()
			a := c.post("/api/v1/paths", fmt.Sprintf(`{"prefix":%q,"next_hop":"192.0.2.1","ttl":%q}`, prefix, ttl))
			if a.ExpiresAt != nil && (a.ExpiresAt.Before(before.Add(ttl-10*time.Millisecond)) || a.ExpiresAt.After(time.Now().Add(ttl+10*time.Millisecond))) {
				t.Errorf("%s ends at %s, made at %s for %s", prefix, a.ExpiresAt, before, ttl)
			}
			ends[prefix] = before.Add(ttl)
		}
		first := ends["10.0.0.0/16"]
		eventually(t, "the paths are there", func() bool { return len(one.holds()) == len(ends) || time.Now().After(first) })
		return len(one.holds()) == len(ends) && time.Now().Before(first)
	}
	for life := 700 * time.Millisecond; !announce(life); life *= 2 {
		if life > waitLimit {
			t.Fatalf("taken in too slowly: %v are there", one.holds())
		}
		eventually(t, "the first have ended", func() bool { return len(one.holds())+len(c.originates("")) == 0 })
	}
	posted := time.Now()
	c.post("/api/v1/paths", `{"prefix":"192.0.2.0/24","next_hop":"192.0.2.1","ttl":1}`)
	c.post("/api/v1/paths", `{"prefix":"203.0.113.0/24","next_hop":"192.0.2.1","ttl":"1s"}`)
	c.post("/api/v1/paths", `{"prefix":"203.0.113.0/24","next_hop":"192.0.2.1","ttl":"1h"}`) // renewed
	c.post("/api/v1/paths", `{"prefix":"198.51.100.0/24","next_hop":"192.0.2.1"}`)
	machine := time.Since(posted) // nobody looks meanwhile
	var lags []time.Duration
	// One more path comes and goes meanwhile: what that takes is how late the
	// machine is, not ribd.
	const other = `{"prefix":"192.0.3.0/24","next_hop":"192.0.2.1"}`
	var asked time.Time // zero: it is as it was asked for
	there := false
	for len(ends) > 0 {
		for prefix, end := range ends {
			if !slices.Contains(one.holds(), prefix) {
				lags = append(lags, time.Since(end))
				delete(ends, prefix)
			}
		}
		switch {
		case asked.IsZero():
			asked, there = time.Now(), !there
			if there {
				c.change("POST", "/api/v1/paths", other, nil)
			} else {
				c.change("DELETE", "/api/v1/paths", other, nil)
			}
		case slices.Contains(one.holds(), "192.0.3.0/24") == there || len(ends) == 0:
			machine = max(machine, time.Since(asked))
			asked = time.Time{}
		}
		time.Sleep(time.Millisecond)
		if len(ends) > 0 && time.Since(slices.MinFunc(slices.Collect(maps.Values(ends)), time.Time.Compare)) > waitLimit {
			t.Fatalf("still there: %v", ends)
		}
	}
	slices.Sort(lags)
	// A machine that is busy with other tests delays some of them.
	if lags[0] < 0 || lags[len(lags)/2] > 100*time.Millisecond+2*machine {
		t.Errorf("withdrawn %v after their time, on a machine %v late", lags, machine)
	}
	if there {
		c.change("DELETE", "/api/v1/paths", other, nil)
	}
	one.expect("what has more time, and what has no end", "198.51.100.0/24", "203.0.113.0/24")
}

func TestWhatIsOriginatedIsKeptOverARestartWithItsTime(t *testing.T) {
	t.Parallel()
	for ttl := 3 * time.Second; !keptOverARestart(t, ttl); ttl *= 2 {
		if ttl > waitLimit {
			t.Fatalf("no restart in %s", ttl)
		}
	}
}

// keptOverARestart is false where the restart took longer than the time of a
// path.
func keptOverARestart(t *testing.T, ttl time.Duration) bool {
	dir := t.TempDir()
	src := hubConfig("persist: {dir: "+dir+"}\n", "address: 127.21.14.1, as: 65001, families: [ipv4-unicast, ipv6-flowspec], add_path: {send: all}")
	o := playerOptions{from: ip("127.21.14.1"), as: 65001, takeIDs: true, families: []wire.Family{v4u, wire.IPv6FlowSpec}}
	stop := func(e *Engine) {
		t.Helper()
		ctx, cancel := context.WithTimeout(context.Background(), waitLimit)
		defer cancel()
		if err := e.Shutdown(ctx); err != nil {
			t.Fatal(err)
		}
	}
	e, c, _ := speaking(t, src, nil)
	end := time.Now().Add(ttl)
	c.post("/api/v1/paths", `{"prefix":"203.0.113.0/24","next_hop":"192.0.2.1","path_id":5,"communities":["64512:5"]}`)
	c.post("/api/v1/paths", fmt.Sprintf(`{"prefix":"198.51.100.0/24","next_hop":"192.0.2.1","ttl":%q}`, ttl))
	c.post("/api/v1/paths", `{"prefix":"198.51.100.128/25","next_hop":"192.0.2.1","ttl":"20ms"}`)
	c.post("/api/v1/paths", `{"prefix":"192.0.2.0/24","next_hop":"192.0.2.1"}`)
	c.change("DELETE", "/api/v1/paths", `{"prefix":"192.0.2.0/24"}`, nil)
	rule := c.post("/api/v1/flowspec", `{"text":"destination 2001:db8::7/128 next-header =udp then rate-limit 0"}`)
	keyed := newRequest(t, c, "POST", "/api/v1/paths", `{"prefix":"10.0.0.0/8","next_hop":"192.0.2.1"}`)
	keyed.Header.Set("Idempotency-Key", "over a restart")
	_, first := do(t, c, keyed)
	c.change("DELETE", "/api/v1/paths", `{"prefix":"10.0.0.0/8"}`, nil)
	stop(e)
	e, c, _ = speaking(t, src, nil)
	one := play(t, e.BGPAddrs()[0].String(), o)
	eventually(t, "all of it again", func() bool { return len(one.holds()) == 3 || time.Now().After(end) })
	// A peer that kept what it had may sweep at End-of-RIB: nothing comes after it.
	one.settle()
	one.mu.Lock()
	said := slices.Clone(one.said)
	one.mu.Unlock()
	for _, f := range o.families {
		if end := slices.Index(said, "end-of-rib "+f.String()); end < slices.Index(said, "update") {
			t.Errorf("End-of-RIB of %s comes before the routes: %v", f, said)
		}
	}
	held, listed := strings.Join(one.holds(), " "), c.originates("")
	if !time.Now().Before(end) {
		return false
	}
	if !strings.Contains(held, "203.0.113.0/24 ") || !strings.Contains(held, "198.51.100.0/24 ") || !strings.Contains(held, "ipv6-flowspec ") {
		t.Errorf("sent after the restart: %s", held)
	}
	if !slices.Equal(listed, []string{"198.51.100.0/24", "203.0.113.0/24 5"}) && len(listed) != 3 {
		t.Errorf("listed: %v", listed)
	}
	if r := c.one("?prefix=203.0.113.0/24"); fmt.Sprint(r.Communities) != "[64512:5]" || r.PathID == nil || *r.PathID != 5 {
		t.Errorf("shown: %+v", r)
	}
	if r := c.rule(""); r.ID != rule.ID || r.Source != "local" {
		t.Errorf("the rule: %+v, was %s", r, rule.ID)
	}
	keyed = newRequest(t, c, "POST", "/api/v1/paths", `{"prefix":"10.0.0.0/8","next_hop":"192.0.2.1"}`)
	keyed.Header.Set("Idempotency-Key", "over a restart")
	if _, again := do(t, c, keyed); again != first {
		t.Errorf("the key's answer: %s, was %s", again, first)
	}
	eventually(t, "its time ends", func() bool { return len(one.holds()) == 2 })
	if lag := time.Since(end); lag < -20*time.Millisecond {
		t.Errorf("it ended %s before its time", -lag)
	}
	return true
}
