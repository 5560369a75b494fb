package adjout

import (
	"cmp"
	"fmt"
	"slices"

	"ribd/shard/rib"
	"ribd/trie"
	"ribd/wire"
)

// PreviewRoute is a route that is originated here, or would be.
type PreviewRoute struct {
	Family    wire.Family
	RD        uint64
	Key       trie.Key // and Len: the prefix
	Len       uint8
	NLRI      []byte // of families that are no prefixes, with its own framing octets
	Labels    []byte // three octets each
	Attrs     []byte // canonical; of a withdrawal not looked at
	From      rib.PeerNum
	PathID    uint32 // of the path from From, where HasPathID
	HasPathID bool
	Withdraw  bool
}

// Refusal is a route of Preview that would not be sent.
type Refusal struct {
	Index  int // in the routes
	Reason string
}

// previewed is a route as it would be sent.
type previewed struct {
	*PreviewRoute
	fam   int
	attrs rib.AttrID // 0: withdrawal
	id    uint32
}

// Preview returns the UPDATE messages that a peer would be sent for routes that
// are originated here, from From, a source (SetSource) of rib.SourceLocal: by the
// rules, the policy and the encoder that the group would use, packed as it packs
// one batch. Nothing is sent and nothing comes into the RIB, but the sets of
// attributes, until they are swept. That other paths may be better is not looked
// at. A path id is the one that the peer knows the path by, else the one that is
// free.
//
// An error says which route is not one at all.
func (m *Manager) Preview(tg Target, routes []PreviewRoute) ([]byte, []Refusal, error) {
	m.use.RLock()
	defer m.use.RUnlock()
	if m.closed.Load() {
		return nil, nil, fmt.Errorf("adjout: closed")
	}
	tg.normalise()
	j := judge{m: m, rules: newRules(&tg, m.rib.Attrs()), fams: tg.families(), filter: tg.filter()}
	ids := m.wireIDs(&tg)
	var out []previewed
	var refused []Refusal
	for i := range routes {
		p := &routes[i]
		fam := slices.Index(tg.Families, p.Family)
		w := whyFamily
		v := previewed{PreviewRoute: p, fam: fam}
		if fam >= 0 {
			at, path, err := m.previewPath(p)
			if err != nil {
				return nil, nil, fmt.Errorf("route %d: %w", i, err)
			}
			w = whyNot
			if !p.Withdraw {
				v.attrs, w = j.one(&result{prefix: at, fam: uint8(fam)}, tableRef{known: true, fam: int8(fam), rd: p.RD}, &path)
			}
			if w == whyNot && !m.only.Load().reach(p.From, &tg) {
				w = whyAudience
			}
			if w == whyNot && tg.AddPath[p.Family] > 0 {
				v.id = ids.of(fam, &at, &path)
			}
		}
		if w != whyNot {
			refused = append(refused, Refusal{i, w.String()})
			continue
		}
		out = append(out, v)
	}
	return m.encodePreview(&tg, out), refused, nil
}

// previewPath returns what a route would be in the RIB.
func (m *Manager) previewPath(p *PreviewRoute) (at prefix, path rib.Path, err error) {
	if info, ok := m.rib.Peer(p.From); !ok || info.Source != rib.SourceLocal {
		return at, path, fmt.Errorf("adjout: peer %d is no local source", p.From)
	}
	path = rib.Path{Peer: p.From, PathID: p.PathID, HasPathID: p.HasPathID}
	at = prefix{key: p.Key, n: p.Len}
	if t, ok := m.rib.FindTable(p.Family, p.RD); ok {
		at.table = t
	}
	ok := true
	if p.Family.Form() == wire.FormRaw {
		if at.key, at.n, ok = m.rib.RawKey(p.NLRI); !ok {
			return at, path, fmt.Errorf("adjout: no room for the NLRI")
		}
	}
	if path.Labels, ok = m.rib.InternLabels(p.Labels); !ok {
		return at, path, fmt.Errorf("adjout: no room for the labels")
	}
	if p.Withdraw {
		return at, path, nil
	}
	if path.Attrs, ok = m.rib.Attrs().Intern(p.Attrs); !ok {
		return at, path, fmt.Errorf("adjout: no room for the attributes")
	}
	return at, path, nil
}

// encodePreview packs routes as a group does: withdrawals first, then set by
// set.
func (m *Manager) encodePreview(tg *Target, out []previewed) []byte {
	slices.SortStableFunc(out, func(a, b previewed) int {
		return cmp.Or(cmp.Compare(a.fam, b.fam), cmp.Compare(a.attrs, b.attrs))
	})
	enc := wire.NewEncoder(tg.Send)
	open := false
	for i := range out {
		v := &out[i]
		if i == 0 || v.fam != out[i-1].fam || v.attrs != out[i-1].attrs {
			open = m.openSet(enc, v.Family, v.attrs)
		}
		if !open {
			continue
		}
		switch v.Family.Form() {
		case wire.FormPrefix:
			if v.Family.Is4() {
				enc.Route4(uint32(v.Key.Hi>>32), v.Len, v.id)
			} else {
				enc.Route6(v.Key.Hi, v.Key.Lo, v.Len, v.id)
			}
		case wire.FormRaw:
			enc.RouteRaw(v.NLRI, v.id)
		default:
			enc.RouteLabelled(v.RD, v.Labels, v.Key.Hi, v.Key.Lo, v.Len, v.id)
		}
	}
	return slices.Clone(enc.Flush())
}

// wireIDs finds the path ids that a peer knows paths by.
type wireIDs struct {
	g     *group // that the peer is in, or nil
	given map[givenKey]uint32
	most  map[givenKey]uint32 // by prefix
}

type givenKey struct {
	fam int
	prefix
	src       rib.PeerNum
	pathID    uint32
	hasPathID bool
}

func (m *Manager) wireIDs(tg *Target) *wireIDs {
	m.mu.Lock()
	defer m.mu.Unlock()
	return &wireIDs{g: m.byKey[tg.key()], given: map[givenKey]uint32{}, most: map[givenKey]uint32{}}
}

// of returns the path id of a path.
func (w *wireIDs) of(fam int, at *prefix, p *rib.Path) uint32 {
	pre := givenKey{fam: fam, prefix: *at}
	key := givenKey{fam, *at, p.Peer, p.PathID, p.HasPathID}
	if id, ok := w.given[key]; ok {
		return id
	}
	id := w.most[pre] + 1
	if w.g != nil {
		id = w.known(fam, at, p, id)
	}
	w.given[key], w.most[pre] = id, max(w.most[pre], id)
	return id
}

// known returns the id that the group has for a path, else the first from a
// number on that it has for none of the prefix.
func (w *wireIDs) known(fam int, at *prefix, p *rib.Path, from uint32) uint32 {
	w.g.mu.Lock()
	defer w.g.mu.Unlock()
	st := w.g.states[fam]
	head := st.find(at, st.hash(at))
	if head == 0 {
		return from
	}
	o := outPath{peer: p.Peer, pathID: p.PathID, hasPathID: p.HasPathID}
	for e := head; e != 0; e = st.following(e) {
		if words := st.entry(e); words[wMeta]&entryDead == 0 && st.lay.isFrom(words, &o) {
			return st.lay.id(words)
		}
	}
	for st.withID(head, from) != 0 {
		from++
	}
	return from
}
