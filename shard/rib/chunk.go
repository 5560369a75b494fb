package rib

import "slices"

// A chunk's next version is looked for among as many paths as this after the
// place where the one before ended.
const chunkReach = 4 * chunkPaths

// commitChunks is Commit for a block of many paths. The new order is laid over
// the old chunks one after the other: a chunk whose paths come next, and
// unchanged, is shared; what lies between two shared chunks is written anew.
func (e *Editor) commitChunks(handle, version uint32, held, reserved bool) (ref uint32, ok bool) {
	for range e.chunks {
		e.reuse = append(e.reuse, false)
	}
	at := 0 // position in the order
	for c := range e.chunks {
		from, n := e.findChunk(c, at)
		if from < 0 {
			continue
		}
		if !e.writeChunks(at, from, version, held, reserved) {
			return e.abandonChunks()
		}
		e.fresh = append(e.fresh, e.chunks[c])
		e.reuse[c] = true
		at = from + n
	}
	if !e.writeChunks(at, len(e.order), version, held, reserved) {
		return e.abandonChunks()
	}
	if len(e.fresh) > maxChunks {
		return e.abandonChunks()
	}
	size := e.headWords(held) + 2 + uint32(len(e.fresh))
	if ref, ok = e.alloc(size, reserved); !ok {
		return e.abandonChunks()
	}
	w := e.b.arena.Words(ref, size)
	n := writeHead(w, handle, version, held)
	w[n] = recDirectory | uint32(len(e.fresh))
	w[n+1] = uint32(len(e.items))
	copy(w[n+2:], e.fresh)
	e.written = size
	return ref, true
}

// findChunk looks for the paths of an old chunk, unchanged, from position at of
// the new order on. from is -1 where they are not together there.
func (e *Editor) findChunk(c, at int) (from, n int) {
	if e.heap.Sparse(e.chunks[c]) {
		return -1, 0 // it moves
	}
	body := e.b.body(e.chunks[c])
	for from = at; from < min(at+chunkReach, len(e.order)); from++ {
		if e.sameRecord(body, from) {
			if n, ok := e.sameChunk(body, from); ok {
				return from, n
			}
			return -1, 0
		}
	}
	return -1, 0
}

func (e *Editor) sameRecord(rec []uint32, at int) bool {
	it := &e.items[e.order[at]]
	if rec[0]&^recLast != it.w0|e.nibble(at) || AttrID(rec[1]) != it.attrs || rec[2] != it.received {
		return false
	}
	if it.w0&recExtra == 0 {
		return true
	}
	var old item
	old.read(rec)
	return old.pathID == it.pathID && old.pre == it.pre && old.labels == it.labels
}

func (e *Editor) sameChunk(body []uint32, at int) (n int, ok bool) {
	for {
		if at+n >= len(e.order) || !e.sameRecord(body, at+n) {
			return 0, false
		}
		n++
		if body[0]&recLast != 0 {
			return n, true
		}
		body = body[recordWords(body[0]):]
	}
}

// writeChunks writes the paths from position at of the order up to end.
func (e *Editor) writeChunks(at, end int, version uint32, held, reserved bool) bool {
	for at < end {
		n := end - at
		if n > chunkPaths {
			n = min(chunkPaths, (n+1)/2)
		}
		size := e.headWords(held)
		for _, x := range e.order[at : at+n] {
			size += recordWords(e.items[x].w0)
		}
		ref, ok := e.alloc(size, reserved)
		if !ok {
			return false
		}
		w := e.b.arena.Words(ref, size)
		p := writeHead(w, uint32(n), version, held)
		for i := at; i < at+n; i++ {
			bits := e.nibble(i)
			if i == at+n-1 {
				bits |= recLast
			}
			p += e.items[e.order[i]].write(w[p:], bits)
		}
		e.fresh = append(e.fresh, ref)
		at += n
	}
	return true
}

// abandonChunks ends a Commit that found no room.
func (e *Editor) abandonChunks() (uint32, bool) {
	e.dropFresh()
	return 0, false
}

// dropFresh frees the chunks that were written and not shared.
func (e *Editor) dropFresh() {
	for _, c := range e.fresh {
		if i := slices.Index(e.chunks, c); i < 0 || !e.reuse[i] {
			size, _ := e.chunkSize(c)
			e.heap.Free(c, size)
		}
	}
	e.fresh, e.reuse = e.fresh[:0], e.reuse[:0]
}

func (e *Editor) chunkSize(c uint32) (size, birth uint32) {
	w := e.b.words(c)
	size = 1 + w[0]>>31
	if size == 2 {
		birth = w[1]
	}
	for {
		w0 := w[size]
		size += recordWords(w0)
		if w0&recLast != 0 {
			return size, birth
		}
	}
}

func (e *Editor) retireChunk(c uint32) {
	size, birth := e.chunkSize(c)
	e.heap.Retire(c, size, birth)
}

// Sparse says whether a block, or a chunk of it, lies in memory that is to be
// emptied.
func (e *Editor) Sparse(ref uint32) bool {
	if e.heap.Sparse(ref) {
		return true
	}
	if body := e.b.body(ref); body[0]>>recPeerShift == MaxPeers {
		return slices.ContainsFunc(body[2:2+body[0]&(1<<recPeerShift-1)], e.heap.Sparse)
	}
	return false
}

// Rebase makes a block count as born before all versions, in place: births are
// the writer's alone.
func (e *Editor) Rebase(ref uint32) {
	w := e.b.words(ref)
	head := 1 + w[0]>>31
	if head == 2 {
		w[1] = 0
	}
	if body := w[head:]; body[0]>>recPeerShift == MaxPeers {
		for _, c := range body[2 : 2+body[0]&(1<<recPeerShift-1)] {
			if cw := e.b.words(c); cw[0]>>31 != 0 {
				cw[1] = 0
			}
		}
	}
}
