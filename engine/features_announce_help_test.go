package engine

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"ribd/engine/adjout"
	"ribd/wire"
)

// settle waits until the player was sent the table, an End-of-RIB for each of
// its families, and ribd knows it: from then on it is told of changes at once.
func (p *player) settle() *player {
	p.t.Helper()
	eventually(p.t, "End-of-RIB", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return len(p.ends) >= p.families
	})
	p.inStep()
	return p
}

// engines are the engines that speaking has started, by where they listen.
var engines sync.Map

// inStep waits until what ribd has to send the player is with it, and the
// sending is over: what comes next is sent, not queued behind it.
func (p *player) inStep() {
	p.t.Helper()
	e, ok := engines.Load(p.conn.RemoteAddr().String())
	if !ok {
		p.t.Fatalf("%s: no engine listens there", p.conn.RemoteAddr())
	}
	from, port := p.local(), p.conn.LocalAddr().(*net.TCPAddr).Port
	ctx, cancel := context.WithTimeout(context.Background(), waitLimit)
	defer cancel()
	eventually(p.t, from.String()+" is in step", func() bool {
		for _, s := range e.(*Engine).bgp.sessions.Sessions() {
			if m, ok := s.User().(*adjout.Member); ok && s.Remote.Addr().Unmap() == from && int(s.Remote.Port()) == port {
				return m.Wait(ctx) == nil
			}
		}
		return false
	})
}

// isRead waits until ribd has read what the player has sent.
func (p *player) isRead(c *client) {
	p.t.Helper()
	count := func() uint64 { return c.peer(p.local().String()).Messages.Received.RouteRefresh }
	before := count()
	p.send(wire.AppendRouteRefresh(nil, wire.RouteRefresh{Family: wire.L2VPNEVPN})) // not spoken: ignored
	eventually(p.t, "what was sent is read", func() bool { return count() > before })
}

func newRequest(t *testing.T, c *client, method, path, body string) *http.Request {
	t.Helper()
	req, err := http.NewRequest(method, c.base+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	return req
}

func do(t *testing.T, c *client, req *http.Request) (int, string) {
	t.Helper()
	resp, err := c.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}
