package api

import (
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/valyala/fasthttp"

	"ribd/engine/api/apiv1"
)

// problem is an RFC 9457 answer: what every handler returns where it has none
// of its own. param names the parameter, field or part of the path at fault.
type problem struct {
	status int
	param  string
	detail string
	retry  int      // Retry-After in seconds; 0: no such header
	allow  string   // Allow of a 405
	ids    []string // peers that share an address
	guard  string   // that refuses a route or rule
	index  *int     // of the item of a list that is at fault
	// problems is what is wrong with a configuration.
	problems []apiv1.ConfigProblem
}

func (p *problem) Error() string { return p.param + ": " + p.detail }

func bad(param, format string, args ...any) *problem {
	return &problem{status: fasthttp.StatusBadRequest, param: param, detail: fmt.Sprintf(format, args...)}
}

func fail(status int, param, format string, args ...any) *problem {
	return &problem{status: status, param: param, detail: fmt.Sprintf(format, args...)}
}

// later is the answer of an endpoint or parameter that this build lacks.
func later(param, what string) *problem {
	return &problem{status: fasthttp.StatusNotImplemented, param: param, detail: what + " is not in this build yet"}
}

func overload(what string) *problem {
	return &problem{status: fasthttp.StatusServiceUnavailable, retry: 1, detail: what}
}

// shown cuts what a client sent to what is worth repeating to it.
func shown[T string | []byte](v T) string {
	if len(v) > 80 {
		return string(v[:77]) + "..."
	}
	return string(v)
}

// write makes p the answer of ctx, in place of anything written before.
func (p *problem) write(ctx *fasthttp.RequestCtx) {
	r := &ctx.Response
	r.ResetBody()
	r.Header.Del(fasthttp.HeaderContentEncoding)
	r.Header.Del(headerVersion)
	r.SetStatusCode(p.status)
	r.Header.SetContentType("application/problem+json")
	if p.retry > 0 {
		r.Header.Set(fasthttp.HeaderRetryAfter, strconv.Itoa(p.retry))
	}
	if p.allow != "" {
		r.Header.Set(fasthttp.HeaderAllow, p.allow)
	}
	if p.status == fasthttp.StatusUnauthorized {
		r.Header.Set(fasthttp.HeaderWWWAuthenticate, `Bearer realm="ribd"`)
	}
	r.SetBody(p.appendJSON(nil))
}

// appendPlace appends what a problem is about.
func (p *problem) appendPlace(dst []byte) []byte {
	if p.param != "" {
		dst = append(dst, `,"param":`...)
		dst = appendString(dst, p.param)
	}
	if p.guard != "" {
		dst = append(dst, `,"guard":`...)
		dst = appendString(dst, p.guard)
	}
	return dst
}

func (p *problem) appendJSON(dst []byte) []byte {
	dst = append(dst, `{"type":"about:blank","title":`...)
	dst = appendString(dst, fasthttp.StatusMessage(p.status))
	dst = append(dst, `,"status":`...)
	dst = appendUint(dst, p.status)
	dst = append(dst, `,"detail":`...)
	dst = appendString(dst, p.detail)
	dst = p.appendPlace(dst)
	if p.index != nil {
		dst = append(dst, `,"index":`...)
		dst = appendUint(dst, *p.index)
	}
	if p.ids != nil {
		dst = append(dst, `,"ids":[`...)
		for i, id := range p.ids {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendString(dst, id)
		}
		dst = append(dst, ']')
	}
	if p.problems != nil {
		b, err := json.Marshal(p.problems)
		if err != nil {
			panic("BUG: api: " + err.Error())
		}
		dst = append(append(dst, `,"problems":`...), b...)
	}
	return append(dst, '}', '\n')
}
