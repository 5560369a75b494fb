package tablegen

import (
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// Options say what table is wanted. The zero value of a field is its default.
type Options struct {
	// Prefixes to take from, sorted as ReadPrefixes does; nil: made up.
	Prefixes []netip.Prefix
	// IPv4 and IPv6 say how many prefixes of each family; negative: all of
	// Prefixes, or 900,000 and 160,000 where they are made up.
	IPv4, IPv6 int
	// Keep names prefixes that thinning leaves in, with the AS they come from.
	Keep []Keep
	// Peers is the number of peers (default 3); the last Partial of them give
	// only the routes of their customers.
	Peers, Partial int
	// AddPath is how many paths a peer gives of a prefix at most. 0: no Add-Path.
	AddPath int
	// Seed makes another table of the same kind.
	Seed uint64
	// Time of the dump; default 2026-01-01T00:00:00Z.
	Time time.Time
}

// Keep is a prefix that must be in the table. Origin 0 leaves the AS to chance.
type Keep struct {
	Prefix netip.Prefix
	Origin uint32
}

// Peer is one peer of the table.
type Peer struct {
	Addr     netip.Addr
	RouterID netip.Addr
	AS       uint32
	NextHop4 netip.Addr
	NextHop6 netip.Addr
	node     int
	routes   *routes
}

// Table is a drawn table. It is not written to after New, and writing it out
// twice gives the same octets.
type Table struct {
	o        Options
	peers    []Peer
	g        *graph
	prefixes []netip.Prefix // IPv4, then IPv6
	n4       int
	policy   []int32 // of each prefix
	policies []policy
	cache    attrCache
}

// policy is a group of prefixes of one origin that are announced alike.
type policy struct {
	node int32
	v6   bool
}

const (
	default4, default6 = 900_000, 160_000
	maxPeers           = 1000
)

// New draws a table.
func New(o Options) (*Table, error) {
	if o.Peers == 0 {
		o.Peers = 3
	}
	if o.Time.IsZero() {
		o.Time = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	switch {
	case o.Peers < 0 || o.Peers > maxPeers:
		return nil, fmt.Errorf("peers %d: 1 to %d can be made", o.Peers, maxPeers)
	case o.Partial < 0 || o.Partial > o.Peers:
		return nil, fmt.Errorf("partial %d: there are %d peers", o.Partial, o.Peers)
	case o.AddPath < 0 || o.AddPath > 255:
		return nil, fmt.Errorf("add-path %d: 0 to 255 paths a prefix can be made", o.AddPath)
	}
	t := &Table{o: o}
	if err := t.choosePrefixes(); err != nil {
		return nil, err
	}
	origins := max(len(t.prefixes)/12, 8)
	t.g = newGraph(origins, o.Peers, o.Keep, o.Seed)
	t.choosePeers()
	t.assign(origins)
	t.cache.init(len(t.policies) * o.Peers)
	return t, nil
}

func (t *Table) choosePrefixes() error {
	var keep []netip.Prefix
	for _, k := range t.o.Keep {
		keep = append(keep, k.Prefix)
	}
	if t.o.Prefixes == nil {
		n4, n6 := t.o.IPv4, t.o.IPv6
		if n4 < 0 {
			n4 = default4
		}
		if n6 < 0 {
			n6 = default6
		}
		t.prefixes = append(Synthetic(false, n4, t.o.Seed), Synthetic(true, n6, t.o.Seed)...)
		t.n4 = n4
		return nil
	}
	v4, v6 := split(t.o.Prefixes)
	n4, n6 := t.o.IPv4, t.o.IPv6
	if n4 < 0 {
		n4 = len(v4)
	}
	if n6 < 0 {
		n6 = len(v6)
	}
	if n4 > len(v4) || n6 > len(v6) {
		return fmt.Errorf("the list holds %d IPv4 and %d IPv6 prefixes: asked for %d and %d", len(v4), len(v6), n4, n6)
	}
	rng := newSource(t.o.Seed, 't')
	v4 = thin(v4, n4, keep, &rng)
	v6 = thin(v6, n6, keep, &rng)
	t.n4 = len(v4)
	t.prefixes = slices.Concat(v4, v6)
	return nil
}

// choosePeers places the peers: networks just below the top, whose numbers and
// addresses become those set aside for documentation (RFC 5398, 5737, 3849).
func (t *Table) choosePeers() {
	for i := range t.o.Peers {
		p := Peer{node: tier1 + i, AS: documentationAS(i)}
		host := byte(1 + i%250)
		net4 := [...][3]byte{{192, 0, 2}, {198, 51, 100}, {203, 0, 113}}[i/250%3]
		p.NextHop4 = netip.AddrFrom4([4]byte{net4[0], net4[1], net4[2], host})
		p.NextHop6 = netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 4: byte(i >> 8), 5: byte(i + 1), 15: 1})
		p.Addr, p.RouterID = p.NextHop4, p.NextHop4
		if i%3 == 2 || i >= 750 {
			p.Addr = p.NextHop6
		}
		t.g.asn[p.node] = p.AS
		t.peers = append(t.peers, p)
	}
	for i := range t.peers {
		p := &t.peers[i]
		p.routes = t.g.paths(p.node, i >= t.o.Peers-t.o.Partial, t.o.Seed)
	}
}

func documentationAS(i int) uint32 {
	switch {
	case i < 16:
		return 64496 + uint32(i)
	case i < 32:
		return 65536 + uint32(i-16)
	}
	return 4_200_000_000 + uint32(i)
}

// assign gives each prefix an origin and a policy. Neighbours in the address
// space often share both; more specific prefixes mostly share the origin of what
// covers them.
func (t *Table) assign(origins int) {
	rng := newSource(t.o.Seed, 'a')
	kept := map[netip.Prefix]int32{}
	for _, k := range t.o.Keep {
		if node, ok := t.g.number[k.Origin]; ok && k.Origin != 0 {
			kept[k.Prefix] = node
		}
	}
	type current struct {
		policy int32
		left   int
	}
	for _, part := range [][]netip.Prefix{t.prefixes[:t.n4], t.prefixes[t.n4:]} {
		now := map[int32]current{}
		var covers []netip.Prefix
		var owners []int32
		run, node := 0, int32(0)
		for _, p := range part {
			for len(covers) > 0 && !covers[len(covers)-1].Contains(p.Addr()) {
				covers, owners = covers[:len(covers)-1], owners[:len(owners)-1]
			}
			if run == 0 {
				run = rng.geometric(5)
				// Every twelfth run belongs to a transit network.
				if node = int32(t.g.transit + rng.skewed(origins)); rng.chance(8) {
					node = int32(rng.skewed(t.g.transit))
				}
			}
			run--
			owner := node
			if len(covers) > 0 && rng.chance(70) {
				owner = owners[len(owners)-1]
			}
			if n, ok := kept[p]; ok {
				owner = n
			}
			covers, owners = append(covers, p), append(owners, owner)
			c := now[owner]
			if c.left == 0 {
				c = current{policy: int32(len(t.policies)), left: rng.geometric(7.6)}
				t.policies = append(t.policies, policy{node: owner, v6: p.Addr().Is6()})
			}
			c.left--
			now[owner] = c
			t.policy = append(t.policy, c.policy)
		}
	}
}

// Prefixes returns the prefixes in the order of the dump. Borrowed.
func (t *Table) Prefixes() []netip.Prefix { return t.prefixes }

// Peers returns the peers. Borrowed.
func (t *Table) Peers() []Peer { return t.peers }

// sees is whether a peer gives a prefix: one in seventy is missing, and a partial
// feed has only what its customers announce.
func (t *Table) sees(prefix, peer int) bool {
	h := mix64(mix64(t.o.Seed^uint64(peer)<<40) ^ uint64(prefix))
	if h%70 == 0 {
		return false
	}
	_, ok := t.way(t.policies[t.policy[prefix]], peer, 0, 0)
	return ok
}
