package api

import (
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"slices"
	"strings"

	"ribd/wire"
	"ribd/wire/flowspec"
)

// attrInput collects the attributes of one path: values in the order that they
// were read in, which together puts into that of their types.
type attrInput struct {
	buf  []byte
	list []attrValue
}

// attrValue is one attribute; its value lies in attrInput.buf.
type attrValue struct {
	typ      wire.AttrType
	flags    byte
	from, to int
}

func (a *attrInput) reset() { a.buf, a.list = a.buf[:0], a.list[:0] }

// add ends the value that begins at from in buf.
func (a *attrInput) add(t wire.AttrType, flags byte, from int) {
	a.list = append(a.list, attrValue{t, flags, from, len(a.buf)})
}

func (a *attrInput) has(t wire.AttrType) bool {
	return slices.ContainsFunc(a.list, func(v attrValue) bool { return v.typ == t })
}

const (
	flagsWellKnown = wire.FlagTransitive
	flagsGlobal    = wire.FlagOptional | wire.FlagTransitive
	flagsLocal     = wire.FlagOptional
)

// attribute reads the value of a field that is a path attribute.
func (r *pathReader) attribute(f input) *problem {
	a := &r.attrs
	at := len(a.buf)
	switch f {
	case inOrigin:
		return r.readOrigin()
	case inASPath:
		return r.readASPath()
	case inMED:
		return r.word(f, wire.AttrMED, flagsLocal)
	case inLocalPref:
		return r.word(f, wire.AttrLocalPref, flagsWellKnown)
	case inOnlyToCustomer:
		return r.word(f, wire.AttrOTC, flagsGlobal)
	case inCommunities:
		return r.list(f, wire.AttrCommunities, (*pathReader).community)
	case inLargeCommunities:
		return r.list(f, wire.AttrLargeCommunities, (*pathReader).largeCommunity)
	case inExtCommunities:
		return r.readExt()
	case inClusterList:
		return r.list(f, wire.AttrClusterList, (*pathReader).clusterID)
	case inAtomicAggregate:
		v, ok := r.js.boolean()
		if !ok {
			return r.want(f, "true or false")
		}
		if v {
			a.add(wire.AttrAtomicAggregate, flagsWellKnown, at)
		}
		return nil
	case inAggregator:
		return r.readAggregator()
	case inOriginatorID:
		s, ok := r.js.text()
		if !ok {
			return r.want(f, `an id such as "192.0.2.1"`)
		}
		if !r.appendID(s) {
			return bad("originator_id", `%q is not such as "192.0.2.1"`, shown(s))
		}
		a.add(wire.AttrOriginatorID, flagsLocal, at)
		return nil
	case inAIGP:
		n, ok := r.js.number(1<<64 - 1)
		if !ok {
			return r.want(f, "a metric, a number from 0 to 18446744073709551615,")
		}
		a.buf = binary.BigEndian.AppendUint64(append(a.buf, 1, 0, 11), n) // RFC 7311 3
		a.add(wire.AttrAIGP, flagsLocal, at)
		return nil
	}
	return r.readUnknown()
}

func (r *pathReader) readOrigin() *problem {
	s, ok := r.js.text()
	if !ok {
		return r.want(inOrigin, `"igp", "egp" or "incomplete"`)
	}
	a := &r.attrs
	at := len(a.buf)
	switch string(s) {
	case "igp":
		a.buf = append(a.buf, wire.OriginIGP)
	case "egp":
		a.buf = append(a.buf, wire.OriginEGP)
	case "incomplete":
		a.buf = append(a.buf, wire.OriginIncomplete)
	default:
		return bad("origin", `%q is not "igp", "egp" or "incomplete" (RFC 4271 5.1.1)`, shown(s))
	}
	a.add(wire.AttrOrigin, flagsWellKnown, at)
	return nil
}

func (r *pathReader) readASPath() *problem {
	s, ok := r.js.text()
	if !ok {
		return r.want(inASPath, `an AS path such as "65001 3356", or "",`)
	}
	a := &r.attrs
	at := len(a.buf)
	b, wrong := appendPathText(a.buf, s)
	if wrong != "" {
		return bad("as_path", `%q: %s (such as "65001 {64500,64501}", a confederation's as "(65002 65003)" and "[65002,65003]")`, shown(s), wrong)
	}
	a.buf = b
	a.add(wire.AttrASPath, flagsWellKnown, at)
	return nil
}

// word reads an attribute whose value is a number of 4 octets.
func (r *pathReader) word(f input, t wire.AttrType, flags byte) *problem {
	n, ok := r.js.number(1<<32 - 1)
	if !ok {
		return r.want(f, "a number from 0 to 4294967295")
	}
	if n == 0 && f == inOnlyToCustomer {
		return bad("only_to_customer", "0 is no AS number (RFC 7607)")
	}
	at := len(r.attrs.buf)
	r.attrs.buf = binary.BigEndian.AppendUint32(r.attrs.buf, uint32(n))
	r.attrs.add(t, flags, at)
	return nil
}

// list reads a list of texts; each appends what one stands for to the value. What
// stands there twice is taken once, and an empty list is no attribute.
func (r *pathReader) list(f input, t wire.AttrType, each func(*pathReader, []byte) string) *problem {
	if r.js.peek() != '[' {
		return r.want(f, "a list of texts")
	}
	r.js.open('[', "")
	a := &r.attrs
	at := len(a.buf)
	for first := true; r.js.more(']', &first); {
		s, ok := r.js.text()
		if !ok {
			return r.want(f, "a text in quotes")
		}
		from := len(a.buf)
		if wrong := each(r, s); wrong != "" {
			return bad(inputNames[f], "%s", wrong)
		}
		if size := len(a.buf) - from; t != wire.AttrClusterList && repeated12(a.buf[at:from], a.buf[from:], size) {
			a.buf = a.buf[:from]
		}
	}
	if r.js.wrong != "" {
		return r.js.problem()
	}
	flags := byte(flagsGlobal)
	if t == wire.AttrClusterList {
		flags = flagsLocal
	}
	if len(a.buf) > at {
		a.add(t, flags, at)
	}
	return nil
}

// repeated12 says whether v, values of size octets, holds c.
func repeated12(v, c []byte, size int) bool {
	for ; len(v) >= size; v = v[size:] {
		if string(v[:size]) == string(c) {
			return true
		}
	}
	return false
}

// community reads "65001:100" or a name of the IANA registry.
func (r *pathReader) community(s []byte) string {
	if hi, rest, ok := leadingNumber(s, 0xffff); ok && len(rest) > 0 && rest[0] == ':' {
		if lo, rest, ok := leadingNumber(rest[1:], 0xffff); ok && len(rest) == 0 {
			r.attrs.buf = binary.BigEndian.AppendUint32(r.attrs.buf, hi<<16|lo)
			return ""
		}
	}
	m, err := wire.ParseCommunity(string(s))
	if err != nil {
		return strings.Replace(err.Error(), "65001:100, 65001:* or", "65001:100 or", 1)
	}
	c, exact := m.Value()
	if !exact {
		return quoted(s) + " is a pattern: one community is wanted"
	}
	r.attrs.buf = binary.BigEndian.AppendUint32(r.attrs.buf, c)
	return ""
}

// largeCommunity reads "65001:1:2".
func (r *pathReader) largeCommunity(s []byte) string {
	rest, from := s, len(r.attrs.buf)
	for i := range 3 {
		n, more, ok := leadingNumber(rest, 1<<32-1)
		if i < 2 {
			ok = ok && len(more) > 0 && more[0] == ':'
		} else {
			ok = ok && len(more) == 0
		}
		if !ok {
			r.attrs.buf = r.attrs.buf[:from]
			return "large community " + quoted(s) + ": not three numbers up to 4294967295 with colons between, such as 65001:1:2"
		}
		r.attrs.buf = binary.BigEndian.AppendUint32(r.attrs.buf, n)
		rest = more
		if i < 2 {
			rest = more[1:]
		}
	}
	return ""
}

func (r *pathReader) clusterID(s []byte) string {
	if !r.appendID(s) {
		return quoted(s) + " is no cluster id such as 192.0.2.1"
	}
	return ""
}

// appendID appends 4 octets written as an IPv4 address.
func (r *pathReader) appendID(s []byte) bool {
	a, err := netip.ParseAddr(str(s))
	if err != nil || !a.Is4() {
		return false
	}
	b := a.As4()
	r.attrs.buf = append(r.attrs.buf, b[:]...)
	return true
}

// readExt reads extended communities: of 8 octets, and of 20 with an IPv6
// address (RFC 5701), which are another attribute.
func (r *pathReader) readExt() *problem {
	if r.js.peek() != '[' {
		return r.want(inExtCommunities, `a list of texts such as ["rt:65001:1"]`)
	}
	r.js.open('[', "")
	a := &r.attrs
	at := len(a.buf)
	var long [][20]byte
	for first := true; r.js.more(']', &first); {
		s, ok := r.js.text()
		if !ok {
			return r.want(inExtCommunities, "a text in quotes")
		}
		if v, is, ok := longExt(string(s)); is {
			if !ok {
				return bad("ext_communities", `%q is not such as "rt:[2001:db8::1]:5", or 0x and 40 hex digits`, shown(s))
			}
			if !slices.Contains(long, v) {
				long = append(long, v)
			}
			continue
		}
		m, err := wire.ParseExtCommunity(string(s))
		if err != nil {
			return bad("ext_communities", "%s", strings.Replace(err.Error(), ", rt:65001:* or", " or", 1))
		}
		c, exact := m.Value()
		if !exact {
			return bad("ext_communities", "%q is a pattern: one community is wanted", shown(s))
		}
		from := len(a.buf)
		a.buf = binary.BigEndian.AppendUint64(a.buf, c)
		if repeated12(a.buf[at:from], a.buf[from:], 8) {
			a.buf = a.buf[:from]
		}
	}
	if r.js.wrong != "" {
		return r.js.problem()
	}
	if len(a.buf) > at {
		a.add(wire.AttrExtCommunities, flagsGlobal, at)
	}
	at = len(a.buf)
	for _, v := range long {
		a.buf = append(a.buf, v[:]...)
	}
	if len(a.buf) > at {
		a.add(wire.AttrIPv6ExtCommunities, flagsGlobal, at)
	}
	return nil
}

// longExt reads an extended community of 20 octets as answers write it. is tells
// that the text looks like one.
func longExt(s string) (v [20]byte, is, ok bool) {
	if digits, found := strings.CutPrefix(s, "0x"); found && len(digits) > 16 {
		n, err := hex.Decode(v[:], []byte(digits[:min(len(digits), 40)]))
		return v, true, err == nil && n == 20 && len(digits) == 40
	}
	i := strings.IndexByte(s, '[')
	if i < 0 {
		return v, false, false
	}
	switch s[:i] {
	case "rt:":
		v[1] = 2
	case "ro:":
		v[1] = 3
	default:
		return v, true, false
	}
	addr, number, found := strings.Cut(s[i+1:], "]:")
	a, err := netip.ParseAddr(addr)
	n, rest, digits := leadingNumber([]byte(number), 0xffff)
	if !found || err != nil || !a.Is6() || a.Zone() != "" || !digits || len(rest) > 0 {
		return v, true, false
	}
	b := a.As16()
	copy(v[2:], b[:])
	binary.BigEndian.PutUint16(v[18:], uint16(n))
	return v, true, true
}

func (r *pathReader) readAggregator() *problem {
	s, ok := r.js.text()
	if !ok {
		return r.want(inAggregator, `an AS number and an address such as "65001 192.0.2.1"`)
	}
	a := &r.attrs
	at := len(a.buf)
	as, rest, ok := leadingNumber(s, 1<<32-1)
	if ok = ok && as != 0 && len(rest) > 1 && rest[0] == ' '; ok {
		a.buf = binary.BigEndian.AppendUint32(a.buf, as)
		ok = r.appendID(rest[1:])
	}
	if !ok {
		return bad("aggregator", `%q is not such as "65001 192.0.2.1"`, shown(s))
	}
	a.add(wire.AttrAggregator, flagsGlobal, at)
	return nil
}

// readUnknown reads attributes as their octets: {"type":99,"flags":192,"value":"00ff"}.
func (r *pathReader) readUnknown() *problem {
	const name = "unknown_attributes"
	const form = `a list such as [{"type":99,"flags":192,"value":"00ff"}]`
	if r.js.peek() != '[' {
		return r.want(inUnknownAttributes, form)
	}
	r.js.open('[', "")
	for first := true; r.js.more(']', &first); {
		if r.js.peek() != '{' {
			return r.want(inUnknownAttributes, form)
		}
		r.js.open('{', form)
		typ, flags, from := uint64(256), uint64(256), -1
		for one := true; r.js.more('}', &one); {
			k := r.js.key()
			if k == nil {
				break
			}
			ok := true
			switch string(k) {
			case "type":
				typ, ok = r.js.number(255)
			case "flags":
				flags, ok = r.js.number(255)
			case "value":
				from = len(r.attrs.buf)
				var s []byte
				if s, ok = r.js.text(); ok {
					var err error
					if r.attrs.buf, err = hex.AppendDecode(r.attrs.buf, s); err != nil {
						return bad(name, "value %q is not hex: an even number of digits 0-9 and a-f", shown(s))
					}
				}
			default:
				return bad(name, "%q is no field of an attribute: type, flags and value are", shown(k))
			}
			if !ok {
				return r.want(inUnknownAttributes, "a number from 0 to 255 for type and flags, hex for value")
			}
		}
		if r.js.wrong != "" {
			return r.js.problem()
		}
		if typ > 255 || from < 0 {
			return bad(name, "type or value is missing: %s is wanted", form)
		}
		if p := r.addUnknown(wire.AttrType(typ), flags, from); p != nil {
			return p
		}
	}
	if r.js.wrong != "" {
		return r.js.problem()
	}
	return nil
}

// addUnknown checks an attribute given by its octets. flags over 255 were not
// given.
func (r *pathReader) addUnknown(t wire.AttrType, flags uint64, from int) *problem {
	const name = "unknown_attributes"
	switch t {
	case wire.AttrMPReach, wire.AttrMPUnreach, wire.AttrAS4Path, wire.AttrAS4Aggregator:
		return bad(name, "%s (%d) is written by the encoder: it is not given", t, t)
	case 0:
		return bad(name, "the type 0 is reserved (RFC 4271)")
	}
	if shownAttr(t) {
		return bad(name, "%s (%d) has a field of its own", t, t)
	}
	if r.attrs.has(t) {
		return bad(name, "attribute %d is given twice (RFC 7606 3(g))", t)
	}
	const kind = wire.FlagOptional | wire.FlagTransitive
	want, known := t.Flags()
	switch {
	case flags > 255 && known:
		flags = uint64(want)
	case flags > 255:
		flags = uint64(kind)
	}
	b := byte(flags) &^ wire.FlagExtended
	switch {
	case known && b&kind != want:
		return bad(name, "the flags of %s (%d) are %d, not %d", t, t, want, flags)
	case !known && b&wire.FlagOptional == 0:
		return bad(name, "the flags %d of attribute %d say well-known, which nobody knows: 192 is optional and transitive, 128 optional (RFC 4271 4.3)", flags, t)
	case b&0x0f != 0:
		return bad(name, "the flags %d of attribute %d have one of the last four bits set, which are 0 (RFC 4271 4.3)", flags, t)
	case !t.LenOK(len(r.attrs.buf) - from):
		return bad(name, "%s (%d) can't be %d octets long", t, t, len(r.attrs.buf)-from)
	case b&wire.FlagPartial != 0 && b&kind != kind:
		return bad(name, "the flags %d of attribute %d: partial is for what is optional and transitive (RFC 4271 4.3)", flags, t)
	}
	r.attrs.add(t, b, from)
	return nil
}

// maxAttrs bounds the octets of a set: with them, a message of 65,535 octets (RFC
// 8654) has room for a route.
const maxAttrs = 65000

// together checks that no attribute that has to be there is missing, and puts
// them in the order of their types.
func (r *pathReader) together() *problem {
	a := &r.attrs
	// What is not said is what a speaker gives its own routes: ORIGIN IGP, and an
	// empty AS_PATH, to which ours is added towards external peers (RFC 4271 5.1.2).
	for _, m := range [...]struct {
		f input
		t wire.AttrType
	}{{inOrigin, wire.AttrOrigin}, {inASPath, wire.AttrASPath}} {
		if r.given.has(m.f) {
			continue
		}
		if r.named.has(m.f) {
			return bad(inputNames[m.f], "%s is mandatory and can't be null (RFC 4271 5): leave it out for that of an own route", m.t)
		}
		at := len(a.buf)
		if m.f == inOrigin {
			a.buf = append(a.buf, wire.OriginIGP)
		}
		a.add(m.t, flagsWellKnown, at)
	}
	if p := r.nextHop(); p != nil {
		return p
	}
	slices.SortFunc(a.list, func(x, y attrValue) int { return int(x.typ) - int(y.typ) })
	size := 0
	for _, v := range a.list {
		size += v.to - v.from + 4
	}
	if size > maxAttrs {
		return bad("body", "the attributes are %d octets long: %d fit into a message", size, maxAttrs)
	}
	at := len(r.mem)
	for _, v := range a.list {
		r.mem = wire.AppendAttr(r.mem, v.flags, v.typ, a.buf[v.from:v.to])
	}
	r.in.attrs = r.mem[at:len(r.mem):len(r.mem)]
	if r.rule == nil && flowspec.Is(r.in.family) { // ruleReader does it when it has written the actions
		return r.actions()
	}
	return nil
}

// actions checks those of a rule among the extended communities, and clears in
// them what is to be 0.
func (r *pathReader) actions() *problem {
	if err := flowspec.CheckActions(r.in.attrs); err != nil {
		return bad("ext_communities", "%s (%s)", err.Reason, err.RFC)
	}
	flowspec.CleanActions(r.in.attrs)
	return nil
}

// hex reads a string of hex digits into the reader's memory.
func (r *pathReader) hex(f input) ([]byte, *problem) {
	s, ok := r.js.text()
	if !ok {
		return nil, r.want(f, "hex in quotes")
	}
	at := len(r.mem)
	b, err := hex.AppendDecode(r.mem, s)
	if err != nil {
		return nil, bad(inputNames[f], "%q is not hex: an even number of digits 0-9 and a-f", shown(s))
	}
	r.mem = b
	return b[at:len(b):len(b)], nil
}

func quoted(s []byte) string { return `"` + shown(s) + `"` }
