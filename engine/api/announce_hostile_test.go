package api

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"ribd/engine/api/apiv1"
	"ribd/engine/origin"
)

// A body of lines may be open for days: the end of a route counts from its line.
func TestExpiresAtCountsFromItsLine(t *testing.T) {
	var r pathReader
	r.begin(nil, takesAnnounce, false)
	time.Sleep(20 * time.Millisecond)
	end := time.Now().Add(time.Hour).Round(0)
	in, p := r.read([]byte(`{"prefix":"10.9.1.0/24","next_hop":"192.0.2.66","expires_at":"` + end.UTC().Format(time.RFC3339Nano) + `"}`))
	if p != nil || in.ttl > time.Hour {
		t.Errorf("ttl %v, %v", in.ttl, p)
	}
	// It ends then, however long it waits for others before it is carried out.
	if r := in.route(); !r.From.Add(r.TTL).Equal(end) {
		t.Errorf("ends at %v, want %v", r.From.Add(r.TTL), end)
	}
	if _, p = r.read([]byte(`{"prefix":"10.9.1.0/24","next_hop":"192.0.2.66","expires_at":"` + time.Now().Add(-time.Millisecond).UTC().Format(time.RFC3339Nano) + `"}`)); p == nil {
		t.Error("an end that is past is taken")
	}
}

// Dry runs are for everybody. So they do not write into what is remembered for
// those who may announce, and what is answered to these is not shown to others.
func TestDryRunsLeaveIdempotencyKeysAlone(t *testing.T) {
	_, s, _ := announcing(t)
	var err error
	if s.tokens, err = newTokens([]Token{{"a", RoleAnnounce, "aaa"}}); err != nil {
		t.Fatal(err)
	}
	dry := `{"prefix":"10.9.0.0/16","next_hop":"192.0.2.66"}`
	s.post(t, 200, "POST", "/api/v1/updates", js, dry, nil, headerKey, "k")
	if _, _, ok := s.opts.Origin.Recall("k"); ok {
		t.Error("a dry run without a token is remembered")
	}
	var a apiv1.PathAnnounced
	s.post(t, 200, "POST", "/api/v1/paths", js, dry, &a, headerKey, "k", "Authorization", "Bearer aaa")
	send := strings.Replace(dry, "{", `{"send":true,`, 1)
	s.post(t, 200, "POST", "/api/v1/updates", js, send, nil, headerKey, "k2", "Authorization", "Bearer aaa")
	s.post(t, 401, "POST", "/api/v1/updates", js, send, nil, headerKey, "k2")
	s.post(t, 401, "POST", "/api/v1/updates", js, send, nil)
	s.post(t, 200, "POST", "/api/v1/updates", js, dry, nil, headerKey, "k2")
}

// A rate that is no number is malformed (RFC 8955 7), at every entrance.
func TestRatesThatAreNoNumbersAreRefusedEverywhere(t *testing.T) {
	b := newFlowTable(t)
	for _, uri := range []string{"/api/v1/paths", "/api/v1/flowspec", "/api/v1/updates"} {
		body := `{"family":"ipv4-flowspec","nlri":"0501180a0900","ttl":"1h","ext_communities":["0x800600007fc00000"]}`
		b.s.opts.Preview = plainPreview
		if code, answer, _ := b.s.do("POST", uri, body, "Content-Type", js); code != 400 || !strings.Contains(answer, "finite") {
			t.Errorf("%s: %d %s", uri, code, answer)
		}
	}
}

// Many lists of peers, each long, take no memory.
func TestLongListsOfPeersAreNotRemembered(t *testing.T) {
	_, s, _ := announcing(t)
	var r pathReader
	r.begin(&call{s: s}, takesAnnounce, false)
	list := strings.Repeat(`"192.0.2.9",`, 1000) + `"192.0.2.9"`
	in, p := r.read([]byte(`{"prefix":"10.9.1.0/24","next_hop":"192.0.2.66","peers":[` + list + `]}`))
	if p != nil || len(in.peers) != 1 || in.prefix != netip.MustParsePrefix("10.9.1.0/24") {
		t.Fatalf("%+v %v", in, p)
	}
	if len(r.peers) != 0 {
		t.Errorf("%d lists are remembered", len(r.peers))
	}
}

// Showing messages is for everybody, and takes many times the memory of what is
// sent: there is a bound on each list and on how many there are.
func TestLongListsToShowAreBounded(t *testing.T) {
	_, s, _ := announcing(t)
	s.post(t, 413, "POST", "/api/v1/updates", js, "["+strings.Repeat(" ", maxPreview)+"]", nil)
	list := `[{"prefix":"10.9.0.0/16","next_hop":"192.0.2.66"}` + strings.Repeat(" ", smallPreview) + "]"
	in, out := make(chan struct{}), make(chan struct{})
	s.opts.Preview = func(string, []PreviewRoute) ([]byte, []PreviewRefusal, error) {
		in <- struct{}{}
		<-out
		return nil, nil, nil
	}
	done := make(chan int, maxPreviews)
	for range maxPreviews {
		go func() {
			code, _, _ := s.do("POST", "/api/v1/updates", list, "Content-Type", js)
			done <- code
		}()
		select {
		case <-in:
		case code := <-done:
			t.Fatalf("%d, and nothing was shown", code)
		}
	}
	if code, answer, h := s.do("POST", "/api/v1/updates", list, "Content-Type", js); code != 503 || len(h.Peek("Retry-After")) == 0 {
		t.Errorf("%d %s", code, answer)
	}
	close(out)
	for range maxPreviews {
		if code := <-done; code != 200 {
			t.Errorf("%d", code)
		}
	}
	s.opts.Preview = plainPreview
	s.post(t, 200, "POST", "/api/v1/updates", js, list, nil)
}

func TestABugIsNoRefusal(t *testing.T) {
	if p := refusedRoute(origin.ErrUnfinished, true); p.status != 500 {
		t.Errorf("%+v", p)
	}
}
