package ingest

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"ribd/internal/invariants"
	"ribd/shard"
	"ribd/shard/rib"
	"ribd/trie"
	"ribd/wire"
	"ribd/wire/flowspec"
)

// ruled is a Filter whose rules stand in the attributes themselves: MULTI_EXIT_DISC
// modulo 5 says what becomes of a route.
type ruled struct{ attrs *rib.Attrs }

// rule is what ruled asks of a set; final is false where the length of the prefix
// matters too.
func rule(f wire.Family, canonical []byte, n uint8, route bool) (out []byte, why rib.FilterReason, final bool) {
	med := uint32(0)
	if v, ok := wire.FindAttr(canonical, wire.AttrMED); ok {
		med = binary.BigEndian.Uint32(v)
	}
	switch med % 5 {
	case 1:
		return canonical, rib.FilterASLoop, true
	case 2:
		return withPref(canonical, 200), 0, true
	case 3:
		switch {
		case !route:
			return nil, 0, false
		case n%2 == 1:
			return canonical, rib.FilterPolicy, false
		case n%4 == 0:
			return withPref(canonical, 300+uint32(n)), 0, false
		}
	case 4:
		if f == wire.IPv4Multicast || f == wire.IPv6VPN {
			return canonical, rib.FilterOTC, true
		}
	}
	return canonical, 0, true
}

func withPref(canonical []byte, v uint32) []byte {
	var e wire.AttrEditor
	e.Start(canonical)
	e.SetUint32(wire.AttrLocalPref, v)
	return e.Append(nil)
}

func (f ruled) verdict(fam wire.Family, id rib.AttrID, n uint8, route bool) (rib.Verdict, bool) {
	b, ok := f.attrs.Bytes(id)
	if !ok {
		panic("a set that has no octets is judged")
	}
	out, why, final := rule(fam, b, n, route)
	if out == nil {
		return rib.Verdict{}, false
	}
	to, ok := f.attrs.Intern(out)
	if !ok {
		panic("no room")
	}
	return rib.Verdict{Attrs: to, Filtered: why}, final
}

func (f ruled) Set(fam wire.Family, _ rib.PeerNum, id rib.AttrID) (rib.Verdict, bool) {
	return f.verdict(fam, id, 0, false)
}

func (f ruled) Route(fam wire.Family, _ uint64, _ trie.Key, n uint8, p *rib.Path) rib.Verdict {
	if fam.Form() == wire.FormRaw {
		n = 32
	}
	v, _ := f.verdict(fam, p.Attrs, n, true)
	return v
}

// model is what a Peer should do, as plainly as it can be said.
type model struct {
	peer   rib.PeerNum
	s      wire.Session
	ruled  bool
	routes map[modelKey]*modelRoute
	fams   map[wire.Family]*modelFamily
}

type modelKey struct {
	family wire.Family
	at     string // distinguisher and prefix, or the octets of the NLRI
	hasID  bool
	id     uint32
}

type modelRoute struct {
	attrs, pre, labels []byte
	filtered           rib.FilterReason
	stale              rib.Stale
	old                bool // not announced since the last refresh began
}

type modelFamily struct{ retained, refreshing bool }

func newModel(n rib.PeerNum) *model {
	return &model{peer: n, routes: map[modelKey]*modelRoute{}, fams: map[wire.Family]*modelFamily{}}
}

func (m *model) start(s wire.Session, filter bool) {
	m.s, m.ruled = s, filter
	for f, x := range m.fams {
		x.refreshing = false
		if x.retained && !s.Families.Empty() && !s.Families.Has(f) {
			m.endRetain(f)
		}
	}
}

// update takes a message in; false asks for the end of the session.
func (m *model) update(msg []byte) bool {
	var u wire.Update
	u.Parse(msg, &m.s)
	if u.Action() == wire.SessionReset {
		return false
	}
	treat := u.Action() >= wire.TreatAsWithdraw || malformedFlow(&u)
	gone := func(k modelKey, _ uint8, _ []byte) { delete(m.routes, k) }
	four := func(c wire.NLRI4, do func(modelKey, uint8, []byte)) {
		for c.Next() {
			do(modelKey{wire.IPv4Unicast, c.Prefix().String(), c.HasPathID(), c.PathID()}, c.Len(), nil)
		}
	}
	four(u.Withdrawn4(), gone)
	if x, ok := u.Unreach(); ok {
		eachMP(&x, gone)
	}
	announce := func(attrs []byte) func(modelKey, uint8, []byte) {
		return func(k modelKey, n uint8, labels []byte) {
			if treat {
				delete(m.routes, k)
				return
			}
			m.family(k.family)
			r := &modelRoute{attrs: attrs, labels: slices.Clone(labels)}
			if m.ruled {
				out, why, _ := rule(k.family, attrs, n, true)
				if r.filtered = why; why == 0 && string(out) != string(attrs) {
					r.attrs, r.pre = out, attrs
				}
			}
			m.routes[k] = r
		}
	}
	four(u.NLRI4(), announce(u.AppendAttributes(nil)))
	if x, ok := u.Reach(); ok {
		eachMP(&x, announce(u.AppendReachAttributes(nil)))
	}
	if f, ok := u.EndOfRIB(); ok && (m.s.Families.Empty() || m.s.Families.Has(f)) && m.retained(f) {
		m.endRetain(f)
	}
	return true
}

func eachMP(x *wire.MP, do func(modelKey, uint8, []byte)) {
	switch x.Family.Form() {
	case wire.FormPrefix:
		if x.Family.Is4() {
			for c := x.NLRI4(); c.Next(); {
				do(modelKey{x.Family, c.Prefix().String(), c.HasPathID(), c.PathID()}, c.Len(), nil)
			}
			return
		}
		for c := x.NLRI6(); c.Next(); {
			do(modelKey{x.Family, c.Prefix().String(), c.HasPathID(), c.PathID()}, c.Len(), nil)
		}
	case wire.FormRaw:
		for c := x.Raw(); c.Next(); {
			b := c.Bytes()
			if flowspec.Is(x.Family) {
				b, _ = flowOctets(x.Family, b)
			}
			do(modelKey{x.Family, fmt.Sprintf("%x", b), c.HasPathID(), c.PathID()}, 32, nil)
		}
	default:
		for c := x.Labelled(); c.Next(); {
			at := c.Prefix().String()
			if c.HasRD() {
				at = string(wire.AppendRD(nil, c.RD())) + " " + at
			}
			do(modelKey{x.Family, at, c.HasPathID(), c.PathID()}, c.Len(), c.Labels())
		}
	}
}

// flowOctets takes a Flow Spec NLRI apart and writes it again.
func flowOctets(f wire.Family, nlri []byte) ([]byte, error) {
	r, err := flowspec.Parse(f, nlri)
	if err != nil {
		return nil, err
	}
	return r.AppendNLRI(nil)
}

// malformedFlow says whether a Flow Spec NLRI of a message can't be read, or an
// action with what is announced.
func malformedFlow(u *wire.Update) bool {
	bad := func(x *wire.MP) (bad bool) {
		for c := x.Raw(); flowspec.Is(x.Family) && c.Next(); {
			_, err := flowOctets(x.Family, c.Bytes())
			bad = bad || err != nil
		}
		return bad
	}
	if x, ok := u.Unreach(); ok && bad(&x) {
		return true
	}
	x, ok := u.Reach()
	return ok && (bad(&x) || flowspec.Is(x.Family) && flowspec.CheckActions(u.AppendReachAttributes(nil)) != nil)
}

func (m *model) family(f wire.Family) *modelFamily {
	if m.fams[f] == nil {
		m.fams[f] = &modelFamily{}
	}
	return m.fams[f]
}

func (m *model) retained(f wire.Family) bool { return m.fams[f] != nil && m.fams[f].retained }

func (m *model) each(f wire.Family, do func(modelKey, *modelRoute)) {
	for k, r := range m.routes {
		if k.family == f {
			do(k, r)
		}
	}
}

func (m *model) age(f wire.Family) { m.each(f, func(_ modelKey, r *modelRoute) { r.old = true }) }

func (m *model) sweep(f wire.Family) {
	m.each(f, func(k modelKey, r *modelRoute) {
		if r.old {
			delete(m.routes, k)
		}
	})
}

func (m *model) beginRefresh(f wire.Family) {
	if x := m.family(f); !x.retained {
		x.refreshing = true
		m.age(f)
	}
}

func (m *model) endRefresh(f wire.Family) {
	if x := m.fams[f]; x != nil && x.refreshing {
		x.refreshing = false
		m.sweep(f)
	}
}

func (m *model) retain(keep wire.FamilySet, kind rib.Stale) {
	for f, x := range m.fams {
		if x.retained {
			m.endRetain(f)
		}
		x.refreshing = false
		m.age(f)
		if !keep.Has(f) {
			m.sweep(f)
			continue
		}
		x.retained = true
		m.mark(f, kind)
	}
}

func (m *model) mark(f wire.Family, kind rib.Stale) {
	m.each(f, func(k modelKey, r *modelRoute) {
		if !r.old {
			return
		}
		r.stale = kind
		if kind != rib.StaleLLGR {
			return
		}
		for _, b := range []*[]byte{&r.attrs, &r.pre} {
			if *b == nil {
				continue
			}
			var e wire.AttrEditor
			e.Start(*b)
			if v, ok := e.Get(wire.AttrCommunities); ok && hasCommunity(v, noLLGR) {
				delete(m.routes, k)
				return
			}
			e.AddCommunities([]uint32{llgrStale})
			*b = e.Append(nil)
		}
	})
}

func (m *model) longLived(f wire.Family) {
	if m.retained(f) {
		m.mark(f, rib.StaleLLGR)
	}
}

func (m *model) endRetain(f wire.Family) {
	if m.retained(f) {
		m.fams[f].retained = false
		m.sweep(f)
	}
}

func (m *model) withdraw(f wire.Family) {
	m.each(f, func(k modelKey, _ *modelRoute) { delete(m.routes, k) })
	if x := m.fams[f]; x != nil {
		x.retained, x.refreshing = false, false
	}
}

// lines is what routes should say.
func (m *model) lines(now uint32) []string {
	var out []string
	for _, k := range slices.Collect(maps.Keys(m.routes)) {
		r := m.routes[k]
		s := fmt.Sprintf("%v %s peer %d attrs %x at %d", k.family, k.at, m.peer, r.attrs, now)
		if k.hasID {
			s += fmt.Sprintf(" id %d", k.id)
		}
		if r.pre != nil {
			s += fmt.Sprintf(" before %x", r.pre)
		}
		if len(r.labels) > 0 {
			s += fmt.Sprintf(" labels %x", r.labels)
		}
		if r.filtered != 0 {
			s += " filtered " + r.filtered.String()
		}
		if r.stale != 0 {
			s += " stale " + r.stale.String()
		}
		out = append(out, s)
	}
	slices.Sort(out)
	return out
}

// pair is a Peer and its model.
type pair struct {
	t     testing.TB
	rib   *shard.RIB
	peer  *Peer
	model *model
}

const modelNow = 1_700_000_000

var modelFamilies = []wire.Family{
	wire.IPv4Unicast, wire.IPv6Unicast, wire.IPv4Multicast, wire.IPv4LabelledUnicast, wire.IPv6LabelledUnicast,
	wire.IPv4VPN, wire.IPv6VPN, wire.IPv4FlowSpec, wire.L2VPNEVPN,
}

func newPair(t testing.TB) *pair {
	r, n := open(t, shard.Options{Shards: 2})
	return &pair{t, r, start(t, r, n, Session{}), newModel(n)}
}

// session begins a session whose terms are bits of how.
func (p *pair) session(how byte) {
	s := wire.Session{AS4: how&1 != 0, External: how&2 != 0, Extended: how&4 != 0}
	if how&8 != 0 {
		s.AddPath = wire.AllFamilies()
	}
	if how&16 != 0 {
		s.Families = wire.NewFamilySet(modelFamilies[:3]...)
	}
	var f rib.Filter
	if how&32 != 0 {
		f = ruled{p.rib.Attrs()}
	}
	p.peer.Start(Session{Wire: s, Filter: f})
	p.model.start(s, how&32 != 0)
}

// do does one thing to both.
func (p *pair) do(op, arg byte) {
	f := modelFamilies[int(arg)%len(modelFamilies)]
	var keep wire.FamilySet
	for i, g := range modelFamilies {
		if arg>>(i%8)&1 != 0 {
			keep = keep.With(g)
		}
	}
	kind := rib.StaleGR
	if op&0x80 != 0 {
		kind = rib.StaleLLGR
	}
	switch op & 0x7f % 8 {
	case 0:
		p.peer.BeginRefresh(f)
		p.model.beginRefresh(f)
	case 1:
		p.peer.EndRefresh(f)
		p.model.endRefresh(f)
	case 2:
		p.peer.Retain(keep, kind)
		p.model.retain(keep, kind)
		p.session(arg)
	case 3:
		p.peer.LongLived(f)
		p.model.longLived(f)
	case 4:
		p.peer.EndRetain(f)
		p.model.endRetain(f)
	case 5:
		p.peer.Withdraw(f)
		p.model.withdraw(f)
	case 6:
		p.session(arg)
	case 7:
		p.peer.Flush()
	}
}

// stream gives both several messages at a time; one that resets the session is
// passed over.
func (p *pair) stream(b []byte) {
	p.t.Helper()
	for len(b) > 0 {
		n, err := p.peer.Updates(b, modelNow)
		split(b[:n], func(m []byte) {
			if !p.model.update(m) {
				p.t.Fatalf("%x is taken in", m)
			}
		})
		if b = b[n:]; err == nil {
			break
		}
		m := message(b)
		if m == nil || p.model.update(m) {
			p.t.Fatalf("%x: %v", m, err)
		}
		b = b[len(m):]
	}
	if m := message(b); m != nil {
		p.t.Fatalf("%x is left", m)
	}
}

func (p *pair) compare() {
	p.t.Helper()
	p.peer.Flush()
	same(p.t, routes(p.rib), p.model.lines(modelNow))
	var retained []wire.Family
	for f, x := range p.model.fams {
		if x.retained {
			retained = append(retained, f)
		}
	}
	slices.Sort(retained)
	if got := p.peer.Retained(); !slices.Equal(slices.Sorted(slices.Values(got)), retained) {
		p.t.Errorf("retained: %v, want %v", got, retained)
	}
}

// writer makes random messages.
type writer struct {
	*rand.Rand
	buf []byte
}

// attrs returns canonical attributes; some have what rule and RFC 9494 look at.
func (w *writer) attrs(f wire.Family) []byte {
	b := wire.AppendAttr(nil, 0x40, wire.AttrOrigin, []byte{byte(w.IntN(3))})
	path := []byte{2, 2, 0, 0, 0xfd, 0xe9, 0, 0, byte(w.IntN(2)), byte(w.IntN(4))}
	b = wire.AppendAttr(b, 0x40, wire.AttrASPath, path)
	hop := []byte{192, 0, 2, 1}
	if !f.Is4() {
		hop = []byte{0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}
	}
	if f != wire.IPv4FlowSpec {
		b = wire.AppendAttr(b, 0x40, wire.AttrNextHop, hop)
	}
	b = wire.AppendAttr(b, 0x80, wire.AttrMED, []byte{0, 0, 0, byte(w.IntN(6))})
	switch w.IntN(6) {
	case 0:
		b = wire.AppendAttr(b, 0xc0, wire.AttrCommunities, []byte{0xff, 0xff, 0, 7})
	case 1:
		b = wire.AppendAttr(b, 0xc0, wire.AttrCommunities, []byte{0xfd, 0xe9, 0, 7, 0xff, 0xff, 0, 6})
	case 2:
		b = wire.AppendAttr(b, 0xc0, wire.AttrCommunities, []byte{0xfd, 0xe9, 0, byte(w.IntN(3))})
	}
	return b
}

// messages returns a few messages of one family as the session s reads them.
func (w *writer) messages(s *wire.Session) []byte {
	f := modelFamilies[w.IntN(len(modelFamilies))]
	if !s.Families.Empty() && !s.Families.Has(f) {
		f = wire.IPv4Unicast
	}
	e := wire.NewEncoder(wire.SendOptions{AS4: s.AS4, Extended: s.Extended, AddPath: s.AddPath, MP4: w.IntN(2) == 0})
	attrs := w.attrs(f)
	for range 1 + w.IntN(2) {
		if w.IntN(3) == 0 {
			e.Withdraw(f)
		} else if err := e.Announce(f, attrs); err != nil {
			panic(err)
		}
		for range 1 + w.IntN(6) {
			w.route(e, f)
		}
	}
	w.buf = append(w.buf[:0], e.Flush()...)
	switch w.IntN(12) {
	case 0:
		w.buf = wire.AppendEndOfRIB(w.buf, f)
	case 1: // damage, of which no message after it hears
		at := wire.HeaderLen + w.IntN(len(w.buf)-wire.HeaderLen)
		w.buf[at] ^= 1 << w.IntN(8)
	}
	return w.buf
}

func (w *writer) route(e *wire.Encoder, f wire.Family) {
	n, id := uint8(8+w.IntN(4)), uint32(w.IntN(3))
	a := uint32(10+w.IntN(2))<<24 | uint32(w.IntN(4))<<20
	hi := uint64(a) << 32
	switch f.Form() {
	case wire.FormPrefix:
		if f.Is4() {
			e.Route4(a, n, id)
		} else {
			e.Route6(hi, 0, n+24*uint8(w.IntN(3)), id)
		}
	case wire.FormRaw:
		if f == wire.L2VPNEVPN {
			e.RouteRaw([]byte{byte(1 + w.IntN(2)), 2, 7, byte(w.IntN(3))}, id)
		} else {
			// One rule in several forms: bits behind the prefix, a length of two octets.
			rule := []byte{1, 7, byte(10+w.IntN(4)) | byte(w.IntN(2)), 3, 0x81, byte(w.IntN(2))}
			if head := []byte{6}; w.IntN(3) > 0 {
				e.RouteRaw(append(head, rule...), id)
			} else {
				e.RouteRaw(append([]byte{0xf0, 6}, rule...), id)
			}
		}
	default:
		labels := []byte{0, byte(w.IntN(3)), 1}
		if w.IntN(3) == 0 {
			labels = []byte{0, 9, 0x10, 0, byte(w.IntN(3)), 1}
		}
		e.RouteLabelled(uint64(w.IntN(3)), labels, hi, 0, n, id)
	}
}

// split calls do with each message.
func split(b []byte, do func([]byte)) {
	for len(b) >= wire.HeaderLen {
		n := int(binary.BigEndian.Uint16(b[16:]))
		if n < wire.HeaderLen || n > len(b) {
			return
		}
		do(b[:n])
		b = b[n:]
	}
}

// A Peer leaves in the RIB what the plainest reading of its messages, sessions and
// refreshes does.
func TestPeerIsItsModel(t *testing.T) {
	steps := 4000
	if testing.Short() || invariants.Enabled {
		steps = 600
	}
	words := []string{" id ", " before ", " labels ", " filtered ", " stale gr", " stale llgr", "evpn"}
	seen := map[string]int{}
	for seed := range uint64(6) {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			w := &writer{Rand: rand.New(rand.NewPCG(seed, 4))}
			p := newPair(t)
			p.session(byte(w.IntN(64)))
			var b []byte
			for step := range steps {
				if w.IntN(8) == 0 {
					p.do(byte(w.IntN(256)), byte(w.IntN(256)))
				} else {
					b = b[:0]
					for range 1 + w.IntN(1+2*atOnce) {
						b = append(b, w.messages(&p.model.s)...)
					}
					p.stream(b)
				}
				if step%200 == 199 {
					if p.compare(); t.Failed() {
						t.Fatalf("at step %d", step)
					}
					for _, line := range p.model.lines(0) {
						for _, word := range words {
							seen[word] += strings.Count(line, word)
						}
					}
				}
			}
		})
	}
	for _, word := range words {
		if seen[word] == 0 {
			t.Errorf("no route ever was%s", word)
		}
	}
}
