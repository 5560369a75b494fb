package flowspec

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"ribd/wire"
)

// Rule is an NLRI taken apart. The zero value with a family is a rule without
// components, which no NLRI can have: it is an error to write it.
type Rule struct {
	Family     wire.Family // one of the four
	RD         uint64      // of the VPN families
	Components []Component // in any order, no type twice
}

// Component is one condition of a rule; a packet has to fit all of them.
type Component struct {
	Type Type
	// Prefix and Offset are of TypeDestination and TypeSource: bits Offset to
	// Prefix.Bits() of the address are compared, those of Prefix outside of them
	// are zero. Offset is of IPv6 only (RFC 8956 section 3.1).
	Prefix netip.Prefix
	Offset uint8
	// Ops are of the other types: what the field is compared with.
	Ops []Op
}

// Op compares a field with a value.
type Op struct {
	// And joins this comparison to the one before; without it a new alternative
	// begins. That of the first is ignored (RFC 8955 section 4.2.1).
	And  bool
	Kind Kind
	// Value is what the field is compared with.
	Value uint64
	// Len is the octets of the value on the wire: 1, 2, 4 or 8; 0 is what RFC
	// 8955 and 8956 advise: as few as it needs, 4 for a flow label.
	Len uint8
}

// Kind says how an Op compares: with EQ, GT and LT in the types that compare
// numbers, Match and Not in those that compare bits (Type.IsBitmask).
type Kind uint8

// The ways to compare numbers (RFC 8955 section 4.2.1.1). They are bits: GT|EQ
// is at least, LT|EQ at most, LT|GT not equal; none of them is never true, all
// of them always.
const (
	EQ Kind = 1
	GT Kind = 2
	LT Kind = 4
)

// The ways to compare bits (RFC 8955 section 4.2.1.2). Without Match the
// comparison is true where any bit of the value is set in the field, with it
// where all are; Not inverts it.
const (
	Match Kind = 1
	Not   Kind = 2
)

// Parse takes an NLRI apart, length field included. The error, where there is
// one, is what Canonical says.
func Parse(f wire.Family, nlri []byte) (Rule, error) {
	if !Is(f) {
		return Rule{}, fmt.Errorf("flowspec: %v is no family of Flow Spec rules", f)
	}
	b, e := Canonical(nil, f, nlri)
	if e != nil {
		return Rule{}, e
	}
	return parse(f, b), nil
}

// parse takes a canonical NLRI apart.
func parse(f wire.Family, nlri []byte) Rule {
	r, v6 := Rule{Family: f, RD: RD(f, nlri)}, Is6(f)
	for b := components(f, nlri); len(b) != 0; {
		c := Component{Type: Type(b[0])}
		n := componentLen(v6, b)
		if c.Type.IsPrefix() {
			c.Prefix, c.Offset, _ = prefixOf(v6, b)
		} else {
			c.Ops = parseOps(c.Type, b[1:n])
		}
		r.Components = append(r.Components, c)
		b = b[n:]
	}
	return r
}

func parseOps(t Type, b []byte) []Op {
	ops := make([]Op, 0, len(b)/2)
	for len(b) != 0 {
		op := Op{And: b[0]&opAnd != 0, Kind: Kind(b[0] & opKind)}
		n := opOctets(b[0])
		for _, o := range b[1 : 1+n] {
			op.Value = op.Value<<8 | uint64(o)
		}
		if n != op.octets(t) {
			op.Len = uint8(n)
		}
		ops = append(ops, op)
		b = b[1+n:]
	}
	return ops
}

// octets returns the octets that the value has on the wire.
func (o *Op) octets(t Type) int {
	switch {
	case o.Len != 0:
		return int(o.Len)
	case o.Value > 0xffffffff:
		return 8
	case o.Value > 0xffff || t == TypeFlowLabel:
		return 4
	case o.Value > 0xff:
		return 2
	}
	return 1
}

// AppendNLRI appends the rule's canonical NLRI, its components in the order that
// they need. The error says what is wrong with the rule; dst is as it was then.
func (r *Rule) AppendNLRI(dst []byte) ([]byte, error) {
	if !Is(r.Family) {
		return dst, fmt.Errorf("flowspec: %v is no family of Flow Spec rules", r.Family)
	}
	if r.RD != 0 && !IsVPN(r.Family) {
		return dst, fmt.Errorf("flowspec: %v has no route distinguisher", r.Family)
	}
	if len(r.Components) == 0 {
		return dst, errors.New("flowspec: a rule needs a component at least (RFC 8955 4.2)")
	}
	var room [256]byte
	b := room[:0]
	if IsVPN(r.Family) {
		b = binary.BigEndian.AppendUint64(b, r.RD)
	}
	cs := r.Components
	if !slices.IsSortedFunc(cs, byType) {
		cs = slices.Clone(cs)
		slices.SortStableFunc(cs, byType)
	}
	for i := range cs {
		if i > 0 && cs[i].Type == cs[i-1].Type {
			return dst, fmt.Errorf("flowspec: %v is there twice (alternatives are joined by |)", cs[i].Type)
		}
		var err error
		if b, err = cs[i].append(b, Is6(r.Family)); err != nil {
			return dst, fmt.Errorf("flowspec: %v: %w", cs[i].Type, err)
		}
	}
	switch n := len(b); {
	case n > MaxLen:
		return dst, fmt.Errorf("flowspec: the rule has %d octets, and may have %d (RFC 8955 4.1)", n, MaxLen)
	case n < 240:
		dst = append(dst, byte(n))
	default:
		dst = append(dst, 0xf0|byte(n>>8), byte(n))
	}
	return append(dst, b...), nil
}

func byType(a, b Component) int { return int(a.Type) - int(b.Type) }

func (c *Component) append(dst []byte, v6 bool) ([]byte, error) {
	if c.Type == 0 || c.Type > lastType {
		return dst, errors.New("no such component type")
	}
	if c.Type == TypeFlowLabel && !v6 {
		return dst, errors.New("IPv4 has none")
	}
	dst = append(dst, byte(c.Type))
	if c.Type.IsPrefix() {
		return c.appendPrefix(dst, v6)
	}
	if len(c.Ops) == 0 {
		return dst, errors.New("nothing to compare with")
	}
	for i := range c.Ops {
		var err error
		if dst, err = c.Ops[i].append(dst, c.Type, v6, i == 0, i == len(c.Ops)-1); err != nil {
			return dst, err
		}
	}
	return dst, nil
}

func (c *Component) appendPrefix(dst []byte, v6 bool) ([]byte, error) {
	p, n := c.Prefix, c.Prefix.Bits()
	switch {
	case !p.IsValid():
		return dst, errors.New("no prefix")
	case p.Addr().Is4() == v6 && v6:
		return dst, fmt.Errorf("%v is not an IPv6 prefix", p)
	case p.Addr().Is4() == v6:
		return dst, fmt.Errorf("%v is not an IPv4 prefix", p)
	case !v6 && c.Offset != 0:
		return dst, errors.New("IPv4 prefixes have no offset")
	case v6 && int(c.Offset) >= n && (c.Offset != 0 || n != 0):
		return dst, fmt.Errorf("offset %d is not under the length %d", c.Offset, n)
	case p != p.Masked():
		return dst, fmt.Errorf("%v has bits behind its length, meant is %v", p, p.Masked())
	}
	if !v6 {
		a := p.Addr().As4()
		return append(append(dst, byte(n)), a[:(n+7)/8]...), nil
	}
	a := p.Addr().As16()
	hi, lo := binary.BigEndian.Uint64(a[:]), binary.BigEndian.Uint64(a[8:])
	if h, l := shiftRight(hi, lo, 128-c.Offset); c.Offset != 0 && (h != 0 || l != 0) {
		return dst, fmt.Errorf("%v has bits before its offset %d", p, c.Offset)
	}
	hi, lo = shiftLeft(hi, lo, c.Offset)
	binary.BigEndian.PutUint64(a[:], hi)
	binary.BigEndian.PutUint64(a[8:], lo)
	return append(append(dst, byte(n), c.Offset), a[:(n-int(c.Offset)+7)/8]...), nil
}

func (o *Op) append(dst []byte, t Type, v6, first, last bool) ([]byte, error) {
	n, kinds := o.octets(t), Kind(opKind)
	if t.IsBitmask() {
		kinds = opBitKind
	}
	switch {
	case o.Kind&^kinds != 0:
		return dst, fmt.Errorf("no such comparison: %d", o.Kind)
	case n != 1 && n != 2 && n != 4 && n != 8:
		return dst, fmt.Errorf("a value has 1, 2, 4 or 8 octets, not %d", n)
	case n > t.maxOctets():
		return dst, fmt.Errorf("%d has more octets than the %d that a value may have", o.Value, t.maxOctets())
	case n < 8 && o.Value>>(8*n) != 0:
		return dst, fmt.Errorf("%d does not fit into %d octets", o.Value, n)
	case t == TypeFragment && v6 && o.Value&uint64(DF) != 0:
		return dst, errors.New("IPv6 has no dont-fragment bit (RFC 8956 3.6)")
	case o.Value&^t.valueMask(v6) != 0:
		return dst, fmt.Errorf("%d is over %d", o.Value, t.valueMask(v6))
	}
	op := byte(o.Kind) | [...]byte{1: 0, 2: 0x10, 4: 0x20, 8: 0x30}[n]
	if o.And && !first {
		op |= opAnd
	}
	if last {
		op |= opEnd
	}
	dst = append(dst, op)
	for n--; n >= 0; n-- {
		dst = append(dst, byte(o.Value>>(8*n)))
	}
	return dst, nil
}

// Component returns the component of a type, nil where the rule has none.
func (r *Rule) Component(t Type) *Component {
	for i := range r.Components {
		if r.Components[i].Type == t {
			return &r.Components[i]
		}
	}
	return nil
}
