package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"sync/atomic"
	"time"

	"ribd/internal/benchkit"
	"ribd/wire"
)

type announceCommand struct {
	measureFlags
	Only []string `help:"Only these: one, many." enum:"one,many" placeholder:"PART"`
}

// announceParts are the figures of announcing, by name.
var announceParts = []struct {
	name string
	run  func(*env) error
}{{"one", (*env).announceOne}, {"many", (*env).announceMany}}

// Run measures routes that programs announce.
func (c *announceCommand) Run() error {
	var parts []func(*env) error
	for _, p := range announceParts {
		if len(c.Only) == 0 || has(c.Only, p.name) {
			parts = append(parts, p.run)
		}
	}
	return c.measure(parts...)
}

// apiPort is the port of the API of a daemon that listens for BGP on to.
func apiPort(dir string) (string, error) {
	b, err := os.ReadFile(filepath.Join(dir, "api"))
	return string(b), err
}

// takeAPIPort finds a port of loopback for a daemon's API, and keeps it in dir.
func takeAPIPort(dir string) (string, error) {
	addr, err := freePort()
	if err != nil {
		return "", err
	}
	return addr.String(), os.WriteFile(filepath.Join(dir, "api"), []byte(addr.String()), 0o600)
}

// announcingRibd is a ribd that sends what programs announce to sinks; with
// persist it keeps it on the disk that dir is on.
func announcingRibd(name string, persist bool) *rival {
	return &rival{
		name: name,
		find: (*env).ribd,
		start: func(_ *env, program string, to netip.AddrPort, dir string) (*exec.Cmd, error) {
			addr, err := takeAPIPort(dir)
			if err != nil {
				return nil, err
			}
			conf := fmt.Sprintf(`as: %d
router_id: 192.0.2.254
bgp: {listen: ["%s"]}
http: {listen: ["%s"]}
log: {level: warn}
peer_defaults: {families: [ipv4-unicast], hold_time: 240s, graceful_restart: false, extended_messages: false}
peers:
  - {prefix: 127.2.0.0/16, as: any, import: accept-all, export: accept-all}
`, ownAS, to, addr)
			if persist {
				conf += "persist: {dir: state}\n"
			}
			file := filepath.Join(dir, "ribd.yaml")
			if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
				return nil, err
			}
			return exec.Command(program, "serve", "--config", file), nil
		},
		count: func(d *daemon) (int, error) {
			addr, err := apiPort(d.dir)
			if err != nil {
				return 0, err
			}
			resp, err := http.Get("http://" + addr + "/healthz")
			if err != nil {
				return 0, err
			}
			return 0, resp.Body.Close()
		},
		dial: func(addr string) (program, error) {
			c, err := benchkit.Dial(addr)
			return &httpProgram{addr: addr, conn: c}, err
		},
	}
}

var (
	announcer = announcingRibd("ribd", false)
	keeper    = announcingRibd("ribd with persist", true)
)

// program is somebody who announces routes over a daemon's API.
type program interface {
	// one announces a route, and returns when that is acknowledged.
	one(p netip.Prefix) error
	// many announces routes as quickly as the API can, and returns when all of
	// them are acknowledged.
	many(ps []netip.Prefix) error
	close()
}

// programOf connects to a daemon.
func programOf(d *daemon) (program, error) {
	addr, err := apiPort(d.dir)
	if err != nil {
		return nil, err
	}
	return d.dial(addr)
}

// httpProgram announces over ribd's HTTP API, on a connection that stays.
type httpProgram struct {
	addr string
	conn *benchkit.Conn
	buf  []byte
}

// pathObject appends the JSON of a route: an origin, an empty AS path, a next
// hop and a community, as the rival's has.
func pathObject(b []byte, p netip.Prefix) []byte {
	b = append(b, `{"prefix":"`...)
	b = p.AppendTo(b)
	return append(b, `","next_hop":"192.0.2.1","origin":"igp","communities":["65000:1"]}`...)
}

func (h *httpProgram) one(p netip.Prefix) error {
	body := pathObject(nil, p)
	h.buf = fmt.Appendf(h.buf[:0], "POST /api/v1/paths HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", h.addr, len(body), body)
	return h.conn.Ask(h.buf)
}

func (h *httpProgram) many(ps []netip.Prefix) error {
	var body []byte
	for _, p := range ps {
		body = append(pathObject(body, p), '\n')
	}
	req, err := http.NewRequest(http.MethodPost, "http://"+h.addr+"/api/v1/paths", bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-ndjson")
	req.Header.Set("Accept", "application/x-ndjson")
	conn, err := net.Dial("tcp", h.addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	sent := make(chan error, 1)
	go func() { sent <- req.Write(conn) }()
	resp, err := http.ReadResponse(bufio.NewReaderSize(conn, 1<<18), req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	n := 0
	buf := make([]byte, 1<<18)
	for err == nil {
		var k int
		k, err = resp.Body.Read(buf)
		n += bytes.Count(buf[:k], []byte{'\n'})
		if bad := bytes.Index(buf[:k], []byte(`"error"`)); bad >= 0 {
			return fmt.Errorf("answered %.200s", buf[bad:k])
		}
	}
	switch {
	case err != io.EOF:
		return err
	case resp.StatusCode != http.StatusOK || n != len(ps):
		return fmt.Errorf("answer %s with %d lines for %d routes", resp.Status, n, len(ps))
	}
	return <-sent
}

func (h *httpProgram) close() { h.conn.Close() }

// announced is how long routes take from a request to a peer's socket.
type announced struct{ p50, p99 float64 } // ms

// manyPrefixes returns n different prefixes.
func (e *env) manyPrefixes(n int) []netip.Prefix {
	return e.v4[:min(n, len(e.v4))]
}

// announceOnce announces routes one after the other to a daemon with one peer.
func (e *env) announceOnce(r *rival, n int) (a announced, err error) {
	d, err := e.launch(r)
	if err != nil || d == nil {
		return a, err
	}
	defer d.explain(&err)
	came := make(chan time.Time, 4)
	sink, err := speak(sinkAddr(0), d.to, sinkAS, false, func(msg []byte) {
		if len(msg) > wire.HeaderLen+4 { // no End-of-RIB
			came <- time.Now()
		}
	})
	if err != nil {
		return a, err
	}
	defer sink.close()
	prog, err := programOf(d)
	if err != nil {
		return a, err
	}
	defer prog.close()
	time.Sleep(300 * time.Millisecond)
	var took []time.Duration
	for i, p := range e.manyPrefixes(n) {
		start := time.Now()
		if err = prog.one(p); err != nil {
			return a, err
		}
		select {
		case at := <-came:
			if i >= n/10 { // the first warm up
				took = append(took, at.Sub(start))
			}
		case <-sink.done:
			return a, sink.ended()
		case <-time.After(speakerLimit):
			return a, fmt.Errorf("route %d, %v, did not come to the peer", i, p)
		}
	}
	sort.Slice(took, func(i, j int) bool { return took[i] < took[j] })
	at := func(part float64) float64 {
		return took[min(len(took)-1, int(part*float64(len(took))))].Seconds() * 1e3
	}
	return announced{at(0.5), at(0.99)}, nil
}

// announceOne measures one route at a time: from the request to the octets on a
// peer's socket.
func (e *env) announceOne() error {
	n := 2000
	if e.Smoke {
		n = 50
	}
	e.note("announcing routes one by one")
	run := func(r *rival, into *[]announced) func() (float64, error) {
		return func() (float64, error) {
			a, err := e.announceOnce(r, n)
			*into = append(*into, a)
			return a.p99, err
		}
	}
	var kept []announced
	for range e.Runs {
		if _, err := run(keeper, &kept)(); err != nil {
			return err
		}
	}
	of := func(as []announced, f func(announced) float64) (v []float64) {
		for _, a := range as {
			v = append(v, f(a))
		}
		return v
	}
	p50 := func(a announced) float64 { return a.p50 }
	p99 := func(a announced) float64 { return a.p99 }
	rivals, err := e.announceRivals()
	if err != nil {
		return err
	}
	for _, b := range rivals {
		var ours, theirs []announced
		if _, _, err := benchkit.Pairs(e.Runs, run(announcer, &ours), run(b.rival, &theirs)); err != nil {
			return err
		}
		row := e.besideRival(b, "announce one: request to peer, p99", "ms", of(ours, p99), of(theirs, p99), benchkit.LessIsBetter, benchkit.AtMost(1))
		row.Note = fmt.Sprintf("%d routes one after the other, each on a connection that stays; from the first octet of the request to the UPDATE at the peer", n)
		e.add(e.besideRival(b, "announce one: request to peer, p50", "ms", of(ours, p50), of(theirs, p50), benchkit.LessIsBetter, nil), row)
	}
	e.add(
		benchkit.Single("announce one, kept on disk: p50", "ms", of(kept, p50), nil),
		benchkit.Single("announce one, kept on disk: p99", "ms", of(kept, p99), nil),
	)
	return nil
}

// announceAll announces many routes at once, and returns how many a second are
// acknowledged and at the peer.
func (e *env) announceAll(r *rival, n int) (rate float64, err error) {
	d, err := e.launch(r)
	if err != nil || d == nil {
		return 0, err
	}
	defer d.explain(&err)
	var last atomic.Int64
	sink, err := speak(sinkAddr(0), d.to, sinkAS, false, func([]byte) { last.Store(time.Now().UnixNano()) })
	if err != nil {
		return 0, err
	}
	defer sink.close()
	prog, err := programOf(d)
	if err != nil {
		return 0, err
	}
	defer prog.close()
	time.Sleep(300 * time.Millisecond)
	ps := e.manyPrefixes(n)
	start := time.Now()
	if err = prog.many(ps); err != nil {
		return 0, err
	}
	end := time.Now()
	if err = sink.await("the routes", func() bool { return sink.routes.Load() >= int64(len(ps)) }); err != nil {
		return 0, err
	}
	if at := time.Unix(0, last.Load()); at.After(end) {
		end = at
	}
	return float64(len(ps)) / end.Sub(start).Seconds(), nil
}

// announceMany measures many routes in one stream.
func (e *env) announceMany() error {
	n, ofKept := 200_000, 200_000
	if e.Smoke {
		n, ofKept = 2000, 2000
	}
	e.note("announcing %d routes in a stream", n)
	var kept []float64
	for range e.Runs {
		rate, err := e.announceAll(keeper, ofKept)
		if err != nil {
			return err
		}
		kept = append(kept, rate)
	}
	rivals, err := e.announceRivals()
	if err != nil {
		return err
	}
	for _, b := range rivals {
		ours, theirs, err := benchkit.Pairs(e.Runs,
			func() (float64, error) { return e.announceAll(announcer, n) },
			func() (float64, error) { return e.announceAll(b.rival, n) })
		if err != nil {
			return err
		}
		row := e.besideRival(b, "announce many", "routes/s", ours, theirs, benchkit.MoreIsBetter, benchkit.AtLeast(200_000))
		row.Note = fmt.Sprintf("%d routes as NDJSON, until every line is answered and every route is at the peer; %s", n, b.many)
		e.add(row)
	}
	disk := benchkit.Single("announce many, kept on disk", "routes/s", kept, e.atFull(benchkit.AtLeast(50_000)))
	disk.Note = "each line answered when it is durable"
	e.add(disk)
	return nil
}

// announceRival is a rival of announcing.
type announceRival struct {
	*rival
	suffix string // of the names of its rows
	many   string // how it takes many routes
}

// announceRivals returns GoBGP, and Rotonda where it is on this machine.
func (e *env) announceRivals() ([]announceRival, error) {
	rivals := []announceRival{{gobgpAnnouncer, "", "GoBGP by AddPathStream, which answers once for all"}}
	program, err := rotondaAnnouncer.find(e)
	if program != "" {
		rivals = append(rivals, announceRival{rotondaAnnouncer, ", beside Rotonda",
			fmt.Sprintf("Rotonda by requests of %d prefixes with the same attributes, one UPDATE each", rotondaBatch)})
	}
	return rivals, err
}

// besideRival makes a row with a rival, or of ours alone where it is not on this
// machine.
func (e *env) besideRival(b announceRival, name, unit string, ours, theirs []float64, c benchkit.Compare, g *benchkit.Goal) benchkit.Row {
	for _, v := range theirs {
		if v == 0 {
			return benchkit.Single(name+b.suffix, unit, ours, e.atFull(g))
		}
	}
	return benchkit.Paired(name+b.suffix, unit, b.name, ours, theirs, c, e.atFull(g))
}

// waitContext bounds one call.
func waitContext() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), speakerLimit)
}

// inPeers finds a program of `make peers`, or in the path.
func inPeers(names ...string) func(*env) (string, error) {
	dir, err := filepath.Abs(cmp.Or(os.Getenv("PEERS"), ".peers"))
	if err != nil {
		return inPath(names...)
	}
	return func(e *env) (string, error) {
		for _, n := range names {
			if p := filepath.Join(dir, n); isProgram(p) {
				return p, nil
			}
		}
		return inPath(names...)(e)
	}
}

func isProgram(p string) bool {
	st, err := os.Stat(p)
	return err == nil && st.Mode().IsRegular() && st.Mode()&0o111 != 0
}
