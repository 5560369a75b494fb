package tablegen

import (
	"encoding/binary"
	"slices"
)

// Path attribute types and flags of RFC 4271 and its kin, as this package writes
// them.
const (
	attrOrigin, attrASPath, attrNextHop, attrMED       = 1, 2, 3, 4
	attrAtomicAggregate, attrAggregator, attrCommunity = 6, 7, 8
	attrMPReach, attrMPUnreach                         = 14, 15
	attrExtCommunity, attrLarge, attrOTC               = 16, 32, 35

	flagsWellKnown, flagsOptional, flagsTransitive = 0x40, 0x80, 0xc0
)

// appendAttr appends one attribute; the length takes two octets only where it must.
func appendAttr(dst []byte, flags, typ byte, value []byte) []byte {
	if len(value) > 255 {
		dst = append(dst, flags|0x10, typ, byte(len(value)>>8), byte(len(value)))
	} else {
		dst = append(dst, flags, typ, byte(len(value)))
	}
	return append(dst, value...)
}

// way returns the state from which a peer reaches the origin of a policy: of the
// origin itself where it is a transit network, else of the provider that it uses.
// A generation above 0 is another choice of the same origin.
func (t *Table) way(p policy, peer int, key, gen uint64) (int32, bool) {
	r := t.peers[peer].routes
	if int(p.node) < t.g.transit {
		return r.best(p.node)
	}
	found, shortest := int32(-1), uint8(unreached)
	providers := t.g.providers[p.node]
	turn := int(mix64(key^gen<<7) % uint64(len(providers)))
	for i := range providers {
		s, ok := r.best(providers[(i+turn)%len(providers)])
		if ok && gen > 0 {
			return s, true
		}
		if ok && r.dist[s] < shortest {
			found, shortest = s, r.dist[s]
		}
	}
	return found, found >= 0
}

// appendAttrs appends the attributes, as a TABLE_DUMP_V2 entry carries them, by
// which a peer gives the prefixes of a policy; gen makes others of the same kind.
func (t *Table) appendAttrs(dst []byte, number int32, peer int, gen uint64) []byte {
	p := t.policies[number]
	own := newSource(t.o.Seed, 'o', uint64(number), gen>>8) // the same at all peers
	at := newSource(t.o.Seed, 'e', uint64(number), uint64(peer), gen)
	state, _ := t.way(p, peer, own.uint64(), gen)
	r := t.peers[peer].routes

	var pathBuf [32]uint32
	path := r.appendPath(pathBuf[:0], t.g, state)
	if int(p.node) >= t.g.transit {
		path = append(path, t.g.asn[p.node])
	}
	transit := path
	if own.chance(30) {
		last := path[len(path)-1]
		for range min(own.geometric(1.5), 8) {
			path = append(path, last)
		}
	}
	var buf [512]byte
	origin := byte(0)
	if own.chance(13) {
		origin = 2
	}
	dst = appendAttr(dst, flagsWellKnown, attrOrigin, append(buf[:0], origin))
	dst = appendAttr(dst, flagsWellKnown, attrASPath, appendPath(buf[:0], path, t.g, &own))
	if !p.v6 {
		dst = appendAttr(dst, flagsWellKnown, attrNextHop, append(buf[:0], t.peers[peer].NextHop4.AsSlice()...))
	}
	if at.chance(22) {
		dst = appendAttr(dst, flagsOptional, attrMED, binary.BigEndian.AppendUint32(buf[:0], uint32(at.skewed(20)*10)))
	}
	if own.chance(4) {
		dst = appendAttr(dst, flagsWellKnown, attrAtomicAggregate, nil)
	}
	if own.chance(7) {
		b := binary.BigEndian.AppendUint32(buf[:0], path[len(path)-1])
		dst = appendAttr(dst, flagsTransitive, attrAggregator, append(b, 198, 51, 100, byte(own.intN(254)+1)))
	}
	if b := appendCommunities(buf[:0], transit, &own, &at); len(b) > 0 {
		dst = appendAttr(dst, flagsTransitive, attrCommunity, b)
	}
	if p.v6 {
		// RFC 6396 section 4.3.4: only the length and the next hop.
		dst = appendAttr(dst, flagsOptional, attrMPReach, append(append(buf[:0], 16), t.peers[peer].NextHop6.AsSlice()...))
	}
	return appendRare(dst, transit, &own)
}

// appendPath appends an AS_PATH of one sequence; a few origins are an AS_SET, as
// aggregates have.
func appendPath(b []byte, path []uint32, g *graph, own *source) []byte {
	b = append(b, 2, byte(len(path)))
	for _, a := range path {
		b = binary.BigEndian.AppendUint32(b, a)
	}
	if own.chance(0.15) {
		n := 1 + own.geometric(1.5)
		b = append(b, 1, byte(n))
		for range n {
			b = binary.BigEndian.AppendUint32(b, g.asn[g.transit+own.intN(len(g.asn)-g.transit)])
		}
	}
	return b
}

// appendCommunities appends those of a policy: tags of the networks on the way
// (where learned, from whom), which each have a few dozen, and of the peer itself.
func appendCommunities(b []byte, path []uint32, own, at *source) []byte {
	if !own.chance(60) {
		return b
	}
	var buf [64]uint32
	list := buf[:0]
	for i, a := range path {
		if a > 0xffff {
			continue
		}
		r := own
		if i == 0 {
			r = at
		}
		for range min(r.geometric(2.2), 8) {
			list = append(list, a<<16|uint32(1000*(1+r.intN(4))+10*r.skewed(9)))
		}
	}
	if own.chance(1) {
		list = append(list, 0xffffff01) // no-export
	}
	if own.chance(0.5) {
		list = append(list, 0xffff0000) // graceful-shutdown
	}
	slices.Sort(list)
	for _, c := range slices.Compact(list) {
		b = binary.BigEndian.AppendUint32(b, c)
	}
	return b
}

// appendRare appends the attributes that few routes have.
func appendRare(dst []byte, path []uint32, own *source) []byte {
	var buf [256]byte
	if own.chance(3) {
		b := append(buf[:0], 0, 2) // two-octet AS, route target
		b = binary.BigEndian.AppendUint16(b, uint16(path[0]))
		dst = appendAttr(dst, flagsTransitive, attrExtCommunity, binary.BigEndian.AppendUint32(b, uint32(own.intN(500))))
	}
	if own.chance(9) {
		b := buf[:0]
		for range min(own.geometric(2), 8) {
			b = binary.BigEndian.AppendUint32(b, path[own.intN(len(path))])
			b = binary.BigEndian.AppendUint32(b, uint32(1+own.intN(3)))
			b = binary.BigEndian.AppendUint32(b, uint32(own.skewed(200)))
		}
		dst = appendAttr(dst, flagsTransitive, attrLarge, b)
	}
	if own.chance(2) && len(path) > 1 {
		dst = appendAttr(dst, flagsTransitive, attrOTC, binary.BigEndian.AppendUint32(buf[:0], path[1]))
	}
	return dst
}

// attrCache keeps what appendAttrs made of each policy and peer, as long as there
// are not too many.
type attrCache struct {
	at   []uint64 // offset<<16 | length; 0: not made yet
	data []byte
}

const maxCached = 8 << 20

func (c *attrCache) init(n int) {
	if n <= maxCached {
		c.at, c.data = make([]uint64, n), make([]byte, 1, n*64+1)
	}
}

// attrs returns the attributes of a policy at a peer. Borrowed until the next call.
func (t *Table) attrs(number int32, peer int) []byte {
	c := &t.cache
	if c.at == nil {
		c.data = t.appendAttrs(c.data[:0], number, peer, 0)
		return c.data
	}
	i := int(number)*len(t.peers) + peer
	if c.at[i] == 0 {
		off := len(c.data)
		c.data = t.appendAttrs(c.data, number, peer, 0)
		c.at[i] = uint64(off)<<16 | uint64(len(c.data)-off)
	}
	off := c.at[i] >> 16
	return c.data[off : off+c.at[i]&0xffff]
}
