package api

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"net/netip"

	"github.com/cespare/xxhash/v2"
	"github.com/valyala/fasthttp"

	"ribd/engine/origin"
	"ribd/shard/rib"
	"ribd/trie"
	"ribd/wire"
)

// pathPage is how many originated paths are listed at a time.
const pathPage = 1000

// pathList is GET paths: what is originated here, in the order of families, route
// distinguishers and prefixes.
func (c *call) pathList() *problem {
	if c.s.opts.Origin == nil {
		return later("", "announcing")
	}
	media, p := c.accept(typeJSON, typeNDJSON)
	if p != nil {
		return p
	}
	var f origin.Filter
	if f.Family, f.RD, _, p = c.family(); p != nil {
		return p
	}
	f.HasRD = c.q.has(pRD)
	if v := c.q.get(pPrefix); v != nil {
		if f.Prefix, p = parsePrefix(v); p != nil {
			return p
		}
	}
	limit, p := c.limit()
	if p != nil {
		return p
	}
	mark := c.q.question()
	var after *origin.Key
	if v := c.q.get(pCursor); v != nil {
		if after, p = decodeKey(v, mark); p != nil {
			return p
		}
	}
	if p = c.stream(); p != nil {
		return p
	}
	c.ctx.Response.Header.Set(fasthttp.HeaderVary, "Accept, Accept-Encoding")
	if media == typeNDJSON {
		c.streamBody(typeNDJSON, c.encoding(), func(out *sink) error { return c.pathLines(out, f, after, limit) })
		return nil
	}
	if limit < 0 {
		limit = defaultLimit
	}
	var pg page
	dst := append(c.buf[:0], `{"paths":[`...)
	first := true
	last, more := c.eachPage(f, after, limit, func(routes []origin.Route) error {
		dst = c.pathRows(dst, routes, func(dst []byte) []byte {
			if !first {
				dst = append(dst, ',', '\n')
			}
			first = false
			return dst
		})
		if len(dst) >= pagePiece {
			dst = pg.add(dst)
		}
		return nil
	})
	dst = append(dst, `],"next":`...)
	if more {
		dst = appendString(dst, encodeKey(last, mark))
	} else {
		dst = append(dst, "null"...)
	}
	c.buf = pg.add(append(dst, '}', '\n'))
	c.streamBody(typeJSON, c.encoding(), pg.write)
	return nil
}

// eachPage lists up to limit routes, all of them where it is under 0, a page at a
// time. It answers the key of the last one, and whether there are more.
func (c *call) eachPage(f origin.Filter, after *origin.Key, limit int, each func([]origin.Route) error) (last *origin.Key, more bool) {
	var routes []origin.Route
	for more = true; more && limit != 0; {
		n := pathPage
		if limit > 0 {
			n = min(n, limit)
		}
		routes, more = c.s.opts.Origin.List(routes[:0], f, after, n)
		if limit > 0 {
			limit -= len(routes)
		}
		if len(routes) == 0 {
			return last, false
		}
		key := routes[len(routes)-1].Key
		last, after = &key, &key
		if each(routes) != nil {
			return last, more
		}
	}
	return last, more
}

// pathLines answers one path a line, a page at a time.
func (c *call) pathLines(out *sink, f origin.Filter, after *origin.Key, limit int) (err error) {
	c.eachPage(f, after, limit, func(routes []origin.Route) error {
		c.buf = c.pathRows(c.buf[:0], routes, func(dst []byte) []byte {
			if len(dst) > 0 {
				dst = append(dst, '\n')
			}
			return dst
		})
		c.buf = append(c.buf, '\n')
		if c.s.stopping.Load() {
			err = cutOff(out, &c.buf, errStopping.Error())
		} else {
			err = out.write(c.buf)
		}
		return err
	})
	return err
}

// pathRows appends a row for each route; sep is asked before each.
func (c *call) pathRows(dst []byte, routes []origin.Route, sep func([]byte) []byte) []byte {
	results := make([]origin.Result, len(routes))
	for i := range routes {
		results[i] = c.s.whereIs(&routes[i])
	}
	var d decoded
	row := func(i int, peers []PeerAnswer) {
		dst = c.pathRow(sep(dst), &d, &routes[i], peers)
	}
	at := 0
	rest := func(i int) { // those that peers are not asked about
		for ; at < i; at++ {
			row(at, nil)
		}
	}
	if c.s.opts.Told != nil && len(routes) > 0 {
		now, stop := context.WithCancel(context.Background())
		stop() // nothing is waited for
		c.s.opts.Told(now, routes, results, func(i int, peers []PeerAnswer) {
			rest(i)
			row(i, peers)
			at = i + 1
		})
	}
	rest(len(routes))
	return dst
}

// whereIs says where the RIB has a route. It has an error where it does not.
func (s *Server) whereIs(r *origin.Route) origin.Result {
	res := origin.Result{Num: r.Num, AttrsID: r.AttrsID, ID: r.ID, Expires: r.Expires}
	if r.Held != nil {
		res.Err = r.Held
		return res
	}
	var ok bool
	if res.Table, ok = s.rib.FindTable(r.Family, r.RD); !ok {
		res.Err = origin.ErrFull
		return res
	}
	if r.Family.Form() == wire.FormRaw {
		if res.Key, res.Len, ok = s.rib.FindRawKey([]byte(r.NLRI)); !ok {
			res.Err = origin.ErrFull
		}
		return res
	}
	res.Key, res.Len = trie.PrefixKey(r.Prefix)
	return res
}

// pathRow appends an originated path: the fields of a path that it has, those
// that it was given beside them, and what became of it.
func (c *call) pathRow(dst []byte, d *decoded, r *origin.Route, peers []PeerAnswer) []byte {
	in := pathInput{family: r.Family, rd: r.RD, prefix: r.Prefix, pathID: r.PathID, hasPathID: r.HasPathID}
	if r.Family.Form() == wire.FormRaw {
		in.nlri = []byte(r.NLRI)
	}
	dst = appendPathKey(append(dst, '{'), &in)
	if in.nlri != nil {
		dst = append(dst, `,"nlri_text":`...)
		dst = appendNullString(dst, nlriText(r.Family, in.nlri))
	}
	dst = append(dst, `,"labels":`...)
	dst = appendLabels(dst, r.Labels)
	d.decode(rib.AttrID(r.AttrsID), r.Attrs)
	for f := firstAttr; f <= fAttrsID; f++ {
		dst = d.appendField(append(dst, ','), f)
	}
	dst = append(dst, `,"peers":`...)
	if len(r.Peers) == 0 {
		dst = append(dst, "null"...)
	} else {
		dst = append(dst, '[')
		for _, id := range r.Peers {
			dst = appendString(openItem(dst), id)
		}
		dst = append(dst, ']')
	}
	dst = append(dst, `,"created_at":`...)
	dst = appendTime(dst, r.Created)
	dst = append(dst, `,"expires_at":`...)
	dst = appendTime(dst, r.Expires)
	dst = append(dst, `,"held":`...)
	if r.Held == nil {
		dst = append(dst, "null"...)
	} else {
		dst = append(dst, `{"guard":`...)
		dst = appendString(dst, string(r.Held.Guard))
		dst = append(dst, `,"detail":`...)
		dst = append(appendString(dst, r.Held.Detail), '}')
	}
	dst = append(dst, `,"advertised":`...)
	dst = appendPeerAnswers(dst, r.Peers, peers)
	return append(dst, '}')
}

// encodeKey makes a cursor that goes on behind a key. mark is of the question
// that it belongs to.
func encodeKey(k *origin.Key, mark uint64) string {
	b := binary.BigEndian.AppendUint32(nil, uint32(k.Family))
	b = binary.BigEndian.AppendUint64(b, k.RD)
	b = binary.BigEndian.AppendUint32(b, k.PathID)
	flags := byte(0)
	if k.HasPathID {
		flags = 1
	}
	b = append(b, flags, 0)
	if k.Prefix.IsValid() {
		b[len(b)-1] = byte(k.Prefix.Bits())
		b = append(b, k.Prefix.Addr().AsSlice()...)
	} else {
		b = append(b, k.NLRI...)
	}
	b = binary.BigEndian.AppendUint64(b, xxhash.Sum64(b)^mark)
	return base64.RawURLEncoding.EncodeToString(b)
}

func decodeKey(v []byte, mark uint64) (*origin.Key, *problem) {
	const head = 4 + 8 + 4 + 2
	broken := bad("cursor", "%q is no cursor: give back the next of a page as it came, with the same parameters but for limit", shown(v))
	b, err := base64.RawURLEncoding.Strict().DecodeString(string(v))
	if err != nil || len(b) <= head+8 {
		return nil, broken
	}
	sum := binary.BigEndian.Uint64(b[len(b)-8:])
	if b = b[:len(b)-8]; xxhash.Sum64(b)^mark != sum {
		return nil, broken
	}
	k := &origin.Key{
		Family: wire.Family(binary.BigEndian.Uint32(b)), RD: binary.BigEndian.Uint64(b[4:]),
		PathID: binary.BigEndian.Uint32(b[12:]), HasPathID: b[16] == 1,
	}
	rest := b[head:]
	if k.Family.Form() == wire.FormRaw {
		k.NLRI = string(rest)
		return k, nil
	}
	a, ok := netip.AddrFromSlice(rest)
	if k.Prefix = netip.PrefixFrom(a, int(b[17])); !ok || !k.Prefix.IsValid() {
		return nil, broken
	}
	return k, nil
}
