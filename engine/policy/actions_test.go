package policy

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"ribd/shard/rib"
	"ribd/wire"
)

func TestChanges(t *testing.T) {
	a := newAttrs(t)
	full := set{path: []uint32{65001, 3356}, med: 6, pref: 101, comm: []string{"65001:1", "65002:1", "no-export"},
		large: []string{"65001:1:2", "65002:1:2"}, ext: []string{"rt:65001:1", "ro:65001:1"}}
	with := func(change func(*set)) set { s := full; change(&s); return s }
	long := make([]uint32, 250)
	for i := range long {
		long[i] = 65001
	}
	for _, c := range []struct {
		then string
		in   set
		want set
	}{
		{"set: {local_pref: 0}", full, with(func(s *set) { s.pref = 1 })},
		{"set: {med: 4294967295}", set{}, set{med: 1 << 32}},
		{"set: {local_pref: 200, med: 1}", set{}, set{pref: 201, med: 2}},
		{"set: {next_hop: 192.0.2.9}", full, with(func(s *set) { s.nextHop = "192.0.2.9" })},
		{"set: {next_hop: \"2001:db8::9\"}", full, full},
		{"set: {next_hop: \"2001:db8::9\"}", set{nextHop: "2001:db8::1"}, set{nextHop: "2001:db8::9"}},
		{"set: {next_hop: 192.0.2.9}", set{nextHop: "-"}, set{nextHop: "-"}},
		{`add_communities: ["64512:1", "65001:1", "blackhole"]`, full, with(func(s *set) { s.comm = append(append([]string{}, s.comm...), "64512:1", "blackhole") })},
		{`add_communities: ["64512:1"]`, set{}, set{comm: []string{"64512:1"}}},
		{`remove_communities: ["65001:*"]`, full, with(func(s *set) { s.comm = []string{"65002:1", "no-export"} })},
		{`remove_communities: ["*:1"]`, full, with(func(s *set) { s.comm = []string{"no-export"} })},
		{`remove_communities: ["*"]`, full, with(func(s *set) { s.comm = nil })},
		{`remove_communities: ["65009:*"]`, full, full},
		{`{remove_communities: ["*"], add_communities: ["65001:1"]}`, full, with(func(s *set) { s.comm = []string{"65001:1"} })},
		{`add_large_communities: ["64512:1:1"]`, full, with(func(s *set) { s.large = append(append([]string{}, s.large...), "64512:1:1") })},
		{`remove_large_communities: ["65001:*:*"]`, full, with(func(s *set) { s.large = []string{"65002:1:2"} })},
		{`add_ext_communities: ["rt:64512:1"]`, full, with(func(s *set) { s.ext = append(append([]string{}, s.ext...), "rt:64512:1") })},
		{`remove_ext_communities: ["rt:*"]`, full, with(func(s *set) { s.ext = []string{"ro:65001:1"} })},
		{"prepend: {as: 64512, times: 3}", full, with(func(s *set) { s.path = []uint32{64512, 64512, 64512, 65001, 3356} })},
		{"prepend: {as: 64512}", set{}, set{path: []uint32{64512}}},
		{"prepend: {as: 4200000000}", set{asSet: []uint32{1, 2}}, set{path: []uint32{4200000000}, asSet: []uint32{1, 2}}},
	} {
		then := "accept: true, " + strings.Trim(c.then, "{}")
		if !strings.HasPrefix(c.then, "{") {
			then = "accept: true, " + c.then
		}
		s := compile(t, a, "policies:\n  p:\n    - then: {"+then+"}\n")
		id, want := c.in.id(t, a), c.want.id(t, a)
		got, final := judge(t, s.Import("p", external, Checks{}), routeOf{family: wire.IPv4FlowSpec, attrs: id})
		if got.Filtered != rib.FilterPolicy || !final {
			t.Errorf("%s: Flow Spec is judged: %+v", c.then, got)
		}
		got, final = judge(t, s.Export("p", external, nil), routeOf{prefix: "198.51.100.0/24", attrs: id})
		if got != (rib.Verdict{Attrs: want}) || !final {
			t.Errorf("%s: got %x, want %x", c.then, octets(a, got.Attrs), octets(a, want))
		}
	}
}

// TestAChangeThatDoesNotFitRejects grows a set over what can be kept.
func TestAChangeThatDoesNotFitRejects(t *testing.T) {
	a := newAttrs(t)
	s := compile(t, a, "policies:\n  p:\n    - then: {accept: true, prepend: {as: 64512, times: 64}}\n")
	var id rib.AttrID
	for n := 65400; id == 0; n -= 16 { // the longest that can be kept
		id, _ = a.Intern(wire.AppendAttr(set{path: []uint32{65001}}.bytes(t), wire.FlagOptional|wire.FlagTransitive, wire.AttrCommunities, make([]byte, n)))
	}
	got, _ := judge(t, s.Export("p", external, nil), routeOf{prefix: "198.51.100.0/24", attrs: id})
	if got != (rib.Verdict{Attrs: id, Filtered: rib.FilterPolicy}) {
		t.Errorf("got %+v", got)
	}
	if f := s.Failures(); len(f) != 1 || f[0].Term != 1 || f[0].Line != 3 || f[0].Count == 0 || f[0].Last != errNoRoom.Error() {
		t.Errorf("failures: %+v", f)
	}
}

func TestFullTablesReject(t *testing.T) {
	a := rib.NewAttrs(rib.AttrsOptions{MaxSets: 256, MaxWords: 1 << 20})
	t.Cleanup(a.Close)
	s := compile(t, a, "policies:\n  p:\n    - then: {accept: true, set: {med: 77}}\n")
	f := s.Import("p", external, Checks{})
	refused := 0
	for i := range uint32(2000) {
		id, ok := a.Intern(set{path: []uint32{65001, i}}.bytes(t))
		if !ok {
			break
		}
		if v, _ := f.Set(wire.IPv4Unicast, 0, id); v.Filtered == rib.FilterPolicy && v.Attrs == id {
			refused++
		}
	}
	if refused == 0 || len(s.Failures()) != 1 || s.Failures()[0].Last != errNoRoom.Error() {
		t.Errorf("%d refused, %+v", refused, s.Failures())
	}
}

func TestFailuresAreCountedAndReject(t *testing.T) {
	a := newAttrs(t)
	s := compile(t, a, "policies:\n  p:\n    - {if: 'prefix.length == 24', then: next}\n    - if: '10 / med == 1 && prefix.length > 8'\n      then: reject\n    - then: accept\n")
	f := s.Import("p", external, Checks{})
	var told []uint64
	s.Report(func(f Failure) { told = append(told, f.Count) })
	for _, c := range []struct {
		set    set
		prefix string
		want   rib.FilterReason
	}{
		{set{path: []uint32{65001}}, "198.51.100.0/24", rib.FilterPolicy},          // fails
		{set{path: []uint32{65001}}, "198.0.0.0/8", rib.FilterNone},                // fails && false: false
		{set{path: []uint32{65001}, med: 11}, "198.51.100.0/24", rib.FilterPolicy}, // rejected by the term
		{set{path: []uint32{65001}, med: 2}, "198.51.100.0/24", rib.FilterNone},
	} {
		if got, _ := judge(t, f, routeOf{prefix: c.prefix, attrs: c.set.id(t, a)}); got.Filtered != c.want {
			t.Errorf("%+v %s: got %v, want %v", c.set, c.prefix, got.Filtered, c.want)
		}
	}
	if f := s.Failures(); len(f) != 1 || f[0].Policy != "p" || f[0].Term != 2 || f[0].Line != 4 || f[0].Last != "division by zero" {
		t.Errorf("failures: %+v", f)
	}
	id := set{path: []uint32{65001}}.id(t, a)
	for range 500 {
		judge(t, f, routeOf{prefix: "198.51.100.0/24", attrs: id})
	}
	if want := []uint64{1, 10, 100}; !slices.Equal(told, want) {
		t.Errorf("told of failures %v, want %v", told, want)
	}
}

// TestCostIsLimited: a set that a peer made large can't keep a condition busy.
func TestCostIsLimited(t *testing.T) {
	a := newAttrs(t)
	long, comm := set{}, set{}
	for i := range uint32(12_000) {
		long.path = append(long.path, i+10)
		comm.comm = append(comm.comm, fmt.Sprintf("%d:%d", 1+i>>8, i&255))
	}
	for _, c := range []struct {
		cond string
		set  set
		over bool // the limit
	}{
		{`as_path.exists(x, as_path.exists(y, x + y == 1))`, long, true},
		{`as_path.exists(x, as_path[size(as_path) - 1] == x + 1000000)`, long, true},
		{`as_path.exists(x, x == 1)`, long, false},
		{`as_path.exists(x, as_path.matches("_1_" + string(x)))`, long, true},
		{`communities.exists(c, c == communities[0] + communities[1])`, comm, true},
		{`communities.exists(c, ("9" + c) in communities)`, comm, true},
		{`communities.map(c, communities).exists(l, l == communities.map(c, c))`, comm, true},
		{`"65535:*" in communities`, comm, false},
	} {
		s := compile(t, a, condition(c.cond))
		got, _ := judge(t, s.Import("p", external, Checks{}), routeOf{prefix: "10.0.0.0/8", attrs: c.set.id(t, a)})
		f := s.Failures()
		if over := len(f) == 1 && strings.Contains(f[0].Last, "cost"); got.Filtered != rib.FilterPolicy || over != c.over {
			t.Errorf("%s: got %+v, failures %+v", c.cond, got, f)
		}
	}
}
