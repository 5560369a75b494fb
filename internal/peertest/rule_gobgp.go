//go:build linux

package peertest

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"
)

// gobgpWords writes `match destination 192.0.2.0/24 protocol ==17 then discard`.
func gobgpWords(r Rule) ([]string, error) {
	w := []string{"match"}
	for _, p := range r.Parts {
		name := partNames[p.Type]
		if p.Type == 13 {
			name = "label"
		}
		w = append(w, name)
		if p.Type <= 2 {
			w = append(w, p.Prefix.String())
			if p.Offset > 0 {
				w = append(w, fmt.Sprint(p.Offset))
			}
		}
		for _, o := range p.Ops {
			s, err := gobgpOp(p.Type, o)
			if err != nil {
				return nil, err
			}
			w = append(w, s)
		}
	}
	if r.RD != "" {
		w = append(w, "rd", r.RD)
	}
	w = append(w, "then")
	for _, a := range r.Actions {
		s, err := gobgpAction(a)
		if err != nil {
			return nil, err
		}
		w = append(w, s...)
	}
	if len(r.Actions) == 0 {
		w = append(w, "accept")
	}
	return w, nil
}

func gobgpOp(kind uint8, o Op) (string, error) {
	and := ""
	if o.And {
		and = "&"
	}
	switch {
	case kind == 9:
		var b strings.Builder
		for i, c := range "FSRPAUEC" {
			if o.Value>>i&1 != 0 {
				b.WriteRune(c)
			}
		}
		return and + o.Op + b.String(), nil
	case kind == 12:
		return and + o.Op + exaFragment(o.Value), nil
	case o.Op == "true" || o.Op == "false":
		return "", fmt.Errorf("gobgp: no word for %s", o.Op)
	case o.Op == "=":
		o.Op = "=="
	}
	return fmt.Sprintf("%s%s%d", and, o.Op, o.Value), nil
}

func gobgpAction(a uint64) ([]string, error) {
	switch a >> 48 {
	case 0x8006:
		rate := math.Float32frombits(uint32(a))
		if rate == 0 {
			return []string{"discard"}, nil
		}
		return []string{"rate-limit", strconv.FormatFloat(float64(rate), 'f', -1, 32), "as", fmt.Sprint(a >> 32 & 0xffff)}, nil
	case 0x8007:
		return []string{"action", []string{"?", "terminal", "sample", "sample-terminal"}[a&3]}, nil
	case 0x8008:
		return []string{"redirect", fmt.Sprintf("%d:%d", a>>32&0xffff, uint32(a))}, nil
	case 0x8108:
		return []string{"redirect", fmt.Sprintf("%d.%d.%d.%d:%d", a>>40&0xff, a>>32&0xff, a>>24&0xff, a>>16&0xff, a&0xffff)}, nil
	case 0x8208:
		return []string{"redirect", fmt.Sprintf("%d.%d:%d", a>>32&0xffff, a>>16&0xffff, a&0xffff)}, nil
	case 0x8009:
		return []string{"mark", fmt.Sprint(a & 0x3f)}, nil
	}
	return nil, fmt.Errorf("gobgp: no word for %016x", a)
}

func (d *gobgp) eachRule(verb string, rules []Rule) error {
	for _, r := range rules {
		w, err := gobgpWords(r)
		if err != nil {
			return err
		}
		if err := d.RIB(verb, r.Family, w...); err != nil {
			return err
		}
	}
	return nil
}

func (d *gobgp) AnnounceRules(rules ...Rule) error { return d.eachRule("add", rules) }
func (d *gobgp) WithdrawRules(rules ...Rule) error { return d.eachRule("del", rules) }

// gobgpNLRI is a rule in `global rib -j`: with the octets of its operators.
type gobgpNLRI struct {
	RD *struct {
		Type     int             `json:"type"`
		Admin    json.RawMessage `json:"admin"`
		Assigned uint32          `json:"assigned"`
	} `json:"rd"`
	Value []struct {
		Type   uint8           `json:"type"`
		Offset uint8           `json:"offset"`
		Value  json.RawMessage `json:"value"`
	} `json:"value"`
}

func (d *gobgp) Rules(family string) ([]Rule, error) {
	out, err := d.ctl("global", "rib", "-a", gobgpFlags[family], "-j")
	if err != nil || len(out) == 0 || out[0] != '{' {
		return nil, err
	}
	var table map[string][]struct {
		gobgpPath
		NLRI gobgpNLRI `json:"nlri"`
	}
	if err := json.Unmarshal(out, &table); err != nil {
		return nil, fmt.Errorf("gobgp: %w: %s", err, out)
	}
	var rules []Rule
	for key, paths := range table {
		for _, p := range paths {
			if peer, err := netip.ParseAddr(p.from()); err != nil || peer.IsUnspecified() {
				continue // of its own
			}
			r, err := p.NLRI.rule(family)
			if err != nil {
				return nil, fmt.Errorf("gobgp: %s: %w", key, err)
			}
			for _, a := range p.Attrs {
				switch a.Type {
				case 2:
					r.ASPath = gobgpPathText(a.ASPaths)
				case 14:
					if r.NextHop, _ = netip.ParseAddr(a.NextHop); r.NextHop.IsUnspecified() {
						r.NextHop = netip.Addr{} // what it shows where there is none
					}
				case 16:
					if r.Actions, err = gobgpActions(a.Value); err != nil {
						return nil, fmt.Errorf("gobgp: %s: %w: %s", key, err, a.Value)
					}
				}
			}
			rules = append(rules, r)
		}
	}
	return rules, nil
}

func (n *gobgpNLRI) rule(family string) (Rule, error) {
	r := Rule{Family: family}
	if n.RD != nil {
		r.RD = fmt.Sprintf("%s:%d", strings.Trim(string(n.RD.Admin), `"`), n.RD.Assigned)
	}
	for _, v := range n.Value {
		p := Part{Type: v.Type, Offset: v.Offset}
		if v.Type <= 2 {
			var prefix struct{ Prefix netip.Prefix }
			if err := json.Unmarshal(v.Value, &prefix); err != nil {
				return r, err
			}
			p.Prefix = prefix.Prefix
		} else {
			var ops []struct{ Op, Value uint64 }
			if err := json.Unmarshal(v.Value, &ops); err != nil {
				return r, err
			}
			for _, o := range ops {
				names := []string{"false", "=", ">", ">=", "<", "<=", "!=", "true"}
				if p.Bitmask() {
					names = []string{"", "=", "!", "!=", "?", "?", "?", "?"}
				}
				p.Ops = append(p.Ops, Op{And: o.Op&0x40 != 0, Op: names[o.Op&7], Value: o.Value})
			}
		}
		r.Parts = append(r.Parts, p)
	}
	r.sort()
	return r, nil
}

// gobgpActions reads extended communities back into their octets: it decodes
// those that it knows, each in its own way.
func gobgpActions(raw json.RawMessage) (out []uint64, err error) {
	var l []struct {
		Type, Subtype    uint64
		Value            json.RawMessage
		AS               uint64
		Rate             float32
		Terminal, Sample bool
	}
	if err := json.Unmarshal(raw, &l); err != nil {
		return nil, err
	}
	for _, c := range l {
		a := c.Type<<56 | c.Subtype<<48
		text := strings.Trim(string(c.Value), `"`)
		var octets []byte
		switch kind := a >> 48; {
		case kind == 0x8006:
			a |= c.AS<<32 | uint64(math.Float32bits(c.Rate))
		case kind == 0x8007:
			// Its "terminal" is the bit, which says to go on (RFC 8955 7.3).
			if c.Terminal {
				a |= 1
			}
			if c.Sample {
				a |= 2
			}
		case kind == 0x8009:
			n, err := strconv.ParseUint(text, 10, 8)
			if err != nil {
				return nil, err
			}
			a |= n
		case json.Unmarshal(c.Value, &octets) == nil && len(octets) == 7:
			a = binary.BigEndian.Uint64(append([]byte{byte(c.Type)}, octets...))
		default:
			v, err := admin(text)
			if err != nil {
				return nil, err
			}
			a |= v
		}
		out = append(out, a)
	}
	return out, nil
}

// admin reads the value of an extended community, 65000:1, 192.0.2.1:1 or
// 1.2:3, into its 6 octets.
func admin(text string) (uint64, error) {
	who, what, _ := strings.Cut(text, ":")
	n, err := strconv.ParseUint(what, 10, 32)
	if err != nil {
		return 0, err
	}
	if a, err := netip.ParseAddr(who); err == nil && a.Is4() {
		b := a.As4()
		return uint64(binary.BigEndian.Uint32(b[:]))<<16 | n, nil
	}
	if hi, lo, ok := strings.Cut(who, "."); ok {
		h, err1 := strconv.ParseUint(hi, 10, 16)
		l, err2 := strconv.ParseUint(lo, 10, 16)
		return h<<32 | l<<16 | n, errors.Join(err1, err2)
	}
	as, err := strconv.ParseUint(who, 10, 32)
	if as > 0xffff {
		return as<<16 | n, err
	}
	return as<<32 | n, err
}
