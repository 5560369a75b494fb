package policy

import (
	"net/netip"
	"testing"

	"cel.dev/cel-go/cel"

	"ribd/engine/config"
	"ribd/shard/rib"
	"ribd/trie"
	"ribd/wire"
	"ribd/wire/flowspec"
)

// usual is the route that tables of conditions judge.
var usual = set{
	origin: wire.OriginEGP, path: []uint32{65001, 3356, 3356, 64496}, nextHop: "192.0.2.1", med: 11, pref: 201,
	comm: []string{"65001:666", "65001:1", "no-export"}, large: []string{"65001:1:2"}, ext: []string{"rt:65001:1", "rt:192.0.2.1:7"},
}

// bare has nothing that an UPDATE need not have.
var bare = set{}

// where is the rest of a route: what is not in its attributes.
type where struct {
	family wire.Family
	prefix string
	pathID int64 // from 1; 0: none
	peer   *PeerFacts
	from   *PeerFacts
}

// reviewed returns a route that is ready for a condition, and its prefix unsaid.
func reviewed(t testing.TB, a *rib.Attrs, s set, w where) (*route, routeOf) {
	t.Helper()
	r := routeOf{family: w.family, prefix: w.prefix, pathID: w.pathID, attrs: s.id(t, a)}
	if r.family == 0 {
		r.family = wire.IPv4Unicast
	}
	if w.peer == nil {
		w.peer = &external
	}
	if w.from == nil {
		w.from = nobody
	}
	got := getRoute(a, w.peer, w.from, r.family)
	got.setAttrs(r.attrs)
	return got, r
}

// judged is a compiled term, and its whole condition as a program of CEL.
type judged struct {
	*term
	whole cel.Program
}

// bothWays compiles the terms of policy p.
func bothWays(t testing.TB, a *rib.Attrs, cfg *config.Config) (*Set, []*judged) {
	t.Helper()
	s, problems := Compile(cfg, a, nil)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	c := newCompiler(cfg)
	var out []*judged
	for i, tm := range s.policies["p"].terms {
		j := &judged{term: tm}
		if ct := &cfg.Policies["p"][i]; ct.If != "" {
			checked, _ := c.check(ct, c.complainer("", ct))
			var err error
			j.whole, err = c.env.PlanProgram(checked)
			check(t, err)
		}
		out = append(out, j)
	}
	return s, out
}

// ways judges a condition in each way that there is, and returns what they agree
// on: CEL alone; the tree, at once; the tree, first without the prefix.
func ways(t testing.TB, a *rib.Attrs, tm *judged, s set, w where) tri {
	t.Helper()
	r, of := reviewed(t, a, s, w)
	defer r.release()
	var early tri
	if tm.cond.deps&depRoute == 0 {
		early = tm.cond.judge(r)
	} else if early = tm.cond.judge(r); early == unknown {
		slots := tm.cond.settle(r)
		sayRoute(r, of)
		r.slots, r.slotsValid = slots, true
		early = tm.cond.judge(r)
		r.slotsValid = false
	}
	sayRoute(r, of)
	whole, tree := evaluate(tm.whole, r), tm.cond.judge(r)
	if whole != tree || whole != early {
		t.Errorf("CEL says %v, the tree %v, first without the prefix %v", whole, tree, early)
	}
	return whole
}

func sayRoute(r *route, of routeOf) {
	p := rib.Path{Attrs: of.attrs}
	if of.pathID > 0 {
		p.PathID, p.HasPathID = uint32(of.pathID-1), true
	}
	var v prefixVal
	if of.prefix != "" {
		v, _ = prefixOf(of.prefix)
	}
	r.setRoute(v.key, v.n, &p)
}

func TestConditions(t *testing.T) {
	a := newAttrs(t)
	at24 := where{prefix: "198.51.100.0/24"}
	bogon := where{prefix: "10.1.0.0/16"}
	six := where{family: wire.IPv6Unicast, prefix: "2001:db8:1::/48"}
	customer := &PeerFacts{Name: "c1", Group: "customers", ASN: 65010, Address: netip.MustParseAddr("2001:db8::2"),
		RouterID: netip.MustParseAddr("192.0.2.7"), Internal: true, RouteReflectorClient: true, Role: config.RoleProvider}
	for _, c := range []struct {
		cond string
		set  set
		at   where
		want tri
	}{
		{`true`, bare, at24, yes},
		{`false`, bare, at24, no},
		{`prefix.length > 24`, usual, at24, no},
		{`prefix.length >= 24`, usual, at24, yes},
		{`24 <= prefix.length`, usual, at24, yes},
		{`prefix.length in [8, 16, 24]`, usual, at24, yes},
		{`prefix.length in [8, 16]`, usual, at24, no},
		{`prefix in prefix_set("bogons")`, usual, bogon, yes},
		{`prefix in prefix_set("bogons")`, usual, at24, no},
		{`prefix in prefix_set("exact")`, usual, at24, yes},
		{`prefix in prefix_set("exact")`, usual, where{prefix: "198.51.100.0/25"}, no},
		{`prefix in prefix_set("bogons")`, usual, six, yes},
		{`prefix in "198.51.0.0/16"`, usual, at24, yes},
		{`prefix in "198.51.100.0/24"`, usual, at24, yes},
		{`prefix in "198.51.100.0/25"`, usual, at24, no},
		{`prefix in "0.0.0.0/0"`, usual, at24, yes},
		{`prefix in "::/0"`, usual, at24, no},
		{`prefix in ["10.0.0.0/8", "198.51.100.0/23"]`, usual, at24, yes},
		{`prefix in ["10.0.0.0/8", "2001:db8::/32"]`, usual, at24, no},
		{`prefix.contains("198.51.100.128/25")`, usual, at24, yes},
		{`prefix.contains("198.51.100.7")`, usual, at24, yes},
		{`prefix.contains("198.51.0.0/16")`, usual, at24, no},
		{`prefix.overlaps("198.51.0.0/16")`, usual, at24, yes},
		{`prefix.overlaps("198.51.100.128/25")`, usual, at24, yes},
		{`prefix.overlaps("198.51.101.0/24")`, usual, at24, no},
		{`prefix == "198.51.100.0/24"`, usual, at24, yes},
		{`"198.51.100.0/25" == prefix`, usual, at24, no},
		{`prefix != "198.51.100.0/24"`, usual, at24, no},
		{`prefix.address == "198.51.100.0"`, usual, at24, yes},
		{`prefix.address in "198.51.100.0/30"`, usual, at24, yes},
		{`prefix.family == "ipv4"`, usual, at24, yes},
		{`prefix.family == "ipv6"`, usual, six, yes},
		{`prefix.address.startsWith("198.51.")`, usual, at24, yes},
		{`prefix.length % 8 == 0`, usual, at24, yes},

		{`"65001:666" in communities`, usual, at24, yes},
		{`"65001:*" in communities`, usual, at24, yes},
		{`"*:666" in communities`, usual, at24, yes},
		{`"65002:*" in communities`, usual, at24, no},
		{`"no-export" in communities`, usual, at24, yes},
		{`"*" in communities`, bare, at24, no},
		{`size(communities) == 3`, usual, at24, yes},
		{`communities.size() == 0`, bare, at24, yes},
		{`communities.exists(c, c.startsWith("65001:") && c.endsWith("6"))`, usual, at24, yes},
		{`communities.all(c, c.startsWith("65001:"))`, usual, at24, no},
		{`communities[1] == "65001:1"`, usual, at24, yes},
		{`communities[3] == "65001:1"`, usual, at24, failed},
		{`communities == ["65001:666", "65001:1", "65535:65281"]`, usual, at24, yes},
		{`"65001:1:2" in large_communities`, usual, at24, yes},
		{`"65001:*:*" in large_communities`, usual, at24, yes},
		{`"65002:*:*" in large_communities`, usual, at24, no},
		{`"rt:65001:1" in ext_communities`, usual, at24, yes},
		{`"rt:*" in ext_communities`, usual, at24, yes},
		{`"rt:192.0.2.1:7" in ext_communities`, usual, at24, yes},
		{`"ro:65001:1" in ext_communities`, usual, at24, no},
		{`(string(peer.asn) + ":666") in communities`, usual, at24, yes},
		{`(peer.name + ":666") in communities`, usual, at24, failed},

		{`as_path.contains(64496)`, usual, at24, yes},
		{`as_path.contains(64497)`, usual, at24, no},
		{`as_path.contains(-1)`, usual, at24, no},
		{`3356 in as_path`, usual, at24, yes},
		{`peer.asn in as_path`, usual, at24, yes},
		{`as_path.contains(peer.asn + 1)`, usual, at24, no},
		{`as_path.length == 4`, usual, at24, yes},
		{`as_path.length == 0 && as_path.origin == 0 && as_path.neighbor == 0`, bare, at24, yes},
		{`as_path.length == 2`, set{path: []uint32{1}, asSet: []uint32{2, 3}}, at24, yes},
		{`as_path.origin == 64496`, usual, at24, yes},
		{`as_path.neighbor == peer.asn`, usual, at24, yes},
		{`as_path.origin in [64496, 64497]`, usual, at24, yes},
		{`as_path.matches("_3356_")`, usual, at24, yes},
		{`as_path.matches("^65001_3356")`, usual, at24, yes},
		{`as_path.matches("_335_")`, usual, at24, no},
		{`as_path.matches("^$")`, bare, at24, yes},
		{`as_path.matches("(_3356){2}_64496$")`, usual, at24, yes},
		{`as_path.matches("_[0-9]{5}$")`, usual, at24, yes},
		{`as_path.matches("^" + string(peer.asn) + "_")`, usual, at24, yes},
		{`as_path.matches("(" + peer.name)`, usual, at24, failed},
		{`as_path.matches("[{]2,3}$")`, set{path: []uint32{1}, asSet: []uint32{2, 3}}, at24, yes},
		{`as_path.exists(n, n >= 64512 && n <= 65534)`, usual, at24, yes},
		{`as_path.exists_one(n, n == 3356)`, usual, at24, no},
		{`as_path[0] == 65001`, usual, at24, yes},
		{`as_path[0] == 65001`, bare, at24, failed},
		{`size(as_path) == 4`, usual, at24, yes},

		{`next_hop == "192.0.2.1"`, usual, at24, yes},
		{`next_hop in "192.0.2.0/24"`, usual, at24, yes},
		{`next_hop in "2001:db8::/32"`, usual, at24, no},
		{`next_hop in prefix_set("exact")`, usual, at24, no},
		{`next_hop in ["192.0.2.1", "192.0.2.2"]`, usual, at24, yes},
		{`next_hop == ""`, set{nextHop: "-"}, at24, yes},
		{`next_hop in "0.0.0.0/0"`, set{nextHop: "-"}, at24, no},
		{`next_hop == "2001:db8::1"`, set{nextHop: "2001:db8::1"}, six, yes},
		{`med == 10`, usual, at24, yes},
		{`med == 0 && !has_med`, bare, at24, yes},
		{`has_med && med == 0`, set{med: 1}, at24, yes},
		{`local_pref == 200 && has_local_pref`, usual, at24, yes},
		{`local_pref == 100 && !has_local_pref`, bare, at24, yes},
		{`origin == "egp"`, usual, at24, yes},
		{`origin in ["igp", "incomplete"]`, usual, at24, no},
		{`origin == "incomplete"`, set{origin: wire.OriginIncomplete}, at24, yes},
		{`rpki == "invalid"`, usual, at24, no},
		{`rpki == ""`, usual, at24, yes},
		{`family == "ipv4-unicast"`, usual, at24, yes},
		{`family in ["ipv4-unicast", "ipv6-unicast"]`, usual, six, yes},
		{`family == "ipv4-flowspec"`, usual, where{family: wire.IPv4FlowSpec}, yes},
		{`path_id == 7`, usual, where{prefix: "10.0.0.0/8", pathID: 8}, yes},
		{`path_id == -1`, usual, at24, yes},
		{`path_id == 0`, usual, at24, no},
		{`path_id == 0`, usual, where{prefix: "10.0.0.0/8", pathID: 1}, yes},

		{`peer.name == "transit-a" && peer.address == "192.0.2.1" && peer.asn == 65001 && peer.group == "customers"`, usual, at24, yes},
		{`peer.type == "external" && peer.description == "second transit" && peer.router_id == "192.0.2.1"`, usual, at24, yes},
		{`peer.role == "" && !peer.route_server_client && !peer.route_reflector_client`, usual, at24, yes},
		{`peer.address in "192.0.2.0/24"`, usual, at24, yes},
		{`from.asn == 0 && from.name == "" && from.address == ""`, usual, at24, yes},
		{`from.address in "0.0.0.0/0"`, usual, at24, no},
		{`from.group == "customers" || source == "local"`, usual, where{prefix: "10.0.0.0/8", from: customer}, yes},
		{`from.group == "customers" || source == "local"`, usual, at24, no},
		{`from.role == "customer" && from.type == "internal" && from.route_reflector_client`, usual, where{prefix: "10.0.0.0/8", from: customer}, yes},
		{`from.address in "2001:db8::/32"`, usual, where{prefix: "10.0.0.0/8", from: customer}, yes},
		{`source == "bgp"`, usual, at24, yes},
		{`source == "local"`, usual, where{prefix: "10.0.0.0/8", from: &PeerFacts{Source: rib.SourceLocal}}, yes},

		// What fails, and what decides in spite of it.
		{`1 / med == 1`, bare, at24, failed},
		{`med > 0 && 10 / med == 1`, bare, at24, no},
		{`10 / med == 1 && med > 0`, bare, at24, no},
		{`1 / med == 1 || true`, bare, at24, yes},
		{`1 / med == 1 || prefix.length == 24`, bare, at24, yes},
		{`1 / med == 1 || prefix.length == 25`, bare, at24, failed},
		{`1 / med == 1 && prefix.length == 25`, bare, at24, no},
		{`1 / med == 1 && prefix.length == 24`, bare, at24, failed},
		{`!(1 / med == 1)`, bare, at24, failed},
		{`med == 0 ? prefix.length == 24 : 1 / med == 1`, bare, at24, yes},
		{`1 / med == 1 ? true : false`, bare, at24, failed},
		{`prefix.length == 24 ? 1 / med == 1 : true`, bare, at24, failed},
		{`prefix.length == 24`, usual, where{family: wire.L2VPNEVPN}, failed},
		{`prefix in "0.0.0.0/0"`, usual, where{family: wire.L2VPNEVPN}, failed},
		{`prefix.length + 1 == 25`, usual, where{family: wire.L2VPNEVPN}, failed},
		{`family == "l2vpn-evpn" || prefix.length == 24`, usual, where{family: wire.L2VPNEVPN}, yes},
		{`prefix.length == 24`, usual, where{family: wire.IPv4VPN, prefix: "10.0.0.0/24"}, yes},
		{`9223372036854775807 + med > 0`, usual, at24, failed},
		{`int(origin) == 1`, usual, at24, failed},
		{`dyn(1) == 1 && dyn(true)`, usual, at24, yes},
		{`dyn(med) && true`, usual, at24, failed},
		{"prefix.length == 24 &&\n  \"65001:1\" in communities", usual, at24, yes},
	} {
		_, terms := bothWays(t, a, parse(t, condition(c.cond)))
		if got := ways(t, a, terms[0], c.set, c.at); got != c.want {
			t.Errorf("%s: got %v, want %v", c.cond, got, c.want)
		}
	}
}

func (v tri) String() string { return [...]string{"no", "yes", "failed", "unknown"}[v] }

// TestTheDestinationOfARuleIsItsPrefix: RFC 8955 section 3 wants filters by prefix
// to hold for rules.
func TestTheDestinationOfARuleIsItsPrefix(t *testing.T) {
	a := newAttrs(t)
	for _, c := range []struct {
		rule, cond string
		want       rib.FilterReason
	}{
		{"destination 203.0.113.7/32 protocol =udp", `prefix in "203.0.113.0/24"`, 0},
		{"destination 203.0.114.7/32 protocol =udp", `prefix in "203.0.113.0/24"`, rib.FilterPolicy},
		{"destination 203.0.113.0/25", `prefix in prefix_set("customers") && prefix.length == 25`, 0},
		{"destination 203.0.112.0/25", `prefix in prefix_set("customers")`, rib.FilterPolicy},
		{"rd 65001:1 destination 203.0.113.0/24", `prefix == "203.0.113.0/24"`, 0},
		{"destination 2001:db8::/48 source ::/0", `prefix.address == "2001:db8::" && prefix.family == "ipv6"`, 0},
		{"destination 2001:db8::/32", `prefix in "203.0.113.0/24"`, rib.FilterPolicy},
		{"destination 0.0.0.0/0", `prefix.contains("203.0.113.7")`, 0},
		// Without a prefix the condition fails, and that rejects.
		{"protocol =udp", `prefix.length < 33`, rib.FilterPolicy},
		{"source 203.0.113.0/24", `prefix in "203.0.113.0/24"`, rib.FilterPolicy},
		{"destination ::1:0:0:0:0/64 offset 32", `prefix.length == 64`, rib.FilterPolicy},
	} {
		rule, _, err := flowspec.ParseText(c.rule)
		check(t, err)
		nlri, err := rule.AppendNLRI(nil)
		check(t, err)
		cfg := parse(t, "prefix_sets: {customers: [\"203.0.113.0/24{24,32}\"]}\npolicies: {p: [{if: 'family.contains(\"flowspec\") && "+c.cond+"', then: accept}]}\n")
		s, problems := Compile(cfg, a, func(k trie.Key) ([]byte, bool) { return nlri, k == trie.Key{} })
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		id := set{path: []uint32{65001}}.id(t, a)
		got, _ := judge(t, s.Import("p", external, Checks{}), routeOf{family: rule.Family, attrs: id})
		if got.Filtered != c.want {
			t.Errorf("%s, %s: %v, want %v", c.rule, c.cond, got.Filtered, c.want)
		}
	}
}
