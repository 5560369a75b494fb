package benchkit

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// lines hands out what is written, to find the address of a server.
type lines chan string

func (l lines) Write(b []byte) (int, error) { l <- string(b); return len(b), nil }

func TestClientReadsTheBareServersBodies(t *testing.T) {
	name := filepath.Join(t.TempDir(), "answers.json")
	given := Answers{Type: "text/plain", Bodies: [][]byte{[]byte("one"), []byte("twelve"), bytes.Repeat([]byte("x"), 100_000)}}
	if err := given.Write(name); err != nil {
		t.Fatal(err)
	}
	a, err := ReadAnswers(name)
	if err != nil {
		t.Fatal(err)
	}
	log, stop, ended := make(lines, 1), make(chan struct{}), make(chan error, 1)
	go func() { ended <- ServeBare(a, log, stop) }()
	_, addr, _ := strings.Cut(strings.TrimSpace(<-log), "addr=")
	c, err := Dial(addr)
	if err != nil {
		t.Fatal(err)
	}
	request := []byte("GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n")
	seen := map[int]bool{}
	for range 9 {
		if err := c.Ask(request); err != nil {
			t.Fatal(err)
		}
		seen[len(c.Body)] = true
	}
	if len(seen) != 3 {
		t.Errorf("bodies of lengths %v", seen)
	}
	c.c.Close()
	if n, err := Rate(addr, 4, 20*time.Millisecond, [][]byte{request}); err != nil || n == 0 {
		t.Errorf("rate %v, %v", n, err)
	}
	close(stop)
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestClientReadsChunksAndRefusesOtherStatuses(t *testing.T) {
	want := strings.Repeat("0123456789", 10_000)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/no" {
			http.Error(w, "no", http.StatusNotFound)
			return
		}
		for i := 0; i < len(want); i += 5000 {
			w.Write([]byte(want[i : i+5000]))
			w.(http.Flusher).Flush()
		}
	}))
	defer server.Close()
	c, err := Dial(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := c.Ask([]byte("GET /yes HTTP/1.1\r\nHost: localhost\r\n\r\n")); err != nil || string(c.Body) != want {
			t.Fatalf("%v, %d octets of %d", err, len(c.Body), len(want))
		}
	}
	if err := c.Ask([]byte("GET /no HTTP/1.1\r\nHost: localhost\r\n\r\n")); err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("error %v", err)
	}
}

func TestTailFindsTheAddressWhereverTheLogIsCut(t *testing.T) {
	const text = "level=INFO msg=listening api=http addr=127.0.0.1:4321\nlevel=INFO more\n"
	for cut := range len(text) {
		addr := make(chan string, 1)
		l := tail{addr: addr}
		l.Write([]byte(text[:cut]))
		l.Write([]byte(text[cut:]))
		if got := <-addr; got != "127.0.0.1:4321" {
			t.Fatalf("cut at %d: %q", cut, got)
		}
	}
}

func TestStartSaysWhyAProgramEnded(t *testing.T) {
	if _, err := Start("sh", "-c", "echo no such table >&2; exit 3"); err == nil || !strings.Contains(err.Error(), "no such table") {
		t.Errorf("error %v", err)
	}
}
