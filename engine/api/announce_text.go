package api

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"ribd/wire"
	"ribd/wire/flowspec"
)

// leadingNumber reads the decimal number that s begins with, up to most.
func leadingNumber(s []byte, most uint64) (n uint32, rest []byte, ok bool) {
	var v uint64
	i := 0
	for ; i < len(s) && s[i] >= '0' && s[i] <= '9'; i++ {
		if v = v*10 + uint64(s[i]-'0'); v > most {
			return 0, s, false
		}
	}
	return uint32(v), s[i:], i > 0
}

// appendPathText appends the AS_PATH that a text stands for: "65001 3356", with
// sets as {64500,64501}, sequences of a confederation as (65002 65003) and its
// sets as [65002,65003]. Segments hold 255 at most (RFC 4271 4.3).
func appendPathText(dst, s []byte) ([]byte, string) {
	seg := -1 // where the sequence in hand begins in dst
	for i := 0; ; {
		for i < len(s) && s[i] == ' ' {
			i++
		}
		if i == len(s) {
			return dst, ""
		}
		var typ wire.SegmentType
		shut, sep := byte(0), byte(' ')
		switch s[i] {
		case '{':
			typ, shut, sep = wire.SegSet, '}', ','
		case '(':
			typ, shut = wire.SegConfedSequence, ')'
		case '[':
			typ, shut, sep = wire.SegConfedSet, ']', ','
		}
		if shut == 0 {
			as, rest, wrong := oneAS(s[i:])
			if wrong != "" {
				return dst, wrong
			}
			if i = len(s) - len(rest); i < len(s) && s[i] != ' ' && strings.IndexByte("{([", s[i]) < 0 {
				return dst, fmt.Sprintf("%q does not follow an AS number", s[i])
			}
			if seg < 0 || dst[seg+1] == 255 {
				seg = len(dst)
				dst = append(dst, byte(wire.SegSequence), 0)
			}
			dst = binary.BigEndian.AppendUint32(dst, as)
			dst[seg+1]++
			continue
		}
		seg = -1
		var wrong string
		if dst, i, wrong = appendSegment(dst, s, i+1, typ, shut, sep); wrong != "" {
			return dst, wrong
		}
	}
}

// appendSegment appends the segment whose AS numbers begin at s[i], and answers
// where it ends. Blanks and commas both may stand between.
func appendSegment(dst, s []byte, i int, typ wire.SegmentType, shut, sep byte) ([]byte, int, string) {
	at := len(dst)
	dst = append(dst, byte(typ), 0)
	for {
		for i < len(s) && s[i] == ' ' {
			i++
		}
		as, rest, wrong := oneAS(s[i:])
		if wrong != "" {
			return dst, i, wrong
		}
		if dst[at+1] == 255 {
			return dst, i, "a segment has more than 255 AS numbers"
		}
		dst = binary.BigEndian.AppendUint32(dst, as)
		dst[at+1]++
		i = len(s) - len(rest)
		blank := false
		for i < len(s) && s[i] == ' ' {
			i++
			blank = true
		}
		switch {
		case i < len(s) && s[i] == shut:
			return dst, i + 1, ""
		case i < len(s) && s[i] == ',':
			i++
		case i == len(s) || !blank:
			return dst, i, fmt.Sprintf("a %q or %q is missing after %d", sep, shut, as)
		}
	}
}

// oneAS reads an AS number.
func oneAS(s []byte) (as uint32, rest []byte, wrong string) {
	as, rest, ok := leadingNumber(s, 1<<32-1)
	switch {
	case !ok:
		end := slices.IndexFunc(s, func(c byte) bool { return strings.IndexByte(" ,{}()[]", c) >= 0 })
		if end < 0 {
			end = len(s)
		}
		return 0, s, fmt.Sprintf("%q is no AS number up to 4294967295", shown(s[:max(end, min(1, len(s)))]))
	case as == 0:
		return 0, s, "0 is no AS number (RFC 7607)"
	}
	return as, rest, ""
}

// readHop reads next_hop or next_hop_link_local.
func (r *pathReader) readHop(f input) *problem {
	s, ok := r.js.text()
	if !ok {
		return r.want(f, `an address such as "192.0.2.1"`)
	}
	if f == inNextHop && string(s) == "self" {
		r.hop.self = true
		return nil
	}
	a, err := netip.ParseAddr(str(s))
	if err != nil || a.Zone() != "" {
		if i := strings.IndexByte(string(s), '%'); i > 0 && err == nil {
			return bad(inputNames[f], "%q has a zone: it is not told to peers, %s is right", shown(s), s[:i])
		}
		return bad(inputNames[f], `%q is no address (such as "192.0.2.1" or "2001:db8::1", or "self")`, shown(s))
	}
	if f == inNextHopLinkLocal {
		if !a.Is6() || !a.IsLinkLocalUnicast() {
			return bad("next_hop_link_local", "%s is no link-local IPv6 address, of fe80::/10 (RFC 2545 3)", a)
		}
		r.hop.local = a
		return nil
	}
	if wrong := noHop(a); wrong != "" {
		return bad("next_hop", "%s %s (RFC 4271 5.1.3)", a, wrong)
	}
	r.hop.global = a
	return nil
}

// noHop says why an address can't be a next hop; "" where it can. The
// unspecified one stands for ours, and loopback is for those who have both ends
// on one machine.
func noHop(a netip.Addr) string {
	switch {
	case a.IsMulticast():
		return "is a multicast address"
	case a.Is4() && a.As4()[0] >= 240:
		return "is of no host"
	case a.Is4() && a.As4()[0] == 0 && !a.IsUnspecified():
		return "is of 0.0.0.0/8, of no host"
	}
	return ""
}

// nextHop makes the NEXT_HOP attribute: of any path but those of the families
// whose routes may go without (RFC 8955 4: Flow Spec).
func (r *pathReader) nextHop() *problem {
	f, h := r.in.family, &r.hop
	if !r.given.has(inNextHop) {
		if h.local.IsValid() {
			return bad("next_hop", "is missing beside next_hop_link_local, which does not go alone (RFC 2545 3)")
		}
		if f.Form() == wire.FormRaw && flowspec.Is(f) {
			return nil
		}
		return bad("next_hop", `NEXT_HOP is missing, which is mandatory (RFC 4271 5.1.3): an address, or "self" for ours`)
	}
	v6 := f.AFI() == 2
	if h.self {
		h.global = netip.IPv4Unspecified()
		if v6 {
			h.global = netip.IPv6Unspecified()
		}
	}
	if v6 && h.global.Is4() {
		if f.Form() == wire.FormPrefix {
			return bad("next_hop", "%s is an IPv4 address: %s has IPv6 ones (RFC 2545)", h.global, f)
		}
		if f.Form() != wire.FormRaw { // RFC 4659 3.2.1, RFC 4798 2
			h.global = netip.AddrFrom16(h.global.As16())
		}
	}
	if h.local.IsValid() && h.global.Is4() {
		return bad("next_hop_link_local", "goes with an IPv6 next hop (RFC 2545 3)")
	}
	a := &r.attrs
	at := len(a.buf)
	if h.global.Is4() {
		b := h.global.As4()
		a.buf = append(a.buf, b[:]...)
	} else {
		b := h.global.As16()
		a.buf = append(a.buf, b[:]...)
		if h.local.IsValid() {
			b = h.local.As16()
			a.buf = append(a.buf, b[:]...)
		}
	}
	a.add(wire.AttrNextHop, flagsWellKnown, at)
	return nil
}

// maxTTL bounds ttl far above any use: ten years.
const maxTTL = 10 * 365 * 24 * time.Hour

// readTTL reads "10m", or a number of seconds.
func (r *pathReader) readTTL() *problem {
	d, p := readTTL(&r.js)
	if p != nil {
		return p
	}
	r.in.ttl = d
	return nil
}

// readTTL reads a value of ttl.
func readTTL(js *jsonReader) (time.Duration, *problem) {
	const want = `a time such as "10m" or "90s", or a number of seconds`
	var d time.Duration
	if s, ok := js.text(); ok {
		var err error
		if d, err = time.ParseDuration(string(s)); err != nil {
			return 0, bad("ttl", "%q: %s is wanted", shown(s), want)
		}
	} else {
		v := js.raw()
		if js.wrong != "" {
			return 0, js.problem()
		}
		n, err := strconv.ParseFloat(string(v), 64)
		if err != nil {
			return 0, bad("ttl", "%s: %s is wanted", shown(v), want)
		}
		d = time.Duration(min(n, maxTTL.Seconds()+1) * float64(time.Second))
	}
	switch {
	case d <= 0:
		return 0, bad("ttl", "is not over 0: leave it out for a route without an end")
	case d > maxTTL:
		return 0, bad("ttl", "is over ten years: leave it out for a route without an end")
	}
	return d, nil
}

// readExpiry reads the time of the end, as answers give it.
func (r *pathReader) readExpiry() *problem {
	s, ok := r.js.text()
	if !ok {
		return r.want(inExpiresAt, `a time such as "2026-01-02T03:04:05Z"`)
	}
	t, err := time.Parse(time.RFC3339Nano, string(s))
	if err != nil {
		return bad("expires_at", `%q is no time such as "2026-01-02T03:04:05Z" (RFC 3339)`, shown(s))
	}
	// A body of lines may be open for days: now is now.
	r.in.from = time.Now()
	if r.in.ttl = t.Sub(r.in.from); r.in.ttl <= 0 {
		return bad("expires_at", "%s is past", t.UTC().Format(time.RFC3339))
	}
	return nil
}
