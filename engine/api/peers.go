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

// peerEntry is a peer of a list: a session, or what the RIB alone knows of.
type peerEntry struct {
	shape   apiv1.Peer
	num     rib.PeerNum // of its routes, where known
	known   bool
	addr    netip.Addr
	session bool // Options.Peers knows it
}

// peerMatch chooses peers.
type peerMatch func(id string, addr netip.Addr) bool

// peerMatcher reads an address, a peer id or the name of a peer.
func (s *Server) peerMatcher(v string) (peerMatch, *problem) {
	if a, err := netip.ParseAddr(v); err == nil {
		a = a.Unmap()
		return func(_ string, addr netip.Addr) bool { return addr.Unmap() == a }, nil
	}
	if len(v) == 16 && strings.Trim(v, "0123456789abcdefABCDEF") == "" {
		want := strings.ToLower(v)
		return func(id string, _ netip.Addr) bool { return id == want }, nil
	}
	if ids := s.named(v); len(ids) > 0 {
		return func(id string, _ netip.Addr) bool { return ids[id] }, nil
	}
	return nil, bad("peer", "%q is no address, no peer id of 16 hex digits and no name of a peer", shown(v))
}

// named finds the ids of the peers with a name.
func (s *Server) named(v string) map[string]bool {
	ids := map[string]bool{}
	if s.opts.Peers != nil {
		for _, p := range s.opts.Peers.List(nil) {
			if textOf(p.Name) == v {
				ids[p.ID] = true
			}
		}
	}
	for _, st := range s.rib.Peers() {
		if st.Info.Name != "" && st.Info.Name == v {
			ids[st.Info.ID] = true
		}
	}
	return ids
}

// findPeers answers the numbers under which the RIB has the routes of the peers
// that an address or an id names: none for a session that is down.
func (s *Server) findPeers(v []byte, dst []rib.PeerNum) ([]rib.PeerNum, *problem) {
	match, p := s.peerMatcher(string(v))
	if p != nil {
		return dst, p
	}
	for _, st := range s.rib.Peers() {
		if match(st.Info.ID, st.Info.Addr) {
			dst = append(dst, st.Num)
		}
	}
	if len(dst) == 0 && (s.opts.Peers == nil || len(s.opts.Peers.List(match)) == 0) {
		return dst, noPeer(v)
	}
	return dst, nil
}

func noPeer(v []byte) *problem {
	return fail(fasthttp.StatusNotFound, "peer", "there is no peer %s; /api/v1/peers lists them", shown(v))
}

// listPeers joins the sessions and the peers of the RIB, in the order of
// addresses, then ids. match may be nil.
func (s *Server) listPeers(match peerMatch) []peerEntry {
	var list []peerEntry
	byID := map[string]int{}
	if s.opts.Peers != nil {
		for _, shape := range s.opts.Peers.List(match) {
			e := peerEntry{shape: shape, session: true}
			if shape.Address != nil {
				e.addr, _ = netip.ParseAddr(*shape.Address)
			}
			byID[shape.ID] = len(list)
			list = append(list, e)
		}
	}
	for _, st := range s.rib.Peers() {
		if st.Info.Source == rib.SourceLocal || match != nil && !match(st.Info.ID, st.Info.Addr) {
			continue // what is originated here has no peer
		}
		i, live := byID[st.Info.ID]
		if !live {
			i = len(list)
			list = append(list, peerEntry{shape: peerShape(&st), addr: st.Info.Addr})
		}
		e := &list[i]
		e.num, e.known = st.Num, true
		for _, n := range st.Counts {
			addCounts(&e.shape, &n)
		}
	}
	for i := range list {
		whole(&list[i].shape)
	}
	slices.SortFunc(list, func(a, b peerEntry) int {
		return cmp.Or(a.addr.Compare(b.addr), cmp.Compare(a.shape.ID, b.shape.ID))
	})
	return list
}

// addCounts notes what the RIB has of a peer in one family.
func addCounts(p *apiv1.Peer, n *shard.FamilyCount) {
	name := n.Family.String()
	i := slices.IndexFunc(p.Families, func(f apiv1.PeerFamily) bool { return f.Family == name })
	if i < 0 {
		i = len(p.Families)
		p.Families = append(p.Families, apiv1.PeerFamily{Family: name})
	}
	f := &p.Families[i]
	f.Prefixes, f.Received, f.Accepted = n.Prefixes, n.Paths, n.Paths-n.Filtered
	f.Filtered, f.Best, f.Stale = n.Filtered, n.Best, n.Stale
}

// whole makes empty lists of what would be null, and decodes what came as hex.
func whole(p *apiv1.Peer) {
	if p.Capabilities == nil {
		p.Capabilities = []apiv1.Capability{}
	}
	if p.Families == nil {
		p.Families = []apiv1.PeerFamily{}
	}
	if p.History == nil {
		p.History = []apiv1.PeerChange{}
	}
	for i := len(p.History) - 1; i >= 0 && p.LastDown == nil; i-- {
		if h := &p.History[i]; h.From == "established" {
			p.LastDown = &apiv1.PeerDown{At: h.At, Reason: h.Reason}
		}
	}
	if p.Errors != nil && p.Errors.Last != nil {
		last := *p.Errors.Last
		last.Text = strings.TrimPrefix(last.Text, "wire: ")
		if last.Decoded == nil {
			last.Decoded = describeMessage(last.Data)
		}
		errs := *p.Errors
		errs.Last = &last
		p.Errors = &errs
	}
	if n := p.LastNotification; n != nil {
		p.LastNotification = &apiv1.PeerNotification{Received: decodedNotification(n.Received), Sent: decodedNotification(n.Sent)}
	}
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

// marshalLines answers a list with one item a line, of which it holds no more
// than a part as text.
func marshalLines[T any](c *call, list []T) *problem {
	c.streamBody(typeNDJSON, "", func(out *sink) error {
		var b []byte
		for i := range list {
			j, err := json.Marshal(&list[i])
			if err != nil {
				panic("BUG: api: " + err.Error())
			}
			if b = append(append(b, j...), '\n'); len(b) >= writePart || i == len(list)-1 {
				if err := out.write(b); err != nil {
					return err
				}
				b = b[:0]
			}
		}
		return nil
	})
	return nil
}

// peerList is GET peers.
func (c *call) peerList() *problem {
	media, p := c.accept(typeJSON, typeNDJSON)
	if p != nil {
		return p
	}
	list, next, p := pageOf(c, media, c.s.listPeers(nil), func(e *peerEntry) string { return e.shape.ID })
	if p != nil {
		return p
	}
	out := apiv1.Peers{Peers: make([]apiv1.Peer, len(list)), Next: next}
	for i := range list {
		out.Peers[i] = list[i].shape
	}
	if media == typeNDJSON {
		return marshalLines(c, out.Peers)
	}
	return c.marshal(200, &out)
}

// onePeer finds the peer of the path, which has to be one.
func (c *call) onePeer() (peerEntry, *problem) { return c.findPeer(c.arg) }

// findPeer finds the one peer that an address or an id names.
func (c *call) findPeer(v []byte) (peerEntry, *problem) {
	match, p := c.s.peerMatcher(string(v))
	if p != nil {
		return peerEntry{}, p
	}
	list := c.s.listPeers(match)
	switch len(list) {
	case 0:
		return peerEntry{}, noPeer(v)
	case 1:
		return list[0], nil
	}
	ids := make([]string, len(list))
	for i := range list {
		ids[i] = list[i].shape.ID
	}
	p = fail(fasthttp.StatusConflict, "peer", "%d peers have the address %s: ask by id, one of %s", len(ids), shown(v), strings.Join(ids[:min(len(ids), 16)], ", "))
	p.ids = ids
	return peerEntry{}, p
}

// peerOne is GET peers/{address or id}.
func (c *call) peerOne() *problem {
	if _, p := c.accept(typeJSON); p != nil {
		return p
	}
	e, p := c.onePeer()
	if p != nil {
		return p
	}
	return c.marshal(200, &e.shape)
}

func text(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// peerShape tells of a peer what the RIB knows, all but counts.
func peerShape(s *shard.PeerStatus) apiv1.Peer {
	i := &s.Info
	p := apiv1.Peer{
		ID: i.ID, Name: text(i.Name), Source: i.Source.String(), Collector: text(i.Collector), ASN: i.AS,
		Type: "external", Enabled: true, State: "loaded",
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
	return p
}
