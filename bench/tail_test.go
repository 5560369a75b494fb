package bench

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/gaissmai/bart"

	"ribd/internal/benchkit"
)

// BenchmarkTail takes the time of single look-ups, idle and beside 50,000 updates a
// second, and reports p99 and p99.9; each time includes reading the clock.
func BenchmarkTail(b *testing.B) {
	ps := prefixes(b, false)
	order := scattered(ps)
	as := benchkit.Addresses(ps, questions, 11)
	raw, _, _ := bits(as)
	r, peer, ids := fill(b, ps)
	rd := r.NewReader()
	defer rd.Close()
	f := r.NewFan()
	defer f.Close()
	table := buildBart(ps)
	var now atomic.Pointer[bart.Fast[uint32]]
	now.Store(table)
	at := 0
	sides := []struct {
		name           string
		ask            func(i int) uint32
		change, commit func()
	}{
		{"side=ribd", func(i int) uint32 { return readerMatch(rd, raw, nil, nil, i) },
			func() { ribChange(f, peer, ids, order, at, true); at++ }, f.Flush},
		{"side=bart", func(i int) uint32 { v, _ := now.Load().Lookup(as[i]); return v },
			func() { table = bartChange(table, order, at, true); now.Store(table); at++ }, func() {}},
	}
	for _, s := range sides {
		for _, busy := range []bool{false, true} {
			name := s.name + "/updates=none"
			if busy {
				name = s.name + "/updates=50000"
			}
			b.Run(name, func(b *testing.B) {
				stop, done := make(chan struct{}), make(chan struct{})
				go func() {
					defer close(done)
					if busy {
						paced(stop, s.change, s.commit)
					}
				}()
				h := benchkit.NewHistogram(1 << 20)
				start := time.Now()
				for i := range b.N {
					sink += s.ask(i & (questions - 1))
					t := time.Now()
					h.Add(int64(t.Sub(start)))
					start = t
				}
				close(stop)
				<-done
				b.ReportMetric(h.Quantile(0.99), "p99-ns")
				b.ReportMetric(h.Quantile(0.999), "p99.9-ns")
			})
		}
	}
}

// paced makes 50,000 changes a second until stop is closed, those of a millisecond
// at a time.
func paced(stop <-chan struct{}, change, commit func()) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	start, made := time.Now(), 0
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		for due := int(time.Since(start).Seconds() * 50_000); made < due; made++ {
			change()
		}
		commit()
	}
}
