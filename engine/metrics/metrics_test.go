package metrics

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

func TestEndpointCountsByStatusAndLatency(t *testing.T) {
	s := New()
	e := s.Endpoint("lookup")
	e.Done(200, 10*time.Microsecond)
	e.Done(200, 20*time.Microsecond)
	e.Done(404, time.Hour)
	e.Done(299, -1)
	s.Lookups[Packed].Add(3)
	s.Register(func(w *Writer) { w.Gauge("ribd_x", 7, "a", `q"`, "b", "c") })
	var b bytes.Buffer
	s.Write(&b)
	for _, want := range []string{
		`ribd_http_requests_total{endpoint="lookup",code="200"} 2`,
		`ribd_http_requests_total{endpoint="lookup",code="404"} 1`,
		`ribd_http_requests_total{endpoint="lookup",code="other"} 1`,
		`ribd_http_request_seconds_bucket{endpoint="lookup",le="1.6384e-05"} 2`,
		`ribd_http_request_seconds_bucket{endpoint="lookup",le="3.2768e-05"} 3`,
		`ribd_http_request_seconds_bucket{endpoint="lookup",le="+Inf"} 4`,
		`ribd_http_request_seconds_count{endpoint="lookup"} 4`,
		`ribd_lookups_total{kind="packed"} 3`,
		`ribd_x{a="q\"",b="c"} 7`,
	} {
		if !strings.Contains(b.String(), want+"\n") {
			t.Errorf("lacks %s in\n%s", want, b.String())
		}
	}
	if n := testing.AllocsPerRun(100, func() { e.Done(200, time.Millisecond) }); n > 0 {
		t.Errorf("%v allocations a request", n)
	}
}
