package api

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"ribd/shard"
	"ribd/shard/rib"
	"ribd/wire"
)

// choice is a parameter of three values.
type choice uint8

const (
	no choice = iota
	yes
	either
)

// filter is the compiled route filters of one request. What asks about
// attributes is judged once for each attribute set, or AS_PATH, where a memo is
// there; the rest is judged for each path.
type filter struct {
	rib   *shard.RIB
	attrs *rib.Attrs

	on    paramSet // the filters that were given
	sets  paramSet // those of them that ask about attribute sets
	pre   bool     // policy=pre
	peers []rib.PeerNum

	peerASN, originASN, neighborASN, pathID uint32
	noPathID                                bool
	source                                  rib.Source
	pathLength                              uint16
	asPath                                  *pathExpr
	communities                             []wire.CommunityMatch
	large                                   []wire.LargeMatch
	ext                                     []wire.ExtMatch
	nextHop                                 netip.Addr
	originator                              uint32
	best, filtered                          choice
	stale                                   choice
	staleIs                                 rib.Stale
	reason                                  rib.FilterReason
	minLen, maxLen                          uint8
	after, before                           int64 // seconds

	setMemo, pathMemo *memo
	text              []byte

	// With table=adj-out: what the peer is sent, in place of what the RIB has.
	out     AdjOut
	sents   []Advertised // of one prefix
	sources []rib.Path   // of it, in the RIB
	scratch []rib.Path
}

// setFilters ask about attribute sets.
const setFilters = paramSet(1<<pOriginASN | 1<<pNeighborASN | 1<<pASPath | 1<<pASPathLength | 1<<pCommunity | 1<<pLargeCommunity |
	1<<pExtCommunity | 1<<pNextHop | 1<<pOriginatorID)

func (f *filter) init(r *shard.RIB) { f.rib, f.attrs = r, r.Attrs() }

// release lets go of what a request took.
func (f *filter) release() {
	f.asPath, f.setMemo, f.pathMemo, f.out = nil, nil, nil, nil
}

// active reports whether anything is asked that a plain longest match does not
// answer.
func (f *filter) active() bool { return f.on&^(1<<pPolicy) != 0 }

// attrsOf is the attribute set that is shown and asked about.
func (f *filter) attrsOf(p *rib.Path) rib.AttrID {
	if f.pre && p.PreAttrs != 0 {
		return p.PreAttrs
	}
	return p.Attrs
}

// memoise makes ready for a walk over many paths.
func (f *filter) memoise() {
	if f.sets != 0 {
		f.setMemo = newMemo(uint32(f.attrs.MaxSet()) + 1)
	}
	if f.asPath != nil {
		// AS_PATHs get their ids as this walk asks for them, one a set at most.
		f.pathMemo = newMemo(max(uint32(f.attrs.MaxASPath()), uint32(f.attrs.MaxSet())) + 1)
		f.asPath = f.asPath.share()
	}
}

// share answers a copy for another goroutine, with the same memos.
func (f *filter) share() *filter {
	g := *f
	g.text, g.sents, g.sources, g.scratch = nil, nil, nil, nil
	if g.asPath != nil {
		g.asPath = g.asPath.share()
	}
	return &g
}

// keep judges one path.
func (f *filter) keep(p *rib.Path) bool {
	if p.Filtered != rib.FilterNone {
		if f.filtered == no {
			return false
		}
	} else if f.filtered == yes {
		return false
	}
	if f.on == 0 {
		return true
	}
	if f.on&^setFilters != 0 && !f.keepPath(p) {
		return false
	}
	return f.sets == 0 || f.keepSet(f.attrsOf(p))
}

func (f *filter) keepPath(p *rib.Path) bool {
	if f.on.has(pBest) && p.Best != (f.best == yes) {
		return false
	}
	if f.on.has(pPeer) {
		if _, ok := slices.BinarySearch(f.peers, p.Peer); !ok {
			return false
		}
	}
	if f.on.has(pPathID) {
		if f.noPathID == p.HasPathID || !f.noPathID && p.PathID != f.pathID {
			return false
		}
	}
	if f.on.has(pPeerASN) || f.on.has(pSource) {
		info, ok := f.rib.Peer(p.Peer)
		if !ok || f.on.has(pPeerASN) && info.AS != f.peerASN || f.on.has(pSource) && info.Source != f.source {
			return false
		}
	}
	if f.on.has(pStale) {
		switch f.stale {
		case no:
			if p.Stale != rib.StaleNo {
				return false
			}
		case yes:
			if p.Stale == rib.StaleNo {
				return false
			}
		default:
			if p.Stale != f.staleIs {
				return false
			}
		}
	}
	if f.on.has(pFilterReason) && p.Filtered != f.reason {
		return false
	}
	if f.on.has(pReceivedAfter) && int64(p.Received) <= f.after {
		return false
	}
	return !f.on.has(pReceivedBefore) || int64(p.Received) < f.before
}

func (f *filter) keepSet(id rib.AttrID) bool {
	if f.setMemo == nil {
		return f.judge(id)
	}
	if y, known := f.setMemo.get(uint32(id)); known {
		return y
	}
	y := f.judge(id)
	f.setMemo.set(uint32(id), y)
	return y
}

// judge asks everything about one set, the cheap questions first.
func (f *filter) judge(id rib.AttrID) bool {
	if f.sets&(1<<pOriginASN|1<<pNeighborASN|1<<pASPathLength) != 0 {
		s, ok := f.attrs.Summary(id)
		if !ok {
			s = f.summaryOf(id)
		}
		if f.on.has(pOriginASN) && (!s.HasOrigin || s.OriginAS != f.originASN) ||
			f.on.has(pNeighborASN) && (!s.HasNeighbor || s.NeighborAS != f.neighborASN) ||
			f.on.has(pASPathLength) && s.PathLen != f.pathLength {
			return false
		}
	}
	if f.asPath != nil && !f.judgePath(id) {
		return false
	}
	if f.sets&^(1<<pOriginASN|1<<pNeighborASN|1<<pASPathLength|1<<pASPath) == 0 {
		return true
	}
	b, ok := f.attrs.Bytes(id)
	return ok && f.judgeBytes(b)
}

// summaryOf works out the summary of a set that has ended, which an old view
// still shows.
func (f *filter) summaryOf(id rib.AttrID) (s rib.Summary) {
	b, _ := f.attrs.Bytes(id)
	v, _ := wire.FindAttr(b, wire.AttrASPath)
	s.OriginAS, s.HasOrigin = wire.ASPathOrigin(v)
	s.NeighborAS, s.HasNeighbor = wire.ASPathNeighbor(v)
	s.PathLen = uint16(min(wire.ASPathLen(v), 65535))
	return s
}

func (f *filter) judgePath(id rib.AttrID) bool {
	n := f.attrs.ASPathOf(id)
	if y, known := f.pathMemo.get(uint32(n)); known {
		return y
	}
	v, ok := f.attrs.ASPathBytes(n)
	if !ok {
		// No room for its id, or the set has ended.
		b, _ := f.attrs.Bytes(id)
		v, _ = wire.FindAttr(b, wire.AttrASPath)
		y, text := f.asPath.match(v, f.text)
		f.text = text
		return y
	}
	var y bool
	y, f.text = f.asPath.match(v, f.text)
	f.pathMemo.set(uint32(n), y)
	return y
}

func (f *filter) judgeBytes(b []byte) bool {
	for i := range f.communities {
		v, ok := wire.FindAttr(b, wire.AttrCommunities)
		if !ok || !f.communities[i].MatchAttr(v) {
			return false
		}
	}
	for i := range f.large {
		v, ok := wire.FindAttr(b, wire.AttrLargeCommunities)
		if !ok || !f.large[i].MatchAttr(v) {
			return false
		}
	}
	for i := range f.ext {
		v, ok := wire.FindAttr(b, wire.AttrExtCommunities)
		if !ok || !f.ext[i].MatchAttr(v) {
			return false
		}
	}
	if f.on.has(pNextHop) {
		v, ok := wire.FindAttr(b, wire.AttrNextHop)
		if !ok {
			return false
		}
		global, local := nextHops(v)
		if global != f.nextHop && local != f.nextHop {
			return false
		}
	}
	if f.on.has(pOriginatorID) {
		v, ok := wire.FindAttr(b, wire.AttrOriginatorID)
		if !ok || len(v) != 4 || binary.BigEndian.Uint32(v) != f.originator {
			return false
		}
	}
	return true
}

// lengthOK judges a prefix.
func (f *filter) lengthOK(n uint8) bool {
	return n >= f.minLen && n <= f.maxLen
}

// filters compiles the filters of the request.
func (c *call) filters() *problem {
	f := &c.filter
	f.on = c.q.set & paramsFilter
	if c.q.has(pTable) {
		f.on &^= 1 << pPeer // it names whose table it is
	}
	f.sets = f.on & setFilters
	f.pre, f.filtered, f.minLen, f.maxLen = false, no, 0, 128
	f.communities, f.large, f.ext = f.communities[:0], f.large[:0], f.ext[:0]
	f.asPath, f.setMemo, f.pathMemo = nil, nil, nil
	if f.on == 0 {
		return nil
	}
	if p := c.filterPeer(); p != nil {
		return p
	}
	if p := c.filterPath(); p != nil {
		return p
	}
	if p := c.filterTimes(); p != nil {
		return p
	}
	if p := c.filterNumbers(); p != nil {
		return p
	}
	return c.filterSets()
}

func (c *call) filterPeer() *problem {
	f, q := &c.filter, &c.q
	if v := q.get(pPeer); v != nil && f.on.has(pPeer) {
		var p *problem
		if f.peers, p = c.s.findPeers(v, f.peers[:0]); p != nil {
			return p
		}
		slices.Sort(f.peers)
	}
	if v := q.get(pSource); v != nil {
		ok := false
		for s := rib.SourceBGP; s <= rib.SourceLocal; s++ {
			if string(v) == s.String() {
				f.source, ok = s, true
			}
		}
		if !ok {
			return bad("source", "%q is no source: bgp, mrt, bmp or local", shown(v))
		}
	}
	return nil
}

func (c *call) filterPath() *problem {
	f, q := &c.filter, &c.q
	if v := q.get(pPathID); v != nil {
		if f.noPathID = string(v) == "none"; !f.noPathID {
			n, p := parseNumber(pPathID, v, 0, 1<<32-1)
			if p != nil {
				return bad("path_id", "%q is neither a number from 0 to 4294967295 nor none", shown(v))
			}
			f.pathID = uint32(n)
		}
	}
	switch v := q.get(pBest); string(v) {
	case "", "true":
		f.best = yes
	case "false":
		f.best = no
	default:
		return bad("best", "%q is neither true nor false", shown(v))
	}
	if p := c.filterReason(); p != nil {
		return p
	}
	switch v := q.get(pFiltered); string(v) {
	case "":
		if f.filtered = no; f.on.has(pFilterReason) {
			f.filtered = yes
		}
	case "false":
		f.filtered = no
	case "true":
		f.filtered = yes
	case "any":
		f.filtered = either
	default:
		return bad("filtered", "%q is none of true, false and any", shown(v))
	}
	f.stale = either
	switch v := q.get(pStale); string(v) {
	case "":
	case "false":
		f.stale = no
	case "true", "any":
		f.stale = yes
	case "gr":
		f.staleIs = rib.StaleGR
	case "llgr":
		f.staleIs = rib.StaleLLGR
	case "restart":
		f.staleIs = rib.StaleRestart
	default:
		return bad("stale", "%q is none of true, false, gr, llgr and restart", shown(v))
	}
	switch v := q.get(pPolicy); string(v) {
	case "", "post":
	case "pre":
		f.pre = true
	default:
		return bad("policy", "%q is neither pre nor post", shown(v))
	}
	if v := q.get(pRPKI); v != nil {
		switch string(v) {
		case "valid", "invalid", "not-found":
			return fail(fasthttp.StatusUnprocessableEntity, "rpki", "no VRPs are loaded, so nothing is valid, invalid or not found")
		}
		return bad("rpki", "%q is none of valid, invalid and not-found", shown(v))
	}
	return nil
}

// filterReasons lists the reasons that have names; 15 are all that there can be.
func filterReasons() (list []rib.FilterReason) {
	for r := rib.FilterNone + 1; r <= 15; r++ {
		if !strings.HasPrefix(r.String(), "filter-") {
			list = append(list, r)
		}
	}
	return list
}

// filterReason reads filter_reason=, which asks for filtered paths without
// being told so.
func (c *call) filterReason() *problem {
	v := c.q.get(pFilterReason)
	if v == nil {
		return nil
	}
	var names []string
	for _, r := range filterReasons() {
		if string(v) == r.String() {
			c.filter.reason = r
			return nil
		}
		names = append(names, r.String())
	}
	return bad("filter_reason", "%q is no reason: %s", shown(v), strings.Join(names, ", "))
}

func (c *call) filterTimes() *problem {
	for _, t := range [...]struct {
		p   param
		out *int64
	}{{pReceivedAfter, &c.filter.after}, {pReceivedBefore, &c.filter.before}} {
		v := c.q.get(t.p)
		if v == nil {
			continue
		}
		at, err := time.Parse(time.RFC3339Nano, str(v))
		if err != nil {
			return bad(t.p.String(), "%q is no RFC 3339 time (such as 2026-01-02T03:04:05Z; a + is written %%2B)", shown(v))
		}
		*t.out = at.Unix()
		if t.p == pReceivedBefore && at.Nanosecond() > 0 {
			*t.out++ // what came in that second came before it
		}
	}
	return nil
}

func (c *call) filterNumbers() *problem {
	f, q := &c.filter, &c.q
	for _, n := range [...]struct {
		p   param
		out *uint32
	}{{pPeerASN, &f.peerASN}, {pOriginASN, &f.originASN}, {pNeighborASN, &f.neighborASN}} {
		if v := q.get(n.p); v != nil {
			var p *problem
			if *n.out, p = parseASN(n.p, v); p != nil {
				return p
			}
		}
	}
	if v := q.get(pASPathLength); v != nil {
		n, p := parseNumber(pASPathLength, v, 0, 65535)
		if p != nil {
			return p
		}
		f.pathLength = uint16(n)
	}
	for _, n := range [...]struct {
		p   param
		out *uint8
	}{{pMinLength, &f.minLen}, {pMaxLength, &f.maxLen}} {
		if v := q.get(n.p); v != nil {
			l, p := parseNumber(n.p, v, 0, 128)
			if p != nil {
				return p
			}
			*n.out = uint8(l)
		}
	}
	if f.minLen > f.maxLen {
		return bad("min_length", "%d is over max_length, %d: nothing is both", f.minLen, f.maxLen)
	}
	return nil
}

func (c *call) filterSets() *problem {
	f, q := &c.filter, &c.q
	if v := q.get(pASPath); v != nil {
		if len(v) > maxExpr {
			return bad("as_path", "is over %d octets long", maxExpr)
		}
		var err error
		if f.asPath, err = compilePathExpr(string(v)); err != nil {
			return bad("as_path", "%v (the syntax is RE2; _ stands for the start, the end, a space, a comma or a bracket)", err)
		}
	}
	if p := q.each(pCommunity, func(v []byte) *problem {
		m, err := wire.ParseCommunity(str(v))
		if err != nil {
			return bad("community", "%v", err)
		}
		f.communities = append(f.communities, m)
		return nil
	}); p != nil {
		return p
	}
	if p := q.each(pLargeCommunity, func(v []byte) *problem {
		m, err := wire.ParseLargeCommunity(str(v))
		if err != nil {
			return bad("large_community", "%v", err)
		}
		f.large = append(f.large, m)
		return nil
	}); p != nil {
		return p
	}
	if p := q.each(pExtCommunity, func(v []byte) *problem {
		m, err := wire.ParseExtCommunity(str(v))
		if err != nil {
			return bad("ext_community", "%v", err)
		}
		f.ext = append(f.ext, m)
		return nil
	}); p != nil {
		return p
	}
	if v := q.get(pNextHop); v != nil {
		a, wrong := parseAddr(v)
		if wrong != "" {
			return bad("next_hop", "%q %s", shown(v), wrong)
		}
		f.nextHop = a
	}
	if v := q.get(pOriginatorID); v != nil {
		a, err := netip.ParseAddr(string(v))
		if err != nil || !a.Is4() {
			return bad("originator_id", "%q is no router id (such as 192.0.2.1)", shown(v))
		}
		b := a.As4()
		f.originator = binary.BigEndian.Uint32(b[:])
	}
	return nil
}
