package shard

import (
	"sync/atomic"

	"ribd/shard/rib"
	"ribd/trie"
)

// An operation in a batch is a header, the key, and for an announcement the
// records of its paths up to the one that is flagged last, for a withdrawal the
// peer and an Add-Path id.
const (
	opWithdraw = 1 << 0 // else announce
	opPathID   = 1 << 1 // of a withdrawal: its Add-Path id follows
	opKey2     = 1 << 2 // the key has two words
	opKey4     = 1 << 3 // the key has four words
	opTable    = 1 << 4 // a word with the table follows the key
	opSame     = 1 << 5 // an announcement of the last record of the batch: none follows
	opLenShift = 8
	opTabShift = 16
)

// FanOps operations of one shard, or FanWords words of 4 octets, are a full batch,
// which goes before its Flush. Who sends from several Fans in an order of its
// own has to stay below both. Fans that are Express have shorter ones: a few
// hundred microseconds' work.
const (
	FanOps   = 4096
	FanWords = 1 << 15

	expressOps   = 2048
	expressWords = 1 << 13
)

// batch is what goes through a shard's queue: operations, or a request that has
// to be done in its place among them.
type batch struct {
	words []uint32
	ops   int
	last  rib.Path // of the last announcement, where single is set
	then  func(*shard)

	single bool
	sent   *atomic.Int32 // of its Fan, while it is in the queue
}

// Fan sorts the routes of one ingest goroutine into batches, one a shard.
// Routes of one peer have to go through one Fan, or one after the other.
// Nothing is sent before Flush, but a batch that is full (see FanOps) goes at
// once. A full queue blocks.
type Fan struct {
	r       *RIB
	tables  []*tableInfo
	batches []*batch
	sent    []atomic.Int32 // batches in the queue of each shard
	ops     int
	express bool
	guard   fanGuard
}

// NewFan makes a Fan for one goroutine. Close it.
func (r *RIB) NewFan() *Fan {
	f := &Fan{r: r, batches: make([]*batch, len(r.shards)), sent: make([]atomic.Int32, len(r.shards))}
	r.fans.add(&f.guard)
	return f
}

// Express lets small batches of the Fan go before large ones of others that wait
// for the same shard: a change is not to wait for somebody's whole table. It is
// for a Fan all of whose routes come by it alone. What the Fan sent itself, and
// what was asked of the RIB before (Refresh and its like), is not overtaken.
func (f *Fan) Express() { f.express = true }

// Close flushes.
func (f *Fan) Close() {
	f.Flush()
	f.r.fans.remove(&f.guard)
}

// Len is the number of operations since the last Flush, less those that went
// with a full batch.
func (f *Fan) Len() int { return f.ops }

// Announce adds or replaces the path with p's key at the prefix k/n of a table.
// p is copied.
func (f *Fan) Announce(t rib.TableID, k trie.Key, n uint8, p *rib.Path) {
	i, b, h := f.begin(t, k, n, 0)
	if b.single && b.last == *p {
		b.words[h] |= opSame
	} else {
		b.words = rib.AppendRecord(b.words, p, true)
		b.last, b.single = *p, true
	}
	f.end(i, b)
}

// Entry announces several paths of one prefix as one operation: a RIB record of
// a dump.
func (f *Fan) Entry(t rib.TableID, k trie.Key, n uint8, paths []rib.Path) {
	for len(paths) > 0 {
		i, b, _ := f.begin(t, k, n, 0)
		b.single = false
		part := paths[:min(len(paths), FanOps)]
		paths = paths[len(part):]
		for j := range part {
			b.words = rib.AppendRecord(b.words, &part[j], j == len(part)-1)
		}
		f.end(i, b)
	}
}

// Withdraw takes the path of that key away.
func (f *Fan) Withdraw(t rib.TableID, k trie.Key, n uint8, peer rib.PeerNum, pathID uint32, hasPathID bool) {
	op := uint32(opWithdraw)
	if hasPathID {
		op |= opPathID
	}
	i, b, _ := f.begin(t, k, n, op)
	b.words = append(b.words, uint32(peer))
	if hasPathID {
		b.words = append(b.words, pathID)
	}
	f.end(i, b)
}

// begin writes the header and the key of an operation, and returns the shard, its
// batch, and where in it the header is.
func (f *Fan) begin(t rib.TableID, k trie.Key, n uint8, op uint32) (i uint32, b *batch, h int) {
	if int(t) >= len(f.tables) {
		f.tables = *f.r.dir.list.Load()
		if int(t) >= len(f.tables) {
			panic("BUG: shard: a route of a table that is not registered")
		}
	}
	info := f.tables[t]
	if n > info.width {
		panic("BUG: shard: a prefix that is longer than its table's addresses")
	}
	k = k.Mask(n)
	i = f.r.homes.of(info, k, n)
	b = f.batches[i]
	if b == nil {
		if f.ops == 0 {
			f.guard.begin()
		}
		b = f.r.batch()
		f.batches[i] = b
	}
	op |= uint32(n) << opLenShift
	w := b.words
	h = len(w)
	if t < 1<<16 {
		op |= uint32(t) << opTabShift
	} else {
		op |= opTable
	}
	switch {
	case k.Lo == 0 && uint32(k.Hi) == 0:
		w = append(w, op, uint32(k.Hi>>32))
	case k.Lo == 0:
		w = append(w, op|opKey2, uint32(k.Hi>>32), uint32(k.Hi))
	default:
		w = append(w, op|opKey4, uint32(k.Hi>>32), uint32(k.Hi), uint32(k.Lo>>32), uint32(k.Lo))
	}
	if op&opTable != 0 {
		w = append(w, uint32(t))
	}
	b.words = w
	return i, b, h
}

func (f *Fan) end(i uint32, b *batch) {
	b.ops++
	f.ops++
	if b.ops >= FanOps || len(b.words) >= FanWords || f.express && (b.ops >= expressOps || len(b.words) >= expressWords) {
		f.ops -= b.ops
		f.batches[i] = nil
		f.send(int(i), b)
	}
}

// send gives a batch to a shard by its queue, or past it.
func (f *Fan) send(i int, b *batch) {
	s := f.r.shards[i]
	// A request in the queue may be one that this batch comes after.
	if f.express && b.ops <= guestOps && f.sent[i].Load() == 0 && s.requests.Load() == 0 {
		s.queued.Add(1)
		select {
		case s.express <- b:
			return
		default:
			s.queued.Add(-1)
		}
	}
	b.sent = &f.sent[i]
	b.sent.Add(1)
	f.r.enqueue(s, b)
}

// Flush sends what was collected: one batch a shard. A small one for a shard
// that has nothing to do is applied and published before Flush returns. Not to
// be called under a pin: at the cap of memory it may wait for readers.
func (f *Fan) Flush() {
	for i, b := range f.batches {
		if b == nil {
			continue
		}
		f.batches[i] = nil
		if !f.r.shards[i].visit(b) {
			f.send(i, b)
		}
	}
	f.ops = 0
	f.guard.end()
}

// batch returns an empty batch.
func (r *RIB) batch() *batch {
	select {
	case b := <-r.pool:
		return b
	default:
		return &batch{words: make([]uint32, 0, 1<<12)}
	}
}

// recycle takes a batch back.
func (r *RIB) recycle(b *batch) {
	if cap(b.words) > 2*FanWords {
		return
	}
	b.words, b.ops, b.then, b.single, b.sent = b.words[:0], 0, nil, false, nil
	select {
	case r.pool <- b:
	default:
	}
}
