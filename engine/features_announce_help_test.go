package engine

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// settle waits until the player was sent the table, an End-of-RIB for each of
// its families: from then on it is told of changes at once.
func (p *player) settle() *player {
	p.t.Helper()
	eventually(p.t, "End-of-RIB", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return len(p.ends) >= p.families
	})
	return p
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
