package api

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/valyala/fasthttp"

	"ribd/shard"
	"ribd/shard/rib"
	"ribd/trie"
)

// AdjOut is what one peer is sent, by prefix. A list of it is a walk over the
// RIB, whose prefixes are the ones that can be sent, with a question to this for
// each: so it has the order, the cursors and the filters of any other. Its
// methods are for any goroutine.
type AdjOut interface {
	// Paths appends what the peer is sent of one prefix, in any order. In families
	// without prefixes, the key is that of the NLRI (shard.RIB.RawKey).
	Paths(t rib.TableID, k trie.Key, n uint8, dst []Advertised) []Advertised
	// Err says why there is nothing more to ask: the session is over. nil: it is not.
	Err() error
}

// Advertised is one path that a peer is sent.
type Advertised struct {
	Attrs     rib.AttrID // as sent
	Labels    uint32     // as sent, interned; 0: none
	PathID    uint32     // on the wire
	HasPathID bool
	// From is whose path it is, with the id that it has in the RIB.
	From          rib.PeerNum
	FromPathID    uint32
	FromHasPathID bool
}

// adjOut finds what table=adj-out&peer= asks for. It is nil for a peer that is
// sent nothing now.
func (c *call) adjOut() (AdjOut, *problem) {
	v := c.q.get(pPeer)
	if v == nil {
		return nil, bad("peer", "is missing: table=adj-out is the table of one peer, peer=ADDRESS or an id")
	}
	e, p := c.findPeer(v)
	if p != nil {
		return nil, p
	}
	if !e.session {
		return nil, fail(fasthttp.StatusUnprocessableEntity, "peer", "%s is of source %s: nothing is sent to it", shown(v), e.shape.Source)
	}
	if c.s.opts.AdjOut == nil {
		return nil, nil
	}
	return c.s.opts.AdjOut(e.shape.ID), nil
}

// pathsOf answers the paths at a walk's prefix, or what is sent of it.
func (f *filter) pathsOf(w *shard.Walk, dst []rib.Path) []rib.Path {
	if f.out == nil {
		return w.Paths(dst)
	}
	return f.sentOf(w.Match(), dst, func(b []rib.Path) []rib.Path { return w.Paths(b) })
}

// pathsAt answers the paths at a match of a view, or what is sent of it.
func (f *filter) pathsAt(v *shard.View, m shard.Match, dst []rib.Path) []rib.Path {
	if f.out == nil {
		return v.Paths(m, dst)
	}
	return f.sent(v, m, dst)
}

func (f *filter) sent(v *shard.View, m shard.Match, dst []rib.Path) []rib.Path {
	return f.sentOf(m, dst, func(b []rib.Path) []rib.Path { return v.Paths(m, b) })
}

// sentOf makes paths of what is sent: the attributes and the id as they go out,
// all else as the RIB has it of the path behind it. Before policy, for such a
// path, is before export policy.
func (f *filter) sentOf(m shard.Match, dst []rib.Path, stored func([]rib.Path) []rib.Path) []rib.Path {
	f.sents = f.out.Paths(m.Table, m.Key, m.Len, f.sents[:0])
	if len(f.sents) == 0 {
		return dst
	}
	f.sources = stored(f.sources[:0])
	first := len(dst)
	for i := range f.sents {
		a := &f.sents[i]
		at := slices.IndexFunc(f.sources, func(p rib.Path) bool {
			return p.Peer == a.From && p.HasPathID == a.FromHasPathID && (!p.HasPathID || p.PathID == a.FromPathID)
		})
		// A path that has just gone from the RIB is on its way out here too.
		p := rib.Path{Received: uint32(time.Now().Unix()), Rank: uint16(min(len(f.sources)+1, 65535))}
		if at >= 0 {
			p = f.sources[at]
		}
		before := p.Attrs
		p.Peer, p.Attrs, p.PreAttrs = a.From, a.Attrs, 0
		if before != a.Attrs {
			p.PreAttrs = before
		}
		p.PathID, p.HasPathID, p.Labels, p.Filtered = a.PathID, a.HasPathID, a.Labels, rib.FilterNone
		dst = append(dst, p)
	}
	slices.SortFunc(dst[first:], func(a, b rib.Path) int {
		return cmp.Or(cmp.Compare(a.Rank, b.Rank), cmp.Compare(a.PathID, b.PathID))
	})
	return dst
}

// outErr says that what is sent can't be asked for any more.
func (f *filter) outErr() error {
	if f.out == nil {
		return nil
	}
	if err := f.out.Err(); err != nil {
		return fmt.Errorf("the peer's session ended meanwhile: %w", err)
	}
	return nil
}
