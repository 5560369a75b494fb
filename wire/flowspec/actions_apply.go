package flowspec

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net/netip"

	"ribd/wire"
)

// Apply writes the actions into attributes, in place of those that are there;
// other extended communities stay, before them. The next hop changes with form:
// RedirectNextHop sets it to where a redirect goes, and one that was such a
// target is taken out where it is none any more. The error says which action
// cannot be written; e is unchanged then.
func (a *Actions) Apply(e *wire.AttrEditor, form RedirectForm) error {
	if err := a.check(); err != nil {
		return err
	}
	old, _ := e.Get(wire.AttrExtCommunities)
	b, wasHop := make([]byte, 0, len(old)+48), RedirectsToHop(old)
	for ; len(old) >= 8; old = old[8:] {
		if !isAction(binary.BigEndian.Uint16(old)) {
			b = append(b, old[:8]...)
		}
	}
	old, _ = e.Get(wire.AttrIPv6ExtCommunities)
	var b6 []byte
	for ; len(old) >= 20; old = old[20:] {
		if !isAction6(binary.BigEndian.Uint16(old)) {
			b6 = append(b6, old[:20]...)
		}
	}
	b, b6 = a.append(b, b6, form)
	setOrRemove(e, wire.AttrExtCommunities, b)
	setOrRemove(e, wire.AttrIPv6ExtCommunities, b6)
	switch r := a.Redirect; {
	case r != nil && r.Kind == RedirectIP && form == RedirectNextHop:
		e.SetNextHop(r.Addr, netip.Addr{})
	case wasHop && !RedirectsToHop(b):
		e.Remove(wire.AttrNextHop)
	}
	return nil
}

// RedirectsToHop is true where one of the extended communities makes the next hop
// a target. Without one rules are sent without a next hop (RFC 8955 section 4).
func RedirectsToHop(v []byte) bool {
	for ; len(v) >= 8; v = v[8:] {
		if binary.BigEndian.Uint16(v) == extRedirectHop {
			return true
		}
	}
	return false
}

func setOrRemove(e *wire.AttrEditor, t wire.AttrType, v []byte) {
	if len(v) == 0 {
		e.Remove(t)
		return
	}
	e.Set(t, v)
}

// check says what of the actions no community can hold.
func (a *Actions) check() error {
	for _, r := range []*float32{a.RateBytes, a.RatePackets} {
		if r != nil && (!finite(*r) || *r < 0) {
			return fmt.Errorf("flowspec: a rate of %v: not a number from 0 on (RFC 8955 7.1)", *r)
		}
	}
	if a.MarkDSCP != nil && *a.MarkDSCP > 63 {
		return fmt.Errorf("flowspec: DSCP %d is over 63", *a.MarkDSCP)
	}
	if r := a.Redirect; r != nil {
		switch {
		case r.Kind == RedirectIP && !r.Addr.IsValid():
			return errors.New("flowspec: redirect to no address")
		case r.Kind == RedirectIP && r.Addr.IsUnspecified():
			return fmt.Errorf("flowspec: redirect to %v, which is the address of none", r.Addr)
		case r.Kind == RedirectIP && r.Addr.Zone() != "":
			return fmt.Errorf("flowspec: redirect to %v: an address with a zone means nothing elsewhere", r.Addr)
		case r.Kind == RedirectRT && !isRT(r.RT):
			return fmt.Errorf("flowspec: redirect to %x: not a route target", r.RT)
		}
	}
	for _, u := range a.Unknown {
		if len(u) != 8 && len(u) != 20 {
			return fmt.Errorf("flowspec: an extended community has 8 or 20 octets, not %d", len(u))
		}
	}
	return nil
}

func isRT(b []byte) bool {
	return len(b) == 8 && b[0] <= 2 && b[1] == 2 || len(b) == 20 && b[0] == 0 && b[1] == 2
}

// append writes the communities of 8 and of 20 octets, in the order of the
// fields.
func (a *Actions) append(b, b6 []byte, form RedirectForm) (b8, b20 []byte) {
	rate := func(t uint16, r *float32, as uint16) {
		if r != nil {
			b = binary.BigEndian.AppendUint16(b, t)
			b = binary.BigEndian.AppendUint16(b, as)
			b = binary.BigEndian.AppendUint32(b, math.Float32bits(*r+0)) // no negative zero
		}
	}
	flag := func(on bool, bit byte) byte {
		if on {
			return bit
		}
		return 0
	}
	rate(extRateBytes, a.RateBytes, a.RateBytesAS)
	rate(extRatePackets, a.RatePackets, a.RatePacketsAS)
	if a.HasTrafficAction || a.Sample || a.GoOn {
		b = append(b, 0x80, 0x07, 0, 0, 0, 0, 0, flag(a.GoOn, 1)|flag(a.Sample, 2))
	}
	if r := a.Redirect; r != nil {
		to, c := r.Addr, flag(r.Copy, 1)
		switch {
		case r.Kind == RedirectRT && len(r.RT) == 20:
			b6 = append(append(b6, 0x00, 0x0d), r.RT[2:]...)
		case r.Kind == RedirectRT:
			b = append(append(b, 0x80|r.RT[0], 0x08), r.RT[2:]...)
		case form == RedirectNextHop:
			b = append(b, 0x08, 0x00, 0, 0, 0, 0, 0, c)
		case to.Is4():
			b = append(append(b, 0x01, 0x0c), to.AsSlice()...)
			b = append(b, 0, c)
		default:
			b6 = append(append(b6, 0x00, 0x0c), to.AsSlice()...)
			b6 = append(b6, 0, c)
		}
	}
	if a.MarkDSCP != nil {
		b = append(b, 0x80, 0x09, 0, 0, 0, 0, 0, *a.MarkDSCP)
	}
	for _, u := range a.Unknown {
		if len(u) == 8 {
			b = append(b, u...)
			clean(b[len(b)-8:])
		} else {
			b6 = append(b6, u...)
		}
	}
	return b, b6
}
