package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/netip"
	"unicode/utf8"

	"github.com/valyala/fasthttp"

	"ribd/engine/api/apiv1"
	"ribd/wire"
)

// Peers is who runs the sessions. All methods are for any goroutine. An error
// that is a *Refused is the request's and says how it is answered; any other is
// answered 422 with its text.
type Peers interface {
	// List tells of the peers that are configured, by the file or by Add, and of
	// the dynamic ones, those that ended within the last hour too. A match that is
	// not nil chooses; it is asked before what is costly is put together. The id is
	// that of the peer's routes (rib.PeerInfo.ID). The counts of families that come
	// out of the RIB (Prefixes, Received, Accepted, Filtered, Best, Stale) may be
	// left 0.
	List(match func(id string, addr netip.Addr) bool) []apiv1.Peer
	// Add configures a peer: one JSON object with the keys of a peer in the
	// configuration file.
	Add(config []byte) (apiv1.Peer, error)
	// Delete ends the session of a peer and forgets the peer.
	Delete(id, message string) error
	// Enable lets a session start, Disable ends it and keeps it down, Reset ends it
	// and lets it start again. message, "" for none, is for the peer (RFC 9003).
	Enable(id string) error
	Disable(id, message string) error
	Reset(id, message string) error
	// Refresh asks the peer for its routes of a family again, of all where f is 0.
	Refresh(id string, f wire.Family) error
}

// Refused is an error of a request: bad, or well-formed and refused. Detail is
// for people and says what would be right.
type Refused struct {
	Status        int // 0: 422
	Param, Detail string
	Problems      []apiv1.ConfigProblem // of a configuration
}

// Error is the detail.
func (r *Refused) Error() string {
	if r.Param != "" {
		return r.Param + ": " + r.Detail
	}
	return r.Detail
}

// refusal is the answer to an error of what Options plugs in.
func refusal(err error) *problem {
	var r *Refused
	if !errors.As(err, &r) {
		return fail(fasthttp.StatusUnprocessableEntity, "", "%v", err)
	}
	p := &problem{status: r.Status, param: r.Param, detail: r.Detail, problems: r.Problems}
	if p.status == 0 {
		p.status = fasthttp.StatusUnprocessableEntity
	}
	return p
}

// maxMessage bounds a shutdown communication (RFC 9003 section 2).
const maxMessage = 255

// message reads message=.
func (c *call) message() (string, *problem) {
	v := c.q.get(pMessage)
	switch {
	case len(v) > maxMessage:
		return "", bad("message", "is %d octets long: a shutdown communication has %d at most (RFC 9003)", len(v), maxMessage)
	case !utf8.Valid(v):
		return "", bad("message", "is not UTF-8 (RFC 9003)")
	}
	return string(v), nil
}

// jsonBody reads a whole body of at most maxJSON octets.
func (c *call) jsonBody() ([]byte, *problem) {
	if t := c.mediaType(); t != "application/json" {
		if t == "" {
			t = "none"
		}
		return nil, fail(fasthttp.StatusUnsupportedMediaType, fasthttp.HeaderContentType, "%s: application/json is wanted", shown(t))
	}
	if p := c.identity(); p != nil {
		return nil, p
	}
	if c.ctx.Request.Header.ContentLength() > maxJSON {
		return nil, fail(fasthttp.StatusRequestEntityTooLarge, "body", "is over %d octets", maxJSON)
	}
	b, err := io.ReadAll(io.LimitReader(c.source(), maxJSON+1))
	if err != nil {
		return nil, bad("body", "broke off: %v", err)
	}
	if len(b) > maxJSON {
		return nil, fail(fasthttp.StatusRequestEntityTooLarge, "body", "is over %d octets", maxJSON)
	}
	return b, nil
}

// peerAdd is POST peers.
func (c *call) peerAdd() *problem {
	if c.s.opts.Peers == nil {
		return later("", "configuring peers by the API")
	}
	if _, p := c.accept(typeJSON); p != nil {
		return p
	}
	b, p := c.jsonBody()
	if p != nil {
		return p
	}
	const want = `{"address":"192.0.2.1","as":65001,…}, the keys of a peer in the configuration file, is wanted`
	d := json.NewDecoder(bytes.NewReader(b))
	var keys map[string]json.RawMessage
	if err := d.Decode(&keys); err != nil {
		return bad("body", "%v: %s", err, want)
	}
	if len(keys) == 0 {
		return bad("body", "is empty: %s", want)
	}
	if _, err := d.Token(); err != io.EOF {
		return bad("body", "something follows the JSON object")
	}
	peer, err := c.s.opts.Peers.Add(b)
	if err != nil {
		return refusal(err)
	}
	whole(&peer)
	c.ctx.Response.Header.Set(fasthttp.HeaderLocation, "/api/v1/peers/"+peer.ID)
	return c.marshal(fasthttp.StatusCreated, &peer)
}

// peerDrop is DELETE peers/{id}: of a peer of a dump and its routes, or of a
// session.
func (c *call) peerDrop() *problem {
	message, p := c.message()
	if p != nil {
		return p
	}
	e, p := c.onePeer()
	if p != nil {
		return p
	}
	switch {
	case e.session && c.s.opts.Peers != nil:
		if err := c.s.opts.Peers.Delete(e.shape.ID, message); err != nil {
			return refusal(err)
		}
	case e.shape.Source == "mrt":
		if message != "" {
			return bad("message", "%s came with a dump: there is nobody to tell", e.shape.ID)
		}
		c.s.opts.Drop(e.num)
	default:
		return fail(fasthttp.StatusConflict, "peer", "the peer %s is of source %s: only sessions and loaded peers can be deleted", e.shape.ID, e.shape.Source)
	}
	c.ctx.SetStatusCode(fasthttp.StatusNoContent)
	return nil
}

// peerAction is POST peers/{id}/{enable|disable|reset|refresh}.
func (c *call) peerAction() *problem {
	peers := c.s.opts.Peers
	if peers == nil {
		return later("", "controlling sessions")
	}
	if _, p := c.accept(typeJSON); p != nil {
		return p
	}
	path := c.ctx.URI().PathOriginal()
	action := string(path[bytes.LastIndexByte(path, '/')+1:])
	message, p := c.message()
	if p != nil {
		return p
	}
	if message != "" && action != "disable" && action != "reset" {
		return bad("message", "goes with disable and reset, which end a session: %s tells the peer nothing", action)
	}
	var f wire.Family
	if v := c.q.get(pFamily); v != nil {
		if action != "refresh" {
			return bad("family", "goes with refresh: %s is of the whole session", action)
		}
		var err error
		if f, err = wire.ParseFamily(string(v)); err != nil {
			return bad("family", "%v", err)
		}
	}
	e, p := c.onePeer()
	if p != nil {
		return p
	}
	if !e.session {
		return fail(fasthttp.StatusConflict, "peer", "the peer %s is of source %s: it has no session", e.shape.ID, e.shape.Source)
	}
	var err error
	switch id := e.shape.ID; action {
	case "enable":
		err = peers.Enable(id)
	case "disable":
		err = peers.Disable(id, message)
	case "reset":
		err = peers.Reset(id, message)
	case "refresh":
		err = peers.Refresh(id, f)
	}
	if err != nil {
		return refusal(err)
	}
	if after, p := c.onePeer(); p == nil { // it may be gone since
		e = after
	}
	return c.marshal(fasthttp.StatusOK, &e.shape)
}

// reload is POST reload.
func (c *call) reload() *problem {
	if c.s.opts.Reload == nil {
		return later("", "reloading the configuration")
	}
	if _, p := c.accept(typeJSON); p != nil {
		return p
	}
	// A client that goes away does not leave a reload half done.
	r, err := c.s.opts.Reload(context.Background())
	if err != nil {
		return refusal(err)
	}
	wholeDiff(&r.ConfigDiff)
	return c.marshal(fasthttp.StatusOK, &r)
}

// configDiff is GET config/diff.
func (c *call) configDiff() *problem {
	if c.s.opts.ConfigDiff == nil {
		return later("", "comparing the configuration")
	}
	if _, p := c.accept(typeJSON); p != nil {
		return p
	}
	d, err := c.s.opts.ConfigDiff(context.Background())
	if err != nil {
		return refusal(err)
	}
	wholeDiff(&d)
	return c.marshal(fasthttp.StatusOK, &d)
}

// wholeDiff makes empty lists of what would be null.
func wholeDiff(d *apiv1.ConfigDiff) {
	if d.Changes == nil {
		d.Changes = []apiv1.ConfigChange{}
	}
	for i := range d.Changes {
		ch := &d.Changes[i]
		if ch.Keys == nil {
			ch.Keys = []apiv1.ConfigKey{}
		}
		if ch.Peers == nil {
			ch.Peers = []string{}
		}
	}
}
