package api

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"ribd/engine/api/apiv1"
)

// fakeLoads keeps what it was sent.
type fakeLoads struct {
	mu   sync.Mutex
	list []apiv1.Load
	body bytes.Buffer
	rest time.Duration // what is left to do when all is read
}

func (f *fakeLoads) Body(r io.Reader, size int64, collector string) (string, <-chan struct{}, error) {
	done := make(chan struct{})
	f.mu.Lock()
	f.list = append(f.list, apiv1.Load{ID: "1", Name: "body", Collector: collector, State: "loading"})
	f.mu.Unlock()
	go func() {
		defer close(done)
		b, err := io.ReadAll(r)
		time.Sleep(f.rest)
		f.mu.Lock()
		defer f.mu.Unlock()
		f.body.Write(b)
		f.list[len(f.list)-1].State = "done"
		if err != nil {
			f.list[len(f.list)-1].State = "failed"
		}
	}()
	return "1", done, nil
}

func (f *fakeLoads) File(path, collector string) (string, error) {
	switch path {
	case "/none":
		return "", &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
	case "/odd":
		return "", errors.New("is a folder")
	}
	return "2", nil
}

func (f *fakeLoads) List() []apiv1.Load {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]apiv1.Load(nil), f.list...)
}

func (f *fakeLoads) Get(id string) (apiv1.Load, bool) {
	for _, l := range f.List() {
		if l.ID == id {
			return l, true
		}
	}
	return apiv1.Load{}, false
}

func TestChangesNeedTheRightToThem(t *testing.T) {
	b := newTable(t)
	tokens := []Token{{"r", RoleRead, "rrr"}, {"a", RoleAnnounce, "aaa"}, {"x", RoleAdmin, "xxx"}}
	open, err := New(Options{RIB: b.r, Loads: &fakeLoads{}})
	if err != nil {
		t.Fatal(err)
	}
	locked, err := New(Options{RIB: b.r, Loads: &fakeLoads{}, Tokens: tokens})
	if err != nil {
		t.Fatal(err)
	}
	const file = `{"file":"/x"}`
	for _, c := range []struct {
		s       *Server
		status  int
		headers []string
	}{
		{open, 202, nil},
		{open, 202, []string{"Host", "127.0.0.1:8080"}},
		{open, 202, []string{"Host", "[::1]:8080"}},
		{open, 403, []string{"Host", "example.org"}},
		{open, 403, []string{"Host", "localhost.example.org:80"}},
		{open, 403, []string{"Origin", "http://localhost"}},
		{open, 403, []string{"Forwarded", "for=127.0.0.1"}},
		{open, 403, []string{"X-Forwarded-For", "127.0.0.1"}},
		{locked, 401, nil},
		{locked, 401, []string{"Authorization", "Bearer nobody"}},
		{locked, 401, []string{"Authorization", "Basic xxx"}},
		{locked, 403, []string{"Authorization", "Bearer rrr"}},
		{locked, 403, []string{"Authorization", "Bearer aaa"}},
		{locked, 202, []string{"Authorization", "bearer xxx"}},
		{locked, 202, []string{"Authorization", "Bearer xxx", "Origin", "http://x"}},
	} {
		code, body, h := c.s.do("POST", "/api/v1/load", file, append([]string{"Content-Type", "application/json"}, c.headers...)...)
		if code != c.status {
			t.Errorf("%v: got %d %s, want %d", c.headers, code, body, c.status)
		}
		if code == 401 && len(h.Peek("Www-Authenticate")) == 0 {
			t.Errorf("401 without WWW-Authenticate")
		}
	}
	if code, _, _ := locked.do("GET", "/api/v1/stats", ""); code != 200 {
		t.Errorf("reading without a token: %d", code)
	}
	if code, _, _ := locked.do("GET", "/api/v1/stats", "", "Authorization", "Bearer x"); code != 401 {
		t.Errorf("reading with a token that nobody has: %d", code)
	}
	if code, _, _ := locked.do("POST", "/api/v1/lookup", "1.1.1.1", "Content-Type", "text/plain"); code != 200 {
		t.Errorf("a look-up is no change: %d", code)
	}
	if _, err := New(Options{RIB: b.r, Tokens: []Token{{"e", RoleRead, " "}}}); err == nil {
		t.Error("an empty secret is taken")
	}
}

// The answer has its id at once and ends when the load does.
func TestALoadMayTakeLongerThanAPartOfAnAnswer(t *testing.T) {
	t.Parallel()
	b := newTable(t)
	s := b.serve(func(o *Options) { o.Loads, o.WriteTimeout = &fakeLoads{rest: 3 * time.Second}, 2*time.Second })
	r, err := s.http.Post(s.url+"/api/v1/load", typeOctets, strings.NewReader("a dump"))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if got, err := io.ReadAll(r.Body); err != nil || string(got) != "{\"id\":\"1\"}\n" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestLoadOfFilesAndBodies(t *testing.T) {
	b := newTable(t)
	loads := &fakeLoads{}
	s := b.serve(func(o *Options) { o.Loads = loads })
	for body, status := range map[string]int{
		`{"file":"/x"}`: 202, `{"file":"/none"}`: 422, `{"file":"/odd"}`: 422, `{"fil":"/x"}`: 400, `{}`: 400, ``: 400, `{"file":"/x"}{}`: 400,
		`{"file":"` + strings.Repeat("x", maxJSON) + `"}`: 413,
	} {
		r, err := s.http.Post(s.url+"/api/v1/load", "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		_ = r.Body.Close()
		if r.StatusCode != status {
			t.Errorf("%.40s: got %d, want %d", body, r.StatusCode, status)
		}
	}
	dump := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	r, err := s.http.Post(s.url+"/api/v1/load?collector=rrc00", typeOctets, bytes.NewReader(dump))
	if err != nil {
		t.Fatal(err)
	}
	got, _ := io.ReadAll(r.Body)
	_ = r.Body.Close()
	if r.StatusCode != 202 || string(got) != "{\"id\":\"1\"}\n" || r.Header.Get("Location") != "/api/v1/loads/1" {
		t.Errorf("got %d %s", r.StatusCode, got)
	}
	if !bytes.Equal(loads.body.Bytes(), dump) {
		t.Errorf("%d octets of %d came", loads.body.Len(), len(dump))
	}
	var l apiv1.Load
	s.get(t, 200, "/api/v1/loads/1", &l)
	var list apiv1.Loads
	s.get(t, 200, "/api/v1/loads", &list)
	if l.State != "done" || l.Collector != "rrc00" || len(list.Loads) != 1 {
		t.Errorf("load %+v of %d", l, len(list.Loads))
	}
	// Without a loader the endpoint says so.
	if code, _, _ := b.serve().do("POST", "/api/v1/load", "x"); code != 501 {
		t.Errorf("without a loader: %d", code)
	}
}

func TestUnixSocketIsForOwnerAndGroup(t *testing.T) {
	b := newTable(t)
	path := filepath.Join(t.TempDir(), "http.sock")
	s, err := New(Options{RIB: b.r, Loads: &fakeLoads{}})
	if err != nil {
		t.Fatal(err)
	}
	l, err := ListenUnix(path)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- s.Serve(l) }()
	if fi, err := os.Stat(path); err != nil || fi.Mode().Perm() != 0o660 {
		t.Errorf("mode %v %v", fi.Mode(), err)
	}
	if _, err := ListenUnix(path); err == nil || !strings.Contains(err.Error(), "another server") {
		t.Errorf("a second server on the socket: %v", err)
	}
	tr := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return net.Dial("unix", path) }, DisableKeepAlives: true}
	r, err := (&http.Client{Transport: tr}).Post("http://anything/api/v1/load", "application/json", strings.NewReader(`{"file":"/x"}`))
	if err != nil {
		t.Fatal(err)
	}
	_ = r.Body.Close()
	if r.StatusCode != 202 {
		t.Errorf("a change by the socket: %d", r.StatusCode)
	}
	ctx, stop := context.WithTimeout(t.Context(), patience)
	defer stop()
	_ = s.Shutdown(ctx)
	if err := <-done; err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("the socket is left behind")
	}
}

func TestStrangersAreTurnedAway(t *testing.T) {
	b := newTable(t)
	s := b.serve(func(o *Options) { o.Allow = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")} })
	if r, err := s.http.Get(s.url + "/healthz"); err == nil {
		_ = r.Body.Close()
		t.Errorf("got %d", r.StatusCode)
	}
	if n := s.metrics.Refused.Get(); n == 0 {
		t.Error("it is not counted")
	}
	for a, want := range map[string]bool{"192.0.2.9": true, "::ffff:192.0.2.9": true, "192.0.3.9": false, "127.0.0.1": false} {
		if got := s.allowed(&net.TCPAddr{IP: net.ParseIP(a)}); got != want {
			t.Errorf("%s: %v", a, got)
		}
	}
}
