package trie

import (
	"slices"

	"ribd/internal/slab"
)

// Behind is what a look-up in an image returns, instead of a handle, where the
// image is not kept up with the trees: the caller asks the trees. No prefix has
// it as its handle.
//
// A writer that changes very many prefixes at a time defers the parts of the
// image that they lie in (ImageWriter.Defer), and makes each of them anew, once,
// from its tree (ImageWriter.CatchUp): a tenth of the work.
const Behind = 1

// behindRef is a node, shared by all images of an arena, that has Behind
// everywhere; a slot of a home table that leads to it is deferred. A look-up
// needs no instruction more for it.
const (
	behindRef  = imageUnit
	behindWord = childBit | behindRef
)

// setBehind makes that node, in words that no heap gets.
func setBehind(nodes *slab.Arena) {
	nodes.Static()
	r := runs{starts: [4]uint64{1}, n: 1}
	r.words[0] = Behind
	r.put(nodes, behindRef)
}

// Defer leaves the prefix k/n, which comes or goes, to CatchUp: look-ups under
// it, and beside it in the same slots of the home table, return Behind until
// then. It returns false for prefixes of the roof, which are few.
func (w *ImageWriter) Defer(k Key, n uint8) bool {
	if n < w.least {
		return false
	}
	i, end := w.slots(k, n)
	for ; i < end; i++ {
		if x := w.home.Load(i); x != behindWord {
			w.home.Store(i, behindWord)
			w.retireAll(x)
			w.behind = append(w.behind, i)
			w.sorted = false
		}
	}
	return true
}

// Deferred says whether all of the prefix k/n is left to CatchUp already.
func (w *ImageWriter) Deferred(k Key, n uint8) bool {
	if len(w.behind) == 0 || n < w.least {
		return false
	}
	i, end := w.slots(k, n)
	for ; i < end; i++ {
		if w.home.Load(i) != behindWord {
			return false
		}
	}
	return true
}

// slots is the words of the home table that a prefix of at least w.least bits
// lies in.
func (w *ImageWriter) slots(k Key, n uint8) (i, end uint32) {
	i = uint32(k.Hi >> (64 - w.homeLen))
	if n >= w.homeLen {
		return i, i + 1
	}
	return i, i + 1<<(w.homeLen-n)
}

// retireAll lets the nodes go that the word x leads to.
func (w *ImageWriter) retireAll(x uint32) {
	if x&childBit == 0 {
		return
	}
	a := w.heap.Arena()
	o := x &^ childBit
	for i, n := o+runHeader, o+runHeader+runCount(a, o); i < n; i++ {
		w.retireAll(a.Load(i))
	}
	w.retire(x)
}

// Behind is the number of slots that are deferred.
func (w *ImageWriter) Behind() int { return len(w.behind) }

// CatchUp makes slots that were deferred anew from the tree of the writer, which
// holds all its prefixes as they are now, about budget prefixes of them. handles
// turns values of the tree into handles in place, 0 where a prefix does not
// count. It returns true when nothing is left or nothing more can be done: where
// there is no memory the slots stay deferred.
func (w *ImageWriter) CatchUp(tree View, handles func(values []uint32), budget int) (done bool) {
	if !w.sorted {
		// The last ones are done first.
		slices.SortFunc(w.behind, func(a, b uint32) int { return int(b) - int(a) })
		w.sorted = true
	}
	w.cursor.view = tree
	for len(w.behind) > 0 {
		if budget <= 0 {
			return false
		}
		last := len(w.behind) - 1
		i := w.behind[last]
		n, ok := w.makeSlot(tree, i, handles)
		if !ok {
			return true
		}
		w.behind = w.behind[:last]
		budget -= n + 4
	}
	w.sorted = false
	return true
}

// makeSlot makes slot i of the home table and returns how many prefixes it took.
func (w *ImageWriter) makeSlot(tree View, i uint32, handles func(values []uint32)) (n int, ok bool) {
	b := &w.builder
	k := Key{Hi: uint64(i) << (64 - w.homeLen)}
	b.items, b.values = b.items[:0], b.values[:0]
	base := uint32(0)
	for m := w.homeLen; m > w.least && base == 0; {
		v, l := tree.Match(k, m-1)
		if v == 0 {
			break
		}
		one := [1]uint32{v}
		handles(one[:])
		base, m = one[0], l
	}
	c := &w.cursor
	for c.Under(k, w.homeLen); c.Next(); {
		b.items = append(b.items, builderItem{c.key, c.len})
		b.values = append(b.values, c.value)
	}
	handles(b.values)
	n = len(b.items)
	at := 0
	if n > 0 && b.items[0].n == w.homeLen {
		if b.values[0] != 0 {
			base = b.values[0]
		}
		at = 1
	}
	x, ok := w.makeNode(at, n, w.homeLen, base)
	if ok {
		w.home.Store(i, x)
	}
	return n, ok
}

// builder is scratch of CatchUp: the prefixes of a slot, in the order of walking,
// and for each level the node that is being made.
type builder struct {
	items  []builderItem
	values []uint32 // handles
	levels []*builderNode
}

type builderItem struct {
	k Key
	n uint8
}

// builderNode is runs as they are found: in order, and what they interrupt on a
// stack.
type builderNode struct {
	runs   runs
	at     [256]uint8 // where each run starts
	ends   [runStride + 2]uint32
	inside [runStride + 2]uint32
	depth  int
}

// emit begins a run of word at b.
func (l *builderNode) emit(b, word uint32) {
	r := &l.runs
	if r.n > 0 && uint32(l.at[r.n-1]) == b {
		r.n--
	}
	if r.n > 0 && r.words[r.n-1] == word {
		return
	}
	l.at[r.n] = uint8(b)
	r.words[r.n] = word
	r.n++
}

// resume ends the runs that reach no further than b.
func (l *builderNode) resume(b uint32) {
	for l.depth > 0 && l.ends[l.depth] <= b {
		end := l.ends[l.depth]
		l.depth--
		if end < 256 {
			l.emit(end, l.inside[l.depth])
		}
	}
}

// makeNode returns the word for the prefixes from..to, all longer than d bits
// and equal in these, over the word base.
func (w *ImageWriter) makeNode(from, to int, d uint8, base uint32) (uint32, bool) {
	if from == to {
		return base, true
	}
	b := &w.builder
	level := int(d-w.homeLen) / runStride
	for level >= len(b.levels) {
		b.levels = append(b.levels, new(builderNode))
	}
	l := b.levels[level]
	l.runs.n, l.depth = 0, 0
	l.ends[0], l.inside[0] = 256, base
	l.emit(0, base)
	for i := from; i < to; {
		x := b.items[i]
		at := x.k.byteAt(d)
		l.resume(at)
		word, size, next := b.values[i], uint32(1), i+1
		if x.n <= d+runStride {
			if word == 0 {
				i++
				continue
			}
			size = 1 << (d + runStride - x.n)
		} else {
			for next < to && b.items[next].n > d+runStride && b.items[next].k.byteAt(d) == at {
				next++
			}
			var ok bool
			if word, ok = w.makeNode(i, next, d+runStride, l.inside[l.depth]); !ok {
				w.discardRuns(&l.runs)
				return 0, false
			}
		}
		i = next
		l.emit(at, word)
		l.depth++
		l.ends[l.depth], l.inside[l.depth] = at+size, word
	}
	l.resume(256)
	r := &l.runs
	if r.n == 1 && r.words[0]&childBit == 0 {
		return r.words[0], true
	}
	r.starts = [4]uint64{}
	for _, s := range l.at[:r.n] {
		r.starts[s>>6] |= 1 << (s & 63)
	}
	o, ok := r.write(w.heap, false)
	if !ok {
		w.discardRuns(r)
		return 0, false
	}
	return o | childBit, true
}

// discardRuns frees the nodes that a node which could not be made was to have.
func (w *ImageWriter) discardRuns(r *runs) {
	for _, x := range r.words[:r.n] {
		w.discard(x)
	}
}
