package api

import (
	"slices"

	"github.com/valyala/fasthttp"

	"ribd/wire"
	"ribd/wire/flowspec"
)

// place checks what says where the path belongs: family, prefix or NLRI, route
// distinguisher.
func (r *pathReader) place() *problem {
	in := &r.in
	if !r.given.has(inFamily) {
		switch {
		case r.given.has(inRD):
			return bad("family", "is missing: rd goes with ipv4-vpn or ipv6-vpn")
		case r.given.has(inNLRI) && !r.given.has(inPrefix):
			return bad("family", "is missing: nlri goes with a family without prefixes, such as ipv4-flowspec")
		case r.given.has(inLabels):
			return bad("family", "is missing: labels go with ipv4- or ipv6-labelled-unicast or -vpn")
		case !r.given.has(inPrefix):
			return bad("prefix", `is missing: the route's, such as "192.0.2.0/24"`)
		}
		in.family = wire.IPv6Unicast
		if in.prefix.Addr().Is4() {
			in.family = wire.IPv4Unicast
		}
	}
	f := in.family
	if f.Form() == wire.FormRaw {
		return r.placeRaw()
	}
	switch {
	case !r.given.has(inPrefix):
		return bad("prefix", `is missing: the route's, such as "192.0.2.0/24"`)
	case r.given.has(inNLRI):
		return bad("nlri", "is of families without prefixes, %s has prefix", f)
	case in.prefix.Addr().Is4() != f.Is4():
		return bad("prefix", "%s is no prefix of the family %s", in.prefix, f)
	case takesRD(f) && !r.given.has(inRD):
		return bad("rd", `is missing: a route of %s has a route distinguisher such as "65001:1" (RFC 4364 4.2)`, f)
	case !takesRD(f) && r.given.has(inRD):
		return bad("rd", "the family %s has no route distinguishers", f)
	}
	return nil
}

// placeRaw checks the NLRI of a family without prefixes.
func (r *pathReader) placeRaw() *problem {
	in := &r.in
	f := in.family
	switch {
	case r.given.has(inPrefix):
		return bad("prefix", "routes of %s are no prefixes: nlri is their NLRI as hex", f)
	case !r.given.has(inNLRI) || len(in.nlri) == 0:
		return bad("nlri", "is missing: the NLRI as hex, with its length octets")
	case r.given.has(inRD):
		return bad("rd", "is a part of nlri in %s", f)
	}
	w := wire.NewNLRIRaw(in.nlri, 0, f, false)
	if !w.Next() || len(w.Bytes()) != len(in.nlri) {
		if err := w.Err(); err != nil {
			return bad("nlri", "octet %d: %s", err.Off, err.Reason)
		}
		return bad("nlri", "holds more than one NLRI")
	}
	if !flowspec.Is(f) {
		return nil
	}
	at := len(r.mem)
	mem, err := flowspec.Canonical(r.mem, f, in.nlri)
	if err != nil {
		return bad("nlri", "octet %d: %s (%s)", err.Off, err.Reason, err.RFC)
	}
	r.mem = mem
	in.nlri = mem[at:len(mem):len(mem)]
	return nil
}

// stack writes the label stack (RFC 8277 2.2: 20 bits of label, 3 of traffic
// class, 1 for the bottom of the stack).
func (r *pathReader) stack() *problem {
	f := r.in.family
	labelled := f.Form() == wire.FormLabelled || f.Form() == wire.FormVPN
	switch {
	case labelled && r.nLabel == 0:
		return bad("labels", "is missing: a route of %s has a label or more, such as [100] (RFC 8277 2)", f)
	case !labelled && r.nLabel > 0:
		return bad("labels", "the family %s has no labels", f)
	case !labelled:
		return nil
	}
	bits := 24*r.nLabel + r.in.prefix.Bits()
	if f.Form() == wire.FormVPN {
		bits += 64
	}
	if bits > 255 {
		return bad("labels", "%d of them leave no room for the prefix: an NLRI is 255 bits long at most (RFC 8277 2)", r.nLabel)
	}
	at := len(r.mem)
	for i, l := range r.labels[:r.nLabel] {
		v := l << 4
		if i == r.nLabel-1 {
			v |= 1
		}
		r.mem = append(r.mem, byte(v>>16), byte(v>>8), byte(v))
	}
	r.in.labels = r.mem[at:len(r.mem):len(r.mem)]
	return nil
}

// readPeers reads a list of peers: addresses, ids or names of sessions. The
// lists of one request are mostly the same one.
func (r *pathReader) readPeers() *problem {
	if r.js.peek() != '[' {
		return r.want(inPeers, `a list of addresses, ids or names of peers`)
	}
	at := r.js.at
	raw := r.js.raw()
	if r.js.wrong != "" {
		return r.js.problem()
	}
	if ids, ok := r.peers[string(raw)]; ok {
		r.in.peers = ids
		return nil
	}
	end := r.js.at
	r.js.at = at
	r.js.open('[', "")
	var ids []string
	for first := true; r.js.more(']', &first); {
		s, ok := r.js.text()
		if !ok {
			return r.want(inPeers, `an address, id or name of a peer in quotes`)
		}
		id, p := r.c.sessionID(s)
		if p != nil {
			p.param = "peers"
			return p
		}
		if !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	r.js.at = end
	if ids == nil {
		return bad("peers", "is an empty list: leave it out for all that policy allows")
	}
	slices.Sort(ids)
	if r.peers == nil {
		r.peers = map[string][]string{}
	}
	if len(r.peers) < maxPeerLists && len(raw) <= maxPeerList {
		r.peers[string(raw)] = ids
	}
	r.in.peers = ids
	return nil
}

// maxPeerLists bounds the lists of peers that a request remembers, and maxPeerList
// the octets of one.
const (
	maxPeerLists = 1024
	maxPeerList  = 4096
)

// sessionID finds the id of the one session that an address, id or name names.
func (c *call) sessionID(v []byte) (string, *problem) {
	e, p := c.findPeer(v)
	switch {
	case p != nil:
		return "", p
	case !e.session:
		return "", fail(fasthttp.StatusUnprocessableEntity, "peer", "%s is of source %s: nothing is sent to it", shown(v), e.shape.Source)
	}
	return e.shape.ID, nil
}
