package wire

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// CommunityMatch is a community or a pattern of communities: either half, or
// both, may be left open.
type CommunityMatch struct {
	value, mask uint32
}

// Match is true where c fits.
func (m CommunityMatch) Match(c uint32) bool { return c&m.mask == m.value }

// Value returns the community that an exact match means.
func (m CommunityMatch) Value() (uint32, bool) { return m.value, m.mask == ^uint32(0) }

// Exact returns the match of one community.
func Exact(c uint32) CommunityMatch { return CommunityMatch{c, ^uint32(0)} }

// MatchAttr is true where one of a COMMUNITIES value fits.
func (m CommunityMatch) MatchAttr(v []byte) bool {
	for ; len(v) >= 4; v = v[4:] {
		if be32(v)&m.mask == m.value {
			return true
		}
	}
	return false
}

// String returns the text that ParseCommunity reads.
func (m CommunityMatch) String() string {
	return half(m.value>>16, m.mask>>16, 0xffff) + ":" + half(m.value&0xffff, m.mask&0xffff, 0xffff)
}

func half(v, mask, all uint32) string {
	if mask != all {
		return "*"
	}
	return strconv.FormatUint(uint64(v), 10)
}

// communityNames is the IANA registry "BGP Well-known Communities".
var communityNames = []struct {
	value uint32
	name  string
}{
	{0xffff0000, "graceful-shutdown"},          // RFC 8326
	{0xffff0001, "accept-own"},                 // RFC 7611
	{0xffff0002, "route-filter-translated-v4"}, // draft-l3vpn-legacy-rtc
	{0xffff0003, "route-filter-v4"},
	{0xffff0004, "route-filter-translated-v6"},
	{0xffff0005, "route-filter-v6"},
	{0xffff0006, "llgr-stale"}, // RFC 9494
	{0xffff0007, "no-llgr"},
	{0xffff0008, "accept-own-nexthop"},
	{0xffff0009, "standby-pe"},          // RFC 9026
	{0xffff029a, "blackhole"},           // RFC 7999
	{0xffffff01, "no-export"},           // RFC 1997
	{0xffffff02, "no-advertise"},        // RFC 1997
	{0xffffff03, "no-export-subconfed"}, // RFC 1997
	{0xffffff04, "no-peer"},             // RFC 3765
}

// ParseCommunity reads a community: "65001:100", a name of the IANA registry,
// or a pattern with "*" for a half ("65001:*", "*:666", "*:*", "*").
func ParseCommunity(s string) (CommunityMatch, error) {
	name := strings.ReplaceAll(strings.ToLower(s), "_", "-")
	for i := range communityNames {
		if communityNames[i].name == name {
			return Exact(communityNames[i].value), nil
		}
	}
	if s == "*" {
		return CommunityMatch{}, nil
	}
	var f [2]field
	if err := fields(s, f[:], 0xffff); err != nil {
		return CommunityMatch{}, fmt.Errorf("community %q: %w (such as 65001:100, 65001:* or no-export)", s, err)
	}
	return CommunityMatch{value: f[0].v<<16 | f[1].v, mask: f[0].mask(0xffff)<<16 | f[1].mask(0xffff)}, nil
}

// field is one number of a community, or "*".
type field struct {
	v   uint32
	any bool
}

func (f field) mask(all uint32) uint32 {
	if f.any {
		return 0
	}
	return all
}

// fields reads numbers with colons between, none over most.
func fields(s string, f []field, most uint32) error {
	for i := range f {
		part, rest, more := strings.Cut(s, ":")
		if more != (i < len(f)-1) {
			return fmt.Errorf("not %d numbers with colons between", len(f))
		}
		var err error
		if f[i], err = parseField(part, most); err != nil {
			return err
		}
		s = rest
	}
	return nil
}

func parseField(s string, most uint32) (field, error) {
	if s == "*" {
		return field{any: true}, nil
	}
	if s == "" || s[0] < '0' || s[0] > '9' {
		return field{}, fmt.Errorf("%q is not a number", s)
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil || n > uint64(most) {
		return field{}, fmt.Errorf("%q is not a number up to %d", s, most)
	}
	return field{v: uint32(n)}, nil
}

// LargeMatch is a large community or a pattern of them (RFC 8092).
type LargeMatch struct {
	value, mask [3]uint32
}

// Match is true where the large community of 12 octets fits.
func (m *LargeMatch) Match(v []byte) bool {
	return len(v) >= 12 && be32(v)&m.mask[0] == m.value[0] &&
		be32(v[4:])&m.mask[1] == m.value[1] && be32(v[8:])&m.mask[2] == m.value[2]
}

// MatchAttr is true where one of a LARGE_COMMUNITY value fits.
func (m *LargeMatch) MatchAttr(v []byte) bool {
	for ; len(v) >= 12; v = v[12:] {
		if m.Match(v) {
			return true
		}
	}
	return false
}

// Value returns the large community that an exact match means.
func (m *LargeMatch) Value() (v [12]byte, ok bool) {
	for i := range m.value {
		binary.BigEndian.PutUint32(v[4*i:], m.value[i])
	}
	return v, m.mask == [3]uint32{^uint32(0), ^uint32(0), ^uint32(0)}
}

// String returns the text that ParseLargeCommunity reads.
func (m *LargeMatch) String() string {
	const all = ^uint32(0)
	return half(m.value[0], m.mask[0], all) + ":" + half(m.value[1], m.mask[1], all) + ":" + half(m.value[2], m.mask[2], all)
}

// ParseLargeCommunity reads a large community, "65001:1:2", each number of
// which may be "*".
func ParseLargeCommunity(s string) (LargeMatch, error) {
	var m LargeMatch
	var f [3]field
	if s == "*" {
		return m, nil
	}
	if err := fields(s, f[:], ^uint32(0)); err != nil {
		return m, fmt.Errorf("large community %q: %w (such as 65001:1:2 or 65001:*:*)", s, err)
	}
	for i := range f {
		m.value[i], m.mask[i] = f[i].v, f[i].mask(^uint32(0))
	}
	return m, nil
}

// ExtMatch is an extended community or a pattern of them (RFC 4360).
type ExtMatch struct {
	alt [3]maskValue // the forms that the text may mean; a zero mask with zero value matches all
	n   int
}

type maskValue struct{ value, mask uint64 }

// Match is true where c fits.
func (m *ExtMatch) Match(c uint64) bool {
	for _, a := range m.alt[:m.n] {
		if c&a.mask == a.value {
			return true
		}
	}
	return false
}

// MatchAttr is true where one of an EXTENDED_COMMUNITIES value fits.
func (m *ExtMatch) MatchAttr(v []byte) bool {
	for ; len(v) >= 8; v = v[8:] {
		if m.Match(binary.BigEndian.Uint64(v)) {
			return true
		}
	}
	return false
}

// Value returns the extended community that an exact match means.
func (m *ExtMatch) Value() (uint64, bool) {
	return m.alt[0].value, m.n == 1 && m.alt[0].mask == ^uint64(0)
}

// ParseExtCommunity reads an extended community: "rt:65001:1", "rt:65001L:1"
// (4-octet AS), "rt:192.0.2.1:1", the same with "ro:", "0x" and 16 hex digits;
// or a pattern: "rt:65001:*", "rt:*:1", "rt:*", "0x0102*" (any digits after
// these). An AS number over 65535 means the 4-octet form.
func ParseExtCommunity(s string) (ExtMatch, error) {
	m, err := parseExt(s)
	if err != nil {
		return ExtMatch{}, fmt.Errorf("extended community %q: %w (such as rt:65001:1, rt:192.0.2.1:1, rt:65001:* or 0x0002fde900000001)", s, err)
	}
	return m, nil
}

func parseExt(s string) (ExtMatch, error) {
	if s == "*" {
		return ExtMatch{n: 1}, nil
	}
	if digits, ok := strings.CutPrefix(s, "0x"); ok {
		return parseExtHex(digits)
	}
	name, rest, _ := strings.Cut(s, ":")
	subtype := uint64(0)
	for i := range extNames {
		if extNames[i].name == name {
			subtype = uint64(extNames[i].subtype)
		}
	}
	if subtype == 0 {
		return ExtMatch{}, fmt.Errorf("%q is neither rt, ro nor 0x", name)
	}
	if rest == "*" {
		rest = "*:*"
	}
	i := strings.LastIndexByte(rest, ':')
	if i < 0 {
		return ExtMatch{}, fmt.Errorf("a number is missing")
	}
	return parseExtPair(subtype, rest[:i], rest[i+1:])
}

func parseExtHex(digits string) (ExtMatch, error) {
	head, open := strings.CutSuffix(digits, "*")
	if len(head) > 16 || len(head) < 16 && !open {
		return ExtMatch{}, fmt.Errorf("0x is not followed by 16 hex digits")
	}
	mask := ^uint64(0)
	if len(head) < 16 {
		mask = ^(mask >> (4 * len(head)))
	}
	n, err := strconv.ParseUint(head+strings.Repeat("0", 16-len(head)), 16, 64)
	if err != nil {
		return ExtMatch{}, fmt.Errorf("0x is not followed by hex digits")
	}
	return ExtMatch{alt: [3]maskValue{{n, mask}}, n: 1}, nil
}

// parseExtPair reads the administrator and the number of a named community. A
// 2-octet AS leaves 4 octets for the number, the other forms leave 2.
func parseExtPair(subtype uint64, admin, number string) (ExtMatch, error) {
	num, err := parseField(number, ^uint32(0))
	if err != nil {
		return ExtMatch{}, err
	}
	const head = uint64(0xffff) << 48
	two := func(as uint64, mask uint64) maskValue {
		return maskValue{subtype<<48 | as<<32 | uint64(num.v), head | mask<<32 | uint64(num.mask(^uint32(0)))}
	}
	four := func(t, a, mask uint64) maskValue {
		return maskValue{t<<56 | subtype<<48 | a<<16 | uint64(num.v), head | mask<<16 | uint64(num.mask(0xffff))}
	}
	one := func(m maskValue) (ExtMatch, error) { return ExtMatch{alt: [3]maskValue{m}, n: 1}, nil }
	if admin == "*" {
		m := ExtMatch{alt: [3]maskValue{two(0, 0)}, n: 1}
		if num.v <= 0xffff {
			m.alt[1], m.alt[2], m.n = four(1, 0, 0), four(2, 0, 0), 3
		}
		return m, nil
	}
	digits, long := strings.CutSuffix(admin, "L")
	as, err := parseField(digits, ^uint32(0))
	address := strings.Contains(admin, ".")
	if !address && (err != nil || as.any) {
		return ExtMatch{}, fmt.Errorf("%q is neither an AS number nor an IPv4 address", admin)
	}
	if !address && !long && as.v <= 0xffff {
		return one(two(uint64(as.v), 0xffff))
	}
	if num.v > 0xffff {
		return ExtMatch{}, fmt.Errorf("%q is not a number up to 65535, which is all that %q leaves room for", number, admin)
	}
	if !address {
		return one(four(2, uint64(as.v), 0xffffffff))
	}
	a, err := netip.ParseAddr(admin)
	if err != nil || !a.Is4() {
		return ExtMatch{}, fmt.Errorf("%q is not an IPv4 address", admin)
	}
	b := a.As4()
	return one(four(1, uint64(be32(b[:])), 0xffffffff))
}

// ParseRD reads a route distinguisher as AppendRD writes it.
func ParseRD(s string) (uint64, error) {
	fail := fmt.Errorf("route distinguisher %q: not such as 65001:1, 65001L:1, 192.0.2.1:1 or 0x0000fde900000001", s)
	if digits, ok := strings.CutPrefix(s, "0x"); ok {
		n, err := strconv.ParseUint(digits, 16, 64)
		if err != nil || len(digits) != 16 {
			return 0, fail
		}
		return n, nil
	}
	admin, number, ok := strings.Cut(s, ":")
	if !ok {
		return 0, fail
	}
	n, err := parseField(number, ^uint32(0))
	if err != nil || n.any {
		return 0, fail
	}
	if a, err := netip.ParseAddr(admin); err == nil && a.Is4() && n.v <= 0xffff {
		b := a.As4()
		return 1<<48 | uint64(be32(b[:]))<<16 | uint64(n.v), nil
	}
	digits, long := strings.CutSuffix(admin, "L")
	as, err := parseField(digits, ^uint32(0))
	switch {
	case err != nil || as.any:
	case !long && as.v <= 0xffff:
		return uint64(as.v)<<32 | uint64(n.v), nil
	case n.v <= 0xffff:
		return 2<<48 | uint64(as.v)<<16 | uint64(n.v), nil
	}
	return 0, fail
}
