package shard

import (
	"bufio"
	"compress/gzip"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ribd/internal/golden"
	"ribd/shard/rib"
	"ribd/trie"
)

// realPrefixes are those of a full table of 2023.
func realPrefixes(t testing.TB, v4 bool) []netip.Prefix {
	f, err := os.Open(golden.Data(t, "tables", "prefixes-2023.txt.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var out []netip.Prefix
	for sc := bufio.NewScanner(z); sc.Scan(); {
		p, err := netip.ParsePrefix(strings.TrimSpace(sc.Text()))
		if err == nil && p.Addr().Is4() == v4 {
			out = append(out, p)
		}
	}
	return out
}

// feed is what one peer sends: messages of one attribute set and its prefixes.
type message struct {
	attrs []byte
	keys  []trie.Key
	lens  []uint8
}

// messages makes a peer's table of realistic sharing: about 5.5 prefixes a set.
func messages(peer int, prefixes []netip.Prefix) []message {
	rnd := rand.New(rand.NewPCG(uint64(peer), 1))
	var out []message
	for len(prefixes) > 0 {
		n := min(1+int(rnd.ExpFloat64()*4.5), len(prefixes))
		a := attrSpec{med: -1, pref: -1, community: rnd.Uint32()}
		a.path = append(a.path, 64500+uint32(peer))
		for range 2 + rnd.IntN(4) {
			a.path = append(a.path, 1+rnd.Uint32N(70000))
		}
		m := message{attrs: a.canonical()}
		m.attrs = append(m.attrs[:len(m.attrs):len(m.attrs)], 0xc0, 32, 12, byte(peer), 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11)
		for _, p := range prefixes[:n] {
			k, l := trie.PrefixKey(p)
			m.keys, m.lens = append(m.keys, k), append(m.lens, l)
		}
		prefixes = prefixes[n:]
		out = append(out, m)
	}
	return out
}

func resident(t testing.TB) int {
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Skip(err)
	}
	var size, rss int
	fmt.Sscan(string(b), &size, &rss)
	return rss * os.Getpagesize()
}

// send announces a peer's table as a session would: one intern a message, one
// flush for what a read of a socket brings.
func send(r *RIB, f *Fan, peer rib.PeerNum, t rib.TableID, ms []message) {
	p := rib.Path{Peer: peer, Received: 1}
	for i := range ms {
		m := &ms[i]
		p.Attrs, _ = r.Attrs().Intern(m.attrs)
		for j, k := range m.keys {
			f.Announce(t, k, m.lens[j], &p)
		}
		if f.Len() >= 1024 {
			f.Flush()
		}
	}
	f.Flush()
}

// BenchmarkIngest is four peers, each with the real table, into an empty RIB:
// attributes interned, best path chosen, published. The peers send at the same
// time, as fast as they can.
func BenchmarkIngest(b *testing.B) {
	prefixes := realPrefixes(b, true)
	const peers = 4
	var feeds [peers][]message
	for i := range feeds {
		feeds[i] = messages(i, prefixes)
	}
	for _, shards := range []int{1, 2} {
		b.Run(fmt.Sprintf("shards=%d", shards), func(b *testing.B) {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(shards))
			var took, used []float64 // wall and CPU time of a round
			n := float64(peers * len(prefixes))
			for b.Loop() {
				b.StopTimer()
				runtime.GC()
				before := resident(b)
				r, err := Open(Options{Shards: shards})
				if err != nil {
					b.Fatal(err)
				}
				nums := addPeers(b, r, peers)
				b.StartTimer()
				t0, c0 := time.Now(), cpuTime()
				var wg sync.WaitGroup
				for i := range feeds {
					wg.Go(func() {
						f := r.NewFan()
						defer f.Close()
						send(r, f, nums[i], rib.TableIPv4Unicast, feeds[i])
					})
				}
				wg.Wait()
				r.Sync()
				b.StopTimer()
				took, used = append(took, time.Since(t0).Seconds()), append(used, (cpuTime()-c0).Seconds())
				runtime.GC()
				b.ReportMetric(float64(resident(b)-before)/n, "B/path")
				if testing.Verbose() && len(took) == 1 {
					for _, m := range r.Stats().Memory {
						b.Logf("%-10s resident %5.1f B/path, live %5.1f, free %5.1f, kept %5.1f", m.Name, float64(m.Resident)/n, float64(m.Live)/n, float64(m.Free)/n, float64(m.Kept)/n)
					}
				}
				r.Close()
				b.StartTimer()
			}
			b.ReportMetric(n/median(took)/1e6, "Mroutes/s")
			b.ReportMetric(n/median(used)/1e6, "Mroutes/cpu-s")
		})
	}
}

func median(x []float64) float64 {
	slices.Sort(x)
	return x[len(x)/2]
}

// cpuTime is what the process has used: it tells more than the wall where others
// use the machine too.
func cpuTime() time.Duration {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func addPeers(t testing.TB, r *RIB, n int) (nums []rib.PeerNum) {
	for i := range n {
		num, err := r.AddPeer(rib.PeerInfo{Source: rib.SourceBGP, Addr: netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)}), RouterID: uint32(i), AS: 64500 + uint32(i)})
		if err != nil {
			t.Fatal(err)
		}
		nums = append(nums, num)
	}
	return nums
}

// loaded is a RIB with the real table of some peers.
func loaded(t testing.TB, o Options, peers int, prefixes []netip.Prefix, tb rib.TableID) (*RIB, []rib.PeerNum) {
	r := open(t, o)
	nums := addPeers(t, r, peers)
	f := r.NewFan()
	defer f.Close()
	for i, n := range nums {
		send(r, f, n, tb, messages(i, prefixes))
	}
	r.Sync()
	return r, nums
}

// BenchmarkUpdate is one peer's changes of routes that are there, published in
// batches of 256 and one by one.
func BenchmarkUpdate(b *testing.B) {
	prefixes := realPrefixes(b, true)
	r, nums := loaded(b, Options{Shards: 1}, 4, prefixes, rib.TableIPv4Unicast)
	rnd := rand.New(rand.NewPCG(1, 2))
	order := rnd.Perm(len(prefixes))
	keys, lens := make([]trie.Key, len(order)), make([]uint8, len(order))
	for i, x := range order {
		keys[i], lens[i] = trie.PrefixKey(prefixes[x])
	}
	var ids []rib.AttrID
	for i := range 1000 {
		id, _ := r.Attrs().Intern(attrSpec{med: -1, pref: -1, path: []uint32{64500, uint32(i), 5}}.canonical())
		ids = append(ids, id)
	}
	f := r.NewFan()
	defer f.Close()
	for _, batch := range []int{256, 1} {
		b.Run(fmt.Sprintf("batch=%d", batch), func(b *testing.B) {
			b.ReportAllocs()
			p := rib.Path{Peer: nums[0]}
			i := 0
			for b.Loop() {
				x := i % len(keys)
				p.Attrs, p.Received = ids[i%len(ids)], uint32(i)
				f.Announce(rib.TableIPv4Unicast, keys[x], lens[x], &p)
				if i++; i%batch == 0 {
					f.Flush()
				}
			}
			f.Flush()
			r.Sync()
		})
	}
}

// BenchmarkLookup is the whole look-up: match, best path, summary.
func BenchmarkLookup(b *testing.B) {
	prefixes := realPrefixes(b, true)
	r, _ := loaded(b, Options{}, 4, prefixes, rib.TableIPv4Unicast)
	rnd := rand.New(rand.NewPCG(1, 2))
	as := make([]uint32, 1<<20)
	for i := range as {
		k, n := trie.PrefixKey(prefixes[rnd.IntN(len(prefixes))])
		as[i] = uint32(k.Hi>>32) | uint32(uint64(rnd.Uint32())>>n)
	}
	rd := r.NewReader()
	defer rd.Close()
	b.Run("match", func(b *testing.B) {
		i := 0
		for b.Loop() {
			rd.Pin()
			if !rd.Match4(as[i&(len(as)-1)]).OK() {
				b.Fatal("no match")
			}
			rd.Unpin()
			i++
		}
	})
	b.Run("best", func(b *testing.B) {
		i := 0
		for b.Loop() {
			rd.Pin()
			_, n, _ := rd.Best(rd.Match4(as[i&(len(as)-1)]))
			if n == 0 {
				b.Fatal("no path")
			}
			rd.Unpin()
			i++
		}
	})
	b.Run("batch=1024,best", func(b *testing.B) {
		out := make([]Match, 1024)
		i, sum := 0, uint32(0)
		for b.Loop() {
			if i%1024 == 0 {
				rd.Pin()
				rd.MatchBatch4(as[i&(len(as)-1):][:1024], out)
				for j := range out {
					p, n, _ := rd.Best(out[j])
					if n == 0 {
						b.Fatal("no path")
					}
					origin, neighbor := r.Attrs().OriginNeighbor(p.Attrs)
					sum += origin ^ neighbor
				}
				rd.Unpin()
			}
			i++
		}
	})
	b.Run("batch=1024", func(b *testing.B) {
		out := make([]Match, 1024)
		i := 0
		for b.Loop() {
			if i%1024 == 0 {
				rd.Pin()
				rd.MatchBatch4(as[i&(len(as)-1):][:1024], out)
				rd.Unpin()
			}
			i++
		}
	})
}

// BenchmarkWalk is every path of four full tables.
func BenchmarkWalk(b *testing.B) {
	prefixes := realPrefixes(b, true)
	r, _ := loaded(b, Options{}, 4, prefixes, rib.TableIPv4Unicast)
	b.Run("merged", func(b *testing.B) {
		for b.Loop() {
			v := r.View()
			n := 0
			for w := v.Walk(rib.TableIPv4Unicast, WalkRange{}); w.Next(); n++ {
			}
			v.Close()
			if n != len(prefixes) {
				b.Fatal(n)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(prefixes)), "ns/prefix")
	})
	b.Run("paths", func(b *testing.B) {
		var paths []rib.Path
		for b.Loop() {
			v := r.View()
			n := 0
			for w := v.Walk(rib.TableIPv4Unicast, WalkRange{}); w.Next(); {
				paths = w.Paths(paths[:0])
				n += len(paths)
			}
			v.Close()
			if n != 4*len(prefixes) {
				b.Fatal(n)
			}
		}
	})
	b.Run("scan", func(b *testing.B) {
		for b.Loop() {
			v := r.View()
			var wg sync.WaitGroup
			for i := range v.Parts() {
				wg.Go(func() {
					w := v.WalkPart(i, rib.TableIPv4Unicast, WalkRange{})
					defer w.Close()
					n := 0
					_ = w.Scan(func(_ trie.Key, _ uint8, rs rib.Records, _ rib.PeerSet) bool {
						for rs.Next() {
							if rs.Attrs()&7 == 3 {
								n++
							}
						}
						return true
					})
				})
			}
			wg.Wait()
			v.Close()
		}
	})
}

// BenchmarkLatency is the distribution of look-ups, idle and beside 50,000
// updates a second.
func BenchmarkLatency(b *testing.B) {
	prefixes := realPrefixes(b, true)
	r, nums := loaded(b, Options{Shards: 1}, 4, prefixes, rib.TableIPv4Unicast)
	rnd := rand.New(rand.NewPCG(1, 2))
	as := make([]uint32, 1<<18)
	for i := range as {
		k, n := trie.PrefixKey(prefixes[rnd.IntN(len(prefixes))])
		as[i] = uint32(k.Hi>>32) | uint32(uint64(rnd.Uint32())>>n)
	}
	rd := r.NewReader()
	defer rd.Close()
	for _, busy := range []bool{false, true} {
		b.Run(fmt.Sprintf("busy=%v", busy), func(b *testing.B) {
			stop := make(chan struct{})
			var wg sync.WaitGroup
			if busy {
				wg.Go(func() { churn(r, nums[0], prefixes, stop) })
			}
			took := make([]time.Duration, 0, 1<<20)
			i := 0
			for b.Loop() {
				t0 := time.Now()
				rd.Pin()
				rd.Match4(as[i&(len(as)-1)])
				rd.Unpin()
				if d := time.Since(t0); len(took) < cap(took) {
					took = append(took, d)
				}
				i++
			}
			close(stop)
			wg.Wait()
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)*99/100]), "p99-ns")
			b.ReportMetric(float64(took[len(took)*999/1000]), "p99.9-ns")
		})
	}
}

// churn announces and withdraws 50,000 routes a second.
func churn(r *RIB, peer rib.PeerNum, prefixes []netip.Prefix, stop <-chan struct{}) {
	f := r.NewFan()
	defer f.Close()
	rnd := rand.New(rand.NewPCG(3, 4))
	p := rib.Path{Peer: peer}
	for tick := time.NewTicker(time.Millisecond); ; {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		p.Attrs, _ = r.Attrs().Intern(attrSpec{med: int64(rnd.IntN(1000)), pref: -1, path: []uint32{64500, 5}}.canonical())
		for range 50 {
			k, n := trie.PrefixKey(prefixes[rnd.IntN(len(prefixes))])
			if rnd.IntN(3) == 0 {
				f.Withdraw(rib.TableIPv4Unicast, k, n, peer, 0, false)
			} else {
				f.Announce(rib.TableIPv4Unicast, k, n, &p)
			}
		}
		f.Flush()
	}
}
