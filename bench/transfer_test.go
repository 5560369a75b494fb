package bench

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/osrg/gobgp/v3/pkg/packet/bgp"

	"ribd/internal/benchkit"
	"ribd/internal/tablegen"
	"ribd/shard"
	"ribd/shard/rib"
	"ribd/trie"
	"ribd/wire"
)

// BenchmarkTransfer takes the whole tables of four peers: UPDATE messages parsed,
// attributes interned, routes fanned out, paths chosen. An operation is all of them.
func BenchmarkTransfer(b *testing.B) {
	ps := prefixes(b, false)
	t, messages, routes := transferOf(b, ps, 4)
	for _, cores := range []int{1, 2} {
		b.Run(fmt.Sprintf("cores=%d", cores), func(b *testing.B) {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(cores))
			for b.Loop() {
				b.StopTimer()
				r, nums := withPeers(b, t, shard.Options{Shards: cores})
				runtime.GC()
				b.StartTimer()
				take(b, r, nums, messages)
				b.StopTimer()
				r.Close()
				b.StartTimer()
			}
			b.ReportMetric(float64(routes)*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mroutes/s")
		})
	}
}

// transferOf makes the messages of peers that give the prefixes.
func transferOf(t testing.TB, ps []netip.Prefix, peers int) (table *tablegen.Table, messages [][]byte, routes int) {
	t.Helper()
	table, err := tablegen.New(tablegen.Options{Prefixes: ps, IPv4: min(900_000, len(ps)), Peers: peers, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	for i := range peers {
		m, n := table.Transfer(i)
		messages, routes = append(messages, m), routes+n
	}
	return table, messages, routes
}

func withPeers(t testing.TB, table *tablegen.Table, o shard.Options) (r *shard.RIB, nums []rib.PeerNum) {
	t.Helper()
	r, err := shard.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range table.Peers() {
		n, err := r.AddPeer(rib.PeerInfo{ID: fmt.Sprintf("%016x", i+1), Addr: p.Addr, AS: p.AS, RouterID: benchkit.Uint32(p.RouterID)})
		if err != nil {
			t.Fatal(err)
		}
		nums = append(nums, n)
	}
	return r, nums
}

// take gives each peer's messages to a goroutine, as sessions are.
func take(t testing.TB, r *shard.RIB, nums []rib.PeerNum, messages [][]byte) {
	t.Helper()
	var wg sync.WaitGroup
	for i, m := range messages {
		wg.Go(func() {
			f := r.NewFan()
			defer f.Close()
			var u wire.Update
			s := wire.Session{AS4: true, External: true}
			scratch := make([]byte, 0, 4096)
			for read := 0; len(m) > 0; {
				n := int(binary.BigEndian.Uint16(m[16:]))
				if err := u.Parse(m[:n], &s); err != nil {
					t.Error(err)
					return
				}
				m = m[n:]
				id, ok := r.Attrs().Intern(u.Attributes(scratch))
				if !ok {
					t.Error("no room for an attribute set")
					return
				}
				p := rib.Path{Peer: nums[i], Attrs: id, Received: 1_767_225_600}
				for nlri := u.NLRI4(); nlri.Next(); {
					f.Announce(rib.TableIPv4Unicast, trie.Key4(nlri.Addr()), nlri.Len(), &p)
				}
				if read += n; read >= 64<<10 {
					f.Flush()
					read = 0
				}
			}
		})
	}
	wg.Wait()
	r.Sync()
}

// What BenchmarkTransfer leaves is what gobgp's parser reads from the messages: the
// same paths of the same peers with the same AS_PATH, and the best has a shortest.
func TestTransferLeavesWhatGobgpReads(t *testing.T) {
	table, messages, routes := transferOf(t, tablegen.Synthetic(false, 20_000, 3), 4)
	r, nums := withPeers(t, table, shard.Options{})
	defer r.Close()
	take(t, r, nums, messages)
	type key struct {
		peer   rib.PeerNum
		prefix string
	}
	want := map[key]string{}
	for i, m := range messages {
		for len(m) > 0 {
			n := int(binary.BigEndian.Uint16(m[16:]))
			parsed, err := bgp.ParseBGPMessage(m[:n])
			if err != nil {
				t.Fatal(err)
			}
			m = m[n:]
			u := parsed.Body.(*bgp.BGPUpdate)
			path := ""
			for _, a := range u.PathAttributes {
				if p, ok := a.(*bgp.PathAttributeAsPath); ok {
					path = bgp.AsPathString(p)
				}
			}
			for _, p := range u.NLRI {
				want[key{nums[i], p.String()}] = path
			}
		}
	}
	if len(want) != routes {
		t.Fatalf("gobgp reads %d routes, sent %d", len(want), routes)
	}
	v := r.View()
	defer v.Close()
	w := v.Walk(rib.TableIPv4Unicast, shard.WalkRange{})
	defer w.Close()
	var paths []rib.Path
	seen := 0
	for w.Next() {
		paths = w.Paths(paths[:0])
		shortest := uint16(65535)
		for _, p := range paths {
			seen++
			canonical, _ := r.Attrs().Bytes(p.Attrs)
			value, _ := wire.FindAttr(canonical, wire.AttrASPath)
			got := string(wire.AppendASPath(nil, value))
			if path, ok := want[key{p.Peer, w.Match().Prefix().String()}]; !ok || path != got {
				t.Fatalf("%v of peer %d: AS_PATH %q, want %q (%v)", w.Match().Prefix(), p.Peer, got, path, ok)
			}
			s, _ := r.Attrs().Summary(p.Attrs)
			shortest = min(shortest, s.PathLen)
		}
		best, _, _ := w.Best()
		if s, _ := r.Attrs().Summary(best.Attrs); s.PathLen != shortest {
			t.Fatalf("%v: the best path has %d AS numbers, another %d", w.Match().Prefix(), s.PathLen, shortest)
		}
	}
	if seen != routes {
		t.Errorf("%d paths in the table, want %d", seen, routes)
	}
}

// BenchmarkBytesAPrefix fills a table with one path a prefix and reports what is
// resident for all but the paths.
func BenchmarkBytesAPrefix(b *testing.B) {
	const path = 12
	for _, v6 := range []bool{false, true} {
		b.Run(family(v6), func(b *testing.B) {
			ps := prefixes(b, v6)
			var resident, live float64
			for b.Loop() {
				r, _, _ := fill(b, ps)
				r.Settle()
				if !testing.Short() {
					time.Sleep(8 * time.Second) // shards give memory back when they are at rest
				}
				resident, live = -path*float64(len(ps)), -path*float64(len(ps))
				for _, m := range r.Stats().Memory {
					switch m.Name {
					case "trie", "image", "handles", "blocks":
						resident, live = resident+float64(m.Resident), live+float64(m.Live)
					}
				}
				r.Close()
			}
			b.ReportMetric(resident/float64(len(ps)), "B/prefix")
			b.ReportMetric(live/float64(len(ps)), "live-B/prefix")
		})
	}
}
