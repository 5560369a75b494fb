package ribd

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"ribd/wire"
	"ribd/wire/flowspec"
)

// MessageOptions say what the two ends of a session agreed on, as far as it
// changes the octets of its messages. The zero value is a session with 4-octet
// AS numbers and nothing else.
type MessageOptions struct {
	// TwoOctetAS: one end did not send the 4-octet AS capability (RFC 6793).
	TwoOctetAS bool
	// AddPath are the families whose routes have path ids (RFC 7911).
	AddPath []Family
	// Extended: messages may have up to 65,535 octets (RFC 8654), not 4,096.
	Extended bool
}

// NLRI names a route in an UPDATE. It is a prefix, for a VPN family one with a
// route distinguisher, or for a family without prefixes the octets of Raw.
type NLRI struct {
	// Family is the unicast family of the prefix where it is 0.
	Family Family
	Prefix netip.Prefix
	// Labels are of labelled unicast and VPN routes, without bits; a withdrawal
	// has none (RFC 8277).
	Labels []uint32
	// RD is the route distinguisher of a VPN route (RFC 4364).
	RD uint64
	// Raw is the NLRI of Flow Spec, EVPN and other families, with its own length
	// and type octets. FlowRule.NLRI makes one.
	Raw []byte
	// PathID counts in the families of MessageOptions.AddPath.
	PathID uint32
}

// family returns Family, or that of the prefix.
func (n *NLRI) family() Family {
	switch {
	case n.Family != 0:
		return n.Family
	case n.Prefix.Addr().Is4():
		return IPv4Unicast
	}
	return IPv6Unicast
}

// Update is what an UPDATE says (RFC 4271 section 4.3, RFC 4760).
type Update struct {
	// Withdraw are the routes that are taken back.
	Withdraw []NLRI
	// Announce are the routes that Attributes belong to.
	Announce   []NLRI
	Attributes Attributes
	// EndOfRIB is the family whose initial transfer is over (RFC 4724 section 2);
	// 0 for an Update that is no such marker.
	EndOfRIB Family
	// Malformed is what was wrong with a message that was decoded, nil where
	// nothing was. The Update is then what RFC 7606 makes of it: without the
	// attribute in question, or with the announced routes in Withdraw.
	Malformed *MalformedError
}

// MalformedError says which octet of a message is malformed, by which RFC, and
// what that RFC asks of the receiver.
type MalformedError = wire.Error

// Encode returns the update as messages, one after the other, as few as hold
// it; several where there are routes of several families, or too many for one.
// Withdrawals come first. Whatever the families, the next hop is in
// Attributes.NextHop: all need one (RFC 4271 section 5.1.3) but Flow Spec, whose
// messages have one only where a rule is redirected to it (RFC 8955 section 4).
//
// The error says which route or attribute cannot be written.
func (u *Update) Encode(o MessageOptions) ([]byte, error) {
	var addPath wire.FamilySet
	for _, f := range o.AddPath {
		addPath = addPath.With(f)
	}
	e := wire.NewEncoder(wire.SendOptions{AS4: !o.TwoOctetAS, Extended: o.Extended, AddPath: addPath})
	if u.EndOfRIB != 0 {
		if len(u.Withdraw) != 0 || len(u.Announce) != 0 {
			return nil, errors.New("ribd: an End-of-RIB marker has no routes")
		}
		return wire.AppendEndOfRIB(nil, u.EndOfRIB), nil
	}
	if len(u.Withdraw) == 0 && len(u.Announce) == 0 {
		return nil, errors.New("ribd: an update without a route")
	}
	for f, routes := range byFamily(u.Withdraw) {
		e.Withdraw(f)
		if err := encodeRoutes(e, f, routes); err != nil {
			return nil, err
		}
	}
	if len(u.Announce) == 0 {
		return e.Flush(), nil
	}
	attrs, err := u.Attributes.Encode()
	if err != nil {
		return nil, err
	}
	for f, routes := range byFamily(u.Announce) {
		if err := u.Attributes.fits(f); err != nil {
			return nil, err
		}
		of := attrs
		if v, _ := wire.FindAttr(attrs, wire.AttrExtCommunities); flowspec.Is(f) && !flowspec.RedirectsToHop(v) {
			of = without(attrs, wire.AttrNextHop)
		}
		if err := e.Announce(f, of); err != nil {
			return nil, errors.New("ribd: the attributes leave no room for a route in a message")
		}
		if err := encodeRoutes(e, f, routes); err != nil {
			return nil, err
		}
	}
	return e.Flush(), nil
}

// byFamily ranges over the families of the routes in the order that they come
// in, each with its routes.
func byFamily(routes []NLRI) func(yield func(Family, []*NLRI) bool) {
	var order []Family
	of := map[Family][]*NLRI{}
	for i := range routes {
		f := routes[i].family()
		if _, ok := of[f]; !ok {
			order = append(order, f)
		}
		of[f] = append(of[f], &routes[i])
	}
	return func(yield func(Family, []*NLRI) bool) {
		for _, f := range order {
			if !yield(f, of[f]) {
				return
			}
		}
	}
}

func encodeRoutes(e *wire.Encoder, f Family, routes []*NLRI) error {
	for _, n := range routes {
		if err := n.encode(e, f); err != nil {
			return fmt.Errorf("ribd: %w", err)
		}
	}
	return nil
}

// encode adds the route to the message that e has open.
func (n *NLRI) encode(e *wire.Encoder, f Family) error {
	form := f.Form()
	if form == wire.FormRaw {
		return n.encodeRaw(e, f)
	}
	p := n.Prefix
	switch {
	case len(n.Raw) != 0:
		return fmt.Errorf("%v: routes of %v are prefixes, and have no Raw", p, f)
	case !p.IsValid():
		return fmt.Errorf("a route of %v without a prefix", f)
	case p.Addr().Is4() != f.Is4():
		return fmt.Errorf("%v is not of %v", p, f)
	case p != p.Masked():
		return fmt.Errorf("%v has bits behind its length, meant is %v", p, p.Masked())
	case n.RD != 0 && form != wire.FormVPN:
		return fmt.Errorf("%v: routes of %v have no route distinguisher", p, f)
	case len(n.Labels) != 0 && form == wire.FormPrefix:
		return fmt.Errorf("%v: routes of %v have no labels", p, f)
	}
	var hi, lo uint64
	if a := p.Addr(); a.Is4() {
		b := a.As4()
		hi = uint64(binary.BigEndian.Uint32(b[:])) << 32
	} else {
		b := a.As16()
		hi, lo = binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])
	}
	bits := uint8(p.Bits())
	switch {
	case form == wire.FormPrefix && f.Is4():
		e.Route4(uint32(hi>>32), bits, n.PathID)
	case form == wire.FormPrefix:
		e.Route6(hi, lo, bits, n.PathID)
	default:
		labels, err := encodeLabels(n.Labels)
		if err != nil {
			return fmt.Errorf("%v: %w", p, err)
		}
		if !e.RouteLabelled(n.RD, labels, hi, lo, bits, n.PathID) {
			return fmt.Errorf("%v: too many labels", p)
		}
	}
	return nil
}

func (n *NLRI) encodeRaw(e *wire.Encoder, f Family) error {
	raw := n.Raw
	switch {
	case len(raw) == 0:
		return fmt.Errorf("a route of %v without Raw", f)
	case n.Prefix.IsValid() || n.RD != 0 || len(n.Labels) != 0:
		return fmt.Errorf("routes of %v have Raw alone", f)
	case flowspec.Is(f):
		b, err := flowspec.Canonical(nil, f, raw)
		if err != nil {
			return fmt.Errorf("%v %x: %w", f, raw, err)
		}
		raw = b
	default:
		w := wire.NewNLRIRaw(raw, 0, f, false)
		if !w.Next() || len(w.Bytes()) != len(raw) {
			return fmt.Errorf("%v %x: not one NLRI with its length", f, raw)
		}
	}
	if !e.RouteRaw(raw, n.PathID) {
		return fmt.Errorf("%v: an NLRI of %d octets does not fit into a message", f, len(raw))
	}
	return nil
}

// encodeLabels writes a stack of labels, three octets each, the last one marked
// (RFC 3032 section 2.1).
func encodeLabels(labels []uint32) ([]byte, error) {
	var b []byte
	for i, l := range labels {
		if l > 0xfffff {
			return nil, fmt.Errorf("label %d is over 1048575", l)
		}
		last := byte(0)
		if i == len(labels)-1 {
			last = 1
		}
		b = append(b, byte(l>>12), byte(l>>4), byte(l<<4)|last)
	}
	return b, nil
}

// fits says whether routes of a family can have the next hop.
func (a *Attributes) fits(f Family) error {
	switch hop := a.NextHop; {
	case !hop.IsValid() && flowspec.Is(f):
		return nil
	case !hop.IsValid():
		return fmt.Errorf("ribd: routes of %v need a next hop (RFC 4271 5.1.3)", f)
	case hop.Is4() && f.AFI() == IPv6Unicast.AFI() && f.Form() != wire.FormRaw:
		return fmt.Errorf("ribd: routes of %v need an IPv6 next hop, not %v (RFC 2545 3)", f, hop)
	}
	return nil
}
