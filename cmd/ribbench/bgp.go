package main

import (
	"fmt"
	"sync"
	"time"

	"ribd/internal/benchkit"
	"ribd/internal/tablegen"
)

type bgpCommand struct {
	measureFlags
	Only []string `help:"Only these: in, out, churn, many, flaps." enum:"in,out,churn,many,flaps" placeholder:"PART"`
}

// bgpParts are the figures of BGP sessions, by name.
var bgpParts = []struct {
	name string
	run  func(*env) error
}{{"in", (*env).takeIn}, {"out", (*env).sendOut}, {"churn", (*env).churn}, {"many", (*env).manyPeers}, {"flaps", (*env).flaps}}

// Run measures daemons with sessions.
func (c *bgpCommand) Run() error {
	var parts []func(*env) error
	for _, p := range bgpParts {
		if len(c.Only) == 0 || has(c.Only, p.name) {
			parts = append(parts, p.run)
		}
	}
	return c.measure(parts...)
}

func has(list []string, s string) bool {
	for _, l := range list {
		if l == s {
			return true
		}
	}
	return false
}

// wholeTable draws a table of all IPv4 prefixes that there are.
func (e *env) wholeTable(peers int) (*tablegen.Table, error) {
	return tablegen.New(tablegen.Options{Prefixes: e.v4, IPv4: len(e.v4), IPv6: 0, Peers: peers, Seed: 1})
}

// taken is what one daemon that takes tables in shows.
type taken struct {
	rate, cpu, bytes float64 // paths/s in millions; CPU seconds a million; resident octets a path
	withdraw         float64 // seconds
}

// takeOnce starts a daemon, feeds it and, where asked, takes all back.
func (e *env) takeOnce(r *rival, feeds []feed, addPath, withdraw bool) (t taken, err error) {
	d, err := e.launch(r)
	if err != nil || d == nil {
		return t, err
	}
	defer d.explain(&err)
	total := 0
	var up []*speaker
	for i := range feeds {
		s, err := speak(feeds[i].from, d.to, feeds[i].as, addPath, nil)
		if err != nil {
			return t, err
		}
		defer s.close()
		up = append(up, s)
		total += feeds[i].routes
	}
	cpu0, _ := d.cpu()
	start := time.Now()
	if err = sendAll(up, func(i int) []byte { return feeds[i].announce }); err != nil {
		return t, err
	}
	end, err := d.reach(func(n int) bool { return n >= total }, up...)
	if err != nil {
		return t, err
	}
	t.rate = float64(total) / end.Sub(start).Seconds() / 1e6
	time.Sleep(e.span(2 * time.Second))
	cpu, _ := d.cpu()
	t.cpu = (cpu - cpu0).Seconds() / float64(total) * 1e6
	rss, err := d.resident()
	if err != nil {
		return t, err
	}
	t.bytes = (rss - d.base) / float64(total)
	if !withdraw {
		return t, nil
	}
	start = time.Now()
	if err = sendAll(up, func(i int) []byte { return feeds[i].withdraw }); err != nil {
		return t, err
	}
	end, err = d.reach(func(n int) bool { return n == 0 }, up...)
	t.withdraw = end.Sub(start).Seconds()
	return t, err
}

// sendAll sends from all speakers at the same time.
func sendAll(up []*speaker, octets func(i int) []byte) error {
	errs := make([]error, len(up))
	var wg sync.WaitGroup
	for i, s := range up {
		wg.Go(func() { errs[i] = s.send(octets(i)) })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// takeIn measures whole tables from one peer, from four, and four paths of each
// prefix from one.
func (e *env) takeIn() error {
	t, err := e.wholeTable(4)
	if err != nil {
		return err
	}
	all, err := feeds(t, 4)
	if err != nil {
		return err
	}
	paths, err := addPathFeed(t, 4)
	if err != nil {
		return err
	}
	for _, c := range []struct {
		name          string
		feeds         []feed
		addPath       bool
		ratio, octets float64
	}{
		{"1 peer", all[:1], false, 4, 70},
		{"4 peers", all, false, 4, 50},
		{"4 Add-Path paths from 1 peer", []feed{paths}, true, 3, 0},
	} {
		e.note("taking tables in: %s", c.name)
		if err := e.takeInCase(c.name, c.feeds, c.addPath, c.ratio, c.octets); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	return nil
}

func (e *env) takeInCase(name string, fs []feed, addPath bool, ratio, octets float64) error {
	var ours, theirs []taken
	withdraw := len(fs) == 1 && !addPath
	once := func(r *rival, into *[]taken) func() (float64, error) {
		return func() (float64, error) {
			t, err := e.takeOnce(r, fs, addPath, withdraw)
			*into = append(*into, t)
			return t.rate, err
		}
	}
	a, b, err := benchkit.Pairs(e.Runs, once(ribdRival, &ours), once(birdRival, &theirs))
	if err != nil {
		return err
	}
	routes, messages := 0, 0
	for _, f := range fs {
		routes, messages = routes+f.routes, messages+f.messages
	}
	row := e.besideBIRD("take in: "+name, "M paths/s", a, b, benchkit.MoreIsBetter, benchkit.RatioAtLeast(ratio))
	row.Note = fmt.Sprintf("%d paths in %d UPDATEs (%.2f an UPDATE)", routes, messages, float64(routes)/float64(messages))
	of := func(ts []taken, f func(taken) float64) (v []float64) {
		for _, t := range ts {
			v = append(v, f(t))
		}
		return v
	}
	cpu := func(t taken) float64 { return t.cpu }
	size := func(t taken) float64 { return t.bytes }
	rows := []benchkit.Row{row, e.besideBIRD("take in: "+name+", CPU seconds a million paths", "s", of(ours, cpu), of(theirs, cpu), benchkit.LessIsBetter, benchkit.AtMost(0.45))}
	var goal *benchkit.Goal
	if octets > 0 {
		goal = benchkit.AtMost(octets)
	}
	mem := e.besideBIRD("take in: "+name+", resident bytes a path", "B", of(ours, size), of(theirs, size), benchkit.LessIsBetter, goal)
	mem.Note = "what the process has more than before the first session, two seconds after the last route"
	rows = append(rows, mem)
	if withdraw {
		gone := func(t taken) float64 { return t.withdraw }
		rows = append(rows, e.besideBIRD("withdraw all", "s", of(ours, gone), of(theirs, gone), benchkit.LessIsBetter, benchkit.AtMost(0.35)))
	}
	e.add(rows...)
	return nil
}

// besideBIRD makes a row with BIRD 2 as the rival, or alone where it is not
// on this machine.
func (e *env) besideBIRD(name, unit string, ours, theirs []float64, c benchkit.Compare, g *benchkit.Goal) benchkit.Row {
	for _, v := range theirs {
		if v == 0 {
			return benchkit.Single(name, unit, ours, nil)
		}
	}
	return benchkit.Paired(name, unit, birdRival.name, ours, theirs, c, e.atFull(g))
}
