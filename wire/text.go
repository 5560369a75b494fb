package wire

import (
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"strconv"
)

// The text forms of http-api.md, "A path". All append and allocate nothing but
// what dst grows by.

func appendUint(dst []byte, n uint32) []byte { return strconv.AppendUint(dst, uint64(n), 10) }

// AppendASPath appends the text of a canonical AS_PATH: "65001 {64500,64501}",
// with a confederation's sequences as (65002 65003) and sets as [65002,65003].
func AppendASPath(dst, v []byte) []byte {
	w := WalkASPath(v)
	for first := true; w.Next(); first = false {
		if !first {
			dst = append(dst, ' ')
		}
		open, shut, sep := byte(0), byte(0), byte(' ')
		switch w.typ {
		case SegSet:
			open, shut, sep = '{', '}', ','
		case SegConfedSequence:
			open, shut = '(', ')'
		case SegConfedSet:
			open, shut, sep = '[', ']', ','
		}
		if open != 0 {
			dst = append(dst, open)
		}
		for i := range w.Len() {
			if i > 0 {
				dst = append(dst, sep)
			}
			dst = appendUint(dst, w.AS(i))
		}
		if shut != 0 {
			dst = append(dst, shut)
		}
	}
	return dst
}

// AppendIPv4 appends an address in dotted form.
func AppendIPv4(dst []byte, a uint32) []byte { return addr4(a).AppendTo(dst) }

// AppendOrigin appends "igp", "egp" or "incomplete".
func AppendOrigin(dst []byte, origin byte) []byte {
	switch origin {
	case OriginIGP:
		return append(dst, "igp"...)
	case OriginEGP:
		return append(dst, "egp"...)
	}
	return append(dst, "incomplete"...)
}

// AppendAggregator appends the text of a canonical AGGREGATOR: "65001
// 192.0.2.1".
func AppendAggregator(dst, v []byte) []byte {
	if len(v) < 8 {
		return dst
	}
	dst = append(appendUint(dst, be32(v)), ' ')
	return AppendIPv4(dst, be32(v[4:]))
}

// AppendClusterList appends the ids of a CLUSTER_LIST with blanks between.
func AppendClusterList(dst, v []byte) []byte {
	for i := 0; len(v) >= 4; i, v = i+1, v[4:] {
		if i > 0 {
			dst = append(dst, ' ')
		}
		dst = AppendIPv4(dst, be32(v))
	}
	return dst
}

// AppendRD appends a route distinguisher: "65001:1", "192.0.2.1:1",
// "65001L:1", anything else as 0x and 16 hex digits (RFC 4364 section 4.2).
func AppendRD(dst []byte, rd uint64) []byte {
	switch rd >> 48 {
	case 0:
		dst = append(appendUint(dst, uint32(rd>>32)&0xffff), ':')
		return appendUint(dst, uint32(rd))
	case 1:
		dst = append(AppendIPv4(dst, uint32(rd>>16)), ':')
		return appendUint(dst, uint32(rd)&0xffff)
	case 2:
		dst = append(appendUint(dst, uint32(rd>>16)), 'L', ':')
		return appendUint(dst, uint32(rd)&0xffff)
	}
	return appendHex64(dst, rd)
}

func appendHex64(dst []byte, n uint64) []byte {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], n)
	return hex.AppendEncode(append(dst, '0', 'x'), b[:])
}

// AppendCommunity appends a community: "65001:100".
func AppendCommunity(dst []byte, c uint32) []byte {
	dst = append(appendUint(dst, c>>16), ':')
	return appendUint(dst, c&0xffff)
}

// AppendLargeCommunity appends a large community of 12 octets: "65001:1:2".
func AppendLargeCommunity(dst, v []byte) []byte {
	if len(v) < 12 {
		return dst
	}
	dst = append(appendUint(dst, be32(v)), ':')
	dst = append(appendUint(dst, be32(v[4:])), ':')
	return appendUint(dst, be32(v[8:]))
}

// extNames are the names of the subtypes of extended communities whose value
// is an AS or an address, and a number: those of two octets, four octets and
// IPv4 address (types 0, 2 and 1, RFC 4360, 5668) share them.
var extNames = [...]struct {
	subtype byte
	name    string
}{
	{0x02, "rt"}, // route target
	{0x03, "ro"}, // route origin
}

func extName(subtype byte) string {
	for i := range extNames {
		if extNames[i].subtype == subtype {
			return extNames[i].name
		}
	}
	return ""
}

// AppendExtCommunity appends an extended community: "rt:65001:1",
// "rt:65001L:1", "rt:192.0.2.1:1", the same with ro:, anything else as 0x and
// 16 hex digits.
func AppendExtCommunity(dst []byte, c uint64) []byte {
	name := extName(byte(c >> 48))
	if t := c >> 56; name == "" || t > 2 {
		return appendHex64(dst, c)
	}
	dst = append(append(dst, name...), ':')
	switch c >> 56 {
	case 0:
		dst = append(appendUint(dst, uint32(c>>32)&0xffff), ':')
		return appendUint(dst, uint32(c))
	case 1:
		dst = append(AppendIPv4(dst, uint32(c>>16)), ':')
	default:
		dst = append(appendUint(dst, uint32(c>>16)), 'L', ':')
	}
	return appendUint(dst, uint32(c)&0xffff)
}

// AppendIPv6ExtCommunity appends an IPv6 address specific extended community
// of 20 octets: "rt:2001:db8::1:5" reads badly, so the address is in brackets,
// "rt:[2001:db8::1]:5"; other types as 0x and 40 hex digits (RFC 5701).
func AppendIPv6ExtCommunity(dst, v []byte) []byte {
	if len(v) < 20 {
		return dst
	}
	name := extName(v[1])
	if name == "" || v[0] != 0 {
		return hex.AppendEncode(append(dst, '0', 'x'), v[:20])
	}
	dst = append(append(dst, name...), ':', '[')
	dst = netip.AddrFrom16([16]byte(v[2:18])).AppendTo(dst)
	dst = append(dst, ']', ':')
	return appendUint(dst, uint32(binary.BigEndian.Uint16(v[18:])))
}
