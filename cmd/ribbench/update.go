package main

import (
	"fmt"
	"net/netip"
	"runtime"
	"time"

	"github.com/gaissmai/bart"

	"ribd/internal/benchkit"
	"ribd/shard"
	"ribd/shard/rib"
	"ribd/trie"
)

// writing is one kind of change, for ribd and for bart.
type writing struct {
	name   string
	comeGo bool // each prefix is withdrawn and then announced again, else its attributes change
	batch  int
	goal   *benchkit.Goal
}

// updates measures changes of a full table: trie, image and path block, published,
// against bart's persistent table, which holds one integer a prefix.
func (e *env) updates() error {
	e.note("copy-on-write updates: building")
	r, peer, err := fill(e.v4, shard.Options{})
	if err != nil {
		return err
	}
	defer r.Close()
	ids, err := internSome(r, 1000)
	if err != nil {
		return err
	}
	order := benchkit.Addresses(e.v4, 1<<17, 3) // random prefixes: those that hold these
	table := buildBart(e.v4)
	ps := make([]netip.Prefix, len(order))
	for i, a := range order {
		ps[i], _, _ = table.LookupPrefixLPM(netip.PrefixFrom(a, 32))
	}
	rival := &persistent{ps: ps, t: table}
	ours := &writer{ps: ps, r: r, rd: r.NewReader(), f: r.NewFan(), peer: peer, ids: ids}
	defer ours.rd.Close()
	defer ours.f.Close()
	for _, w := range []writing{
		{"attributes change, in batches of 256", false, 256, benchkit.RatioAtLeast(10)},
		{"attributes change, one by one", false, 1, benchkit.RatioAtLeast(4)},
		{"prefix goes and comes, in batches of 256", true, 256, benchkit.RatioAtLeast(10)},
		{"prefix goes and comes, one by one", true, 1, benchkit.RatioAtLeast(4)},
	} {
		n := 1 << 16
		if e.Smoke {
			n = 1 << 11
		}
		var mallocs, bartMallocs []float64
		a, b, err := benchkit.Pairs(e.Runs,
			func() (_ float64, err error) {
				ns, m := measured(n, func() { err = ours.write(n, w) })
				if w.batch > 1 { // a Sync allocates, an update does not
					_, each := measured(100, func() { ours.wait(100) })
					m = max(m-each/float64(w.batch), 0)
				}
				mallocs = append(mallocs, m)
				return ns, err
			},
			func() (float64, error) {
				ns, m := measured(n/4, func() { rival.write(n/4, w) })
				bartMallocs = append(bartMallocs, m)
				return ns, nil
			})
		if err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
		allocations := benchkit.Single("update, "+w.name+", Go allocations", "each", mallocs, e.atFull(benchkit.AtMost(0.01)))
		allocations.Note = "bart: " + benchkit.NewSpread(bartMallocs).String()
		e.add(benchkit.Paired("update, "+w.name, "ns", "bart.Fast persistent", a, b, benchkit.LessIsBetter, e.atFull(w.goal)), allocations)
	}
	return nil
}

// measured returns ns and Go allocations for each of n.
func measured(n int, f func()) (ns, mallocs float64) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	start := time.Now()
	f()
	took := time.Since(start)
	runtime.ReadMemStats(&after)
	return float64(took.Nanoseconds()) / float64(n), float64(after.Mallocs-before.Mallocs) / float64(n)
}

type writer struct {
	ps   []netip.Prefix
	r    *shard.RIB
	rd   *shard.Reader
	f    *shard.Fan
	peer rib.PeerNum
	ids  []rib.AttrID
	turn int
}

// write makes n changes, and waits after each batch until readers can see it. One
// by one it keeps to one core: the yield after the flush hands over to the shard,
// which applies, publishes and finds its queue empty before it hands back; that this
// is so is looked at now and then. A Sync would cost more than the change.
func (w *writer) write(n int, how writing) error {
	if how.batch == 1 {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	}
	late := 0
	for i := range n {
		at := w.turn
		if how.comeGo {
			at /= 2
		}
		k, bits := trie.PrefixKey(w.ps[at%len(w.ps)])
		if how.comeGo && w.turn%2 == 0 {
			w.f.Withdraw(rib.TableIPv4Unicast, k, bits, w.peer, 0, false)
		} else {
			w.f.Announce(rib.TableIPv4Unicast, k, bits, &rib.Path{Peer: w.peer, Attrs: w.ids[w.turn*31%len(w.ids)], Received: 1_767_225_602})
		}
		w.turn++
		switch {
		case how.batch == 1:
			w.f.Flush()
			runtime.Gosched()
			if i&63 == 0 && !w.visible(k, bits, how) {
				late++
			}
		case (i+1)%how.batch == 0:
			w.f.Flush()
			w.r.Sync()
		}
	}
	w.f.Flush()
	w.r.Sync()
	if late > n/64/20 {
		return fmt.Errorf("%d of %d changes were not published one by one", late, n/64)
	}
	return nil
}

func (w *writer) wait(n int) {
	for range n {
		w.r.Sync()
	}
}

// visible says whether readers see what write did last.
func (w *writer) visible(k trie.Key, bits uint8, how writing) bool {
	w.rd.Pin()
	defer w.rd.Unpin()
	m := w.rd.Get(rib.TableIPv4Unicast, k, bits)
	if how.comeGo && (w.turn-1)%2 == 0 {
		return !m.OK()
	}
	if !m.OK() {
		return false
	}
	p, _, _ := w.rd.Best(m)
	return p.Attrs == w.ids[(w.turn-1)*31%len(w.ids)]
}

type persistent struct {
	ps   []netip.Prefix
	t    *bart.Fast[uint32]
	turn int
}

func (w *persistent) write(n int, how writing) {
	for range n {
		at := w.turn
		if how.comeGo {
			at /= 2
		}
		p := w.ps[at%len(w.ps)]
		if how.comeGo && w.turn%2 == 0 {
			w.t = w.t.DeletePersist(p)
		} else {
			w.t = w.t.InsertPersist(p, uint32(w.turn))
		}
		w.turn++
	}
}
