package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"sort"
	"sync"
	"time"

	"ribd/internal/benchkit"
	"ribd/wire"
)

const (
	churnRate  = 5000 // UPDATEs a second
	churnAhead = 5    // messages of one write: they leave each millisecond
)

// churned is how long changes take from one peer to another.
type churned struct {
	p50, p99, max float64 // ms
	cpu           float64 // seconds
}

// churnFeed is the UPDATEs of a feed in their order, each with a MED of its own,
// by which the sink knows them again: an external peer is not sent a MED, so it
// stands in a community too.
type churnFeed struct {
	messages [][]byte
	routes   int
}

// churnMark is the AS in the communities that number UPDATEs; the number has 16
// bits more than a community has, so there are two of them.
const churnMark = 64999

// newChurn makes n numbered UPDATEs out of those of a feed, again and again from
// its start.
func newChurn(f feed, n int) (c churnFeed, err error) {
	session := wire.Session{AS4: true, External: true}
	var u wire.Update
	var edit wire.AttrEditor
	enc := wire.NewEncoder(wire.SendOptions{AS4: true})
	rest := f.announce
	for i := range n {
		if len(rest) == 0 {
			rest = f.announce
		}
		size := int(binary.BigEndian.Uint16(rest[16:]))
		if e := u.Parse(rest[:size], &session); e != nil {
			return c, e
		}
		rest = rest[size:]
		edit.Start(u.AppendAttributes(nil))
		edit.Remove(wire.AttrCommunities)
		edit.AddCommunities([]uint32{churnMark<<16 | uint32(i)>>10, (churnMark+1)<<16 | uint32(i)&1023})
		enc.Reset()
		if err = enc.Announce(wire.IPv4Unicast, edit.Append(nil)); err != nil {
			return c, err
		}
		for w := u.NLRI4(); w.Next(); {
			enc.Route4(w.Addr(), w.Len(), 0)
			c.routes++
		}
		c.messages = append(c.messages, bytes.Clone(enc.Flush()))
	}
	return c, nil
}

// churnNumber is the number of the UPDATE that a message came of, -1 where it
// has none.
func churnNumber(msg []byte) int {
	b := msg[wire.HeaderLen:]
	w := int(binary.BigEndian.Uint16(b))
	b = b[2+w:]
	attrs := b[2 : 2+int(binary.BigEndian.Uint16(b))]
	for len(attrs) > 3 {
		n, at := int(attrs[2]), 3
		if attrs[0]&wire.FlagExtended != 0 {
			n, at = int(binary.BigEndian.Uint16(attrs[2:])), 4
		}
		if v := attrs[at : at+n]; attrs[1] == byte(wire.AttrCommunities) && len(v) == 8 && binary.BigEndian.Uint16(v) == churnMark {
			return int(binary.BigEndian.Uint16(v[2:]))<<10 | int(binary.BigEndian.Uint16(v[6:]))
		}
		attrs = attrs[at+n:]
	}
	return -1
}

// churnOnce measures a daemon that has a table, while one peer changes it, one
// sink listens and, with a third feed, another peer sends its table.
func (e *env) churnOnce(r *rival, table feed, c churnFeed, beside *feed) (out churned, err error) {
	d, err := e.launch(r)
	if err != nil || d == nil {
		return out, err
	}
	defer d.explain(&err)
	from, err := speak(table.from, d.to, table.as, false, nil)
	if err != nil {
		return out, err
	}
	defer from.close()
	if err = from.send(table.announce); err != nil {
		return out, err
	}
	if _, err = d.reach(func(n int) bool { return n >= table.routes }, from); err != nil {
		return out, err
	}
	at := make([]time.Time, len(c.messages)) // sent
	took := make([]time.Duration, len(c.messages))
	var mu sync.Mutex
	came := 0
	sink, err := speak(sinkAddr(0), d.to, sinkAS, false, func(msg []byte) {
		now := time.Now()
		i := churnNumber(msg)
		mu.Lock()
		defer mu.Unlock()
		if i >= 0 && i < len(took) && took[i] == 0 && !at[i].IsZero() {
			took[i] = now.Sub(at[i])
			came++
		}
	})
	if err != nil {
		return out, err
	}
	defer sink.close()
	if err = sink.await("the table at the sink", func() bool { return sink.routes.Load() >= int64(table.routes) }); err != nil {
		return out, err
	}
	time.Sleep(e.span(2 * time.Second))
	cpu0, _ := d.cpu()
	if beside != nil {
		other, err := speak(beside.from, d.to, beside.as, false, nil)
		if err != nil {
			return out, err
		}
		defer other.close()
		go other.send(beside.announce)
	}
	if err = c.send(from, at, &mu); err != nil {
		return out, err
	}
	err = sink.await("the last changes at the sink", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return came >= len(took)*98/100
	})
	cpu, _ := d.cpu()
	out.cpu = (cpu - cpu0).Seconds()
	mu.Lock()
	defer mu.Unlock()
	var ds []time.Duration
	for _, t := range took {
		if t > 0 {
			ds = append(ds, t)
		}
	}
	if err != nil || len(ds) == 0 {
		return out, err
	}
	sort.Slice(ds, func(i, j int) bool { return ds[i] < ds[j] })
	q := func(f float64) float64 { return ds[min(len(ds)-1, int(f*float64(len(ds))))].Seconds() * 1e3 }
	out.p50, out.p99, out.max = q(0.5), q(0.99), q(1)
	return out, nil
}

// send sends the messages at their pace, a few each millisecond.
func (c *churnFeed) send(s *speaker, at []time.Time, mu *sync.Mutex) error {
	start := time.Now()
	var out []byte
	for i := 0; i < len(c.messages); {
		time.Sleep(time.Until(start.Add(time.Duration(i) * time.Second / churnRate)))
		n := min(len(c.messages)-i, churnAhead)
		out = out[:0]
		for _, m := range c.messages[i : i+n] {
			out = append(out, m...)
		}
		now := time.Now()
		mu.Lock()
		for j := i; j < i+n; j++ {
			at[j] = now
		}
		mu.Unlock()
		if err := s.send(out); err != nil {
			return err
		}
		i += n
	}
	return nil
}

// churn measures the way of a change from one peer to another.
func (e *env) churn() error {
	t, err := e.wholeTable(2)
	if err != nil {
		return err
	}
	table, err := oneFeed(t, 0, 0)
	if err != nil {
		return err
	}
	// The other peer's paths are never the best: what the sink is sent are the
	// changes.
	other, err := oneFeed(t, 1, 20)
	if err != nil {
		return err
	}
	c, err := newChurn(table, int(e.span(15*time.Second).Seconds()*churnRate))
	if err != nil {
		return err
	}
	for _, k := range []struct {
		name          string
		beside        *feed
		p50, p99, max float64
	}{{"churn", nil, 0.25, 1, 10}, {"churn beside a full table from another peer", &other, 0, 20, 0}} {
		e.note("%s: %d UPDATEs with %d prefixes", k.name, len(c.messages), c.routes)
		var ours, theirs []churned
		once := func(r *rival, into *[]churned) func() (float64, error) {
			return func() (float64, error) {
				x, err := e.churnOnce(r, table, c, k.beside)
				*into = append(*into, x)
				return x.p99, err
			}
		}
		if _, _, err := benchkit.Pairs(e.Runs, once(ribdRival, &ours), once(birdRival, &theirs)); err != nil {
			return fmt.Errorf("%s: %w", k.name, err)
		}
		row := func(what, unit string, goal float64, f func(churned) float64) {
			var a, b []float64
			for i := range ours {
				a, b = append(a, f(ours[i])), append(b, f(theirs[i]))
			}
			var g *benchkit.Goal
			if goal > 0 {
				g = benchkit.AtMost(goal)
			}
			e.add(e.besideBIRD(k.name+", "+what, unit, a, b, benchkit.LessIsBetter, g))
		}
		row("p50", "ms", k.p50, func(x churned) float64 { return x.p50 })
		row("p99", "ms", k.p99, func(x churned) float64 { return x.p99 })
		row("max", "ms", k.max, func(x churned) float64 { return x.max })
		if k.beside == nil {
			row("CPU seconds in 15 s", "s", 1.5, func(x churned) float64 { return x.cpu })
		}
	}
	return nil
}

// manyAddr is the loopback address of peer i of many.
func manyAddr(i int) netip.Addr { return sinkAddr(1000 + i) }
