//go:build linux

package peertest

import (
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
)

// birdRules writes rules as static routes. BIRD has no VPN forms, and of the
// operators' two forms of "any" and "none" the ones that have a value.
func birdRules(b *strings.Builder, rules []Rule) {
	for _, f := range []string{"ipv4-flowspec", "ipv6-flowspec"} {
		c := birdFamilies[f]
		fmt.Fprintf(b, "%s table %s;\nprotocol static s_%s {\n  %s;\n", c.channel, c.table, c.channel, c.channel)
		for _, r := range rules {
			if r.Family == f {
				fmt.Fprintf(b, "  route %s { %s };\n", birdRule(r), birdActions(r))
			}
		}
		b.WriteString("}\n")
	}
}

func birdActions(r Rule) string {
	var b strings.Builder
	b.WriteString("bgp_origin = ORIGIN_IGP; ")
	for _, a := range r.Actions {
		fmt.Fprintf(&b, "bgp_ext_community.add((generic, %#x, %#x)); ", a>>32, uint32(a))
	}
	return b.String()
}

// birdParts are the components' names, by type.
var birdParts = []string{1: "dst", "src", "proto", "port", "dport", "sport", "icmp type", "icmp code", "tcp flags", "length", "dscp", "fragment", "label"}

// birdRule writes `flow4 { dst 192.0.2.0/24; proto = 17; }`.
func birdRule(r Rule) string {
	var b strings.Builder
	b.WriteString("flow4 {")
	if r.Is6() {
		b.Reset()
		b.WriteString("flow6 {")
	}
	for _, p := range r.Parts {
		name := birdParts[p.Type]
		if r.Is6() && p.Type == 3 {
			name = "next header"
		}
		b.WriteString(" " + name)
		if p.Type <= 2 {
			fmt.Fprintf(&b, " %s", p.Prefix)
			if p.Offset > 0 {
				fmt.Fprintf(&b, " offset %d", p.Offset)
			}
		}
		for i, o := range p.Ops {
			if o.And {
				b.WriteString(" &&")
			} else if i > 0 {
				b.WriteString(" ||")
			}
			if p.Bitmask() {
				b.WriteString(birdBits(p.Type, o))
			} else if o.Op == "true" || o.Op == "false" {
				b.WriteString(" " + o.Op)
			} else {
				fmt.Fprintf(&b, " %s %d", o.Op, o.Value)
			}
		}
		b.WriteString(";")
	}
	b.WriteString(" }")
	return b.String()
}

// birdBits writes a value and its mask: "0x2/0x2" has all of the bits, "0x0/0x2"
// none; fragments have names and no masks.
func birdBits(kind uint8, o Op) string {
	if kind == 12 {
		not := ""
		if strings.HasPrefix(o.Op, "!") {
			not = "!"
		}
		for n, v := range names[12] {
			if v == o.Value && strings.Contains(n, "_") {
				return " " + not + n
			}
		}
		return " " + not + "?"
	}
	switch o.Op {
	case "=":
		return fmt.Sprintf(" %#x/%#x", o.Value, o.Value)
	case "!=":
		return fmt.Sprintf(" !%#x/%#x", o.Value, o.Value)
	case "!":
		return fmt.Sprintf(" 0x0/%#x", o.Value)
	}
	return fmt.Sprintf(" !0x0/%#x", o.Value)
}

func (d *bird) AnnounceRules(rules ...Rule) error {
	d.addRules(rules)
	return d.apply()
}

func (d *bird) WithdrawRules(rules ...Rule) error {
	d.removeRules(rules)
	return d.apply()
}

var (
	birdRuleLine = regexp.MustCompile(`^(?:flow[46] \{ (.*) \.{0,3}\})?\s+\[p\d+ `)
	birdCut      = regexp.MustCompile(`,[^,;]*$`)
	birdGeneric  = regexp.MustCompile(`\((generic|unknown|rt|ro)([^)]*)\)`)
)

func (d *bird) Rules(family string) ([]Rule, error) {
	out, err := d.ctl("show route all table " + birdFamilies[family].table + " where source = RTS_BGP")
	if err != nil {
		return nil, err
	}
	var rules []Rule
	var last []Part
	for l := range strings.Lines(out) {
		l = strings.TrimRight(l, "\n")
		if m := birdRuleLine.FindStringSubmatch(l); m != nil {
			if m[1] != "" {
				if !strings.HasSuffix(m[1], ";") {
					m[1] = birdCut.ReplaceAllString(m[1], ";") // it has no room for more
				}
				if last, err = birdReadParts(m[1]); err != nil {
					return nil, fmt.Errorf("bird: %q: %w", l, err)
				}
			}
			rules = append(rules, Rule{Family: family, Parts: last})
			continue
		}
		name, value, _ := strings.Cut(strings.TrimSpace(l), ": ")
		if len(rules) == 0 {
			continue
		}
		r := &rules[len(rules)-1]
		switch name {
		case "BGP.as_path":
			r.ASPath = birdSets(value)
		case "BGP.next_hop":
			r.NextHop, err = netip.ParseAddr(value)
		case "BGP.ext_community":
			r.Actions, err = birdReadActions(value)
		}
		if err != nil {
			return nil, fmt.Errorf("bird: %q: %w", l, err)
		}
	}
	return rules, nil
}

// birdReadActions reads "(generic, 0x80060000, 0x0) (unknown 0x10c, 192.0.2.1, 1)".
func birdReadActions(text string) (out []uint64, err error) {
	for _, m := range birdGeneric.FindAllStringSubmatch(text, -1) {
		f := strings.Split(m[2], ",")
		for i := range f {
			f[i] = strings.TrimSpace(f[i])
		}
		if len(f) != 3 {
			return nil, fmt.Errorf("community %q", m[0])
		}
		if m[1] == "generic" {
			hi, err1 := strconv.ParseUint(f[1], 0, 32)
			lo, err2 := strconv.ParseUint(f[2], 0, 32)
			if err1 != nil || err2 != nil {
				return nil, fmt.Errorf("community %q", m[0])
			}
			out = append(out, hi<<32|lo)
			continue
		}
		kind := map[string]uint64{"rt": 2, "ro": 3}[m[1]]
		if m[1] == "unknown" {
			if kind, err = strconv.ParseUint(f[0], 0, 16); err != nil {
				return nil, err
			}
		}
		v, err := admin(f[1] + ":" + f[2])
		if err != nil {
			return nil, err
		}
		out = append(out, kind<<48|v)
	}
	return out, nil
}

func birdReadParts(text string) (parts []Part, err error) {
	for field := range strings.SplitSeq(strings.TrimSuffix(text, ";"), ";") {
		field = strings.Replace(strings.TrimSpace(field), "next header", "proto", 1)
		p := Part{}
		for kind, name := range birdParts {
			if rest, ok := strings.CutPrefix(field, name+" "); ok && name != "" {
				p.Type, field = uint8(kind), rest
			}
		}
		switch {
		case p.Type == 0:
			err = fmt.Errorf("no component is named %q", field)
		case p.Type <= 2:
			err = p.prefix(strings.Replace(field, " offset ", "/", 1))
		default:
			p.Ops, err = birdReadOps(&p, field)
		}
		if err != nil {
			return nil, err
		}
		parts = append(parts, p)
	}
	return parts, nil
}

// birdReadOps reads "53,1024..2048 || > 1400", "!= 80 && != 8080" and bits.
func birdReadOps(p *Part, text string) ([]Op, error) {
	var b strings.Builder
	for i, or := range strings.FieldsFunc(strings.ReplaceAll(text, " || ", ","), func(c rune) bool { return c == ',' }) {
		if i > 0 {
			b.WriteByte('|')
		}
		for i, o := range strings.Split(or, " && ") {
			if i > 0 {
				b.WriteByte('&')
			}
			o = strings.ReplaceAll(strings.TrimSpace(o), " ", "")
			lo, hi, isRange := strings.Cut(o, "..")
			switch {
			case p.Bitmask():
				b.WriteString(birdReadBits(o))
			case isRange:
				b.WriteString(">=" + lo + "&<=" + hi)
			case strings.HasPrefix(o, "true"), strings.HasPrefix(o, "false"):
				b.WriteString(strings.TrimRight(o, "0123456789"))
			case strings.IndexAny(o, "!=<>") == 0:
				b.WriteString(o)
			default:
				b.WriteString("=" + o)
			}
		}
	}
	return parseOps(b.String())
}

// birdReadBits reads "!0x12/0x12" and "!is_fragment": see birdBits. Of a name
// "!" and "!!" are none of one bit and any of one.
func birdReadBits(s string) string {
	value, mask, ok := strings.Cut(strings.TrimLeft(s, "!"), "/")
	not := strings.Count(s, "!")
	switch {
	case !ok:
		return []string{"=", "!", ""}[not] + valueOf(12, value)
	case value == "0x0":
		return []string{"!", ""}[not] + mask
	}
	return []string{"=", "!="}[not] + mask
}
