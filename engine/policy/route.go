package policy

import (
	"encoding/binary"
	"sync"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"

	"ribd/shard/rib"
	"ribd/trie"
	"ribd/wire"
	"ribd/wire/flowspec"
)

// route is what is judged: first an attribute set of a family and source, then
// perhaps a prefix and path id. It is used again and again, and belongs to one
// goroutine at a time. To CEL it is the activation.
type route struct {
	attrs  *rib.Attrs
	peer   *PeerFacts
	from   *PeerFacts
	family wire.Family

	// The attribute set, read when the first leaf asks.
	id                              rib.AttrID
	loaded                          bool
	canonical                       []byte
	path, comm, large, ext, nextHop []byte
	lists                           [numLists]*listVal // as CEL sees them; made once, since a loop asks again and again
	origin                          byte
	med, localPref                  int64 // -1: none

	hasRoute  bool
	prefix    prefixVal
	pathID    uint32
	hasPathID bool

	// What is known of the current condition (node.settle).
	slotsValid bool
	slots      uint16

	err    error // of the last leaf that failed
	costly bool  // a slow leaf was judged, or a set changed

	editor wire.AttrEditor
	buf    []byte
}

var routes = sync.Pool{New: func() any { return new(route) }}

// getRoute returns a route of a family and source, without attributes.
func getRoute(attrs *rib.Attrs, peer, from *PeerFacts, f wire.Family) *route {
	r := routes.Get().(*route)
	r.attrs, r.peer, r.from, r.family = attrs, peer, from, f
	r.id, r.loaded, r.hasRoute, r.slotsValid, r.err = 0, false, false, false, nil
	return r
}

// release gives r back; nothing of it may be used then.
func (r *route) release() {
	r.peer, r.from, r.canonical, r.err = nil, nil, nil, nil
	r.path, r.comm, r.large, r.ext, r.nextHop = nil, nil, nil, nil, nil
	r.lists = [numLists]*listVal{}
	routes.Put(r)
}

// setAttrs begins with another set.
func (r *route) setAttrs(id rib.AttrID) {
	if id != r.id {
		r.id, r.loaded = id, false
	}
}

// setRoute says the prefix and path id.
func (r *route) setRoute(k trie.Key, n uint8, p *rib.Path) {
	r.hasRoute = true
	r.prefix = prefixVal{k, n, r.family.Is4(), r.family.Form() != wire.FormRaw}
	r.pathID, r.hasPathID = p.PathID, p.HasPathID
}

// setDestination says the prefix of a Flow Spec rule (RFC 8955 section 3): its
// destination. One without, or with one that leaves out the first bits of addresses,
// has none.
func (r *route) setDestination(nlri []byte) {
	if p, offset, ok := flowspec.Destination(r.family, nlri); ok && offset == 0 {
		k, n := trie.PrefixKey(p)
		r.prefix = prefixVal{k, n, p.Addr().Is4(), true}
	}
}

// load reads the attributes that conditions look at.
func (r *route) load() {
	if r.loaded {
		return
	}
	r.loaded = true
	r.canonical, _ = r.attrs.Bytes(r.id)
	r.path, r.comm, r.large, r.ext, r.nextHop = nil, nil, nil, nil, nil
	r.lists = [numLists]*listVal{}
	r.origin, r.med, r.localPref = wire.OriginIncomplete, -1, -1
	for w := wire.WalkAttributes(r.canonical); w.Next(); {
		switch w.Type() {
		case wire.AttrOrigin:
			if v := w.Value(); len(v) == 1 {
				r.origin = v[0]
			}
		case wire.AttrMED:
			r.med = number(w.Value())
		case wire.AttrLocalPref:
			r.localPref = number(w.Value())
		case wire.AttrASPath:
			r.path = w.Value()
		case wire.AttrNextHop:
			r.nextHop = w.Value()
		case wire.AttrCommunities:
			r.comm = w.Value()
		case wire.AttrLargeCommunities:
			r.large = w.Value()
		case wire.AttrExtCommunities:
			r.ext = w.Value()
		}
	}
}

// number reads an attribute of 4 octets.
func number(v []byte) int64 {
	if len(v) != 4 {
		return -1
	}
	return int64(binary.BigEndian.Uint32(v))
}

// octets is the attribute that a list variable is of.
func (r *route) octets(k listKind) []byte {
	r.load()
	switch k {
	case listCommunities:
		return r.comm
	case listLarge:
		return r.large
	case listExt:
		return r.ext
	}
	return r.path
}

// integer is a variable that is a number.
func (r *route) integer(v *variable) int64 {
	switch v.kind {
	case varPrefixLength:
		return int64(r.prefix.n)
	case varPathID:
		if !r.hasPathID {
			return -1
		}
		return int64(r.pathID)
	case varPeer:
		return int64(r.peer.ASN)
	case varFrom:
		return int64(r.from.ASN)
	}
	r.load()
	switch v.kind {
	case varASPathLength:
		return int64(wire.ASPathLen(r.path))
	case varASPathOrigin:
		as, _ := wire.ASPathOrigin(r.path)
		return int64(as)
	case varASPathNeighbor:
		as, _ := wire.ASPathNeighbor(r.path)
		return int64(as)
	case varMED:
		return max(r.med, 0)
	case varLocalPref:
		if r.localPref < 0 {
			return rib.DefaultLocalPref
		}
		return r.localPref
	}
	panic("BUG: policy: " + v.name + " is no number")
}

// text is a variable that is text.
func (r *route) text(v *variable) string {
	switch v.kind {
	case varPrefixAddress:
		return r.prefix.key.Addr(r.prefix.v4).String()
	case varPrefixFamily:
		switch r.family.AFI() {
		case 1:
			return "ipv4"
		case 2:
			return "ipv6"
		}
		return ""
	case varFamily:
		return r.family.String()
	case varSource:
		return r.from.Source.String()
	case varPeer:
		return r.peer.text(v.field)
	case varFrom:
		return r.from.text(v.field)
	case varRPKI:
		return "" // no VRPs are loaded
	}
	r.load()
	if v.kind == varOrigin {
		return originText(r.origin)
	}
	if v.kind == varNextHop {
		return nextHopText(r.nextHop)
	}
	panic("BUG: policy: " + v.name + " is no text")
}

// flag is a variable that is true or false.
func (r *route) flag(v *variable) bool {
	switch v.kind {
	case varPeer:
		return r.peer.flag(v.field)
	case varFrom:
		return r.from.flag(v.field)
	}
	r.load()
	if v.kind == varHasMED {
		return r.med >= 0
	}
	return r.localPref >= 0
}

// needsPrefix says whether a variable means nothing for a family without
// prefixes: a condition that looks at it fails.
func (v *variable) needsPrefix() bool {
	return v.kind == varPrefix || v.kind == varPrefixLength || v.kind == varPrefixAddress
}

// ResolveName is of cel.Activation.
func (r *route) ResolveName(name string) (any, bool) {
	v := variables[name]
	if v == nil {
		return nil, false
	}
	if v.needsPrefix() && !r.prefix.ok {
		return errNoPrefix, true
	}
	switch v.kind {
	case varPrefix:
		return r.prefix, true
	case varASPath:
		return r.list(listASPath), true
	case varCommunities:
		return r.list(listCommunities), true
	case varLarge:
		return r.list(listLarge), true
	case varExt:
		return r.list(listExt), true
	}
	switch v.typ {
	case cel.IntType:
		return types.Int(r.integer(v)), true
	case cel.BoolType:
		return types.Bool(r.flag(v)), true
	}
	return types.String(r.text(v)), true
}

// list is a list variable.
func (r *route) list(k listKind) *listVal {
	octets := r.octets(k)
	if r.lists[k] == nil {
		r.lists[k] = &listVal{kind: k, octet: octets}
	}
	return r.lists[k]
}

// Parent is of cel.Activation.
func (r *route) Parent() cel.Activation { return nil }
