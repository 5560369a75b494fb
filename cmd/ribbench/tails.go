package main

import (
	"net/netip"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/gaissmai/bart"

	"ribd/internal/benchkit"
	"ribd/shard"
	"ribd/shard/rib"
	"ribd/trie"
)

const (
	updateRate = 50_000 // a second
	tick       = time.Millisecond
)

// updater changes a table at a rate until stop is closed: every millisecond as many
// routes as are due, a third of them withdrawals, which come back next.
func updater(stop <-chan struct{}, change func(i int), flush func()) (changed int) {
	start := time.Now()
	timer := time.NewTicker(tick)
	defer timer.Stop()
	for {
		select {
		case <-stop:
			return changed
		case <-timer.C:
		}
		for due := int(time.Since(start).Seconds() * updateRate); changed < due; changed++ {
			change(changed)
		}
		flush()
	}
}

// beside runs look-ups for a while, with the updater or without, and returns the
// histogram of their times and how many updates were made a second.
func beside(span time.Duration, look func(i int), between func(), change func(int), flush func()) (*benchkit.Histogram, float64) {
	runtime.GC()
	h := benchkit.NewHistogram(1 << 20)
	stop, done := make(chan struct{}), make(chan int, 1)
	if change != nil {
		go func() { done <- updater(stop, change, flush) }()
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	start := time.Now()
	last := start
	for i := 0; last.Sub(start) < span; i++ {
		if i&255 == 0 {
			between()
			last = time.Now()
		}
		look(i)
		now := time.Now()
		h.Add(int64(now.Sub(last)))
		last = now
	}
	took := time.Since(start)
	close(stop)
	if change == nil {
		return h, 0
	}
	return h, float64(<-done) / took.Seconds()
}

// tails measures the slowest look-ups, idle and beside updates.
func (e *env) tails() error {
	e.note("tails of look-ups beside updates: building")
	as := benchkit.Addresses(e.v4, questions, 11)
	raw := make([]uint32, len(as))
	for i, a := range as {
		raw[i] = benchkit.Uint32(a)
	}
	r, peer, err := fill(e.v4, shard.Options{})
	if err != nil {
		return err
	}
	defer r.Close()
	idle, busy, rate, err := e.ribTails(r, peer, raw)
	if err != nil {
		return err
	}
	bartBusy, bartRate := e.bartTails(as)
	for i, name := range []string{"p99", "p99.9"} {
		row := benchkit.Paired("look-up beside 50,000 updates/s, "+name, "ns", "idle", busy[i], idle[i], benchkit.OursToTheirs, e.atFull(benchkit.RatioAtMost(1.1)))
		row.Note = "updates a second: " + benchkit.NewSpread(rate).String() + "; each time includes reading the clock"
		e.add(row)
		old := benchkit.Paired("look-up beside 50,000 updates/s, "+name+", beside bart", "ns", "bart.Fast persistent", busy[i], bartBusy[i], benchkit.LessIsBetter, nil)
		old.Note = "bart's updates a second: " + benchkit.NewSpread(bartRate).String()
		e.add(old)
	}
	return nil
}

// ribTails returns p99 and p99.9 of Match4, idle and busy, by run.
func (e *env) ribTails(r *shard.RIB, peer rib.PeerNum, as []uint32) (idle, busy [2][]float64, rate []float64, err error) {
	ids, err := internSome(r, 1000)
	if err != nil {
		return idle, busy, nil, err
	}
	rd := r.NewReader()
	defer rd.Close()
	rd.Pin()
	defer rd.Unpin()
	f := r.NewFan()
	defer f.Close()
	n := 0
	change := func(i int) {
		n++
		k, bits := trie.PrefixKey(e.v4[(n/3*2+n%3&1)*7919%len(e.v4)])
		if n%3 == 0 {
			f.Withdraw(rib.TableIPv4Unicast, k, bits, peer, 0, false)
			return
		}
		f.Announce(rib.TableIPv4Unicast, k, bits, &rib.Path{Peer: peer, Attrs: ids[n%len(ids)], Received: 1_767_225_601})
	}
	var kept uint64 // so that the look-ups are not for nothing
	look := func(i int) { kept += uint64(rd.Match4(as[i&(questions-1)]).Len) }
	defer func() { sink.Add(kept) }()
	repin := func() { rd.Unpin(); rd.Pin() }
	for i := range e.Runs {
		for j := range 2 {
			if (i+j)%2 == 0 {
				h, _ := beside(e.span(2*time.Second), look, repin, nil, nil)
				idle[0], idle[1] = append(idle[0], h.Quantile(0.99)), append(idle[1], h.Quantile(0.999))
				continue
			}
			h, u := beside(e.span(2*time.Second), look, repin, change, f.Flush)
			busy[0], busy[1] = append(busy[0], h.Quantile(0.99)), append(busy[1], h.Quantile(0.999))
			rate = append(rate, u)
			r.Sync()
		}
	}
	return idle, busy, rate, nil
}

// bartTails is the same with bart's persistent tables: a new one for each change,
// published by a pointer.
func (e *env) bartTails(as []netip.Addr) (busy [2][]float64, rate []float64) {
	var now atomic.Pointer[bart.Fast[uint32]]
	now.Store(buildBart(e.v4))
	t := now.Load()
	n := 0
	change := func(int) {
		n++
		p := e.v4[(n/3*2+n%3&1)*7919%len(e.v4)]
		if n%3 == 0 {
			t = t.DeletePersist(p)
		} else {
			t = t.InsertPersist(p, uint32(n))
		}
		now.Store(t)
	}
	look := func(i int) {
		v, _ := now.Load().Lookup(as[i&(questions-1)])
		sink.Add(uint64(v))
	}
	for range e.Runs {
		h, u := beside(e.span(2*time.Second), look, func() {}, change, func() {})
		busy[0], busy[1] = append(busy[0], h.Quantile(0.99)), append(busy[1], h.Quantile(0.999))
		rate = append(rate, u)
	}
	return busy, rate
}
