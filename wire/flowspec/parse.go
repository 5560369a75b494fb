package flowspec

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"ribd/wire"
)

// ParseText reads a rule and its actions: "destination 203.0.113.0/24 protocol
// =udp destination-port =53 >=1024&<=2048 then rate-limit 1250000".
//
// Components are in any order; alternatives are joined by |, by commas or by
// blanks, conditions that must all hold by &. A bare value means equal, and for
// tcp-flags and fragment any of the bits; 1024-2048 is a range. A rule may begin
// with its family ("ipv6-flowspec") and a route distinguisher ("rd 65000:1",
// which makes it a VPN rule); without a family the prefixes tell the IP version,
// and a rule without either is of IPv4. "then" and the actions may be missing.
//
// The error names the word that is wrong and what would be right.
func ParseText(s string) (Rule, Actions, error) {
	words := strings.Fields(s)
	var a Actions
	if i := slices.IndexFunc(words, func(w string) bool { return strings.EqualFold(w, "then") }); i >= 0 {
		var err error
		if a, err = parseActions(words[i+1:]); err != nil {
			return Rule{}, Actions{}, err
		}
		words = words[:i]
	}
	r, err := parseRule(words)
	if err != nil {
		return Rule{}, Actions{}, fmt.Errorf("flowspec: %w", err)
	}
	return r, a, nil
}

// part is a component as it was written.
type part struct {
	word string
	t    Type
	text []string
}

func parseRule(words []string) (Rule, error) {
	var r Rule
	words, err := r.parseHead(words)
	if err != nil {
		return Rule{}, err
	}
	parts, err := split(words)
	if err != nil {
		return Rule{}, err
	}
	if len(parts) == 0 {
		return Rule{}, errors.New("a rule needs a component at least, such as destination 203.0.113.0/24")
	}
	if r.Family == 0 || r.Family == anyVPN {
		r.Family = makeFamily(slices.ContainsFunc(parts, part.is6), r.Family == anyVPN)
	}
	for _, p := range parts {
		c, err := parseComponent(r.Family, p.t, p.text)
		if err != nil {
			return Rule{}, fmt.Errorf("%s: %w", p.word, err)
		}
		r.Components = append(r.Components, c)
	}
	slices.SortStableFunc(r.Components, byType)
	if _, err := r.AppendNLRI(nil); err != nil {
		return Rule{}, errors.New(strings.TrimPrefix(err.Error(), "flowspec: "))
	}
	return r, nil
}

// anyVPN stands for a VPN family whose IP version is not known yet.
const anyVPN wire.Family = 134

// parseHead reads the family and the route distinguisher.
func (r *Rule) parseHead(words []string) ([]string, error) {
	if len(words) != 0 && strings.Contains(words[0], "flowspec") {
		f, err := wire.ParseFamily(words[0])
		if err != nil || !Is(f) {
			return nil, fmt.Errorf("no family of rules is called %q (ipv4-flowspec, ipv6-flowspec, ipv4-flowspec-vpn, ipv6-flowspec-vpn)", words[0])
		}
		r.Family, words = f, words[1:]
	}
	if len(words) == 0 || words[0] != "rd" {
		if IsVPN(r.Family) {
			return nil, fmt.Errorf("%v needs a route distinguisher, such as rd 65000:1", r.Family)
		}
		return words, nil
	}
	if len(words) == 1 {
		return nil, errors.New("rd: no route distinguisher (such as 65000:1 or 192.0.2.1:1)")
	}
	rd, err := ParseRD(words[1])
	if err != nil {
		return nil, fmt.Errorf("rd: %w", err)
	}
	r.RD = rd
	switch {
	case r.Family == 0:
		r.Family = anyVPN
	case !IsVPN(r.Family):
		return nil, fmt.Errorf("rd: %v has no route distinguisher, meant is %v", r.Family, makeFamily(Is6(r.Family), true))
	}
	return words[2:], nil
}

// split cuts the words at those that name a component.
func split(words []string) ([]part, error) {
	var parts []part
	for _, w := range words {
		if t := typeOf(w); t != 0 {
			if slices.ContainsFunc(parts, func(p part) bool { return p.t == t }) {
				return nil, fmt.Errorf("%s is there twice (alternatives are joined by |)", w)
			}
			parts = append(parts, part{word: w, t: t})
			continue
		}
		if len(parts) == 0 {
			_, err := ParseType(w)
			return nil, err
		}
		p := &parts[len(parts)-1]
		p.text = append(p.text, w)
	}
	return parts, nil
}

// is6 is true where the part can only be of IPv6.
func (p part) is6() bool {
	switch {
	case p.t.IsPrefix():
		return len(p.text) > 0 && strings.Contains(p.text[0], ":")
	case p.t == TypeFlowLabel:
		return true
	}
	return p.word == "next-header" || p.word == "traffic-class" || p.word == "upper-layer-protocol"
}

// ParseComponent reads what Component.AppendText writes, and all that ParseText
// understands behind the name of the type.
func ParseComponent(f wire.Family, t Type, text string) (Component, error) {
	c, err := parseComponent(f, t, strings.Fields(text))
	if err != nil {
		return Component{}, fmt.Errorf("%v: %w", t, err)
	}
	return c, nil
}

func parseComponent(f wire.Family, t Type, words []string) (Component, error) {
	c := Component{Type: t}
	if len(words) == 0 {
		return c, fmt.Errorf("nothing behind it (such as %s)", example(t))
	}
	var err error
	if t.IsPrefix() {
		err = c.parsePrefix(words)
	} else {
		p := opParser{s: strings.Join(words, " "), t: t, v6: Is6(f)}
		c.Ops, err = p.parse()
	}
	if err != nil {
		return Component{}, err
	}
	if _, err := c.append(nil, Is6(f)); err != nil {
		return Component{}, err
	}
	return c, nil
}

// parsePrefix reads a prefix and its offset: "::1234:0:0/104 offset 65", or as
// others write it "::1234:0:0/104/65" and, in RFC 8956, "::1234:0:0/65-104". An
// address is the prefix of it alone.
func (c *Component) parsePrefix(words []string) error {
	s, offset := words[0], ""
	addr, bits, slash := strings.Cut(s, "/")
	if length, off, ok := strings.Cut(bits, "/"); ok {
		bits, offset = length, off
	} else if off, length, ok := strings.Cut(bits, "-"); ok {
		bits, offset = length, off
	}
	switch {
	case len(words) == 1:
	case words[1] == "offset" && len(words) == 3 && offset == "":
		offset = words[2]
	default:
		return fmt.Errorf("%q behind the prefix (only offset N may be, once)", strings.Join(words[1:], " "))
	}
	a, err := netip.ParseAddr(addr)
	if err != nil || a.Zone() != "" {
		return fmt.Errorf("%q is not a prefix (such as 203.0.113.0/24 or 2001:db8::/32)", s)
	}
	n := a.BitLen()
	if slash {
		if n, err = parseBits(bits, a.BitLen()); err != nil {
			return fmt.Errorf("%q: the length %q is not a number from 0 to %d", s, bits, a.BitLen())
		}
	}
	if offset != "" {
		off, err := parseBits(offset, 128)
		if err != nil {
			return fmt.Errorf("%q: the offset %q is not a number from 0 to 127", s, offset)
		}
		c.Offset = uint8(off)
	}
	c.Prefix = netip.PrefixFrom(a, n)
	return nil
}

func parseBits(s string, most int) (int, error) {
	n, err := strconv.ParseUint(s, 10, 8)
	if err != nil || n > uint64(most) || s != strconv.FormatUint(n, 10) {
		return 0, errors.New("not a number of bits")
	}
	return int(n), nil
}

// opParser reads operators and values.
type opParser struct {
	s  string
	at int
	t  Type
	v6 bool
}

func (p *opParser) parse() ([]Op, error) {
	var ops []Op
	for and := false; ; {
		joint := p.joint()
		if p.at == len(p.s) {
			if joint != 0 {
				return nil, fmt.Errorf("nothing behind %q", joint)
			}
			break
		}
		if joint != 0 && ops == nil {
			return nil, fmt.Errorf("nothing before %q", joint)
		}
		and = joint == '&'
		start := p.at
		next, err := p.op()
		if err != nil {
			return nil, err
		}
		if p.at == start {
			return nil, fmt.Errorf("%q is not understood (such as %s)", p.s[start:], example(p.t))
		}
		next[0].And = and
		ops = append(ops, next...)
	}
	if ops == nil {
		return nil, fmt.Errorf("nothing to compare with (such as %s)", example(p.t))
	}
	return ops, nil
}

// joint reads blanks, brackets as others write them round a list, and at most
// one of | , and &.
func (p *opParser) joint() (joint byte) {
	for ; p.at < len(p.s); p.at++ {
		switch c := p.s[p.at]; c {
		case ' ', '\t', '[', ']':
		case '|', ',', '&':
			if joint != 0 {
				return joint
			}
			joint = c
		default:
			return joint
		}
	}
	return joint
}

// op reads an operator and a value, or a range, which is two.
func (p *opParser) op() ([]Op, error) {
	kind, said, err := p.kind()
	if err != nil {
		return nil, err
	}
	for p.at < len(p.s) && p.s[p.at] == ' ' {
		p.at++
	}
	start := p.at
	for p.at < len(p.s) && !strings.ContainsRune(" \t[]|,&=<>!", rune(p.s[p.at])) {
		p.at++
	}
	word := p.s[start:p.at]
	if p.t == TypeFragment && strings.ReplaceAll(strings.ToLower(word), "_", "-") == "not-a-fragment" && !said {
		return []Op{{Kind: Not, Value: uint64(IsF | FF)}}, nil
	}
	if from, to, ok := strings.Cut(word, "-"); ok && !p.t.IsBitmask() && kind == EQ {
		if a, err := parseUint(from); err == nil {
			return p.between(word, a, to)
		}
	}
	o := Op{Kind: kind}
	if word == "" && !p.t.IsBitmask() && (kind == 0 || kind == opKind) {
		return []Op{o}, nil
	}
	word, octets, long := strings.Cut(word, "/")
	if o.Value, err = ParseValue(p.v6, p.t, word); err != nil {
		return nil, err
	}
	if long {
		n, err := strconv.ParseUint(octets, 10, 8)
		if err != nil || n != 1 && n != 2 && n != 4 && n != 8 {
			return nil, fmt.Errorf("%q: a value has 1, 2, 4 or 8 octets", word+"/"+octets)
		}
		if int(n) != o.octets(p.t) {
			o.Len = uint8(n)
		}
	} else if o.Value > p.t.most() {
		return nil, fmt.Errorf("%s is over %d", word, p.t.most())
	}
	return []Op{o}, nil
}

// between makes the two comparisons of a range.
func (p *opParser) between(word string, from uint64, last string) ([]Op, error) {
	to, err := parseUint(last)
	if err != nil || from > to || to > p.t.most() {
		return nil, fmt.Errorf("%q is not a range of numbers up to %d (such as 1024-2048)", word, p.t.most())
	}
	return []Op{{Kind: GT | EQ, Value: from}, {And: true, Kind: LT | EQ, Value: to}}, nil
}

// kind reads an operator; without one a number is compared for equality, bits
// for any of them. said is true where there was one.
func (p *opParser) kind() (kind Kind, said bool, err error) {
	if !p.t.IsBitmask() {
		for k, word := range [...]string{0: "false", opKind: "true"} {
			if rest := p.s[p.at:]; word != "" && strings.HasPrefix(rest, word) {
				p.at += len(word)
				if strings.HasPrefix(p.s[p.at:], ":") {
					p.at++
				}
				return Kind(k), true, nil
			}
		}
	}
	start := p.at
	for p.at < len(p.s) && strings.IndexByte("=<>!", p.s[p.at]) >= 0 {
		p.at++
	}
	word := p.s[start:p.at]
	if p.t.IsBitmask() {
		switch word {
		case "":
			return 0, false, nil
		case "=", "==":
			return Match, true, nil
		case "!":
			return Not, true, nil
		case "!=":
			return Not | Match, true, nil
		}
		return 0, true, fmt.Errorf("no such operator: %q (bits take =, ! and !=)", word)
	}
	switch word {
	case "", "=", "==":
		return EQ, word != "", nil
	case ">":
		return GT, true, nil
	case ">=", "=>":
		return GT | EQ, true, nil
	case "<":
		return LT, true, nil
	case "<=", "=<":
		return LT | EQ, true, nil
	case "!=", "<>", "!":
		return LT | GT, true, nil
	}
	return 0, true, fmt.Errorf("no such operator: %q (numbers take =, !=, <, <=, > and >=)", word)
}

// ParseRD reads a route distinguisher as wire.AppendRD writes it: "65000:1",
// "192.0.2.1:1", "65536L:1" or 0x and 16 hex digits (RFC 4364 section 4.2).
func ParseRD(s string) (uint64, error) {
	bad := fmt.Errorf("%q is not a route distinguisher (such as 65000:1, 65536L:1 or 192.0.2.1:1)", s)
	if hex, ok := strings.CutPrefix(s, "0x"); ok {
		rd, err := strconv.ParseUint(hex, 16, 64)
		if err != nil || len(hex) != 16 {
			return 0, bad
		}
		return rd, nil
	}
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		return 0, bad
	}
	admin, wide := strings.CutSuffix(s[:i], "L")
	most := uint64(0xffff)
	if a, err := netip.ParseAddr(admin); err == nil && a.Is4() && !wide {
		n, err := strconv.ParseUint(s[i+1:], 10, 16)
		if err != nil {
			return 0, bad
		}
		b := a.As4()
		return 1<<48 | uint64(b[0])<<40 | uint64(b[1])<<32 | uint64(b[2])<<24 | uint64(b[3])<<16 | n, nil
	}
	as, err := strconv.ParseUint(admin, 10, 32)
	if wide = wide || as > 0xffff; !wide {
		most = 0xffffffff
	}
	n, err2 := strconv.ParseUint(s[i+1:], 10, 32)
	switch {
	case err != nil || err2 != nil || n > most:
		return 0, bad
	case wide:
		return 2<<48 | as<<16 | n, nil
	}
	return as<<32 | n, nil
}
