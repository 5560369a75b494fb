package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/valyala/fasthttp"

	"ribd/engine/origin"
)

// announceKind is what POST paths, DELETE paths and POST flowspec differ in.
type announceKind struct {
	takes    inputSet
	withdraw bool // the keys are read and withdrawn
	// prepare makes the reader one of rules; nil: of paths.
	prepare func(*pathReader)
	// answer appends the answer to what was announced, an object.
	answer func(c *call, dst []byte, in *pathInput, res *origin.Result, peers []PeerAnswer) []byte
	// shown waits until lists have what was changed; nil: they have it at once.
	shown func(*call)
}

var (
	announcePaths = announceKind{takes: takesAnnounce, answer: (*call).pathAnswer}
	withdrawPaths = announceKind{takes: takesAnnounce, withdraw: true}
)

const (
	// maxList bounds the body of a list, which is read whole; NDJSON has no bound.
	maxList = 8 << 20
	// tellTime is how long an answer waits for the peers that keep up.
	tellTime = 10 * time.Second
)

func (c *call) pathAnnounce() *problem { return c.announce(&announcePaths) }
func (c *call) pathWithdraw() *problem { return c.announce(&withdrawPaths) }

// announce carries out a request whose body is one object, a list of them, all
// or nothing, or lines, each for itself.
func (c *call) announce(k *announceKind) *problem {
	if c.s.opts.Origin == nil {
		return later("", "announcing")
	}
	switch t := c.mediaType(); t {
	case "application/json":
	case typeNDJSON, "application/ndjson", "application/jsonl":
		return c.announceLines(k)
	default:
		if t == "" {
			t = "none"
		}
		return fail(fasthttp.StatusUnsupportedMediaType, fasthttp.HeaderContentType,
			"%s: application/json (an object or a list of them) or application/x-ndjson (an object a line) is wanted", shown(t))
	}
	if _, p := c.accept(typeJSON); p != nil {
		return p
	}
	body, p := c.wholeBody(maxList)
	if p != nil {
		return p
	}
	return c.once(body, func(pg *page) *problem { return c.announceBody(k, body, pg) })
}

// wholeBody reads a body of up to most octets.
func (c *call) wholeBody(most int) ([]byte, *problem) {
	if p := c.identity(); p != nil {
		return nil, p
	}
	large := func() *problem {
		return fail(fasthttp.StatusRequestEntityTooLarge, "body", "is over %d octets: a list this long is sent as application/x-ndjson, an object a line", most)
	}
	if c.ctx.Request.Header.ContentLength() > most {
		return nil, large()
	}
	b, err := io.ReadAll(io.LimitReader(c.source(), int64(most)+1))
	if err != nil {
		return nil, bad("body", "broke off: %v", err)
	}
	if len(b) > most {
		return nil, large()
	}
	return b, nil
}

// announceBody carries out an object or a list, and puts the answer together.
func (c *call) announceBody(k *announceKind, body []byte, pg *page) *problem {
	var r pathReader
	r.begin(c, k.takes, k.withdraw)
	if k.prepare != nil {
		k.prepare(&r)
	}
	list, isList, p := r.readAll(body)
	if p != nil {
		return p
	}
	dst := c.buf[:0]
	if isList {
		dst = append(dst, '[')
	}
	item := func(i int) {
		if i > 0 {
			dst = append(dst, ',', '\n')
		}
		if len(dst) >= pagePiece {
			dst = pg.add(dst)
		}
	}
	if k.withdraw {
		if p := c.withdrawAll(list, isList); p != nil {
			return p
		}
		for i := range list {
			item(i)
			dst = appendWithdrawn(dst, &list[i])
		}
	} else {
		routes := make([]origin.Route, len(list))
		for i := range list {
			routes[i] = list[i].route()
		}
		results, err := c.s.opts.Origin.Announce(routes, origin.AllOrNothing)
		if err != nil {
			return refusedRoute(err, isList)
		}
		c.s.metrics.Announced[0].Add(len(routes))
		next := 0
		c.told(routes, results, func(i int, peers []PeerAnswer) {
			item(next)
			next = i + 1
			dst = k.answer(c, dst, &list[i], &results[i], peers)
		})
		if k.shown != nil {
			k.shown(c)
		}
	}
	if isList {
		dst = append(dst, ']')
	}
	c.buf = pg.add(append(dst, '\n'))
	return nil
}

// readAll reads an object, or a list of them.
func (r *pathReader) readAll(body []byte) (list []pathInput, isList bool, p *problem) {
	js := &r.js
	js.reset(body)
	if js.peek() != '[' {
		in, p := r.object()
		if p == nil && !js.end() {
			p = js.problem()
		}
		return []pathInput{in}, false, p
	}
	js.open('[', "")
	for first := true; js.more(']', &first); {
		in, p := r.object()
		if p != nil {
			return nil, true, inList(p, len(list))
		}
		list = append(list, in)
	}
	if js.wrong != "" || !js.end() {
		return nil, true, js.problem()
	}
	if len(list) == 0 {
		return nil, true, bad("body", "is an empty list")
	}
	return list, true, nil
}

// inList says of which item of a list a problem is.
func inList(p *problem, i int) *problem {
	q := *p
	q.index = &i
	q.param = fmt.Sprintf("[%d]", i)
	if p.param != "" && p.param != "body" {
		q.param += "." + p.param
	}
	return &q
}

// route is the input as origin takes it. It borrows.
func (in *pathInput) route() origin.Route {
	return origin.Route{Key: in.originKey(), Labels: in.labels, Attrs: in.attrs, Peers: in.peers, TTL: in.ttl, From: in.from}
}

func (in *pathInput) originKey() origin.Key {
	k := origin.Key{Family: in.family, RD: in.rd, Prefix: in.prefix, PathID: in.pathID, HasPathID: in.hasPathID}
	if in.nlri != nil {
		k.NLRI = string(in.nlri)
	}
	return k
}

// withdrawAll withdraws all of a list, or none where one is not there.
func (c *call) withdrawAll(list []pathInput, isList bool) *problem {
	keys := make([]origin.Key, len(list))
	for i := range list {
		keys[i] = list[i].originKey()
		if _, ok := c.s.opts.Origin.Get(keys[i]); !ok {
			if p := notOriginated(&list[i]); isList {
				return inList(p, i)
			} else {
				return p
			}
		}
	}
	found, err := c.s.opts.Origin.Withdraw(keys)
	if err != nil {
		return refusedRoute(err, isList)
	}
	for i := range found {
		if !found[i] && !isList { // it ended meanwhile
			return notOriginated(&list[i])
		}
	}
	c.s.metrics.Announced[1].Add(len(keys))
	c.told(nil, nil, nil)
	return nil
}

// notOriginated is the answer to a withdrawal of what is not there.
func notOriginated(in *pathInput) *problem {
	what := "path id null"
	if in.hasPathID {
		what = fmt.Sprintf("path id %d", in.pathID)
	}
	route := in.prefix.String()
	if in.nlri != nil {
		route = fmt.Sprintf("NLRI %x", in.nlri)
	}
	return fail(fasthttp.StatusNotFound, "prefix", "%s of %s with %s is not originated here; GET /api/v1/paths lists what is", route, in.family, what)
}

// told waits until the peers that keep up have what was flushed.
func (c *call) told(routes []origin.Route, results []origin.Result, each func(int, []PeerAnswer)) {
	if c.s.opts.Told == nil {
		for i := range results {
			if results[i].Err == nil {
				each(i, nil)
			}
		}
		return
	}
	ctx, stop := context.WithTimeout(context.Background(), tellTime)
	defer stop()
	c.s.opts.Told(ctx, routes, results, each)
}

// refusedRoute is the answer to an error of origin.
func refusedRoute(err error, isList bool) *problem {
	var p *problem
	var guard *origin.GuardError
	switch {
	case errors.As(err, &guard):
		p = fail(fasthttp.StatusUnprocessableEntity, "", "%v", guard)
		p.guard = string(guard.Guard)
		if guard.Guard == origin.GuardTTL {
			p.param = "ttl"
		}
	case errors.Is(err, origin.ErrClosed), errors.Is(err, origin.ErrNotKept), errors.Is(err, origin.ErrFull):
		p = overload(err.Error())
	case errors.Is(err, origin.ErrUnfinished):
		p = fail(fasthttp.StatusInternalServerError, "", "%v", err)
	default:
		text := err
		var one *origin.RouteError
		if errors.As(err, &one) {
			text = one.Err
		}
		p = fail(fasthttp.StatusUnprocessableEntity, "", "%v", text)
	}
	var one *origin.RouteError
	if isList && errors.As(err, &one) {
		return inList(p, one.Index)
	}
	return p
}

// pathAnswer appends what became of a path.
func (c *call) pathAnswer(dst []byte, in *pathInput, res *origin.Result, peers []PeerAnswer) []byte {
	return appendOutcome(appendPathKey(append(dst, '{'), in), in, res, peers)
}

// appendOutcome ends an answer with what became of a path or rule.
func appendOutcome(dst []byte, in *pathInput, res *origin.Result, peers []PeerAnswer) []byte {
	dst = append(dst, `,"attrs_id":`...)
	dst = appendUint(dst, uint32(res.AttrsID))
	dst = append(dst, `,"expires_at":`...)
	dst = appendTime(dst, res.Expires)
	dst = append(dst, `,"peers":`...)
	dst = appendPeerAnswers(dst, in.peers, peers)
	return append(dst, '}')
}

// appendPathKey appends the fields that name a path.
func appendPathKey(dst []byte, in *pathInput) []byte {
	dst = append(dst, `"prefix":`...)
	if in.nlri != nil {
		dst = append(dst, `null,"nlri":`...)
		dst = appendHex(dst, in.nlri)
	} else {
		dst = in.prefix.AppendTo(append(dst, '"'))
		dst = append(dst, '"')
	}
	dst = append(dst, ',')
	dst = appendFamily(dst, &tableRef{family: in.family, rd: in.rd, hasRD: takesRD(in.family)})
	dst = append(dst, `,"path_id":`...)
	return appendMaybe(dst, in.pathID, in.hasPathID)
}

// appendWithdrawn appends the answer to a withdrawal.
func appendWithdrawn(dst []byte, in *pathInput) []byte {
	dst = appendPathKey(append(dst, '{'), in)
	return append(dst, `,"withdrawn":true}`...)
}

// appendPeerAnswers appends the list of what became of a route at peers; where it
// is meant for some alone, of those, whether they have a session now or not.
func appendPeerAnswers(dst []byte, only []string, peers []PeerAnswer) []byte {
	dst = append(dst, '[')
	for i := range peers {
		if only == nil || slices.Contains(only, peers[i].PeerID) {
			dst = appendPeerAnswer(openItem(dst), &peers[i])
		}
	}
	for _, id := range only {
		if !slices.ContainsFunc(peers, func(a PeerAnswer) bool { return a.PeerID == id }) {
			dst = appendPeerAnswer(openItem(dst), &PeerAnswer{PeerID: id, State: PeerDown, Reason: "there is no such peer now"})
		}
	}
	return append(dst, ']')
}

func appendPeerAnswer(dst []byte, a *PeerAnswer) []byte {
	dst = append(dst, `{"peer":`...)
	dst = appendNullString(dst, a.Peer)
	dst = append(dst, `,"peer_id":"`...)
	dst = append(dst, a.PeerID...)
	dst = append(dst, `","state":"`...)
	dst = append(dst, a.State.String()...)
	dst = append(dst, `","reason":`...)
	dst = appendNullString(dst, a.Reason)
	dst = append(dst, `,"advertised_path_id":`...)
	return append(appendMaybe(dst, a.PathID, a.HasPathID), '}')
}

// appendTime appends a time to the millisecond, null for the zero time.
func appendTime(dst []byte, t time.Time) []byte {
	if t.IsZero() {
		return append(dst, "null"...)
	}
	dst = append(dst, '"')
	dst = t.UTC().AppendFormat(dst, "2006-01-02T15:04:05.000Z")
	return append(dst, '"')
}
