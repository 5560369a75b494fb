package engine

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"ribd/wire"
)

func TestTheHoldTimeIsNegotiatedAndKept(t *testing.T) {
	if testing.Short() {
		t.Skip("takes the shortest hold time there is, 3 s")
	}
	t.Parallel()
	c, to := hub(t, "", "address: 127.20.120.1, as: 65001", "address: 127.20.120.2, as: 65002, hold_time: 3s", "address: 127.20.120.3, as: 65003")
	other := play(t, to, playerOptions{from: ip("127.20.120.3"), as: 65003})
	lively := play(t, to, playerOptions{from: ip("127.20.120.2"), as: 65002})
	go func() {
		for !lively.over() {
			lively.conn.Write(wire.AppendKeepalive(nil))
			time.Sleep(100 * time.Millisecond)
		}
	}()
	lively.announce(0, []uint32{65002}, nil, "198.51.100.0/24")
	short := play(t, to, playerOptions{from: ip("127.20.120.1"), as: 65001, hold: 3})
	began := time.Now()
	short.announce(0, []uint32{65001}, nil, "203.0.113.0/24")
	other.expect("both", "198.51.100.0/24", "203.0.113.0/24")
	eventually(t, "who is silent is over", short.over)
	if took := time.Since(began); took < 2500*time.Millisecond {
		t.Errorf("the session ended after %s", took)
	}
	if n := short.notifications(); len(n) != 1 || n[0].Code != wire.CodeHoldTimer {
		t.Errorf("told %v", n)
	}
	other.expect("who is silent has gone", "198.51.100.0/24")
	time.Sleep(4*time.Second - time.Since(began))
	if lively.over() {
		t.Fatalf("the lively one is over: %v", lively.notifications())
	}
	p := c.peer("127.20.120.2")
	if p.Messages.Sent.Keepalive < 3 || *p.Timers.Hold.Negotiated != 3 || *p.Timers.Keepalive != 1 {
		t.Errorf("messages %+v, timers %+v", p.Messages.Sent, p.Timers)
	}
	if p = c.peer("127.20.120.1"); p.LastDown == nil || !strings.Contains(p.LastDown.Reason, "hold") {
		t.Errorf("why it went down: %+v", p.LastDown)
	}
}

func TestALongASNumberOfOursIsASTransToTwoOctetPeers(t *testing.T) {
	t.Parallel()
	e, c, _ := speaking(t, strings.Replace(hubConfig("", "address: 127.20.121.1, as: 65001", "address: 127.20.121.2, as: 70002"), "as: 64512", "as: 4200000000", 1), nil)
	to := e.BGPAddrs()[0].String()
	old := play(t, to, playerOptions{from: ip("127.20.121.1"), as: 65001, as2: true})
	two := play(t, to, playerOptions{from: ip("127.20.121.2"), as: 70002})
	if two.opened.AS != 4200000000 {
		t.Errorf("our OPEN says AS %d", two.opened.AS)
	}
	two.announce(0, []uint32{70002}, nil, "203.0.113.0/24")
	old.expect("the route", "203.0.113.0/24")
	if got := old.text("203.0.113.0/24", wire.AttrASPath); got != "4200000000 70002" {
		t.Errorf("AS path %s", got)
	}
	if p := c.peer("127.20.121.1"); p.Local.ASN != 4200000000 || p.Type != "external" {
		t.Errorf("local %+v", p.Local)
	}
}

// RFC 7947 2.3.2.2.2: Add-Path instead of a best path for each client.
func TestARouteServerSendsAllPathsWithAddPath(t *testing.T) {
	t.Parallel()
	_, to := hub(t, "policies: {not-one: [{if: 'from.asn == 65001', then: reject}, {then: accept}]}\n",
		"address: 127.20.122.1, as: 65001, route_server_client: true, add_path: {receive: true}", "address: 127.20.122.2, as: 65002, route_server_client: true",
		"address: 127.20.122.3, as: 65003, route_server_client: true, add_path: {send: all}", "address: 127.20.122.4, as: 65004, route_server_client: true, add_path: {send: best-2}, export: not-one")
	one := play(t, to, playerOptions{from: ip("127.20.122.1"), as: 65001, sendIDs: true})
	two := play(t, to, playerOptions{from: ip("127.20.122.2"), as: 65002})
	all := play(t, to, playerOptions{from: ip("127.20.122.3"), as: 65003, takeIDs: true})
	few := play(t, to, playerOptions{from: ip("127.20.122.4"), as: 65004, takeIDs: true})
	const prefix = "203.0.113.0/24"
	one.announce(1, []uint32{65001}, nil, prefix)
	one.announce(2, []uint32{65001, 65100}, nil, prefix)
	two.announce(0, []uint32{65002, 65100, 65101}, nil, prefix)
	eventually(t, "all three, as they came", func() bool {
		got := all.pathsOf(prefix)
		return len(got) == 3 && got["65001"] != "" && got["65001 65100"] != "" && got["65002 65100 65101"] != ""
	})
	eventually(t, "the best two that policy allows", func() bool {
		got := few.pathsOf(prefix)
		return len(got) == 1 && got["65002 65100 65101"] != ""
	})
}

func TestEveryPeerHasMetrics(t *testing.T) {
	t.Parallel()
	c, to := hub(t, "", "address: 127.20.123.1, as: 65001, name: transit", "address: 127.20.123.2, as: 65002")
	one := play(t, to, playerOptions{from: ip("127.20.123.1"), as: 65001})
	one.announce(0, []uint32{65001}, nil, "203.0.113.0/24")
	eventually(t, "the route", func() bool { return len(c.routes("").Routes) == 1 })
	_, b := c.ask("GET", "/metrics", "", nil)
	var lines []string
	for l := range strings.Lines(string(b)) {
		if strings.HasPrefix(l, "ribd_peer") && strings.Contains(l, "127.20.123.") {
			lines = append(lines, l)
		}
	}
	text := strings.Join(lines, "")
	for _, want := range []string{"ribd_peer_up", "ribd_peer_flaps", "ribd_peer_messages", "ribd_peer_paths", "ribd_peer_bytes"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s among\n%s", want, text)
		}
	}
	for _, addr := range []string{"127.20.123.1", "127.20.123.2"} {
		if !strings.Contains(text, fmt.Sprintf("%q", addr)) {
			t.Errorf("nothing of %s", addr)
		}
	}
}

func TestAdjOutIsOfOnePeer(t *testing.T) {
	t.Parallel()
	c, to := hub(t, "", "address: 127.20.124.1, as: 65001", "address: 127.20.124.2, as: 65002")
	play(t, to, playerOptions{from: ip("127.20.124.1"), as: 65001})
	for query, want := range map[string]int{"&peer=127.20.124.1": 200, "&peer=127.20.124.2": 200, "&peer=127.20.124.3": 404, "": 400} {
		status, b := c.ask("GET", "/api/v1/routes?table=adj-out"+query, "", nil)
		if status != want {
			t.Errorf("%q: %d %s, want %d", query, status, b, want)
		}
	}
}
