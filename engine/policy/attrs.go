package policy

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"ribd/wire"
)

// asNumbers lists the AS numbers of a path, those of sets too, in their order.
func asNumbers(v []byte) []int64 {
	out := make([]int64, 0, len(v)/4)
	for w := wire.WalkASPath(v); w.Next(); {
		for i := range w.Len() {
			out = append(out, int64(w.AS(i)))
		}
	}
	return out
}

// asPathSize is the length of asNumbers.
func asPathSize(v []byte) (n int) {
	for w := wire.WalkASPath(v); w.Next(); {
		n += w.Len()
	}
	return n
}

func asPathHas(v []byte, as int64) bool {
	if as < 0 || as > 1<<32-1 {
		return false
	}
	for w := wire.WalkASPath(v); w.Next(); {
		for i := range w.Len() {
			if w.AS(i) == uint32(as) {
				return true
			}
		}
	}
	return false
}

// communityTexts lists the communities of a value as text.
func communityTexts(k listKind, v []byte) []string {
	width := map[listKind]int{listCommunities: 4, listLarge: 12, listExt: 8}[k]
	out := make([]string, 0, len(v)/width)
	var text []byte
	for ; len(v) >= width; v = v[width:] {
		switch k {
		case listCommunities:
			text = wire.AppendCommunity(text[:0], binary.BigEndian.Uint32(v))
		case listLarge:
			text = wire.AppendLargeCommunity(text[:0], v[:12])
		case listExt:
			text = wire.AppendExtCommunity(text[:0], binary.BigEndian.Uint64(v))
		}
		out = append(out, string(text))
	}
	return out
}

// matcher says whether one of an attribute's values fits.
type matcher interface{ MatchAttr(v []byte) bool }

// communityMatcher reads a community or a pattern of one kind.
func communityMatcher(k listKind, s string) (matcher, error) {
	switch k {
	case listCommunities:
		m, err := wire.ParseCommunity(s)
		if err != nil {
			return nil, fmt.Errorf("%q is not a community such as 65001:100, 65001:* or no-export", s)
		}
		return m, nil
	case listLarge:
		m, err := wire.ParseLargeCommunity(s)
		if err != nil {
			return nil, fmt.Errorf("%q is not a large community such as 65001:1:2 or 65001:*:*", s)
		}
		return &m, nil
	}
	m, err := wire.ParseExtCommunity(s)
	if err != nil {
		return nil, fmt.Errorf("%q is not an extended community such as rt:65001:1 or rt:65001:*", s)
	}
	return &m, nil
}

func hasCommunity(k listKind, v []byte, s string) (bool, error) {
	m, err := communityMatcher(k, s)
	if err != nil {
		return false, err
	}
	return m.MatchAttr(v), nil
}

// nextHopText is the variable next_hop: the global address.
func nextHopText(v []byte) string {
	if a, ok := nextHopAddr(v); ok {
		return a.String()
	}
	return ""
}

// nextHopAddr returns the global address of a canonical NEXT_HOP.
func nextHopAddr(v []byte) (netip.Addr, bool) {
	switch len(v) {
	case 4:
		return netip.AddrFrom4([4]byte(v)), true
	case 16, 32:
		return netip.AddrFrom16([16]byte(v[:16])), true
	}
	return netip.Addr{}, false
}

// originText is the variable origin.
func originText(o uint8) string {
	switch o {
	case wire.OriginIGP:
		return "igp"
	case wire.OriginEGP:
		return "egp"
	}
	return "incomplete"
}
