package policy

import (
	"os"
	"path/filepath"
	"testing"

	"ribd/engine/config"
	"ribd/shard/rib"
	"ribd/wire"
)

// TestTheExampleConfigurationJudges holds every term of docs/config-example.yaml
// to what its comment or its text says.
func TestTheExampleConfigurationJudges(t *testing.T) {
	a := newAttrs(t)
	file := filepath.Join("..", "..", "docs", "config-example.yaml")
	src, err := os.ReadFile(file)
	check(t, err)
	cfg, err := config.Parse(file, src)
	check(t, err)
	s, problems := Compile(cfg, a, nil)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	in := s.Import("transit-in", external, Checks{LocalAS: []uint32{64512}, EnforceFirstAS: true})
	plainSet := set{path: []uint32{65001, 3356}}
	marked := set{path: []uint32{65001, 3356}, comm: []string{"65001:666"}}
	loop := set{path: []uint32{65001, 64496}, comm: []string{"65001:1", "65002:1"}}
	both := set{path: []uint32{65001, 64496}, comm: []string{"65001:666"}}
	for _, c := range []struct {
		name   string
		route  routeOf
		set    set
		want   *set // nil: rejected
		reason rib.FilterReason
	}{
		{"a usual route is accepted as it is", routeOf{prefix: "198.51.100.0/24"}, plainSet, &plainSet, 0},
		{"longer than /24 is rejected", routeOf{prefix: "198.51.100.0/25"}, plainSet, nil, rib.FilterPolicy},
		{"a bogon is rejected", routeOf{prefix: "10.1.0.0/16"}, plainSet, nil, rib.FilterPolicy},
		{"an IPv6 route of length 24 passes", routeOf{prefix: "2001:d00::/24"}, set{path: []uint32{65001}, nextHop: "2001:db8::1"},
			&set{path: []uint32{65001}, nextHop: "2001:db8::1"}, 0},
		{"a marked one gets local-pref and a community", routeOf{prefix: "198.51.100.0/24"}, marked,
			&set{path: []uint32{65001, 3356}, pref: 51, comm: []string{"65001:666", "64512:1"}}, 0},
		{"64496 is prepended and its communities go", routeOf{prefix: "198.51.100.0/24"}, loop,
			&set{path: []uint32{64512, 64512, 65001, 64496}, comm: []string{"65002:1"}}, 0},
		{"next goes on with what was changed", routeOf{prefix: "198.51.100.0/24"}, both,
			&set{path: []uint32{64512, 64512, 65001, 64496}, pref: 51, comm: []string{"64512:1"}}, 0},
		{"Flow Spec is rejected by the term that names family", routeOf{family: wire.IPv4FlowSpec}, set{path: []uint32{65001}, nextHop: "-"}, nil, rib.FilterPolicy},
		{"IPv6 Flow Spec is judged by no other", routeOf{family: wire.IPv6FlowSpec}, set{path: []uint32{65001}, nextHop: "-"}, nil, rib.FilterPolicy},
		{"VPN is not let through by a term that does not name family", routeOf{family: wire.IPv4VPN, prefix: "198.51.100.0/24"}, plainSet, nil, rib.FilterPolicy},
	} {
		id := c.set.id(t, a)
		c.route.attrs = id
		want := rib.Verdict{Attrs: id, Filtered: c.reason}
		if c.want != nil {
			want.Attrs = c.want.id(t, a)
		}
		if got, _ := judge(t, in, c.route); got != want {
			t.Errorf("%s: got %+v (%x), want %+v (%x)", c.name, got, octets(a, got.Attrs), want, octets(a, want.Attrs))
		}
	}

	facts := map[rib.PeerNum]*PeerFacts{1: {Group: "customers"}, 2: {Group: "transits"}, 3: {Source: rib.SourceLocal}}
	out := s.Export("customers-out", external, func(n rib.PeerNum) *PeerFacts { return facts[n] })
	id := plainSet.id(t, a)
	for peer, want := range map[rib.PeerNum]rib.FilterReason{1: rib.FilterNone, 2: rib.FilterPolicy, 3: rib.FilterNone, 4: rib.FilterPolicy} {
		v, final := judge(t, out, routeOf{prefix: "198.51.100.0/24", peer: peer, attrs: id})
		if v != (rib.Verdict{Attrs: id, Filtered: want}) || !final {
			t.Errorf("from peer %d: got %+v, %v, want %v, final", peer, v, final, want)
		}
	}
}

func octets(a *rib.Attrs, id rib.AttrID) []byte {
	b, _ := a.Bytes(id)
	return b
}
