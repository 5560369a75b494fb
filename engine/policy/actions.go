package policy

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"ribd/engine/config"
	"ribd/shard/rib"
	"ribd/wire"
)

// actions is what a term changes.
type actions struct {
	localPref, med *uint32
	nextHop        netip.Addr

	removeComm  []wire.CommunityMatch
	removeLarge []wire.LargeMatch
	removeExt   []wire.ExtMatch
	addComm     []uint32
	addLarge    [][12]byte
	addExt      []uint64

	prependAS    uint32
	prependTimes int
}

// newActions returns what a term changes, nil for nothing.
func newActions(a *config.Actions) *actions {
	out := &actions{
		localPref: a.LocalPref, med: a.MED, nextHop: a.NextHop,
		removeComm: a.RemoveCommunities, removeLarge: a.RemoveLarge, removeExt: a.RemoveExtended,
		prependAS: a.PrependAS, prependTimes: int(a.PrependTimes),
	}
	for _, m := range a.AddCommunities {
		if v, ok := m.Value(); ok {
			out.addComm = append(out.addComm, v)
		}
	}
	for i := range a.AddLarge {
		if v, ok := a.AddLarge[i].Value(); ok {
			out.addLarge = append(out.addLarge, v)
		}
	}
	for i := range a.AddExtended {
		if v, ok := a.AddExtended[i].Value(); ok {
			out.addExt = append(out.addExt, v)
		}
	}
	if out.localPref == nil && out.med == nil && !out.nextHop.IsValid() && out.prependTimes == 0 &&
		len(out.removeComm)+len(out.removeLarge)+len(out.removeExt)+len(out.addComm)+len(out.addLarge)+len(out.addExt) == 0 {
		return nil
	}
	return out
}

// The ways for a change to fail.
var (
	errTooLong = errors.New("an attribute would be over 65,535 octets long")
	errNoRoom  = errors.New("no room for another attribute set")
)

// apply changes the set that r has, and interns what comes of it. Communities are
// removed before others are added; what is prepended comes last.
func (a *actions) apply(r *route) (rib.AttrID, error) {
	r.load()
	e := &r.editor
	e.Start(r.canonical)
	a.edit(e)
	return r.intern()
}

func (a *actions) edit(e *wire.AttrEditor) {
	if a.localPref != nil {
		e.SetUint32(wire.AttrLocalPref, *a.localPref)
	}
	if a.med != nil {
		e.SetUint32(wire.AttrMED, *a.med)
	}
	if a.nextHop.IsValid() {
		// Only in the place of one of the same address family: an IPv4 next
		// hop means nothing to an IPv6 route.
		if was, _ := e.NextHop(); was.IsValid() && was.Is4() == a.nextHop.Is4() {
			e.SetNextHop(a.nextHop, netip.Addr{})
		}
	}
	if len(a.removeComm) > 0 {
		e.RemoveCommunities(a.removeComm)
	}
	if len(a.removeLarge) > 0 {
		e.RemoveLargeCommunities(a.removeLarge)
	}
	if len(a.removeExt) > 0 {
		e.RemoveExtCommunities(a.removeExt)
	}
	if len(a.addComm) > 0 {
		e.AddCommunities(a.addComm)
	}
	if len(a.addLarge) > 0 {
		e.AddLargeCommunities(a.addLarge)
	}
	if len(a.addExt) > 0 {
		e.AddExtCommunities(a.addExt)
	}
	if a.prependTimes > 0 {
		e.Prepend(a.prependAS, a.prependTimes)
	}
}

// intern returns the id of what the editor has, that of the set itself where
// nothing changed.
func (r *route) intern() (rib.AttrID, error) {
	if r.editor.TooLong() {
		return 0, errTooLong
	}
	if !r.editor.Changed() {
		return r.id, nil
	}
	r.buf = r.editor.Append(r.buf[:0])
	id, ok := r.attrs.Intern(r.buf)
	if !ok {
		return 0, errNoRoom
	}
	return id, nil
}

// appendDigest appends octets that are equal for equal changes.
func (a *actions) appendDigest(dst []byte) []byte {
	if a == nil {
		return append(dst, 0)
	}
	be := binary.BigEndian
	optional := func(v *uint32) {
		if v == nil {
			dst = append(dst, 0)
			return
		}
		dst = be.AppendUint32(append(dst, 1), *v)
	}
	optional(a.localPref)
	optional(a.med)
	dst = append(dst, a.nextHop.String()...)
	for _, m := range a.removeComm {
		dst = append(append(dst, '-'), m.String()...)
	}
	for i := range a.removeLarge {
		dst = append(append(dst, '-'), a.removeLarge[i].String()...)
	}
	for i := range a.removeExt {
		dst = fmt.Appendf(dst, "-%v", a.removeExt[i])
	}
	for _, v := range a.addComm {
		dst = be.AppendUint32(append(dst, '+'), v)
	}
	for _, v := range a.addLarge {
		dst = append(append(dst, '+'), v[:]...)
	}
	for _, v := range a.addExt {
		dst = be.AppendUint64(append(dst, '+'), v)
	}
	dst = be.AppendUint32(dst, a.prependAS)
	return append(dst, byte(a.prependTimes))
}
