//go:build linux

package peertest

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Route is a route as any daemon has it. Texts are as in ribd's API:
// communities "65001:100", large ones "65001:1:2", extended ones "rt:65001:1",
// AS paths "65001 {64500,64501}", origins "igp", "egp", "incomplete".
type Route struct {
	Prefix           netip.Prefix
	PathID           uint32 // 0 where there is none, or where it can't be read
	NextHop          netip.Addr
	Origin           string
	ASPath           string
	MED, LocalPref   *uint32
	Communities      []string
	LargeCommunities []string
	ExtCommunities   []string
	AtomicAggregate  bool
	Aggregator       string // "65001 192.0.2.1"
	Stale            bool
	// Peer is the neighbour that it was learned from, where it is told.
	Peer netip.Addr
}

// String returns the route in one line, its communities sorted: what is equal
// prints alike. Stale and Peer are left out.
func (r Route) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s", r.Prefix)
	if r.PathID != 0 {
		fmt.Fprintf(&b, " id %d", r.PathID)
	}
	if r.NextHop.IsValid() {
		fmt.Fprintf(&b, " via %s", r.NextHop)
	}
	fmt.Fprintf(&b, " %s path [%s]", r.Origin, r.ASPath)
	if r.MED != nil {
		fmt.Fprintf(&b, " med %d", *r.MED)
	}
	if r.LocalPref != nil {
		fmt.Fprintf(&b, " pref %d", *r.LocalPref)
	}
	for _, c := range []struct {
		name string
		list []string
	}{{"comm", r.Communities}, {"large", r.LargeCommunities}, {"ext", r.ExtCommunities}} {
		if len(c.list) > 0 {
			l := slices.Clone(c.list)
			slices.Sort(l)
			fmt.Fprintf(&b, " %s %s", c.name, strings.Join(l, ","))
		}
	}
	if r.AtomicAggregate {
		b.WriteString(" atomic")
	}
	if r.Aggregator != "" {
		fmt.Fprintf(&b, " aggr %s", r.Aggregator)
	}
	return b.String()
}

// Family returns the unicast family that the route's prefix is of.
func (r Route) Family() string {
	if r.Prefix.Addr().Is4() {
		return "ipv4-unicast"
	}
	return "ipv6-unicast"
}

// Mask takes from a route what a test does not compare.
type Mask func(r *Route)

// NoLocalPref takes LOCAL_PREF away: daemons give one to what an external peer
// sends.
func NoLocalPref(r *Route) { r.LocalPref = nil }

// NoZeroMED takes a MED of 0 away: to OpenBGPD it is the same as none.
func NoZeroMED(r *Route) {
	if r.MED != nil && *r.MED == 0 {
		r.MED = nil
	}
}

// NoPathID takes the path id away.
func NoPathID(r *Route) { r.PathID = 0 }

// NoNextHop takes the next hop away.
func NoNextHop(r *Route) { r.NextHop = netip.Addr{} }

// Lines returns the routes' texts, sorted, after the masks.
func Lines(routes []Route, masks ...Mask) []string {
	out := make([]string, len(routes))
	for i, r := range routes {
		for _, m := range masks {
			m(&r)
		}
		out[i] = r.String()
	}
	slices.Sort(out)
	return out
}

// Diff says how got differs from want, nil where it does not.
func Diff(got, want []Route, masks ...Mask) error {
	return diffLines(Lines(got, masks...), Lines(want, masks...), "routes")
}

// diffLines says which of the sorted lines are of one side alone.
func diffLines(got, want []string, what string) error {
	if slices.Equal(got, want) {
		return nil
	}
	var b strings.Builder
	left := slices.Clone(got)
	for _, l := range want {
		if i := slices.Index(left, l); i >= 0 {
			left = slices.Delete(left, i, i+1)
		} else {
			fmt.Fprintf(&b, "\n  want %s", l)
		}
	}
	for _, l := range left {
		fmt.Fprintf(&b, "\n  got  %s", l)
	}
	return fmt.Errorf("%d %s, want %d:%s", len(got), what, len(want), b.String())
}
