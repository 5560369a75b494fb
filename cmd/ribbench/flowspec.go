package main

import (
	"fmt"
	"net/netip"
	"runtime"
	"time"

	"ribd/internal/benchkit"
	"ribd/internal/rulegen"
	"ribd/shard/rules"
	"ribd/wire"
	"ribd/wire/flowspec"
)

type flowspecCommand struct {
	measureFlags
	Only []string `help:"Only these: match, http, in." enum:"match,http,in" placeholder:"PART"`
}

// flowspecParts are the figures of Flow Spec, by name.
var flowspecParts = []struct {
	name string
	run  func(*env) error
}{{"match", (*env).matchPackets}, {"http", (*env).matchHTTP}, {"in", (*env).takeRules}}

// Run measures rules: matched in the process, over HTTP, and taken in.
func (c *flowspecCommand) Run() error {
	var parts []func(*env) error
	for _, p := range flowspecParts {
		if len(c.Only) == 0 || has(c.Only, p.name) {
			parts = append(parts, p.run)
		}
	}
	return c.measure(parts...)
}

// ruleSet makes rules whose hosts are in the prefixes of the data.
func (e *env) ruleSet(n int, v6 bool) *rulegen.Set {
	ps := e.v4
	if v6 {
		ps = e.v6
	}
	long := make([]netip.Prefix, 0, len(ps))
	for _, p := range ps {
		if v6 && p.Bits() >= 32 || !v6 && p.Bits() >= 19 {
			long = append(long, p)
		}
	}
	if e.Smoke {
		n /= 50
	}
	return rulegen.New(rulegen.Options{Prefixes: long, Rules: n, Seed: 1})
}

// ruleTable is rules compiled, the same rules for the naive walk, in order, and
// packets.
type ruleTable struct {
	table   *rules.Table
	rules   *rules.Rules
	naive   []flowspec.Rule
	packets []flowspec.Packet
}

// packetsOf is how many packets are asked about in turn: too many for the first
// caches to have seen the next one.
const packetsOf = 1 << 15

func newRuleTable(set *rulegen.Set, f wire.Family) (*ruleTable, error) {
	t := &ruleTable{table: rules.NewTable(f)}
	for i, r := range set.Rules {
		nlri, err := flowspec.Canonical(nil, f, r.NLRI)
		if err != nil {
			return nil, err
		}
		t.table.Set(nlri, rules.Value{ID: uint64(i + 1), Active: true, Terminal: i%8 != 0})
	}
	t.packets = make([]flowspec.Packet, packetsOf)
	for i := range t.packets {
		t.packets[i] = packetOf(set.Packet(uint64(i)))
	}
	t.rules = t.table.PublishCompiled()
	var err error
	t.rules.Walk(nil, func(nlri []byte, _ rules.Value, _ int) bool {
		var r flowspec.Rule
		if r, err = flowspec.Parse(f, nlri); err == nil {
			t.naive = append(t.naive, r)
		}
		return err == nil
	})
	return t, err
}

func packetOf(p rulegen.Packet) flowspec.Packet {
	return flowspec.Packet{
		Src: p.Src, Dst: p.Dst, Protocol: p.Protocol, SrcPort: p.SrcPort, DstPort: p.DstPort, ICMPType: p.Type, ICMPCode: p.Code,
		TCPFlags: p.TCPFlags, Length: uint32(p.Length), DSCP: p.DSCP, Fragment: flowspec.FragmentBits(p.Fragment), Has: flowspec.HasAll,
	}
}

// agree fails where the compiled rules and the naive walk do not find as many.
func (t *ruleTable) agree(packets int) error {
	var m rules.Matches
	for i := range packets {
		p := &t.packets[i]
		t.rules.Match(p, &m)
		if n := t.walk(p); n != len(m.Hits) {
			return fmt.Errorf("%d rules match %+v, the naive walk finds %d", len(m.Hits), *p, n)
		}
	}
	return nil
}

// walk is the naive matcher: every component of every rule, in order.
func (t *ruleTable) walk(p *flowspec.Packet) (hits int) {
	for i := range t.naive {
		if t.naive[i].Match(p) {
			hits++
		}
	}
	return hits
}

// matchPackets measures packets in the process: tails, and the mean beside the
// naive walk.
func (e *env) matchPackets() error {
	for _, c := range []struct {
		name     string
		n        int
		v6       bool
		p50, p99 float64 // goals
	}{
		{"10,000 rules", 10_000, false, 500, 2000},
		{"100,000 rules", 100_000, false, 2000, 0},
		{"10,000 IPv6 rules", 10_000, true, 0, 0},
	} {
		e.note("matching packets: %s", c.name)
		f := wire.IPv4FlowSpec
		if c.v6 {
			f = wire.IPv6FlowSpec
		}
		t, err := newRuleTable(e.ruleSet(c.n, c.v6), f)
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		if err := t.agree(e.few(300)); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		e.matchTails(c.name, t, c.p50, c.p99)
		e.matchNaive(c.name, t)
		e.matchChanging(c.name, t)
	}
	return nil
}

// few is a number of questions, less of them in a smoke run.
func (e *env) few(n int) int {
	if e.Smoke {
		return max(1, n/10)
	}
	return n
}

// matchTails adds the quantiles of single matches, the clock's reading with them,
// and that they allocate nothing.
func (e *env) matchTails(name string, t *ruleTable, p50, p99 float64) {
	var half, tail, last []float64
	var m rules.Matches
	var before, after runtime.MemStats
	hits, asked := 0, 0
	match := func(i int) {
		t.rules.Match(&t.packets[i&(packetsOf-1)], &m)
		hits += len(m.Hits)
		asked++
	}
	for i := range packetsOf {
		match(i)
	}
	for range e.Runs {
		runtime.ReadMemStats(&before)
		h, _ := beside(e.span(2*time.Second), match, func() {}, nil, nil)
		runtime.ReadMemStats(&after)
		half, tail, last = append(half, h.Quantile(0.5)), append(tail, h.Quantile(0.99)), append(last, h.Quantile(0.999))
	}
	goal := func(v float64) *benchkit.Goal {
		if v == 0 {
			return nil
		}
		return e.atFull(benchkit.AtMost(v))
	}
	row := benchkit.Single("match against "+name+", p50", "ns", half, goal(p50))
	row.Note = fmt.Sprintf("with one reading of the clock; %.2f rules match a packet on average", float64(hits)/float64(asked))
	e.add(row, benchkit.Single("match against "+name+", p99", "ns", tail, goal(p99)), benchkit.Single("match against "+name+", p99.9", "ns", last, nil))
}

// matchNaive adds the mean of a match beside that of the naive walk, and of a
// batch.
func (e *env) matchNaive(name string, t *ruleTable) {
	var m rules.Matches
	at := 0
	timed := func(n int, f func(p *flowspec.Packet)) func() float64 {
		return func() float64 {
			start := time.Now()
			for range n {
				f(&t.packets[at&(packetsOf-1)])
				at++
			}
			return float64(time.Since(start).Nanoseconds()) / float64(n)
		}
	}
	walks := max(1, 100_000/len(t.naive))
	ours, theirs := benchkit.Slices(e.Runs, e.few(15),
		timed(e.few(20_000), func(p *flowspec.Packet) { t.rules.Match(p, &m) }),
		timed(walks, func(p *flowspec.Packet) { t.walk(p) }))
	e.add(benchkit.Paired("match against "+name+", mean", "ns", "naive walk", ours, theirs, benchkit.LessIsBetter, e.atFull(benchkit.RatioAtLeast(50))))
}

// changeRate is how many rules a second change beside the matches.
const changeRate = 1000

// matchChanging adds the tail beside rules that come and go, each published at
// once, over that without.
func (e *env) matchChanging(name string, t *ruleTable) {
	var m rules.Matches
	var half, tail, idle []float64
	now := make(chan *rules.Rules, 1) // the latest
	now <- t.rules
	r := t.rules
	look := func(i int) { r.Match(&t.packets[i&(packetsOf-1)], &m) }
	var all [][]byte
	t.rules.Walk(nil, func(nlri []byte, _ rules.Value, _ int) bool { all = append(all, nlri); return len(all) < 5000 })
	span := e.span(2 * time.Second)
	for range e.Runs {
		h, _ := beside(span, look, func() {}, nil, nil)
		idle = append(idle, h.Quantile(0.99))
		h = e.besideChanges(span, look, func() {
			select {
			case r = <-now:
			default:
			}
		}, func(i int) {
			t.table.Set(all[i%len(all)], rules.Value{ID: uint64(i), Active: true, Terminal: true})
			p := t.table.Publish()
			select {
			case <-now:
			default:
			}
			now <- p
		})
		half, tail = append(half, h.Quantile(0.5)), append(tail, h.Quantile(0.99))
	}
	e.add(benchkit.Single("match beside 1,000 changes/s of "+name+", p50", "ns", half, nil),
		benchkit.Paired("match beside 1,000 changes/s of "+name+", p99", "ns", "idle", tail, idle, benchkit.OursToTheirs, nil))
}

// besideChanges is beside with changes of rules, at their rate.
func (e *env) besideChanges(span time.Duration, look func(int), between func(), change func(int)) *benchkit.Histogram {
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		t := time.NewTicker(time.Second / changeRate)
		defer t.Stop()
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			case <-t.C:
				change(i)
			}
		}
	}()
	h, _ := beside(span, look, between, nil, nil)
	close(stop)
	<-done
	return h
}
