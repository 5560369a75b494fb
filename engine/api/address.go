package api

import (
	"net/netip"
	"strconv"
	"strings"
	"unsafe"

	"ribd/shard"
	"ribd/shard/rib"
	"ribd/trie"
	"ribd/wire"
)

// parseAddr reads an address; an IPv4-mapped one is IPv4. On the good path it
// allocates nothing.
func parseAddr(b []byte) (a netip.Addr, wrong string) {
	if len(b) == 0 {
		return a, "is empty: an IPv4 or IPv6 address is wanted"
	}
	if len(b) > 64 {
		return a, "is too long for an address"
	}
	a, err := netip.ParseAddr(str(b))
	if err != nil || a.Zone() != "" {
		return netip.Addr{}, whyNoAddr(string(b))
	}
	return a.Unmap(), ""
}

// str lends b as a string to parsers that keep nothing of it.
func str(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

func whyNoAddr(s string) string {
	if p, err := netip.ParsePrefix(s); err == nil {
		return "is a prefix: a look-up takes an address without a length, such as " + p.Addr().String()
	}
	if host, _, ok := strings.Cut(s, "%"); ok {
		if _, err := netip.ParseAddr(host); err == nil {
			return "has a zone: routes have none, ask for " + host
		}
	}
	return "is no IPv4 or IPv6 address (such as 192.0.2.1 or 2001:db8::1)"
}

// parsePrefix reads a prefix; a bare address is a host prefix. Host bits are
// refused with the right form.
func parsePrefix(b []byte) (netip.Prefix, *problem) {
	s := string(b)
	if len(s) > 64 {
		return netip.Prefix{}, bad("prefix", "%q is too long for a prefix", shown(s))
	}
	if !strings.Contains(s, "/") {
		a, wrong := parseAddr(b)
		if wrong != "" {
			return netip.Prefix{}, bad("prefix", "%q is neither a prefix (such as 192.0.2.0/24 or 2001:db8::/32) nor an address", s)
		}
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return p, bad("prefix", "%q is no prefix (such as 192.0.2.0/24 or 2001:db8::/32)", s)
	}
	if p.Addr().Is4In6() {
		if p.Bits() < 96 {
			return p, bad("prefix", "%q is an IPv4-mapped prefix wider than IPv4", s)
		}
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	if m := p.Masked(); m != p {
		return p, bad("prefix", "%q has bits set past its length: %s is right", s, m)
	}
	return p, nil
}

// tableRef is one table with what has to be known of it.
type tableRef struct {
	id     rib.TableID
	family wire.Family
	rd     uint64
	hasRD  bool
	known  bool // false: a valid choice that has no table, so nothing is in it
}

func (t *tableRef) form() wire.Form { return t.family.Form() }

// width is the length of a host prefix.
func (t *tableRef) width() uint8 {
	if t.family.Is4() {
		return 32
	}
	return 128
}

func tableOf(r *shard.RIB, id rib.TableID) tableRef {
	f, rd, has := r.TableInfo(id)
	return tableRef{id, f, rd, has, true}
}

// family reads family= and rd=. ok is false where family= was not given.
func (c *call) family() (f wire.Family, rd uint64, ok bool, p *problem) {
	v := c.q.get(pFamily)
	if v != nil {
		var err error
		if f, err = wire.ParseFamily(string(v)); err != nil {
			return 0, 0, false, bad("family", "%q is no family: ipv4-unicast, ipv6-unicast, ipv4-multicast, ipv6-multicast, ipv4-labelled-unicast, "+
				"ipv6-labelled-unicast, ipv4-vpn, ipv6-vpn, ipv4-flowspec, ipv6-flowspec, l2vpn-evpn, ls or afi-N-safi-M", shown(v))
		}
	}
	if d := c.q.get(pRD); d != nil {
		if v != nil && !takesRD(f) {
			return 0, 0, false, bad("rd", "the family %s has no route distinguishers", f)
		}
		var err error
		if rd, err = wire.ParseRD(string(d)); err != nil {
			return 0, 0, false, bad("rd", "%q is no route distinguisher (such as 65001:1, 192.0.2.1:1 or 65001L:1)", shown(d))
		}
	}
	return f, rd, v != nil, nil
}

func takesRD(f wire.Family) bool { return f.Form() == wire.FormVPN }

// target is where addresses are looked up: the table of a family, or the two
// unicast tables by the family of each address.
type target struct {
	table tableRef
	any   bool // unicast, either
}

func (c *call) target() (t target, p *problem) {
	f, rd, ok, p := c.family()
	if p != nil {
		return t, p
	}
	if !ok {
		if c.q.has(pRD) {
			return t, bad("family", "rd= goes with family=ipv4-vpn or ipv6-vpn, which is missing")
		}
		return target{any: true}, nil
	}
	switch {
	case f.Form() == wire.FormRaw:
		return t, bad("family", "addresses can't be looked up in %s: its routes are no prefixes", f)
	case takesRD(f) && !c.q.has(pRD):
		return t, bad("rd", "is missing: each route distinguisher of %s is a table of its own", f)
	}
	return target{table: c.find(f, rd)}, nil
}

func (c *call) find(f wire.Family, rd uint64) tableRef {
	id, ok := c.s.rib.FindTable(f, rd)
	return tableRef{id, f, rd, takesRD(f), ok}
}

// tableFor answers the table for one address, or why there is none.
func (t *target) tableFor(a netip.Addr) (tableRef, string) {
	if t.any {
		if a.Is4() {
			return tableRef{rib.TableIPv4Unicast, wire.IPv4Unicast, 0, false, true}, ""
		}
		return tableRef{rib.TableIPv6Unicast, wire.IPv6Unicast, 0, false, true}, ""
	}
	if t.table.family.Is4() != a.Is4() {
		return tableRef{}, "is no address of the family " + t.table.family.String()
	}
	return t.table, ""
}

// fast reports whether look-ups in a table are answered by the forwarding image.
func (t *tableRef) fast() bool {
	return t.family == wire.IPv4Unicast || t.family == wire.IPv6Unicast
}

func keyOf(a netip.Addr) trie.Key { return trie.KeyOf(a) }

// parseNumber reads a decimal number up to most.
func parseNumber(p param, v []byte, least, most uint64) (uint64, *problem) {
	n, err := strconv.ParseUint(string(v), 10, 64)
	if err != nil || n < least || n > most {
		return 0, bad(p.String(), "%q is no number from %d to %d", shown(v), least, most)
	}
	return n, nil
}

func parseASN(p param, v []byte) (uint32, *problem) {
	s := string(v)
	if len(s) > 2 && strings.EqualFold(s[:2], "as") {
		s = s[2:]
	}
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil {
		return 0, bad(p.String(), "%q is no AS number (such as 65001, at most 4294967295)", shown(v))
	}
	return uint32(n), nil
}
