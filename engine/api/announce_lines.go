package api

import (
	"bytes"
	"io"
	"sync"
	"time"

	"github.com/valyala/fasthttp"

	"ribd/engine/origin"
)

const (
	lineIn     = 64 << 10  // of a body, read at a time
	maxLine    = 256 << 10 // octets of a line
	batchLines = 4096      // that are carried out together at most
	batchMem   = 4 << 20   // and what they take
)

// lineReader cuts a body into lines as it comes. It holds one part of the body
// and whatever a line left over.
type lineReader struct {
	src  io.Reader
	buf  []byte
	r, w int // buf[r:w] is not yet taken
	eof  bool
	skip bool // the rest of a line that was too long
	line int  // of the last one, from 1
}

// next answers a line that is whole; tooLong is one that no answer is worth
// holding. ok is false where fill has to be called, or at the end.
func (l *lineReader) next() (line []byte, tooLong, ok bool) {
	for {
		rest := l.buf[l.r:l.w]
		i := bytes.IndexByte(rest, '\n')
		switch {
		case i < 0 && l.eof && len(rest) > 0 && !l.skip:
			i = len(rest)
		case i < 0 && len(rest) >= maxLine && !l.skip:
			l.r, l.skip = l.w, true
			l.line++
			return nil, true, true
		case i < 0:
			if l.skip {
				l.r = l.w
			}
			return nil, false, false
		}
		l.r = min(l.r+i+1, l.w)
		if l.skip {
			l.skip = false
			continue
		}
		l.line++
		if line = bytes.TrimSpace(rest[:i]); len(line) > 0 {
			return line, false, true
		}
	}
}

// fill reads on. It blocks until the client sends something.
func (l *lineReader) fill() error {
	if l.r > 0 {
		l.w = copy(l.buf, l.buf[l.r:l.w])
		l.r = 0
	}
	if l.w == len(l.buf) {
		l.buf = append(l.buf, make([]byte, len(l.buf))...)
	}
	n, err := l.src.Read(l.buf[l.w:])
	l.w += n
	if err == io.EOF {
		l.eof = true
		return nil
	}
	return err
}

// lineBatch is lines that are carried out together: one group in the journal, one
// flush into the RIB.
type lineBatch struct {
	items  []lineItem
	in     []pathInput
	routes []origin.Route
	keys   []origin.Key
	mem    []byte // of in
}

// lineItem is a line: an index in lineBatch.in, or what is wrong with it.
type lineItem struct {
	line  int
	wrong *problem
}

func (b *lineBatch) reset() {
	clear(b.in) // so that names and lists of peers go
	clear(b.routes)
	clear(b.keys)
	b.items, b.in, b.routes, b.keys, b.mem = b.items[:0], b.in[:0], b.routes[:0], b.keys[:0], b.mem[:0]
}

func (b *lineBatch) full() bool { return len(b.items) >= batchLines || len(b.mem) >= batchMem }

// lineJob is the work on a body of lines. Two goroutines do it: one reads into
// the batch that is open, the other takes that batch when it has none, carries it
// out and answers. So a batch is what came while the last one was at work: one
// line where lines come slowly, thousands in a flood. A full one makes the reader
// wait, and with it the client.
type lineJob struct {
	c      *call
	k      *announceKind
	reader pathReader
	lines  lineReader

	mu    sync.Mutex
	cond  sync.Cond
	open  *lineBatch // being filled
	spare *lineBatch // nil: the other goroutine has it
	ended bool       // nothing more comes
	broke string     // why it ended before its end
	gone  bool       // nobody reads the answers
}

// takesLines begins a request whose body and answer are lines.
func (c *call) takesLines() *problem {
	if _, p := c.accept(typeNDJSON); p != nil {
		return p
	}
	if p := c.identity(); p != nil {
		return p
	}
	if c.ctx.Request.Header.Peek(headerKey) != nil {
		return bad(headerKey, "goes with one object or a list of them: a line that is sent again changes nothing anyway")
	}
	return c.stream()
}

// announceLines is a body of lines, each of which is answered in its place, one
// line for one, when it is durable.
func (c *call) announceLines(k *announceKind) *problem {
	if p := c.takesLines(); p != nil {
		return p
	}
	j := &lineJob{c: c, k: k, open: &lineBatch{}, spare: &lineBatch{}}
	j.cond.L = &j.mu
	j.lines = lineReader{src: c.lineSource(), buf: make([]byte, lineIn)}
	j.reader.begin(c, k.takes, k.withdraw)
	if k.prepare != nil {
		k.prepare(&j.reader)
	}
	c.streamBody(typeNDJSON, "", func(out *sink) error {
		done := make(chan struct{})
		go func() {
			defer close(done)
			j.read()
		}()
		whole := false
		defer func() {
			// It reads from this connection, which goes on to belong to others; where
			// the answer broke off, nobody wants what it waits for.
			for wait := time.Hour; ; {
				if !whole {
					_ = c.ctx.SetReadDeadline(time.Now())
					wait = 20 * time.Millisecond
				}
				select {
				case <-done:
					return
				case <-time.After(wait):
				}
			}
		}()
		err := j.answerAll(out)
		whole = err == nil
		return err
	})
	return nil
}

// read fills batches until the body ends.
func (j *lineJob) read() {
	broke := ""
	defer func() {
		if r := recover(); r != nil {
			j.c.logBug(r)
			broke = "this is a bug of ribd; its log tells more"
		}
		j.mu.Lock()
		j.ended, j.broke = true, broke
		j.mu.Unlock()
		j.cond.Broadcast()
	}()
	for {
		more, gone := j.take()
		if gone || !more && j.lines.eof {
			return
		}
		if more {
			continue
		}
		if err := j.lines.fill(); err != nil {
			broke = err.Error()
			return
		}
	}
}

// take reads the lines that are there into the open batch. more says that it is
// full and there are more.
func (j *lineJob) take() (more, gone bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for j.open.full() && !j.gone {
		j.cond.Wait()
	}
	if j.gone {
		return false, true
	}
	b := j.open
	j.reader.mem = b.mem
	for !b.full() {
		line, tooLong, ok := j.lines.next()
		if !ok {
			break
		}
		it := lineItem{line: j.lines.line}
		if tooLong {
			it.wrong = fail(fasthttp.StatusRequestEntityTooLarge, "body", "the line is over %d octets long", maxLine)
		} else if in, p := j.reader.read(line); p != nil {
			it.wrong = p
		} else {
			b.in = append(b.in, in)
		}
		b.items = append(b.items, it)
		b.mem = j.reader.mem
	}
	if len(b.items) > 0 {
		j.cond.Signal()
	}
	return b.full(), false
}

// answerAll carries out batch after batch.
func (j *lineJob) answerAll(out *sink) (err error) {
	defer func() {
		j.mu.Lock()
		j.gone = true
		j.mu.Unlock()
		j.cond.Broadcast()
	}()
	c := j.c
	for {
		j.mu.Lock()
		for len(j.open.items) == 0 && !j.ended {
			j.cond.Wait()
		}
		b := j.open
		if len(b.items) == 0 {
			broke := j.broke
			j.mu.Unlock()
			if broke != "" {
				buf := c.buf[:0]
				return cutOff(out, &buf, "the body broke off: "+broke)
			}
			return nil
		}
		j.open, j.spare = j.spare, nil
		j.mu.Unlock()
		j.cond.Broadcast()

		c.buf = j.carryOut(b, c.buf[:0])
		b.reset()
		j.mu.Lock()
		j.spare = b
		j.mu.Unlock()
		if err := out.write(c.buf); err != nil {
			return err
		}
		if c.s.stopping.Load() {
			buf := c.buf[:0]
			return cutOff(out, &buf, "the server is shutting down")
		}
	}
}

// carryOut carries out a batch and appends the answers, a line for each.
func (j *lineJob) carryOut(b *lineBatch, dst []byte) []byte {
	if j.k.withdraw {
		return j.withdraw(b, dst)
	}
	c := j.c
	for i := range b.in {
		b.routes = append(b.routes, b.in[i].route())
	}
	var results []origin.Result
	if len(b.routes) > 0 {
		var err error
		if results, err = c.s.opts.Origin.Announce(b.routes, origin.EachAlone); err != nil {
			results = make([]origin.Result, len(b.routes))
			for i := range results {
				results[i].Err = err
			}
		}
	}
	// Lines and results go side by side: those that are wrong have no result.
	at, done := 0, 0 // in items, in results
	errorsTo := func(i int) {
		for ; at < len(b.items); at++ {
			it := &b.items[at]
			switch {
			case it.wrong != nil:
				dst = appendLineError(dst, it.line, it.wrong)
			case done == i:
				return
			case results[done].Err == nil: // nobody was asked about it
				dst = append(j.k.answer(c, dst, &b.in[done], &results[done], nil), '\n')
				done++
			default:
				dst = appendLineError(dst, it.line, refusedRoute(results[done].Err, false))
				done++
			}
		}
	}
	good := 0
	each := func(i int, peers []PeerAnswer) {
		errorsTo(i)
		dst = j.k.answer(c, dst, &b.in[i], &results[i], peers)
		dst = append(dst, '\n')
		at++
		done++
		good++
	}
	if len(results) > 0 {
		c.told(b.routes, results, each)
		if j.k.shown != nil && !j.more() {
			j.k.shown(c)
		}
	}
	errorsTo(-1)
	c.s.metrics.Announced[0].Add(good)
	return dst
}

// more says that lines wait already: who sends in a flood does not look at lists
// between two of them, and the last of them waits for all.
func (j *lineJob) more() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return len(j.open.items) > 0
}

// withdraw is carryOut for withdrawals.
func (j *lineJob) withdraw(b *lineBatch, dst []byte) []byte {
	c := j.c
	for i := range b.in {
		b.keys = append(b.keys, b.in[i].originKey())
	}
	found, err := c.s.opts.Origin.Withdraw(b.keys)
	if err == nil {
		c.told(nil, nil, nil)
	}
	n, good := 0, 0
	for i := range b.items {
		it := &b.items[i]
		if it.wrong != nil {
			dst = appendLineError(dst, it.line, it.wrong)
			continue
		}
		switch in := &b.in[n]; {
		case err != nil:
			dst = appendLineError(dst, it.line, refusedRoute(err, false))
		case !found[n]:
			dst = appendLineError(dst, it.line, notOriginated(in))
		default:
			dst = append(appendWithdrawn(dst, in), '\n')
			good++
		}
		n++
	}
	c.s.metrics.Announced[1].Add(good)
	return dst
}

// appendLineError answers a line that could not be carried out.
func appendLineError(dst []byte, line int, p *problem) []byte {
	dst = append(dst, `{"line":`...)
	dst = appendUint(dst, line)
	dst = append(dst, `,"status":`...)
	dst = appendUint(dst, p.status)
	dst = append(dst, `,"error":`...)
	dst = appendString(dst, p.detail)
	return append(p.appendPlace(dst), '}', '\n')
}
