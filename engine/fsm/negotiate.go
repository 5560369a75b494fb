package fsm

import (
	"slices"
	"time"

	"ribd/wire"
)

// Want is what the OPEN of a peer has to be like.
type Want struct {
	// AnyAS: any AS number will do; else one of AS.
	AnyAS bool
	AS    []uint32
	// RoleStrict: a peer without a role is refused (RFC 9234 section 4.2).
	RoleStrict bool
	// StaleTime bounds how long routes of the peer are kept long-lived stale, in
	// seconds, whatever the peer asks for.
	StaleTime uint32
}

// Negotiated is what the two ends of a session agree on. It does not change.
type Negotiated struct {
	Ours, Theirs *wire.Open
	External     bool
	HoldTime     time.Duration // 0: no KEEPALIVEs
	Keepalive    time.Duration
	Families     wire.FamilySet
	// AddPathReceive and AddPathSend hold the families whose routes come and go
	// with path ids.
	AddPathReceive, AddPathSend wire.FamilySet
	AS4                         bool
	// ExtendedReceive: the peer may send messages of up to 65,535 octets;
	// ExtendedSend: so may we.
	ExtendedReceive, ExtendedSend bool
	// RefreshReceive: the peer may ask for its routes again; RefreshSend: so may
	// we; EnhancedRefresh: begin and end of a refresh are marked.
	RefreshReceive, RefreshSend, EnhancedRefresh bool
	// ExtendedNextHop holds the IPv4 families that may have IPv6 next hops.
	ExtendedNextHop wire.FamilySet
	// Role is ours, RemoteRole that of the peer, where it has one.
	Role, RemoteRole       wire.Role
	HasRole, HasRemoteRole bool
	Graceful               Retention
	Hostname, Domain       string // of the peer
	SoftwareVersion        string // of the peer
}

// Retention is what graceful restart means for routes of the peer.
type Retention struct {
	// Families are those whose routes are retained when the session is lost;
	// empty: none.
	Families wire.FamilySet
	// RestartTime is how long the peer has to be back.
	RestartTime time.Duration
	// Notification: so with NOTIFICATIONs other than a Hard Reset (RFC 8538).
	Notification bool
	// Restarting: the peer has just restarted, and waits for no End-of-RIB.
	Restarting bool
	// Forwarding holds the families whose forwarding state outlived the restart;
	// retained routes of others are to be removed at once (RFC 4724 section 4.2).
	Forwarding wire.FamilySet
	// ByPeer: the peer retains routes of ours.
	ByPeer bool
	// EndOfRIB: the peer marks the end of its first routes.
	EndOfRIB bool
	// LLGR: the peer takes routes with LLGR_STALE (RFC 9494 section 4.3).
	LLGR bool
	// LongLived are the families whose routes are kept long-lived stale after
	// RestartTime, and how long.
	LongLived []LongLived
}

// LongLived is a family of long-lived graceful restart (RFC 9494).
type LongLived struct {
	Family     wire.Family
	Forwarding bool
	StaleTime  time.Duration
	// Only: graceful restart does not cover the family, so that RestartTime is 0
	// for it.
	Only bool
}

// PeerAS returns the peer's AS number.
func (n *Negotiated) PeerAS() uint32 { return n.Theirs.AS }

// PeerID returns the peer's BGP identifier.
func (n *Negotiated) PeerID() uint32 { return n.Theirs.ID }

// Session returns how messages of the peer read.
func (n *Negotiated) Session() wire.Session {
	return wire.Session{AS4: n.AS4, External: n.External, Extended: n.ExtendedReceive,
		Families: n.Families, AddPath: n.AddPathReceive}
}

// SendOptions returns how messages to the peer are written.
func (n *Negotiated) SendOptions() wire.SendOptions {
	return wire.SendOptions{AS4: n.AS4, Extended: n.ExtendedSend, AddPath: n.AddPathSend}
}

// Negotiate holds the OPEN of a peer against ours and what is wanted. Either
// the session may go on with what it returns, or the NOTIFICATION is to be sent
// (EventOpenError).
func Negotiate(ours, theirs *wire.Open, want *Want) (*Negotiated, *wire.Notification) {
	n := &Negotiated{Ours: ours, Theirs: theirs, External: ours.AS != theirs.AS}
	if err := n.identity(want); err != nil {
		return nil, err
	}
	if err := n.times(); err != nil {
		return nil, err
	}
	if err := n.roles(want); err != nil {
		return nil, err
	}
	if err := n.families(); err != nil {
		return nil, err
	}
	n.features()
	n.graceful(want)
	return n, nil
}

func refuse(subcode uint8, data ...byte) *wire.Notification {
	return &wire.Notification{Code: wire.CodeOpen, Subcode: subcode, Data: data}
}

// identity checks AS number and identifier (RFC 4271 section 6.2, RFC 6286
// section 2.2, RFC 6793 section 9, RFC 7607 section 2).
func (n *Negotiated) identity(want *Want) *wire.Notification {
	as := n.Theirs.AS
	if as == 0 || as == wire.ASTrans || !want.AnyAS && !slices.Contains(want.AS, as) {
		return refuse(wire.SubBadPeerAS)
	}
	if id := n.Theirs.ID; id == 0 || id == n.Ours.ID && !n.External {
		return refuse(wire.SubBadID)
	}
	return nil
}

// times takes the smaller hold time (RFC 4271 section 4.2).
func (n *Negotiated) times() *wire.Notification {
	if t := n.Theirs.HoldTime; t == 1 || t == 2 {
		return refuse(wire.SubUnacceptableHoldTime)
	}
	n.HoldTime = time.Duration(min(n.Ours.HoldTime, n.Theirs.HoldTime)) * time.Second
	n.Keepalive = n.HoldTime / 3
	return nil
}

// roles checks the two roles of an external session (RFC 9234 section 4.2).
func (n *Negotiated) roles(want *Want) *wire.Notification {
	if !n.External {
		return nil
	}
	n.Role, n.HasRole = n.Ours.Role()
	n.RemoteRole, n.HasRemoteRole = n.Theirs.Role()
	switch {
	case !n.HasRole:
		return nil
	case n.Theirs.RolesDiffer(), n.HasRemoteRole && !n.Role.Fits(n.RemoteRole), !n.HasRemoteRole && want.RoleStrict:
		return refuse(wire.SubRoleMismatch)
	}
	return nil
}

// families takes those that both ends have. Where there is none, the data of
// the refusal is what we would have taken (RFC 5492 section 5).
func (n *Negotiated) families() *wire.Notification {
	n.Families = both(n.Ours.Families(), n.Theirs.Families())
	if !n.Families.Empty() {
		return nil
	}
	err := refuse(wire.SubUnsupportedCapability)
	for _, c := range n.Ours.Capabilities {
		if c.Code == wire.CapMultiprotocol {
			err.Data = append(append(err.Data, byte(c.Code), byte(len(c.Value))), c.Value...)
		}
	}
	return err
}

func (n *Negotiated) features() {
	ours, theirs := n.Ours, n.Theirs
	_, as4 := ours.AS4()
	_, peerAS4 := theirs.AS4()
	n.AS4 = as4 && peerAS4
	receive, send := ours.AddPath()
	peerReceive, peerSend := theirs.AddPath()
	n.AddPathReceive = both(n.Families, both(receive, peerSend))
	n.AddPathSend = both(n.Families, both(send, peerReceive))
	n.ExtendedReceive = ours.Has(wire.CapExtendedMessage)
	n.ExtendedSend = n.ExtendedReceive && theirs.Has(wire.CapExtendedMessage)
	n.RefreshReceive = ours.Has(wire.CapRouteRefresh)
	n.RefreshSend = theirs.Has(wire.CapRouteRefresh) || theirs.Has(wire.CapEnhancedRefresh)
	n.EnhancedRefresh = ours.Has(wire.CapEnhancedRefresh) && theirs.Has(wire.CapEnhancedRefresh)
	n.ExtendedNextHop = both(n.Families, both(ours.ExtendedNextHop(), theirs.ExtendedNextHop()))
	n.Hostname, n.Domain, _ = theirs.Hostname()
	n.SoftwareVersion, _ = theirs.SoftwareVersion()
}

// graceful works out what is retained: what the peer asks for, where we said
// that we are a helper.
func (n *Negotiated) graceful(want *Want) {
	ours, ok := n.Ours.GracefulRestart()
	theirs, peer := n.Theirs.GracefulRestart()
	g := &n.Graceful
	g.EndOfRIB = peer
	if !ok || !peer {
		return
	}
	g.RestartTime = time.Duration(theirs.Time) * time.Second
	g.Notification = ours.Notification && theirs.Notification
	g.Restarting, g.ByPeer = theirs.Restarting, len(ours.Families) > 0
	for _, f := range theirs.Families {
		if !n.Families.Has(f.Family) {
			continue
		}
		g.Families = g.Families.With(f.Family)
		if f.Forwarding {
			g.Forwarding = g.Forwarding.With(f.Family)
		}
	}
	g.LLGR = n.Ours.Has(wire.CapLLGR) && n.Theirs.Has(wire.CapLLGR)
	if !g.LLGR {
		return
	}
	for _, f := range n.Theirs.LLGR() {
		t := min(f.StaleTime, want.StaleTime)
		if t == 0 || !n.Families.Has(f.Family) {
			continue
		}
		g.LongLived = append(g.LongLived, LongLived{Family: f.Family, Forwarding: f.Forwarding,
			StaleTime: time.Duration(t) * time.Second, Only: !g.Families.Has(f.Family)})
	}
	for _, l := range g.LongLived {
		g.Families = g.Families.With(l.Family)
	}
}
