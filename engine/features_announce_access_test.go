package engine

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ribd/wire"
)

// TestOnlyThoseWhoMayAnnounceDo has tokens of each role try every entrance, and
// a web page on the same machine.
func TestOnlyThoseWhoMayAnnounceDo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var tokens []string
	for _, role := range []string{"read", "announce", "admin"} {
		file := filepath.Join(dir, role)
		if err := os.WriteFile(file, []byte("secret-of-"+role+"-0123456789\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		tokens = append(tokens, fmt.Sprintf("{name: %s, role: %s, secret_file: %s}", role, role, file))
	}
	const peer = "address: 127.21.120.1, as: 65001, families: [ipv4-unicast, ipv4-flowspec]"
	c, _ := hub(t, "http: {tokens: ["+strings.Join(tokens, ", ")+"]}\n", peer)
	open, _ := hub(t, "", peer)
	const path, rule = `{"prefix":"203.0.113.0/24","next_hop":"192.0.2.1"}`, `{"text":"destination 203.0.113.7/32 then rate-limit 0"}`
	for _, x := range []struct {
		method, path, body string
		changes            bool
	}{
		{"POST", "/api/v1/paths", path, true},
		{"DELETE", "/api/v1/paths", `{"prefix":"203.0.113.0/24"}`, true},
		{"POST", "/api/v1/flowspec", rule, true},
		{"DELETE", "/api/v1/flowspec/0123456789abcdef", "", true},
		{"POST", "/api/v1/updates", `{"send":true,` + path[1:], true},
		{"POST", "/api/v1/updates", path, false},
		{"POST", "/api/v1/flowspec/match", `{"dst":"203.0.113.7"}`, false},
		{"GET", "/api/v1/paths", "", false},
		{"GET", "/api/v1/flowspec", "", false},
	} {
		for _, role := range []string{"read", "announce", "admin"} {
			req := newRequest(t, c, x.method, x.path, x.body)
			req.Header.Set("Authorization", "Bearer secret-of-"+role+"-0123456789")
			status, b := do(t, c, req)
			if denied := status == 403 || status == 401; denied != (x.changes && role == "read") {
				t.Errorf("%s %s with %s: %d %s", x.method, x.path, role, status, b)
			}
		}
		if !x.changes {
			continue
		}
		if status, b := c.ask(x.method, x.path, "application/json", strings.NewReader(x.body)); status != 401 && status != 403 {
			t.Errorf("%s %s without a token: %d %s", x.method, x.path, status, b)
		}
		// Without tokens loopback may, but no page that a browser there shows, and
		// nothing behind a proxy.
		for _, h := range [][2]string{{"Origin", "http://evil.example"}, {"X-Forwarded-For", "192.0.2.1"}, {"Forwarded", "for=192.0.2.1"}} {
			req := newRequest(t, open, x.method, x.path, x.body)
			req.Header.Set(h[0], h[1])
			if status, b := do(t, open, req); status != 403 {
				t.Errorf("%s %s with %s: %d %s", x.method, x.path, h[0], status, b)
			}
		}
		req := newRequest(t, open, x.method, x.path, x.body)
		req.Host = "evil.example"
		if status, b := do(t, open, req); status != 403 {
			t.Errorf("%s %s for another host: %d %s", x.method, x.path, status, b)
		}
	}
	if got := open.originates(""); len(got) != 0 {
		t.Errorf("originated: %v", got)
	}
}

func TestShutdownTakesBackWhatWasAnnouncedHere(t *testing.T) {
	t.Parallel()
	src := hubConfig("shutdown: withdraw\npersist: {dir: "+t.TempDir()+"}\n", "address: 127.21.121.1, as: 65001, families: [ipv4-unicast, ipv4-flowspec]")
	e, c, _ := speaking(t, src, nil)
	o := playerOptions{from: ip("127.21.121.1"), as: 65001, families: []wire.Family{v4u, wire.IPv4FlowSpec}}
	one := play(t, e.BGPAddrs()[0].String(), o).settle()
	c.post("/api/v1/paths", `{"prefix":"203.0.113.0/24","next_hop":"192.0.2.1"}`)
	c.post("/api/v1/flowspec", `{"text":"destination 203.0.113.7/32 then rate-limit 0"}`)
	keys := []string{"203.0.113.0/24", "ipv4-flowspec 060120cb007107"}
	one.expect("both", keys...)
	ctx, cancel := context.WithTimeout(context.Background(), waitLimit)
	defer cancel()
	if err := e.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the session ends", one.over)
	if got := one.holds(); len(got) != 0 {
		t.Errorf("it was left with %v", got)
	}
	// Kept all the same, for the next start.
	e, _, _ = speaking(t, src, nil)
	play(t, e.BGPAddrs()[0].String(), o).expect("again", keys...)
}
