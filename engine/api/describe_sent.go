package api

import (
	"encoding/hex"
	"fmt"
	"net/netip"

	"ribd/wire"
	"ribd/wire/flowspec"
)

// describeSent says in lines what a message says that ribd has made, for a
// session as s is.
func describeSent(msg []byte, s *wire.Session) []string {
	out := describeMessage(hex.EncodeToString(msg))
	var u wire.Update
	if u.Parse(msg, s) != nil {
		return out
	}
	add := func(verb string, f wire.Family, route string, pathID uint32, hasPathID bool) {
		if len(out) >= maxDescribed {
			return
		}
		line := verb + " " + f.String() + " " + route
		if hasPathID {
			line += fmt.Sprintf(", path id %d", pathID)
		}
		out = append(out, line)
	}
	plain := func(verb string, w wire.NLRI4) {
		for w.Next() {
			add(verb, wire.IPv4Unicast, w.Prefix().String(), w.PathID(), w.HasPathID())
		}
	}
	plain("withdraws", u.Withdrawn4())
	plain("announces", u.NLRI4())
	if mp, ok := u.Unreach(); ok {
		describeMP(&mp, "withdraws", add)
	}
	if mp, ok := u.Reach(); ok {
		describeMP(&mp, "announces", add)
	}
	return out
}

// describeMP says what a multiprotocol attribute holds.
func describeMP(mp *wire.MP, verb string, add func(verb string, f wire.Family, route string, pathID uint32, hasPathID bool)) {
	prefix := func(p netip.Prefix, pathID uint32, has bool) { add(verb, mp.Family, p.String(), pathID, has) }
	switch form := mp.Family.Form(); {
	case form == wire.FormPrefix && mp.Family.Is4():
		for w := mp.NLRI4(); w.Next(); {
			prefix(w.Prefix(), w.PathID(), w.HasPathID())
		}
	case form == wire.FormPrefix:
		for w := mp.NLRI6(); w.Next(); {
			prefix(w.Prefix(), w.PathID(), w.HasPathID())
		}
	case form == wire.FormLabelled || form == wire.FormVPN:
		for w := mp.Labelled(); w.Next(); {
			text := w.Prefix().String()
			if w.HasRD() {
				text += ", rd " + string(wire.AppendRD(nil, w.RD()))
			}
			if verb == "announces" {
				text += ", labels " + string(appendLabels(nil, w.Labels()))
			}
			add(verb, mp.Family, text, w.PathID(), w.HasPathID())
		}
	default:
		for w := mp.Raw(); w.Next(); {
			text := hex.EncodeToString(w.Bytes())
			if flowspec.Is(mp.Family) {
				if b, err := flowspec.Canonical(nil, mp.Family, w.Bytes()); err == nil {
					text = string(flowspec.NLRIText(nil, mp.Family, b))
				}
			}
			add(verb, mp.Family, text, w.PathID(), w.HasPathID())
		}
	}
}
