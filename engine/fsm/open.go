package fsm

import (
	"slices"

	"ribd/wire"
)

// Local is what we are and want towards a peer: what our OPEN says.
type Local struct {
	AS       uint32 // as the peer sees us
	ID       uint32 // BGP identifier
	HoldTime uint16 // seconds; 0 asks for none, 1 and 2 are not allowed
	Families []wire.Family
	// AddPathReceive and AddPathSend hold the families whose routes we want
	// with path ids, and can send so. Those that are not of Families do not count.
	AddPathReceive, AddPathSend wire.FamilySet
	ExtendedMessages            bool
	// ExtendedNextHop: the IPv4 families may have IPv6 next hops.
	ExtendedNextHop bool
	// NoRouteRefresh leaves out route refresh and enhanced route refresh.
	NoRouteRefresh bool
	Graceful       Graceful
	// Role is ours where HasRole is true. It is sent to external peers only.
	Role     wire.Role
	HasRole  bool
	Internal bool // the peer is in our AS
	// Hostname and Domain are sent where Hostname is not empty.
	Hostname, Domain string
}

// Graceful is what we say of graceful restart (RFC 4724, 8538, 9494).
type Graceful struct {
	Enabled bool
	// HelperOnly: we keep routes of a peer that restarts, and ask for nothing
	// when we do.
	HelperOnly   bool
	Notification bool   // RFC 8538
	Restarting   bool   // we have restarted, and the peer may still have our routes
	Forwarding   bool   // and packets were forwarded all the while
	RestartTime  uint16 // seconds, at most wire.MaxRestartTime
	LLGR         bool   // RFC 9494
	StaleTime    uint32 // seconds, of LLGR
}

// An OPEN has 4,096 octets, each capability 255: more families than these do
// not fit.
const (
	mostFamilies = 250
	mostAddPath  = 63 // of 4 octets
	mostGraceful = 63 // of 4 octets, after 2
	mostLLGR     = 36 // of 7 octets
	mostNextHop  = 42 // of 6 octets
)

// OurOpen returns the OPEN that says what l is. Of more families than anyone
// has, the first 250 count.
func OurOpen(l *Local) *wire.Open {
	if len(l.Families) > mostFamilies {
		few := *l
		few.Families = l.Families[:mostFamilies]
		l = &few
	}
	o := &wire.Open{AS: l.AS, HoldTime: l.HoldTime, ID: l.ID}
	add := func(c wire.Capability) { o.Capabilities = append(o.Capabilities, c) }
	for _, f := range l.Families {
		add(wire.MultiprotocolCapability(f))
	}
	if !l.NoRouteRefresh {
		add(wire.RouteRefreshCapability())
	}
	if four := fourFamilies(l.Families); l.ExtendedNextHop && len(four) > 0 {
		add(wire.ExtendedNextHopCapability(wire.NewFamilySet(four[:min(len(four), mostNextHop)]...)))
	}
	if l.ExtendedMessages {
		add(wire.ExtendedMessageCapability())
	}
	if l.HasRole && !l.Internal {
		add(wire.RoleCapability(l.Role))
	}
	if l.Graceful.Enabled {
		add(wire.GracefulRestartCapability(gracefulRestart(l)))
	}
	add(wire.AS4Capability(l.AS))
	for fs := range slices.Chunk(pathFamilies(l), mostAddPath) {
		set := wire.NewFamilySet(fs...)
		add(wire.AddPathCapability(both(set, l.AddPathReceive), both(set, l.AddPathSend)))
	}
	if !l.NoRouteRefresh {
		add(wire.EnhancedRefreshCapability())
	}
	if l.Graceful.Enabled && l.Graceful.LLGR {
		add(wire.LLGRCapability(longLived(l)))
	}
	if l.Hostname != "" {
		add(wire.HostnameCapability(l.Hostname, l.Domain))
	}
	return o
}

// fourFamilies returns the families whose next hop may be an IPv6 one by RFC
// 8950.
func fourFamilies(fs []wire.Family) []wire.Family {
	var four []wire.Family
	for _, f := range fs {
		if f.Is4() && f.Form() != wire.FormRaw {
			four = append(four, f)
		}
	}
	return four
}

func pathFamilies(l *Local) []wire.Family {
	var fs []wire.Family
	for _, f := range l.Families {
		if l.AddPathReceive.Has(f) || l.AddPathSend.Has(f) {
			fs = append(fs, f)
		}
	}
	return fs
}

func gracefulRestart(l *Local) wire.GracefulRestart {
	g := wire.GracefulRestart{Restarting: l.Graceful.Restarting, Notification: l.Graceful.Notification, Time: l.Graceful.RestartTime}
	if l.Graceful.HelperOnly {
		return g
	}
	for _, f := range l.Families[:min(len(l.Families), mostGraceful)] {
		g.Families = append(g.Families, wire.GracefulFamily{Family: f, Forwarding: l.Graceful.Forwarding})
	}
	return g
}

// longLived returns what LLGR says: nothing of a helper, which thereby takes
// stale routes and asks for none of its own to be kept.
func longLived(l *Local) []wire.LLGRFamily {
	if l.Graceful.HelperOnly {
		return nil
	}
	var fs []wire.LLGRFamily
	for _, f := range l.Families[:min(len(l.Families), mostLLGR)] {
		fs = append(fs, wire.LLGRFamily{Family: f, Forwarding: l.Graceful.Forwarding, StaleTime: l.Graceful.StaleTime})
	}
	return fs
}

// both returns the families that are in both sets.
func both(a, b wire.FamilySet) wire.FamilySet {
	var s wire.FamilySet
	for _, f := range a.Families() {
		if b.Has(f) {
			s = s.With(f)
		}
	}
	return s
}
