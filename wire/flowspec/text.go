package flowspec

import (
	"strconv"

	"ribd/wire"
)

// String returns the text of the rule, which ParseText reads back:
// "destination 203.0.113.0/24 protocol =udp destination-port =53|>=1024&<=2048".
// A VPN rule begins with its route distinguisher, "rd 65000:1". A rule that
// says nothing about its IP version begins with its family where that is not
// IPv4.
func (r *Rule) String() string { return string(r.AppendText(nil)) }

// AppendText appends what String returns.
func (r *Rule) AppendText(dst []byte) []byte {
	start := len(dst)
	blank := func() {
		if len(dst) > start {
			dst = append(dst, ' ')
		}
	}
	v6 := Is6(r.Family)
	if v6 && !r.tellsVersion() {
		dst = append(dst, r.Family.String()...)
	}
	if IsVPN(r.Family) {
		blank()
		dst = wire.AppendRD(append(dst, "rd "...), r.RD)
	}
	for i := range r.Components {
		c := &r.Components[i]
		blank()
		dst = append(append(dst, c.Type.String()...), ' ')
		dst = c.AppendText(dst, v6)
		if c.Offset != 0 {
			dst = strconv.AppendUint(append(dst, " offset "...), uint64(c.Offset), 10)
		}
	}
	return dst
}

// tellsVersion is true where a component can only be of IPv6.
func (r *Rule) tellsVersion() bool {
	for i := range r.Components {
		if t := r.Components[i].Type; t.IsPrefix() || t == TypeFlowLabel {
			return true
		}
	}
	return false
}

// NLRIText appends the text of a canonical NLRI of family f, as Rule.AppendText
// writes it.
func NLRIText(dst []byte, f wire.Family, nlri []byte) []byte {
	r := parse(f, nlri)
	return r.AppendText(dst)
}

// Text returns a rule and what is done, as ParseText reads it: "destination
// 203.0.113.0/24 protocol =udp then rate-limit 0"; "then accept" where there is
// no action.
func Text(r *Rule, a *Actions) string {
	b := append(r.AppendText(nil), " then "...)
	if a.Empty() {
		return string(append(b, "accept"...))
	}
	return string(a.AppendText(b))
}

// AppendText appends what the component compares with, without its type:
// "203.0.113.0/24", "=53|>=1024&<=2048", "=syn&!ack". A prefix is without its
// offset. A value that does not have the octets it would be written with says
// how many it has: "=53/2".
func (c *Component) AppendText(dst []byte, v6 bool) []byte {
	if c.Type.IsPrefix() {
		return c.Prefix.AppendTo(dst)
	}
	for i := range c.Ops {
		o := &c.Ops[i]
		switch {
		case i == 0:
		case o.And:
			dst = append(dst, '&')
		default:
			dst = append(dst, '|')
		}
		dst = append(dst, o.Kind.text(c.Type.IsBitmask())...)
		dst = appendValue(dst, c.Type, v6, o.Value)
		if o.Len != 0 || o.Value > c.Type.most() {
			dst = strconv.AppendInt(append(dst, '/'), int64(o.octets(c.Type)), 10)
		}
	}
	return dst
}

// Text returns what AppendText appends.
func (c *Component) Text(v6 bool) string { return string(c.AppendText(nil, v6)) }

// kindTexts are the operators of numbers, by Kind.
var kindTexts = [...]string{
	0: "false:", EQ: "=", GT: ">", GT | EQ: ">=", LT: "<", LT | EQ: "<=", LT | GT: "!=", LT | GT | EQ: "true:",
}

// bitKindTexts are the operators of bits, by Kind.
var bitKindTexts = [...]string{0: "", Match: "=", Not: "!", Not | Match: "!="}

func (k Kind) text(bits bool) string {
	switch {
	case bits && int(k) < len(bitKindTexts):
		return bitKindTexts[k]
	case !bits && int(k) < len(kindTexts):
		return kindTexts[k]
	}
	return "?"
}
