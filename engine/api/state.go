package api

import (
	_ "embed"
	"maps"
	"slices"
	"time"

	"github.com/valyala/fasthttp"

	"ribd/engine/api/apiv1"
	"ribd/engine/metrics"
	"ribd/engine/origin"
	"ribd/shard"
)

//go:embed openapi.yaml
var openapiYAML []byte

// OpenAPI is the description of the API that the server answers at /openapi.yaml.
func OpenAPI() []byte { return append([]byte(nil), openapiYAML...) }

func (c *call) openapi() *problem {
	c.answer("application/yaml", openapiYAML)
	return nil
}

// root answers a person who has opened the server's address.
func (c *call) root() *problem {
	c.answer(typeText, []byte("ribd "+c.s.opts.Version+": a BGP RIB server\n\n"+
		"  /api/v1/lookup/ADDRESS   the longest match of an address\n"+
		"  /api/v1/routes           routes by prefix, AS path, community, ...\n"+
		"  /api/v1/flowspec         Flow Spec rules, in the order in which they apply\n"+
		"  /api/v1/peers            peers\n"+
		"  /api/v1/stats            numbers\n"+
		"  /openapi.yaml            the whole API\n"+
		"  /metrics                 for Prometheus\n"))
	return nil
}

func (c *call) health() *problem {
	c.answer(typeText, []byte("ok\n"))
	return nil
}

// isReady says whether the start is over, and what it waits for.
func (s *Server) isReady() (bool, string) {
	if s.stopping.Load() {
		return false, "shutting down"
	}
	if s.opts.Ready == nil {
		return true, ""
	}
	return s.opts.Ready()
}

func (c *call) ready() *problem {
	ok, waits := c.s.isReady()
	if !ok {
		if waits == "" {
			waits = "loads are running"
		}
		return &problem{status: fasthttp.StatusServiceUnavailable, detail: waits, retry: 1}
	}
	c.answer(typeText, []byte("ready\n"))
	return nil
}

// stats is GET stats.
func (c *call) stats() *problem {
	if _, p := c.accept(typeJSON); p != nil {
		return p
	}
	st := c.s.ribStats()
	ready, _ := c.s.isReady()
	out := apiv1.Stats{
		Version: c.s.opts.Version, StartedAt: c.s.opts.Started.UTC().Truncate(1000), UptimeSeconds: time.Since(c.s.opts.Started).Seconds(),
		Ready: ready, Peers: st.Peers, AttributeSets: uint64(st.Attrs.Sets), ASPaths: uint64(st.Attrs.ASPaths),
		Memory: map[string]uint64{}, Shards: st.Shards, Views: st.Views, Refused: st.Refused, Lookups: map[string]uint64{},
		RIBVersion: st.Version, Families: []apiv1.FamilyStats{},
	}
	for _, t := range st.Tables {
		out.Prefixes += uint64(t.Prefixes)
		out.Paths += uint64(t.Paths)
		name := t.Family.String()
		at := -1
		for i := range out.Families {
			if out.Families[i].Family == name {
				at = i
			}
		}
		if at < 0 {
			at = len(out.Families)
			out.Families = append(out.Families, apiv1.FamilyStats{Family: name})
		}
		out.Families[at].Prefixes += uint64(t.Prefixes)
		out.Families[at].Paths += uint64(t.Paths)
	}
	for _, m := range st.Memory {
		out.Memory[m.Name] = m.Resident
	}
	out.Memory["render_cache"] = uint64(c.s.attrs.size.Load())
	for k := range metrics.Kinds {
		out.Lookups[k.String()] = c.s.metrics.Lookups[k].Get()
	}
	return c.marshal(200, &out)
}

// ribStats are the figures of the RIB, without the sources of what is originated
// here, which are no peers.
func (s *Server) ribStats() shard.Stats {
	st := s.rib.Stats()
	if s.opts.Origin != nil {
		st.Peers -= s.opts.Origin.Stats().Sources
	}
	return st
}

// scrape is /metrics.
func (c *call) scrape() *problem {
	if p := c.stream(); p != nil {
		return p
	}
	c.ctx.Response.Header.SetContentType("text/plain; version=0.0.4; charset=utf-8")
	c.s.metrics.Write(c.ctx.Response.BodyWriter())
	return nil
}

// collect writes what is read at each scrape.
func (s *Server) collect(w *metrics.Writer) {
	w.Gauge("ribd_info", 1, "version", s.opts.Version)
	w.GaugeFloat("ribd_uptime_seconds", time.Since(s.opts.Started).Seconds())
	ready, _ := s.isReady()
	n := uint64(0)
	if ready {
		n = 1
	}
	w.Gauge("ribd_ready", n)
	w.Gauge("ribd_http_connections", uint64(s.http.GetOpenConnectionsCount()))
	w.Gauge("ribd_http_streams", uint64(max(0, s.streams.Load())))
	w.Gauge("ribd_render_cache_bytes", uint64(max(0, s.attrs.size.Load())))
	metrics.RIB(w, s.ribStats())
	if s.opts.Origin != nil {
		collectOrigin(w, s.opts.Origin.Stats())
	}
	if s.opts.Peers != nil {
		collectPeers(w, s.listPeers(nil))
	}
	if s.opts.Flow != nil {
		collectFlow(w, s.opts.Flow.Stats())
	}
	if s.opts.Loads != nil {
		collectLoads(w, s.opts.Loads.List())
	}
}

// collectOrigin writes what is originated here.
func collectOrigin(w *metrics.Writer, st origin.Stats) {
	families := slices.Sorted(maps.Keys(st.Routes))
	for _, f := range families {
		w.Gauge("ribd_originated_routes", uint64(st.Routes[f]), "family", f.String())
	}
	w.Gauge("ribd_originated_guarded", uint64(st.Guarded))
	w.Gauge("ribd_originated_held", uint64(st.Held))
	w.Counter("ribd_originated_expired_total", st.Expired)
	for _, g := range slices.Sorted(maps.Keys(st.Refused)) {
		w.Counter("ribd_guard_refusals_total", st.Refused[g], "guard", string(g))
	}
	w.Counter("ribd_originated_not_kept_total", st.NotKept)
}

// collectLoads writes the sums over all loads and their states.
func collectLoads(w *metrics.Writer, list []apiv1.Load) {
	states := map[string]uint64{"waiting": 0, "loading": 0, "done": 0, "failed": 0, "cancelled": 0}
	var octets, records, routes, damaged uint64
	for i := range list {
		l := &list[i]
		states[l.State]++
		octets += l.Bytes
		records += l.Records
		routes += l.Routes
		damaged += l.Damaged
	}
	for _, s := range []string{"waiting", "loading", "done", "failed", "cancelled"} {
		w.Gauge("ribd_loads", states[s], "state", s)
	}
	w.Counter("ribd_load_bytes_total", octets)
	w.Counter("ribd_load_records_total", records)
	w.Counter("ribd_load_routes_total", routes)
	w.Counter("ribd_load_damaged_records_total", damaged)
}
