package api

import (
	"github.com/cespare/xxhash/v2"
	"github.com/valyala/fasthttp"
)

// headerKey names a request, so that sending it twice is doing it once.
const (
	headerKey      = "Idempotency-Key"
	headerReplayed = "Idempotent-Replayed"
	maxOnceKey     = 255
)

// once answers a request. With an Idempotency-Key, one that was carried out
// within the last day gets the answer that it got then. What was refused changed
// nothing, and is tried again.
func (c *call) once(body []byte, run func() ([]byte, *problem)) *problem {
	h := c.ctx.Request.Header.Peek(headerKey)
	if len(h) == 0 {
		b, p := run()
		if p == nil {
			c.answer(typeJSON, b)
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
	b, p := run()
	if p != nil {
		return p
	}
	if err := o.Remember(key, d.Sum64(), b); err != nil {
		// What was asked for is done: to say otherwise would be wrong.
		c.s.log.Warn("an answer can't be remembered for its Idempotency-Key", "key", key, "err", err)
	}
	c.answer(typeJSON, b)
	return nil
}
