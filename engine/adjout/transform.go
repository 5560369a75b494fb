package adjout

import (
	"encoding/binary"
	"net/netip"

	"ribd/shard/rib"
	"ribd/wire"
	"ribd/wire/flowspec"
)

// from is the source of a route as the rules of export ask for it.
type from struct {
	live     bool // heard from a session or originated here, and known as a source
	local    bool // originated here
	internal bool
	rrClient bool
	routerID uint32
}

const (
	communityNoExport    = 0xffffff01 // RFC 1997
	communityNoAdvertise = 0xffffff02
	communityNoExportSub = 0xffffff03
	communityLLGRStale   = 0xffff0006 // RFC 9494
)

// rules carries out what the RFCs ask of routes that are sent to one kind of
// peer: whether at all, and with which attributes. It belongs to one goroutine.
type rules struct {
	t      *Target
	attrs  *rib.Attrs
	edit   wire.AttrEditor
	enc    *wire.Encoder // to find out whether attributes fit into a message
	out    []byte
	refuse uint64 // sets that found no room in the tables
}

func newRules(t *Target, attrs *rib.Attrs) *rules {
	return &rules{t: t, attrs: attrs, enc: wire.NewEncoder(t.Send)}
}

// allowed says whether a route with these attributes, as they are in the
// Loc-RIB, may be told to the peer at all. Policy has the word after it.
func (r *rules) allowed(f wire.Family, src from, id rib.AttrID) why {
	t := r.t
	if !src.live {
		return whyDump
	}
	if t.Internal && src.internal && !t.RRClient && !src.rrClient {
		return whyInternal // RFC 4271 9.2, RFC 4456 6
	}
	canonical, ok := r.attrs.Bytes(id)
	if !ok {
		return whyWithdrawn
	}
	for w := wire.WalkAttributes(canonical); w.Next(); {
		switch w.Type() {
		case wire.AttrCommunities:
			if w := r.communities(w.Value(), src.local); w != whyNot {
				return w
			}
		case wire.AttrOTC:
			if t.HasRole && !t.Internal && unicast(f) {
				switch t.Role {
				case wire.RoleCustomer, wire.RolePeer, wire.RoleRSClient:
					return whyRole // RFC 9234 5: not to providers, peers or route servers
				}
			}
		}
	}
	return whyNot
}

// communities judges by the well-known ones. RFC 1997 binds who has received a
// route with them: on one that is originated here they are for its receivers, as
// RFC 7999 3.2 wants a blackhole route to have NO_EXPORT. A route server leaves
// them to its clients too (RFC 7947 2.2.4).
func (r *rules) communities(v []byte, local bool) why {
	passes := local || r.t.RSClient
	for ; len(v) >= 4; v = v[4:] {
		switch binary.BigEndian.Uint32(v) {
		case communityNoAdvertise:
			if !passes {
				return whyNoAdvert
			}
		case communityNoExport, communityNoExportSub:
			if !r.t.Internal && !passes {
				return whyNoExport
			}
		case communityLLGRStale:
			if !r.t.LLGR {
				return whyStale // RFC 9494 4.3
			}
		}
	}
	return whyNot
}

func unicast(f wire.Family) bool { return f == wire.IPv4Unicast || f == wire.IPv6Unicast }

// chosen says what export policy has set: that is sent as it is.
type chosen uint8

const (
	choseMED chosen = 1 << iota
	choseHop
)

// chose compares a set as it is in the Loc-RIB with what export policy made of
// it.
func (r *rules) chose(arrived, judged rib.AttrID) (c chosen) {
	if arrived == judged {
		return 0
	}
	a, _ := r.attrs.Bytes(arrived)
	b, _ := r.attrs.Bytes(judged)
	if differs(a, b, wire.AttrMED) {
		c |= choseMED
	}
	if differs(a, b, wire.AttrNextHop) {
		c |= choseHop
	}
	return c
}

func differs(a, b []byte, t wire.AttrType) bool {
	v, had := wire.FindAttr(a, t)
	w, has := wire.FindAttr(b, t)
	return had != has || string(v) != string(w)
}

// transform returns the set that is sent for a route whose set is judged after
// export policy, or why it can't be sent: there is no next hop for it, or the
// attributes fit no message.
func (r *rules) transform(f wire.Family, src from, judged rib.AttrID, did chosen) (rib.AttrID, why) {
	b, ok := r.attrs.Bytes(judged)
	if !ok {
		return 0, whyWithdrawn
	}
	e := &r.edit
	e.Start(b)
	switch {
	case r.t.Internal:
		r.internal(src)
	case r.t.RSClient:
		e.Remove(wire.AttrLocalPref)
	default:
		r.external(src, did)
	}
	e.Remove(wire.AttrBGPsecPath) // signed for somebody else (RFC 8205), and never negotiated
	if !src.local {
		e.MarkPartial() // RFC 4271 5: who attaches them at the origin does not
	}
	if !r.nextHop(f, src, did) {
		return 0, whyNextHop
	}
	if flowspec.Is(f) {
		if src.local {
			r.redirect(b)
		}
		if v, _ := e.Get(wire.AttrExtCommunities); !flowspec.RedirectsToHop(v) {
			e.Remove(wire.AttrNextHop) // RFC 8955 4
		}
	}
	if r.t.HasRole && !r.t.Internal && unicast(f) && !e.Has(wire.AttrOTC) {
		switch r.t.Role {
		case wire.RoleProvider, wire.RolePeer, wire.RoleRS:
			e.SetUint32(wire.AttrOTC, r.t.AS) // RFC 9234 5
		}
	}
	if e.TooLong() {
		return 0, whyTooLong
	}
	if !e.Changed() {
		if !r.fits(f, b) {
			return 0, whyTooLong
		}
		return judged, whyNot
	}
	r.out = e.Append(r.out[:0])
	if !r.fits(f, r.out) {
		return 0, whyTooLong
	}
	id, ok := r.attrs.Intern(r.out)
	if !ok {
		r.refuse++
		return 0, whyRoom
	}
	return id, whyNot
}

// redirect writes a redirect to an address in the form that the peer is sent.
func (r *rules) redirect(judged []byte) {
	a := flowspec.ActionsOf(judged)
	if a.Redirect == nil || a.Redirect.Kind != flowspec.RedirectIP {
		return
	}
	form := flowspec.RedirectCommunity
	if v, _ := wire.FindAttr(judged, wire.AttrExtCommunities); flowspec.RedirectsToHop(v) {
		form = flowspec.RedirectNextHop
	}
	if form != r.t.Redirect {
		_ = a.Apply(&r.edit, r.t.Redirect) // what was read out of communities can be written
	}
}

// fits says whether attributes leave room for a route in a message (RFC 8654 4).
func (r *rules) fits(f wire.Family, b []byte) bool {
	return len(b) < 2000 || r.enc.Announce(f, b) == nil
}

// fitsRaw says the same for one certain NLRI of any length.
func (r *rules) fitsRaw(f wire.Family, nlri, b []byte) bool {
	room := wire.MaxMessageLen
	if r.t.Send.Extended {
		room = wire.MaxExtendedLen
	}
	if len(nlri)+2*len(b)+64 <= room { // paths are twice there at most (RFC 6793 4.2.2)
		return true
	}
	r.enc.Reset()
	fits := r.enc.Announce(f, b) == nil && r.enc.RouteRaw(nlri, 0)
	r.enc.Reset()
	return fits
}

// internal is what changes towards internal peers.
func (r *rules) internal(src from) {
	e := &r.edit
	if !e.Has(wire.AttrLocalPref) {
		e.SetUint32(wire.AttrLocalPref, rib.DefaultLocalPref) // RFC 4271 5.1.5
	}
	if !src.internal {
		return
	}
	if !e.Has(wire.AttrOriginatorID) { // RFC 4456 8
		e.SetUint32(wire.AttrOriginatorID, src.routerID)
	}
	e.PrependCluster(r.t.ClusterID)
}

// external is what changes towards external peers.
func (r *rules) external(src from, did chosen) {
	e := &r.edit
	e.Remove(wire.AttrLocalPref)    // RFC 4271 5.1.5
	e.Remove(wire.AttrOriginatorID) // RFC 4456 8
	e.Remove(wire.AttrClusterList)
	e.Remove(wire.AttrAIGP)               // RFC 7311 3.2
	e.Remove(wire.AttrTrafficEngineering) // not transitive
	if !src.local && did&choseMED == 0 {
		// A MED goes to the neighbour that it was set for, not past it (RFC
		// 4271 5.1.4), unless export policy has set it.
		e.Remove(wire.AttrMED)
	}
	e.RemoveNonTransitiveExt() // RFC 4360 6
	e.RemoveConfederation()    // RFC 5065 5.3
	if r.t.RemovePrivateAS {
		e.RemovePrivateAS()
	}
	if r.t.GlobalAS != r.t.AS && !r.t.ReplaceAS {
		e.Prepend(r.t.GlobalAS, 1)
	}
	e.Prepend(r.t.AS, 1) // RFC 4271 5.1.2
}

// nextHop sets the next hop. It is false where the peer could make nothing of
// any.
func (r *rules) nextHop(f wire.Family, src from, did chosen) bool {
	hop, _ := r.edit.Get(wire.AttrNextHop)
	ours, mine := false, f.SAFI() != wire.IPv4FlowSpec.SAFI() && f.SAFI() != wire.IPv4FlowSpecVPN.SAFI() && f != wire.LS
	switch {
	case did&choseHop != 0:
	case r.t.NextHop == NextHopSelf:
		ours = mine
	case src.local: // what is originated here may name another, towards any peer
		if ours = mine && unset(hop); !ours && f.Form() != wire.FormRaw {
			return r.givenHop(f, hop)
		}
	case r.t.NextHop == NextHopUnchanged || r.t.RSClient || r.t.Internal:
	case f.Form() == wire.FormPrefix:
		ours = true
	}
	if f.Form() == wire.FormRaw && !ours {
		return true
	}
	if !ours && r.keepsHop(f, hop) {
		return true
	}
	if !ours && f.Form() != wire.FormPrefix {
		return false // its labels are of the router that is its next hop
	}
	return r.ownHop(f)
}

// givenHop leaves the next hop that somebody gave to a route as it is, a
// link-local address beside it too. It is false where the session has no place
// for such a one: our own instead would bring the traffic here.
func (r *rules) givenHop(f wire.Family, hop []byte) bool {
	if len(hop) == 4 {
		return f.Is4()
	}
	return !f.Is4() || r.t.ExtendedNextHop.Has(f)
}

func unset(hop []byte) bool {
	for _, b := range hop {
		if b != 0 {
			return false
		}
	}
	return true
}

// keepsHop leaves a next hop as it is where the peer can use it. A link-local
// address means nothing behind the link that it came by (RFC 2545 3).
func (r *rules) keepsHop(f wire.Family, hop []byte) bool {
	switch len(hop) {
	case 4:
		// IPv6 routes of other kinds than plain ones have mapped next hops.
		return f.Is4()
	case 16, 32:
		if f.Is4() && !r.t.ExtendedNextHop.Has(f) {
			return false
		}
		a := netip.AddrFrom16([16]byte(hop[:16]))
		if a.IsLinkLocalUnicast() {
			return false
		}
		if len(hop) == 32 {
			r.edit.SetNextHop(a, netip.Addr{})
		}
		return true
	}
	return false
}

// ownHop sets our own address.
func (r *rules) ownHop(f wire.Family) bool {
	t := r.t
	extended := t.NextHop6.Is6() && t.ExtendedNextHop.Has(f)
	switch {
	case f.Is4() && t.NextHop4.Is4() && !(extended && t.Over6):
		r.edit.SetNextHop(t.NextHop4, netip.Addr{})
	case f.Is4() && extended:
		r.edit.SetNextHop(t.NextHop6, r.linkLocal())
	case f.Is4():
		return false
	case t.NextHop6.Is6():
		r.edit.SetNextHop(t.NextHop6, r.linkLocal())
	case t.NextHop4.Is4():
		r.edit.SetNextHop(netip.AddrFrom16(t.NextHop4.As16()), netip.Addr{})
	default:
		return false
	}
	return true
}

// linkLocal goes beside a global address only where the peer is on the link
// (RFC 2545 3): Target has it there.
func (r *rules) linkLocal() netip.Addr {
	if r.t.Internal || r.t.LinkLocal == r.t.NextHop6 {
		return netip.Addr{}
	}
	return r.t.LinkLocal
}
