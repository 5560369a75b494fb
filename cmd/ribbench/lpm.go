package main

import (
	"fmt"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/gaissmai/bart"
	"github.com/kentik/patricia"
	"github.com/kentik/patricia/uint32_tree"

	"ribd/internal/benchkit"
	"ribd/internal/slab"
	"ribd/shard"
	"ribd/shard/rib"
	"ribd/trie"
)

// questions is how many different addresses a run asks for: enough that no cache
// holds what they touch.
const questions = 1 << 20

// image is the forwarding image of a list of prefixes, as a shard keeps it. The
// value of a prefix is its place in the list, plus one.
type image struct {
	v4     *trie.Image4
	v6     *trie.Image6
	arenas [2]*slab.Arena
}

func (m *image) close() {
	for _, a := range m.arenas {
		a.Close()
	}
}

func buildImage(ps []netip.Prefix) (*image, error) {
	nodes, words := slab.NewArena("image", 1<<28), slab.NewArena("handles", 1<<26)
	m := &image{arenas: [2]*slab.Arena{nodes, words}}
	hs := trie.NewHandles(words)
	domain := slab.NewDomain()
	heap := trie.NewImageHeap(nodes, domain)
	handles := trie.NewHandleHeap(hs, domain)
	var w *trie.ImageWriter
	if ps[0].Addr().Is4() {
		m.v4 = trie.NewImage4(nodes, hs)
		w = m.v4.Writer(heap)
	} else {
		m.v6 = trie.NewImage6(nodes, hs)
		w = m.v6.Writer(heap)
	}
	for i, p := range ps {
		k, n := trie.PrefixKey(p)
		h, ok := handles.Alloc(n, uint32(i+1))
		if !ok || !w.Insert(k, n, h) {
			return nil, fmt.Errorf("no room for %v in the image", p)
		}
		if i%1024 == 0 || i == len(ps)-1 {
			epoch := domain.Advance()
			heap.Publish(uint32(i/1024+2), epoch)
			handles.Publish(epoch)
			heap.Reclaim()
			handles.Reclaim()
		}
	}
	return m, nil
}

// fill returns a RIB that holds one path for each prefix, of one peer.
func fill(ps []netip.Prefix, o shard.Options) (*shard.RIB, rib.PeerNum, error) {
	r, err := shard.Open(o)
	if err != nil {
		return nil, 0, err
	}
	peer, err := r.AddPeer(rib.PeerInfo{ID: "bench", Source: rib.SourceBGP, Addr: netip.MustParseAddr("192.0.2.1"), AS: 64496,
		RouterID: 0xc0000201})
	if err != nil {
		r.Close()
		return nil, 0, err
	}
	ids, err := internSome(r, 1000)
	if err != nil {
		r.Close()
		return nil, 0, err
	}
	f := r.NewFan()
	for i, p := range ps {
		k, n := trie.PrefixKey(p)
		f.Announce(tableOf(p), k, n, &rib.Path{Peer: peer, Attrs: ids[i%len(ids)], Received: 1_767_225_600})
	}
	f.Close()
	r.Sync()
	return r, peer, nil
}

// internSome interns n attribute sets that differ in their AS_PATH.
func internSome(r *shard.RIB, n int) ([]rib.AttrID, error) {
	ids := make([]rib.AttrID, n)
	for i := range ids {
		b := []byte{0x40, 1, 1, 0, 0x40, 2, 10, 2, 2, 0, 0, 0xfb, 0xf0, 0, 1, byte(i >> 8), byte(i), 0x40, 3, 4, 192, 0, 2, 1}
		id, ok := r.Attrs().Intern(b)
		if !ok {
			return nil, fmt.Errorf("no room for an attribute set")
		}
		ids[i] = id
	}
	return ids, nil
}

func tableOf(p netip.Prefix) rib.TableID {
	if p.Addr().Is4() {
		return rib.TableIPv4Unicast
	}
	return rib.TableIPv6Unicast
}

func buildBart(ps []netip.Prefix) *bart.Fast[uint32] {
	t := &bart.Fast[uint32]{}
	for i, p := range ps {
		t.Insert(p, uint32(i+1))
	}
	return t
}

// asker asks n look-ups, from where it stopped last, and returns ns for each. chain
// makes each wait for the one before.
type asker func(n int, chain bool) float64

// sink keeps results alive. It is written once a run.
var sink atomic.Uint64

// zero is 0, and the compiler does not know it: a result & zero makes the next
// question wait for it.
var zero uint32

func per(n int, start time.Time) float64 {
	return float64(time.Since(start).Nanoseconds()) / float64(n)
}

func askImage4(m *image, as []uint32) asker {
	at := 0
	return func(n int, chain bool) float64 {
		v4, mask, x, sum := m.v4, zero, uint32(0), uint32(0)
		start := time.Now()
		if chain {
			for i := at; i < at+n; i++ {
				x = v4.Lookup(as[(i+int(x&mask))&(questions-1)])
			}
		} else {
			for i := at; i < at+n; i++ {
				sum += v4.Lookup(as[i&(questions-1)])
			}
		}
		sink.Add(uint64(x + sum))
		at += n
		return per(n, start)
	}
}

func askImage6(m *image, hi, lo []uint64) asker {
	at := 0
	return func(n int, chain bool) float64 {
		v6, mask, x, sum := m.v6, zero, uint32(0), uint32(0)
		start := time.Now()
		for i := at; i < at+n; i++ {
			j := i & (questions - 1)
			if chain {
				j = (i + int(x&mask)) & (questions - 1)
				x = v6.Lookup(hi[j], lo[j])
			} else {
				sum += v6.Lookup(hi[j], lo[j])
			}
		}
		sink.Add(uint64(x + sum))
		at += n
		return per(n, start)
	}
}

// askReader asks the whole way of the server: image, handle, path block, peers.
func askReader(r *shard.RIB, as []uint32, hi, lo []uint64) asker {
	rd := r.NewReader()
	at := 0
	return func(n int, chain bool) float64 {
		mask, x, sum := zero, uint32(0), uint32(0)
		start := time.Now()
		for i := at; i < at+n; {
			rd.Pin()
			for end := min(i+1024, at+n); i < end; i++ {
				j := (i + int(x&mask)) & (questions - 1)
				var m shard.Match
				if as != nil {
					m = rd.Match4(as[j])
				} else {
					m = rd.Match6(hi[j], lo[j])
				}
				if sum += uint32(m.Len); chain {
					x = uint32(m.Len)
				}
			}
			rd.Unpin()
		}
		sink.Add(uint64(x + sum))
		at += n
		return per(n, start)
	}
}

func askBart(t *bart.Fast[uint32], as []netip.Addr) asker {
	at := 0
	return func(n int, chain bool) float64 {
		mask, x, sum := zero, uint32(0), uint32(0)
		start := time.Now()
		for i := at; i < at+n; i++ {
			v, _ := t.Lookup(as[(i+int(x&mask))&(questions-1)])
			if sum += v; chain {
				x = v
			}
		}
		sink.Add(uint64(x + sum))
		at += n
		return per(n, start)
	}
}

func askPatricia(ps []netip.Prefix, as []netip.Addr) asker {
	if ps[0].Addr().Is4() {
		t := uint32_tree.NewTreeV4()
		for i, p := range ps {
			t.Set(patricia.NewIPv4Address(benchkit.Uint32(p.Addr()), uint(p.Bits())), uint32(i+1))
		}
		at := 0
		return func(n int, _ bool) float64 {
			sum := uint32(0)
			start := time.Now()
			for i := at; i < at+n; i++ {
				_, v := t.FindDeepestTag(patricia.NewIPv4Address(benchkit.Uint32(as[i&(questions-1)]), 32))
				sum += v
			}
			sink.Add(uint64(sum))
			at += n
			return per(n, start)
		}
	}
	t := uint32_tree.NewTreeV6()
	for i, p := range ps {
		t.Set(patricia.NewIPv6Address(p.Addr().AsSlice(), uint(p.Bits())), uint32(i+1))
	}
	at := 0
	return func(n int, _ bool) float64 {
		sum := uint32(0)
		start := time.Now()
		for i := at; i < at+n; i++ {
			b := as[i&(questions-1)].As16()
			_, v := t.FindDeepestTag(patricia.NewIPv6Address(b[:], 128))
			sum += v
		}
		sink.Add(uint64(sum))
		at += n
		return per(n, start)
	}
}

// lpm measures longest match: the image by itself, whose value is a handle as
// bart's is an integer, and the whole way through a Reader.
func (e *env) lpm() error {
	for _, family := range []struct {
		name                   string
		ps                     []netip.Prefix
		independent, dependent *benchkit.Goal
	}{
		{"IPv4", e.v4, benchkit.RatioAtLeast(12), benchkit.RatioAtLeast(4)},
		{"IPv6", e.v6, benchkit.RatioAtLeast(5), nil},
	} {
		e.note("longest match, %s: building", family.name)
		as := benchkit.Addresses(family.ps, questions, 7)
		m, err := buildImage(family.ps)
		if err != nil {
			return err
		}
		r, _, err := fill(family.ps, shard.Options{})
		if err != nil {
			return err
		}
		var img, whole asker
		if family.name == "IPv4" {
			raw := make([]uint32, len(as))
			for i, a := range as {
				raw[i] = benchkit.Uint32(a)
			}
			img, whole = askImage4(m, raw), askReader(r, raw, nil, nil)
		} else {
			hi, lo := make([]uint64, len(as)), make([]uint64, len(as))
			for i, a := range as {
				hi[i], lo[i] = benchkit.Uint64s(a)
			}
			img, whole = askImage6(m, hi, lo), askReader(r, nil, hi, lo)
		}
		rival := askBart(buildBart(family.ps), as)
		pair := func(name string, ours asker, chain bool, goal *benchkit.Goal) {
			a, b := benchkit.Slices(e.Runs, lpmSlices, e.side(ours, chain, 3), e.side(rival, chain, 1))
			e.add(benchkit.Paired("longest match "+family.name+", "+name, "ns", "bart.Fast", a, b, benchkit.LessIsBetter, e.atFull(goal)))
		}
		pair("independent", img, false, family.independent)
		pair("each waits for the one before", img, true, family.dependent)
		pair("whole (Reader), independent", whole, false, nil)
		pair("whole (Reader), each waits", whole, true, nil)
		old := askPatricia(family.ps, as)
		a, b := benchkit.Slices(e.Runs, lpmSlices, e.side(img, false, 3), e.side(old, false, -2))
		e.add(benchkit.Paired("longest match "+family.name+", independent, beside patricia", "ns", "kentik/patricia", a, b, benchkit.LessIsBetter, nil))
		r.Close()
		m.close()
	}
	return nil
}

// lpmSlices is how many turns a run of look-ups has.
const lpmSlices = 21

// side makes one side of a pair: weight says how many look-ups, for a slice of five
// to ten milliseconds. Each slice goes on where the one before stopped, and first
// asks half as many without looking at the clock: the other side had the caches.
func (e *env) side(f asker, chain bool, weight int) func() float64 {
	n := 1 << (16 + weight)
	if e.Smoke {
		n >>= 4
	}
	return func() float64 {
		f(n/2, chain)
		return f(n, chain)
	}
}
