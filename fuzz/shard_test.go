package fuzz

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"ribd/shard"
	"ribd/shard/rib"
	"ribd/trie"
)

// FuzzShard promises of any sequence of announcements, withdrawals and lost
// peers: each prefix holds the paths that a plain map holds, in the order that
// choosing again and again by RFC 4271 section 9.1 gives, with the step that
// decided; the longest match is the longest prefix with a path that is not
// filtered; and every View stays as it was when it was taken.
func FuzzShard(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 0, 1, 0, 0, 2, 0, 2, 1, 0, 0, 0})
	seed := make([]byte, 60*opSize)
	for i := range seed {
		seed[i] = byte(i * i * 7 >> 3)
	}
	f.Add(seed)
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := shard.Open(shard.Options{Shards: 2})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		d := newDecisions(t, r)
		for n := 0; len(data) >= opSize && n < 200; n++ {
			d.apply(data[:opSize])
			data = data[opSize:]
			if n%5 == 4 {
				d.checkpoint()
			}
		}
		d.checkpoint()
		for i, old := range d.views {
			d.check(fmt.Sprintf("view %d at the end", i), old.view, old.want)
			old.view.Close()
		}
	})
}

const opSize = 8

var decisionPrefixes = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/0"),
	netip.MustParsePrefix("10.0.0.0/8"), // in the roof, as the one above
	netip.MustParsePrefix("10.0.0.0/16"),
	netip.MustParsePrefix("10.0.0.0/24"),
	netip.MustParsePrefix("10.0.0.1/32"),
}

// decisionPath is a path as the naive side keeps it.
type decisionPath struct {
	peer      int
	hasID     bool
	id        uint32
	stale     rib.Stale
	filtered  rib.FilterReason
	attrs     rib.AttrID
	localPref uint32
	path      []uint32
	origin    byte
	med       uint32
	originID  uint32 // 0: none
	clusters  int
}

type decisionPeer struct {
	info rib.PeerInfo
	num  rib.PeerNum
	down bool
}

type decisions struct {
	t     *testing.T
	r     *shard.RIB
	f     *shard.Fan
	peers []decisionPeer
	paths [][]decisionPath // by prefix
	views []decisionView
}

type decisionView struct {
	view *shard.View
	want [][]decisionPath
}

func newDecisions(t *testing.T, r *shard.RIB) *decisions {
	d := &decisions{t: t, r: r, f: r.NewFan(), paths: make([][]decisionPath, len(decisionPrefixes))}
	for i, p := range []rib.PeerInfo{
		{Addr: netip.MustParseAddr("192.0.2.1"), RouterID: 9},
		{Addr: netip.MustParseAddr("192.0.2.2"), RouterID: 9},
		{Addr: netip.MustParseAddr("192.0.2.3"), RouterID: 5},
		{Addr: netip.MustParseAddr("192.0.2.4"), RouterID: 7, Internal: true},
		{Addr: netip.MustParseAddr("192.0.2.5"), RouterID: 3, Internal: true},
		{Addr: netip.MustParseAddr("192.0.2.6"), RouterID: 4, Source: rib.SourceMRT},
		{Addr: netip.MustParseAddr("2001:db8::1"), RouterID: 4, Source: rib.SourceMRT},
		{Source: rib.SourceLocal, RouterID: 1},
	} {
		p.ID, p.AS = fmt.Sprintf("%016x", i+1), 65000+uint32(i)
		num, err := r.AddPeer(p)
		if err != nil {
			t.Fatal(err)
		}
		d.peers = append(d.peers, decisionPeer{info: p, num: num})
	}
	return d
}

// apply reads one operation from its octets and does it on both sides.
func (d *decisions) apply(b []byte) {
	prefix, peer := int(b[0]>>4)%len(decisionPrefixes), int(b[0]&7)
	key := decisionPath{peer: peer, hasID: b[1]&1 != 0}
	if key.hasID {
		key.id = uint32(b[1] >> 1 & 3)
	}
	at := slices.IndexFunc(d.paths[prefix], func(p decisionPath) bool {
		return p.peer == peer && p.hasID == key.hasID && p.id == key.id
	})
	k, n := trie.PrefixKey(decisionPrefixes[prefix])
	switch kind := b[1] >> 3; {
	case kind == 31 && peer != 7:
		d.f.Flush()
		d.r.Sync()
		if !d.peers[peer].down {
			d.r.DropPeer(d.peers[peer].num)
			d.peers[peer].down = true
		}
		for i := range d.paths {
			d.paths[i] = slices.DeleteFunc(slices.Clone(d.paths[i]), func(p decisionPath) bool { return p.peer == peer })
		}
	case d.peers[peer].down:
	case kind >= 22:
		d.f.Withdraw(rib.TableIPv4Unicast, k, n, d.peers[peer].num, key.id, key.hasID)
		if at >= 0 {
			d.paths[prefix] = slices.Delete(slices.Clone(d.paths[prefix]), at, at+1)
		}
	default:
		p := d.read(key, b)
		d.f.Announce(rib.TableIPv4Unicast, k, n, &rib.Path{Peer: d.peers[peer].num, Attrs: p.attrs, PathID: p.id, HasPathID: p.hasID,
			Stale: p.stale, Filtered: p.filtered, Received: uint32(b[7])})
		d.paths[prefix] = slices.Clone(d.paths[prefix])
		if at >= 0 {
			d.paths[prefix][at] = p
		} else {
			d.paths[prefix] = append(d.paths[prefix], p)
		}
	}
}

// read makes a path of the octets of an operation and interns its attributes.
func (d *decisions) read(p decisionPath, b []byte) decisionPath {
	p.origin = b[2] & 3 % 3
	p.localPref, p.med = rib.DefaultLocalPref, 0
	for i := range int(b[2] >> 2 & 3) {
		p.path = append(p.path, 64500+uint32(b[2]>>(4+i)&1))
	}
	attrs := []byte{0x40, 1, 1, p.origin, 0x40, 2, 0}
	if len(p.path) > 0 {
		attrs[6] = byte(2 + 4*len(p.path))
		attrs = append(attrs, 2, byte(len(p.path)))
		for _, as := range p.path {
			attrs = binary.BigEndian.AppendUint32(attrs, as)
		}
	}
	attrs = append(attrs, 0x40, 3, 4, 192, 0, 2, 1)
	if b[3]&1 != 0 {
		p.med = uint32(b[3] >> 1 & 3)
		attrs = binary.BigEndian.AppendUint32(append(attrs, 0x80, 4, 4), p.med)
	}
	if b[3]&8 != 0 {
		p.localPref = 99 + uint32(b[3]>>4&3)
		attrs = binary.BigEndian.AppendUint32(append(attrs, 0x40, 5, 4), p.localPref)
	}
	if b[4]&1 != 0 {
		p.originID = 3 + uint32(b[4]>>1&3)
		attrs = binary.BigEndian.AppendUint32(append(attrs, 0x80, 9, 4), p.originID)
	}
	if p.clusters = int(b[4] >> 3 & 3); p.clusters > 0 {
		attrs = append(attrs, 0x80, 10, byte(4*p.clusters))
		attrs = append(attrs, make([]byte, 4*p.clusters)...)
	}
	p.stale = rib.Stale(b[5] & 3)
	if b[5]>>2 < 8 {
		p.filtered = rib.FilterPolicy
	}
	id, ok := d.r.Attrs().Intern(attrs)
	if !ok {
		d.t.Fatal("no room for an attribute set")
	}
	p.attrs = id
	return p
}

// checkpoint compares the state, and keeps a View of it for the end.
func (d *decisions) checkpoint() {
	d.f.Flush()
	d.r.Sync()
	v := d.r.View()
	want := slices.Clone(d.paths)
	d.check(fmt.Sprintf("view %d", len(d.views)), v, want)
	if len(d.views) < 20 {
		d.views = append(d.views, decisionView{v, want})
	} else {
		v.Close()
	}
}

func (d *decisions) check(which string, v *shard.View, want [][]decisionPath) {
	d.t.Helper()
	longest := -1
	for i, p := range decisionPrefixes {
		order, step := d.decide(want[i])
		k, n := trie.PrefixKey(p)
		m := v.Get(rib.TableIPv4Unicast, k, n)
		if m.OK() != (len(order) > 0) {
			d.t.Fatalf("%s: %v is there: %v, want %v", which, p, m.OK(), len(order) > 0)
		}
		if len(order) == 0 {
			continue
		}
		got := v.Paths(m, nil)
		if len(got) != len(order) {
			d.t.Fatalf("%s: %v has %d paths, want %d", which, p, len(got), len(order))
		}
		live := 0
		for j, w := range order {
			g := got[j]
			if w.filtered == 0 {
				live++
			}
			if g.Peer != d.peers[w.peer].num || g.HasPathID != w.hasID || g.PathID != w.id || g.Attrs != w.attrs || g.Stale != w.stale || g.Filtered != w.filtered {
				d.t.Fatalf("%s: %v: path %d is %+v, want %+v of peer %d", which, p, j, g, w, d.peers[w.peer].num)
			}
			if int(g.Rank) != j+1 || g.Best != (j == 0 && w.filtered == 0) || j == 0 && g.Reason != step {
				d.t.Fatalf("%s: %v: path %d has rank %d, best %v, reason %v; want best by %v", which, p, j, g.Rank, g.Best, g.Reason, step)
			}
		}
		if live > 0 {
			longest = i
			if best, count, _ := v.Best(m); count != live || best.Attrs != order[0].attrs || best.Peer != d.peers[order[0].peer].num {
				d.t.Fatalf("%s: %v: best of peer %d among %d, want peer %d among %d", which, p, best.Peer, count, d.peers[order[0].peer].num, live)
			}
		}
	}
	m := v.Match(rib.TableIPv4Unicast, trie.Key4(10<<24|1), 32)
	if m.OK() != (longest >= 0) || longest >= 0 && m.Prefix() != decisionPrefixes[longest] {
		d.t.Fatalf("%s: longest match %v (%v), want number %d", which, m.Len, m.OK(), longest)
	}
}

// decide orders paths by choosing the best, then the best of the rest, and so on;
// the filtered ones come last. step is what decided between the first two.
func (d *decisions) decide(paths []decisionPath) (order []decisionPath, step rib.Step) {
	left := slices.Clone(paths)
	for len(left) > 0 {
		best, _ := d.best(left)
		order = append(order, left[best])
		left = slices.Delete(left, best, best+1)
	}
	switch {
	case len(order) == 0 || order[0].filtered != 0:
		return order, rib.StepNone
	case len(order) == 1 || order[1].filtered != 0:
		return order, rib.StepOnlyPath
	}
	_, step = d.best(order[:2])
	return order, step
}

// best eliminates candidates step by step and returns which is left, and the step
// that left it alone.
func (d *decisions) best(paths []decisionPath) (int, rib.Step) {
	left := make([]int, len(paths))
	for i := range left {
		left[i] = i
	}
	least := func(value func(p *decisionPath) uint64) {
		low := ^uint64(0)
		for _, i := range left {
			low = min(low, value(&paths[i]))
		}
		left = slices.DeleteFunc(left, func(i int) bool { return value(&paths[i]) > low })
	}
	is := func(b bool) uint64 {
		if b {
			return 1
		}
		return 0
	}
	info := func(p *decisionPath) *rib.PeerInfo { return &d.peers[p.peer].info }
	neighbor := func(p *decisionPath) uint32 {
		if len(p.path) == 0 {
			return 0
		}
		return p.path[0]
	}
	med := func() {
		if paths[left[0]].filtered != 0 {
			return // filtered paths stand last in an order without MED
		}
		left = slices.DeleteFunc(slices.Clone(left), func(i int) bool {
			return slices.ContainsFunc(left, func(j int) bool {
				return neighbor(&paths[i]) == neighbor(&paths[j]) && paths[j].med < paths[i].med
			})
		})
	}
	addr := func(p *decisionPath) (hi, lo uint64) {
		if a := info(p).Addr; a.IsValid() {
			b := a.As16()
			return binary.BigEndian.Uint64(b[:]), binary.BigEndian.Uint64(b[8:])
		}
		return 0, 0
	}
	for _, s := range []struct {
		step rib.Step
		cut  func()
	}{
		{rib.StepNone, func() { least(func(p *decisionPath) uint64 { return is(p.filtered != 0) }) }},
		{rib.StepLive, func() { least(func(p *decisionPath) uint64 { return is(!info(p).Source.Live()) }) }},
		{rib.StepLocalOrigin, func() { least(func(p *decisionPath) uint64 { return is(info(p).Source != rib.SourceLocal) }) }},
		{rib.StepStale, func() { least(func(p *decisionPath) uint64 { return is(p.stale == rib.StaleLLGR) }) }},
		{rib.StepLocalPref, func() { least(func(p *decisionPath) uint64 { return uint64(^p.localPref) }) }},
		{rib.StepASPathLength, func() { least(func(p *decisionPath) uint64 { return uint64(len(p.path)) }) }},
		{rib.StepOrigin, func() { least(func(p *decisionPath) uint64 { return uint64(p.origin) }) }},
		{rib.StepMED, med},
		{rib.StepExternal, func() { least(func(p *decisionPath) uint64 { return is(info(p).Internal) }) }},
		{rib.StepRouterID, func() {
			least(func(p *decisionPath) uint64 {
				if p.originID != 0 {
					return uint64(p.originID)
				}
				return uint64(info(p).RouterID)
			})
		}},
		{rib.StepClusterList, func() { least(func(p *decisionPath) uint64 { return uint64(p.clusters) }) }},
		{rib.StepPeerAddress, func() {
			least(func(p *decisionPath) uint64 { hi, _ := addr(p); return hi })
			least(func(p *decisionPath) uint64 { _, lo := addr(p); return lo })
		}},
		{rib.StepPathID, func() {
			least(func(p *decisionPath) uint64 { return is(p.hasID) })
			least(func(p *decisionPath) uint64 { return uint64(p.id) })
		}},
		{rib.StepPeerNumber, func() { least(func(p *decisionPath) uint64 { return uint64(d.peers[p.peer].num) }) }},
	} {
		if s.cut(); len(left) == 1 {
			return left[0], s.step
		}
	}
	d.t.Fatalf("two paths with one key: %+v", paths)
	return 0, 0
}
