package main

import (
	"fmt"
	"time"

	"ribd/internal/benchkit"
)

// sent is what sinks that come late are given.
type sent struct {
	rate, first, packing float64 // routes/s in millions, in all; ms; routes an UPDATE
}

// sendOnce loads a daemon with a table, then connects sinks and waits until each
// has it all.
func (e *env) sendOnce(r *rival, f feed, sinks int) (s sent, err error) {
	d, err := e.launch(r)
	if err != nil || d == nil {
		return s, err
	}
	defer d.explain(&err)
	from, err := speak(f.from, d.to, f.as, false, nil)
	if err != nil {
		return s, err
	}
	defer from.close()
	if err = from.send(f.announce); err != nil {
		return s, err
	}
	if _, err = d.reach(func(n int) bool { return n >= f.routes }, from); err != nil {
		return s, err
	}
	time.Sleep(e.span(2 * time.Second))
	up := make([]*speaker, sinks)
	errs := make(chan error, sinks)
	start := time.Now()
	for i := range up {
		go func() {
			var err error
			up[i], err = speak(sinkAddr(i), d.to, sinkAS, false, nil)
			errs <- err
		}()
	}
	for range up {
		if e := <-errs; e != nil {
			err = e
		}
	}
	for _, u := range up {
		if u != nil {
			defer u.close()
		}
	}
	if err != nil {
		return s, err
	}
	for i, u := range up {
		if err = u.await(fmt.Sprintf("the table at sink %d", i+1), func() bool { return u.routes.Load() >= int64(f.routes) }); err != nil {
			return s, err
		}
	}
	took := time.Since(start)
	var updates int64
	for _, u := range up {
		s.first = max(s.first, float64(u.first.Load())/1e6)
		updates += u.updates.Load()
	}
	s.rate = float64(sinks*f.routes) / took.Seconds() / 1e6
	s.packing = float64(sinks*f.routes) / float64(updates)
	return s, nil
}

// sendOut measures the whole table to sinks that connect when it is there.
func (e *env) sendOut() error {
	t, err := e.wholeTable(1)
	if err != nil {
		return err
	}
	fs, err := feeds(t, 1)
	if err != nil {
		return err
	}
	packed := float64(fs[0].routes) / float64(fs[0].messages)
	for _, c := range []struct {
		sinks int
		goal  float64
	}{{1, 1.2}, {4, 3}} {
		e.note("sending the table to %d late sinks", c.sinks)
		var ours, theirs []sent
		once := func(r *rival, into *[]sent) func() (float64, error) {
			return func() (float64, error) {
				s, err := e.sendOnce(r, fs[0], c.sinks)
				*into = append(*into, s)
				return s.rate, err
			}
		}
		a, b, err := benchkit.Pairs(e.Runs, once(ribdRival, &ours), once(birdRival, &theirs))
		if err != nil {
			return err
		}
		of := func(ss []sent, f func(sent) float64) (v []float64) {
			for _, s := range ss {
				v = append(v, f(s))
			}
			return v
		}
		first := func(s sent) float64 { return s.first }
		packing := func(s sent) float64 { return s.packing }
		name := fmt.Sprintf("send to %d late", c.sinks)
		row := e.besideBIRD(name, "M routes/s", a, b, benchkit.MoreIsBetter, benchkit.AtLeast(c.goal))
		row.Note = "in all, from the first connection until the last route"
		pack := e.besideBIRD(name+", routes an UPDATE", "routes", of(ours, packing), of(theirs, packing), benchkit.MoreIsBetter, benchkit.AtLeast(0.99*packed))
		pack.Note = fmt.Sprintf("the feeder has %.2f: one UPDATE a set of attributes", packed)
		e.add(row, e.besideBIRD(name+", first UPDATE", "ms", of(ours, first), of(theirs, first), benchkit.LessIsBetter, benchkit.AtMost(10)), pack)
	}
	return nil
}
