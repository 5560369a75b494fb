package api

import (
	"ribd/engine/flow"
	"ribd/engine/origin"
	"ribd/shard/rib"
	"ribd/shard/rules"
	"ribd/wire"
	"ribd/wire/flowspec"
)

// flowRow renders rules, path by path.
type flowRow struct {
	c       *call
	r       renderer
	family  wire.Family
	rd      uint64
	nlri    []byte
	parsed  flowspec.Rule
	match   []byte // "match" of the rule
	order   int
	shadows []byte // "shadowed_by"
}

func (w *flowRow) init(c *call) {
	w.c = c
	w.r = renderer{s: c.s, fields: allFields, now: c.now, recent: new([64]recentPart)}
}

// rule begins a rule, of canonical octets.
func (w *flowRow) rule(f wire.Family, rd uint64, nlri []byte, order int, shadows []rules.Value) {
	w.family, w.rd, w.nlri, w.order = f, rd, nlri, order
	w.parsed, _ = flowspec.Parse(f, nlri) // canonical octets are a rule
	w.match = appendMatch(w.match[:0], &w.parsed)
	w.shadows = appendRuleIDs(w.shadows[:0], shadows)
}

// append appends a path of the rule as an object.
func (w *flowRow) append(dst []byte, p *rib.Path) []byte {
	s := w.c.s
	info, ok := s.rib.Peer(p.Peer)
	if !ok {
		info = &rib.PeerInfo{}
	}
	canonical, _ := s.rib.Attrs().Bytes(p.Attrs)
	a := flowspec.ActionsOf(canonical)
	dst = append(dst, `{"id":`...)
	dst = appendRuleID(dst, flow.RuleID(info.ID, w.family, p.HasPathID, p.PathID, w.nlri))
	dst = w.head(dst, &a)
	dst = append(dst, `,"path_id":`...)
	dst = appendMaybe(dst, p.PathID, p.HasPathID)
	dst = append(dst, `,"order":`...)
	dst = appendUint(dst, w.order)
	dst = append(dst, `,"match":`...)
	dst = append(dst, w.match...)
	dst = append(dst, `,"actions":`...)
	dst = appendActions(dst, &a)
	dst = append(dst, ',')
	dst = w.r.peerPart(dst, p, peerFields)
	dst = append(dst, ',')
	dst = w.r.attrs(dst, p, attrFields)
	dst = append(dst, `,"best":`...)
	dst = appendBool(dst, p.Best)
	dst = append(dst, `,"valid":`...)
	dst = appendBool(dst, !p.Filtered.Invalid())
	dst = append(dst, `,"invalid_reason":`...)
	if p.Filtered.Invalid() {
		dst = appendString(dst, p.Filtered.String())
	} else {
		dst = append(dst, "null"...)
	}
	dst = append(dst, `,"filtered":`...)
	dst = appendBool(dst, p.Filtered != rib.FilterNone)
	dst = append(dst, `,"filter_reason":`...)
	dst = appendNullString(dst, p.Filtered.String())
	dst = append(dst, `,"stale":`...)
	dst = appendNullString(dst, p.Stale.String())
	dst = append(dst, `,"counters":null,"shadowed_by":`...)
	dst = append(dst, w.shadows...)
	dst = append(dst, `,"received_at":`...)
	dst = appendUnix(dst, p.Received)
	return append(w.local(dst, info, p), '}')
}

// head appends what the octets of the rule and its actions say.
func (w *flowRow) head(dst []byte, a *flowspec.Actions) []byte {
	dst = append(dst, `,"text":`...)
	dst = appendString(dst, flowspec.Text(&w.parsed, a))
	dst = append(dst, `,"nlri":`...)
	dst = appendHex(dst, w.nlri)
	dst = append(dst, ',')
	return appendFamily(dst, &tableRef{family: w.family, rd: w.rd, hasRD: flowspec.IsVPN(w.family)})
}

// local appends what is known of rules that are originated here alone.
func (w *flowRow) local(dst []byte, info *rib.PeerInfo, p *rib.Path) []byte {
	var r origin.Route
	if info.Source == rib.SourceLocal && w.c.s.opts.Origin != nil {
		r, _ = w.c.s.opts.Origin.Get(origin.Key{Family: w.family, NLRI: string(w.nlri), PathID: p.PathID, HasPathID: p.HasPathID})
	}
	dst = append(dst, `,"expires_at":`...)
	dst = appendTime(dst, r.Expires)
	dst = append(dst, `,"peers":`...)
	if len(r.Peers) == 0 {
		return append(dst, "null"...)
	}
	dst = append(dst, '[')
	for _, id := range r.Peers {
		dst = appendString(openItem(dst), id)
	}
	return append(dst, ']')
}
