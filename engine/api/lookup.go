package api

import (
	"encoding/binary"
	"net/netip"

	"ribd/engine/metrics"
	"ribd/shard"
	"ribd/shard/rib"
)

// lookups answers addresses by the parameters of one request.
type lookups struct {
	c        *call
	target   target
	filtered bool
	r        renderer
}

// lookups reads the parameters that all look-ups take.
func (c *call) lookups() (l lookups, p *problem) {
	l.c = c
	if p = c.filters(); p != nil {
		return l, p
	}
	if l.target, p = c.target(); p != nil {
		return l, p
	}
	l.filtered = c.filter.active()
	l.r = renderer{s: c.s, pre: c.filter.pre, keep: true, now: c.now}
	l.r.fields, p = c.fields()
	return l, p
}

// match finds the longest match of an address and its paths, best first, into
// c.paths. They are values: no pin outlives the call.
func (l *lookups) match(t *tableRef, a netip.Addr) shard.Match {
	c := l.c
	c.paths = c.paths[:0]
	if !t.known {
		return shard.Match{}
	}
	key := keyOf(a)
	c.rd.Pin()
	defer c.rd.Unpin()
	var m shard.Match
	switch {
	case l.filtered:
		f := &c.filter
		m, c.paths = c.rd.MatchFunc(t.id, key, min(t.width(), f.maxLen), c.keep, c.paths)
		if m.OK() && m.Len < f.minLen { // any other match is shorter still
			c.paths = c.paths[:0]
			return shard.Match{}
		}
		return m
	case !t.fast():
		m = c.rd.Match(t.id, key, t.width())
	case t.width() == 32:
		m = c.rd.Match4(uint32(key.Hi >> 32))
	default:
		m = c.rd.Match6(key.Hi, key.Lo)
	}
	if !m.OK() {
		return m
	}
	c.paths = unfiltered(c.rd.Paths(m, c.paths))
	if len(c.paths) == 0 {
		return shard.Match{}
	}
	return m
}

// unfiltered cuts off the filtered paths, which come last.
func unfiltered(paths []rib.Path) []rib.Path {
	for n := len(paths); n > 0; n-- {
		if paths[n-1].Filtered == rib.FilterNone {
			return paths[:n]
		}
	}
	return paths[:0]
}

// append answers one address as a JSON object, or says in its place why not.
func (l *lookups) append(dst, query []byte) []byte {
	dst = append(dst, `{"query":`...)
	a, wrong := parseAddr(query)
	var t tableRef
	if wrong == "" {
		t, wrong = l.target.tableFor(a)
	}
	if wrong != "" {
		dst = appendString(dst, query[:min(len(query), maxItem)])
		dst = append(dst, `,"error":`...)
		return append(appendString(dst, wrong), '}')
	}
	return l.found(dst, query, &t, a)
}

// found appends the rest of an answer after {"query":
func (l *lookups) found(dst, query []byte, t *tableRef, a netip.Addr) []byte {
	dst = appendString(dst, query)
	m := l.match(t, a)
	if !m.OK() {
		return append(dst, `,"prefix":null,"paths":[]}`...)
	}
	dst = append(dst, `,"prefix":`...)
	dst = l.r.prefix(dst, t, m)
	dst = append(dst, `,"paths":[`...)
	for i := range l.c.paths {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, '{')
		dst = l.r.path(dst, t, &l.c.paths[i])
		dst = append(dst, '}')
	}
	return append(dst, ']', '}')
}

// kind is how the look-ups of this request are counted.
func (l *lookups) kind(k metrics.Kind) metrics.Kind {
	if l.filtered {
		return metrics.Filtered
	}
	return k
}

// lookupOne is GET lookup/{address}.
func (c *call) lookupOne() *problem {
	if _, p := c.accept(typeJSON); p != nil {
		return p
	}
	l, p := c.lookups()
	if p != nil {
		return p
	}
	a, wrong := parseAddr(c.arg)
	if wrong != "" {
		return bad("address", "%q %s", shown(c.arg), wrong)
	}
	t, wrong := l.target.tableFor(a)
	if wrong != "" {
		return bad("address", "%q %s", shown(c.arg), wrong)
	}
	r := &c.ctx.Response
	b := append(r.SwapBody(nil)[:0], `{"query":`...)
	b = l.found(b, c.arg, &t, a)
	r.SwapBody(append(b, '\n'))
	r.Header.SetContentType(typeJSON)
	c.s.metrics.Lookups[l.kind(metrics.Single)].Inc()
	return nil
}

// lookupBatch is POST lookup.
func (c *call) lookupBatch() *problem {
	media := c.mediaType()
	switch media {
	case "text/plain", "application/json":
		if _, p := c.accept(typeNDJSON); p != nil {
			return p
		}
	case typeOctets:
		if _, p := c.accept(typeOctets); p != nil {
			return p
		}
	default:
		if media == "" {
			media = "none"
		}
		return fail(415, "Content-Type", "%s: addresses come as text/plain (one a line), application/json (a list of strings) or application/octet-stream (packed)", shown(media))
	}
	if p := c.identity(); p != nil {
		return p
	}
	l, p := c.lookups()
	if p != nil {
		return p
	}
	if p := c.stream(); p != nil {
		return p
	}
	if media == typeOctets {
		return c.lookupPacked(&l)
	}
	return c.lookupText(&l, media == "application/json")
}

// attributes is GET attributes/{attrs_id}.
func (c *call) attributes() *problem {
	if _, p := c.accept(typeJSON); p != nil {
		return p
	}
	n, wrong := parseID(c.arg)
	if wrong {
		return bad("attrs_id", "%q is no id: a number from 1 to 4294967295", shown(c.arg))
	}
	id := rib.AttrID(n)
	attrs := c.s.rib.Attrs()
	if !attrs.Valid(id) {
		return fail(404, "attrs_id", "no attribute set has the id %d (any more)", n)
	}
	part := c.s.attrs.get(id, attrs, c.now)
	if part == nil {
		part = c.s.keepAttrs(id, c.now)
	}
	r := &c.ctx.Response
	b := append(r.SwapBody(nil)[:0], '{')
	b = append(b, part.text...)
	r.SwapBody(append(b, '}', '\n'))
	r.Header.SetContentType(typeJSON)
	return nil
}

func parseID(b []byte) (uint32, bool) {
	if len(b) == 0 || len(b) > 10 {
		return 0, true
	}
	n := uint64(0)
	for _, d := range b {
		if d < '0' || d > '9' {
			return 0, true
		}
		n = n*10 + uint64(d-'0')
	}
	return uint32(n), n == 0 || n > 1<<32-1
}

// record is the packed answer to one address, see http-api.md.
const recordSize = 16

func putRecord(b []byte, length uint8, flags shard.Flags, count int, origin, neighbor, attrs uint32) {
	b[0] = length
	b[1] = uint8(flags)
	binary.LittleEndian.PutUint16(b[2:], uint16(min(count, 65535)))
	binary.LittleEndian.PutUint32(b[4:], origin)
	binary.LittleEndian.PutUint32(b[8:], neighbor)
	binary.LittleEndian.PutUint32(b[12:], attrs)
}
