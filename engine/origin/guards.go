package origin

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"ribd/wire"
	"ribd/wire/flowspec"
)

// Guards hold for every route with a blackhole community or the blackhole next
// hop, and for every rule that discards, limits or redirects, or that does
// something ribd does not know. Zero values of numbers are no bound.
type Guards struct {
	// Protected prefixes: a destination that overlaps one is refused.
	Protected []netip.Prefix
	// MinLength4 and MinLength6 are the shortest destination prefixes.
	MinLength4, MinLength6 uint8
	// MaxRules bounds what is guarded in all, MaxRulesPerPeer what one peer is
	// meant to be sent; what is meant for all peers counts for each.
	MaxRules, MaxRulesPerPeer int
	// MaxTTL bounds the time to live, which then has to be there; DefaultTTL
	// is the one of what comes without.
	MaxTTL, DefaultTTL time.Duration
	// Blackhole is the communities that mean blackhole, besides 65535:666.
	// Other well-known ones (65535:*) do not: no-export beside blackhole in a
	// list of what is added says nothing of routes that have it alone.
	Blackhole []uint32
	// NextHops are the next hops where packets are discarded.
	NextHops []netip.Addr
}

// Guard names a guard.
type Guard string

// The guards.
const (
	GuardProtected     Guard = "protected"      // overlaps a protected prefix
	GuardOwnAddress    Guard = "own-address"    // covers an address of a session, or a next hop
	GuardNoDestination Guard = "no-destination" // would hit every destination
	GuardDefault       Guard = "default-route"  // 0.0.0.0/0, ::/0
	GuardTooWide       Guard = "min_length"     // too wide
	GuardTotal         Guard = "max_rules.total"
	GuardPerPeer       Guard = "max_rules.per_peer"
	GuardTTL           Guard = "max_ttl"
)

// guardNames is all of them, in the order in which they are asked.
var guardNames = [...]Guard{
	GuardNoDestination, GuardDefault, GuardTooWide, GuardProtected, GuardOwnAddress, GuardTTL, GuardTotal, GuardPerPeer,
}

// GuardError says that a guard refuses a route.
type GuardError struct {
	Guard  Guard
	Detail string
}

func (e *GuardError) Error() string { return "guard " + string(e.Guard) + ": " + e.Detail }

// Communities that are BLACKHOLE, or well-known and so not another name of it.
const (
	communityBlackhole = 0xffff029a // RFC 7999
	wellKnown          = 0xffff
)

// set is what is known of an attribute set that something originated here has.
type set struct {
	refs      int32
	blackhole bool // has a blackhole community or next hop
	asked     bool // acts is known
	acts      bool // as a rule: it discards, limits, redirects, or does something that is not known
}

// blackhole says whether attributes make a route one that discards.
func (g *Guards) blackhole(attrs []byte) bool {
	for a := wire.WalkAttributes(attrs); a.Next(); {
		switch a.Type() {
		case wire.AttrCommunities:
			for v := a.Value(); len(v) >= 4; v = v[4:] {
				if g.blackholeCommunity(binary.BigEndian.Uint32(v)) {
					return true
				}
			}
		case wire.AttrNextHop:
			if g.blackholeHop(a.Value()) {
				return true
			}
		}
	}
	return false
}

func (g *Guards) blackholeCommunity(c uint32) bool {
	if c == communityBlackhole {
		return true
	}
	if c>>16 == wellKnown {
		return false
	}
	for _, b := range g.Blackhole {
		if b == c {
			return true
		}
	}
	return false
}

// blackholeHop judges the value of a next hop: an address or two, behind a route
// distinguisher for VPN families.
func (g *Guards) blackholeHop(v []byte) bool {
	if len(g.NextHops) == 0 {
		return false
	}
	switch len(v) {
	case 12, 24, 48:
		v = v[8:]
	}
	if len(v) > 16 {
		v = v[:16]
	}
	a, ok := netip.AddrFromSlice(v)
	if !ok {
		return false
	}
	for _, h := range g.NextHops {
		if h == a.Unmap() {
			return true
		}
	}
	return false
}

// filters says whether a family is one of rules. Those of other AFIs than IP
// (AFI 25: frames) ribd can't read: it knows no destination of theirs.
func filters(f wire.Family) bool { return f.SAFI() == 133 || f.SAFI() == 134 }

// ruleActs says whether a rule with these attributes keeps packets from where
// they would go.
func ruleActs(attrs []byte) bool {
	a := flowspec.ActionsOf(attrs)
	return a.Filters() || len(a.Unknown) > 0
}

// target is where a guarded route or rule hits. For a rule of IPv6 the bits
// before offset are free (RFC 8956 section 3.1).
type target struct {
	prefix netip.Prefix
	offset uint8
	ok     bool // there is one
}

// targetOf returns the destination of a key.
func targetOf(k *Key) (t target) {
	switch {
	case k.Prefix.IsValid():
		t.prefix, t.ok = k.Prefix, true
	case flowspec.Is(k.Family):
		t.prefix, t.offset, t.ok = flowspec.Destination(k.Family, []byte(k.NLRI))
	}
	return t
}

// place judges where a route or rule hits: the guards that need no numbers. own
// is sortedAddrs.
func (g *Guards) place(t target, own []netip.Addr) *GuardError {
	if !t.ok {
		return &GuardError{GuardNoDestination, "it has no destination prefix, so it would hit everything"}
	}
	bits := t.prefix.Bits()
	if bits == 0 {
		return &GuardError{GuardDefault, fmt.Sprintf("%v is every destination", t.prefix)}
	}
	least := int(g.MinLength6)
	if t.prefix.Addr().Is4() {
		least = int(g.MinLength4)
	}
	if bits-int(t.offset) < least {
		return &GuardError{GuardTooWide, fmt.Sprintf("%s is wider than a /%d, the widest that may be hit", t, least)}
	}
	for _, p := range g.Protected {
		if t.overlaps(p) {
			return &GuardError{GuardProtected, fmt.Sprintf("%s overlaps %v, which is protected", t, p)}
		}
	}
	if a, ok := t.covers(own); ok {
		return &GuardError{GuardOwnAddress, fmt.Sprintf("%s covers %v, an address of ribd's sessions or a next hop", t, a)}
	}
	return nil
}

// sortedAddrs returns valid addresses without zones, in ascending order.
func sortedAddrs(list []netip.Addr) []netip.Addr {
	out := make([]netip.Addr, 0, len(list))
	for _, a := range list {
		if a.IsValid() {
			out = append(out, a.Unmap().WithZone(""))
		}
	}
	if !slices.IsSortedFunc(out, netip.Addr.Compare) {
		slices.SortFunc(out, netip.Addr.Compare)
	}
	return out
}

// covers returns one of sortedAddrs that can be hit.
func (t target) covers(sorted []netip.Addr) (netip.Addr, bool) {
	if t.offset == 0 {
		i, _ := slices.BinarySearchFunc(sorted, t.prefix.Addr(), netip.Addr.Compare)
		if i < len(sorted) && t.prefix.Contains(sorted[i]) {
			return sorted[i], true
		}
		return netip.Addr{}, false
	}
	for _, a := range sorted {
		if t.overlaps(netip.PrefixFrom(a, a.BitLen())) {
			return a, true
		}
	}
	return netip.Addr{}, false
}

func (t target) String() string {
	if t.offset > 0 {
		return fmt.Sprintf("%v offset %d", t.prefix, t.offset)
	}
	return t.prefix.String()
}

// overlaps says whether an address of p can be hit.
func (t target) overlaps(p netip.Prefix) bool {
	if t.offset == 0 {
		return t.prefix.Overlaps(p)
	}
	if t.prefix.Addr().Is4() != p.Addr().Is4() {
		return false
	}
	a, b := t.prefix.Addr().As16(), p.Addr().As16()
	for i := int(t.offset); i < min(t.prefix.Bits(), p.Bits()); i++ {
		if (a[i/8]^b[i/8])>>(7-i%8)&1 != 0 {
			return false
		}
	}
	return true
}

// ttl judges how long a guarded route is to last; 0: without end.
func (g *Guards) ttl(ttl time.Duration) *GuardError {
	switch {
	case g.MaxTTL == 0 || ttl > 0 && ttl <= g.MaxTTL:
		return nil
	case ttl == 0:
		return &GuardError{GuardTTL, fmt.Sprintf("it has no end: it may last up to %v", g.MaxTTL)}
	}
	return &GuardError{GuardTTL, fmt.Sprintf("it is to last %v: up to %v is possible", ttl, g.MaxTTL)}
}

// counts is how many guarded routes and rules there are, but for those that are
// held.
type counts struct {
	all    int            // of them all
	shared int            // meant for all peers
	only   map[string]int // by peer id: meant for some peers, it among them
}

func (c *counts) add(src *source, d int) {
	c.all += d
	if len(src.only) == 0 {
		c.shared += d
		return
	}
	for _, id := range src.only {
		if c.only[id] += d; c.only[id] == 0 {
			delete(c.only, id)
		}
	}
}

// room judges whether one more fits.
func (g *Guards) room(c *counts, src *source) *GuardError {
	if g.MaxRules > 0 && c.all >= g.MaxRules {
		return &GuardError{GuardTotal, fmt.Sprintf("there are %d blackhole routes and filtering rules: %d are possible", c.all, g.MaxRules)}
	}
	if g.MaxRulesPerPeer == 0 {
		return nil
	}
	full := func(n int, who string) *GuardError {
		return &GuardError{GuardPerPeer, fmt.Sprintf("%s is meant to have %d blackhole routes and filtering rules: %d are possible", who, n, g.MaxRulesPerPeer)}
	}
	if len(src.only) > 0 {
		for _, id := range src.only {
			if n := c.shared + c.only[id]; n >= g.MaxRulesPerPeer {
				return full(n, "peer "+id)
			}
		}
		return nil
	}
	if c.shared >= g.MaxRulesPerPeer {
		return full(c.shared, "every peer")
	}
	for id, n := range c.only {
		if n += c.shared; n >= g.MaxRulesPerPeer {
			return full(n, "peer "+id)
		}
	}
	return nil
}
