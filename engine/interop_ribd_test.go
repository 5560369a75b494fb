//go:build linux

package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"ribd/engine/api/apiv1"
	"ribd/internal/peertest"
)

// The AS numbers of the interop tests: ribd, the daemon beside it, and who
// feeds and listens.
const (
	ribdAS    = 64512
	daemonAS  = 65001
	speakerAS = 65009
)

// builtRIBD is ribd's program, built once; removeRIBD ends it with the tests.
var builtRIBD = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "ribd")
	if err != nil {
		return "", err
	}
	atExit = append(atExit, func() { os.RemoveAll(dir) })
	file := filepath.Join(dir, "ribd")
	if out, err := exec.Command("go", "build", "-o", file, "ribd/cmd/ribd").CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return file, nil
})

// ribdProc is a ribd of its own, on a host of a test's switch.
type ribdProc struct {
	t    testing.TB
	host *peertest.Host
	proc *peertest.Proc
	dir  string
	http *http.Client
}

// ribdConf is a configuration file, less what every test's has. Its peers
// import and export all unless they say otherwise.
type ribdConf struct {
	peers []string // a flow mapping each: `address: …, as: …`
	more  string   // what else stands at the file's top
}

// accept is what the tests' peers do with routes.
const accept = ", import: accept-all, export: accept-all"

// peerLine is a peer with its address and AS; more has more keys.
func peerLine(a netip.Addr, as int, more ...string) string {
	return fmt.Sprintf("address: %q, as: %d%s%s", a, as, accept, strings.Join(append([]string{""}, more...), ", "))
}

func (r *ribdProc) write(c ribdConf) {
	r.t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "as: %d\nrouter_id: %s\nlog: {level: debug}\nhttp: {listen: [%q]}\nbgp: {listen: [%q, %q]}\n",
		ribdAS, r.host.V4, "unix:"+r.socket(), netip.AddrPortFrom(r.host.V4, 179), netip.AddrPortFrom(r.host.V6, 179))
	b.WriteString(c.more + "\npeers:\n")
	for _, p := range c.peers {
		fmt.Fprintf(&b, "  - {%s}\n", p)
	}
	r.file("ribd.yaml", b.String())
}

func (r *ribdProc) file(name, text string) {
	r.t.Helper()
	if err := os.WriteFile(filepath.Join(r.dir, name), []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

func (r *ribdProc) socket() string { return filepath.Join(r.dir, "http") }

// startRIBD starts a ribd on a host and waits until it answers. files are put
// beside its configuration.
func startRIBD(t testing.TB, h *peertest.Host, c ribdConf, files ...[2]string) *ribdProc {
	t.Helper()
	bin, err := builtRIBD()
	if err != nil {
		t.Fatal(err)
	}
	r := &ribdProc{t: t, host: h, dir: peertest.Dir(t)}
	r.proc = peertest.NewProc(t, h, "ribd", r.dir, []string{"GOMAXPROCS=2"}, bin, "serve", "--config", filepath.Join(r.dir, "ribd.yaml"))
	r.http = &http.Client{Timeout: peertestWait, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", r.socket())
		},
	}}
	t.Cleanup(r.http.CloseIdleConnections)
	r.write(c)
	for _, f := range files {
		r.file(f[0], f[1])
	}
	r.start()
	return r
}

func (r *ribdProc) start() {
	r.t.Helper()
	r.proc.Start()
	peertest.Until(r.t, peertestWait, "ribd answers", func() error {
		if !r.proc.Running() {
			r.t.Fatal("ribd ended at its start")
		}
		_, err := r.ask("GET", "/healthz")
		return err
	})
}

// ask makes a request without a body.
func (r *ribdProc) ask(method, path string) ([]byte, error) {
	req, err := http.NewRequest(method, "http://ribd"+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := r.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode >= 300 {
		err = fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, b)
	}
	return b, err
}

func (r *ribdProc) get(path string, v any) error {
	b, err := r.ask("GET", path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("GET %s: %w in %s", path, err, b)
	}
	return nil
}

// post asks for a change.
func (r *ribdProc) post(path string) {
	r.t.Helper()
	if _, err := r.ask("POST", path); err != nil {
		r.t.Fatal(err)
	}
}

// reload puts another configuration in the place of the one that runs, by the
// signal that operators send, and waits until ribd says that it did so.
func (r *ribdProc) reload(c ribdConf) {
	r.t.Helper()
	r.write(c)
	r.post("/api/v1/reload")
}

func (r *ribdProc) peer(a netip.Addr) (p apiv1.Peer, err error) {
	err = r.get("/api/v1/peers/"+a.String(), &p)
	return p, err
}

// must returns the peer, which is there.
func (r *ribdProc) must(a netip.Addr) apiv1.Peer {
	r.t.Helper()
	p, err := r.peer(a)
	if err != nil {
		r.t.Fatal(err)
	}
	return p
}

// change does what an operator does with a peer: enable, disable, reset,
// refresh.
func (r *ribdProc) change(a netip.Addr, what, message string) {
	r.t.Helper()
	path := "/api/v1/peers/" + a.String() + "/" + what
	if message != "" {
		path += "?message=" + url.QueryEscape(message)
	}
	r.post(path)
}

// until waits until the peer is as a test wants it.
func (r *ribdProc) until(a netip.Addr, what string, ok func(p apiv1.Peer) bool) apiv1.Peer {
	r.t.Helper()
	var last apiv1.Peer
	peertest.Until(r.t, peertestWait, fmt.Sprintf("ribd: peer %s: %s", a, what), func() error {
		p, err := r.peer(a)
		if err != nil {
			return err
		}
		if last = p; !ok(p) {
			return fmt.Errorf("state %s, reason %s, flaps %d, messages %s, notifications %s, families %s",
				p.State, text(p.Reason), p.Flaps, show(p.Messages), show(p.LastNotification), show(p.Families))
		}
		return nil
	})
	return last
}

func (r *ribdProc) waitState(a netip.Addr, state string) apiv1.Peer {
	r.t.Helper()
	return r.until(a, "is "+state, func(p apiv1.Peer) bool { return p.State == state })
}

// established waits for sessions.
func (r *ribdProc) established(as ...netip.Addr) {
	r.t.Helper()
	for _, a := range as {
		r.waitState(a, "established")
	}
}

// family returns the counts of a family of a peer.
func family(p apiv1.Peer, name string) (f apiv1.PeerFamily) {
	for _, f := range p.Families {
		if f.Family == name {
			return f
		}
	}
	return f
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func show(v any) string {
	b, _ := json.Marshal(v)
	return string(b)
}

// paths asks for routes as lines; query is without table and prefix unless it
// says so.
func (r *ribdProc) paths(query string) ([]routePath, error) {
	req, err := http.NewRequest("GET", "http://ribd/api/v1/routes?"+query, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/x-ndjson")
	resp, err := r.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 200 {
		return nil, fmt.Errorf("routes?%s: %s: %w: %s", query, resp.Status, err, b)
	}
	var out []routePath
	for d := json.NewDecoder(bytes.NewReader(b)); d.More(); {
		var p routePath
		if err := d.Decode(&p); err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

// routePath is a row of routes: a path and its prefix, or the NLRI of a family
// without prefixes.
type routePath struct {
	Prefix   string  `json:"prefix"`
	NLRI     string  `json:"nlri"`
	NLRIText *string `json:"nlri_text"`
	apiv1.Path
}

// routes asks for unicast routes as the daemons show theirs.
func (r *ribdProc) routes(query string) ([]peertest.Route, error) {
	ps, err := r.paths(query)
	if err != nil {
		return nil, err
	}
	var out []peertest.Route
	for _, p := range ps {
		c := peertest.Route{
			Origin: text(p.Origin), ASPath: p.ASPath, MED: p.MED, LocalPref: p.LocalPref,
			Communities: p.Communities, LargeCommunities: p.LargeCommunities, ExtCommunities: p.ExtCommunities,
			AtomicAggregate: p.AtomicAggregate, Aggregator: text(p.Aggregator), Stale: p.Stale != nil,
		}
		if c.Prefix, err = netip.ParsePrefix(p.Prefix); err != nil {
			return nil, err
		}
		if p.PathID != nil {
			c.PathID = *p.PathID
		}
		if p.NextHop != nil {
			if c.NextHop, err = netip.ParseAddr(*p.NextHop); err != nil {
				return nil, err
			}
		}
		out = append(out, c)
	}
	return out, nil
}

// wantRoutes waits until a query answers with just these routes.
func (r *ribdProc) wantRoutes(query string, want []peertest.Route, masks ...peertest.Mask) {
	r.t.Helper()
	peertest.Until(r.t, peertestWait, "ribd: routes?"+query, func() error {
		got, err := r.routes(query)
		if err != nil {
			return err
		}
		return peertest.Diff(got, want, masks...)
	})
}

// memory returns ribd's resident octets, less the pages of files, which the
// kernel takes and gives as it likes.
func (r *ribdProc) memory() uint64 {
	r.t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", r.proc.PID()))
	if err != nil {
		r.t.Fatal(err)
	}
	var sum uint64
	for l := range strings.Lines(string(b)) {
		name, rest, _ := strings.Cut(l, ":")
		var kb uint64
		if n, _ := fmt.Sscanf(rest, "%d kB", &kb); n == 1 && (name == "RssAnon" || name == "RssShmem") {
			sum += kb << 10
		}
	}
	if sum == 0 {
		r.t.Fatal("no RssAnon")
	}
	return sum
}

func (r *ribdProc) hup() { r.proc.Signal(syscall.SIGHUP) }
