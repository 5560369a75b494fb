package api

import (
	"bytes"
	"strings"

	"github.com/valyala/fasthttp"

	"ribd/engine/metrics"
)

// endpoint is one path of the API, with {names} for its variable parts, and what
// may be done with it.
type endpoint struct {
	path    string
	methods []method
	metrics *metrics.Endpoint
}

// method is what one verb does. role is what a change needs; RoleNone is no
// change.
type method struct {
	verb  string
	takes paramSet
	role  Role
	run   func(*call) *problem
}

func get(takes paramSet, run func(*call) *problem) method {
	return method{fasthttp.MethodGet, takes, RoleNone, run}
}

// laterOn is a method of a later build.
func laterOn(verb string, role Role, what string) method {
	return method{verb, ^paramSet(0), role, func(*call) *problem { return later("", what) }}
}

// routes is the table of all that is served.
func (s *Server) routes() map[string]*endpoint {
	const (
		post, del, patch = fasthttp.MethodPost, fasthttp.MethodDelete, fasthttp.MethodPatch
		mitigations      = "the mitigation API"
	)
	m := map[string]*endpoint{}
	add := func(path string, methods ...method) {
		name := strings.TrimPrefix(path, "/api/v1/")
		if name != "/" {
			name = strings.TrimPrefix(name, "/")
		}
		m[path] = &endpoint{path, methods, s.metrics.Endpoint(name)}
	}
	add("/", get(0, (*call).root))
	add("/openapi.yaml", get(0, (*call).openapi))
	add("/metrics", get(0, (*call).scrape))
	add("/healthz", get(0, (*call).health))
	add("/readyz", get(0, (*call).ready))
	add("/api/v1/lookup", method{post, paramsLookup, RoleNone, (*call).lookupBatch})
	add("/api/v1/lookup/{address}", get(paramsLookup, (*call).lookupOne))
	add("/api/v1/attributes/{attrs_id}", get(params(pAt), (*call).attributes))
	add("/api/v1/routes", get(paramsRoutes, (*call).routeList))
	add("/api/v1/routes/count", get(paramsCount, (*call).routeCount))
	add("/api/v1/peers", get(paramsPage, (*call).peerList), method{post, 0, RoleAdmin, (*call).peerAdd})
	add("/api/v1/peers/{peer}", get(0, (*call).peerOne), method{del, params(pMessage), RoleAdmin, (*call).peerDrop})
	add("/api/v1/peers/{peer}/{action}", method{post, params(pMessage, pFamily), RoleAdmin, (*call).peerAction})
	add("/api/v1/reload", method{post, 0, RoleAdmin, (*call).reload})
	add("/api/v1/config/diff", get(0, (*call).configDiff))
	add("/api/v1/load", method{post, params(pCollector), RoleAnnounce, (*call).load})
	add("/api/v1/loads", get(paramsPage, (*call).loadList))
	add("/api/v1/loads/{id}", get(0, (*call).loadOne))
	add("/api/v1/stats", get(0, (*call).stats))

	add("/api/v1/paths", get(paramsPaths, (*call).pathList), method{post, 0, RoleAnnounce, (*call).pathAnnounce}, method{del, 0, RoleAnnounce, (*call).pathWithdraw})
	add("/api/v1/updates", method{post, params(pPeer), RoleNone, (*call).updates})
	add("/api/v1/flowspec", get(paramsFlow, (*call).flowList), method{post, 0, RoleAnnounce, (*call).flowAnnounce})
	add("/api/v1/flowspec/{id}", get(0, (*call).flowOne), method{del, 0, RoleAnnounce, (*call).flowDrop})
	add("/api/v1/flowspec/match", method{post, params(pRD), RoleNone, (*call).flowMatch})
	add("/api/v1/mitigations", laterOn(fasthttp.MethodGet, RoleNone, mitigations), laterOn(post, RoleAnnounce, mitigations))
	add("/api/v1/mitigations/audit", laterOn(fasthttp.MethodGet, RoleNone, mitigations))
	add("/api/v1/mitigations/{id}", laterOn(fasthttp.MethodGet, RoleNone, mitigations), laterOn(patch, RoleAnnounce, mitigations), laterOn(del, RoleAnnounce, mitigations))
	add("/api/v1/diff", laterOn(fasthttp.MethodGet, RoleNone, "history"))
	add("/api/v1/stream", laterOn(fasthttp.MethodGet, RoleNone, "the stream of changes"))
	for _, end := range []string{"", ".gz", ".zst"} {
		add("/api/v1/snapshot.mrt"+end, laterOn(fasthttp.MethodGet, RoleNone, "the MRT snapshot"))
	}
	return m
}

var lookupPath = []byte("/api/v1/lookup/")

// find answers the endpoint of a path and its variable part.
func (s *Server) find(path []byte) (*endpoint, []byte) {
	if bytes.HasPrefix(path, lookupPath) {
		return s.lookup, path[len(lookupPath):]
	}
	if e := s.exact[string(path)]; e != nil {
		if bytes.IndexByte(path, '{') >= 0 {
			return nil, nil
		}
		return e, nil
	}
	const base = "/api/v1/"
	if len(path) <= len(base) || string(path[:len(base)]) != base {
		return nil, nil
	}
	head, arg, ok := bytes.Cut(path[len(base):], []byte{'/'})
	if !ok || len(arg) == 0 {
		return nil, nil
	}
	switch string(head) {
	case "attributes":
		return s.exact["/api/v1/attributes/{attrs_id}"], arg
	case "peers":
		id, action, more := bytes.Cut(arg, []byte{'/'})
		if !more {
			return s.exact["/api/v1/peers/{peer}"], arg
		}
		switch string(action) {
		case "enable", "disable", "reset", "refresh":
			return s.exact["/api/v1/peers/{peer}/{action}"], id
		}
		return nil, nil
	case "loads":
		return s.exact["/api/v1/loads/{id}"], arg
	case "flowspec":
		return s.exact["/api/v1/flowspec/{id}"], arg
	case "mitigations":
		return s.exact["/api/v1/mitigations/{id}"], arg
	}
	return nil, nil
}

// unescape undoes the %-escapes of the variable part of a path; a broken one
// stays, and nothing that a path stands for has one.
func (c *call) unescape(arg []byte) []byte {
	if bytes.IndexByte(arg, '%') < 0 {
		return arg
	}
	c.text = c.text[:0]
	for i := 0; i < len(arg); i++ {
		if arg[i] == '%' && i+2 < len(arg) {
			if h, l := unhex(arg[i+1]), unhex(arg[i+2]); h < 16 && l < 16 {
				c.text = append(c.text, h<<4|l)
				i += 2
				continue
			}
		}
		c.text = append(c.text, arg[i])
	}
	return c.text
}

// dispatch finds out what a request asks for, whether it may, and does it. The
// endpoint is nil where there is none.
func (s *Server) dispatch(c *call) (*endpoint, *problem) {
	ctx := c.ctx
	// The path as it came: fasthttp would join slashes that are a part of what was
	// asked for.
	path := ctx.URI().PathOriginal()
	e, arg := s.find(path)
	if e == nil {
		return nil, fail(fasthttp.StatusNotFound, "", "there is nothing at %s; /openapi.yaml lists what there is", shown(path))
	}
	c.arg = c.unescape(arg)
	verb := ctx.Method()
	head := len(verb) == 4 && string(verb) == fasthttp.MethodHead
	for i := range e.methods {
		m := &e.methods[i]
		if string(verb) != m.verb && (!head || m.verb != fasthttp.MethodGet) {
			continue
		}
		if p := s.authorize(ctx, m.role); p != nil {
			return e, p
		}
		if m.takes == ^paramSet(0) {
			return e, m.run(c)
		}
		if p := c.q.parse(ctx.URI().QueryString(), m.takes); p != nil {
			return e, p
		}
		if c.q.has(pAt) {
			return e, later("at", "asking the past")
		}
		return e, m.run(c)
	}
	p := fail(fasthttp.StatusMethodNotAllowed, "", "%s is not for %s", shown(verb), e.path)
	for _, m := range e.methods {
		if p.allow != "" {
			p.allow += ", "
		}
		p.allow += m.verb
		if m.verb == fasthttp.MethodGet {
			p.allow += ", HEAD"
		}
	}
	p.detail += ": it takes " + p.allow
	return e, p
}
