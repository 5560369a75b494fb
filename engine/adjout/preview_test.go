package adjout

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	"ribd/shard"
	"ribd/shard/rib"
	"ribd/trie"
	"ribd/wire"
	"ribd/wire/flowspec"
)

// previewRoute is a route of tests in Preview's terms.
func previewRoute(from rib.PeerNum, prefix string, a attrSpec) PreviewRoute {
	pre := netip.MustParsePrefix(prefix)
	r := PreviewRoute{Family: wire.IPv4Unicast, From: from, Attrs: a.canonical()}
	if pre.Addr().Is6() {
		r.Family = wire.IPv6Unicast
	}
	r.Key, r.Len = trie.PrefixKey(pre)
	return r
}

// TestPreviewIsWhatIsSent previews batches of random routes, announces them, and
// compares octets: over the kinds of peers, with and without Add-Path.
func TestPreviewIsWhatIsSent(t *testing.T) {
	seed := rand.Uint64()
	rnd := rand.New(rand.NewPCG(seed, 1))
	targets := map[string]func(*Target){
		"external":        func(*Target) {},
		"internal":        func(to *Target) { to.Internal = true },
		"server":          func(to *Target) { to.RSClient = true },
		"narrow":          func(to *Target) { to.Send.AS4 = false },
		"multiprotocol":   func(to *Target) { to.Send.MP4 = true },
		"next hop self":   func(to *Target) { to.NextHop = NextHopSelf },
		"redirect by hop": func(to *Target) { to.Redirect = flowspec.RedirectNextHop },
		"extended":        func(to *Target) { to.Send.Extended = true },
		"policy": func(to *Target) {
			to.Export = &policy{key: "/20", route: func(p netip.Prefix) bool { return p.Bits() > 20 }}
		},
		"add-path":         func(to *Target) { to.AddPath = map[wire.Family]int{wire.IPv4Unicast: AddPathAll, wire.IPv4FlowSpec: 8} },
		"not one of these": func(to *Target) { to.ID = "nobody" },
	}
	for _, name := range slices.Sorted(maps.Keys(targets)) { // a seed is always the same test
		f := targets[name]
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, shard.Options{Shards: 1}, Options{})
			l, few := w.localSource(nil), w.localSource(map[string]struct{}{"1": {}})
			p := w.peer(1, false, false)
			to := p.to()
			to.Families = append(to.Families, wire.IPv4FlowSpec)
			f(&to)
			to.normalise()
			var mu sync.Mutex
			var sent []byte
			c := newCounter()
			c.on = func(msgs []byte) {
				mu.Lock()
				sent = append(sent, msgs...)
				mu.Unlock()
			}
			mb := w.m.Join(to, c)
			for range 20 {
				// One batch, in which no two routes have the same attributes: how the
				// routes of one set are ordered is nobody's business.
				eventually(t, "in step", mb.InStep)
				var routes []PreviewRoute
				for i := range 1 + rnd.IntN(30) {
					from := l.num
					if rnd.IntN(3) == 0 {
						from = few.num
					}
					a := spec(uint32(1000+i), 70000)
					if rnd.IntN(3) == 0 {
						a.Hop = "0.0.0.0"
					}
					prefix := fmt.Sprintf("10.%d.0.0/%d", rnd.IntN(8), 16+i%16)
					r := previewRoute(from, prefix, a)
					switch rnd.IntN(5) {
					case 0:
						a.Hop = "2001:db8::5"
						r = previewRoute(from, fmt.Sprintf("2001:db8:%x::/%d", rnd.IntN(8), 48+i), a)
					case 1:
						a.Hop = ""
						a.Other = redirectTo
						r = PreviewRoute{Family: wire.IPv4FlowSpec, From: from, Attrs: a.canonical(), NLRI: []byte{5, 1, 24, 10, byte(rnd.IntN(8)), byte(i)}}
						r.Key, r.Len, _ = w.rib.RawKey(r.NLRI)
					}
					if slices.ContainsFunc(routes, func(o PreviewRoute) bool {
						return o.Family == r.Family && o.Key == r.Key && o.Len == r.Len
					}) {
						continue
					}
					routes = append(routes, r)
				}
				mu.Lock()
				sent = sent[:0]
				mu.Unlock()
				for _, withdraw := range []bool{false, true} {
					for i := range routes {
						routes[i].Withdraw = withdraw
					}
					preview, refused, err := w.m.Preview(to, routes)
					if err != nil {
						t.Fatal(err)
					}
					if !withdraw { // what is not sent is not taken back
						for _, r := range slices.Backward(refused) {
							routes = slices.Delete(routes, r.Index, r.Index+1)
						}
					}
					for i := range routes {
						r := &routes[i]
						table, _ := w.rib.Table(r.Family, 0)
						if withdraw {
							w.fan.Withdraw(table, r.Key, r.Len, r.From, 0, false)
							continue
						}
						id, _ := w.rib.Attrs().Intern(r.Attrs)
						w.fan.Announce(table, r.Key, r.Len, &rib.Path{Peer: r.From, Attrs: id, Received: 1})
					}
					w.told()
					mu.Lock()
					got, want := messages(sent), messages(preview)
					if withdraw { // in any order, and by any number of messages
						got, want = withdrawn(t, to, got), withdrawn(t, to, want)
					}
					if !slices.Equal(got, want) {
						t.Errorf("seed %d, withdraw %t, %d routes, refused %v:\nsent    %x\npreview %x", seed, withdraw, len(routes), refused, got, want)
					}
					sent = sent[:0]
					mu.Unlock()
				}
				if t.Failed() {
					return
				}
			}
		})
	}
}

// messages cuts messages apart, and sorts them: the feed may bring what was
// flushed at once in several batches.
func messages(b []byte) (msgs []string) {
	for len(b) > 0 {
		n := int(b[16])<<8 | int(b[17])
		msgs, b = append(msgs, string(b[:n])), b[n:]
	}
	slices.Sort(msgs)
	return msgs
}

// withdrawn is what messages withdraw, sorted.
func withdrawn(t *testing.T, to Target, msgs []string) (out []string) {
	s := newSink(t, to.Send, to.Internal)
	s.dropped = func(r route) { out = append(out, fmt.Sprint(r)) }
	for _, msg := range msgs {
		s.update([]byte(msg))
	}
	slices.Sort(out)
	return out
}

func TestPreviewSaysWhatIsRefused(t *testing.T) {
	w := newWorld(t, shard.Options{Shards: 1}, Options{})
	l, few := w.localSource(nil), w.localSource(map[string]struct{}{})
	p := w.peer(1, false, false)
	to := p.to()
	routes := []PreviewRoute{
		previewRoute(l.num, "192.0.2.0/24", spec()),
		previewRoute(few.num, "192.0.2.0/24", spec()),
		previewRoute(l.num, "192.0.2.0/24", with(spec(), func(a *attrSpec) { a.Communities = []uint32{communityLLGRStale} })),
		previewRoute(l.num, "2001:db8::/32", spec()),
		{Family: wire.IPv4FlowSpec, From: l.num, NLRI: []byte{5, 1, 24, 10, 0, 0}, Attrs: spec().canonical()},
	}
	msgs, refused, err := w.m.Preview(to, routes)
	if got := fmt.Sprint(refused, err); got != "[{1 not one of its peers} {2 llgr-stale} {3 no next hop that the peer can use} {4 family not negotiated}] <nil>" {
		t.Errorf("got %s", got)
	}
	s := newSink(t, to.Send, false)
	s.take(msgs, 1, 0)
	if len(s.held) != 1 {
		t.Errorf("the messages hold %v", s.held)
	}
	for _, table := range w.rib.Stats().Tables {
		if table.Paths != 0 {
			t.Errorf("%d paths of %v are in the RIB", table.Paths, table.Family)
		}
	}
	if _, _, err := w.m.Preview(to, []PreviewRoute{previewRoute(p.num, "192.0.2.0/24", spec())}); err == nil || !strings.Contains(err.Error(), "no local source") {
		t.Errorf("a session's route: %v", err)
	}
}

// TestPreviewKnowsThePathIDs announces three paths, and previews a change of one,
// and another one.
func TestPreviewKnowsThePathIDs(t *testing.T) {
	w := newWorld(t, shard.Options{Shards: 1}, Options{})
	l := w.localSource(nil)
	p := w.peer(1, false, false)
	to := p.to()
	to.AddPath = map[wire.Family]int{wire.IPv4Unicast: AddPathAll}
	w.join(p, to)
	for id := range 3 {
		w.announce(&testPeer{num: l.num}, "192.0.2.0/24", spec(uint32(100+id)), 10+id)
	}
	w.settle()
	ids := map[uint32]uint32{}
	table, _ := w.rib.Table(wire.IPv4Unicast, 0)
	k, n := trie.PrefixKey(netip.MustParsePrefix("192.0.2.0/24"))
	for id := range uint32(3) {
		v := w.m.Explain(table, k, n, l.num, 10+id, true, nil)[0]
		if v.State != Sent || !v.HasPathID {
			t.Fatalf("path %d: %s", id, v.text())
		}
		ids[10+id] = v.PathID
	}
	r := previewRoute(l.num, "192.0.2.0/24", spec(500))
	r.HasPathID = true
	var routes []PreviewRoute
	for _, id := range []uint32{12, 11, 77, 78, 77} {
		r.PathID = id
		routes = append(routes, r)
	}
	msgs, _, err := w.m.Preview(p.member.Target(), routes)
	if err != nil {
		t.Fatal(err)
	}
	var got []uint32
	var u wire.Update
	if err := u.Parse(msgs, &wire.Session{AS4: true, AddPath: wire.FamilySet{}.With(wire.IPv4Unicast), External: true}); err != nil {
		t.Fatal(err)
	}
	for nlri := u.NLRI4(); nlri.Next(); {
		got = append(got, nlri.PathID())
	}
	if want := []uint32{ids[12], ids[11], 4, 5, 4}; !slices.Equal(got, want) {
		t.Errorf("path ids %v, want %v", got, want)
	}
}
