package shard

import (
	"sync/atomic"
	"time"

	"ribd/internal/slab"
	"ribd/shard/rib"
	"ribd/trie"
)

// Change is one entry of the feed: what happened to one path.
type Change struct {
	Kind  ChangeKind
	Swept bool  // a Withdraw that only tells which prefixes a PeerDown before it touched
	Same  bool  // the prefix has the same best path as before, with the same attributes after policy and before
	Shard int   // changes of one prefix are all of one shard, and in order
	Time  int64 // when its batch began, microseconds since 1970
	Table rib.TableID
	Key   trie.Key
	Len   uint8
	Path  rib.Path // Announce: the path; Withdraw: the path that went; PeerDown: its Peer
}

// ChangeKind says what happened.
type ChangeKind uint8

// The kinds of changes.
const (
	ChangeAnnounce ChangeKind = iota + 1
	ChangeWithdraw
	ChangePeerDown // all paths of the peer in this shard are gone
)

var changeNames = [...]string{"", "announce", "withdraw", "peer_down"}

// String names the kind as the API does.
func (k ChangeKind) String() string {
	if int(k) < len(changeNames) {
		return changeNames[k]
	}
	return "change"
}

// An entry of the ring is these words.
const (
	feedHead  = iota // kind, swept, prefix length
	feedTable        //
	feedKey          // four words
	feedTime  = feedKey + 4
	feedRec   = feedTime + 2 // a record
	feedWords = feedRec + 6

	feedSwept    = 1 << 4
	feedSame     = 1 << 5
	feedLenShift = 8

	feedChunk = 256 // entries of a chunk, the unit in which the ring turns
)

// feedWriter is a shard's ring of changes. It is in chunks of slab memory that
// are retired like everything else, so that a follower that reads under a pin
// is never overtaken. While nobody follows, changes are only counted.
type feedWriter struct {
	s     *shard
	on    bool   // changes of this batch are recorded
	stay  bool   // and that must not change: a prefix is open across batches
	more  bool   // something happened since the last publish
	seq   uint64 // of the next change
	micro uint64 // time of the batch
	chunk []uint32

	ring []atomic.Uint32 // references of chunks, by seq/feedChunk
	head atomic.Uint64   // changes below are published
	low  atomic.Uint64   // changes from here on are in the ring
}

func (f *feedWriter) init(s *shard, size int) {
	f.s = s
	n := 2
	for n*feedChunk < size {
		n *= 2
	}
	f.ring = make([]atomic.Uint32, n)
}

// begin says whether the changes of a batch are recorded.
func (f *feedWriter) begin() {
	on := f.s.r.feed.active.Load() > 0
	if on {
		f.micro = uint64(time.Now().UnixMicro())
	}
	if on == f.on || f.stay {
		return
	}
	f.on = on
	f.low.Store(f.seq)
	f.chunk = nil
	if !on {
		for i := range f.ring {
			f.drop(i)
		}
	}
}

// drop gives a chunk back.
func (f *feedWriter) drop(i int) {
	if ref := f.ring[i].Load(); ref != 0 {
		f.ring[i].Store(0)
		f.s.blocks.Retire(ref, feedChunk*feedWords, f.s.version)
	}
}

// skip counts changes that are not recorded.
func (f *feedWriter) skip(n int) {
	f.seq += uint64(n)
	f.more = true
}

// entry returns the words of the next change, nil where there is no memory for
// them: then the followers start again from a view.
func (f *feedWriter) entry() []uint32 {
	f.more = true
	at := f.seq % feedChunk
	f.seq++
	if f.chunk == nil || at == 0 {
		i := int((f.seq - 1) / feedChunk % uint64(len(f.ring)))
		if f.ring[i].Load() != 0 {
			// Followers look at low again after they have looked at the ring.
			f.low.Store(max(f.low.Load(), f.seq-1-at-uint64(len(f.ring)-1)*feedChunk))
			f.drop(i)
		}
		ref, ok := f.s.blocks.Alloc(feedChunk * feedWords)
		if !ok {
			f.low.Store(f.seq)
			f.chunk = nil
			return nil
		}
		f.chunk = f.s.r.blocks.Words(ref, feedChunk*feedWords)
		f.ring[i].Store(ref)
	}
	w := f.chunk[at*feedWords:][:feedWords]
	w[feedTime], w[feedTime+1] = uint32(f.micro>>32), uint32(f.micro)
	return w
}

// add records a change of a path, given as its record.
func (f *feedWriter) add(kind ChangeKind, swept, same bool, tb *table, k trie.Key, n uint8, rec []uint32) {
	w := f.entry()
	if w == nil {
		return
	}
	w[feedHead] = uint32(kind) | uint32(n)<<feedLenShift
	if swept {
		w[feedHead] |= feedSwept
	}
	if same {
		w[feedHead] |= feedSame
	}
	w[feedTable] = uint32(tb.info.id)
	w[feedKey], w[feedKey+1] = uint32(k.Hi>>32), uint32(k.Hi)
	w[feedKey+2], w[feedKey+3] = uint32(k.Lo>>32), uint32(k.Lo)
	copy(w[feedRec:], rec)
}

// peerDown records that a peer is gone.
func (f *feedWriter) peerDown(n rib.PeerNum) {
	if !f.on {
		f.skip(1)
		return
	}
	if w := f.entry(); w != nil {
		w[feedHead], w[feedTable] = uint32(ChangePeerDown), 0
		clear(w[feedKey:feedTime])
		rib.AppendRecord(w[feedRec:feedRec], &rib.Path{Peer: n}, true)
	}
}

// seal ends the changes of a batch and returns the sequence behind them.
func (f *feedWriter) seal() uint64 {
	if !f.on {
		f.low.Store(f.seq)
	}
	f.more = false
	return f.seq
}

// publish makes the changes visible that were sealed. The state that they led to
// is published by then: a follower may look up what it reads of.
func (f *feedWriter) publish() { f.head.Store(f.seq) }

// wake tells the followers that wait.
func (f *feedWriter) wake() {
	fs := &f.s.r.feed
	if fs.waiting.Load() == 0 {
		return
	}
	for _, fl := range *fs.list.Load() {
		select {
		case fl.notify <- struct{}{}:
		default:
		}
	}
}

// read copies published changes from pos on to dst. ok is false where they are
// no longer in the ring.
func (f *feedWriter) read(pin *slab.Pin, pos uint64, dst []Change) (n int, ok bool) {
	pin.Enter()
	defer pin.Exit()
	head := f.head.Load()
	if pos > head || pos < f.low.Load() {
		return 0, pos == head
	}
	for n < len(dst) && pos < head {
		ref := f.ring[pos/feedChunk%uint64(len(f.ring))].Load()
		if pos < f.low.Load() || ref == 0 {
			return n, n > 0 // what was read is whole; the next call fails
		}
		w := f.s.r.blocks.Words(ref, feedChunk*feedWords)
		for ; n < len(dst) && pos < head; n++ {
			dst[n].read(w[pos%feedChunk*feedWords:][:feedWords], f.s.id)
			if pos++; pos%feedChunk == 0 {
				n++
				break
			}
		}
	}
	return n, true
}

func (c *Change) read(w []uint32, shard int) {
	h := w[feedHead]
	*c = Change{
		Kind:  ChangeKind(h & 15),
		Swept: h&feedSwept != 0,
		Same:  h&feedSame != 0,
		Shard: shard,
		Time:  int64(w[feedTime])<<32 | int64(w[feedTime+1]),
		Table: rib.TableID(w[feedTable]),
		Key:   trie.Key{Hi: uint64(w[feedKey])<<32 | uint64(w[feedKey+1]), Lo: uint64(w[feedKey+2])<<32 | uint64(w[feedKey+3])},
		Len:   uint8(h >> feedLenShift),
	}
	rib.ReadRecord(w[feedRec:], &c.Path)
}
