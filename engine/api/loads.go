package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"

	"github.com/valyala/fasthttp"

	"ribd/engine/api/apiv1"
)

// maxJSON bounds JSON bodies that are read whole.
const maxJSON = 64 << 10

// load is POST load: a dump as the body, or a file of the server as JSON. A body
// is loaded while it is sent: the answer begins at once with the id, and ends
// when the body is read, so that a client may watch the load meanwhile.
func (c *call) load() *problem {
	if _, p := c.accept(typeJSON); p != nil {
		return p
	}
	if c.s.opts.Loads == nil {
		return later("", "loading by the API")
	}
	if c.mediaType() == "application/json" {
		return c.loadFile()
	}
	size := int64(c.ctx.Request.Header.ContentLength())
	if size == 0 || size == -2 { // no length and not chunked is no body
		return bad("body", `is empty: send a dump, or {"file":…} as application/json`)
	}
	if p := c.stream(); p != nil {
		return p
	}
	id, done, err := c.s.opts.Loads.Body(c.source(), max(size, -1), string(c.q.get(pCollector)))
	if err != nil {
		return fail(fasthttp.StatusServiceUnavailable, "", "%v", err)
	}
	c.ctx.SetStatusCode(fasthttp.StatusAccepted)
	c.ctx.Response.Header.Set(fasthttp.HeaderLocation, "/api/v1/loads/"+id)
	answer := append(appendString([]byte(`{"id":`), id), '}', '\n')
	c.until = done
	c.streamBody(typeJSON, "", func(out *sink) error {
		err := out.write(answer)
		<-done // the loader reads from this connection until then
		return err
	})
	return nil
}

func (c *call) loadFile() *problem {
	if p := c.s.authorize(c.ctx, RoleAdmin); p != nil {
		return p
	}
	b, p := c.jsonBody()
	if p != nil {
		return p
	}
	var req apiv1.LoadFile
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&req); err != nil {
		return bad("body", `%v: {"file":"rib.mrt.gz","collector":"rrc00"} is wanted`, err)
	}
	if _, err := d.Token(); err != io.EOF {
		return bad("body", "something follows the JSON object")
	}
	if req.File == "" {
		return bad("file", "is missing: the path of a file of the server")
	}
	collector := string(c.q.get(pCollector))
	if collector == "" {
		collector = req.Collector
	} else if req.Collector != "" && req.Collector != collector {
		return bad("collector", "is %q in the query and %q in the body", shown(collector), shown(req.Collector))
	}
	id, err := c.s.opts.Loads.File(req.File, collector)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fail(fasthttp.StatusUnprocessableEntity, "file", "there is no file %q on the server", shown(req.File))
	case errors.Is(err, fs.ErrPermission):
		return fail(fasthttp.StatusUnprocessableEntity, "file", "the server may not read %q", shown(req.File))
	case err != nil:
		return fail(fasthttp.StatusUnprocessableEntity, "file", "%v", err)
	}
	c.ctx.Response.Header.Set(fasthttp.HeaderLocation, "/api/v1/loads/"+id)
	return c.marshal(fasthttp.StatusAccepted, &apiv1.LoadStarted{ID: id})
}

// loadList is GET loads.
func (c *call) loadList() *problem {
	media, p := c.accept(typeJSON, typeNDJSON)
	if p != nil {
		return p
	}
	var all []apiv1.Load
	if c.s.opts.Loads != nil {
		all = c.s.opts.Loads.List()
	}
	list, next, p := pageOf(c, media, all, func(l *apiv1.Load) string { return l.ID })
	if p != nil {
		return p
	}
	out := apiv1.Loads{Loads: make([]apiv1.Load, len(list)), Next: next}
	for i := range list {
		out.Loads[i] = wholeLoad(list[i])
	}
	if media == typeNDJSON {
		return marshalLines(c, out.Loads)
	}
	return c.marshal(200, &out)
}

// loadOne is GET loads/{id}.
func (c *call) loadOne() *problem {
	if _, p := c.accept(typeJSON); p != nil {
		return p
	}
	if c.s.opts.Loads != nil {
		if l, ok := c.s.opts.Loads.Get(string(c.arg)); ok {
			l = wholeLoad(l)
			return c.marshal(200, &l)
		}
	}
	return fail(fasthttp.StatusNotFound, "id", "there is no load %s; /api/v1/loads lists them", shown(c.arg))
}

// wholeLoad makes an empty list of what would be null.
func wholeLoad(l apiv1.Load) apiv1.Load {
	if l.DamagedRecords == nil {
		l.DamagedRecords = []apiv1.Damage{}
	}
	return l
}
