package flow

import (
	"context"
	"encoding/binary"
	"sync"

	"github.com/cespare/xxhash/v2"

	"ribd/shard"
	"ribd/shard/rib"
	"ribd/trie"
	"ribd/wire"
	"ribd/wire/flowspec"
)

// RuleID returns the id by which the API knows one path of a rule. It depends on
// the peer's id (rib.PeerID; a rule of a program: the id of the local source), the
// family, the path id and the canonical NLRI alone, so that it is the same after a
// restart.
func RuleID(peerID string, f wire.Family, hasPathID bool, pathID uint32, nlri []byte) uint64 {
	var b [128]byte
	w := append(b[:0], peerID...)
	w = binary.BigEndian.AppendUint32(w, uint32(f))
	flag := byte(0)
	if hasPathID {
		flag = 1
	} else {
		pathID = 0
	}
	w = binary.BigEndian.AppendUint32(append(w, flag), pathID)
	if len(w)+len(nlri) <= len(b) {
		return xxhash.Sum64(append(w, nlri...))
	}
	var d xxhash.Digest
	d.Reset()
	d.Write(w)
	d.Write(nlri)
	return d.Sum64()
}

// placeTable is where rules are, by their ids, and how far the feed was read.
type placeTable struct {
	mu   sync.Mutex
	ids  map[uint64]rulePlace
	pos  shard.Mark
	wake chan struct{} // closed when pos moves, nil: nobody waits
}

type rulePlace struct {
	table rib.TableID
	n     uint32 // number of the raw key
}

func (p *placeTable) init() { p.ids = map[uint64]rulePlace{} }

func (p *placeTable) note(t rib.TableID, n uint32, e *entry) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ids[e.id] = rulePlace{t, n}
	for _, id := range e.more {
		p.ids[id] = rulePlace{t, n}
	}
}

func (p *placeTable) forget(t rib.TableID, n uint32, e *entry) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ids[e.id] == (rulePlace{t, n}) {
		delete(p.ids, e.id)
	}
	for _, id := range e.more {
		if p.ids[id] == (rulePlace{t, n}) {
			delete(p.ids, id)
		}
	}
}

// reached notes how far the feed was read.
func (p *placeTable) reached(f *shard.Follower) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pos = f.Mark(p.pos)
	if p.wake != nil {
		close(p.wake)
		p.wake = nil
	}
}

// Rule is one path of a rule.
type Rule struct {
	Family wire.Family
	RD     uint64
	NLRI   []byte // canonical, in place
	Table  rib.TableID
	Key    trie.Key
	Path   rib.Path
}

// Rule returns the path that has an id, as it is now; false: there is none.
func (t *Tables) Rule(id uint64) (Rule, bool) {
	t.place.mu.Lock()
	at, ok := t.place.ids[id]
	t.place.mu.Unlock()
	if !ok {
		return Rule{}, false
	}
	r := Rule{Table: at.table, Key: trie.Key{Hi: uint64(at.n) << 32}}
	r.Family, _, _ = t.rib.TableInfo(at.table)
	if r.NLRI, ok = t.rib.RawNLRI(r.Key); !ok {
		return Rule{}, false
	}
	r.RD = flowspec.RD(r.Family, r.NLRI)
	rd := t.readers.get()
	defer t.readers.put(rd)
	rd.Pin()
	defer rd.Unpin()
	m := rd.Get(r.Table, r.Key, rawBits)
	if !m.OK() {
		return Rule{}, false
	}
	for _, p := range rd.Paths(m, nil) {
		if peer, ok := t.rib.Peer(p.Peer); ok && RuleID(peer.ID, r.Family, p.HasPathID, p.PathID, r.NLRI) == id {
			r.Path = p
			return r, true
		}
	}
	return Rule{}, false
}

// Wait returns when the tables have everything that is before a mark, the verdicts
// that follow from it included; at once where there are no rules. Where unicast
// routes never stop changing it does not wait for the verdicts of those that came
// later.
func (t *Tables) Wait(ctx context.Context, m shard.Mark) error {
	if !t.started.Load() {
		return nil
	}
	const rounds = 4
	for range rounds {
		if err := t.reach(ctx, m); err != nil {
			return err
		}
		asked := t.counts.asked.Load()
		if asked == t.counts.answered.Load() {
			return nil
		}
		// What was asked of the shards is before this mark.
		m = t.rib.Mark(nil)
		if err := t.reach(ctx, m); err != nil {
			return err
		}
		t.counts.answer(asked)
	}
	return nil
}

// reach waits until the feed was read up to m.
func (t *Tables) reach(ctx context.Context, m shard.Mark) error {
	for {
		p := &t.place
		p.mu.Lock()
		if p.pos.Passes(m) {
			p.mu.Unlock()
			return nil
		}
		if p.wake == nil {
			p.wake = make(chan struct{})
		}
		wake := p.wake
		p.mu.Unlock()
		select {
		case <-wake:
		case <-ctx.Done():
			return ctx.Err()
		case <-t.done:
			return shard.ErrClosed
		}
	}
}
