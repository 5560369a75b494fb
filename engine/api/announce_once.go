package api

import (
	"github.com/cespare/xxhash/v2"
	"github.com/klauspost/compress/s2"
	"github.com/valyala/fasthttp"

	"ribd/engine/origin"
)

// headerKey names a request, so that sending it twice is doing it once.
const (
	headerKey      = "Idempotency-Key"
	headerReplayed = "Idempotent-Replayed"
	maxOnceKey     = 255
	maxOnceAnswer  = 4 << 20
)

// once answers a request with what run puts into a page. With an Idempotency-Key, one that was carried out
// within the last day gets the answer that it got then. What was refused changed
// nothing, and is tried again.
func (c *call) once(body []byte, run func(*page) *problem) *problem {
	h := c.ctx.Request.Header.Peek(headerKey)
	if len(h) == 0 {
		var pg page
		p := run(&pg)
		if p == nil {
			c.answerPage(&pg)
		}
		return p
	}
	if len(h) > maxOnceKey {
		return bad(headerKey, "is %d octets long: %d at most", len(h), maxOnceKey)
	}
	key := string(h)
	if _, running := c.s.onces.LoadOrStore(key, struct{}{}); running {
		p := fail(fasthttp.StatusConflict, headerKey, "a request with this key is being carried out: try again")
		p.retry = 1
		return p
	}
	defer c.s.onces.Delete(key)
	var d xxhash.Digest
	d.Reset()
	for _, part := range [][]byte{c.ctx.Method(), c.ctx.URI().PathOriginal(), c.ctx.URI().QueryString(), body} {
		_, _ = d.Write(part)
		_, _ = d.Write([]byte{0})
	}
	o := c.s.opts.Origin
	if hash, was, ok := o.Recall(key); ok {
		if hash != d.Sum64() {
			return fail(fasthttp.StatusUnprocessableEntity, headerKey, "was used for another request within the last day: a new request needs a new key")
		}
		c.ctx.Response.Header.Set(headerReplayed, "true")
		c.answer(typeJSON, was)
		return nil
	}
	var pg page
	if p := run(&pg); p != nil {
		return p
	}
	err := origin.ErrAnswer
	if pg.size <= maxOnceAnswer {
		err = o.Remember(key, d.Sum64(), pg.whole())
	}
	if err != nil {
		// What was asked for is done: to say otherwise would be wrong.
		c.s.log.Warn("an answer can't be remembered for its Idempotency-Key", "key", key, "err", err)
	}
	c.answerPage(&pg)
	return nil
}

// answerPage makes a page the answer: at once where it is short, so that its
// length is told, else piece by piece.
func (c *call) answerPage(pg *page) {
	if pg.size <= writePart {
		c.answer(typeJSON, pg.whole())
		return
	}
	c.streamBody(typeJSON, c.encoding(), pg.write)
}

// whole puts the pieces of a page together.
func (p *page) whole() (b []byte) {
	for i, piece := range p.pieces {
		if i >= p.packed {
			piece, _ = s2.Decode(nil, piece)
		}
		b = append(b, piece...)
	}
	return b
}
