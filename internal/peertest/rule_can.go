//go:build linux

package peertest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// RuleFamilies are the Flow Spec families that daemons of all these kinds know.
func RuleFamilies(kinds ...Kind) []string {
	l := []string{"ipv4-flowspec", "ipv6-flowspec", "ipv4-flowspec-vpn", "ipv6-flowspec-vpn"}
	if slices.Contains(kinds, BIRD) || slices.Contains(kinds, FRR) {
		l = l[:2]
	}
	return l
}

// Announces says why a daemon has no words for a rule, nil where it has.
func Announces(k Kind, r *Rule) error {
	switch k {
	case FRR:
		return fmt.Errorf("FRR originates no rules")
	case BIRD:
		if r.RD != "" {
			return fmt.Errorf("BIRD has no VPN forms")
		}
	case GoBGP4:
		if r.octets() >= 240 {
			return fmt.Errorf("GoBGP writes the length of 240 and more without the f before it (RFC 8955 4.1)")
		}
	}
	for i := range r.Parts {
		p := &r.Parts[i]
		if p.Offset > 0 && k == GoBGP4 {
			return fmt.Errorf("GoBGP writes the bits before the offset (RFC 8956 3.1: pattern begins at it)")
		}
		for _, o := range p.Ops {
			switch {
			case (o.Op == "true" || o.Op == "false") && k != ExaBGP:
				return fmt.Errorf("%s has no word for %s", k, o.Op)
			case k == BIRD && p.Type == 12 && (o.Value&(o.Value-1) != 0 || o.Op == "" || o.Op == "!="):
				return fmt.Errorf("BIRD's fragments are one bit each, all of it or none")
			case k == BIRD && p.Type == 13 && o.Value > 0xffff:
				return fmt.Errorf("BIRD writes the lower 16 bits of a flow label")
			}
		}
	}
	if k == GoBGP4 {
		_, err := gobgpWords(*r)
		return err
	}
	return nil
}

// Takes says why a daemon cannot be sent a rule, nil where it can.
func Takes(k Kind, r *Rule) error {
	if !slices.Contains(RuleFamilies(k), r.Family) {
		return fmt.Errorf("%s does not know the family", k)
	}
	if (k == FRR || k == GoBGP4) && r.octets() >= 240 {
		return fmt.Errorf("%s ends the session over an NLRI of 240 octets and more (RFC 8955 4.1 has 4095)", k)
	}
	for i := range r.Parts {
		p := &r.Parts[i]
		if p.Offset > 0 && (k == GoBGP4 || k == FRR) {
			return fmt.Errorf("%s takes the pattern for the prefix's first bits, and octets behind it (RFC 8956 3.1)", k)
		}
		for _, o := range p.Ops {
			switch {
			case k != FRR || p.Bitmask():
			case o.Op == "!=" || o.Op == "true":
				return fmt.Errorf("FRR ends the session over %q of a number (RFC 8955 4.2.1.1 has it)", o.Op)
			case o.Value > 0xffff && p.Type != 13:
				return fmt.Errorf("FRR ends the session over a value of 4 octets")
			}
		}
	}
	return nil
}

// octets are those of the NLRI behind its length, values written as shortly as
// they can be.
func (r *Rule) octets() (n int) {
	if r.RD != "" {
		n += 8
	}
	for i := range r.Parts {
		p := &r.Parts[i]
		if n++; p.Type <= 2 {
			n += 1 + (p.Prefix.Bits()-int(p.Offset)+7)/8
			if r.Is6() {
				n++
			}
		}
		for _, o := range p.Ops {
			switch {
			case o.Value <= 0xff:
				n += 2
			case o.Value <= 0xffff:
				n += 3
			default:
				n += 5
			}
		}
	}
	return n
}

// MaskOf returns what takes from a rule that which a daemon does not show.
func MaskOf(k Kind) func(r *Rule) {
	switch k {
	case FRR:
		return asFRR
	case BIRD:
		return asBIRD
	}
	return func(*Rule) {}
}

// WaitRules waits until a router holds just these rules of a family.
func WaitRules(t testing.TB, r FlowSpec, family string, want []Rule, masks ...func(r *Rule)) {
	t.Helper()
	want = slices.DeleteFunc(slices.Clone(want), func(w Rule) bool { return w.Family != family || Takes(r.Kind(), &w) != nil })
	Until(t, Patience, fmt.Sprintf("%s has the %s rules", r.Kind(), family), func() error {
		got, err := r.Rules(family)
		if err != nil {
			return err
		}
		return DiffRules(got, want, append(masks, MaskOf(r.Kind()))...)
	})
}

// birdShown are the operators that fit into a line of BIRD's, which ends with
// "..." behind 256 characters.
const birdShown = 40

// asBIRD: of one bit "not all" is "none", and of a long rule the begin is shown.
func asBIRD(r *Rule) {
	for i := range r.Parts {
		p := &r.Parts[i]
		p.Ops = p.Ops[:min(birdShown, len(p.Ops))]
		if !p.Bitmask() {
			continue
		}
		p.Ops = slices.Clone(p.Ops)
		for i, o := range p.Ops {
			if o.Value&(o.Value-1) == 0 {
				p.Ops[i].Op = strings.TrimSuffix(o.Op, "=")
			}
		}
	}
}
