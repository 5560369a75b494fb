package tablegen

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
)

// ReadPrefixes reads a list of prefixes, one a line; empty lines and those that
// start with # are skipped. The answer is sorted and without repeats.
func ReadPrefixes(r io.Reader) ([]netip.Prefix, error) {
	var ps []netip.Prefix
	sc := bufio.NewScanner(r)
	for line := 1; sc.Scan(); line++ {
		text := strings.TrimSpace(sc.Text())
		if text == "" || text[0] == '#' {
			continue
		}
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", line, err)
		}
		if p != p.Masked() {
			return nil, fmt.Errorf("line %d: %v has host bits set; %v has none", line, p, p.Masked())
		}
		ps = append(ps, p)
	}
	if err := sc.Err(); err != nil {
		return nil, err
	}
	return sortPrefixes(ps), nil
}

// sortPrefixes sorts in the order of a dump (IPv4 first, address, length) and
// removes repeats.
func sortPrefixes(ps []netip.Prefix) []netip.Prefix {
	slices.SortFunc(ps, comparePrefixes)
	return slices.Compact(ps)
}

func comparePrefixes(a, b netip.Prefix) int {
	if c := a.Addr().Compare(b.Addr()); c != 0 {
		return c
	}
	return cmp.Compare(a.Bits(), b.Bits())
}

// split returns the IPv4 and the IPv6 part of a sorted list.
func split(ps []netip.Prefix) (v4, v6 []netip.Prefix) {
	i, _ := slices.BinarySearchFunc(ps, true, func(p netip.Prefix, _ bool) int {
		if p.Addr().Is4() {
			return -1
		}
		return 1
	})
	return ps[:i], ps[i:]
}

// thin keeps n prefixes of a sorted list, and those of keep. It takes whole
// neighbourhoods (a /16 of IPv4, a /32 of IPv6), so that what is left still
// nests as the list does.
func thin(ps []netip.Prefix, n int, keep []netip.Prefix, rng *source) []netip.Prefix {
	if n >= len(ps) {
		return ps
	}
	var groups [][]netip.Prefix
	start := 0
	for i := 1; i <= len(ps); i++ {
		if i == len(ps) || neighbourhood(ps[i]) != neighbourhood(ps[start]) {
			groups = append(groups, ps[start:i])
			start = i
		}
	}
	rng.shuffle(len(groups), func(i, j int) { groups[i], groups[j] = groups[j], groups[i] })
	out := make([]netip.Prefix, 0, n)
	kept := map[netip.Prefix]bool{}
	for _, p := range keep {
		if _, found := slices.BinarySearchFunc(ps, p, comparePrefixes); found && len(out) < n {
			kept[p] = true
			out = append(out, p)
		}
	}
	for _, g := range groups {
		for _, p := range g {
			if len(out) == n {
				return sortPrefixes(out)
			}
			if !kept[p] {
				out = append(out, p)
			}
		}
	}
	return sortPrefixes(out)
}

func neighbourhood(p netip.Prefix) uint32 {
	if p.Addr().Is4() {
		a := p.Addr().As4()
		return uint32(a[0])<<8 | uint32(a[1])
	}
	a := p.Addr().As16()
	return uint32(a[0])<<24 | uint32(a[1])<<16 | uint32(a[2])<<8 | uint32(a[3])
}

// lengths4 and lengths6 say how many prefixes of each length the global table of
// 2023 held (the list in the testdata of github.com/gaissmai/bart).
var (
	lengths4 = []int{8: 16, 9: 13, 10: 38, 11: 103, 12: 299, 13: 581, 14: 1203, 15: 2100, 16: 13490, 17: 8235, 18: 13798,
		19: 24870, 20: 42611, 21: 50750, 22: 108623, 23: 96510, 24: 537698, 25: 20, 26: 3, 27: 11, 28: 18, 29: 17, 30: 3, 31: 3, 32: 886}
	lengths6 = []int{20: 16, 21: 3, 22: 7, 23: 8, 24: 30, 25: 8, 26: 15, 27: 20, 28: 193, 29: 4371, 30: 650, 31: 284, 32: 22548,
		33: 2926, 34: 2603, 35: 1043, 36: 5996, 37: 880, 38: 1617, 39: 1377, 40: 13418, 41: 903, 42: 2301, 43: 1001, 44: 14365,
		45: 1553, 46: 3039, 47: 3153, 48: 75488, 49: 11, 56: 24, 64: 184, 112: 2, 127: 42, 128: 6}
)

// Synthetic returns n made-up prefixes of one family, sorted: lengths as in the
// table of 2023, in clusters as allocations make them, none of them private or
// reserved.
func Synthetic(v6 bool, n int, seed uint64) []netip.Prefix {
	lengths, family := lengths4, uint64(4)
	if v6 {
		lengths, family = lengths6, 6
	}
	rng := newSource(seed, family, 'p')
	seen := make(map[netip.Prefix]struct{}, n)
	out := make([]netip.Prefix, 0, n)
	var near netip.Addr
	for len(out) < n {
		bits := pick(lengths, &rng)
		if !near.IsValid() || rng.chance(12) || bits < 16 {
			near = randomAddr(v6, &rng)
		}
		p := nextBlock(near, bits, &rng)
		near = p.Addr()
		if _, dup := seen[p]; dup || reserved(p) {
			near = netip.Addr{}
			continue
		}
		seen[p] = struct{}{}
		out = append(out, p)
	}
	return sortPrefixes(out)
}

// pick returns an index of weights by weight.
func pick(weights []int, rng *source) int {
	total := 0
	for _, w := range weights {
		total += w
	}
	x := rng.intN(total)
	for i, w := range weights {
		if x -= w; x < 0 {
			return i
		}
	}
	panic("BUG: weights do not add up")
}

func randomAddr(v6 bool, rng *source) netip.Addr {
	x := rng.uint64()
	if !v6 {
		return netip.AddrFrom4([4]byte{byte(1 + x%223), byte(x >> 8), byte(x >> 16), 0})
	}
	// The blocks that the registries allocate from.
	head := [...][2]byte{{0x20, 0x01}, {0x24, 0x00}, {0x26, 0x00}, {0x28, 0x00}, {0x2a, 0x00}, {0x2c, 0x0f}}[rng.skewed(6)]
	a := [16]byte{head[0], head[1] | byte(x&0x0f), byte(x >> 8), byte(x >> 16), byte(x >> 24), byte(x >> 32)}
	return netip.AddrFrom16(a)
}

// nextBlock returns a block of the given length a few blocks after a.
func nextBlock(a netip.Addr, bits int, rng *source) netip.Prefix {
	raw := a.AsSlice()
	carry := uint(rng.geometric(1.6) - 1)
	for i := (bits - 1) / 8; i >= 0 && carry > 0; i-- {
		if i == (bits-1)/8 {
			carry <<= (8 - uint(bits)%8) % 8
		}
		carry += uint(raw[i])
		raw[i] = byte(carry)
		carry >>= 8
	}
	b, _ := netip.AddrFromSlice(raw)
	return netip.PrefixFrom(b, bits).Masked()
}

var reservedBlocks = func() (ps []netip.Prefix) {
	for _, s := range []string{"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
		"192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
		"224.0.0.0/3", "2001:db8::/32", "2001::/23", "2002::/16"} {
		ps = append(ps, netip.MustParsePrefix(s))
	}
	return ps
}()

func reserved(p netip.Prefix) bool {
	return slices.ContainsFunc(reservedBlocks, func(r netip.Prefix) bool { return r.Overlaps(p) })
}
