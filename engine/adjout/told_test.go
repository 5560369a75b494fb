package adjout

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"ribd/shard"
	"ribd/shard/rib"
	"ribd/trie"
	"ribd/wire"
)

// told waits until groups have passed what was flushed.
func (w *world) told() {
	w.t.Helper()
	w.fan.Flush()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := w.m.Told(ctx, w.rib.Mark(nil)); err != nil {
		w.t.Fatal(err)
	}
}

// verdict is what Explain says of a local source's path towards a peer.
func (w *world) verdict(l *localSource, prefix string, p *testPeer) Verdict {
	w.t.Helper()
	pre := netip.MustParsePrefix(prefix)
	k, n := trie.PrefixKey(pre)
	t := rib.TableIPv4Unicast
	if pre.Addr().Is6() {
		t = rib.TableIPv6Unicast
	}
	for _, v := range w.m.Explain(t, k, n, l.num, 0, false, nil) {
		if v.Member == p.member {
			return v
		}
	}
	w.t.Fatalf("no verdict for peer %s", p.info.ID)
	return Verdict{}
}

func (v Verdict) text() string {
	if v.Reason != "" {
		return v.State.String() + ": " + v.Reason
	}
	return v.State.String()
}

// TestToldIsWithThePeers announces one route after the other: when Told returns,
// every peer in step has it, without any other waiting.
func TestToldIsWithThePeers(t *testing.T) {
	w := newWorld(t, shard.Options{Shards: 2}, Options{})
	l := w.localSource(nil)
	for i := range 5 {
		p := w.peer(i, i == 1, false)
		to := p.to()
		if i > 2 {
			to.Role, to.HasRole = wire.RoleProvider, true
		}
		w.join(p, to)
	}
	w.settle()
	for i := range 300 {
		prefix := fmt.Sprintf("10.%d.%d.0/24", i/200, i%200)
		w.announce(&testPeer{num: l.num}, prefix, spec(), -1)
		w.told()
		for j := range w.peers {
			p := w.peers[j]
			p.sink.mu.Lock()
			_, ok := p.sink.held[route{wire.IPv4Unicast, 0, prefix, 0}]
			p.sink.mu.Unlock()
			if v := w.verdict(l, prefix, p); !ok || v.State != Sent {
				t.Fatalf("peer %d: held %t after Told, Explain says %s", j, ok, v.text())
			}
		}
	}
}

func TestWhoReadsNothingIsQueued(t *testing.T) {
	w := newWorld(t, shard.Options{Shards: 1}, Options{})
	l := w.localSource(nil)
	fast, slow := w.peer(1, false, false), w.peer(2, false, false)
	w.join(fast, fast.to())
	w.join(slow, slow.to())
	w.settle()
	slow.sink.set(func() { slow.sink.stuck = true })
	w.announce(&testPeer{num: l.num}, "192.0.2.0/24", spec(), -1)
	w.told()
	if got := w.verdict(l, "192.0.2.0/24", slow).text(); got != "queued: the peer reads slowly" {
		t.Errorf("the slow one: %s", got)
	}
	// In Send, which has begun and not returned, it is queued all the same.
	for waits := false; !waits; time.Sleep(time.Millisecond) {
		slow.sink.mu.Lock()
		waits = slow.sink.in
		slow.sink.mu.Unlock()
	}
	if got := w.verdict(l, "192.0.2.0/24", slow).text(); got != "queued: the peer reads slowly" {
		t.Errorf("the slow one, in Send: %s", got)
	}
	if got := w.verdict(l, "192.0.2.0/24", fast).text(); got != "sent" {
		t.Errorf("the other: %s", got)
	}
	slow.sink.set(func() { slow.sink.stuck = false })
	w.settle()
	if got := w.verdict(l, "192.0.2.0/24", slow).text(); got != "sent" {
		t.Errorf("then: %s", got)
	}
}

func TestAnIntervalIsNotWaitedFor(t *testing.T) {
	w := newWorld(t, shard.Options{Shards: 1}, Options{})
	l := w.localSource(nil)
	p := w.peer(1, false, false)
	to := p.to()
	to.Interval = time.Hour
	w.join(p, to)
	w.settle()
	w.announce(&testPeer{num: l.num}, "192.0.2.0/24", spec(), -1)
	w.told()
	if got := w.verdict(l, "192.0.2.0/24", p).text(); got != "sent" {
		t.Errorf("the first: %s", got)
	}
	w.announce(&testPeer{num: l.num}, "198.51.100.0/24", spec(), -1)
	w.told()
	if got := w.verdict(l, "198.51.100.0/24", p).text(); got != "queued: advertisement interval" {
		t.Errorf("the one after it: %s", got)
	}
}

func TestHeldBackIsQueued(t *testing.T) {
	w := newWorld(t, shard.Options{Shards: 1}, Options{Hold: true})
	l := w.localSource(nil)
	p := w.peer(1, false, false)
	w.join(p, p.to())
	w.announce(&testPeer{num: l.num}, "192.0.2.0/24", spec(), -1)
	w.told()
	if got := w.verdict(l, "192.0.2.0/24", p).text(); got != "queued: held back until the restart is over" {
		t.Errorf("got %s", got)
	}
	w.m.Release()
	w.settle()
	if got := w.verdict(l, "192.0.2.0/24", p).text(); got != "sent" {
		t.Errorf("then %s", got)
	}
}

// TestReasonsOfRefusal has one peer for each.
func TestReasonsOfRefusal(t *testing.T) {
	w := newWorld(t, shard.Options{Shards: 1}, Options{})
	some := w.localSource(map[string]struct{}{"1": {}})
	all := w.localSource(nil)
	cases := []struct {
		want   string
		src    *localSource
		prefix string
		spec   attrSpec
		to     func(*Target)
	}{
		{"sent", some, "192.0.2.0/24", spec(), func(to *Target) { to.ID = "1" }},
		{"refused: not one of its peers", some, "192.0.2.0/24", spec(), nil},
		{"refused: policy", all, "198.51.100.0/24", spec(), func(to *Target) { to.Export = nil }},
		{"refused: policy", all, "198.51.100.0/24", spec(), func(to *Target) {
			to.Export = &policy{key: "none", rib: w.rib, set: func(a attrSpec) (attrSpec, bool) { return a, false }}
		}},
		{"refused: policy", all, "198.51.100.0/24", spec(), func(to *Target) {
			to.Export = &policy{key: "long", rib: w.rib, route: func(p netip.Prefix) bool { return p.Bits() > 24 }}
		}},
		{"refused: family not negotiated", all, "198.51.100.0/24", spec(), func(to *Target) { to.Families = []wire.Family{wire.IPv6Unicast} }},
		{"sent", all, "203.0.113.0/25", with(spec(), func(a *attrSpec) { a.Communities = []uint32{communityNoExport} }), nil},
		{"sent", all, "203.0.113.0/25", with(spec(), func(a *attrSpec) { a.Communities = []uint32{communityNoExport} }), func(to *Target) { to.Internal = true }},
		{"sent", all, "203.0.113.128/25", with(spec(), func(a *attrSpec) { a.Communities = []uint32{communityNoAdvertise} }),
			func(to *Target) { to.Internal = true }},
		{"refused: llgr-stale", all, "10.1.0.0/16", with(spec(), func(a *attrSpec) { a.Communities = []uint32{communityLLGRStale} }), nil},
		{"refused: only-to-customer", all, "10.2.0.0/16", with(spec(), func(a *attrSpec) { a.OTC = 7 }), func(to *Target) { to.Role, to.HasRole = wire.RolePeer, true }},
		{"refused: no next hop that the peer can use", all, "10.3.0.0/16", with(spec(), func(a *attrSpec) { a.Hop = "2001:db8::1" }), nil},
		{"refused: too long", all, "10.4.0.0/16", with(spec(), func(a *attrSpec) {
			for i := range uint32(1100) {
				a.Communities = append(a.Communities, i)
			}
		}), nil},
		{"refused: withdrawn", all, "10.99.0.0/16", attrSpec{}, nil},
		{"refused: not-best", some, "10.5.0.0/16", spec(100, 200), func(to *Target) { to.ID = "1" }},
		{"refused: add-path limit", some, "10.5.0.0/16", spec(100, 200), func(to *Target) {
			to.ID, to.AddPath = "1", map[wire.Family]int{wire.IPv4Unicast: 1}
		}},
		{"refused: not-best", some, "10.5.0.0/16", spec(100, 200), func(to *Target) { to.ID, to.RSClient = "1", true }},
	}
	w.announce(&testPeer{num: all.num}, "10.5.0.0/16", spec(), -1)
	for i, c := range cases {
		if c.prefix != "10.99.0.0/16" {
			w.announce(&testPeer{num: c.src.num}, c.prefix, c.spec, -1)
		}
		p := w.peer(i+10, false, false)
		to := p.to()
		if c.to != nil {
			c.to(&to)
		}
		w.join(p, to)
	}
	w.settle()
	for i, c := range cases {
		if got := w.verdict(c.src, c.prefix, w.peers[i+10]).text(); got != c.want {
			t.Errorf("%d: %s: got %s, want %s", i, c.prefix, got, c.want)
		}
	}
}

// TestARuleThatNoMessageHoldsIsToldOf sends rules of up to 4,095 octets with and
// without extended messages (RFC 8654).
func TestARuleThatNoMessageHoldsIsToldOf(t *testing.T) {
	w := newWorld(t, shard.Options{Shards: 1}, Options{})
	l := w.localSource(nil)
	for i, extended := range []bool{false, true} {
		p := w.peer(i, false, false)
		to := p.to()
		to.Families = []wire.Family{wire.IPv4FlowSpec}
		to.Send.Extended = extended
		w.join(p, to)
	}
	w.settle()
	table, _ := w.rib.Table(wire.IPv4FlowSpec, 0)
	fit := map[bool]int{}
	for n := 3900; n <= 4095; n++ {
		nlri := []byte{0xf0 | byte(n>>8), byte(n), 4}
		for len(nlri) < n {
			nlri = append(nlri, 0x01, byte(n))
		}
		nlri = append(nlri[:n], 0x81, byte(n))
		a := with(spec(), func(a *attrSpec) { a.Hop = "" })
		w.announceRule(l.num, string(nlri), a, -1)
		w.told()
		k, kn, _ := w.rib.RawKey(nlri)
		for _, v := range w.m.Explain(table, k, kn, l.num, 0, false, nil) {
			extended := v.Member == w.peers[1].member
			_, held := w.peers[map[bool]int{false: 0, true: 1}[extended]].sink.held[route{wire.IPv4FlowSpec, 0, string(nlri), 0}]
			if held != (v.State == Sent) || v.State == Refused && v.Reason != "too long" {
				t.Fatalf("%d octets, extended messages %t: %s, held %t", n, extended, v.text(), held)
			}
			if held {
				fit[extended] = n
			}
		}
	}
	// 19 of the header, 4 of lengths, ORIGIN 4, AS_PATH 9, MP_REACH_NLRI 4 + 5, and
	// a path id's room; the NLRI has its own 2.
	if want := 4096 - 19 - 4 - 4 - 9 - 9 - 4 - 2; fit[false] != want || fit[true] != 4095 {
		t.Errorf("the longest rules that are sent have %v octets, want %d and 4095", fit, want)
	}
}

// TestToldEndsWhateverGroupsDo has members come and go, and policies change, while
// others wait.
func TestToldEndsWhateverGroupsDo(t *testing.T) {
	w := newWorld(t, shard.Options{Shards: 2, FeedSize: 512}, Options{slice: 16, ebb: time.Millisecond})
	l := w.localSource(nil)
	for i := range 4 {
		p := w.peer(i, false, false)
		w.join(p, p.to())
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for i := range 2 {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(i), 1))
			fan := w.rib.NewFan()
			defer fan.Close()
			id, _ := w.rib.Attrs().Intern(spec(uint32(i + 1)).canonical())
			for {
				select {
				case <-stop:
					return
				default:
				}
				for range 1 + rnd.IntN(700) {
					fan.Announce(rib.TableIPv4Unicast, trie.Key4(rnd.Uint32N(1<<10)<<16), 24, &rib.Path{Peer: l.num, Attrs: id, PathID: uint32(i), HasPathID: true, Received: 1})
				}
				fan.Flush()
				ctx, cancel := context.WithTimeout(context.Background(), patience)
				if err := w.m.Told(ctx, w.rib.Mark(nil)); err != nil {
					t.Errorf("Told: %v", err)
				}
				cancel()
				w.m.Explain(rib.TableIPv4Unicast, trie.Key4(rnd.Uint32N(1<<10)<<16), 24, l.num, uint32(i), true, nil)
			}
		})
	}
	even := &policy{key: "even", route: func(p netip.Prefix) bool { return p.Addr().As4()[1]%2 == 0 }}
	for i := range 200 {
		p := w.peers[i%4]
		switch i % 5 {
		case 0:
			p.sink.stop()
			p.member.Leave()
			w.join(p, p.to())
		case 1:
			p.member.SetExport(even)
		case 2:
			p.member.SetExport(nil)
		case 3:
			p.member.SetExport(acceptAll)
		case 4:
			p.sink.set(func() { p.sink.refuse = 2 })
		}
		time.Sleep(time.Millisecond)
	}
	close(stop)
	wg.Wait()
}

func TestToldEndsWithItsContext(t *testing.T) {
	w := newWorld(t, shard.Options{Shards: 1}, Options{})
	p := w.peer(1, false, false)
	w.join(p, p.to())
	w.settle()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	mark := w.rib.Mark(nil)
	mark[0] += 1000
	if err := w.m.Told(ctx, mark); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if err := w.m.Told(context.Background(), w.rib.Mark(nil)); err != nil {
		t.Errorf("and then %v", err)
	}
}

// TestRestrictedRoutesLeaveNoTrace counts what peers are sent that a source's
// routes are not for.
func TestRestrictedRoutesLeaveNoTrace(t *testing.T) {
	w := newWorld(t, shard.Options{Shards: 1}, Options{})
	l := w.localSource(map[string]struct{}{"0": {}, "2": {}})
	for i := range 4 {
		p := w.peer(i, false, false)
		w.join(p, p.to())
	}
	w.settle()
	if n := len(w.m.Groups()); n != 1 {
		t.Fatalf("%d groups, want one", n)
	}
	var before [4]int
	for i := range before {
		before[i] = w.peers[i].sink.octets
	}
	for range 10 {
		w.announce(&testPeer{num: l.num}, "192.0.2.0/24", spec(), -1)
		w.told()
		w.withdraw(&testPeer{num: l.num}, "192.0.2.0/24", -1)
		w.told()
	}
	for i := range before {
		if got := w.peers[i].sink.octets - before[i]; (got > 0) != (i%2 == 0) {
			t.Errorf("peer %d was sent %d octets", i, got)
		}
	}
	if n := len(w.m.Groups()); n != 1 {
		t.Errorf("%d groups, want one still", n)
	}
	got := slices.Collect(func(yield func(int) bool) {
		for i := range before {
			if !yield(w.peers[i].sink.spurious) {
				return
			}
		}
	})
	if fmt.Sprint(got) != "[0 0 0 0]" {
		t.Errorf("withdrawals of what was not there: %v", got)
	}
}
