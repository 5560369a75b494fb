//go:build linux

package engine

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"ribd/internal/peertest"
)

// withDaemons runs a test with every daemon that can what it needs.
func withDaemons(t *testing.T, can func(f peertest.Features) bool, test func(t *testing.T, k peertest.Kind)) {
	for _, k := range peertest.Kinds() {
		if can == nil || can(peertest.Can(k)) {
			t.Run(string(k), func(t *testing.T) {
				t.Parallel()
				peertest.Need(t, k)
				test(t, k)
			})
		}
	}
}

func both(h *peertest.Host) []netip.Addr { return []netip.Addr{h.V4, h.V6} }

func pfx(s string) netip.Prefix { return netip.MustParsePrefix(s) }

// neighbors are sessions of a daemon with a host over both transports.
func neighbors(h *peertest.Host, as uint32, with ...func(n *peertest.Neighbor)) (l []peertest.Neighbor) {
	for _, a := range both(h) {
		n := peertest.Neighbor{Address: a, AS: as}
		for _, w := range with {
			w(&n)
		}
		l = append(l, n)
	}
	return l
}

// peerLines are ribd's peers for a host over both transports.
func peerLines(h *peertest.Host, as int, more ...string) (l []string) {
	for _, a := range both(h) {
		l = append(l, peerLine(a, as, more...))
	}
	return l
}

// speakers opens sessions with ribd over both transports.
func speakers(t *testing.T, h, to *peertest.Host, o speakerOptions) (s [2]*speaker) {
	t.Helper()
	for i, a := range both(to) {
		o.to = a
		s[i] = startSpeaker(t, h, o)
	}
	return s
}

var unicast = [2]string{"ipv4-unicast", "ipv6-unicast"}

// of returns the routes of a family.
func of(l []peertest.Route, family string) (out []peertest.Route) {
	for _, r := range l {
		if r.Family() == family {
			out = append(out, r)
		}
	}
	return out
}

// as returns the routes after one more router, as change makes them.
func as(l []peertest.Route, change ...func(r *peertest.Route)) []peertest.Route {
	l = slices.Clone(l)
	for i := range l {
		for _, c := range change {
			c(&l[i])
		}
	}
	return l
}

// prepended puts an AS number before the path.
func prepended(n uint32) func(r *peertest.Route) {
	return func(r *peertest.Route) { r.ASPath = strings.TrimSpace(fmt.Sprintf("%d %s", n, r.ASPath)) }
}

// by sets the next hop.
func by(h *peertest.Host) func(r *peertest.Route) {
	return func(r *peertest.Route) { r.NextHop = h.Addr(r.Prefix.Addr()) }
}

func noMED(r *peertest.Route) { r.MED = nil }

// localPref sets LOCAL_PREF where there is none; with GRACEFUL_SHUTDOWN it is 0
// (RFC 8326).
func localPref(n uint32) func(r *peertest.Route) {
	return func(r *peertest.Route) {
		switch {
		case slices.Contains(r.Communities, "65535:0"):
			r.LocalPref = new(uint32(0))
		case r.LocalPref == nil:
			r.LocalPref = new(n)
		}
	}
}

// ofDaemon are routes that a daemon originates: with all attributes that its
// language has.
func ofDaemon(k peertest.Kind) []peertest.Route {
	l := []peertest.Route{
		{Prefix: pfx("192.0.2.0/24"), Origin: "igp", MED: new(uint32(5))},
		{Prefix: pfx("198.51.100.128/25"), Origin: "incomplete", ASPath: "64999 4200000001", MED: new(uint32(77)),
			Communities: []string{"65001:1", "65001:666"}, LargeCommunities: []string{"4200000001:2:3"}, ExtCommunities: []string{"rt:65001:5"}},
		{Prefix: pfx("203.0.113.77/32"), Origin: "igp", ASPath: "64999", MED: new(uint32(1)), Communities: []string{"65001:2"}},
		{Prefix: pfx("2001:db8:1::/48"), Origin: "egp", ASPath: "64999 64999", MED: new(uint32(4294967295)), Communities: []string{"65001:1"}},
		{Prefix: pfx("2001:db8:2::1/128"), Origin: "igp", MED: new(uint32(3)), LargeCommunities: []string{"1:0:4294967295"}},
	}
	for i := range l {
		if k == peertest.OpenBGPD {
			l[i].ASPath = "" // it has no word for a path
		}
	}
	return l
}

// zoo are routes with everything that unicast routes may have.
func zoo() []peertest.Route {
	path := "65009 64999 4200000001"
	return []peertest.Route{
		{Prefix: pfx("100.64.0.0/10"), Origin: "igp", ASPath: "65009"},
		{Prefix: pfx("100.65.0.0/16"), Origin: "incomplete", ASPath: path, MED: new(uint32(77)),
			Communities: []string{"65009:1", "65009:666", "65535:0"}, LargeCommunities: []string{"4200000001:2:3", "65009:0:0"},
			ExtCommunities: []string{"rt:65009:5", "ro:65009:6"}, AtomicAggregate: true, Aggregator: "4200000001 192.0.2.1"},
		{Prefix: pfx("100.66.1.1/32"), Origin: "egp", ASPath: path + " " + path, Communities: []string{"65009:2"}},
		{Prefix: pfx("0.0.0.0/0"), Origin: "igp", ASPath: "65009"},
		{Prefix: pfx("2001:db8:a::/48"), Origin: "igp", ASPath: path, MED: new(uint32(9)), Communities: []string{"65009:1"},
			LargeCommunities: []string{"65009:1:1"}, ExtCommunities: []string{"rt:65009:5"}, AtomicAggregate: true, Aggregator: "65009 192.0.2.2"},
		{Prefix: pfx("2001:db8:b::1/128"), Origin: "incomplete", ASPath: "65009"},
		{Prefix: pfx("::/0"), Origin: "igp", ASPath: "65009"},
	}
}

// masksOf are what routes that a daemon shows are compared without.
func masksOf(k peertest.Kind) []peertest.Mask {
	m := []peertest.Mask{peertest.NoLocalPref, peertest.NoZeroMED}
	if !peertest.Can(k).PathIDs {
		m = append(m, peertest.NoPathID)
	}
	return m
}
