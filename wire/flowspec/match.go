package flowspec

import "net/netip"

// Match is true where the packet fits every component of the rule (RFC 8955
// section 4.2). It goes through them one by one: many rules are matched by
// shard/rules. The route distinguisher is the caller's to compare.
func (r *Rule) Match(p *Packet) bool {
	v6 := Is6(r.Family)
	switch p.Version() {
	case 4:
		if v6 {
			return false
		}
	case 6:
		if !v6 {
			return false
		}
	}
	for i := range r.Components {
		if !r.Components[i].match(p, v6) {
			return false
		}
	}
	return true
}

func (c *Component) match(p *Packet, v6 bool) bool {
	has := func(f Fields) bool { return p.Has&f != 0 }
	switch c.Type {
	case TypeDestination:
		return c.matchAddr(p.Dst)
	case TypeSource:
		return c.matchAddr(p.Src)
	case TypeProtocol:
		return has(HasProtocol) && c.number(uint64(p.Protocol))
	case TypePort:
		return p.Ports() && (has(HasSrcPort) && c.number(uint64(p.SrcPort)) || has(HasDstPort) && c.number(uint64(p.DstPort)))
	case TypeDestinationPort:
		return p.Ports() && has(HasDstPort) && c.number(uint64(p.DstPort))
	case TypeSourcePort:
		return p.Ports() && has(HasSrcPort) && c.number(uint64(p.SrcPort))
	case TypeICMPType:
		return p.ICMP(v6) && has(HasICMPType) && c.number(uint64(p.ICMPType))
	case TypeICMPCode:
		return p.ICMP(v6) && has(HasICMPCode) && c.number(uint64(p.ICMPCode))
	case TypeTCPFlags:
		return p.TCP() && has(HasTCPFlags) && c.bits(uint64(p.TCPFlags&0xfff))
	case TypePacketLength:
		return has(HasLength) && c.number(uint64(p.Length))
	case TypeDSCP:
		return has(HasDSCP) && c.number(uint64(p.DSCP&0x3f))
	case TypeFragment:
		return has(HasFragment) && c.bits(uint64(p.Fragment.Whole()))
	case TypeFlowLabel:
		return v6 && has(HasFlowLabel) && c.number(uint64(p.FlowLabel&0xfffff))
	}
	return false
}

// matchAddr compares the bits from Offset to the prefix's length.
func (c *Component) matchAddr(a netip.Addr) bool {
	if !a.IsValid() || a.Is4() != c.Prefix.Addr().Is4() {
		return false
	}
	if c.Offset == 0 {
		return c.Prefix.Contains(a.WithZone(""))
	}
	x, y := a.As16(), c.Prefix.Addr().As16()
	for bit := int(c.Offset); bit < c.Prefix.Bits(); bit++ {
		if (x[bit/8]^y[bit/8])&(0x80>>(bit%8)) != 0 {
			return false
		}
	}
	return true
}

// number is true where one of the alternatives fits: the comparisons that And
// joins all hold (RFC 8955 section 4.2.1.1).
func (c *Component) number(v uint64) bool {
	return c.any(func(o *Op) bool {
		return o.Kind&EQ != 0 && v == o.Value || o.Kind&GT != 0 && v > o.Value || o.Kind&LT != 0 && v < o.Value
	})
}

// bits is number for comparisons of bits (RFC 8955 section 4.2.1.2).
func (c *Component) bits(v uint64) bool {
	return c.any(func(o *Op) bool {
		ok := v&o.Value != 0
		if o.Kind&Match != 0 {
			ok = v&o.Value == o.Value
		}
		return ok != (o.Kind&Not != 0)
	})
}

func (c *Component) any(holds func(*Op) bool) bool {
	all := false
	for i := range c.Ops {
		o := &c.Ops[i]
		if i > 0 && !o.And {
			if all {
				return true
			}
			all = true
		}
		if i == 0 {
			all = true
		}
		all = all && holds(o)
	}
	return all
}
