package rules

import (
	"encoding/hex"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"ribd/internal/golden"
	"ribd/internal/rulegen"
	"ribd/wire"
	"ribd/wire/flowspec"
)

// TestReadersBesideTheWriter matches while rules come and go and matchers are
// compiled: each answer is that of the snapshot asked.
func TestReadersBesideTheWriter(t *testing.T) {
	f := wire.IPv4FlowSpec
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	m := newMaker(f, seed, 20)
	type state struct {
		r    *Rules
		want truth
	}
	var now atomic.Pointer[state]
	tbl, want := NewTable(f), truth{family: f}
	now.Store(&state{r: tbl.Publish()})
	var wg sync.WaitGroup
	done := make(chan struct{})
	for i := range 3 {
		wg.Go(func() {
			m := newMaker(f, seed, 20) // the same nets
			m.Rand = rand.New(rand.NewPCG(seed, uint64(i)))
			var matches Matches
			for {
				select {
				case <-done:
					return
				default:
				}
				s, p := now.Load(), m.packet()
				hits, applied := s.want.match(&p)
				if s.r.Match(&p, &matches); !slices.Equal(matches.Hits, hits) || matches.Applied != applied {
					t.Errorf("packet %+v: got %v, want %v", p, matches.Hits, hits)
					return
				}
			}
		})
	}
	var known [][]byte
	for step := range 150 {
		for range 1 + step%60 {
			if len(known) > 600 {
				at := m.IntN(len(known))
				tbl.Delete(known[at])
				want.delete(known[at])
				known = slices.Delete(known, at, at+1)
				continue
			}
			nlri, v := m.nlri(t), Value{ID: m.Uint64(), Active: true, Terminal: m.IntN(2) == 0}
			known = append(known, nlri)
			tbl.Set(nlri, v)
			want.set(t, nlri, v)
		}
		now.Store(&state{tbl.Publish(), want.clone()})
	}
	close(done)
	wg.Wait()
}

// TestManyRulesOfOnePrefix has so many rules that no prefix tells apart that
// summaries of bitmaps are used.
func TestManyRulesOfOnePrefix(t *testing.T) {
	for _, f := range families[:2] {
		seed := rand.Uint64()
		t.Logf("%v, seed %d", f, seed)
		m := newMaker(f, seed, 5000)
		m.nets = m.nets[:1]
		tbl, want := NewTable(f), truth{family: f}
		n := 6000
		if testing.Short() {
			n = 5000
		}
		var all []trueRule
		add := func(nlri []byte) {
			r, err := flowspec.Parse(f, nlri)
			if err != nil {
				t.Fatalf("%x: %v", nlri, err)
			}
			v := Value{ID: uint64(len(all)), Active: true, Terminal: m.IntN(10) == 0}
			tbl.Set(nlri, v)
			all = append(all, trueRule{nlri, r, v})
		}
		for i := range n {
			nlri := m.nlri(t)
			if _, offset, ok := flowspec.Destination(f, nlri); !ok || offset != 0 || i%20 == 0 {
				add(nlri)
			}
		}
		for range n { // told apart by a port alone: port, destination port or source port
			add([]byte{4, byte(4 + m.IntN(3)), 0x91, byte(m.IntN(20)), byte(m.IntN(256))})
		}
		for range n / 10 {
			if flowspec.Is6(f) { // or by a flow label
				add([]byte{6, byte(flowspec.TypeFlowLabel), 0xa1, 0, 0, byte(m.IntN(20)), byte(m.IntN(256))})
			}
		}
		slices.SortStableFunc(all, func(a, b trueRule) int { return flowspec.Compare(f, a.nlri, b.nlri) })
		for i, r := range all { // of equal NLRI the last was set last
			if i+1 == len(all) || string(all[i+1].nlri) != string(r.nlri) {
				want.rules = append(want.rules, r)
			}
		}
		r := tbl.Publish()
		if want.rules == nil || r.Len() != len(want.rules) {
			t.Fatalf("%d rules, want %d", r.Len(), len(want.rules))
		}
		var matches Matches
		for range 300 {
			p := m.packet()
			same(t, r, &want, &p, &matches)
		}
		tbl.wait()
		if bits := countBitmaps(r.matching.Load().base); bits == 0 {
			t.Error("no bitmaps were made")
		}
		for range 300 {
			p := m.packet()
			same(t, r, &want, &p, &matches)
		}
	}
}

func countBitmaps(m *matcher) (n int) {
	for _, x := range m.indexes {
		if x.bits != nil && x.bits.words > 64 {
			n++
		}
	}
	return n
}

// TestRealRules matches the rules of the shared data, each with the packets of
// rules made like them.
func TestRealRules(t *testing.T) {
	data, err := os.ReadFile(golden.Data(t, "messages", "flowspec-rules-a.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	tables := map[wire.Family]*Table{}
	wants := map[wire.Family]*truth{}
	n := 0
	for line := range strings.Lines(string(data)) {
		fields := strings.Split(line, "\t")
		if strings.HasPrefix(line, "#") || len(fields) < 3 {
			continue
		}
		for _, text := range strings.Split(strings.TrimSpace(strings.TrimPrefix(strings.TrimPrefix(fields[2], "announce"), "withdraw")), " ; ") {
			r, _, err := flowspec.ParseText(strings.NewReplacer("[ ", "", " ]", "").Replace(text))
			if err != nil {
				continue // its text is not all ribd's; wire/flowspec tests the octets
			}
			nlri, err := r.AppendNLRI(nil)
			if err != nil {
				t.Fatal(err)
			}
			f := r.Family
			if tables[f] == nil {
				tables[f], wants[f] = NewTable(f), &truth{family: f}
			}
			n++
			v := Value{ID: uint64(n), Active: true, Terminal: true}
			tables[f].Set(nlri, v)
			wants[f].set(t, nlri, v)
		}
	}
	if n < 400 {
		t.Fatalf("%d rules were read", n)
	}
	var m Matches
	hits := 0
	for f, tbl := range tables {
		r := tbl.Publish()
		for i, w := range wants[f].rules {
			for _, p := range packetsFor(&w.rule, uint64(i)) {
				same(t, r, wants[f], &p, &m)
				hits += len(m.Hits)
			}
		}
	}
	if hits < n {
		t.Errorf("%d hits of %d rules", hits, n)
	}
}

// packetsFor makes packets that are near what a rule asks for.
func packetsFor(r *flowspec.Rule, seed uint64) (all []flowspec.Packet) {
	g := rand.New(rand.NewPCG(seed, 1))
	for range 10 {
		p := flowspec.Packet{Protocol: 17, SrcPort: uint16(g.Uint32()), DstPort: uint16(g.Uint32()), Length: 60 + g.Uint32N(1400), Has: flowspec.HasAll}
		for _, c := range r.Components {
			v := uint64(0)
			if len(c.Ops) > 0 {
				v = c.Ops[g.IntN(len(c.Ops))].Value
			}
			switch c.Type {
			case flowspec.TypeDestination:
				p.Dst = c.Prefix.Addr()
			case flowspec.TypeSource:
				p.Src = c.Prefix.Addr()
			case flowspec.TypeProtocol:
				p.Protocol = uint8(v)
			case flowspec.TypePort, flowspec.TypeDestinationPort:
				p.DstPort = uint16(v)
			case flowspec.TypeSourcePort:
				p.SrcPort = uint16(v)
			case flowspec.TypeICMPType:
				p.ICMPType = uint8(v)
			case flowspec.TypeTCPFlags:
				p.TCPFlags = uint16(v)
			case flowspec.TypePacketLength:
				p.Length = uint32(v)
			case flowspec.TypeDSCP:
				p.DSCP = uint8(v)
			case flowspec.TypeFragment:
				p.Fragment = flowspec.FragmentBits(v)
			case flowspec.TypeFlowLabel:
				p.FlowLabel = uint32(v)
			}
		}
		all = append(all, p)
	}
	return all
}

// TestPacketsOfTheGeneratorMeetItsRules keeps rulegen honest: the packet of each
// rule matches it.
func TestPacketsOfTheGeneratorMeetItsRules(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		f := wire.IPv4FlowSpec
		if v6 {
			f = wire.IPv6FlowSpec
		}
		for _, r := range rulegen.New(rulegen.Options{IPv6: v6, Rules: 3000, Seed: 5}).Rules {
			rule, err := flowspec.Parse(f, r.NLRI)
			if err != nil {
				t.Fatalf("%x: %v", r.NLRI, err)
			}
			canonical, _ := flowspec.Canonical(nil, f, r.NLRI)
			if string(canonical) != string(r.NLRI) {
				t.Fatalf("%v: %x is not canonical, %x is", rule.String(), r.NLRI, canonical)
			}
			if p := packetOf(r.Hit); !rule.Match(&p) {
				t.Fatalf("%v does not match %+v (%s)", rule.String(), p, hex.EncodeToString(r.NLRI))
			}
		}
	}
}

// In a bubble there is no lull before the test waits for one.
func TestChangesAreCompiledInALull(t *testing.T) { synctest.Test(t, changesAreCompiledInALull) }

func changesAreCompiledInALull(t *testing.T) {
	tbl, packets, all := realistic(t, false, 3000, 10)
	r := tbl.Publish()
	if s := r.matching.Load(); len(s.base.heads) > 0 || len(s.runs) == 0 {
		t.Error("3,000 rules are compiled at once")
	}
	time.Sleep(lullsMost * lull)
	synctest.Wait()
	if s := r.matching.Load(); len(s.base.heads) != len(all) || len(s.runs) > 0 {
		t.Errorf("%d of %d rules in the base", len(s.base.heads), len(all))
	}
	var m Matches
	for i := range 100 { // an overlay that is compiled by the first packet
		tbl.Set(all[i], Value{ID: 1, Active: true})
	}
	r = tbl.Publish()
	run := r.matching.Load().runs[0]
	if run.ready.Load() != nil {
		t.Error("100 changes are compiled at once")
	}
	if r.Match(&packets[0], &m); run.ready.Load() == nil {
		t.Error("100 changes are not compiled by a packet")
	}
}

// TestRunsOfChangesAreFew publishes change by change: each is compiled a few times
// only, since a run is several times as long as the next one. In a bubble nothing is
// compiled beside them.
func TestRunsOfChangesAreFew(t *testing.T) { synctest.Test(t, runsOfChangesAreFew) }

func runsOfChangesAreFew(t *testing.T) {
	tbl, _, all := realistic(t, false, 20_000, 1)
	tbl.PublishCompiled()
	runsNow := func() []*later {
		tbl.mu.Lock()
		defer tbl.mu.Unlock()
		return tbl.overlay.runs
	}
	compiled, longest := 0, 0
	for i := range 2000 {
		tbl.Set(all[i], Value{ID: 1, Active: true})
		before := runsNow()
		tbl.Publish()
		runs := runsNow()
		longest = max(longest, len(runs))
		for k := range runs {
			if k > 0 && len(runs[k-1].entries) < runRatio*len(runs[k].entries) {
				t.Fatalf("after %d changes run %d has %d and run %d %d", i, k-1, len(runs[k-1].entries), k, len(runs[k].entries))
			}
			if !slices.Contains(before, runs[k]) {
				compiled += len(runs[k].entries)
			}
		}
	}
	if compiled > 2000*12 || longest > 5 {
		t.Errorf("2,000 changes were compiled %d times, in up to %d runs", compiled, longest)
	}
	time.Sleep(lullsMost * lull)
	synctest.Wait()
}

func TestPublishCompiledLeavesNothingToDo(t *testing.T) {
	m := newMaker(wire.IPv4FlowSpec, rand.Uint64(), 4)
	tbl, want, _ := filled(t, m, 10)
	tbl.wait()
	for range 3 { // again with changes, and without
		r := tbl.PublishCompiled()
		if s := r.matching.Load(); len(s.runs) > 0 || len(s.recents) > 0 || tbl.overlay.compiling {
			t.Errorf("%+v is left to do", s)
		}
		var found Matches
		for range 100 {
			p := m.packet()
			same(t, r, want, &p, &found)
		}
		for i := range 300 {
			nlri, v := m.nlri(t), Value{ID: uint64(i), Active: true}
			tbl.Set(nlri, v)
			want.set(t, nlri, v)
		}
		if d := want.rules[0].nlri; tbl.Delete(d) {
			want.delete(d)
		}
	}
}

// allocations returns how many a run of f makes, the least of a few measures:
// those of other goroutines count too, such as what is compiled for a table of a
// test before.
func allocations(f func()) float64 {
	n := testing.AllocsPerRun(10, f)
	for range 4 {
		if n == 0 {
			break
		}
		n = min(n, testing.AllocsPerRun(10, f))
	}
	return n
}

func TestMatchAllocatesNothing(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		tbl, packets, all := realistic(t, v6, 2000, 1000)
		var m Matches
		ask := func(r *Rules) {
			for i := range packets {
				r.Match(&packets[i], &m)
			}
		}
		r := tbl.Publish()
		tbl.wait()
		ask(r)
		if n := allocations(func() { ask(r) }); n > 0 {
			t.Errorf("%v allocations in 1,000 packets", n)
		}
		for i := range 300 { // an overlay, too
			tbl.Set(all[i*3], Value{ID: uint64(i), Active: i%2 == 0})
			r = tbl.Publish()
		}
		tbl.wait()
		ask(r)
		if n := allocations(func() { ask(r) }); n > 0 {
			t.Errorf("%v allocations in 1,000 packets beside changes", n)
		}
	}
}

// TestRulesWithManyPortsEach: so many rules of one destination with so many ports
// each that not every port gets a class of its own.
func TestRulesWithManyPortsEach(t *testing.T) {
	const count, ports = 30_000, 40
	if spansMost/count >= ports {
		t.Fatal("they are too few")
	}
	r := rand.New(rand.NewPCG(1, 2))
	tb := NewTable(wire.IPv4FlowSpec)
	has := map[uint16][]uint64{} // the rules, by port
	for i := range uint64(count) {
		b := []byte{6 + 3*ports, 1, 24, 10, 0, 0, 5}
		for k := range ports {
			op, port := byte(0x11), uint16(r.IntN(1<<16))
			if k == ports-1 {
				op = 0x91
			}
			b = append(b, op, byte(port>>8), byte(port))
			if n := len(has[port]); n == 0 || has[port][n-1] != i {
				has[port] = append(has[port], i)
			}
		}
		tb.Set(b, Value{ID: i, Active: true})
	}
	rules := tb.PublishCompiled()
	var m Matches
	for range 200 {
		p := flowspec.Packet{Dst: netip.MustParseAddr("10.0.0.1"), Protocol: 6, DstPort: uint16(r.IntN(1 << 16)), Has: flowspec.HasProtocol | flowspec.HasDstPort}
		rules.Match(&p, &m)
		var got []uint64
		for _, h := range m.Hits {
			got = append(got, h.ID)
		}
		slices.Sort(got)
		if !slices.Equal(got, has[p.DstPort]) {
			t.Fatalf("port %d: rules %v, want %v", p.DstPort, got, has[p.DstPort])
		}
	}
}
