package policy

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"ribd/engine/config"
	"ribd/shard/rib"
	"ribd/wire"
	"ribd/wire/flowspec"
)

// Checks is what is asked of the routes of a live session before any policy.
// What else the checks need (external or internal, AS number and role of the
// peer) is in its PeerFacts.
type Checks struct {
	// LocalAS holds the AS numbers that are ours: the router's and, where there
	// is one, that which the peer sees. AllowOwnAS is how often they may stand
	// in an AS_PATH.
	LocalAS    []uint32
	AllowOwnAS uint8
	// Prepend is put before the AS_PATH of what an external peer sends that
	// passes: the AS number that it sees us as, where that is not the router's
	// (RFC 7705 section 3.1). 0: none.
	Prepend uint32
	// RouterID and ClusterID are ours; 0 is not checked.
	RouterID, ClusterID uint32
	// EnforceFirstAS: the first AS of an external peer's path is its own. It is
	// not asked of a route server, which a peer is whose role is rs, nor of Flow
	// Spec rules, whose first AS has to be that of the unicast route instead: that is
	// part of their validation (RFC 9117 section 4.2).
	EnforceFirstAS bool
	// RejectASSets refuses paths with AS_SETs (RFC 9774).
	RejectASSets bool
	// Own holds addresses of ours: a next hop is none of them.
	Own []netip.Addr
	// Loopback: the session runs over loopback addresses, so that next hops may
	// be loopback addresses as well.
	Loopback bool
}

// gracefulShutdown is the community GRACEFUL_SHUTDOWN (RFC 8326).
const gracefulShutdown = 0xffff0000

// checker carries the checks out for one peer.
type checker struct {
	Checks
	attrs    *rib.Attrs
	external bool
	as       uint32
	role     config.SessionRole // ours
	own      [2]uint64          // the first two of LocalAS, or what is no AS number
	near     memo               // of sets whose routes are judged
	far      *memo              // of sets that are changed
}

func newChecker(attrs *rib.Attrs, peer *PeerFacts, c Checks, room *memoRoom) *checker {
	c.LocalAS, c.Own = slices.Clone(c.LocalAS), slices.Clone(c.Own)
	if peer.Role == config.RoleRSClient {
		c.EnforceFirstAS = false
	}
	k := &checker{Checks: c, attrs: attrs, external: !peer.Internal, as: peer.ASN, far: newFar(room)}
	for i := range k.own {
		k.own[i] = 1 << 32
		if i < len(c.LocalAS) {
			k.own[i] = uint64(c.LocalAS[i])
		}
	}
	if k.external {
		k.role = peer.Role // RFC 9234 section 5 is about eBGP
	}
	return k
}

// findings is what a set has that checks ask for.
type findings struct {
	own      int    // how often our AS numbers stand in the path
	sets     bool   // there is an AS_SET or AS_CONFED_SET
	first    uint32 // the first AS of the path
	hasFirst bool
	nextHop  []byte
	loop     rib.FilterReason // of originator or cluster
	shutdown bool             // GRACEFUL_SHUTDOWN
	otc      uint32
	hasOTC   bool
}

// look finds what checks ask for in a canonical set.
func (k *checker) look(canonical []byte) (f findings) {
	for w := wire.WalkAttributes(canonical); w.Next(); {
		v := w.Value()
		switch w.Type() {
		case wire.AttrASPath:
			k.lookAtPath(v, &f)
		case wire.AttrNextHop:
			f.nextHop = v
		case wire.AttrCommunities:
			for k.external && len(v) >= 4 {
				f.shutdown = f.shutdown || binary.BigEndian.Uint32(v) == gracefulShutdown
				v = v[4:]
			}
		case wire.AttrOriginatorID:
			if len(v) == 4 && k.RouterID != 0 && binary.BigEndian.Uint32(v) == k.RouterID {
				f.loop = rib.FilterOriginatorLoop
			}
		case wire.AttrClusterList:
			for ; len(v) >= 4; v = v[4:] {
				if k.ClusterID != 0 && binary.BigEndian.Uint32(v) == k.ClusterID && f.loop == rib.FilterNone {
					f.loop = rib.FilterClusterLoop
				}
			}
		case wire.AttrOTC:
			if len(v) == 4 {
				f.otc, f.hasOTC = binary.BigEndian.Uint32(v), true
			}
		}
	}
	return f
}

// lookAtPath finds it all in one pass: this is asked of every set.
func (k *checker) lookAtPath(v []byte, f *findings) {
	begun := false // past what says which AS is the first
	for len(v) >= 2 {
		typ, end := wire.SegmentType(v[0]), 2+4*int(v[1])
		if end > len(v) {
			return
		}
		seg := v[2:end]
		v = v[end:]
		switch {
		case typ == wire.SegSet || typ == wire.SegConfedSet:
			f.sets = true
			begun = begun || typ == wire.SegSet
		case typ == wire.SegSequence && !begun && len(seg) > 0:
			f.first, f.hasFirst, begun = binary.BigEndian.Uint32(seg), true, true
		}
		for ; len(seg) >= 4; seg = seg[4:] {
			as := binary.BigEndian.Uint32(seg)
			if uint64(as) == k.own[0] || uint64(as) == k.own[1] || len(k.LocalAS) > 2 && slices.Contains(k.LocalAS, as) {
				f.own++
			}
		}
	}
}

// check judges a set. It returns the set to go on with, which is another where
// OTC was added, GRACEFUL_SHUTDOWN honoured or our AS prepended, or why its
// routes are refused.
func (k *checker) check(f wire.Family, id rib.AttrID) (rib.AttrID, rib.FilterReason) {
	canonical, ok := k.attrs.Bytes(id)
	if !ok {
		return id, rib.FilterMalformed
	}
	found := k.look(canonical)
	if why := k.refuse(f, &found); why != rib.FilterNone {
		return id, why
	}
	addOTC := !found.hasOTC && unicast(f) &&
		(k.role == config.RoleCustomer || k.role == config.RoleRSClient || k.role == config.RolePeer)
	if !addOTC && !found.shutdown && (k.Prepend == 0 || !k.external) {
		return id, rib.FilterNone
	}
	return k.change(canonical, id, addOTC, found.shutdown)
}

// checkRoute is check for one of the routes of a set: what came of it is
// remembered.
func (k *checker) checkRoute(f wire.Family, id rib.AttrID) (rib.AttrID, rib.FilterReason) {
	generation, key := k.attrs.Generation(), uint64(id)|1<<33
	if unicast(f) {
		key |= 1 << 34
	}
	if f.Form() == wire.FormRaw {
		key |= 1 << 35
	}
	if flowspec.Is(f) {
		key |= 1 << 36
	}
	if o, ok := k.near.get(generation, key); ok {
		return outcome(o).id(), rib.FilterReason(outcome(o).term())
	}
	changed, why := k.check(f, id)
	k.near.put(generation, key, uint64(makeOutcome(accepted, int(why), 0, changed)))
	return changed, why
}

// refuse goes through the checks in order; the first that fails is the reason.
func (k *checker) refuse(f wire.Family, found *findings) rib.FilterReason {
	switch {
	case found.own > int(k.AllowOwnAS):
		return rib.FilterASLoop
	case found.loop != rib.FilterNone:
		return found.loop
	case k.external && k.EnforceFirstAS && !flowspec.Is(f) && (!found.hasFirst || found.first != k.as):
		return rib.FilterFirstAS
	case k.RejectASSets && found.sets:
		return rib.FilterASSet
	case found.hasOTC && unicast(f) && k.leaks(found.otc):
		return rib.FilterOTC
	case f.Form() != wire.FormRaw && k.badNextHop(found.nextHop):
		return rib.FilterNextHop
	}
	return rib.FilterNone
}

// leaks is RFC 9234 section 5: a customer or a client of a route server sends no
// route that is for customers only, a peer none but its own.
func (k *checker) leaks(otc uint32) bool {
	switch k.role {
	case config.RoleProvider, config.RoleRS:
		return true
	case config.RolePeer:
		return otc != k.as
	}
	return false
}

// unicast says whether RFC 9234 is about a family.
func unicast(f wire.Family) bool { return f == wire.IPv4Unicast || f == wire.IPv6Unicast }

// badNextHop says whether a next hop can't be one: none, zero, a martian or our
// own. Every other one counts as reachable.
func (k *checker) badNextHop(v []byte) bool {
	a, ok := nextHopAddr(v)
	if !ok {
		return true
	}
	if slices.Contains(k.Own, a) {
		return true
	}
	a = a.Unmap()
	if a.IsLoopback() {
		return !k.Loopback
	}
	if a.Is4() {
		b := a.As4()
		return b[0] == 0 || b[0] >= 224 // this network (RFC 1122), multicast, class E and broadcast
	}
	return a.IsUnspecified() || a.IsMulticast()
}

// change makes the set that others go on with. Its own outcome is remembered:
// with a role of customer that is every set of the peer.
func (k *checker) change(canonical []byte, id rib.AttrID, addOTC, shutdown bool) (rib.AttrID, rib.FilterReason) {
	generation, key := k.attrs.Generation(), uint64(id)
	if addOTC {
		key |= 1 << 32
	}
	if o, ok := k.far.get(generation, key); ok {
		return outcome(o).id(), rib.FilterNone
	}
	r := getRoute(k.attrs, nobody, nobody, 0)
	defer r.release()
	r.id = id
	e := &r.editor
	e.Start(canonical)
	if addOTC {
		e.SetUint32(wire.AttrOTC, k.as)
	}
	if shutdown {
		e.SetUint32(wire.AttrLocalPref, 0)
	}
	if k.Prepend != 0 && k.external {
		e.Prepend(k.Prepend, 1)
	}
	changed, err := r.intern()
	if err != nil {
		return id, rib.FilterPolicy // no room: better refused than leaked
	}
	k.far.put(generation, key, uint64(makeOutcome(accepted, 0, 0, changed)))
	return changed, rib.FilterNone
}
