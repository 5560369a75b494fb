package adjout

import (
	"bufio"
	"compress/gzip"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ribd/internal/golden"
	"ribd/shard"
	"ribd/shard/rib"
	"ribd/trie"
	"ribd/wire"
)

// realPrefixes are those of a full table of 2023.
func realPrefixes(t testing.TB) (out []netip.Prefix) {
	f, err := os.Open(golden.Data(t, "tables", "prefixes-2023.txt.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	for sc := bufio.NewScanner(z); sc.Scan(); {
		if p, err := netip.ParsePrefix(strings.TrimSpace(sc.Text())); err == nil && p.Addr().Is4() {
			out = append(out, p)
		}
	}
	return out
}

// table is what a peer announces: blocks of prefixes of one set.
type table struct {
	sets  [][]byte
	of    []int // set of each prefix
	keys  []trie.Key
	lens  []uint8
	total int
}

// newTable shares the prefixes out to sets as a real table does: 5.45 a set.
func newTable(prefixes []netip.Prefix, seed uint64) *table {
	rnd := rand.New(rand.NewPCG(seed, 1))
	tb := &table{total: len(prefixes)}
	for len(prefixes) > 0 {
		n := min(1+int(rnd.ExpFloat64()*4.93), len(prefixes))
		a := spec(65001)
		a.Communities = []uint32{rnd.Uint32(), 65001<<16 | 5}
		for range 2 + rnd.IntN(4) {
			a.Path = append(a.Path, 1+rnd.Uint32N(60000))
		}
		tb.sets = append(tb.sets, a.canonical())
		for _, p := range prefixes[:n] {
			k, l := trie.PrefixKey(p)
			tb.keys, tb.lens, tb.of = append(tb.keys, k), append(tb.lens, l), append(tb.of, len(tb.sets)-1)
		}
		prefixes = prefixes[n:]
	}
	return tb
}

func (w *world) load(p *testPeer, tb *table) {
	q := rib.Path{Peer: p.num, Received: 1}
	last := -1
	for i, s := range tb.of {
		if s != last {
			q.Attrs, _ = w.rib.Attrs().Intern(tb.sets[s])
			last = s
		}
		w.fan.Announce(rib.TableIPv4Unicast, tb.keys[i], tb.lens[i], &q)
		if w.fan.Len() >= 1024 {
			w.fan.Flush()
		}
	}
	w.fan.Flush()
	w.rib.Settle()
}

// counter is a Sender that only counts, or writes to a connection.
type counter struct {
	conn    net.Conn
	begun   time.Time
	first   atomic.Int64 // nanoseconds until the first octet
	updates atomic.Int64
	octets  atomic.Int64
	end     chan struct{}
	once    sync.Once
	on      func(msgs []byte)
}

func newCounter() *counter { return &counter{begun: time.Now(), end: make(chan struct{})} }

var endOfRIB = wire.AppendEndOfRIB(nil, wire.IPv4Unicast)

func (c *counter) TrySend(msgs []byte, updates, withdraws int) bool {
	return c.Send(msgs, updates, withdraws) == nil
}

func (c *counter) Send(msgs []byte, updates, _ int) error {
	c.first.CompareAndSwap(0, int64(time.Since(c.begun)))
	c.updates.Add(int64(updates))
	c.octets.Add(int64(len(msgs)))
	if c.conn != nil {
		if _, err := c.conn.Write(msgs); err != nil {
			return err
		}
	}
	if c.on != nil {
		c.on(msgs)
	}
	if string(msgs) == string(endOfRIB) {
		c.once.Do(func() { close(c.end) })
	}
	return nil
}

// overTCP gives the counter a connection whose other end reads and forgets.
func (c *counter) overTCP(t testing.TB) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		io.Copy(io.Discard, conn)
		conn.Close()
	}()
	if c.conn, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	l.Close()
	t.Cleanup(func() { c.conn.Close(); <-done })
}

// cpuSeconds is what the process has used.
func cpuSeconds() float64 {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}

func median(xs []float64) float64 {
	slices.Sort(xs)
	return xs[len(xs)/2]
}

// BenchmarkTable sends the real table to members that come late: the group
// begins with the first of them.
func BenchmarkTable(b *testing.B) {
	tb := newTable(realPrefixes(b), 1)
	w := newWorld(b, shard.Options{}, Options{})
	w.load(w.peer(1, false, false), tb)
	for _, tcp := range []bool{false, true} {
		for _, members := range []int{1, 4} {
			name := fmt.Sprintf("members=%d", members)
			if tcp {
				name += "/tcp"
			}
			b.Run(name, func(b *testing.B) {
				var rates, firsts []float64
				var updates int64
				var cpu, runs float64
				for b.Loop() {
					b.StopTimer()
					runtime.GC()
					var cs []*counter
					var mbs []*Member
					for range members {
						c := newCounter()
						if tcp {
							c.overTCP(b)
						}
						cs = append(cs, c)
					}
					b.StartTimer()
					begin, used := time.Now(), cpuSeconds()
					for i, c := range cs {
						t := (&testPeer{num: rib.PeerNum(100 + i)}).to()
						t.Families = t.Families[:1]
						c.begun = time.Now()
						mbs = append(mbs, w.m.Join(t, c))
					}
					for _, c := range cs {
						<-c.end
					}
					rates = append(rates, float64(members*tb.total)/time.Since(begin).Seconds())
					cpu += cpuSeconds() - used
					runs++
					b.StopTimer()
					for i, c := range cs {
						firsts = append(firsts, float64(c.first.Load())/1e6)
						mbs[i].Leave()
					}
					updates = cs[0].updates.Load() - 1
					b.StartTimer()
				}
				b.ReportMetric(median(rates)/1e6, "Mroutes/s")
				b.ReportMetric(cpu/runs, "cpu-s")
				b.ReportMetric(median(firsts), "first-ms")
				b.ReportMetric(float64(tb.total)/float64(updates), "routes/UPDATE")
			})
		}
	}
}

// TestRealTableIsPacked holds that all prefixes of a set share messages.
func TestRealTableIsPacked(t *testing.T) {
	prefixes := realPrefixes(t)
	if testing.Short() {
		prefixes = prefixes[:50000]
	}
	tb := newTable(prefixes, 1)
	w := newWorld(t, shard.Options{}, Options{})
	w.load(w.peer(1, false, false), tb)
	p := w.peer(2, false, false)
	w.join(p, p.to())
	p.sink.set(func() { p.sink.discard = true })
	w.settle()
	ratio := float64(tb.total) / float64(p.sink.updates)
	best := float64(tb.total) / float64(len(tb.sets))
	t.Logf("%d routes in %d UPDATEs: %.3f each, %.3f at best", p.sink.routes, p.sink.updates, ratio, best)
	if p.sink.routes < tb.total || ratio < best*0.99 {
		t.Errorf("got %d routes, %.3f an UPDATE; want %d and %.3f", p.sink.routes, ratio, tb.total, best)
	}
}

// BenchmarkChurn is the time from Fan.Flush to TrySend, one UPDATE of five
// prefixes at a time, 5,000 a second, beside a table of the size given.
func BenchmarkChurn(b *testing.B) {
	tb := newTable(realPrefixes(b)[:300000], 1)
	w := newWorld(b, shard.Options{}, Options{})
	src := w.peer(1, false, false)
	w.load(src, tb)
	var sent atomic.Int64
	var mu sync.Mutex
	var lat []float64
	left := atomic.Int64{}
	arrived := make(chan struct{}, 1)
	c := newCounter()
	armed := atomic.Bool{}
	c.on = func(msgs []byte) {
		if !armed.Load() {
			return
		}
		n := int64(0)
		var u wire.Update
		s := wire.Session{AS4: true, External: true}
		for len(msgs) > 0 {
			_, k, _ := wire.ParseHeader(msgs, &s)
			u.Parse(msgs[:k], &s)
			for it := u.NLRI4(); it.Next(); {
				n++
			}
			msgs = msgs[k:]
		}
		if left.Add(-n) == 0 {
			d := float64(time.Now().UnixNano()-sent.Load()) / 1e3
			mu.Lock()
			lat = append(lat, d)
			mu.Unlock()
			arrived <- struct{}{}
		}
	}
	t := (&testPeer{num: 100}).to()
	t.Families = t.Families[:1]
	mb := w.m.Join(t, c)
	defer mb.Leave()
	<-c.end
	w.settle()
	for !mb.InStep() {
		time.Sleep(time.Millisecond)
	}
	armed.Store(true)
	rnd := rand.New(rand.NewPCG(1, 1))
	next := time.Now()
	b.ResetTimer()
	for i := range b.N {
		next = next.Add(200 * time.Microsecond)
		if d := time.Until(next); d > 50*time.Microsecond {
			time.Sleep(d)
		}
		a := spec(65001, uint32(i), 7)
		q := rib.Path{Peer: src.num, Received: 1}
		left.Store(5)
		sent.Store(time.Now().UnixNano())
		q.Attrs, _ = w.rib.Attrs().Intern(a.canonical())
		at := rnd.IntN(tb.total - 5)
		for j := at; j < at+5; j++ {
			w.fan.Announce(rib.TableIPv4Unicast, tb.keys[j], tb.lens[j], &q)
		}
		w.fan.Flush()
		<-arrived
	}
	b.StopTimer()
	slices.Sort(lat)
	b.ReportMetric(lat[len(lat)/2], "p50-us")
	b.ReportMetric(lat[len(lat)*99/100], "p99-us")
	b.ReportMetric(lat[len(lat)-1], "max-us")
	b.ReportMetric(float64(c.updates.Load())/float64(b.N), "UPDATEs/UPDATE")
}
