package api

import (
	"encoding/binary"

	"ribd/shard"
	"ribd/shard/rib"
	"ribd/wire"
)

// renderer writes paths for one request.
type renderer struct {
	s      *Server
	fields fieldSet
	pre    bool   // show attributes as they arrived
	keep   bool   // put what had to be rendered into the cache: look-ups, not scans
	now    uint32 // seconds since 1970, for the cache
	d      decoded
	recent *[64]recentPart // of a scan: neighbours often share attributes
}

// recentPart is the text of a set in a scan, by its id.
type recentPart struct {
	id   rib.AttrID
	text []byte
}

// path appends the fields of a path with commas between, without braces.
func (r *renderer) path(dst []byte, t *tableRef, p *rib.Path) []byte {
	if r.fields == allFields {
		dst = r.peerPart(dst, p, peerFields)
		dst = append(dst, ',')
		dst = appendFamily(dst, t)
		dst = append(dst, `,"labels":`...)
		dst = r.labels(dst, p.Labels)
		dst = append(dst, `,"path_id":`...)
		dst = appendMaybe(dst, p.PathID, p.HasPathID)
		dst = append(dst, `,"best":`...)
		dst = appendBool(dst, p.Best)
		dst = append(dst, `,"best_reason":`...)
		dst = appendReason(dst, p)
		dst = append(dst, `,"rank":`...)
		dst = appendUint(dst, p.Rank)
		dst = append(dst, ',')
		dst = r.attrs(dst, p, attrFields)
		dst = append(dst, `,"received_at":`...)
		dst = appendUnix(dst, p.Received)
		if p.Stale == rib.StaleNo && p.Filtered == rib.FilterNone {
			return append(dst, `,"stale":null,"filtered":false,"filter_reason":null,"rpki":null`...)
		}
		dst = append(dst, `,"stale":`...)
		dst = appendNullString(dst, p.Stale.String())
		dst = append(dst, `,"filtered":`...)
		dst = appendBool(dst, p.Filtered != rib.FilterNone)
		dst = append(dst, `,"filter_reason":`...)
		dst = appendNullString(dst, p.Filtered.String())
		return append(dst, `,"rpki":null`...)
	}
	return r.some(dst, t, p)
}

// some is path for a selection of fields.
func (r *renderer) some(dst []byte, t *tableRef, p *rib.Path) []byte {
	start := len(dst)
	sep := func() {
		if len(dst) > start {
			dst = append(dst, ',')
		}
	}
	if part := r.fields & peerFields; part != 0 {
		dst = r.peerPart(dst, p, part)
	}
	for f := fFamily; f < numFields; f++ {
		if !r.fields.has(f) {
			continue
		}
		sep()
		if f >= firstAttr && f <= fAttrsID {
			dst = r.attrs(dst, p, r.fields&attrFields)
			f = fAttrsID
			continue
		}
		dst = append(dst, fieldKeys[f]...)
		switch f {
		case fFamily:
			dst = appendString(dst, t.family.String())
		case fRD:
			dst = appendRD(dst, t)
		case fLabels:
			dst = r.labels(dst, p.Labels)
		case fPathID:
			dst = appendMaybe(dst, p.PathID, p.HasPathID)
		case fBest:
			dst = appendBool(dst, p.Best)
		case fBestReason:
			dst = appendReason(dst, p)
		case fRank:
			dst = appendUint(dst, p.Rank)
		case fReceivedAt:
			dst = appendUnix(dst, p.Received)
		case fStale:
			dst = appendNullString(dst, p.Stale.String())
		case fFiltered:
			dst = appendBool(dst, p.Filtered != rib.FilterNone)
		case fFilterReason:
			dst = appendNullString(dst, p.Filtered.String())
		case fRPKI:
			dst = append(dst, "null"...)
		}
	}
	return dst
}

func appendReason(dst []byte, p *rib.Path) []byte {
	if !p.Best || p.Reason == rib.StepNone {
		return append(dst, "null"...)
	}
	dst = append(dst, '"')
	dst = append(dst, p.Reason.String()...)
	return append(dst, '"')
}

// appendFamily appends family and rd.
func appendFamily(dst []byte, t *tableRef) []byte {
	switch t.family {
	case wire.IPv4Unicast:
		return append(dst, `"family":"ipv4-unicast","rd":null`...)
	case wire.IPv6Unicast:
		return append(dst, `"family":"ipv6-unicast","rd":null`...)
	}
	dst = append(dst, fieldKeys[fFamily]...)
	dst = appendString(dst, t.family.String())
	dst = append(dst, ',')
	dst = append(dst, fieldKeys[fRD]...)
	return appendRD(dst, t)
}

func appendRD(dst []byte, t *tableRef) []byte {
	if !t.hasRD {
		return append(dst, "null"...)
	}
	dst = append(dst, '"')
	return append(wire.AppendRD(dst, t.rd), '"')
}

// labels appends a label stack, top first (RFC 8277: 20 bits of each 3 octets).
func (r *renderer) labels(dst []byte, id uint32) []byte {
	if id == 0 {
		return append(dst, "null"...)
	}
	b, _ := r.s.rib.Labels(id)
	return appendLabels(dst, b)
}

// appendLabels appends the labels of a stack, null where there is none.
func appendLabels(dst, b []byte) []byte {
	if len(b) == 0 {
		return append(dst, "null"...)
	}
	dst = append(dst, '[')
	for ; len(b) >= 3; b = b[3:] {
		dst = openItem(dst)
		dst = appendUint(dst, (uint32(b[0])<<16|uint32(b[1])<<8|uint32(b[2]))>>4)
	}
	return append(dst, ']')
}

func (r *renderer) peerPart(dst []byte, p *rib.Path, set fieldSet) []byte {
	info, ok := r.s.rib.Peer(p.Peer)
	if !ok {
		info = &rib.PeerInfo{}
	}
	part := r.s.peers.get(p.Peer, info)
	if set == peerFields {
		return append(dst, part.text...)
	}
	first := true
	for f := fPeer; f <= fSource; f++ {
		if !set.has(f) {
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = append(dst, part.field(f)...)
	}
	return dst
}

// attrs appends fields of the attribute set, from the cache where it has them.
func (r *renderer) attrs(dst []byte, p *rib.Path, set fieldSet) []byte {
	id := p.Attrs
	if r.pre && p.PreAttrs != 0 {
		id = p.PreAttrs
	}
	if set == 1<<fAttrsID { // needs no attributes
		dst = append(dst, fieldKeys[fAttrsID]...)
		return appendUint(dst, uint32(id))
	}
	if r.recent != nil && set == attrFields {
		return r.scanned(dst, id)
	}
	attrs := r.s.rib.Attrs()
	part := r.s.attrs.get(id, attrs, r.now)
	if r.keep {
		if part != nil {
			r.s.metrics.CacheHit.Inc()
		} else {
			r.s.metrics.CacheMiss.Inc()
			if set == attrFields && r.s.attrs.wants() {
				part = r.s.keepAttrs(id, r.now)
			}
		}
	}
	if part != nil && set == attrFields {
		return append(dst, part.text...)
	}
	if part == nil {
		canonical, _ := attrs.Bytes(id)
		r.d.decode(id, canonical)
	}
	first := true
	for f := firstAttr; f <= fAttrsID; f++ {
		if !set.has(f) {
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		if part != nil {
			dst = append(dst, part.field(f)...)
		} else {
			dst = r.d.appendField(dst, f)
		}
	}
	return dst
}

// keepAttrs renders a set and keeps it.
func (s *Server) keepAttrs(id rib.AttrID, now uint32) *attrPart {
	canonical, _ := s.rib.Attrs().Bytes(id)
	part := makeAttrPart(id, canonical)
	part.check(s.rib.Attrs(), now)
	s.attrs.put(part)
	return part
}

// scanned appends all fields of a set for a scan, which neither trusts nor fills
// the cache of look-ups: it has one of its own for the slice in hand.
func (r *renderer) scanned(dst []byte, id rib.AttrID) []byte {
	e := &r.recent[id%64]
	if e.id == id && id != 0 {
		return append(dst, e.text...)
	}
	canonical, _ := r.s.rib.Attrs().Bytes(id)
	r.d.decode(id, canonical)
	at := len(dst)
	for f := firstAttr; f <= fAttrsID; f++ {
		if f > firstAttr {
			dst = append(dst, ',')
		}
		dst = r.d.appendField(dst, f)
	}
	e.id, e.text = id, append(e.text[:0], dst[at:]...)
	return dst
}

// forget begins a new slice of a scan: ids may have changed their meaning.
func (r *renderer) forget() {
	if r.recent != nil {
		for i := range r.recent {
			r.recent[i].id = 0
		}
	}
}

// prefix appends the prefix of a match as a JSON string; raw families have none.
func (r *renderer) prefix(dst []byte, t *tableRef, m shard.Match) []byte {
	if t.form() == wire.FormRaw {
		return append(dst, "null"...)
	}
	dst = append(dst, '"')
	if t.family.Is4() {
		dst = appendIPv4(dst, uint32(m.Key.Hi>>32))
	} else {
		dst = m.Key.Addr(false).AppendTo(dst)
	}
	dst = append(dst, '/')
	dst = appendUint(dst, m.Len)
	return append(dst, '"')
}

// appendIPv4 is wire.AppendIPv4 without the way over netip.Addr.
func appendIPv4(dst []byte, a uint32) []byte {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], a)
	for i, o := range b {
		if i > 0 {
			dst = append(dst, '.')
		}
		if o >= 100 {
			dst = append(dst, '0'+o/100)
		}
		if o >= 10 {
			dst = append(dst, '0'+o/10%10)
		}
		dst = append(dst, '0'+o%10)
	}
	return dst
}

// route appends one row of a list of routes: a whole object.
func (r *renderer) route(dst []byte, t *tableRef, m shard.Match, p *rib.Path) []byte {
	dst = append(dst, `{"prefix":`...)
	dst = r.prefix(dst, t, m)
	if t.form() == wire.FormRaw {
		dst = r.nlri(dst, t, m)
	}
	if r.fields != 0 {
		dst = append(dst, ',')
		dst = r.path(dst, t, p)
	}
	return append(dst, '}')
}

// nlri appends the fields of families without prefixes.
func (r *renderer) nlri(dst []byte, t *tableRef, m shard.Match) []byte {
	b, ok := r.s.rib.RawNLRI(m.Key)
	if !ok {
		return append(dst, `,"nlri":null,"nlri_text":null`...)
	}
	dst = append(dst, `,"nlri":`...)
	dst = appendHex(dst, b)
	dst = append(dst, `,"nlri_text":`...)
	return appendNullString(dst, nlriText(t.family, b))
}
