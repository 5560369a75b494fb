package api

import (
	"math"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

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
	s := &scanner{c: c}
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
	if s.rows, p = c.limit(); p != nil {
		return p
	}
	mark := c.q.question()
	if v := c.q.get(pCursor); v != nil {
		if p = s.pos.decode(v, mark); p != nil {
			return p
		}
		s.open = true
	}
	if p = c.stream(); p != nil {
		return p
	}
	if s.q.walks() {
		c.filter.memoise()
	}
	c.ctx.Response.Header.Set(fasthttp.HeaderVary, "Accept, Accept-Encoding")
	if media == typeNDJSON {
		return s.lines(c.encoding())
	}
	if s.rows < 0 {
		s.rows = defaultLimit
	}
	return s.page(c.encoding(), mark)
}

// lines answers one row a line: a slice is rendered from a view, the view is
// closed, the slice is written, and so on from where it stopped.
func (s *scanner) lines(encoding string) *problem {
	c := s.c
	v := c.s.rib.View()
	c.ctx.Response.Header.Set(headerVersion, v.Version())
	v.Close()
	s.line = true
	c.streamBody(typeNDJSON, encoding, func(out *sink) error {
		buf := c.buf[:0]
		defer func() { c.buf = buf }()
		lim, ended := slice{octets: 4 << 10, prefixes: slicePrefixes}, 0
		for !s.done && !s.full {
			if c.s.stopping.Load() {
				return cutOff(out, &buf, "the server is shutting down")
			}
			v := c.s.rib.View()
			lim.until = time.Now().Add(sliceTime)
			var err error
			buf, err = s.next(v, buf, lim)
			v.Close()
			if err == nil {
				ended = 0
			} else if ended++; ended > 100 { // else the next view goes on from here
				return cutOff(out, &buf, err.Error())
			}
			if err := out.write(buf); err != nil {
				return err
			}
			buf = buf[:0]
			if err := c.filter.outErr(); err != nil {
				return cutOff(out, &buf, err.Error())
			}
			lim.octets = writePart // the first rows go out early
		}
		return nil
	})
	return nil
}

// page answers a page of JSON: all of it is of one view, and rendered before the
// first octet is written.
func (s *scanner) page(encoding string, mark uint64) *problem {
	c := s.c
	var pg page
	start := s.pos
	startOpen, rows := s.open, s.rows
	var buf []byte
	for try := 0; ; try++ {
		v := c.s.rib.View()
		c.ctx.Response.Header.Set(headerVersion, v.Version())
		pg = page{}
		buf = append(c.buf[:0], `{"routes":[`...)
		lim := slice{octets: pagePiece, prefixes: math.MaxInt, spill: pg.add}
		var err error
		// This ends when a row follows the full page, when nothing does, or when the
		// look at what follows has taken too long.
		buf, err = s.next(v, buf, lim)
		v.Close()
		if err == nil {
			break
		}
		if try == 2 {
			return overload("the view of this page was ended twice: too many are open, try again")
		}
		s.pos, s.open, s.rows, s.full, s.done = start, startOpen, rows, false, false
	}
	if err := c.filter.outErr(); err != nil {
		return overload(err.Error())
	}
	buf = s.tail(buf, &pg, mark)
	if pg.size == 0 && encoding == "" && len(buf) <= writePart {
		c.answer(typeJSON, buf)
		c.buf = buf
		return nil
	}
	if pg.size == 0 && len(buf) < 512 { // compressing would make it longer
		encoding = ""
	}
	c.buf = pg.add(buf)
	c.streamBody(typeJSON, encoding, pg.write)
	return nil
}

// tail ends the list in place of its last comma.
func (s *scanner) tail(buf []byte, pg *page, mark uint64) []byte {
	if n := len(buf); n > 0 {
		if buf[n-1] == ',' {
			buf = buf[:n-1]
		}
	} else {
		pg.trim()
	}
	buf = append(buf, `],"next":`...)
	if s.done {
		return append(buf, 'n', 'u', 'l', 'l', '}', '\n')
	}
	buf = appendString(buf, s.pos.encode(mark))
	return append(buf, '}', '\n')
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
