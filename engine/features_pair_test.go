package engine

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"ribd/engine/api/apiv1"
	"ribd/wire"
)

func TestWhatCameFromADumpIsNeverSent(t *testing.T) {
	t.Parallel()
	c, to := hub(t, "", "address: 127.20.100.1, as: 65001", "address: 127.20.100.2, as: 64512", "address: 127.20.100.3, as: 65003, route_server_client: true",
		"address: 127.20.100.4, as: 65004, add_path: {send: all}")
	players := []*player{
		play(t, to, playerOptions{from: ip("127.20.100.1"), as: 65001}), play(t, to, playerOptions{from: ip("127.20.100.2"), as: 64512}),
		play(t, to, playerOptions{from: ip("127.20.100.3"), as: 65003}), play(t, to, playerOptions{from: ip("127.20.100.4"), as: 65004, takeIDs: true}),
	}
	f, err := os.Open(sample)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	status, b := c.ask("POST", "/api/v1/load?collector=sample", "application/octet-stream", f)
	if status != 202 {
		t.Fatalf("load: %d %s", status, b)
	}
	var n apiv1.Count
	eventually(t, "the dump", func() bool { c.get("/api/v1/routes/count?source=mrt", &n); return n.Paths >= samplePaths })
	// A live route is better than a dump's for the same prefix, however long.
	r := c.routes("?family=ipv4-unicast&limit=1").Routes[0]
	long := []uint32{65001}
	for i := range uint32(30) {
		long = append(long, 100+i)
	}
	players[0].announce(0, long, nil, *r.Prefix)
	players[0].announce(0, []uint32{65001}, nil, "240.0.0.0/24")
	players[1].expect("live ones alone", *r.Prefix, "240.0.0.0/24")
	players[2].expect("live ones alone", *r.Prefix, "240.0.0.0/24")
	eventually(t, "live ones alone, with Add-Path", func() bool { return len(players[3].holds()) == 2 })
	if best := c.routes("?best=true&prefix=" + *r.Prefix).Routes; len(best) != 1 || best[0].Source != "bgp" {
		t.Errorf("best: %+v", best)
	}
	if sent := c.routes("?table=adj-out&peer=127.20.100.2").Routes; len(sent) != 2 {
		t.Errorf("adj-out has %d routes", len(sent))
	}
	players[0].withdraw(0, *r.Prefix)
	players[1].expect("the dump's is best now, and not sent", "240.0.0.0/24")
	for _, p := range players {
		if p.over() {
			t.Error("a session has ended")
		}
	}
}

// pair are two ribds that speak with each other: left of AS 64512 and right of
// AS 64513, with a feeder at the left one and a sink at the right one.
type pair struct {
	left, right   *Engine
	cl, cr        *client
	feeder, sink  *player
	atLeft, atRig string // the session's addresses as the other end sees them
}

func newPair(t *testing.T, at, leftKeys, rightKeys string) *pair {
	t.Helper()
	p := &pair{atLeft: at + "1", atRig: at + "2"}
	p.left, p.cl, _ = speaking(t, fmt.Sprintf(`
as: 64512
router_id: 192.0.2.1
peer_defaults: {import: accept-all, export: accept-all, mode: passive}
peers:
  - {address: %s2, as: 64513%s}
  - {address: %s9, as: 65001, add_path: {receive: true}}
`, at, leftKeys, at), nil)
	port := netip.MustParseAddrPort(p.left.BGPAddrs()[0].String()).Port()
	p.right, p.cr, _ = speaking(t, fmt.Sprintf(`
as: 64513
router_id: 192.0.2.2
peer_defaults: {import: accept-all, export: accept-all}
peers:
  - {address: 127.0.0.1, as: 64512, mode: active, port: %d, local_address: %s2, connect_retry: 1s%s}
  - {address: %s8, as: 65002, mode: passive, add_path: {send: all}}
`, port, at, rightKeys, at), nil)
	p.feeder = play(t, p.left.BGPAddrs()[0].String(), playerOptions{from: ip(at + "9"), as: 65001, sendIDs: true})
	p.sink = play(t, p.right.BGPAddrs()[0].String(), playerOptions{from: ip(at + "8"), as: 65002, takeIDs: true})
	eventually(t, "the two speak", func() bool {
		return p.cl.peer(p.atRig).State == "established" && p.cr.peer("127.0.0.1").State == "established"
	})
	return p
}

func TestTwoRibdsPassEveryPathOn(t *testing.T) {
	t.Parallel()
	p := newPair(t, "127.20.101.", ", add_path: {receive: true, send: all}", ", add_path: {receive: true, send: all}")
	p.feeder.announce(1, []uint32{65001}, nil, "203.0.113.0/24")
	p.feeder.announce(2, []uint32{65001, 65100}, func(e *wire.AttrEditor) {
		e.AddCommunities([]uint32{65001<<16 | 1})
		e.AddLargeCommunities([][12]byte{large(1, 2, 3)})
		e.Set(wire.AttrAggregator, unhex("0000fde9 c0000201"))
	}, "203.0.113.0/24")
	p.feeder.tell(v6u, attributes([]uint32{65001}, ip("2001:db8::9"), nil), nlri{prefix: "2001:db8:1::/48", id: 5})
	eventually(t, "both paths of the one and the other", func() bool { return len(p.sink.holds()) == 3 })
	got := p.sink.pathsOf("203.0.113.0/24")
	if got["64513 64512 65001"] == "" || got["64513 64512 65001 65100"] == "" {
		t.Errorf("paths %v", got)
	}
	key := "203.0.113.0/24 " + got["64513 64512 65001 65100"]
	if s := p.sink.text(key, wire.AttrCommunities) + ", " + p.sink.text(key, wire.AttrLargeCommunities) + ", " + p.sink.text(key, wire.AttrAggregator); s != "65001:1, 1:2:3, 0000fde9c0000201" {
		t.Errorf("attributes %s", s)
	}
	left, right := p.cl.peer(p.atRig), p.cr.peer("127.0.0.1")
	if l, r := left.Families[0], right.Families[0]; l.Advertised != 2 || r.Received != 2 || r.Prefixes != 1 || !l.AddPath.Send || !r.AddPath.Receive {
		t.Errorf("left %+v, right %+v", l, r)
	}
	// What one sent of each capability is what the other received.
	for _, k := range left.Capabilities {
		i := slices.IndexFunc(right.Capabilities, func(o apiv1.Capability) bool { return o.Code == k.Code })
		if i < 0 || fmt.Sprint(right.Capabilities[i].Received) != fmt.Sprint(k.Sent) || fmt.Sprint(right.Capabilities[i].Sent) != fmt.Sprint(k.Received) {
			t.Errorf("%s differs: %+v", k.Name, k)
		}
	}
	p.feeder.withdraw(1, "203.0.113.0/24")
	eventually(t, "one is withdrawn, the other stays", func() bool {
		got := p.sink.pathsOf("203.0.113.0/24")
		return len(got) == 1 && got["64513 64512 65001 65100"] == strings.TrimPrefix(key, "203.0.113.0/24 ")
	})
}

// Both ends negotiate graceful restart with RFC 8538: the end of a ribd that
// ends as configured keeps its routes or takes them away.
func TestTheOtherRibdKeepsRoutesOverARestart(t *testing.T) {
	t.Parallel()
	const keys = ", graceful_restart: {restart_time: 60s, helper_only: false}"
	p := newPair(t, "127.20.102.", keys, keys)
	p.feeder.announce(1, []uint32{65001}, nil, "203.0.113.0/24")
	eventually(t, "the route", func() bool { return len(p.sink.holds()) == 1 })
	ctx, cancel := context.WithTimeout(context.Background(), waitLimit)
	defer cancel()
	if err := p.left.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is stale", func() bool { return p.cr.staleOf("203.0.113.0/24") == "gr" })
	if got := p.sink.holds(); len(got) != 1 {
		t.Errorf("the sink holds %v", got)
	}
	q := p.cr.peer("127.0.0.1")
	if q.State == "established" || q.Families[0].Stale != 1 || q.LastDown == nil || q.LastDown.Reason == "" {
		t.Errorf("the peer's page: %s, %+v, last down %+v", q.State, q.Families[0], q.LastDown)
	}
	if status, b := p.cr.ask("POST", "/api/v1/peers/127.0.0.1/disable", "", nil); status/100 != 2 {
		t.Fatalf("disable: %d %s", status, b)
	}
	p.sink.expect("disabled: for good")
}

// An active and a passive end find each other, and both active ones end with
// one session (RFC 4271 6.8).
func TestTwoThatCallEachOtherHaveOneSession(t *testing.T) {
	t.Parallel()
	const at = "127.20.103."
	// Both listen on ports that the other has to know first.
	ports := freePorts(t, at+"1", at+"2")
	var clients []*client
	for i := range 2 {
		src := fmt.Sprintf("as: %d\nrouter_id: 192.0.2.%d\npeers:\n  - {address: %s%d, as: %d, port: %d, local_address: %s%d, mode: both, connect_retry: 1s, import: accept-all, export: accept-all}\n",
			64512+i, i+1, at, 2-i, 64513-i, ports[1-i].Port(), at, i+1)
		_, c, _ := speaking(t, src, func(o *Options) { o.Config.BGP.Listen[0].Address = ports[i].String() })
		clients = append(clients, c)
	}
	up := func(i int) apiv1.Peer { return clients[i].peer(fmt.Sprintf("%s%d", at, 2-i)) }
	eventually(t, "established at both ends", func() bool { return up(0).State == "established" && up(1).State == "established" })
	since := up(0).Since
	received := func(i int) bool {
		e := up(i).Families[0].EndOfRIB
		return e != nil && e.Received != nil
	}
	eventually(t, "End-of-RIB both ways", func() bool { return received(0) && received(1) })
	for i := range 2 {
		if p := up(i); p.Flaps != 0 || p.Messages.Received.Update == 0 {
			t.Errorf("end %d: %d flaps, %+v", i, p.Flaps, p.Messages.Received)
		}
	}
	if got := up(0).Since; !got.Equal(*since) {
		t.Errorf("the session was lost: since %s, was %s", got, since)
	}
}

// freePorts finds a free port at each address.
func freePorts(t *testing.T, addrs ...string) (ps []netip.AddrPort) {
	t.Helper()
	for _, a := range addrs {
		l, err := net.Listen("tcp", a+":0")
		if err != nil {
			t.Fatal(err)
		}
		ps = append(ps, netip.MustParseAddrPort(l.Addr().String()))
		l.Close()
	}
	return ps
}
