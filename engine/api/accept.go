package api

import (
	"bytes"
	"strconv"

	"github.com/valyala/fasthttp"
)

// Media types of answers.
const (
	typeJSON   = "application/json"
	typeNDJSON = "application/x-ndjson"
	typeOctets = "application/octet-stream"
	typeText   = "text/plain; charset=utf-8"
)

const headerVersion = "Rib-Version"

// accept chooses the media type of the answer among those offered, the first of
// them where the client has no preference, or answers 406.
func (c *call) accept(offered ...string) (string, *problem) {
	h := c.ctx.Request.Header.Peek(fasthttp.HeaderAccept)
	if len(h) == 0 || string(h) == "*/*" {
		return offered[0], nil
	}
	best, bestQ := "", 0.0
	for _, o := range offered {
		if q := quality(h, o); q > bestQ {
			best, bestQ = o, q
		}
	}
	if best == "" {
		what := offered[0]
		for _, o := range offered[1:] {
			what += " or " + o
		}
		return "", fail(fasthttp.StatusNotAcceptable, "Accept", "%q leaves nothing that can be answered here: %s", shown(h), what)
	}
	return best, nil
}

// quality is how much an Accept or Accept-Encoding header wants a value (RFC
// 9110 12.5): the q of the most specific element that covers it, else 0.
func quality(header []byte, want string) float64 {
	best, q := 0, 0.0
	mainType, _, isMedia := bytes.Cut([]byte(want), []byte{'/'})
	if i := bytes.IndexByte([]byte(want), ';'); i > 0 {
		want = want[:i]
	}
	for len(header) > 0 {
		var el []byte
		el, header, _ = bytes.Cut(header, []byte{','})
		name, rest, _ := bytes.Cut(el, []byte{';'})
		name = bytes.TrimSpace(name)
		rank := 0
		switch {
		case equalFold(name, want):
			rank = 3
		case isMedia && len(name) == len(mainType)+2 && equalFold(name[:len(mainType)], string(mainType)) && string(name[len(mainType):]) == "/*":
			rank = 2
		case string(name) == "*/*" && isMedia, string(name) == "*" && !isMedia:
			rank = 1
		}
		if rank > best {
			best, q = rank, qOf(rest)
		}
	}
	return q
}

func qOf(attrs []byte) float64 {
	for len(attrs) > 0 {
		var a []byte
		a, attrs, _ = bytes.Cut(attrs, []byte{';'})
		a = bytes.TrimSpace(a)
		if len(a) > 2 && (a[0] == 'q' || a[0] == 'Q') && a[1] == '=' {
			v, err := strconv.ParseFloat(string(a[2:]), 64)
			if err != nil || v < 0 || v > 1 {
				return 1
			}
			return v
		}
	}
	return 1
}

func equalFold(b []byte, s string) bool { return bytes.EqualFold(b, []byte(s)) }

// mediaType is the media type of a body without its parameters, in lower case.
func (c *call) mediaType() string {
	t := c.ctx.Request.Header.ContentType()
	t, _, _ = bytes.Cut(t, []byte{';'})
	return string(bytes.ToLower(bytes.TrimSpace(t)))
}

// identity refuses a body that the client has compressed as a whole.
func (c *call) identity() *problem {
	enc := c.ctx.Request.Header.Peek(fasthttp.HeaderContentEncoding)
	if len(enc) == 0 || equalFold(enc, "identity") {
		return nil
	}
	return fail(fasthttp.StatusUnsupportedMediaType, fasthttp.HeaderContentEncoding, "%q: send the body as it is", shown(enc))
}

// answer makes body the whole answer.
func (c *call) answer(mediaType string, body []byte) {
	c.ctx.Response.Header.SetContentType(mediaType)
	c.ctx.Response.SetBody(body)
}
