package api

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"ribd/shard"
	"ribd/shard/rib"
	"ribd/trie"
	"ribd/wire"
)

const (
	defaultLimit = 1000
	maxLimit     = 100_000

	// A slice of a stream ends after so many prefixes or so long, whatever was
	// found, so that no view is held while others want to write.
	slicePrefixes = 1 << 16
	sliceTime     = 50 * time.Millisecond
	// A page that is full looks this long for the one row that tells whether there
	// is another page.
	lookAhead = 200 * time.Millisecond
)

// limit reads limit=; -1 where it was not given.
func (c *call) limit() (int, *problem) {
	v := c.q.get(pLimit)
	if v == nil {
		return -1, nil
	}
	n, p := parseNumber(pLimit, v, 1, maxLimit)
	return int(n), p
}

// routeList is GET routes.
func (c *call) routeList() *problem {
	media, p := c.accept(typeJSON, typeNDJSON)
	if p != nil {
		return p
	}
	s := &scanner{listing: listing{c: c}}
	if s.q, p = c.question(); p != nil {
		return p
	}
	if p = c.filters(); p != nil {
		return p
	}
	s.r = renderer{s: c.s, pre: c.filter.pre, now: c.now, recent: new([64]recentPart)}
	if s.r.fields, p = c.fields(); p != nil {
		return p
	}
	if p = s.begin(s.pos.decode); p != nil {
		return p
	}
	if s.q.walks() {
		c.filter.memoise()
	}
	return s.answer(s, &listKind{name: "routes", prefixes: slicePrefixes, time: sliceTime}, media)
}

// routeCount is GET routes/count.
func (c *call) routeCount() *problem {
	if _, p := c.accept(typeJSON); p != nil {
		return p
	}
	q, p := c.question()
	if p != nil {
		return p
	}
	if p = c.filters(); p != nil {
		return p
	}
	if p = c.stream(); p != nil {
		return p
	}
	var prefixes, paths uint64
	var err error
	for range 3 {
		v := c.s.rib.View()
		c.ctx.Response.Header.Set(headerVersion, v.Version())
		prefixes, paths, err = c.count(v, &q)
		v.Close()
		if err == nil {
			break
		}
	}
	if err == nil {
		err = c.filter.outErr()
	}
	if err != nil {
		return overload(err.Error())
	}
	b := append(c.buf[:0], `{"prefixes":`...)
	b = appendUint(b, prefixes)
	b = append(b, `,"paths":`...)
	b = appendUint(b, paths)
	b = append(b, '}', '\n')
	c.answer(typeJSON, b)
	c.buf = b
	return nil
}

// count counts what a question finds in one view. Walks are split by part, which
// all cores share.
func (c *call) count(v *shard.View, q *question) (prefixes, paths uint64, err error) {
	tables := q.tables(c.s.rib, v.Tables())
	if !q.walks() {
		for i := range tables {
			var ms [8]shard.Match
			for _, m := range q.few(v, &tables[i], &c.filter, c.keep, ms[:0]) {
				c.paths = c.filter.pathsAt(v, m, c.paths[:0])
				n := countKept(c.paths, &c.filter)
				paths += n
				prefixes += min(n, 1)
			}
		}
		return prefixes, paths, v.Err()
	}
	c.filter.memoise()
	parts := v.Parts()
	jobs := int64(parts * len(tables))
	workers := int(min(int64(runtime.GOMAXPROCS(0)), jobs))
	var next atomic.Int64
	var wg sync.WaitGroup
	results := make([]counted, workers)
	for i := range workers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			f := c.filter.share()
			var buf []rib.Path
			for {
				j := next.Add(1) - 1
				if j >= jobs || results[i].err != nil {
					return
				}
				buf = results[i].walk(v, int(j)%parts, &tables[int(j)/parts], q, f, buf)
			}
		}()
	}
	wg.Wait()
	for _, r := range results {
		prefixes += r.prefixes
		paths += r.paths
		if r.err != nil {
			err = r.err
		}
	}
	return prefixes, paths, err
}

type counted struct {
	prefixes, paths uint64
	err             error
	_               [40]byte
}

func (n *counted) walk(v *shard.View, part int, t *tableRef, q *question, f *filter, buf []rib.Path) []rib.Path {
	var r shard.WalkRange
	if q.prefix.IsValid() {
		r.Under, r.UnderLen = trie.PrefixKey(q.prefix)
	}
	raw := t.form() == wire.FormRaw
	w := v.WalkPart(part, t.id, r)
	defer w.Close()
	for w.Next() {
		if !raw && !f.lengthOK(w.Len()) {
			continue
		}
		buf = f.pathsOf(w, buf[:0])
		k := countKept(buf, f)
		n.paths += k
		n.prefixes += min(k, 1)
	}
	if err := w.Err(); err != nil {
		n.err = err
	}
	return buf
}

func countKept(paths []rib.Path, f *filter) (n uint64) {
	for i := range paths {
		if f.keep(&paths[i]) {
			n++
		}
	}
	return n
}
