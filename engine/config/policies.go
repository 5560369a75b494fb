package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"ribd/wire"
)

// prefixSets reads the named sets of prefixes.
func (d *decoder) prefixSets(top table) {
	n, path, ok := top.at("prefix_sets")
	if !ok {
		return
	}
	t, ok := d.openAny(n, path)
	if !ok {
		return
	}
	d.cfg.PrefixSets = map[string][]PrefixRange{}
	for _, name := range t.order {
		set := []PrefixRange{}
		d.each(t.keys[name].value, path+"."+name, func(n ast.Node, path string) {
			s, ok := d.scalar(n, path, "a prefix such as 10.0.0.0/8{8,32}")
			if !ok {
				return
			}
			r, why := parsePrefixRange(s)
			if why != "" {
				d.errorf(n, "%s: %s", path, why)
				return
			}
			set = append(set, r)
		})
		d.cfg.PrefixSets[name] = set
	}
}

// parsePrefixRange reads PREFIX or PREFIX{MIN,MAX}; why is "" where it is one.
func parsePrefixRange(s string) (PrefixRange, string) {
	text, lengths, ranged := strings.Cut(s, "{")
	p, why := parsePrefix(text)
	if why != "" {
		return PrefixRange{}, why
	}
	r := PrefixRange{p, uint8(p.Bits()), uint8(p.Bits())}
	if !ranged {
		return r, ""
	}
	lo, hi, ok := strings.Cut(strings.TrimSuffix(lengths, "}"), ",")
	least, err1 := strconv.ParseUint(strings.TrimSpace(lo), 10, 8)
	most, err2 := strconv.ParseUint(strings.TrimSpace(hi), 10, 8)
	if !ok || err1 != nil || err2 != nil || !strings.HasSuffix(lengths, "}") {
		return r, fmt.Sprintf("%q is not a prefix with a range of lengths such as 10.0.0.0/8{8,32}", s)
	}
	if int(least) < p.Bits() || least > most || int(most) > p.Addr().BitLen() {
		return r, fmt.Sprintf("%s: lengths go from %d to %d, the lesser first", s, p.Bits(), p.Addr().BitLen())
	}
	r.Min, r.Max = uint8(least), uint8(most)
	return r, ""
}

// policies reads the named policies.
func (d *decoder) policies(top table) {
	n, path, ok := top.at("policies")
	if !ok {
		return
	}
	t, ok := d.openAny(n, path)
	if !ok {
		return
	}
	d.cfg.Policies = map[string]Policy{}
	for _, name := range t.order {
		if name == "accept-all" || name == "reject-all" {
			d.errorf(t.keys[name].key, "%s.%s is there always and can't be defined", path, name)
			continue
		}
		p := Policy{}
		d.each(t.keys[name].value, path+"."+name, func(n ast.Node, path string) {
			if t, ok := d.open(n, path, "term"); ok {
				p = append(p, d.term(t))
			}
		})
		d.cfg.Policies[name] = p
	}
}

func (d *decoder) term(t table) Term {
	var term Term
	if t.node != nil {
		term.Line, _ = position(t.node)
	}
	t.str("if", &term.If)
	if n, path, ok := t.at("if"); ok && term.If != "" {
		term.IfLine, term.IfCol = position(n)
		term.IfSource = d.from(term.IfLine, term.IfCol)
		d.condition(n, path, term.If)
	}
	n, path, ok := t.at("then")
	if !ok || !t.has("then") {
		t.need("then", "accept, reject, next, or a mapping of changes")
		return term
	}
	switch v := d.resolve(n).(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		if t, ok := d.open(v, path, "then"); ok {
			d.actions(t, &term)
		}
	default:
		enum(t, "then", verdicts, &term.Verdict)
	}
	return term
}

func (d *decoder) actions(t table, term *Term) {
	var said []string
	for i, v := range verdicts {
		var is bool
		t.boolean(v, &is)
		if is {
			said = append(said, v)
			term.Verdict = Verdict(i)
		}
	}
	if len(said) > 1 {
		d.errorf(t.keys[said[1]].key, "%s says %s at once", t.path, strings.Join(said, " and "))
	}
	a := &term.Then
	if n, path, ok := t.at("set"); ok {
		if t, ok := d.open(n, path, "set"); ok {
			a.LocalPref, a.MED = optional(t, "local_pref"), optional(t, "med")
			t.addr("next_hop", &a.NextHop)
		}
	}
	if n, path, ok := t.at("prepend"); ok {
		if t, ok := d.open(n, path, "prepend"); ok {
			if n, path, ok := t.at("as"); ok {
				a.PrependAS, _ = d.asNumber(n, path)
			}
			a.PrependTimes = 1
			number(t, "times", 1, 64, &a.PrependTimes)
			t.need("as", "the AS number to prepend")
		}
	}
	a.AddCommunities = communities(t, "add_communities", wantCommunity, wire.ParseCommunity, exactCommunity)
	a.RemoveCommunities = communities(t, "remove_communities", wantCommunity, wire.ParseCommunity, nil)
	a.AddLarge = communities(t, "add_large_communities", wantLarge, wire.ParseLargeCommunity, exactLarge)
	a.RemoveLarge = communities(t, "remove_large_communities", wantLarge, wire.ParseLargeCommunity, nil)
	a.AddExtended = communities(t, "add_ext_communities", wantExtended, wire.ParseExtCommunity, exactExtended)
	a.RemoveExtended = communities(t, "remove_ext_communities", wantExtended, wire.ParseExtCommunity, nil)
}

func optional(t table, key string) *uint32 {
	var v uint32
	if number(t, key, 0, math.MaxUint32, &v) {
		return &v
	}
	return nil
}

// communities reads a list of communities of one kind. A pattern stands only
// where communities are removed: what is added has a value.
func communities[M any](t table, key, want string, parse func(string) (M, error), exact func(M) bool) []M {
	var out []M
	t.items(key, func(n ast.Node, path string) {
		s, ok := t.d.scalar(n, path, want)
		if !ok {
			return
		}
		m, err := parse(s)
		switch {
		case err != nil:
			t.d.errorf(n, "%s: %q is not %s", path, s, want)
		case exact != nil && !exact(m):
			t.d.errorf(n, "%s: %s names many communities: * is for removing", path, s)
		default:
			out = append(out, m)
		}
	})
	return out
}

const (
	wantCommunity = "a community such as 65001:100 or no-export"
	wantLarge     = "a large community such as 65001:1:2"
	wantExtended  = "an extended community such as rt:65001:1, or 0x and 16 hex digits"
)

func exactCommunity(m wire.CommunityMatch) bool { _, ok := m.Value(); return ok }
func exactLarge(m wire.LargeMatch) bool         { _, ok := m.Value(); return ok }
func exactExtended(m wire.ExtMatch) bool        { _, ok := m.Value(); return ok }

func (d *decoder) guards(top table) {
	n, path, ok := top.at("guards")
	if !ok {
		return
	}
	t, ok := d.open(n, path, "guards")
	if !ok {
		return
	}
	g := &d.cfg.Guards
	t.items("protected", func(n ast.Node, path string) {
		if p, ok := d.prefix(n, path); ok {
			g.Protected = append(g.Protected, p)
		}
	})
	if n, path, ok := t.at("min_length"); ok {
		if t, ok := d.open(n, path, "lengths"); ok {
			number(t, "ipv4", 0, 32, &g.MinLength4)
			number(t, "ipv6", 0, 128, &g.MinLength6)
		}
	}
	if n, path, ok := t.at("max_rules"); ok {
		if t, ok := d.open(n, path, "max_rules"); ok {
			number(t, "total", 0, 1<<20, &g.MaxRules)
			number(t, "per_peer", 0, 1<<20, &g.MaxRulesPerPeer)
		}
	}
	t.duration("max_ttl", 0, 365*24*time.Hour, time.Second, &g.MaxTTL)
	t.duration("default_ttl", 0, 365*24*time.Hour, time.Second, &g.DefaultTTL)
	if g.MaxTTL > 0 && (g.DefaultTTL == 0 || g.DefaultTTL > g.MaxTTL) {
		switch {
		case g.DefaultTTL == 0:
			d.errorf(t.keys["default_ttl"].value, "guards.default_ttl: 0 is no end at all, and max_ttl is %s: give both as 0", short(g.MaxTTL))
		case t.has("default_ttl"):
			d.errorf(t.keys["default_ttl"].value, "guards.default_ttl: %s is longer than max_ttl, %s", short(g.DefaultTTL), short(g.MaxTTL))
		default:
			g.DefaultTTL = g.MaxTTL
		}
	}
}

func (d *decoder) blackhole(top table) {
	n, path, ok := top.at("blackhole")
	if !ok {
		return
	}
	t, ok := d.open(n, path, "blackhole")
	if !ok {
		return
	}
	b := &d.cfg.Blackhole
	if n, path, ok := t.at("next_hop"); ok {
		if t, ok := d.open(n, path, "next_hops"); ok {
			t.addrOf("ipv4", true, &b.NextHop4)
			t.addrOf("ipv6", false, &b.NextHop6)
		}
	}
	b.Communities = communities(t, "communities", wantCommunity, wire.ParseCommunity, exactCommunity)
}
