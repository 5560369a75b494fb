package adjout

import (
	"cmp"
	"slices"

	"ribd/shard/rib"
	"ribd/wire"
)

// segment is a part of a batch's messages that the same members are sent.
type segment struct {
	end                int // in the batch's octets
	scope              scope
	peer               rib.PeerNum
	only               audiences // for toOnly and toRest
	updates, withdraws int
}

// batch is what changed at once, encoded once for all members.
type batch struct {
	buf                []byte
	segments           []segment
	updates, withdraws int
}

// forMember returns what a member in step is sent of a batch, in place where that is
// everything, else appended to scratch[:0].
func (b *batch) forMember(t *Target, scratch []byte) (msgs []byte, updates, withdraws int) {
	whole := true
	for i := range b.segments {
		if !b.segments[i].includes(t, false) {
			whole = false
			break
		}
	}
	if whole {
		return b.buf, b.updates, b.withdraws
	}
	return b.appendFor(t, false, scratch[:0])
}

// appendFor appends what a member is sent of a batch; lags says that it is not
// in step.
func (b *batch) appendFor(t *Target, lags bool, dst []byte) (msgs []byte, updates, withdraws int) {
	start := 0
	for i := range b.segments {
		s := &b.segments[i]
		if s.includes(t, lags) {
			dst = append(dst, b.buf[start:s.end]...)
			updates += s.updates
			withdraws += s.withdraws
		}
		start = s.end
	}
	return dst, updates, withdraws
}

func (s *segment) includes(t *Target, lags bool) bool {
	if s.scope&late != 0 && !lags {
		return false
	}
	switch s.scope &^ late {
	case toOthers:
		return s.peer != t.Num
	case toOne:
		return s.peer == t.Num
	case toOnly:
		return s.only.reach(s.peer, t)
	case toRest:
		return !s.only.reach(s.peer, t)
	}
	return true
}

// ring is the batches that followed on each other up to now, for members that
// lag: those with numbers over base. It is bounded, and empty while nobody lags.
type ring struct {
	batches []*batch
	base    uint32
	bytes   int
	spare   []*batch
}

// take returns an empty batch.
func (r *ring) take() *batch {
	if n := len(r.spare); n > 0 {
		b := r.spare[n-1]
		r.spare = r.spare[:n-1]
		return b
	}
	return &batch{}
}

const (
	maxSpare    = 8
	maxSpareBuf = 512 << 10
)

func (r *ring) give(b *batch) {
	if len(r.spare) >= maxSpare || cap(b.buf) > maxSpareBuf {
		return
	}
	b.buf, b.segments, b.updates, b.withdraws = b.buf[:0], b.segments[:0], 0, 0
	r.spare = append(r.spare, b)
}

// push adds the batch that follows, and drops old ones past the limit.
func (r *ring) push(b *batch, limit int) {
	r.batches = append(r.batches, b)
	r.bytes += len(b.buf)
	n := 0
	for ; r.bytes > limit && n < len(r.batches)-1; n++ {
		r.bytes -= len(r.batches[n].buf)
		r.give(r.batches[n])
	}
	if n > 0 {
		r.batches = slices.Delete(r.batches, 0, n)
		r.base += uint32(n)
	}
}

// reset empties the ring: what is up to head is no longer in it.
func (r *ring) reset(head uint32) {
	for i, b := range r.batches {
		r.give(b)
		r.batches[i] = nil
	}
	r.batches, r.base, r.bytes = r.batches[:0], head, 0
}

// has says whether all that follows on position pos is in the ring.
func (r *ring) has(pos uint32) bool { return pos >= r.base }

// after returns the batch that follows on pos.
func (r *ring) after(pos uint32) *batch { return r.batches[pos-r.base] }

// encode writes the deltas as messages: withdrawals first, then set by set.
func (g *group) encode(b *batch) {
	slices.SortFunc(g.deltas, func(x, y delta) int { return cmp.Compare(x.order, y.order) })
	for i := 0; i < len(g.deltas); {
		first := &g.deltas[i]
		seg := segment{scope: first.scope(), peer: first.peer(), only: *g.only}
		g.enc.Reset()
		open := false
		for ; i < len(g.deltas) && g.deltas[i].order>>orderPeer == first.order>>orderPeer; i++ {
			d := &g.deltas[i]
			lay := &g.states[d.fam()].lay
			if i == 0 || d.order != g.deltas[i-1].order {
				open = g.m.openSet(g.enc, lay.family, d.attrs())
			}
			if !open {
				continue
			}
			if d.attrs() == 0 {
				seg.withdraws++
			}
			g.route(g.enc, lay, &d.p, d.labels, d.id)
		}
		out := g.enc.Flush()
		seg.updates = countMessages(out)
		b.buf = append(b.buf, out...)
		seg.end = len(b.buf)
		b.segments = append(b.segments, seg)
		b.updates += seg.updates
		b.withdraws += seg.withdraws
	}
	g.deltas = g.deltas[:0]
}

// openSet makes the routes that follow announcements with a set, or withdrawals
// for none. It is false where the set has ended: who has been asleep over a run
// for so long is told by what follows.
func (m *Manager) openSet(enc *wire.Encoder, f wire.Family, id rib.AttrID) bool {
	if id == 0 {
		enc.Withdraw(f)
		return true
	}
	attrs, ok := m.rib.Attrs().Bytes(id)
	return ok && enc.Announce(f, attrs) == nil
}

// countMessages counts whole messages.
func countMessages(b []byte) (n int) {
	for len(b) >= wire.HeaderLen {
		b = b[int(b[16])<<8|int(b[17]):]
		n++
	}
	return n
}
