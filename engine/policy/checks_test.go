package policy

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"

	"ribd/engine/config"
	"ribd/shard/rib"
	"ribd/wire"
)

var allChecks = Checks{
	LocalAS: []uint32{64512, 64513}, RouterID: 0xc0000202, ClusterID: 0xc0000203, EnforceFirstAS: true, RejectASSets: true,
	Own: []netip.Addr{netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("2001:db8::2")},
}

func TestChecksOnTheWayIn(t *testing.T) {
	a := newAttrs(t)
	s := compile(t, a, "")
	internal := PeerFacts{ASN: 64512, Internal: true}
	own := func(n uint8) Checks { c := allChecks; c.AllowOwnAS = n; return c }
	loopback := allChecks
	loopback.Loopback = true
	lax := allChecks
	lax.EnforceFirstAS, lax.RejectASSets = false, false
	client := external
	client.Role = config.RoleRSClient
	for _, c := range []struct {
		name   string
		peer   PeerFacts
		checks Checks
		family wire.Family
		set    set
		want   rib.FilterReason
	}{
		{"a usual route passes", external, allChecks, 0, set{path: []uint32{65001, 3356}}, 0},

		{"own AS in the path", external, allChecks, 0, set{path: []uint32{65001, 64512}}, rib.FilterASLoop},
		{"the other own AS", external, allChecks, 0, set{path: []uint32{65001, 64513}}, rib.FilterASLoop},
		{"own AS in an AS_SET", external, lax, 0, set{path: []uint32{65001}, asSet: []uint32{1, 64512}}, rib.FilterASLoop},
		{"allow_own_as lets one pass", external, own(1), 0, set{path: []uint32{65001, 64512}}, 0},
		{"and no more", external, own(1), 0, set{path: []uint32{65001, 64512, 64513}}, rib.FilterASLoop},
		{"loops count on internal sessions as well", internal, allChecks, 0, set{path: []uint32{65001, 64512}}, rib.FilterASLoop},

		{"own ORIGINATOR_ID", internal, allChecks, 0, set{originator: "192.0.2.2"}, rib.FilterOriginatorLoop},
		{"another's", internal, allChecks, 0, set{originator: "192.0.2.3"}, 0},
		{"own cluster", internal, allChecks, 0, set{clusters: []string{"192.0.2.9", "192.0.2.3"}}, rib.FilterClusterLoop},
		{"another's", internal, allChecks, 0, set{clusters: []string{"192.0.2.9"}}, 0},

		{"the first AS is another's", external, allChecks, 0, set{path: []uint32{3356, 65001}}, rib.FilterFirstAS},
		{"there is no first AS", external, allChecks, 0, set{}, rib.FilterFirstAS},
		{"the path starts with a set", external, Checks{EnforceFirstAS: true}, 0, set{asSet: []uint32{65001}}, rib.FilterFirstAS},
		{"it is not asked", external, lax, 0, set{path: []uint32{3356}}, 0},
		{"it is not asked of a route server", client, allChecks, wire.IPv4Multicast, set{path: []uint32{3356}}, 0},
		{"nor of internal peers", internal, allChecks, 0, set{path: []uint32{3356}}, 0},
		{"nor of Flow Spec rules, whose validation has one of its own", external, allChecks, wire.IPv4FlowSpec, set{path: []uint32{3356, 65001}}, 0},
		{"an empty path of a Flow Spec rule passes", external, allChecks, wire.IPv6FlowSpecVPN, set{}, 0},
		{"other families are asked as before", external, allChecks, wire.L2VPNEVPN, set{path: []uint32{3356}}, rib.FilterFirstAS},

		{"an AS_SET", external, allChecks, 0, set{path: []uint32{65001}, asSet: []uint32{1, 2}}, rib.FilterASSet},
		{"an AS_SET where they are taken", external, lax, 0, set{path: []uint32{65001}, asSet: []uint32{1, 2}}, 0},

		{"own next hop", external, allChecks, 0, set{path: []uint32{65001}, nextHop: "192.0.2.2"}, rib.FilterNextHop},
		{"own IPv6 next hop", external, allChecks, wire.IPv6Unicast, set{path: []uint32{65001}, nextHop: "2001:db8::2"}, rib.FilterNextHop},
		{"zero", external, allChecks, 0, set{path: []uint32{65001}, nextHop: "0.0.0.0"}, rib.FilterNextHop},
		{"0.0.0.0/8", external, allChecks, 0, set{path: []uint32{65001}, nextHop: "0.1.2.3"}, rib.FilterNextHop},
		{"multicast", external, allChecks, 0, set{path: []uint32{65001}, nextHop: "224.0.0.5"}, rib.FilterNextHop},
		{"class E", external, allChecks, 0, set{path: []uint32{65001}, nextHop: "240.0.0.1"}, rib.FilterNextHop},
		{"broadcast", external, allChecks, 0, set{path: []uint32{65001}, nextHop: "255.255.255.255"}, rib.FilterNextHop},
		{"loopback", external, allChecks, 0, set{path: []uint32{65001}, nextHop: "127.0.0.1"}, rib.FilterNextHop},
		{"loopback on a loopback session", external, loopback, 0, set{path: []uint32{65001}, nextHop: "127.0.0.1"}, 0},
		{"::", external, allChecks, wire.IPv6Unicast, set{path: []uint32{65001}, nextHop: "::"}, rib.FilterNextHop},
		{"::1", external, allChecks, wire.IPv6Unicast, set{path: []uint32{65001}, nextHop: "::1"}, rib.FilterNextHop},
		{"::1 on a loopback session", external, loopback, wire.IPv6Unicast, set{path: []uint32{65001}, nextHop: "::1"}, 0},
		{"IPv6 multicast", external, allChecks, wire.IPv6Unicast, set{path: []uint32{65001}, nextHop: "ff02::1"}, rib.FilterNextHop},
		{"a mapped martian", external, allChecks, wire.IPv6Unicast, set{path: []uint32{65001}, nextHop: "::ffff:127.0.0.1"}, rib.FilterNextHop},
		{"link-local alone is fine", external, allChecks, wire.IPv6Unicast, set{path: []uint32{65001}, nextHop: "fe80::1"}, 0},
		{"IPv4 by way of IPv6 is fine", external, allChecks, 0, set{path: []uint32{65001}, nextHop: "2001:db8::9"}, 0},
		{"no next hop", external, allChecks, 0, set{path: []uint32{65001}, nextHop: "-"}, rib.FilterNextHop},
		{"that of a Flow Spec rule is ignored (RFC 8955 4)", external, allChecks, wire.IPv4FlowSpec, set{path: []uint32{65001}, nextHop: "192.0.2.2"}, 0},
		{"that of a Flow Spec rule of a VPN too", external, allChecks, wire.IPv6FlowSpecVPN, set{path: []uint32{65001}, nextHop: "::"}, 0},
		{"Flow Spec needs none", external, allChecks, wire.IPv4FlowSpec, set{path: []uint32{65001}, nextHop: "-"}, 0},
	} {
		if c.family == 0 {
			c.family = wire.IPv4Unicast
		}
		id := c.set.id(t, a)
		for name, policy := range map[string]rib.FilterReason{AcceptAll: rib.FilterNone, RejectAll: rib.FilterPolicy} {
			want := rib.Verdict{Attrs: id, Filtered: c.want}
			if c.want == rib.FilterNone {
				want.Filtered = policy
			}
			got, final := judge(t, s.Import(name, c.peer, c.checks), routeOf{family: c.family, attrs: id})
			if got != want || !final {
				t.Errorf("%s, %s: got %+v (%v), want %+v (%v)", c.name, name, got, got.Filtered, want, want.Filtered)
			}
		}
	}
}

// TestOnlyToCustomerOnIngress is the table of RFC 9234 section 5. Roles are ours.
func TestOnlyToCustomerOnIngress(t *testing.T) {
	a := newAttrs(t)
	s := compile(t, a, "")
	const theirs = 65001
	for _, c := range []struct {
		name string
		role config.SessionRole
		otc  uint32 // in the route
		want rib.FilterReason
		then uint32 // in the route that is accepted
	}{
		{"no role, without", config.RoleNone, 0, 0, 0},
		{"no role, with", config.RoleNone, 3356, 0, 3356},
		{"from a customer, without", config.RoleProvider, 0, 0, 0},
		{"from a customer, with: a leak", config.RoleProvider, theirs, rib.FilterOTC, 0},
		{"from a client of our route server, without", config.RoleRS, 0, 0, 0},
		{"from a client of our route server, with: a leak", config.RoleRS, 3356, rib.FilterOTC, 0},
		{"from a peer, without: it is added", config.RolePeer, 0, 0, theirs},
		{"from a peer, its own", config.RolePeer, theirs, 0, theirs},
		{"from a peer, another's: a leak", config.RolePeer, 3356, rib.FilterOTC, 0},
		{"from a provider, without: it is added", config.RoleCustomer, 0, 0, theirs},
		{"from a provider, with", config.RoleCustomer, 3356, 0, 3356},
		{"from a route server, without: it is added", config.RoleRSClient, 0, 0, theirs},
		{"from a route server, with", config.RoleRSClient, 3356, 0, 3356},
	} {
		peer := external
		peer.Role = c.role
		in := set{path: []uint32{65001, 3356}, otc: c.otc}
		out := in
		out.otc = c.then
		id := in.id(t, a)
		want := rib.Verdict{Attrs: id, Filtered: c.want}
		if c.want == rib.FilterNone {
			want.Attrs = out.id(t, a)
		}
		for range 2 { // the second time it is remembered
			if got, _ := judge(t, s.Import(AcceptAll, peer, Checks{}), routeOf{prefix: "198.51.100.0/24", attrs: id}); got != want {
				t.Errorf("%s: got %+v, want %+v", c.name, got, want)
			}
		}
		same := rib.Verdict{Attrs: id}
		if got, _ := judge(t, s.Import(AcceptAll, peer, Checks{}), routeOf{family: wire.IPv4Multicast, prefix: "198.51.100.0/24", attrs: id}); got != same {
			t.Errorf("%s, multicast, which the RFC is not about: got %+v, want %+v", c.name, got, same)
		}
		peer.Internal = true
		if got, _ := judge(t, s.Import(AcceptAll, peer, Checks{}), routeOf{prefix: "198.51.100.0/24", attrs: id}); got != same {
			t.Errorf("%s, internal, which the RFC is not about: got %+v, want %+v", c.name, got, same)
		}
	}
}

func TestTheLocalASOfASessionIsPutBeforeWhatComesByIt(t *testing.T) {
	a := newAttrs(t)
	s := compile(t, a, condition(`as_path.length == 2`))
	in, out := set{path: []uint32{65001}}, set{path: []uint32{3000, 65001}}
	id := in.id(t, a)
	for range 2 {
		if got, _ := judge(t, s.Import("p", external, Checks{Prepend: 3000}), routeOf{prefix: "10.0.0.0/8", attrs: id}); got != (rib.Verdict{Attrs: out.id(t, a)}) {
			t.Errorf("external: got %+v", got)
		}
	}
	if got, _ := judge(t, s.Import(AcceptAll, PeerFacts{Internal: true}, Checks{Prepend: 3000}), routeOf{prefix: "10.0.0.0/8", attrs: id}); got != (rib.Verdict{Attrs: id}) {
		t.Errorf("internal: got %+v", got)
	}
}

func TestGracefulShutdownLowersTheLocalPrefBeforePolicy(t *testing.T) {
	a := newAttrs(t)
	s := compile(t, a, condition(`local_pref == 0 && has_local_pref`))
	in := set{path: []uint32{65001}, comm: []string{"graceful-shutdown"}}
	out := in
	out.pref = 1
	id := in.id(t, a)
	if got, _ := judge(t, s.Import("p", external, Checks{}), routeOf{prefix: "10.0.0.0/8", attrs: id}); got != (rib.Verdict{Attrs: out.id(t, a)}) {
		t.Errorf("external: got %+v", got)
	}
	in.pref = 101
	id = in.id(t, a)
	if got, _ := judge(t, s.Import("p", PeerFacts{Internal: true}, Checks{}), routeOf{prefix: "10.0.0.0/8", attrs: id}); got != (rib.Verdict{Attrs: id, Filtered: rib.FilterPolicy}) {
		t.Errorf("internal: got %+v", got)
	}
}

// TestOTCIsSeenByPolicyAndKeptWhereItAccepts joins a change by the checks with
// one by policy.
func TestChangesByChecksAndPolicyAddUp(t *testing.T) {
	a := newAttrs(t)
	s := compile(t, a, "policies:\n  p:\n    - {if: 'prefix.length == 24', then: {accept: true, set: {med: 7}}}\n")
	peer := external
	peer.Role = config.RoleCustomer
	in := set{path: []uint32{65001}, comm: []string{"graceful-shutdown"}}
	out := in
	out.pref, out.otc, out.med = 1, 65001, 8
	id := in.id(t, a)
	f := s.Import("p", peer, Checks{})
	if got, final := judge(t, f, routeOf{prefix: "198.51.100.0/24", attrs: id}); got != (rib.Verdict{Attrs: out.id(t, a)}) || final {
		t.Errorf("accepted: got %+v, %v", got, final)
	}
	if got, _ := judge(t, f, routeOf{prefix: "198.51.100.0/25", attrs: id}); got != (rib.Verdict{Attrs: id, Filtered: rib.FilterPolicy}) {
		t.Errorf("rejected, so as it came: got %+v, want %d", got, id)
	}
}

func TestWithoutPolicyTheDefaultsAreThoseOfRFC8212(t *testing.T) {
	a := newAttrs(t)
	s := compile(t, a, "")
	id := set{path: []uint32{65001}}.id(t, a)
	at := routeOf{prefix: "198.51.100.0/24", attrs: id}
	for internal, want := range map[bool]rib.FilterReason{false: rib.FilterNoPolicy, true: rib.FilterNone} {
		peer := external
		peer.Internal = internal
		for name, f := range map[string]rib.Filter{"import": s.Import("", peer, Checks{}), "export": s.Export("", peer, nil)} {
			if got, final := judge(t, f, at); got != (rib.Verdict{Attrs: id, Filtered: want}) || !final {
				t.Errorf("%s, internal %v: got %+v, want %v", name, internal, got, want)
			}
		}
	}
	for name, want := range map[string]rib.FilterReason{AcceptAll: rib.FilterNone, RejectAll: rib.FilterPolicy, "gone": rib.FilterPolicy} {
		if got, _ := judge(t, s.Export(name, external, nil), at); got.Filtered != want {
			t.Errorf("export %s: got %v, want %v", name, got.Filtered, want)
		}
	}
}

// TestOnePassFindsWhatManyFind holds the pass over an AS_PATH to wire's
// functions, on paths of all kinds of segments.
func TestOnePassFindsWhatManyFind(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 5))
	for range 20_000 {
		var v []byte
		sets := false
		for range r.IntN(4) {
			typ, n := wire.SegmentType(1+r.IntN(4)), r.IntN(4)
			sets = sets || typ == wire.SegSet || typ == wire.SegConfedSet
			v = append(v, byte(typ), byte(n))
			for range n {
				v = binary.BigEndian.AppendUint32(v, uint32(1+r.IntN(5)))
			}
		}
		var own []uint32
		for as := range uint32(1 + r.IntN(4)) {
			own = append(own, as+1)
		}
		k := newChecker(nil, &external, Checks{LocalAS: own[:r.IntN(len(own)+1)]}, &memoRoom{})
		var got findings
		k.lookAtPath(v, &got)
		want := findings{sets: sets}
		for _, as := range k.LocalAS {
			want.own += wire.ASPathContains(v, as)
		}
		want.first, want.hasFirst = wire.ASPathNeighbor(v)
		if got.own != want.own || got.sets != want.sets || got.first != want.first || got.hasFirst != want.hasFirst {
			t.Fatalf("seed %d: %x, own %v: got %+v, want %+v", seed, v, k.LocalAS, got, want)
		}
	}
}

func TestRolesInConditionsAreThePeers(t *testing.T) {
	for ours, theirs := range map[config.SessionRole]string{
		config.RoleNone: "", config.RoleProvider: "customer", config.RoleCustomer: "provider", config.RoleRS: "rs-client",
		config.RoleRSClient: "rs", config.RolePeer: "peer",
	} {
		if got := (&PeerFacts{Role: ours}).text(fieldRole); got != theirs {
			t.Errorf("ours %v: got %q, want %q", ours, got, theirs)
		}
	}
}
