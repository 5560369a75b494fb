package api

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"net/netip"
	"slices"
	"strings"

	"github.com/valyala/fasthttp"

	"ribd/engine/api/apiv1"
	"ribd/shard"
	"ribd/shard/rib"
	"ribd/wire"
)

// findPeers answers the numbers of the peers that an address or an id names.
func (s *Server) findPeers(v []byte, dst []rib.PeerNum) ([]rib.PeerNum, *problem) {
	match, p := peerMatcher(string(v))
	if p != nil {
		return dst, p
	}
	for _, st := range s.rib.Peers() {
		if match(&st.Info) {
			dst = append(dst, st.Num)
		}
	}
	if len(dst) == 0 {
		return dst, fail(fasthttp.StatusNotFound, "peer", "there is no peer %s; /api/v1/peers lists them", shown(v))
	}
	return dst, nil
}

// peerMatcher reads an address or a peer id.
func peerMatcher(v string) (func(*rib.PeerInfo) bool, *problem) {
	if len(v) == 16 && strings.Trim(v, "0123456789abcdefABCDEF") == "" {
		id := strings.ToLower(v)
		return func(i *rib.PeerInfo) bool { return i.ID == id }, nil
	}
	a, err := netip.ParseAddr(v)
	if err != nil {
		return nil, bad("peer", "%q is neither an address nor a peer id of 16 hex digits", shown(v))
	}
	a = a.Unmap()
	return func(i *rib.PeerInfo) bool { return i.Addr.Unmap() == a }, nil
}

// sortedPeers lists the peers by address, then id.
func (s *Server) sortedPeers() []shard.PeerStatus {
	list := s.rib.Peers()
	slices.SortFunc(list, func(a, b shard.PeerStatus) int {
		return cmp.Or(a.Info.Addr.Compare(b.Info.Addr), cmp.Compare(a.Info.ID, b.Info.ID))
	})
	return list
}

// pageOf cuts a page out of a list whose items have ids: those after the cursor.
// As lines, a page has no limit unless one is given.
func pageOf[T any](c *call, media string, list []T, id func(*T) string) (page []T, next *string, p *problem) {
	limit, p := c.limit()
	switch {
	case p != nil:
		return nil, nil, p
	case limit < 0 && media == typeNDJSON:
		limit = len(list)
	case limit < 0:
		limit = defaultLimit
	}
	if v := c.q.get(pCursor); v != nil {
		last, err := base64.RawURLEncoding.DecodeString(string(v))
		at := slices.IndexFunc(list, func(t T) bool { return id(&t) == string(last) })
		if err != nil || at < 0 {
			return nil, nil, bad("cursor", "%q is no cursor, or its item is gone: begin again without one", shown(v))
		}
		list = list[at+1:]
	}
	if len(list) > limit {
		s := base64.RawURLEncoding.EncodeToString([]byte(id(&list[limit-1])))
		list, next = list[:limit], &s
	}
	return list, next, nil
}

// marshal answers a shape of apiv1 that nobody asks for often.
func (c *call) marshal(status int, v any) *problem {
	b, err := json.Marshal(v)
	if err != nil {
		panic("BUG: api: " + err.Error())
	}
	c.ctx.SetStatusCode(status)
	c.answer(typeJSON, append(b, '\n'))
	return nil
}

// marshalLines answers a list with one item a line.
func marshalLines[T any](c *call, list []T) *problem {
	var b []byte
	for i := range list {
		j, err := json.Marshal(&list[i])
		if err != nil {
			panic("BUG: api: " + err.Error())
		}
		b = append(append(b, j...), '\n')
	}
	c.answer(typeNDJSON, b)
	return nil
}

// peerList is GET peers.
func (c *call) peerList() *problem {
	media, p := c.accept(typeJSON, typeNDJSON)
	if p != nil {
		return p
	}
	list, next, p := pageOf(c, media, c.s.sortedPeers(), func(s *shard.PeerStatus) string { return s.Info.ID })
	if p != nil {
		return p
	}
	out := apiv1.Peers{Peers: make([]apiv1.Peer, len(list)), Next: next}
	for i := range list {
		out.Peers[i] = peerShape(&list[i])
	}
	if media == typeNDJSON {
		return marshalLines(c, out.Peers)
	}
	return c.marshal(200, &out)
}

// onePeer finds the peer of the path, which has to be one.
func (c *call) onePeer() (st shard.PeerStatus, p *problem) {
	match, p := peerMatcher(string(c.arg))
	if p != nil {
		return st, p
	}
	var ids []string
	for _, s := range c.s.sortedPeers() {
		if match(&s.Info) {
			st = s
			ids = append(ids, s.Info.ID)
		}
	}
	switch len(ids) {
	case 0:
		return st, fail(fasthttp.StatusNotFound, "peer", "there is no peer %s; /api/v1/peers lists them", shown(c.arg))
	case 1:
		return st, nil
	}
	p = fail(fasthttp.StatusConflict, "peer", "%d peers have the address %s: ask by id, one of %s", len(ids), shown(c.arg), strings.Join(ids[:min(len(ids), 16)], ", "))
	p.ids = ids
	return st, p
}

// peerOne is GET peers/{address or id}.
func (c *call) peerOne() *problem {
	if _, p := c.accept(typeJSON); p != nil {
		return p
	}
	st, p := c.onePeer()
	if p != nil {
		return p
	}
	shape := peerShape(&st)
	return c.marshal(200, &shape)
}

// peerDrop is DELETE peers/{id}.
func (c *call) peerDrop() *problem {
	st, p := c.onePeer()
	if p != nil {
		return p
	}
	switch st.Info.Source {
	case rib.SourceMRT:
		c.s.opts.Drop(st.Num)
		c.ctx.SetStatusCode(fasthttp.StatusNoContent)
		return nil
	case rib.SourceBGP:
		return later("", "removing a configured peer")
	}
	return fail(fasthttp.StatusConflict, "peer", "the peer %s is of source %s: only loaded peers can be dropped", st.Info.ID, st.Info.Source)
}

func text(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// peerShape tells of a peer what a dump tells.
func peerShape(s *shard.PeerStatus) apiv1.Peer {
	i := &s.Info
	p := apiv1.Peer{
		ID: i.ID, Name: text(i.Name), Source: i.Source.String(), Collector: text(i.Collector), ASN: i.AS,
		Type: "external", Enabled: true, State: "loaded", Families: make([]apiv1.PeerFamily, 0, len(s.Counts)),
		Capabilities: []any{}, History: []any{},
	}
	if i.Internal {
		p.Type = "internal"
	}
	if i.Source.Live() {
		p.State = "established"
	}
	if i.Addr.IsValid() {
		p.Address = text(i.Addr.String())
	}
	if i.RouterID != 0 {
		p.RouterID = text(string(wire.AppendIPv4(nil, i.RouterID)))
	}
	if !s.Since.IsZero() {
		at := s.Since.UTC().Truncate(1000)
		p.Since = &at
	}
	for _, n := range s.Counts {
		p.Families = append(p.Families, apiv1.PeerFamily{
			Family: n.Family.String(), Prefixes: n.Prefixes, Received: n.Paths, Accepted: n.Paths - n.Filtered,
			Filtered: n.Filtered, Best: n.Best, Stale: n.Stale,
		})
	}
	return p
}
