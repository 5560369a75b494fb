package metrics

import (
	"fmt"
	"io"
	"strconv"
	"sync"

	vm "github.com/VictoriaMetrics/metrics"
)

// Kind says how addresses were looked up.
type Kind uint8

// The kinds of look-ups.
const (
	Single   Kind = iota // GET lookup/{address}
	Batch                // POST lookup, text or JSON
	Packed               // POST lookup, octets
	Filtered             // any of them with filters, answered from a view
	Kinds
)

// String is the label of the kind.
func (k Kind) String() string {
	switch k {
	case Single:
		return "single"
	case Batch:
		return "batch"
	case Packed:
		return "packed"
	case Filtered:
		return "filtered"
	}
	return "unknown"
}

// Reload is how a reload of the configuration ended.
type Reload uint8

// The ends of a reload.
const (
	ReloadOK      Reload = iota // carried out
	ReloadRefused               // the file has an error: nothing was changed
	reloads
)

// String is the label of the end.
func (r Reload) String() string {
	switch r {
	case ReloadOK:
		return "ok"
	case ReloadRefused:
		return "refused"
	}
	return "unknown"
}

// Set is the metrics of one server. The exported counters are ready to use.
type Set struct {
	Lookups   [Kinds]*vm.Counter // addresses looked up
	Rows      *vm.Counter        // rows of routes written
	BodyIn    *vm.Counter        // octets of request bodies read by streams
	Refused   *vm.Counter        // connections from addresses that may not connect
	Overload  *vm.Counter        // requests answered 503
	CacheHit  *vm.Counter        // rendered attribute sets found in the cache
	CacheMiss *vm.Counter        // and not found
	Broken    *vm.Counter        // streams that ended early: a gone or stalled client

	Reloads [reloads]*vm.Counter // reloads of the configuration

	Announced [2]*vm.Counter // paths and rules that requests announced, and withdrew

	FlowMatches [Filtered]*vm.Counter // packets that Flow Spec rules were matched against, by how they came

	set *vm.Set

	mu        sync.Mutex
	endpoints []*Endpoint
	collect   []func(*Writer)
}

// New makes the metrics of one server, all zero.
func New() *Set {
	s := &Set{set: vm.NewSet()}
	for k := range Kinds {
		s.Lookups[k] = s.set.NewCounter(fmt.Sprintf(`ribd_lookups_total{kind=%q}`, k))
	}
	for r := range reloads {
		s.Reloads[r] = s.set.NewCounter(fmt.Sprintf(`ribd_reloads_total{result=%q}`, r))
	}
	for k := range Filtered {
		s.FlowMatches[k] = s.set.NewCounter(fmt.Sprintf(`ribd_flowspec_matches_total{kind=%q}`, k))
	}
	for i, change := range []string{"announce", "withdraw"} {
		s.Announced[i] = s.set.NewCounter(fmt.Sprintf(`ribd_announced_total{change=%q}`, change))
	}
	s.Rows = s.set.NewCounter("ribd_route_rows_total")
	s.BodyIn = s.set.NewCounter("ribd_http_body_bytes_total")
	s.Refused = s.set.NewCounter("ribd_http_connections_refused_total")
	s.Overload = s.set.NewCounter("ribd_http_overload_total")
	s.CacheHit = s.set.NewCounter(`ribd_render_cache_total{result="hit"}`)
	s.CacheMiss = s.set.NewCounter(`ribd_render_cache_total{result="miss"}`)
	s.Broken = s.set.NewCounter("ribd_http_streams_broken_total")
	return s
}

// Register adds a function that writes what is read at each scrape: the sizes of
// a table, the state of loads. It may be called at any time.
func (s *Set) Register(f func(*Writer)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.collect = append(s.collect, f)
}

// Write appends all metrics in the Prometheus text format, with those of the
// process and of the Go runtime.
func (s *Set) Write(w io.Writer) {
	s.mu.Lock()
	endpoints, collect := s.endpoints, s.collect
	s.mu.Unlock()
	mw := &Writer{w: w}
	for _, e := range endpoints {
		e.write(mw)
	}
	s.set.WritePrometheus(w)
	for _, f := range collect {
		f(mw)
	}
	vm.WriteProcessMetrics(w)
}

// Writer writes metrics whose values are read at the scrape.
type Writer struct {
	w io.Writer
}

// Gauge writes one value that may go down. Labels are pairs of name and value.
func (w *Writer) Gauge(name string, v uint64, labels ...string) {
	vm.WriteGaugeUint64(w.w, Name(name, labels...), v)
}

// GaugeFloat is Gauge for a value that is no whole number.
func (w *Writer) GaugeFloat(name string, v float64, labels ...string) {
	vm.WriteGaugeFloat64(w.w, Name(name, labels...), v)
}

// Counter writes one value that only grows.
func (w *Writer) Counter(name string, v uint64, labels ...string) {
	vm.WriteCounterUint64(w.w, Name(name, labels...), v)
}

// Name writes a metric's name with its labels, which are pairs of name and value.
func Name(name string, labels ...string) string {
	if len(labels) == 0 {
		return name
	}
	b := append([]byte(name), '{')
	for i := 0; i+1 < len(labels); i += 2 {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, labels[i]...)
		b = append(b, '=')
		b = strconv.AppendQuote(b, labels[i+1])
	}
	return string(append(b, '}'))
}
