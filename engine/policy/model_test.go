package policy

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"ribd/engine/config"
	"ribd/shard/rib"
	"ribd/wire"
)

// atoms are conditions without && and ||, of every kind: closures and CEL's,
// of attributes, prefixes and peers, some that fail.
var atoms = []string{
	`true`, `false`, `prefix.length > 24`, `prefix.length == 16`, `prefix.length in [8, 24, 48]`, `prefix in prefix_set("bogons")`,
	`prefix in "10.0.0.0/8"`, `prefix == "198.51.100.0/24"`, `prefix.overlaps("10.1.0.0/16")`, `prefix.length % 2 == 0`, `prefix.address.startsWith("10.")`,
	`as_path.exists(n, n == prefix.length)`, `prefix.length > as_path.length * 8`, `size(communities) > prefix.length / 12`,
	`path_id == 1`, `path_id < 0`, `path_id + med > 1`, `prefix.length / path_id > 10`,
	`"65001:1" in communities`, `"65001:*" in communities`, `"*:666" in communities`, `"no-export" in communities`, `communities.exists(c, c == "65002:1")`,
	`"65001:1:*" in large_communities`, `"rt:65001:1" in ext_communities`, `size(communities) == 1`, `communities[0] == "65001:1"`,
	`as_path.contains(64496)`, `3356 in as_path`, `as_path.length > 2`, `as_path.origin == 64496`, `as_path.neighbor == peer.asn`, `as_path.matches("_3356_")`,
	`as_path.matches("^65001_[0-9]+$")`, `as_path[1] == 3356`, `as_path.all(n, n > 60000)`,
	`med == 5`, `has_med`, `10 / med == 2`, `local_pref > 100`, `has_local_pref`, `origin == "igp"`, `origin in ["egp", "incomplete"]`, `next_hop in "192.0.2.0/24"`, `next_hop == "192.0.2.9"`,
	`family == "ipv4-unicast"`, `family in ["ipv4-flowspec", "ipv4-vpn", "l2vpn-evpn"]`, `prefix.family == "ipv6"`, `rpki == "valid"`,
	`peer.group == "customers"`, `peer.asn == 65001`, `peer.name.contains("a")`, `peer.type == "internal"`,
	`from.asn == peer.asn`, `from.group == "customers"`, `source == "local"`, `from.asn in as_path`, `from.asn / med > 3`,
}

// randomCondition puts atoms together.
func randomCondition(r *rand.Rand, depth int) string {
	if depth == 0 || r.IntN(4) == 0 {
		return atoms[r.IntN(len(atoms))]
	}
	sub := func() string { return randomCondition(r, depth-1) }
	switch r.IntN(8) {
	case 0:
		return "!(" + sub() + ")"
	case 1:
		return "(" + sub() + " ? " + sub() + " : " + sub() + ")"
	case 2, 3, 4:
		return "(" + sub() + " && " + sub() + ")"
	}
	return "(" + sub() + " || " + sub() + ")"
}

func pick[T any](r *rand.Rand, list ...T) T { return list[r.IntN(len(list))] }

func some[T any](r *rand.Rand, list ...T) (out []T) {
	for _, v := range list {
		if r.IntN(3) == 0 {
			out = append(out, v)
		}
	}
	return out
}

func randomSet(r *rand.Rand) set {
	s := set{
		origin: byte(r.IntN(3)), path: some[uint32](r, 65001, 3356, 65002, 64496, 174), nextHop: pick(r, "192.0.2.1", "192.0.2.9", "203.0.113.1", "2001:db8::1"),
		med: pick[int64](r, 0, 1, 6, 3), pref: pick[int64](r, 0, 0, 101, 201),
		comm: some(r, "65001:1", "65001:666", "65002:1", "no-export"), large: some(r, "65001:1:2", "65002:1:2"), ext: some(r, "rt:65001:1", "ro:65001:2"),
	}
	if r.IntN(5) == 0 {
		s.asSet = []uint32{64496, 3356}
	}
	return s
}

func randomWhere(r *rand.Rand) (w where) {
	w.family = pick(r, wire.IPv4Unicast, wire.IPv4Unicast, wire.IPv4Unicast, wire.IPv6Unicast, wire.IPv4VPN, wire.IPv4FlowSpec, wire.L2VPNEVPN, wire.MakeFamily(1, 99))
	switch {
	case w.family == wire.IPv6Unicast:
		w.prefix = pick(r, "2001:db8:1::/48", "2001:d00::/24", "::/0", "2001:db9::1/128")
	case w.family.Form() != wire.FormRaw:
		w.prefix = pick(r, "10.0.0.0/8", "10.1.0.0/16", "198.51.100.0/24", "198.51.100.128/25", "0.0.0.0/0", "192.168.1.1/32")
	}
	w.pathID = pick[int64](r, 0, 0, 1, 2, 3)
	return w
}

var facts = []*PeerFacts{
	&external, {Name: "b", ASN: 65002, Group: "transits"}, {ASN: 65001, Internal: true, Group: "customers"}, {Source: rib.SourceLocal}, nobody,
}

func TestEveryWayToJudgeAConditionAgrees(t *testing.T) {
	a := newAttrs(t)
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 1))
	seen := map[tri]int{}
	for range 250 {
		cond := randomCondition(r, 3)
		_, terms := bothWays(t, a, parse(t, condition(cond)))
		tm := terms[0]
		for range 25 {
			s, w := randomSet(r), randomWhere(r)
			w.peer, w.from = facts[r.IntN(3)], facts[r.IntN(len(facts))]
			seen[ways(t, a, tm, s, w)]++
			if t.Failed() {
				t.Fatalf("seed %d: %s\nset %+v\nat %+v", seed, cond, s, w)
			}
		}
	}
	if seen[yes] < 250 || seen[no] < 250 || seen[failed] < 250 {
		t.Errorf("the answers are one-sided: %v", seen)
	}
}

// naivePolicy judges a route as docs/policies.md says: term by term, each whole
// condition by CEL alone, changes on the description of a set.
type naivePolicy struct {
	terms config.Policy
	progs []*judged
}

func (n *naivePolicy) judge(t *testing.T, a *rib.Attrs, s set, w where) (set, bool) {
	for i, ct := range n.terms {
		special := w.family != wire.IPv4Unicast && w.family != wire.IPv6Unicast
		if special && !strings.Contains(strings.ReplaceAll(ct.If, "prefix.family", ""), "family") {
			continue
		}
		if ct.If != "" {
			r, of := reviewed(t, a, s, w)
			sayRoute(r, of)
			v := evaluate(n.progs[i].whole, r)
			r.release()
			if v == no {
				continue
			}
			if v == failed {
				return s, false
			}
		}
		if ct.Verdict == config.Reject {
			return s, false
		}
		s = naiveActions(&ct.Then, s)
		if ct.Verdict == config.Accept {
			return s, true
		}
	}
	return s, false
}

func naiveActions(a *config.Actions, s set) set {
	if a.LocalPref != nil {
		s.pref = int64(*a.LocalPref) + 1
	}
	if a.MED != nil {
		s.med = int64(*a.MED) + 1
	}
	if a.NextHop.IsValid() && strings.Contains(s.nextHop, ":") == a.NextHop.Is6() {
		s.nextHop = a.NextHop.String()
	}
	s.comm = naiveList(s.comm, wire.ParseCommunity, a.RemoveCommunities, a.AddCommunities,
		func(m, c wire.CommunityMatch) bool { v, _ := c.Value(); return m.Match(v) })
	s.large = naiveList(s.large, wire.ParseLargeCommunity, a.RemoveLarge, a.AddLarge,
		func(m, c wire.LargeMatch) bool { v, _ := c.Value(); return m.Match(v[:]) })
	s.ext = naiveList(s.ext, wire.ParseExtCommunity, a.RemoveExtended, a.AddExtended,
		func(m, c wire.ExtMatch) bool { v, _ := c.Value(); return m.Match(v) })
	s.path = append(slices.Repeat([]uint32{a.PrependAS}, int(a.PrependTimes)), s.path...)
	return s
}

// naiveList removes and then adds. Added communities are looked up in a list of
// all that the test uses, since a match does not say its text.
func naiveList[M any](list []string, parse func(string) (M, error), remove, add []M, match func(m, c M) bool) (out []string) {
	read := func(s string) M { m, _ := parse(s); return m }
	for _, c := range list {
		if !slices.ContainsFunc(remove, func(m M) bool { return match(m, read(c)) }) {
			out = append(out, c)
		}
	}
	for _, m := range add {
		for _, c := range []string{"64512:1", "65001:1", "64512:1:1", "65001:1:2", "rt:64512:1", "rt:65001:1"} {
			if c, err := parse(c); err != nil || !match(m, c) {
				continue
			}
			if !slices.Contains(out, c) {
				out = append(out, c)
			}
		}
	}
	return out
}

func randomTerm(r *rand.Rand) string {
	cond := ""
	if r.IntN(6) > 0 {
		cond = fmt.Sprintf("if: '%s', ", randomCondition(r, 2))
	}
	var then []string
	if v := pick(r, "accept", "reject", "next", "next", "next"); v != "next" || r.IntN(2) == 0 {
		then = append(then, v+": true")
	}
	for _, change := range []string{
		"set: {local_pref: 300}", "set: {med: 5, next_hop: 192.0.2.9}", "set: {next_hop: \"2001:db8::9\"}", "prepend: {as: 64512, times: 2}",
		`add_communities: ["64512:1", "65001:1"]`, `remove_communities: ["65001:*"]`, `remove_communities: ["*:1", "no-export"]`,
		`add_large_communities: ["64512:1:1"]`, `remove_large_communities: ["65001:*:*"]`,
		`add_ext_communities: ["rt:64512:1", "rt:65001:1"]`, `remove_ext_communities: ["rt:*"]`,
	} {
		key, _, _ := strings.Cut(change, ":")
		if r.IntN(8) == 0 && !strings.Contains(strings.Join(then, ","), key) {
			then = append(then, change)
		}
	}
	if len(then) == 0 {
		return fmt.Sprintf("    - {%sthen: next}\n", cond)
	}
	return fmt.Sprintf("    - {%sthen: {%s}}\n", cond, strings.Join(then, ", "))
}

// TestPoliciesJudgeAsTheNaiveOne holds filters, with everything that they
// remember and split, to the naive policy; from several goroutines, over sweeps.
func TestPoliciesJudgeAsTheNaiveOne(t *testing.T) {
	a := newAttrs(t)
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 2))
	// Some seeds draw policies that reject nearly everything: more are drawn then.
	accepted := 0
	for n := 0; n < 60 || accepted < 300; n++ {
		if n == 1000 {
			t.Fatalf("seed %d: only %d routes were accepted by %d policies", seed, accepted, n)
		}
		text := "groups: {customers: {}, transits: {}}\n" + condition("true")[len("groups: {customers: {}, transits: {}}\n"):]
		for range 1 + r.IntN(6) {
			text += randomTerm(r)
		}
		text = strings.Replace(text, "    - if: |-\n        true\n      then: accept\n", "", 1)
		cfg := parse(t, text)
		s, terms := bothWays(t, a, cfg)
		naive := naivePolicy{cfg.Policies["p"], terms}
		type routeCase struct {
			at    routeOf
			out   bool
			to    *PeerFacts
			want  rib.Verdict
			about string
		}
		var cases []routeCase
		filters := map[*PeerFacts][2]rib.Filter{}
		from := func(n rib.PeerNum) *PeerFacts { return facts[n] }
		for range 60 {
			st, w := randomSet(r), randomWhere(r)
			peer := rib.PeerNum(r.IntN(len(facts)))
			c := routeCase{out: r.IntN(2) == 0, to: facts[r.IntN(3)]}
			w.peer, w.from = c.to, c.to
			if c.out {
				w.from = facts[peer]
			}
			c.at = routeOf{family: w.family, prefix: w.prefix, peer: peer, attrs: st.id(t, a), pathID: w.pathID}
			c.want = rib.Verdict{Attrs: c.at.attrs, Filtered: rib.FilterPolicy}
			if changed, ok := naive.judge(t, a, st, w); ok {
				c.want = rib.Verdict{Attrs: changed.id(t, a)}
				accepted++
			}
			c.about = fmt.Sprintf("seed %d\n%s\nset %+v\nat %+v, from %+v, to %+v, out %v", seed, text, st, w, w.from, w.to(), c.out)
			cases = append(cases, c)
			if filters[c.to][0] == nil {
				filters[c.to] = [2]rib.Filter{s.Import("p", *c.to, Checks{Loopback: true}), s.Export("p", *c.to, from)}
			}
		}
		var wg sync.WaitGroup
		for g := range 4 {
			wg.Go(func() {
				order := rand.New(rand.NewPCG(seed, uint64(g)))
				for range 3 {
					for _, i := range order.Perm(len(cases)) {
						c := cases[i]
						f := filters[c.to][0]
						if c.out {
							f = filters[c.to][1]
						}
						if got, _ := judge(t, f, c.at); got != c.want {
							t.Errorf("got %+v, want %+v\n%s", got, c.want, c.about)
							return
						}
					}
					a.BeginSweep()
				}
			})
		}
		wg.Wait()
		if t.Failed() {
			return
		}
	}
}

func (w where) to() *PeerFacts { return w.peer }
