package ribd

import (
	"bytes"
	"fmt"
	"net/netip"

	"ribd/wire"
	"ribd/wire/flowspec"
)

// DecodeUpdates takes UPDATE messages apart that lie one after the other, as
// Encode returns them. What it returns is its own and holds nothing of b.
//
// A message is one Update, or two where it announces IPv4 routes beside others:
// their next hops differ (RFC 4760 section 3). One that is malformed in a way
// that RFC 7606 lets pass is told in Update.Malformed. The error is that of a
// message that nothing can be made of: its session would be reset. The updates
// before it are returned.
func DecodeUpdates(b []byte, o MessageOptions) ([]Update, error) {
	s := wire.Session{AS4: !o.TwoOctetAS, Extended: o.Extended}
	for _, f := range o.AddPath {
		s.AddPath = s.AddPath.With(f)
	}
	var all []Update
	for at := 0; at < len(b); {
		typ, n, e := wire.ParseHeader(b[at:], &s)
		if e != nil {
			return all, fmt.Errorf("ribd: message at octet %d: %w", at, e)
		}
		if n > len(b)-at {
			return all, fmt.Errorf("ribd: message at octet %d: it has %d octets, %d are there", at, n, len(b)-at)
		}
		if typ != wire.MsgUpdate {
			return all, fmt.Errorf("ribd: message at octet %d: not an UPDATE, but of type %d", at, typ)
		}
		us, err := decodeUpdate(b[at:at+n], &s)
		if err != nil {
			return all, fmt.Errorf("ribd: message at octet %d: %w", at, err)
		}
		all = append(all, us...)
		at += n
	}
	return all, nil
}

func decodeUpdate(msg []byte, s *wire.Session) ([]Update, error) {
	var w wire.Update
	if err := w.Parse(msg, s); err != nil && err.Action >= wire.SessionReset {
		return nil, err
	}
	if f, ok := w.EndOfRIB(); ok {
		return []Update{{EndOfRIB: f}}, nil
	}
	var u, reach Update
	bad := w.Err()
	u.Withdraw = decodeNLRI4(u.Withdraw, w.Withdrawn4())
	if m, ok := w.Unreach(); ok {
		routes, err := decodeMP(m, true)
		u.Withdraw, bad = append(u.Withdraw, routes...), worse(bad, err)
	}
	u.Announce = decodeNLRI4(nil, w.NLRI4())
	if len(u.Announce) != 0 {
		u.Attributes = decodeAttributes(bytes.Clone(w.Attributes(nil)))
	}
	if m, ok := w.Reach(); ok {
		routes, err := decodeMP(m, false)
		reach.Announce, bad = routes, worse(bad, err)
		attrs := bytes.Clone(w.ReachAttributes(nil))
		if flowspec.Is(m.Family) {
			bad = worse(bad, flowspec.CheckActions(attrs))
		}
		reach.Attributes = decodeAttributes(attrs)
	}
	if bad != nil && bad.Action >= wire.TreatAsWithdraw {
		u.Withdraw = append(append(u.Withdraw, u.Announce...), reach.Announce...)
		return []Update{{Withdraw: u.Withdraw, Malformed: bad}}, nil
	}
	u.Malformed, reach.Malformed = bad, bad
	switch {
	case len(reach.Announce) == 0:
		return []Update{u}, nil
	case len(u.Announce) == 0:
		reach.Withdraw = u.Withdraw
		return []Update{reach}, nil
	}
	return []Update{u, reach}, nil
}

// worse returns the error that asks for more.
func worse(a, b *MalformedError) *MalformedError {
	if a == nil || b != nil && b.Action > a.Action {
		return b
	}
	return a
}

func decodeNLRI4(dst []NLRI, w wire.NLRI4) []NLRI {
	for w.Next() {
		dst = append(dst, NLRI{Family: IPv4Unicast, Prefix: w.Prefix(), PathID: w.PathID()})
	}
	return dst
}

// decodeMP returns the routes of a multiprotocol attribute. Parse has checked
// all but the inside of Flow Spec rules, which the error is about.
func decodeMP(m wire.MP, withdrawn bool) (routes []NLRI, bad *MalformedError) {
	f := m.Family
	add := func(p netip.Prefix, id uint32) *NLRI {
		routes = append(routes, NLRI{Family: f, Prefix: p, PathID: id})
		return &routes[len(routes)-1]
	}
	switch f.Form() {
	case wire.FormPrefix:
		if f.Is4() {
			for w := m.NLRI4(); w.Next(); {
				add(w.Prefix(), w.PathID())
			}
			break
		}
		for w := m.NLRI6(); w.Next(); {
			add(w.Prefix(), w.PathID())
		}
	case wire.FormLabelled, wire.FormVPN:
		for w := m.Labelled(); w.Next(); {
			n := add(w.Prefix(), w.PathID())
			if n.RD = w.RD(); !withdrawn {
				n.Labels = decodeLabels(w.Labels())
			}
		}
	default:
		for w := m.Raw(); w.Next(); {
			n := add(netip.Prefix{}, w.PathID())
			n.Raw = bytes.Clone(w.Bytes())
			if !flowspec.Is(f) {
				continue
			}
			if _, err := flowspec.Canonical(nil, f, n.Raw); err != nil {
				at := w.Off()
				err.Off, err.Start, err.End = err.Off+at, err.Start+at, err.End+at
				bad = worse(bad, err)
			}
		}
	}
	return routes, bad
}

// decodeLabels reads a stack of labels.
func decodeLabels(b []byte) []uint32 {
	var labels []uint32
	for ; len(b) >= 3; b = b[3:] {
		labels = append(labels, uint32(b[0])<<12|uint32(b[1])<<4|uint32(b[2])>>4)
	}
	return labels
}
