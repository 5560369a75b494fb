//go:build linux

package peertest

import (
	"encoding/json"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"
)

// flow returns a rule in ExaBGP's words.
func (d *exaBGP) flow(r Rule) string {
	var b strings.Builder
	b.WriteString("flow route { ")
	if r.RD != "" {
		fmt.Fprintf(&b, "rd %s; ", r.RD)
	}
	if r.NextHop.IsValid() {
		fmt.Fprintf(&b, "next-hop %s; ", r.NextHop)
	}
	b.WriteString("match { ")
	for _, p := range r.Parts {
		name := partNames[p.Type]
		switch {
		case r.Is6() && p.Type == 3:
			name = "next-header"
		case r.Is6() && p.Type == 11:
			name = "traffic-class"
		}
		b.WriteString(name + " ")
		if p.Type <= 2 {
			b.WriteString(p.Prefix.String())
			if r.Is6() {
				fmt.Fprintf(&b, "/%d", p.Offset)
			}
		} else {
			b.WriteString("[ ")
			for i, o := range p.Ops {
				if o.And {
					b.WriteByte('&')
				} else if i > 0 {
					b.WriteByte(' ')
				}
				switch {
				case o.Op == "true" || o.Op == "false":
					fmt.Fprintf(&b, "%s%d", o.Op, o.Value)
				case p.Type == 12:
					b.WriteString(o.Op + exaFragment(o.Value))
				case p.Type == 9:
					fmt.Fprintf(&b, "%s%#x", o.Op, o.Value)
				default:
					fmt.Fprintf(&b, "%s%d", o.Op, o.Value)
				}
			}
			b.WriteString(" ]")
		}
		b.WriteString("; ")
	}
	b.WriteString("} then { ")
	for _, a := range r.Actions {
		b.WriteString(exaAction(a) + "; ")
	}
	if len(r.Actions) == 0 {
		b.WriteString("accept; ")
	}
	b.WriteString("} }")
	return b.String()
}

var exaFragments = []string{"dont-fragment", "is-fragment", "first-fragment", "last-fragment"}

func exaFragment(v uint64) string {
	var names []string
	for i, n := range exaFragments {
		if v>>i&1 != 0 {
			names = append(names, n)
		}
	}
	return strings.Join(names, "+")
}

// exaAction returns an action in ExaBGP's words, and what it has no word for as
// the community that it is.
func exaAction(a uint64) string {
	switch a >> 48 {
	case 0x8006, 0x800c:
		unit := map[uint64]string{0x8006: "", 0x800c: " packets"}[a>>48]
		rate := math.Float32frombits(uint32(a))
		if a>>32&0xffff == 0 && float64(rate) == math.Trunc(float64(rate)) {
			return fmt.Sprintf("rate-limit %d%s", uint64(rate), unit)
		}
	case 0x8007:
		if w := []string{"", "terminal", "sample", "sample-terminal"}[a&3]; w != "" {
			return "action " + w
		}
	case 0x8008:
		return fmt.Sprintf("redirect %d:%d", a>>32&0xffff, uint32(a))
	case 0x8009:
		return fmt.Sprintf("mark %d", a&0x3f)
	}
	return fmt.Sprintf("extended-community [ 0x%016x ]", a)
}

func (d *exaBGP) eachRule(verb string, rules []Rule) error {
	for _, r := range rules {
		for i := range d.cfg.Neighbors {
			n := &d.cfg.Neighbors[i]
			if !n.has(r.Family) {
				continue
			}
			if err := d.Command(fmt.Sprintf("neighbor %s %s %s", n.Address, verb, d.flow(r))); err != nil {
				return err
			}
		}
	}
	return nil
}

func (d *exaBGP) AnnounceRules(rules ...Rule) error { return d.eachRule("announce", rules) }
func (d *exaBGP) WithdrawRules(rules ...Rule) error { return d.eachRule("withdraw", rules) }

// exaFamily returns a family's name in its configuration and messages.
func exaFamily(f string) string {
	afi, safi, _ := strings.Cut(f, "-")
	switch safi {
	case "vpn":
		safi = "mpls-vpn"
	case "labelled-unicast":
		safi = "nlri-mpls"
	case "flowspec", "flowspec-vpn":
		safi = strings.Replace(safi, "spec", "", 1)
	}
	return afi + " " + safi
}

func (d *exaBGP) Rules(family string) ([]Rule, error) {
	all, err := d.lines()
	if err != nil {
		return nil, err
	}
	name := exaFamily(family)
	table := map[string]Rule{}
	for i := range all {
		m := &all[i]
		peer := m.Neighbor.Address.Peer
		if m.Type == "state" && m.Neighbor.State == "down" {
			for k := range table {
				if strings.HasPrefix(k, peer+" ") {
					delete(table, k)
				}
			}
		}
		if m.Type != "update" {
			continue
		}
		u := &m.Neighbor.Message.Update
		for _, raw := range u.Withdraw[name] {
			r, err := exaRule(family, raw.raw)
			if err != nil {
				return nil, err
			}
			delete(table, peer+" "+r.String())
		}
		for hop, l := range u.Announce[name] {
			for _, raw := range l {
				r, err := exaRule(family, raw.raw)
				if err != nil {
					return nil, err
				}
				key := peer + " " + r.String()
				route := u.Attribute.route()
				r.ASPath = route.ASPath
				r.NextHop, _ = netip.ParseAddr(hop)
				for _, e := range u.Attribute.Ext {
					r.Actions = append(r.Actions, e.Value)
				}
				table[key] = r
			}
		}
	}
	var out []Rule
	for _, r := range table {
		out = append(out, r)
	}
	return out, nil
}

// exaRule reads {"destination-ipv4":["192.0.2.0/24"],"protocol":["=tcp"],…}.
func exaRule(family string, raw json.RawMessage) (Rule, error) {
	r := Rule{Family: family}
	var parts map[string]json.RawMessage
	if err := json.Unmarshal(raw, &parts); err != nil {
		return r, fmt.Errorf("exabgp: %w: %s", err, raw)
	}
	for name, v := range parts {
		if name == "string" || name == "path-information" || name == "next-hop" {
			continue
		}
		if name == "rd" {
			json.Unmarshal(v, &r.RD)
			continue
		}
		var ops []string
		if err := json.Unmarshal(v, &ops); err != nil {
			return r, fmt.Errorf("exabgp: %s: %w: %s", name, err, v)
		}
		name = strings.TrimSuffix(strings.TrimSuffix(name, "-ipv4"), "-ipv6")
		switch name {
		case "next-header":
			name = "protocol"
		case "traffic-class":
			name = "dscp"
		}
		p := Part{Type: uint8(max(0, slices.Index(partNames, name)))}
		var err error
		switch {
		case p.Type == 0:
			err = fmt.Errorf("no component is named %q", name)
		case p.Type <= 2:
			err = p.prefix(ops[0])
		default:
			p.Ops, err = parseOps(named(p.Type, strings.Join(ops, "|")))
		}
		if err != nil {
			return r, fmt.Errorf("exabgp: %s: %w", raw, err)
		}
		r.Parts = append(r.Parts, p)
	}
	r.sort()
	return r, nil
}
