package api

import (
	"encoding/binary"
	"errors"
	"slices"

	"ribd/engine/api/apiv1"
	"ribd/engine/origin"
	"ribd/wire"
)

// Bounds of lists that are shown as messages, which is for everybody: an answer is
// ten times as long, and takes forty times as much memory.
const (
	maxPreview   = 1 << 20  // octets of a body
	smallPreview = 64 << 10 // above it, it is one of
	maxPreviews  = 4        // at a time
)

// previewTarget is for whom POST updates makes messages.
type previewTarget struct {
	id   string // "": a plain external peer
	peer *string
	// session is how the messages read.
	session wire.Session
}

// updates is POST updates: the exact UPDATE messages that announce, or withdraw,
// what is given.
func (c *call) updates() *problem {
	if c.s.opts.Preview == nil || c.s.opts.Origin == nil {
		return later("", "announcing")
	}
	t, p := c.previewTarget()
	if p != nil {
		return p
	}
	switch c.mediaType() {
	case typeNDJSON, "application/ndjson", "application/jsonl":
		return c.updateLines(t)
	}
	if _, p := c.accept(typeJSON); p != nil {
		return p
	}
	if c.mediaType() != "application/json" {
		_, p := c.jsonBody() // says what is wanted
		return p
	}
	body, p := c.wholeBody(maxPreview)
	if p != nil {
		return p
	}
	if len(body) > smallPreview {
		defer c.s.previews.Add(-1)
		if c.s.previews.Add(1) > maxPreviews {
			c.s.metrics.Overload.Inc()
			return overload("too many long lists are being shown as messages: try again")
		}
	}
	var r pathReader
	r.begin(c, takesPreview, false)
	list, isList, p := r.readAll(body)
	if p != nil {
		return p
	}
	show := func(pg *page) *problem {
		b, p := c.preview(t, list, isList, c.buf[:0])
		c.buf = pg.add(b)
		return p
	}
	// A dry run is for everybody, and changes nothing: it neither reads what is
	// remembered for an Idempotency-Key nor is remembered.
	if !slices.ContainsFunc(list, func(in pathInput) bool { return in.send }) {
		var pg page
		if p := show(&pg); p != nil {
			return p
		}
		c.answerPage(&pg)
		return nil
	}
	if p := c.s.authorize(c.ctx, RoleAnnounce); p != nil {
		return p
	}
	return c.once(body, show)
}

// previewTarget reads peer=.
func (c *call) previewTarget() (t previewTarget, p *problem) {
	t.session = wire.Session{AS4: true, Extended: true}
	v := c.q.get(pPeer)
	if v == nil {
		return t, nil
	}
	e, p := c.findPeer(v)
	switch {
	case p != nil:
		return t, p
	case !e.session:
		return t, fail(422, "peer", "%s is of source %s: nothing is sent to it", shown(v), e.shape.Source)
	}
	t.id, t.peer = e.shape.ID, e.shape.Address
	for i := range e.shape.Families {
		f := &e.shape.Families[i]
		if fam, err := wire.ParseFamily(f.Family); err == nil && f.AddPath != nil && f.AddPath.Send {
			t.session.AddPath = t.session.AddPath.With(fam)
		}
	}
	if e.shape.State == "established" {
		t.session.AS4 = slices.ContainsFunc(e.shape.Capabilities, func(k apiv1.Capability) bool {
			return k.Code == uint8(wire.CapAS4) && k.Negotiated != nil && k.Negotiated != false
		})
	}
	return t, nil
}

// preview appends the answer for one object or a list: the messages, what they
// say, what would not be sent and, where it was asked for, what became of the
// paths that were sent.
func (c *call) preview(t previewTarget, list []pathInput, isList bool, dst []byte) ([]byte, *problem) {
	routes := make([]PreviewRoute, len(list))
	var send []int
	for i := range list {
		routes[i] = PreviewRoute{list[i].route(), list[i].withdraw}
		if list[i].send {
			send = append(send, i)
		}
	}
	if send != nil { // the rest is a dry run
		if p := c.s.authorize(c.ctx, RoleAnnounce); p != nil {
			return dst, p
		}
	}
	messages, refused, err := c.s.opts.Preview(t.id, routes)
	if err != nil {
		return dst, refusal(err)
	}
	dst = append(dst, `{"peer":`...)
	if t.peer == nil {
		dst = append(dst, "null"...)
	} else {
		dst = appendString(dst, *t.peer)
	}
	dst = append(dst, `,"messages":[`...)
	eachMessage(messages, func(m []byte) { dst = appendHex(openItem(dst), m) })
	dst = append(dst, `],"decoded":[`...)
	eachMessage(messages, func(m []byte) {
		dst = append(openItem(dst), '[')
		for _, line := range describeSent(m, &t.session) {
			dst = appendString(openItem(dst), line)
		}
		dst = append(dst, ']')
	})
	dst = append(dst, `],"refused":[`...)
	for i := range refused {
		dst = append(openItem(dst), `{"index":`...)
		dst = appendUint(dst, refused[i].Index)
		dst = append(dst, ',')
		dst = appendPathKey(dst, &list[refused[i].Index])
		dst = append(dst, `,"reason":`...)
		dst = append(appendString(dst, refused[i].Reason), '}')
	}
	dst = append(dst, `],"sent":`...)
	if send == nil {
		return append(dst, "null}\n"...), nil
	}
	dst, p := c.sendPreviewed(list, send, isList, dst)
	return append(dst, '}', '\n'), p
}

// sendPreviewed originates those of a list that are to be sent, all or none.
func (c *call) sendPreviewed(list []pathInput, send []int, isList bool, dst []byte) ([]byte, *problem) {
	routes := make([]origin.Route, len(send))
	for i, at := range send {
		routes[i] = list[at].route()
	}
	results, err := c.s.opts.Origin.Announce(routes, origin.AllOrNothing)
	if err != nil {
		var one *origin.RouteError
		if errors.As(err, &one) {
			err = &origin.RouteError{Index: send[one.Index], Err: one.Err}
		}
		return dst, refusedRoute(err, isList)
	}
	c.s.metrics.Announced[0].Add(len(routes))
	dst = append(dst, '[')
	c.told(routes, results, func(i int, peers []PeerAnswer) {
		dst = c.pathAnswer(openItem(dst), &list[send[i]], &results[i], peers)
	})
	return append(dst, ']'), nil
}

// updateLines answers each line with the messages of that one path.
func (c *call) updateLines(t previewTarget) *problem {
	if p := c.takesLines(); p != nil {
		return p
	}
	l := &lineReader{src: c.lineSource(), buf: make([]byte, lineIn)}
	var r pathReader
	r.begin(c, takesPreview, false)
	c.streamBody(typeNDJSON, "", func(out *sink) error {
		for {
			line, tooLong, ok := l.next()
			switch {
			case !ok && l.eof:
				return nil
			case !ok:
				if err := l.fill(); err != nil {
					buf := c.buf[:0]
					return cutOff(out, &buf, "the body broke off: "+err.Error())
				}
				continue
			}
			b, p := c.buf[:0], (*problem)(nil)
			if tooLong {
				p = fail(413, "body", "the line is over %d octets long", maxLine)
			} else {
				var in pathInput
				r.mem = r.mem[:0]
				if in, p = r.read(line); p == nil {
					b, p = c.preview(t, []pathInput{in}, false, b)
				}
			}
			if p != nil {
				b = appendLineError(b[:0], l.line, p)
			}
			c.buf = b
			if err := out.write(b); err != nil {
				return err
			}
			if c.s.stopping.Load() {
				return cutOff(out, &c.buf, "the server is shutting down")
			}
		}
	})
	return nil
}

// eachMessage calls f for each of messages that stand one after the other.
func eachMessage(b []byte, f func([]byte)) {
	for len(b) >= wire.HeaderLen {
		n := int(binary.BigEndian.Uint16(b[16:]))
		if n < wire.HeaderLen || n > len(b) {
			return
		}
		f(b[:n])
		b = b[n:]
	}
}
