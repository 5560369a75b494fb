package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"ribd/engine/api/apiv1"
	"ribd/engine/config"
)

const sample = "../sample/sample.mrt.zst"

// The sample's counts, as sample/README.md has them.
const (
	samplePaths    = 147867
	samplePrefixes = 50000
)

// atExit are run after all tests.
var atExit []func()

func TestMain(m *testing.M) {
	// Interop tests wait, most of their time, for what daemons do by themselves.
	flag.Parse()
	set := false
	flag.Visit(func(f *flag.Flag) { set = set || f.Name == "test.parallel" })
	if !set {
		flag.Set("test.parallel", strconv.Itoa(2*runtime.GOMAXPROCS(0)))
	}
	goleak.VerifyTestMain(settled{m}, append(stays,
		goleak.Cleanup(func(code int) {
			for _, f := range atExit {
				f()
			}
			os.Exit(code)
		}))...)
}

// stays is what is no leak: fasthttp's pool of workers looks every 10 seconds
// whether it is to end, and its clock for the Date header goes on for the whole
// process.
var stays = []goleak.Option{
	goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"),
	goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
}

// settled runs tests, and gives goroutines that are about to end more time for
// it than goleak does, half a second.
type settled struct{ m *testing.M }

func (s settled) Run() int {
	code := s.m.Run()
	for end := time.Now().Add(waitLimit); code == 0 && goleak.Find(stays...) != nil && time.Now().Before(end); {
	}
	return code
}

// logged is a log that tests read.
func logged(t *testing.T) (*slog.Logger, *safeBuffer) {
	b := &safeBuffer{}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("log:\n%s", b)
		}
	})
	return slog.New(slog.NewTextHandler(b, &slog.HandlerOptions{Level: slog.LevelDebug})), b
}

// conf parses a configuration that listens on a free port unless it says where.
func conf(t *testing.T, src string) *config.Config {
	t.Helper()
	c, err := config.Parse(filepath.Join(t.TempDir(), "ribd.yaml"), []byte(src))
	if err != nil {
		t.Fatal(err)
	}
	c.BGP.Listen = []config.Listen{{Network: "tcp", Address: "127.0.0.1:0"}}
	if !strings.Contains(src, "listen") {
		c.HTTP.Listen = []config.Listen{{Network: "tcp", Address: "127.0.0.1:0"}}
	}
	return c
}

// start starts an engine that ends with the test.
func start(t *testing.T, o Options) (*Engine, *client) {
	t.Helper()
	if o.Config == nil {
		o.Config = conf(t, "")
	}
	if o.Log == nil {
		o.Log, _ = logged(t)
	}
	e, err := Start(o)
	if err != nil {
		t.Fatal(err)
	}
	c := &client{t: t, http: &http.Client{Transport: &http.Transport{}}, base: "http://" + e.Addrs()[0].String()}
	t.Cleanup(func() {
		c.http.CloseIdleConnections()
		ctx, cancel := context.WithTimeout(context.Background(), waitLimit)
		defer cancel()
		if err := e.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
	})
	return e, c
}

// client asks a running engine.
type client struct {
	t    *testing.T
	http *http.Client
	base string
}

func (c *client) ask(method, path, contentType string, body io.Reader) (int, []byte) {
	c.t.Helper()
	req, err := http.NewRequest(method, c.base+path, body)
	if err != nil {
		c.t.Fatal(err)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return resp.StatusCode, b
}

func (c *client) get(path string, v any) {
	c.t.Helper()
	status, b := c.ask("GET", path, "", nil)
	if status != 200 {
		c.t.Fatalf("GET %s: %d %s", path, status, b)
	}
	if err := json.Unmarshal(b, v); err != nil {
		c.t.Fatalf("GET %s: %v in %s", path, err, b)
	}
}

// ready waits for readiness.
func (c *client) ready() {
	c.t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if status, _ := c.ask("GET", "/readyz", "", nil); status == 200 {
			return
		}
	}
	c.t.Fatal("never ready")
}

func TestTheSampleIsLoadedAndAnswered(t *testing.T) {
	log, text := logged(t)
	_, c := start(t, Options{Log: log, Version: "test", Loads: []Load{{File: sample}}})
	c.ready()
	var l apiv1.Lookup
	c.get("/api/v1/lookup/8.8.8.8", &l)
	if l.Prefix == nil || *l.Prefix != "8.8.8.0/24" || len(l.Paths) == 0 || l.Paths[0].OriginASN == nil || *l.Paths[0].OriginASN != 15169 {
		t.Errorf("8.8.8.8: got %+v", l)
	}
	var s apiv1.Stats
	c.get("/api/v1/stats", &s)
	if s.Paths != samplePaths || s.Prefixes != samplePrefixes || s.Peers != 3 || s.Version != "test" || !s.Ready {
		t.Errorf("stats: got %+v", s)
	}
	for _, want := range []string{"listening api=http addr=127.0.0.1:", "msg=ready prefixes=50000 paths=147867"} {
		eventually(t, fmt.Sprintf("%q is logged", want), func() bool { return strings.Contains(text.String(), want) })
	}
	if status, b := c.ask("GET", "/metrics", "", nil); status != 200 || !bytes.Contains(b, []byte("ribd_")) {
		t.Errorf("metrics: %d %.200s", status, b)
	}
}

func TestNothingToLoadIsReadyAtOnceAndEmpty(t *testing.T) {
	e, c := start(t, Options{})
	if ok, waits := e.Ready(); !ok {
		t.Errorf("not ready: %s", waits)
	}
	var l apiv1.Lookup
	c.get("/api/v1/lookup/8.8.8.8", &l)
	if l.Prefix != nil || len(l.Paths) != 0 {
		t.Errorf("an empty table answers %+v", l)
	}
}

func TestBodiesFilesAndStandardInputAreLoaded(t *testing.T) {
	dump, err := os.ReadFile(sample)
	if err != nil {
		t.Fatal(err)
	}
	for _, how := range []string{"body", "file", "stdin"} {
		t.Run(how, func(t *testing.T) {
			o := Options{}
			if how == "stdin" {
				o.Stdin, o.Loads = bytes.NewReader(dump), []Load{{File: "-"}}
			}
			_, c := start(t, o)
			var started apiv1.LoadStarted
			switch how {
			case "body":
				status, b := c.ask("POST", "/api/v1/load?collector=rrc00", "application/octet-stream", bytes.NewReader(dump))
				if status != 202 || json.Unmarshal(b, &started) != nil {
					t.Fatalf("%d %s", status, b)
				}
			case "file":
				path, _ := filepath.Abs(sample)
				b, _ := json.Marshal(apiv1.LoadFile{File: path, Collector: "rrc00"})
				status, b := c.ask("POST", "/api/v1/load", "application/json", bytes.NewReader(b))
				if status != 202 || json.Unmarshal(b, &started) != nil {
					t.Fatalf("%d %s", status, b)
				}
			case "stdin":
				c.ready()
				started.ID = "1"
			}
			var l apiv1.Load
			for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
				if c.get("/api/v1/loads/"+started.ID, &l); l.FinishedAt != nil {
					break
				}
			}
			if l.State != "done" || l.Routes != samplePaths || l.Damaged != 0 || l.Truncated {
				t.Fatalf("got %+v", l)
			}
			var ps apiv1.Peers
			c.get("/api/v1/peers", &ps)
			if len(ps.Peers) != 3 {
				t.Fatalf("%d peers", len(ps.Peers))
			}
			if status, b := c.ask("DELETE", "/api/v1/peers/"+ps.Peers[0].ID, "", nil); status >= 300 {
				t.Fatalf("drop: %d %s", status, b)
			}
			c.get("/api/v1/peers", &ps)
			if len(ps.Peers) != 2 {
				t.Errorf("%d peers are left of 3", len(ps.Peers))
			}
		})
	}
}

func TestASecondInstanceSaysThatTheAddressIsTaken(t *testing.T) {
	e, _ := start(t, Options{})
	cfg := conf(t, "")
	cfg.HTTP.Listen = []config.Listen{{Network: "tcp", Address: e.Addrs()[0].String()}}
	_, err := Start(Options{Config: cfg})
	want := fmt.Sprintf("api: %s is taken: another ribd, or another program, listens there; --http 127.0.0.1:0 takes a free port", e.Addrs()[0])
	if err == nil || err.Error() != want {
		t.Errorf("got %v\nwant %s", err, want)
	}

	sock := filepath.Join(t.TempDir(), "s")
	cfg = conf(t, "http: {listen: [\"unix:"+sock+"\"]}\n")
	start(t, Options{Config: cfg})
	if _, err = Start(Options{Config: cfg}); err == nil || !strings.Contains(err.Error(), sock) {
		t.Errorf("two on one socket: %v", err)
	}
}

func TestMissingFilesAreRefusedByName(t *testing.T) {
	cfg := conf(t, "as: 64512\nload: [{file: nowhere.mrt}]\n")
	_, err := Start(Options{Config: cfg})
	var ps config.Problems
	if !errors.As(err, &ps) || len(ps) != 1 || !strings.Contains(ps[0].String(), "ribd.yaml:2:15: load[0].file: no file") {
		t.Errorf("got %v", err)
	}
	if _, err := Start(Options{Config: conf(t, ""), Loads: []Load{{File: "nowhere.mrt"}}}); err == nil || !strings.Contains(err.Error(), "nowhere.mrt") {
		t.Errorf("a missing file of the command line: %v", err)
	}
}

// cut is the sample, cut off.
func cut(t *testing.T) string {
	t.Helper()
	dump, err := os.ReadFile(sample)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "cut.mrt.zst")
	if err := os.WriteFile(path, dump[:len(dump)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestATruncatedDumpIsLoadedUnlessItHasToBeSound(t *testing.T) {
	path := cut(t)
	_, c := start(t, Options{Loads: []Load{{File: path}}})
	c.ready()
	var ls apiv1.Loads
	c.get("/api/v1/loads", &ls)
	if len(ls.Loads) != 1 || !ls.Loads[0].Truncated || ls.Loads[0].Routes == 0 || ls.Loads[0].Routes >= samplePaths || ls.Loads[0].State != "done" {
		t.Errorf("got %+v", ls.Loads)
	}

	e, _ := start(t, Options{Loads: []Load{{File: path}}, Strict: true})
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := e.Wait(ctx); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("strict: got %v", err)
	}
	if ok, _ := e.Ready(); ok {
		t.Error("strict: ready after an error")
	}
}

func TestShutdownInTheMiddleOfALoadEndsIt(t *testing.T) {
	r, w := net.Pipe()
	defer w.Close()
	e, _ := start(t, Options{Stdin: r, Loads: []Load{{File: "-"}, {File: sample}}})
	if ok, waits := e.Ready(); ok || waits == "" {
		t.Error("ready before the load is over")
	}
	// The load waits for its reader, which nobody closes before the engine ends.
	ctx, cancel := context.WithTimeout(context.Background(), waitLimit)
	defer cancel()
	if err := e.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	r.Close()
}

func TestTokensAndTLSAreReadFromTheirFiles(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "ribd.yaml")
	cert, key := selfSigned(t)
	for name, text := range map[string]string{
		"ribd.yaml": "http:\n  listen: [\"127.0.0.1:0\"]\n  tokens: [{name: a, role: admin, secret_file: a.token}]\n  tls: {cert: c.pem, key: k.pem}\n",
		"a.token":   "s3cret\n", "c.pem": cert, "k.pem": key,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	e, c := start(t, Options{Config: cfg})
	c.base = "https://" + e.Addrs()[0].String()
	c.http.Transport.(*http.Transport).TLSClientConfig = trust(t, cert)
	if status, b := c.ask("DELETE", "/api/v1/peers/0123456789abcdef", "", nil); status != 401 {
		t.Errorf("a change without token: %d %s", status, b)
	}
	req, _ := http.NewRequest("DELETE", c.base+"/api/v1/peers/0123456789abcdef", nil)
	req.Header.Set("Authorization", "Bearer s3cret")
	resp, err := c.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 404 {
		t.Errorf("a change with the token: %d", resp.StatusCode)
	}
	for _, bad := range []string{"", "two words\n"} {
		if err := os.WriteFile(filepath.Join(dir, "a.token"), []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Start(Options{Config: cfg}); err == nil || !strings.Contains(err.Error(), "a.token does not hold one token") {
			t.Errorf("token %q: %v", bad, err)
		}
	}
}
