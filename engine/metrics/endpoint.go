package metrics

import (
	"math/bits"
	"strconv"
	"sync/atomic"
	"time"
)

// buckets of the latency histograms: 16 µs, 32 µs, … 16.8 s, and over.
const (
	firstBucket = 14 // log2 of the nanoseconds of the first bound, 16,384
	numBuckets  = 21
)

// statuses that get a counter each; others are counted under "other".
var statuses = [...]int{
	200, 202, 204, 301, 302, 400, 401, 403, 404, 405, 406, 408, 409, 413, 414, 415, 417, 422, 429, 431, 500, 501, 503,
}

// Endpoint counts the requests to one endpoint, by status, and their latency, until
// the first octet of the answer is ready. All its methods are for any goroutine.
type Endpoint struct {
	name   string
	ok     atomic.Uint64 // status 200, the one that has to be fast
	other  [len(statuses) + 1]atomic.Uint64
	bucket [numBuckets]atomic.Uint64
	sum    atomic.Uint64 // nanoseconds
}

// Endpoint makes the metrics of one endpoint. Name is its label.
func (s *Set) Endpoint(name string) *Endpoint {
	e := &Endpoint{name: name}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.endpoints = append(s.endpoints, e)
	return e
}

// Done counts one request.
func (e *Endpoint) Done(status int, d time.Duration) {
	if status == 200 {
		e.ok.Add(1)
	} else {
		e.other[statusIndex(status)].Add(1)
	}
	b := max(0, bits.Len64(uint64(max(d, 1)-1))-firstBucket)
	e.bucket[min(b, numBuckets-1)].Add(1)
	e.sum.Add(uint64(max(d, 0)))
}

func statusIndex(status int) int {
	for i, s := range statuses {
		if s == status {
			return i
		}
	}
	return len(statuses)
}

// write leaves out what never happened, so that an idle server has a short page.
func (e *Endpoint) write(w *Writer) {
	if n := e.ok.Load(); n > 0 {
		w.Counter("ribd_http_requests_total", n, "endpoint", e.name, "code", "200")
	}
	for i := range e.other {
		n := e.other[i].Load()
		if n == 0 {
			continue
		}
		code := "other"
		if i < len(statuses) {
			code = strconv.Itoa(statuses[i])
		}
		w.Counter("ribd_http_requests_total", n, "endpoint", e.name, "code", code)
	}
	var count uint64
	var n [numBuckets]uint64
	for i := range n {
		n[i] = e.bucket[i].Load()
		count += n[i]
	}
	if count == 0 {
		return
	}
	var below uint64
	for i := range numBuckets - 1 {
		below += n[i]
		le := strconv.FormatFloat(float64(uint64(1)<<(firstBucket+i))/1e9, 'g', -1, 64)
		w.Counter("ribd_http_request_seconds_bucket", below, "endpoint", e.name, "le", le)
	}
	w.Counter("ribd_http_request_seconds_bucket", count, "endpoint", e.name, "le", "+Inf")
	w.GaugeFloat("ribd_http_request_seconds_sum", float64(e.sum.Load())/1e9, "endpoint", e.name)
	w.Counter("ribd_http_request_seconds_count", count, "endpoint", e.name)
}
