package mrt

import (
	"ribd/engine/ingest"
	"ribd/shard"
	"ribd/shard/rib"
	"ribd/trie"
	"ribd/wire"
	"ribd/wire/flowspec"
	"ribd/wire/mrt"
)

// A Fan sends a full batch by itself. A worker whose turn has not come stays
// below that, whatever shard its routes are for.
const (
	earlyOps   = shard.FanOps - 96
	earlyWords = shard.FanWords - 768
)

// maxGroup bounds the paths of TABLE_DUMP records that go in together.
const maxGroup = 256

// worker decodes segments. It is one goroutine.
type worker struct {
	j    *job
	fan  *shard.Fan
	to   *ingest.Router // of fan
	seg  *segment
	mine bool // all segments before have been sent
	ops  int  // in the Fan since its Flush
	word int  // about as many words

	rec     mrt.Record
	rib     mrt.RIB
	msg     mrt.Message
	dump    mrt.TableDump
	old     mrt.OldEntry
	update  wire.Update
	session [4]wire.Session // by AS4 (1) and AddPath (2)
	paths   []rib.Path
	scratch []byte
	hop     []byte
	cache   attrCache

	group   []rib.Path // of TABLE_DUMP records of one prefix, which wait
	groupK  trie.Key
	groupN  uint8
	groupT  rib.TableID
	last    *peer // of the message before
	lastKey peerKey
	known   map[peerKey]*peer

	n struct{ routes, withdrawals, skipped, treated, discarded, refused, guessed int64 }
}

func newWorker(j *job) *worker {
	w := &worker{j: j, fan: j.l.rib.NewFan(), known: map[peerKey]*peer{}, scratch: make([]byte, 0, 8<<10)}
	w.to = ingest.NewRouter(j.l.rib, w.fan)
	for i := range w.session {
		w.session[i] = wire.Session{AS4: i&1 != 0, Extended: true, Recorded: true}
		if i&2 != 0 {
			w.session[i].AddPath = wire.AllFamilies()
		}
	}
	return w
}

// run decodes what the framer gives until there is no more.
func (w *worker) run() {
	defer w.fan.Close()
	for seg := range w.j.work {
		w.segment(seg)
	}
}

func (w *worker) segment(seg *segment) {
	w.seg, w.mine, w.ops, w.word = seg, false, 0, 0
	w.cache.segment++
	b := seg.buf.b
	for _, start := range seg.starts {
		rec := b[start:]
		rec = rec[:recordSize(rec)]
		off := seg.buf.base + int64(start)
		if err := w.rec.Parse(rec); err != nil {
			w.j.damage(off, err.Error())
			continue
		}
		w.record(off)
	}
	w.flushGroup()
	w.turn()
	w.fan.Flush()
	close(seg.sent)
	w.j.release(seg.buf)
	w.count()
}

// turn waits until the segments before this one have been sent.
func (w *worker) turn() {
	if !w.mine {
		<-w.seg.before
		w.mine = true
	}
}

// room is called before each operation, of so many paths: it waits for the
// worker's turn where the Fan may send a batch early.
func (w *worker) room(paths int) {
	w.ops++
	w.word += 6 + 5*paths
	if w.ops > earlyOps || w.word > earlyWords {
		w.turn()
	}
}

// count adds what the worker has counted to the load.
func (w *worker) count() {
	n := &w.j.n
	n.routes.Add(w.n.routes)
	n.withdrawals.Add(w.n.withdrawals)
	n.skipped.Add(w.n.skipped)
	n.treated.Add(w.n.treated)
	n.discarded.Add(w.n.discarded)
	n.refused.Add(w.n.refused)
	n.guessed.Add(w.n.guessed)
	w.n = struct{ routes, withdrawals, skipped, treated, discarded, refused, guessed int64 }{}
}

// record decodes one record; off is where it stands in the file.
func (w *worker) record(off int64) {
	kind := w.rec.Kind()
	if kind != mrt.KindTableDump {
		w.flushGroup()
	}
	var err *mrt.Error
	switch kind {
	case mrt.KindRIB:
		err = w.ribRecord()
	case mrt.KindTableDump:
		err = w.tableDump()
	case mrt.KindMessage:
		if err = w.msg.Parse(&w.rec); err == nil {
			w.message(off)
		}
	case mrt.KindEntry:
		err = w.oldEntry()
	default:
		w.n.skipped++
	}
	if err != nil {
		w.j.damage(off, err.Error())
	}
}

// ribRecord takes a RIB record in: one operation. A record that is damaged in
// any entry is left out whole.
func (w *worker) ribRecord() *mrt.Error {
	x := &w.rib
	if err := x.Parse(&w.rec); err != nil {
		return err
	}
	at, labels, ok, err := w.place(x)
	if err != nil {
		return err
	}
	if !ok {
		w.n.refused += int64(x.Count)
		return nil
	}
	ix := w.seg.index
	if ix == nil {
		return &mrt.Error{Field: "RIB", Reason: "no PEER_INDEX_TABLE before it", RFC: "RFC 6396 4.3"}
	}
	w.paths = w.paths[:0]
	bad := 0
	es := x.Entries()
	for es.Next() {
		e := es.Entry()
		if int(e.Peer) >= len(ix.peers) {
			return &mrt.Error{Off: e.AttrsOff, Field: "Peer Index", Reason: "past the end of the PEER_INDEX_TABLE", RFC: "RFC 6396 4.3.4"}
		}
		id, ok := w.attrs(e.Attrs, x.Family, false)
		w.paths = append(w.paths, rib.Path{
			Peer:      ix.peers[e.Peer].used(),
			Attrs:     id,
			PathID:    e.PathID,
			HasPathID: x.Layout != mrt.LayoutPlain,
			Labels:    labels,
			Received:  e.Originated,
		})
		if !ok {
			bad++
		}
	}
	if err := es.Err(); err != nil {
		return err
	}
	if bad > 0 {
		w.takeBad(at)
	}
	if ix.shared {
		w.once()
	}
	if len(w.paths) > 0 {
		w.room(len(w.paths))
		w.fan.Entry(at.Table, at.Key, at.Len, w.paths)
		w.n.routes += int64(len(w.paths))
	}
	return nil
}

// takeBad withdraws the paths whose attributes are malformed (RFC 7606) or have
// no room, and leaves the others.
func (w *worker) takeBad(at ingest.Place) {
	good := w.paths[:0]
	for i := range w.paths {
		p := w.paths[i]
		if p.Attrs != 0 {
			good = append(good, p)
			continue
		}
		w.room(0)
		w.fan.Withdraw(at.Table, at.Key, at.Len, p.Peer, p.PathID, p.HasPathID)
	}
	w.paths = good
}

// once leaves the last of several paths with one key: two entries of an index
// may stand for one peer.
func (w *worker) once() {
	good := w.paths[:0]
	for i := range w.paths {
		p := w.paths[i]
		for j := range good {
			if q := &good[j]; q.Peer == p.Peer && q.PathID == p.PathID && q.HasPathID == p.HasPathID {
				*q = p
				p.Attrs = 0
				break
			}
		}
		if p.Attrs != 0 {
			good = append(good, p)
		}
	}
	w.paths = good
}

// place returns where the prefix of a RIB record belongs; ok is false where there
// is no room for another.
func (w *worker) place(x *mrt.RIB) (at ingest.Place, labels uint32, ok bool, err *mrt.Error) {
	switch x.Family.Form() {
	case wire.FormPrefix:
		at.Table, ok = w.to.Table(x.Family, 0)
		at.Key.Hi, at.Key.Lo, at.Len = x.Key()
		return at, 0, ok, nil
	case wire.FormRaw:
		if e := w.to.CheckRaw(x.Family, x.NLRI); e != nil {
			return at, 0, false, &mrt.Error{Off: mrt.HeaderLen + 7 + e.Off, Field: "Network Layer Reachability Information", Reason: e.Reason, RFC: e.RFC}
		}
		at, ok = w.to.Raw(x.Family, x.NLRI)
		return at, 0, ok, nil
	}
	l := wire.NewNLRILabelled(x.NLRI, 0, x.Family, false, false)
	if !l.Next() {
		reason := "malformed"
		if e := l.Err(); e != nil {
			reason = e.Reason
		}
		return at, 0, false, &mrt.Error{Off: mrt.HeaderLen + 7, Field: "Network Layer Reachability Information", Reason: reason, RFC: "RFC 6396 4.3.3"}
	}
	at, labels, ok = w.to.Labelled(x.Family, &l)
	return at, labels, ok, nil
}

// attrs interns the attributes of an entry of a dump; false when they are
// malformed, so that the route counts as withdrawn, or there is no room.
func (w *worker) attrs(raw []byte, f wire.Family, as2 bool) (rib.AttrID, bool) {
	slot := w.cache.slot(raw, f, as2)
	if id := w.cache.get(slot, raw, w.j.l.rib.Attrs()); id != 0 {
		return id, true
	}
	b, err := wire.AppendRIBAttributes(w.scratch[:0], raw, f, wire.RIBOptions{AS2: as2})
	w.scratch = b
	if err != nil {
		if err.Action > wire.AttributeDiscard {
			w.n.treated++
			return 0, false
		}
		w.n.discarded++
	}
	if flowspec.Is(f) && flowspec.CheckActions(b) != nil {
		w.n.treated++
		return 0, false
	}
	id, ok := w.j.l.rib.Attrs().Intern(b)
	if !ok {
		w.n.refused++
		return 0, false
	}
	if err == nil {
		w.cache.put(slot, raw, id)
	}
	return id, true
}

// tableDump takes a TABLE_DUMP record in. Records of one prefix follow each
// other: their paths go in together.
func (w *worker) tableDump() *mrt.Error {
	d := &w.dump
	if err := d.Parse(&w.rec); err != nil {
		return err
	}
	hi, lo, n := d.Key()
	key := trie.Key{Hi: hi, Lo: lo}
	table := rib.TableIPv6Unicast
	if d.Family == wire.IPv4Unicast {
		table = rib.TableIPv4Unicast
	}
	if key != w.groupK || n != w.groupN || table != w.groupT || len(w.group) >= maxGroup {
		w.flushGroup()
		w.groupK, w.groupN, w.groupT = key, n, table
	}
	p := w.peer(peerKey{d.Peer, d.PeerAS}, false, false)
	if p == nil {
		return nil
	}
	id, ok := w.attrs(d.Attrs, d.Family, !d.AS4)
	path := rib.Path{Peer: p.used(), Attrs: id, Received: d.Originated}
	if !ok {
		w.flushGroup()
		w.room(0)
		w.fan.Withdraw(table, key, n, path.Peer, 0, false)
		return nil
	}
	for i := range w.group {
		if w.group[i].Peer == path.Peer {
			w.group[i] = path
			return nil
		}
	}
	w.group = append(w.group, path)
	return nil
}

// flushGroup sends the paths of the TABLE_DUMP records that wait.
func (w *worker) flushGroup() {
	if len(w.group) == 0 {
		return
	}
	w.room(len(w.group))
	w.fan.Entry(w.groupT, w.groupK, w.groupN, w.group)
	w.n.routes += int64(len(w.group))
	w.group = w.group[:0]
}

// oldEntry takes a BGP4MP_ENTRY in. It has its next hop apart from its
// attributes, which hold it too where the prefix is IPv4.
func (w *worker) oldEntry() *mrt.Error {
	e := &w.old
	if err := e.Parse(&w.rec); err != nil {
		return err
	}
	p := w.peer(peerKey{e.Peer, e.PeerAS}, e.PeerAS == e.LocalAS, false)
	table, ok := w.to.Table(e.Family, 0)
	if p == nil || !ok {
		w.n.refused++
		return nil
	}
	raw := e.Attrs
	if len(e.NextHop) > 0 {
		// An MP_REACH_NLRI that is the next hop alone, as TABLE_DUMP_V2 has it.
		w.hop = append(append(w.hop[:0], raw...), 0x80, byte(wire.AttrMPReach), byte(1+len(e.NextHop)), byte(len(e.NextHop)))
		raw = append(w.hop, e.NextHop...)
		w.hop = raw
	}
	hi, lo, n := e.Key()
	key := trie.Key{Hi: hi, Lo: lo}
	id, ok := w.attrs(raw, e.Family, true)
	w.room(1)
	if !ok {
		w.fan.Withdraw(table, key, n, p.used(), 0, false)
		return nil
	}
	w.fan.Announce(table, key, n, &rib.Path{Peer: p.used(), Attrs: id, Received: e.Originated})
	w.n.routes++
	return nil
}
