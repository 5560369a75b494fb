package api

import (
	"math"
	"time"

	"github.com/valyala/fasthttp"

	"ribd/shard"
)

// listing is a list that is rendered a slice at a time, each slice from a view of
// its own, from where the last one stopped. What embeds it renders the rows.
type listing struct {
	c    *call
	mark uint64 // of the question, for cursors
	open bool   // the position is set: go on there
	rows int    // still wanted; < 0: all
	line bool   // each row ends in a newline, else in a comma
	full bool   // all rows that were wanted are there, and one more was found
	done bool   // nothing is left
}

// rowSource renders the rows of a listing.
type rowSource interface {
	// next renders rows of one view until a limit, and leaves its position behind
	// them.
	next(v *shard.View, dst []byte, lim slice) ([]byte, error)
	// cursor is its position as text, place returns what sets it to where it is.
	cursor(mark uint64) string
	place() (back func())
}

// listKind is what lists differ in.
type listKind struct {
	name     string        // of the rows, in JSON
	prefixes int           // prefixes or rules that a slice of a stream looks at
	time     time.Duration // that it takes
}

// slice is the limits of one slice, after which the view is given back.
type slice struct {
	octets   int
	prefixes int
	until    time.Time
	spill    func([]byte) []byte // takes what was rendered, past octets, and goes on
}

// begin reads limit= and cursor=, which decode takes, and makes the call a stream.
func (l *listing) begin(decode func(v []byte, mark uint64) *problem) (p *problem) {
	c := l.c
	if l.rows, p = c.limit(); p != nil {
		return p
	}
	l.mark = c.q.question()
	if v := c.q.get(pCursor); v != nil {
		if p = decode(v, l.mark); p != nil {
			return p
		}
		l.open = true
	}
	return c.stream()
}

// answer answers the rows, as lines or as a page.
func (l *listing) answer(from rowSource, k *listKind, media string) *problem {
	l.c.ctx.Response.Header.Set(fasthttp.HeaderVary, "Accept, Accept-Encoding")
	if media == typeNDJSON {
		return l.lines(from, k)
	}
	if l.rows < 0 {
		l.rows = defaultLimit
	}
	return l.page(from, k)
}

// lines answers one row a line: a slice is rendered from a view, the view is
// closed, the slice is written, and so on from where it stopped.
func (l *listing) lines(from rowSource, k *listKind) *problem {
	c := l.c
	v := c.s.rib.View()
	c.ctx.Response.Header.Set(headerVersion, v.Version())
	v.Close()
	l.line = true
	c.streamBody(typeNDJSON, c.encoding(), func(out *sink) error {
		buf := c.buf[:0]
		defer func() { c.buf = buf }()
		lim, ended := slice{octets: 4 << 10, prefixes: k.prefixes}, 0
		for !l.done && !l.full {
			if c.s.stopping.Load() {
				return cutOff(out, &buf, "the server is shutting down")
			}
			v := c.s.rib.View()
			lim.until = time.Now().Add(k.time)
			var err error
			buf, err = from.next(v, buf, lim)
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
func (l *listing) page(from rowSource, k *listKind) *problem {
	c, encoding := l.c, l.c.encoding()
	var pg page
	start, back := *l, from.place()
	var buf []byte
	for try := 0; ; try++ {
		v := c.s.rib.View()
		c.ctx.Response.Header.Set(headerVersion, v.Version())
		pg = page{}
		buf = append(append(append(c.buf[:0], `{"`...), k.name...), `":[`...)
		lim := slice{octets: pagePiece, prefixes: math.MaxInt, spill: pg.add}
		var err error
		// This ends when a row follows the full page, when nothing does, or when the
		// look at what follows has taken too long.
		buf, err = from.next(v, buf, lim)
		v.Close()
		if err == nil {
			break
		}
		if try == 2 {
			return overload("the view of this page was ended twice: too many are open, try again")
		}
		*l = start
		back()
	}
	if err := c.filter.outErr(); err != nil {
		return overload(err.Error())
	}
	buf = l.tail(buf, &pg, from)
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
func (l *listing) tail(buf []byte, pg *page, from rowSource) []byte {
	if n := len(buf); n > 0 {
		if buf[n-1] == ',' {
			buf = buf[:n-1]
		}
	} else {
		pg.trim()
	}
	buf = append(buf, `],"next":`...)
	if l.done {
		return append(buf, "null}\n"...)
	}
	buf = appendString(buf, from.cursor(l.mark))
	return append(buf, '}', '\n')
}
