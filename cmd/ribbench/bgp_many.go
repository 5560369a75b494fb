package main

import (
	"fmt"
	"sync"
	"time"

	"ribd/internal/benchkit"
	"ribd/internal/tablegen"
)

// manyOnce connects peers at once to a daemon that has some routes, and returns
// how long it takes until all are up and have them, and the longest time that
// one of them heard nothing.
func (e *env) manyOnce(r *rival, f feed, peers int) (seconds, gap float64, err error) {
	d, err := e.launch(r)
	if err != nil || d == nil {
		return 0, 0, err
	}
	defer d.explain(&err)
	from, err := speak(f.from, d.to, f.as, false, nil)
	if err != nil {
		return 0, 0, err
	}
	defer from.close()
	if err = from.send(f.announce); err != nil {
		return 0, 0, err
	}
	if _, err = d.reach(func(n int) bool { return n >= f.routes }, from); err != nil {
		return 0, 0, err
	}
	time.Sleep(e.span(time.Second))
	up := make([]*speaker, peers)
	errs := make([]error, peers)
	start := time.Now()
	var wg sync.WaitGroup
	for i := range up {
		wg.Go(func() {
			if up[i], errs[i] = speak(manyAddr(i), d.to, sinkAS, false, nil); errs[i] == nil {
				errs[i] = up[i].await("the routes", func() bool { return up[i].routes.Load() >= int64(f.routes) })
			}
		})
	}
	wg.Wait()
	took := time.Since(start)
	for i, u := range up {
		if u != nil {
			gap = max(gap, float64(u.gap.Load())/1e9)
			defer u.close()
		}
		if errs[i] != nil {
			err = errs[i]
		}
	}
	return took.Seconds(), gap, err
}

// manyPeers measures 500 peers that connect at once.
func (e *env) manyPeers() error {
	peers, routes := 500, 20_000
	if e.Smoke {
		peers, routes = 20, 1000
	}
	t, err := tablegen.New(tablegen.Options{Prefixes: e.v4, IPv4: routes, IPv6: 0, Peers: 1, Seed: 1})
	if err != nil {
		return err
	}
	fs, err := feeds(t, 1)
	if err != nil {
		return err
	}
	e.note("%d peers at once", peers)
	var gaps []float64
	runs, err := benchkit.Times(min(e.Runs, 3), func() (float64, error) {
		s, g, err := e.manyOnce(ribdRival, fs[0], peers)
		gaps = append(gaps, g)
		return s, err
	})
	if err != nil {
		return err
	}
	row := benchkit.Single(fmt.Sprintf("%d peers at once, each sent %d routes", peers, fs[0].routes), "s", runs, e.atFull(benchkit.AtMost(10)))
	row.Note = "until all sessions are up and have every route; BIRD 2 did not bring them all up in three minutes, GoBGP takes minutes for 2,500 (measured elsewhere)"
	late := benchkit.Single(fmt.Sprintf("%d peers at once, longest silence of a session", peers), "s", gaps, e.atFull(benchkit.AtMost(speakerHold/3)))
	late.Note = "a keepalive is due after 80 s"
	e.add(row, late)
	return nil
}

// flaps measures what is left of a peer's routes after it has come and gone many
// times.
func (e *env) flaps() error {
	flaps, routes := 100, 300_000
	if e.Smoke {
		flaps, routes = 3, 1000
	}
	t, err := tablegen.New(tablegen.Options{Prefixes: e.v4, IPv4: min(routes, len(e.v4)), IPv6: 0, Peers: 1, Seed: 1})
	if err != nil {
		return err
	}
	fs, err := feeds(t, 1)
	if err != nil {
		return err
	}
	e.note("%d flaps of a peer with %d routes", flaps, fs[0].routes)
	runs, err := benchkit.Times(min(e.Runs, 3), func() (float64, error) { return e.flapOnce(ribdRival, fs[0], flaps) })
	if err != nil {
		return err
	}
	row := benchkit.Single(fmt.Sprintf("memory after %d flaps of %d routes", flaps, fs[0].routes), "× after one", runs, e.atFull(benchkit.AtMost(1.05)))
	row.Note = "resident, with the routes there, after the last flap over that after the first; Rotonda 1.7 after 3 (measured elsewhere)"
	e.add(row)
	return nil
}

// flapOnce returns resident memory after the last flap over that after the
// first, both with the routes there and at rest.
func (e *env) flapOnce(r *rival, f feed, flaps int) (ratio float64, err error) {
	d, err := e.launch(r)
	if err != nil || d == nil {
		return 0, err
	}
	defer d.explain(&err)
	var first, last float64
	for i := range flaps + 1 {
		s, err := speak(f.from, d.to, f.as, false, nil)
		if err != nil {
			return 0, err
		}
		if err = s.send(f.announce); err == nil {
			_, err = d.reach(func(n int) bool { return n >= f.routes }, s)
		}
		if err == nil && (i == 0 || i == flaps) {
			last, err = d.settled(e.span(15 * time.Second))
		}
		if i == 0 {
			first = last
		}
		s.close()
		if err == nil {
			_, err = d.reach(func(n int) bool { return n == 0 })
		}
		if err != nil {
			return 0, fmt.Errorf("flap %d: %w", i, err)
		}
	}
	return last / first, nil
}

// settled waits until resident memory no longer falls.
func (d *daemon) settled(limit time.Duration) (least float64, err error) {
	end := time.Now().Add(limit)
	for calm := 0; calm < 5 && time.Now().Before(end); calm++ {
		now, err := d.resident()
		if err != nil {
			return 0, err
		}
		if least == 0 || now < least*0.998 {
			least, calm = now, 0
		}
		time.Sleep(limit / 20)
	}
	return d.resident()
}
