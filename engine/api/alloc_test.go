package api

import (
	"testing"

	"github.com/valyala/fasthttp"
)

func TestSteadyLookupAllocatesNothing(t *testing.T) {
	if raceOn {
		t.Skip("the race detector allocates")
	}
	_, s := small(t)
	for _, uri := range []string{"10.1.2.3", "2001:db8:1::1", "10.1.2.3?fields=prefix,as_path,origin_asn", "10.1.2.3?best=true", "10.1.2.3?origin_asn=15169&community=65001:100"} {
		var ctx fasthttp.RequestCtx
		ctx.Init2(noConn{}, nil, false)
		ask := func() {
			ctx.Request.Header.SetMethod("GET")
			ctx.Request.SetRequestURI("/api/v1/lookup/" + uri)
			ctx.Request.Header.SetHost("localhost")
			ctx.Response.Reset()
			s.handle(&ctx)
			if ctx.Response.StatusCode() != 200 {
				t.Fatalf("%s: %s", uri, ctx.Response.Body())
			}
		}
		base := testing.AllocsPerRun(200, func() { ctx.Request.SetRequestURI("/api/v1/lookup/" + uri) })
		if n := testing.AllocsPerRun(500, ask); n-base > 0 {
			t.Errorf("%s: %v allocations a look-up", uri, n-base)
		}
	}
}
