package api

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"ribd/engine/flow"
	"ribd/shard"
	"ribd/shard/rib"
	"ribd/shard/rules"
	"ribd/wire"
	"ribd/wire/flowspec"
)

// flowFilter is what a list of rules asks for.
type flowFilter struct {
	family   wire.Family // 0: any
	rd       uint64
	hasRD    bool
	peers    []rib.PeerNum // sorted
	byPeer   bool
	dst, src netip.Prefix // not valid: any
	source   rib.Source
	bySource bool
	valid    choice
	filtered choice
	usual    bool // filtered= was not given
}

// flowFilter reads the parameters.
func (c *call) flowFilter() (f flowFilter, p *problem) {
	if f.family, f.rd, f.hasRD, p = c.flowTable(); p != nil {
		return f, p
	}
	if v := c.q.get(pPeer); v != nil {
		if f.peers, p = c.s.findPeers(v, nil); p != nil {
			return f, p
		}
		slices.Sort(f.peers)
		f.byPeer = true
	}
	if v := c.q.get(pDestination); v != nil {
		if f.dst, p = parsePrefix(v); p != nil {
			p.param = pDestination.String()
			return f, p
		}
	}
	if v := c.q.get(pSource); v != nil {
		if f.source, f.bySource = sourceOf(string(v)); !f.bySource {
			if f.src, p = parsePrefix(v); p != nil {
				return f, bad("source", "%q is neither a kind of peer (bgp, mrt, bmp, local) nor a prefix or address that packets come from", shown(v))
			}
		}
	}
	f.valid, f.filtered = either, either
	if v := c.q.get(pValid); v != nil {
		switch string(v) {
		case "true":
			f.valid = yes
		case "false":
			f.valid = no
		default:
			return f, bad("valid", "%q is neither true nor false", shown(v))
		}
	}
	switch v := c.q.get(pFiltered); string(v) {
	case "":
		f.usual = true
	case "true":
		f.filtered = yes
	case "false":
		f.filtered = no
	case "any":
	default:
		return f, bad("filtered", "%q is none of true, false and any", shown(v))
	}
	return f, nil
}

func sourceOf(v string) (rib.Source, bool) {
	for _, s := range []rib.Source{rib.SourceBGP, rib.SourceMRT, rib.SourceBMP, rib.SourceLocal} {
		if v == s.String() {
			return s, true
		}
	}
	return 0, false
}

// flowTable reads family= and rd= of rules.
func (c *call) flowTable() (f wire.Family, rd uint64, hasRD bool, p *problem) {
	if v := c.q.get(pFamily); v != nil {
		var err error
		if f, err = wire.ParseFamily(string(v)); err != nil || !flowspec.Is(f) {
			return 0, 0, false, bad("family", "%q is no family of Flow Spec rules: ipv4-flowspec, ipv6-flowspec, ipv4-flowspec-vpn, ipv6-flowspec-vpn", shown(v))
		}
	}
	if v := c.q.get(pRD); v != nil {
		if f != 0 && !flowspec.IsVPN(f) {
			return 0, 0, false, bad("rd", "the family %s has no route distinguishers", f)
		}
		var err error
		if rd, err = wire.ParseRD(string(v)); err != nil {
			return 0, 0, false, bad("rd", "%q is no route distinguisher (such as 65001:1, 192.0.2.1:1 or 65001L:1)", shown(v))
		}
		hasRD = true
	}
	return f, rd, hasRD, nil
}

// table reports whether rules of a table can pass.
func (f *flowFilter) table(t *flow.TableRef) bool {
	v6 := flowspec.Is6(t.Family)
	return (f.family == 0 || t.Family == f.family) && (!f.hasRD || flowspec.IsVPN(t.Family) && t.RD == f.rd) &&
		(!f.dst.IsValid() || f.dst.Addr().Is4() != v6) && (!f.src.IsValid() || f.src.Addr().Is4() != v6)
}

// rule reports whether paths of a rule can pass. One without a destination
// overlaps any, and so with the source.
func (f *flowFilter) rule(fam wire.Family, nlri []byte) bool {
	if f.dst.IsValid() {
		if p, offset, ok := flowspec.Destination(fam, nlri); ok && !overlaps(p, offset, f.dst) {
			return false
		}
	}
	if f.src.IsValid() {
		if p, offset, ok := flowspec.Source(fam, nlri); ok && !overlaps(p, offset, f.src) {
			return false
		}
	}
	return true
}

// overlaps reports whether an address can be in both prefixes, of the first of
// which the bits before offset are any (RFC 8956 section 3.1).
func overlaps(p netip.Prefix, offset uint8, q netip.Prefix) bool {
	if offset == 0 {
		return p.Overlaps(q)
	}
	a, b := p.Addr().As16(), q.Addr().As16()
	for bit := int(offset); bit < min(p.Bits(), q.Bits()); bit++ {
		if (a[bit/8]^b[bit/8])&(0x80>>(bit%8)) != 0 {
			return false
		}
	}
	return true
}

// path judges one path. What validation refused is shown as a rule, unless
// filtered= leaves it out; what was refused before is not, unless it asks.
func (f *flowFilter) path(s *shard.RIB, p *rib.Path) bool {
	refused, invalid := p.Filtered != rib.FilterNone, p.Filtered.Invalid()
	switch {
	case f.usual && refused && !invalid,
		f.filtered == yes && !refused, f.filtered == no && refused,
		f.valid == yes && invalid, f.valid == no && !invalid:
		return false
	}
	if f.byPeer {
		if _, ok := slices.BinarySearch(f.peers, p.Peer); !ok {
			return false
		}
	}
	if f.bySource {
		info, ok := s.Peer(p.Peer)
		return ok && info.Source == f.source
	}
	return true
}

// flowScanner renders the rows of a list of rules from where it stopped.
type flowScanner struct {
	listing
	f      flowFilter
	row    flowRow
	pos    flowPosition
	paths  []rib.Path
	shadow []rules.Value
}

func (s *flowScanner) cursor(mark uint64) string { return s.pos.encode(mark) }

func (s *flowScanner) place() func() {
	pos := s.pos
	return func() { s.pos = pos }
}

// flowList is GET flowspec.
func (c *call) flowList() *problem {
	if c.s.opts.Flow == nil {
		return later("", "Flow Spec")
	}
	media, p := c.accept(typeJSON, typeNDJSON)
	if p != nil {
		return p
	}
	s := &flowScanner{listing: listing{c: c}}
	if s.f, p = c.flowFilter(); p != nil {
		return p
	}
	if p = s.begin(s.pos.decode); p != nil {
		return p
	}
	s.row.init(c)
	return s.answer(s, &listKind{name: "rules", prefixes: flowSliceRules, time: flowSliceTime}, media)
}

// Limits of a slice of a stream.
const (
	flowSliceRules = 4096
	flowSliceTime  = 20 * time.Millisecond
)

// next renders rows until a limit, and leaves pos behind them.
func (s *flowScanner) next(v *shard.View, dst []byte, lim slice) ([]byte, error) {
	s.row.r.forget()
	s.row.r.now = uint32(time.Now().Unix())
	tables := s.c.s.opts.Flow.Tables()
	for i := range tables {
		t := &tables[i]
		if s.open {
			if o := cmp.Or(cmp.Compare(t.Family, s.pos.family), cmp.Compare(t.RD, s.pos.rd)); o < 0 {
				continue
			} else if o > 0 {
				s.open = false
			}
		}
		if !s.f.table(t) {
			continue
		}
		if !s.open {
			s.pos = flowPosition{family: t.Family, rd: t.RD}
		}
		var stop bool
		if dst, stop = s.table(v, t, dst, &lim); stop || v.Err() != nil {
			s.open = true
			return dst, v.Err()
		}
		s.open = false
	}
	s.done = true
	return dst, nil
}

// table renders rows of one table in order.
func (s *flowScanner) table(v *shard.View, t *flow.TableRef, dst []byte, lim *slice) (_ []byte, stop bool) {
	after, skip := s.pos.nlri, 0
	if s.open && after != nil && s.pos.paths != allPaths {
		// Some paths of this rule were given: go on in the midst of it.
		if val, order, ok := t.Rules.Get(after); ok {
			skip = int(s.pos.paths)
			if dst, stop = s.ruleRows(v, t, after, val, order, skip, dst); stop {
				return dst, true
			}
		}
	}
	n := 0
	t.Rules.Walk(after, func(nlri []byte, val rules.Value, order int) bool {
		n++
		if s.f.rule(t.Family, nlri) {
			if dst, stop = s.ruleRows(v, t, nlri, val, order, 0, dst); stop {
				return false
			}
		} else {
			s.pos.nlri, s.pos.paths = nlri, allPaths
		}
		stop = s.over(&dst, n, lim)
		return !stop && v.Err() == nil
	})
	return dst, stop
}

// over reports whether the slice has reached a limit.
func (s *flowScanner) over(dst *[]byte, n int, lim *slice) bool {
	if len(*dst) >= lim.octets {
		if lim.spill == nil {
			return true
		}
		*dst = lim.spill(*dst)
	}
	return n >= lim.prefixes || n&63 == 63 && !lim.until.IsZero() && time.Now().After(lim.until)
}

// ruleRows renders the paths of one rule that pass, but for the first skip. It
// stops at the first row that is one too many, with pos at it.
func (s *flowScanner) ruleRows(v *shard.View, t *flow.TableRef, nlri []byte, val rules.Value, order, skip int, dst []byte) ([]byte, bool) {
	s.paths = s.paths[:0]
	if id, ok := s.c.s.rib.FindTable(t.Family, 0); ok {
		if k, n, ok := s.c.s.rib.FindRawKey(nlri); ok {
			s.paths = v.Paths(v.Get(id, k, n), s.paths)
		}
	}
	shadowed := false
	row := 0
	for i := range s.paths {
		p := &s.paths[i]
		if !s.f.path(s.c.s.rib, p) {
			continue
		}
		if row++; row <= skip {
			continue
		}
		if s.rows == 0 {
			s.pos.nlri, s.pos.paths = nlri, uint16(min(row-1, allPaths-1))
			s.full = true
			return dst, true
		}
		if s.rows > 0 {
			s.rows--
		}
		if !shadowed {
			s.shadow, shadowed = t.Rules.ShadowedBy(nlri, s.shadow[:0]), true
			s.row.rule(t.Family, t.RD, nlri, order, s.shadow)
		}
		dst = s.row.append(dst, p)
		if s.line {
			dst = append(dst, '\n')
		} else {
			dst = append(dst, ',')
		}
	}
	s.pos.nlri, s.pos.paths = nlri, allPaths
	return dst, false
}
