package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"time"

	"ribd/engine/metrics"
)

const (
	maxItem = 256      // octets of a line or item that are worth an answer
	batchIn = 16 << 10 // of a body, read at a time
)

// items takes a body apart into addresses, as it comes: lines, or the strings of
// a JSON array. It holds one part of the body and whatever an item left over.
type items struct {
	src  io.Reader
	buf  []byte // of buf[r:w], not yet taken
	r, w int
	eof  bool
	json bool

	state   jsonState
	skip    bool // the rest of a line that was too long
	scratch []byte
}

type jsonState uint8

const (
	beforeArray jsonState = iota
	beforeFirst           // after [
	beforeItem            // after a comma
	afterItem
	afterArray
)

// step is what next found.
type step uint8

const (
	stepItem  step = iota // an item
	stepWrong             // an item that is no string or line worth looking at
	stepMore              // nothing whole: fill
	stepEnd
	stepBroken // the rest can't be understood
)

// fill reads on. It blocks until the client sends something.
func (t *items) fill() error {
	if t.r > 0 {
		t.w = copy(t.buf, t.buf[t.r:t.w])
		t.r = 0
	}
	if t.w == len(t.buf) {
		return errors.New("an item is over 16 KiB long")
	}
	n, err := t.src.Read(t.buf[t.w:])
	t.w += n
	if err == io.EOF {
		t.eof = true
		return nil
	}
	return err
}

// next takes one item. The item, or the reason, is good until the next call.
func (t *items) next() (item []byte, wrong string, s step) {
	if t.json {
		return t.nextJSON()
	}
	return t.nextLine()
}

func (t *items) nextLine() ([]byte, string, step) {
	for {
		rest := t.buf[t.r:t.w]
		i := bytes.IndexByte(rest, '\n')
		if i < 0 {
			switch {
			case t.eof && (len(rest) == 0 || t.skip):
				return nil, "", stepEnd
			case t.eof:
				i = len(rest)
			case t.skip:
				t.r = t.w
				return nil, "", stepMore
			case len(rest) <= maxItem:
				return nil, "", stepMore
			default:
				t.r, t.skip = t.w, true
				return rest[:maxItem], "is over 256 octets long", stepWrong
			}
		}
		t.r = min(t.r+i+1, t.w)
		if t.skip {
			t.skip = false
			continue
		}
		line := bytes.TrimSpace(rest[:i])
		if len(line) > maxItem {
			return line[:maxItem], "is over 256 octets long", stepWrong
		}
		return line, "", stepItem
	}
}

func (t *items) nextJSON() ([]byte, string, step) {
	for {
		for t.r < t.w && (t.buf[t.r] == ' ' || t.buf[t.r] == '\t' || t.buf[t.r] == '\n' || t.buf[t.r] == '\r') {
			t.r++
		}
		if t.r == t.w {
			switch {
			case !t.eof:
				return nil, "", stepMore
			case t.state == afterArray:
				return nil, "", stepEnd
			case t.state == beforeArray:
				return nil, "the body is empty: a JSON list of strings is wanted", stepBroken
			}
			return nil, "the list does not end", stepBroken
		}
		c := t.buf[t.r]
		switch t.state {
		case beforeArray:
			if c != '[' {
				return nil, `the body is no JSON list of strings, such as ["192.0.2.1","2001:db8::1"]`, stepBroken
			}
			t.state = beforeFirst
			t.r++
		case afterArray:
			return nil, "something follows the list", stepBroken
		case afterItem:
			switch c {
			case ',':
				t.state = beforeItem
			case ']':
				t.state = afterArray
			default:
				return nil, "a comma or ] is missing after an item", stepBroken
			}
			t.r++
		default:
			if c == ']' && t.state == beforeFirst {
				t.state = afterArray
				t.r++
				continue
			}
			return t.value(c)
		}
	}
}

// value takes one value of the list.
func (t *items) value(c byte) ([]byte, string, step) {
	rest := t.buf[t.r:t.w]
	if c == '"' {
		n, escaped, ok := stringEnd(rest)
		if n == 0 {
			if ok && !t.eof {
				return nil, "", stepMore
			}
			if ok {
				return nil, "a string does not end", stepBroken
			}
			return nil, "a string has a control character", stepBroken
		}
		t.r += n
		t.state = afterItem
		s := rest[1 : n-1]
		if escaped {
			var u string
			if json.Unmarshal(rest[:n], &u) != nil {
				return nil, "a string has a broken escape", stepBroken
			}
			t.scratch = append(t.scratch[:0], u...)
			s = t.scratch
		}
		if len(s) > maxItem {
			return s[:maxItem], "is over 256 octets long", stepWrong
		}
		return s, "", stepItem
	}
	n := 0
	for n < len(rest) && bytes.IndexByte([]byte(" \t\r\n,]"), rest[n]) < 0 {
		n++
	}
	if n == len(rest) && !t.eof && n <= maxItem {
		return nil, "", stepMore
	}
	if v := rest[:n]; n == 0 || n > maxItem || c == '{' || c == '[' || !json.Valid(v) {
		return nil, "the list has something that is no string", stepBroken
	}
	t.r += n
	t.state = afterItem
	return rest[:n], "is no string: addresses are written in quotes", stepWrong
}

// stringEnd finds the end of a JSON string that begins b. n is 0 where it is not
// there yet (ok), or cannot be (not ok).
func stringEnd(b []byte) (n int, escaped, ok bool) {
	for i := 1; i < len(b); i++ {
		switch c := b[i]; {
		case c == '"':
			return i + 1, escaped, true
		case c == '\\':
			escaped = true
			i++
		case c < 0x20:
			return 0, false, false
		}
	}
	return 0, false, true
}

// lookupText is POST lookup with lines or a JSON list: each is answered by one
// line, in order. What was sent so far is answered before more is waited for.
func (c *call) lookupText(l *lookups, asJSON bool) *problem {
	if cap(c.in) < batchIn {
		c.in = make([]byte, batchIn)
	}
	t := &items{src: c.source(), buf: c.in[:batchIn], json: asJSON}
	// The first item is looked for here, so that a body that is no list is a 400.
	item, wrong, s := t.next()
	for s == stepMore {
		if err := t.fill(); err != nil {
			return fail(400, "body", "%v", err)
		}
		item, wrong, s = t.next()
	}
	if s == stepBroken {
		return bad("body", "%s", wrong)
	}
	look := *l
	n := c.s.metrics.Lookups[l.kind(metrics.Batch)]
	c.streamBody(typeNDJSON, "", func(out *sink) error {
		buf := c.buf[:0]
		defer func() { c.buf = buf }()
		flush := func() error {
			err := out.write(buf)
			buf = buf[:0]
			return err
		}
		for {
			switch s {
			case stepItem:
				buf = append(look.append(buf, item), '\n')
				n.Inc()
			case stepWrong:
				buf = append(buf, `{"query":`...)
				buf = appendString(buf, item)
				buf = append(buf, `,"error":`...)
				buf = append(appendString(buf, wrong), '}', '\n')
			case stepMore:
				if err := flush(); err != nil {
					return err
				}
				if err := t.fill(); err != nil {
					return cutOff(out, &buf, err.Error())
				}
				look.r.now = uint32(time.Now().Unix())
			case stepEnd:
				return flush()
			case stepBroken:
				return cutOff(out, &buf, wrong)
			}
			if len(buf) >= writePart/2 {
				if err := flush(); err != nil {
					return err
				}
			}
			item, wrong, s = t.next()
		}
	})
	return nil
}

// cutOff ends a stream of lines that broke midway: the last line says why, and
// the error makes fasthttp close the connection.
func cutOff(out *sink, buf *[]byte, why string) error {
	*buf = append(*buf, `{"error":`...)
	*buf = append(appendString(*buf, why), '}', '\n')
	_ = out.write(*buf) // the client may be gone
	return errors.New(why)
}
