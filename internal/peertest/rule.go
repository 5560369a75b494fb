//go:build linux

package peertest

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Rule is a Flow Spec rule as any daemon has it: in numbers alone, so that
// rules are compared and not the names that daemons know.
type Rule struct {
	Family string // "ipv4-flowspec", "ipv6-flowspec-vpn"
	RD     string // "65001:1"; "" in families without one
	Parts  []Part // in the order of their types
	// Actions are extended communities, 8 octets each.
	Actions []uint64
	// NextHop is the rule's own, most have none.
	NextHop netip.Addr
	ASPath  string
}

// Part is one component of a rule.
type Part struct {
	Type   uint8 // RFC 8955 4.2.2: 1 destination … 13 flow label
	Prefix netip.Prefix
	Offset uint8 // IPv6 prefixes: the first bit that counts
	Ops    []Op
}

// Op is an operator with its value. Of types 9 and 12 it is a bitmask: "=" all
// of these bits, "!=" not all, "" any of them, "!" none; of others "=", "!=",
// "<", "<=", ">", ">=", "true", "false".
type Op struct {
	And   bool
	Op    string
	Value uint64
}

// partNames are the components' names in rules' texts, by type.
var partNames = []string{1: "destination", "source", "protocol", "port", "destination-port", "source-port",
	"icmp-type", "icmp-code", "tcp-flags", "packet-length", "dscp", "fragment", "flow-label"}

// Bitmask is true for components whose values are bits.
func (p *Part) Bitmask() bool { return p.Type == 9 || p.Type == 12 }

// Is6 is true for the IPv6 families.
func (r *Rule) Is6() bool { return strings.HasPrefix(r.Family, "ipv6") }

// ParseRule reads what Match returns, and actions behind "then":
//
//	destination 203.0.113.0/24; protocol =17; destination-port =53|>=1024&<=2048 then 8006000000000000
//
// Bits may be in hex, an IPv6 offset stands behind its prefix: 2001:db8::/64/32.
func ParseRule(family, s string) (r Rule, err error) {
	r.Family = family
	s, then, _ := strings.Cut(s, " then ")
	for word := range strings.FieldsSeq(then) {
		a, err := strconv.ParseUint(word, 16, 64)
		if err != nil {
			return r, fmt.Errorf("action %q: %w", word, err)
		}
		r.Actions = append(r.Actions, a)
	}
	for part := range strings.SplitSeq(s, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), " ")
		if name == "rd" {
			r.RD = value
			continue
		}
		p := Part{Type: uint8(max(0, slices.Index(partNames, name)))}
		switch {
		case p.Type == 0:
			err = fmt.Errorf("no component is named %q", name)
		case p.Type <= 2:
			err = p.prefix(value)
		default:
			p.Ops, err = parseOps(value)
		}
		if err != nil {
			return r, fmt.Errorf("%s: %w", part, err)
		}
		r.Parts = append(r.Parts, p)
	}
	r.sort()
	return r, nil
}

// MustRule is ParseRule for rules that tests write down.
func MustRule(family, s string) Rule {
	r, err := ParseRule(family, s)
	if err != nil {
		panic(err)
	}
	return r
}

// prefix reads 203.0.113.0/24 and 2001:db8::/64/32.
func (p *Part) prefix(s string) (err error) {
	if strings.Count(s, "/") == 2 {
		i := strings.LastIndexByte(s, '/')
		n, err := strconv.ParseUint(s[i+1:], 10, 7)
		if err != nil {
			return err
		}
		p.Offset, s = uint8(n), s[:i]
	}
	p.Prefix, err = netip.ParsePrefix(s)
	return err
}

func parseOps(s string) (ops []Op, err error) {
	for s != "" {
		o := Op{}
		switch s[0] {
		case '&':
			o.And, s = true, s[1:]
		case '|':
			s = s[1:]
		}
		n := 0
		for n < len(s) && strings.IndexByte("=!<>", s[n]) >= 0 {
			n++
		}
		o.Op, s = s[:n], s[n:]
		end := strings.IndexAny(s, "&|")
		if end < 0 {
			end = len(s)
		}
		value := s[:end]
		s = s[end:]
		if value == "true" || value == "false" {
			o.Op = value
		} else if o.Value, err = strconv.ParseUint(value, 0, 64); err != nil {
			return nil, err
		}
		ops = append(ops, o)
	}
	if len(ops) == 0 {
		err = fmt.Errorf("no operator")
	}
	return ops, err
}

func (r *Rule) sort() {
	slices.SortStableFunc(r.Parts, func(a, b Part) int { return cmp.Compare(a.Type, b.Type) })
	slices.Sort(r.Actions)
}

// Match returns the rule's components in ParseRule's words.
func (r *Rule) Match() string {
	var b strings.Builder
	for i, p := range r.Parts {
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(partNames[p.Type] + " ")
		if p.Type <= 2 {
			b.WriteString(p.Prefix.String())
			if p.Offset > 0 {
				fmt.Fprintf(&b, "/%d", p.Offset)
			}
		}
		for i, o := range p.Ops {
			if o.And {
				b.WriteByte('&')
			} else if i > 0 {
				b.WriteByte('|')
			}
			if o.Op == "true" || o.Op == "false" {
				b.WriteString(o.Op)
			} else if b.WriteString(o.Op); p.Bitmask() {
				fmt.Fprintf(&b, "%#x", o.Value)
			} else {
				fmt.Fprint(&b, o.Value)
			}
		}
	}
	return b.String()
}

// String returns the rule in one line; what is equal prints alike.
func (r Rule) String() string {
	r.Actions = slices.Sorted(slices.Values(r.Actions))
	var b strings.Builder
	b.WriteString(r.Family + " ")
	if r.RD != "" {
		b.WriteString("rd " + r.RD + "; ")
	}
	b.WriteString(r.Match())
	if len(r.Actions) > 0 {
		b.WriteString(" then")
		for _, a := range r.Actions {
			fmt.Fprintf(&b, " %016x", a)
		}
	}
	if r.NextHop.IsValid() {
		fmt.Fprintf(&b, " via %s", r.NextHop)
	}
	if r.ASPath != "" {
		fmt.Fprintf(&b, " path [%s]", r.ASPath)
	}
	return b.String()
}

// FlowSpec is what a router with Flow Spec has besides.
type FlowSpec interface {
	Router
	// AnnounceRules originates rules, WithdrawRules takes them back.
	AnnounceRules(rules ...Rule) error
	WithdrawRules(rules ...Rule) error
	// Rules returns what it learned of a family.
	Rules(family string) ([]Rule, error)
}

// DiffRules says how got differs from want after the masks, nil where it does
// not.
func DiffRules(got, want []Rule, masks ...func(r *Rule)) error {
	lines := func(l []Rule) []string {
		out := make([]string, len(l))
		for i, r := range l {
			r.Parts, r.Actions = slices.Clone(r.Parts), slices.Clone(r.Actions)
			for _, m := range masks {
				m(&r)
			}
			out[i] = r.String()
		}
		slices.Sort(out)
		return out
	}
	return diffLines(lines(got), lines(want), "rules")
}
