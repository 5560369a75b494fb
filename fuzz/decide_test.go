package fuzz

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"ribd/internal/slab"
	"ribd/shard/rib"
)

// decidePath is what a path of FuzzDecide is made of, seven octets of input.
type decidePath struct {
	rib.Path
	asPath           []uint32
	pref, med        uint32
	origin           byte
	originator       uint32
	clusters         int
	live, local, ext bool
	routerID         uint32
	addr             netip.Addr
}

// FuzzDecide promises of any set of paths of one prefix: the order in a block
// is that of eliminating by RFC 4271 section 9.1 again and again, whatever the
// order of arrival; the step is the first at which the two best differ; and
// leaving peers out gives the same as never having had them.
func FuzzDecide(f *testing.F) {
	f.Add([]byte{1, 2, 3, 4, 5, 6, 7, 2, 2, 3, 4, 5, 6, 7, 3, 9, 3, 0, 5, 6, 8})
	seed := make([]byte, 7*90)
	for i := range seed {
		seed[i] = byte(i*i>>2 + i)
	}
	f.Add(seed)
	f.Fuzz(func(t *testing.T, data []byte) {
		attrs := rib.NewAttrs(rib.AttrsOptions{MaxSets: 1 << 12, MaxWords: 1 << 20})
		defer attrs.Close()
		var peers rib.Peers
		paths := decidePaths(t, data, attrs, &peers)
		if len(paths) == 0 {
			return
		}
		a := slab.NewArena("blocks", 1<<20)
		defer a.Close()
		e := rib.NewEditor(slab.NewHeap(a, slab.NewDomain(), nil), attrs, &peers)
		blocks := rib.NewBlocks(a)
		r := &rib.Ranker{Attrs: attrs, Peers: &peers}
		ref := decideBlock(t, e, paths)
		got := blocks.Paths(ref, nil, r, nil)
		checkDecision(t, got, paths)

		slices.Reverse(paths)
		if again := blocks.Paths(decideBlock(t, e, paths), nil, r, nil); !slices.Equal(again, got) {
			t.Fatalf("another order of arrival gives\n%+v, not\n%+v", again, got)
		}
		down := rib.PeerSet(nil).With(got[0].Peer).With(paths[0].Peer)
		left := slices.DeleteFunc(slices.Clone(paths), func(p decidePath) bool { return down.Has(p.Peer) })
		checkDecision(t, blocks.Paths(ref, down, r, nil), left)
	})
}

func decidePaths(t *testing.T, data []byte, attrs *rib.Attrs, peers *rib.Peers) (paths []decidePath) {
	seen := map[[2]uint32]bool{}
	for ; len(data) >= 7 && len(paths) < 200; data = data[7:] {
		num := rib.PeerNum(data[0]) + 1
		p := decidePath{Path: rib.Path{Peer: num, Received: uint32(len(data))}, pref: 100, routerID: uint32(num % 5)}
		p.addr = netip.AddrFrom4([4]byte{192, 0, 2, byte(num % 3)})
		p.live, p.local, p.ext = num%4 != 1, num%16 == 0, num%3 == 0
		info := rib.PeerInfo{Addr: p.addr, RouterID: p.routerID, Internal: !p.ext && !p.local}
		switch {
		case p.local:
			info.Source, p.live = rib.SourceLocal, true
			info.Addr, p.addr = netip.Addr{}, netip.Addr{}
		case !p.live:
			info.Source = rib.SourceMRT
		}
		if peers.Get(num) == nil {
			peers.Set(rib.NewPeer(num, info))
		}
		if data[1]&1 != 0 {
			p.HasPathID, p.PathID = true, uint32(data[1]>>1&3)
		}
		key := [2]uint32{uint32(num), p.PathID<<1 | uint32(data[1]&1)}
		if seen[key] {
			continue
		}
		seen[key] = true
		p.Stale = rib.Stale(data[1] >> 3 & 3)
		if data[1]>>5 == 7 {
			p.Filtered = rib.FilterPolicy
		}
		p.origin = data[2] % 3
		for i := range data[3] & 3 {
			p.asPath = append(p.asPath, 64500+uint32(data[3]>>(2+i)&1))
		}
		p.med = uint32(data[4] & 3)
		p.pref += uint32(data[4] >> 7)
		if data[5]&7 == 7 {
			p.originator, p.clusters = 1+uint32(data[5]>>3&3), int(data[5]>>5)
		}
		id, ok := attrs.Intern(decideSet(&p, data[6]&1))
		if !ok {
			t.Fatal("no room for a set")
		}
		p.Attrs = id
		paths = append(paths, p)
	}
	return paths
}

// decideSet is the canonical bytes of a path's attributes; an absent MED and
// one of 0 are the same to the decision.
func decideSet(p *decidePath, community byte) []byte {
	b := []byte{0x40, 1, 1, p.origin, 0x40, 2, 0}
	if len(p.asPath) > 0 {
		b[6] = byte(2 + 4*len(p.asPath))
		b = append(b, 2, byte(len(p.asPath)))
		for _, as := range p.asPath {
			b = binary.BigEndian.AppendUint32(b, as)
		}
	}
	b = append(b, 0x40, 3, 4, 192, 0, 2, 1)
	if p.med > 0 {
		b = append(b, 0x80, 4, 4, 0, 0, 0, byte(p.med))
	}
	if p.pref != 100 {
		b = append(b, 0x40, 5, 4, 0, 0, 0, byte(p.pref))
	}
	b = append(b, 0xc0, 8, 4, 0, 1, 0, community)
	if p.originator != 0 {
		b = append(b, 0x80, 9, 4, 0, 0, 0, byte(p.originator))
	}
	if p.clusters != 0 {
		b = append(append(b, 0x80, 10, byte(4*p.clusters)), make([]byte, 4*p.clusters)...)
	}
	return b
}

func decideBlock(t *testing.T, e *rib.Editor, paths []decidePath) uint32 {
	e.Open(0)
	var rec []uint32
	for i := range paths {
		rec = rib.AppendRecord(rec[:0], &paths[i].Path, true)
		e.Put(rec, i%2 == 0)
	}
	ref, ok := e.Commit(1, 1, false, false)
	if !ok {
		t.Fatal("no room for a block")
	}
	return ref
}

func checkDecision(t *testing.T, got []rib.Path, paths []decidePath) {
	t.Helper()
	if len(got) != len(paths) {
		t.Fatalf("%d paths, want %d", len(got), len(paths))
	}
	left := slices.DeleteFunc(slices.Clone(paths), func(p decidePath) bool { return p.Filtered != rib.FilterNone })
	var first decidePath
	for i := range got {
		if len(left) == 0 {
			if got[i].Filtered == rib.FilterNone {
				t.Fatalf("path %d is not filtered", i)
			}
			continue
		}
		want, _ := decideBest(left)
		g := got[i]
		if g.Peer != want.Peer || g.PathID != want.PathID || g.HasPathID != want.HasPathID || g.Attrs != want.Attrs || int(g.Rank) != i+1 || g.Best != (i == 0) {
			t.Fatalf("path %d is %+v, want %+v", i, g, want.Path)
		}
		left = slices.DeleteFunc(left, func(p decidePath) bool {
			return p.Peer == want.Peer && p.PathID == want.PathID && p.HasPathID == want.HasPathID
		})
		if i == 0 {
			first = want
		}
		if i == 1 {
			if _, step := decideBest([]decidePath{first, want}); got[0].Reason != step {
				t.Fatalf("%v decided, want %v, between\n%+v\n%+v", got[0].Reason, step, first, want)
			}
		}
	}
}

// decideBest eliminates step by step, and says at which step one was left.
func decideBest(ps []decidePath) (decidePath, rib.Step) {
	ps = slices.Clone(ps)
	flag := func(b bool) uint64 {
		if b {
			return 0
		}
		return 1
	}
	steps := []struct {
		step rib.Step
		of   func(decidePath) uint64 // less is better
	}{
		{rib.StepLive, func(p decidePath) uint64 { return flag(p.live) }},
		{rib.StepLocalOrigin, func(p decidePath) uint64 { return flag(p.local) }},
		{rib.StepStale, func(p decidePath) uint64 { return flag(p.Stale != rib.StaleLLGR) }},
		{rib.StepLocalPref, func(p decidePath) uint64 { return 1000 - uint64(p.pref) }},
		{rib.StepASPathLength, func(p decidePath) uint64 { return uint64(len(p.asPath)) }},
		{rib.StepOrigin, func(p decidePath) uint64 { return uint64(p.origin) }},
		{rib.StepMED, nil},
		{rib.StepExternal, func(p decidePath) uint64 { return flag(p.local || p.ext) }},
		{rib.StepRouterID, func(p decidePath) uint64 {
			if p.originator != 0 {
				return uint64(p.originator)
			}
			return uint64(p.routerID)
		}},
		{rib.StepClusterList, func(p decidePath) uint64 { return uint64(p.clusters) }},
		{rib.StepPeerAddress, func(p decidePath) uint64 {
			if !p.addr.IsValid() {
				return 0
			}
			b := p.addr.As4()
			return uint64(binary.BigEndian.Uint32(b[:]))
		}},
		{rib.StepPathID, func(p decidePath) uint64 { return 1 - flag(p.HasPathID) }},
		{rib.StepPathID, func(p decidePath) uint64 { return uint64(p.PathID) }},
		{rib.StepPeerNumber, func(p decidePath) uint64 { return uint64(p.Peer) }},
	}
	if len(ps) == 1 {
		return ps[0], rib.StepOnlyPath
	}
	for _, s := range steps {
		if s.of == nil {
			ps = decideMED(ps)
		} else {
			least := s.of(slices.MinFunc(ps, func(a, b decidePath) int { return int(s.of(a)) - int(s.of(b)) }))
			ps = slices.DeleteFunc(ps, func(p decidePath) bool { return s.of(p) != least })
		}
		if len(ps) == 1 {
			return ps[0], s.step
		}
	}
	panic(fmt.Sprintf("paths with one key: %+v", ps))
}

// decideMED takes out what another path of the same neighbour AS beats.
func decideMED(ps []decidePath) []decidePath {
	neighbor := func(p decidePath) uint32 {
		if len(p.asPath) == 0 {
			return 0
		}
		return p.asPath[0]
	}
	var out []decidePath
	for _, p := range ps {
		if !slices.ContainsFunc(ps, func(q decidePath) bool { return neighbor(q) == neighbor(p) && q.med < p.med }) {
			out = append(out, p)
		}
	}
	return out
}
