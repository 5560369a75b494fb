package api

import (
	"bytes"
	"math/bits"
	"strings"
)

// param is one query parameter that some endpoint knows.
type param uint8

const (
	pFamily param = iota
	pRD
	pPeer
	pPeerASN
	pSource
	pPathID
	pOriginASN
	pNeighborASN
	pASPath
	pASPathLength
	pCommunity
	pLargeCommunity
	pExtCommunity
	pNextHop
	pOriginatorID
	pRPKI
	pBest
	pStale
	pFiltered
	pMinLength
	pMaxLength
	pReceivedAfter
	pReceivedBefore
	pPolicy
	pFields
	pAt
	pPrefix
	pMatch
	pLimit
	pCursor
	pTable
	pCollector
	pMessage
	pFilterReason
	pDestination
	pValid
	numParams
)

var paramNames = [numParams]string{
	"family", "rd", "peer", "peer_asn", "source", "path_id", "origin_asn", "neighbor_asn", "as_path", "as_path_length",
	"community", "large_community", "ext_community", "next_hop", "originator_id", "rpki", "best", "stale", "filtered",
	"min_length", "max_length", "received_after", "received_before", "policy", "fields", "at", "prefix", "match", "limit",
	"cursor", "table", "collector", "message",
	"filter_reason", "destination", "valid",
}

func (p param) String() string { return paramNames[p] }

// paramSet is a set of parameters, as a bit each.
type paramSet uint64

func params(list ...param) paramSet {
	var s paramSet
	for _, p := range list {
		s |= 1 << p
	}
	return s
}

func (s paramSet) has(p param) bool { return s>>p&1 != 0 }

const (
	// paramsTable choose the table; they are no filter of paths.
	paramsTable = paramSet(1<<pFamily | 1<<pRD)
	// paramsRepeat may be given more than once: all of them have to hold.
	paramsRepeat = paramSet(1<<pCommunity | 1<<pLargeCommunity | 1<<pExtCommunity)
	// paramsFilter are the route filters, which look-ups take too.
	paramsFilter = paramSet(1<<pPeer|1<<pPeerASN|1<<pSource|1<<pPathID|1<<pOriginASN|1<<pNeighborASN|
		1<<pASPath|1<<pASPathLength|1<<pNextHop|1<<pOriginatorID|1<<pRPKI|1<<pBest|1<<pStale|1<<pFiltered|
		1<<pMinLength|1<<pMaxLength|1<<pReceivedAfter|1<<pReceivedBefore|1<<pPolicy|1<<pFilterReason) | paramsRepeat
	paramsLookup = paramsTable | paramsFilter | 1<<pFields | 1<<pAt
	paramsCount  = paramsTable | paramsFilter | 1<<pPrefix | 1<<pMatch | 1<<pTable | 1<<pAt
	paramsRoutes = paramsCount | 1<<pFields | 1<<pLimit | 1<<pCursor
	paramsPage   = paramSet(1<<pLimit | 1<<pCursor)
	paramsFlow   = paramsTable | paramsPage | 1<<pPeer | 1<<pDestination | 1<<pSource | 1<<pValid | 1<<pFiltered
	paramsPaths  = paramsTable | paramsPage | 1<<pPrefix
)

// names lists a set for an error, in the order of the table above.
func (s paramSet) names() string {
	if s == 0 {
		return "none"
	}
	var b strings.Builder
	for p := range numParams {
		if s.has(p) {
			if b.Len() > 0 {
				b.WriteString(", ")
			}
			b.WriteString(p.String())
		}
	}
	return b.String()
}

// query holds the parameters of one request: undecoded ones alias the request,
// decoded ones alias buf. It is reused from request to request.
type query struct {
	set   paramSet
	first [numParams][]byte
	more  []repeated // second and later values of those that may repeat
	buf   []byte
}

type repeated struct {
	p param
	v []byte
}

func (q *query) reset() {
	q.set = 0
	q.more = q.more[:0]
	q.buf = q.buf[:0]
}

func (q *query) has(p param) bool { return q.set.has(p) }

// get answers the value of a parameter, nil where it was not given.
func (q *query) get(p param) []byte {
	if !q.set.has(p) {
		return nil
	}
	return q.first[p]
}

// each calls f for every value of a parameter that may repeat.
func (q *query) each(p param, f func([]byte) *problem) *problem {
	if !q.set.has(p) {
		return nil
	}
	if e := f(q.first[p]); e != nil {
		return e
	}
	for _, m := range q.more {
		if m.p == p {
			if e := f(m.v); e != nil {
				return e
			}
		}
	}
	return nil
}

// parse reads a query string. Every parameter has to be of the allowed ones, and
// to have a value.
func (q *query) parse(s []byte, allowed paramSet) *problem {
	q.reset()
	if len(s) == 0 {
		return nil
	}
	if cap(q.buf) < len(s) { // so that what aliases it never moves
		q.buf = make([]byte, 0, len(s)*2)
	}
	for len(s) > 0 {
		var pair []byte
		pair, s, _ = bytes.Cut(s, []byte{'&'})
		if len(pair) == 0 {
			continue
		}
		name, value, _ := bytes.Cut(pair, []byte{'='})
		if len(name) == 0 {
			return bad("query", "%q has no name before its =", shown(pair))
		}
		name, ok := q.decode(name)
		if !ok {
			return bad(shown(name), "the name of a parameter has a broken %%-escape")
		}
		p, known := paramOf(name)
		if !known || !allowed.has(p) {
			return unknownParam(name, allowed)
		}
		value, ok = q.decode(value)
		if !ok {
			return bad(p.String(), "%q has a broken %%-escape: %% is written %%25", shown(value))
		}
		if len(value) == 0 {
			return bad(p.String(), "is empty: leave it out, or give a value")
		}
		switch {
		case !q.set.has(p):
			q.set |= 1 << p
			q.first[p] = value
		case paramsRepeat.has(p):
			if len(q.more) >= maxRepeats {
				return bad(p.String(), "is given more than %d times", maxRepeats)
			}
			q.more = append(q.more, repeated{p, value})
		default:
			return bad(p.String(), "is given twice: once is right (only %s may repeat)", paramsRepeat.names())
		}
	}
	return nil
}

// maxRepeats bounds the work that one request can ask for each attribute set.
const maxRepeats = 64

// decode undoes %-escapes and '+'. Where there is nothing to undo it answers v.
func (q *query) decode(v []byte) ([]byte, bool) {
	if bytes.IndexByte(v, '%') < 0 && bytes.IndexByte(v, '+') < 0 {
		return v, true
	}
	start := len(q.buf)
	for i := 0; i < len(v); i++ {
		switch c := v[i]; c {
		case '+':
			q.buf = append(q.buf, ' ')
		case '%':
			if i+2 >= len(v) {
				return v, false
			}
			h, l := unhex(v[i+1]), unhex(v[i+2])
			if h > 15 || l > 15 {
				return v, false
			}
			q.buf = append(q.buf, h<<4|l)
			i += 2
		default:
			q.buf = append(q.buf, c)
		}
	}
	return q.buf[start:len(q.buf):len(q.buf)], true
}

func unhex(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10
	}
	return 255
}

func paramOf(name []byte) (param, bool) {
	for p := range numParams {
		if string(name) == paramNames[p] {
			return p, true
		}
	}
	return 0, false
}

// unknownParam names the parameter that was meant, where one is near.
func unknownParam(name []byte, allowed paramSet) *problem {
	if allowed == 0 {
		return bad(shown(name), "no such parameter: this endpoint takes none")
	}
	best, at := 3, param(0)
	for s := uint64(allowed); s != 0; s &= s - 1 {
		p := param(bits.TrailingZeros64(s))
		if d := editDistance(shown(name), p.String()); d < best {
			best, at = d, p
		}
	}
	if best < 3 {
		return bad(shown(name), "no such parameter here: did you mean %s? Known: %s", at, allowed.names())
	}
	return bad(shown(name), "no such parameter here. Known: %s", allowed.names())
}

func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diag := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			d := diag
			if a[i-1] != b[j-1] {
				d++
			}
			diag = row[j]
			row[j] = min(d, row[j]+1, row[j-1]+1)
		}
	}
	return row[len(b)]
}
