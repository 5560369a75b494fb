package api

import (
	"context"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/osrg/gobgp/v3/pkg/packet/bgp"
	"github.com/valyala/fasthttp"

	"ribd/engine/api/apiv1"
	"ribd/engine/origin"
	"ribd/shard/rib"
	"ribd/wire"
)

// fakeTold says of every route that two sessions have it and one is down; the
// route of 198.51.100.0/24 is refused by one of them.
type fakeTold struct {
	mu    sync.Mutex
	calls int
	block chan struct{} // not nil: every call waits for it
}

const (
	idOfNine = "8f00c2d1e4b7a650" // 192.0.2.9 in testdata/peers.json
	idOfDown = "0d4aa1937be2c8f6"
)

func (f *fakeTold) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls
}

func (f *fakeTold) told(_ context.Context, routes []origin.Route, results []origin.Result, each func(int, []PeerAnswer)) {
	f.mu.Lock()
	f.calls++
	f.mu.Unlock()
	if f.block != nil {
		<-f.block
	}
	for i := range results {
		if results[i].Err != nil {
			continue
		}
		peers := []PeerAnswer{
			{Peer: "192.0.2.1", PeerID: transitA, State: PeerSent},
			{Peer: "192.0.2.9", PeerID: idOfNine, State: PeerSent, PathID: 7, HasPathID: true},
			{Peer: "198.51.100.7", PeerID: idOfDown, State: PeerDown, Reason: "idle"},
		}
		if routes[i].Prefix == netip.MustParsePrefix("198.51.100.0/24") {
			peers[0].State, peers[0].Reason = PeerRefused, "policy"
		}
		each(i, peers)
	}
}

// plainPreview encodes routes as they are; it stands for adjout, which has tests
// of its own.
func plainPreview(_ string, routes []PreviewRoute) (messages []byte, refused []PreviewRefusal, err error) {
	e := wire.NewEncoder(wire.SendOptions{AS4: true})
	for i, r := range routes {
		if r.Prefix == netip.MustParsePrefix("198.51.100.0/24") {
			refused = append(refused, PreviewRefusal{i, "policy"})
			continue
		}
		if r.Withdraw {
			e.Withdraw(r.Family)
		} else if err := e.Announce(r.Family, r.Attrs); err != nil {
			return nil, nil, err
		}
		a := r.Prefix.Addr().As16()
		switch {
		case r.Family == wire.IPv4Unicast:
			e.Route4(uint32(a[12])<<24|uint32(a[13])<<16|uint32(a[14])<<8|uint32(a[15]), uint8(r.Prefix.Bits()), 0)
		case !r.Prefix.IsValid():
			e.RouteRaw([]byte(r.NLRI), 0)
		default:
			return nil, nil, fmt.Errorf("the family %s is not in this test", r.Family)
		}
	}
	return e.Flush(), refused, nil
}

// announcing is the small table with sessions, and something to originate with.
func announcing(t testing.TB, change ...func(*origin.Options)) (*table, *Server, *fakeTold) {
	t.Helper()
	b, s, _ := withSessions(t)
	return b, s, originate(t, b, s, change...)
}

// originate gives a server what it needs to announce.
func originate(t testing.TB, b *table, s *Server, change ...func(*origin.Options)) *fakeTold {
	t.Helper()
	o := origin.Options{RIB: b.r, AS: 64512, Guards: origin.Guards{
		Protected: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}, MinLength4: 24, MaxTTL: 24 * time.Hour, DefaultTTL: time.Hour,
	}}
	for _, c := range change {
		c(&o)
	}
	m, err := origin.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	f := &fakeTold{}
	s.opts.Announcing = Announcing{Origin: m, Told: f.told, Preview: plainPreview}
	return f
}

const js = "application/json"

// post sends a body that has to be answered with a status.
func (s *Server) post(t testing.TB, status int, method, uri, contentType, content string, out any, headers ...string) string {
	t.Helper()
	code, answer, _ := s.do(method, uri, content, append([]string{"Content-Type", contentType}, headers...)...)
	if code != status {
		t.Fatalf("%s %s %s: got %d, want %d: %s", method, uri, shown(content), code, status, answer)
	}
	if out != nil {
		strict(t, uri, answer, out)
	}
	return answer
}

func originated(t testing.TB, s *Server, uri string) (list []string) {
	t.Helper()
	var page apiv1.OriginatedPaths
	s.get(t, 200, uri, &page)
	for _, p := range page.Paths {
		text := p.Family + " "
		if p.RD != nil {
			text += *p.RD + " "
		}
		if p.Prefix != nil {
			text += *p.Prefix
		} else {
			text += *p.NLRI
		}
		if p.PathID != nil {
			text += fmt.Sprintf(" #%d", *p.PathID)
		}
		list = append(list, text)
	}
	return list
}

func TestAPathIsAnnouncedListedAndWithdrawn(t *testing.T) {
	b, s, _ := announcing(t)
	var a apiv1.PathAnnounced
	s.post(t, 200, "POST", "/api/v1/paths", js, `{"prefix":"10.9.0.0/16","next_hop":"192.0.2.66","communities":["no-export"],"med":7}`, &a)
	if a.Prefix == nil || *a.Prefix != "10.9.0.0/16" || a.PathID != nil || a.AttrsID == 0 || a.ExpiresAt != nil || len(a.Peers) != 3 {
		t.Errorf("%+v", a)
	}
	if p := a.Peers[1]; *p.Peer != "192.0.2.9" || p.State != "sent" || p.Reason != nil || *p.AdvertisedPathID != 7 {
		t.Errorf("%+v", p)
	}
	if p := a.Peers[2]; p.State != "down" || *p.Reason != "idle" || p.AdvertisedPathID != nil {
		t.Errorf("%+v", p)
	}
	b.r.Sync()
	var routes apiv1.Routes
	s.get(t, 200, "/api/v1/routes?prefix=10.9.0.0/16&source=local", &routes)
	if len(routes.Routes) != 1 || routes.Routes[0].Peer != nil || routes.Routes[0].Source != "local" || !routes.Routes[0].Best || routes.Routes[0].AttrsID != a.AttrsID {
		t.Errorf("%+v", routes)
	}
	var look apiv1.Lookup
	s.get(t, 200, "/api/v1/lookup/10.9.1.1", &look)
	if prefixOf(&look) != "10.9.0.0/16" || look.Paths[0].Peer != nil || *look.Paths[0].MED != 7 {
		t.Errorf("%+v", look)
	}
	if got := originated(t, s, "/api/v1/paths"); !slices.Equal(got, []string{"ipv4-unicast 10.9.0.0/16"}) {
		t.Errorf("listed: %v", got)
	}
	// Again: nothing changes.
	var again apiv1.PathAnnounced
	s.post(t, 200, "POST", "/api/v1/paths", js, `{"prefix":"10.9.0.0/16","med":7,"next_hop":"192.0.2.66","communities":["65535:65281"]}`, &again)
	if again.AttrsID != a.AttrsID {
		t.Errorf("attrs_id %d, then %d", a.AttrsID, again.AttrsID)
	}
	var w apiv1.PathWithdrawn
	s.post(t, 200, "DELETE", "/api/v1/paths", js, `{"prefix":"10.9.0.0/16","next_hop":"192.0.2.66"}`, &w)
	if !w.Withdrawn || *w.Prefix != "10.9.0.0/16" {
		t.Errorf("%+v", w)
	}
	b.r.Sync()
	s.get(t, 200, "/api/v1/routes?prefix=10.9.0.0/16&source=local", &routes)
	if len(routes.Routes) != 0 || len(originated(t, s, "/api/v1/paths")) != 0 {
		t.Errorf("still there: %+v", routes)
	}
	if answer := s.post(t, 404, "DELETE", "/api/v1/paths", js, `{"prefix":"10.9.0.0/16"}`, nil); !strings.Contains(answer, "not originated here") {
		t.Error(answer)
	}
}

func TestPathIDsAreKeys(t *testing.T) {
	b, s, _ := announcing(t)
	s.post(t, 200, "POST", "/api/v1/paths", js, `[{"prefix":"10.9.0.0/16","next_hop":"192.0.2.66"},{"prefix":"10.9.0.0/16","next_hop":"192.0.2.67","path_id":0},
		{"prefix":"10.9.0.0/16","next_hop":"192.0.2.68","path_id":9}]`, nil)
	b.r.Sync()
	var routes apiv1.Routes
	s.get(t, 200, "/api/v1/routes?prefix=10.9.0.0/16", &routes)
	if len(routes.Routes) != 3 {
		t.Errorf("%d paths", len(routes.Routes))
	}
	if got := originated(t, s, "/api/v1/paths"); !slices.Equal(got, []string{"ipv4-unicast 10.9.0.0/16", "ipv4-unicast 10.9.0.0/16 #0", "ipv4-unicast 10.9.0.0/16 #9"}) {
		t.Errorf("%v", got)
	}
	s.post(t, 200, "DELETE", "/api/v1/paths", js, `{"prefix":"10.9.0.0/16"}`, nil)
	s.post(t, 200, "DELETE", "/api/v1/paths", js, `{"prefix":"10.9.0.0/16","path_id":9}`, nil)
	if got := originated(t, s, "/api/v1/paths"); !slices.Equal(got, []string{"ipv4-unicast 10.9.0.0/16 #0"}) {
		t.Errorf("%v", got)
	}
}

func TestAListIsAllOrNothingAndTheErrorSaysWhichItem(t *testing.T) {
	_, s, _ := announcing(t)
	good := `{"prefix":"10.9.%d.0/24","next_hop":"192.0.2.66"}`
	list := func(items ...string) string { return "[" + strings.Join(items, ",") + "]" }
	var p apiv1.Problem
	for _, c := range []struct {
		body          string
		status, index int
		param, guard  string
	}{
		{list(fmt.Sprintf(good, 1), `{"prefix":"10.9.2.0/24"}`), 400, 1, "[1].next_hop", ""},
		{list(fmt.Sprintf(good, 1), fmt.Sprintf(good, 2), `{"prefix":"203.0.113.7/32","next_hop":"192.0.2.66","communities":["blackhole"]}`), 422, 2, "[2]", "protected"},
		{list(`{"prefix":"10.0.0.0/8","next_hop":"192.0.2.66","communities":["blackhole"]}`, fmt.Sprintf(good, 1)), 422, 0, "[0]", "min_length"},
		{list(`{"prefix":"10.0.0.1/32","ttl":"25h","next_hop":"192.0.2.66","communities":["blackhole"]}`), 422, 0, "[0].ttl", "max_ttl"},
		{list(fmt.Sprintf(good, 1), `5`), 400, 1, "[1]", ""},
	} {
		p = apiv1.Problem{}
		s.post(t, c.status, "POST", "/api/v1/paths", js, c.body, &p)
		if p.Index == nil || *p.Index != c.index || p.Param != c.param || p.Guard != c.guard {
			t.Errorf("%s: %+v", c.body, p)
		}
	}
	p = apiv1.Problem{}
	s.post(t, 422, "POST", "/api/v1/paths", js, `{"prefix":"203.0.113.7","next_hop":"192.0.2.66","communities":["blackhole"]}`, &p)
	if p.Index != nil || p.Guard != "protected" || !strings.Contains(p.Detail, "protected") {
		t.Errorf("%+v", p)
	}
	if got := originated(t, s, "/api/v1/paths"); got != nil {
		t.Errorf("announced: %v", got)
	}
	s.post(t, 400, "POST", "/api/v1/paths", js, `[]`, nil)
	s.post(t, 400, "POST", "/api/v1/paths", js, list(fmt.Sprintf(good, 1))+" 1", nil)
	s.post(t, 200, "POST", "/api/v1/paths", js, list(fmt.Sprintf(good, 1), fmt.Sprintf(good, 2)), nil)
	if answer := s.post(t, 404, "DELETE", "/api/v1/paths", js, `[{"prefix":"10.9.1.0/24"},{"prefix":"10.9.3.0/24"}]`, &p); !strings.Contains(answer, `"index":1`) {
		t.Error(answer)
	}
	if got := originated(t, s, "/api/v1/paths"); len(got) != 2 {
		t.Errorf("withdrawn: %v", got)
	}
	var ws []apiv1.PathWithdrawn
	s.post(t, 200, "DELETE", "/api/v1/paths", js, `[{"prefix":"10.9.1.0/24"},{"prefix":"10.9.2.0/24"}]`, &ws)
	if len(ws) != 2 || originated(t, s, "/api/v1/paths") != nil {
		t.Errorf("%+v", ws)
	}
}

func TestFamiliesAreMixedInOneRequest(t *testing.T) {
	_, s, _ := announcing(t)
	var as []apiv1.PathAnnounced
	s.post(t, 200, "POST", "/api/v1/paths", js, `[
		{"prefix":"2001:db8:9::/48","next_hop":"2001:db8::66"},
		{"family":"ipv4-flowspec","nlri":"0501180a0900"},
		{"family":"ipv4-vpn","rd":"65001:1","labels":[100],"prefix":"10.9.0.0/16","next_hop":"192.0.2.66"},
		{"family":"l2vpn-evpn","nlri":"0301ff","next_hop":"192.0.2.66"},
		{"prefix":"10.9.0.0/16","next_hop":"self"}]`, &as)
	if len(as) != 5 || as[1].Prefix != nil || *as[1].NLRI != "0501180a0900" || *as[2].RD != "65001:1" {
		t.Errorf("%+v", as)
	}
	want := []string{"ipv4-unicast 10.9.0.0/16", "ipv4-vpn 65001:1 10.9.0.0/16", "ipv4-flowspec 0501180a0900", "ipv6-unicast 2001:db8:9::/48", "l2vpn-evpn 0301ff"}
	if got := originated(t, s, "/api/v1/paths"); !slices.Equal(got, want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
	for uri, n := range map[string]int{"?family=ipv4-vpn": 1, "?family=ipv4-vpn&rd=65001:1": 1, "?family=ipv4-vpn&rd=65001:2": 0, "?prefix=10.9.0.0/16": 2, "?prefix=10.9.0.0/16&family=ipv4-unicast": 1, "?family=ipv4-flowspec": 1} {
		if got := originated(t, s, "/api/v1/paths"+uri); len(got) != n {
			t.Errorf("%s: %v", uri, got)
		}
	}
	var page apiv1.OriginatedPaths
	s.get(t, 200, "/api/v1/paths?family=ipv4-flowspec", &page)
	if p := page.Paths[0]; p.NLRIText == nil || *p.NLRIText != "destination 10.9.0.0/24" || p.NextHop != nil {
		t.Errorf("%+v", p)
	}
}

func TestAnIdempotencyKeyIsCarriedOutOnce(t *testing.T) {
	_, s, f := announcing(t)
	body := `{"prefix":"10.9.1.0/24","next_hop":"192.0.2.66"}`
	first := s.post(t, 200, "POST", "/api/v1/paths", js, body, nil, headerKey, "k1")
	s.post(t, 200, "DELETE", "/api/v1/paths", js, `{"prefix":"10.9.1.0/24"}`, nil)
	code, second, h := s.do("POST", "/api/v1/paths", body, "Content-Type", js, headerKey, "k1")
	if code != 200 || second != first || string(h.Peek(headerReplayed)) != "true" {
		t.Errorf("%d %s", code, second)
	}
	if got := originated(t, s, "/api/v1/paths"); got != nil {
		t.Errorf("announced again: %v", got)
	}
	for _, c := range []struct{ method, body string }{{"POST", `{"prefix":"10.9.2.0/24","next_hop":"192.0.2.66"}`}, {"DELETE", body}} {
		if answer := s.post(t, 422, c.method, "/api/v1/paths", js, c.body, nil, headerKey, "k1"); !strings.Contains(answer, "another request") {
			t.Error(answer)
		}
	}
	// What was refused is tried again.
	s.post(t, 400, "POST", "/api/v1/paths", js, `{"prefix":"10.9.2.0/24"}`, nil, headerKey, "k2")
	s.post(t, 200, "POST", "/api/v1/paths", js, `{"prefix":"10.9.2.0/24","next_hop":"192.0.2.66"}`, nil, headerKey, "k2")
	s.post(t, 400, "POST", "/api/v1/paths", js, body, nil, headerKey, strings.Repeat("k", 256))
	s.post(t, 400, "POST", "/api/v1/paths", typeNDJSON, body, nil, headerKey, "k3")
	// One that runs is waited for by asking again.
	f.block = make(chan struct{})
	was := f.count()
	done := make(chan string, 1)
	go func() {
		code, answer, _ := s.do("POST", "/api/v1/paths", body, "Content-Type", js, headerKey, "k4")
		done <- fmt.Sprintf("%d %s", code, answer)
	}()
	eventually(t, "the request runs", func() bool { return f.count() > was || len(done) > 0 })
	if len(done) > 0 {
		t.Fatalf("it did not wait: %s", <-done)
	}
	code, answer, h := s.do("POST", "/api/v1/paths", body, "Content-Type", js, headerKey, "k4")
	if code != 409 || len(h.Peek("Retry-After")) == 0 {
		t.Errorf("%d %s", code, answer)
	}
	close(f.block)
	if got := <-done; !strings.HasPrefix(got, "200 ") {
		t.Errorf("the one that ran: %s", got)
	}
}

func TestTTLsAreShownAsTheirEnd(t *testing.T) {
	_, s, _ := announcing(t)
	var a apiv1.PathAnnounced
	near := func(want time.Duration, path string) {
		t.Helper()
		begin := time.Now().Truncate(time.Millisecond) // as answers give times
		s.post(t, 200, "POST", "/api/v1/paths", js, path, &a)
		if a.ExpiresAt == nil || a.ExpiresAt.Before(begin.Add(want)) || a.ExpiresAt.After(time.Now().Add(want)) {
			t.Errorf("expires_at %v, want %v after %v", a.ExpiresAt, want, begin)
		}
	}
	near(10*time.Minute, `{"prefix":"10.9.1.0/24","next_hop":"192.0.2.66","ttl":"10m"}`)
	near(90*time.Second, `{"prefix":"10.9.1.0/24","next_hop":"192.0.2.66","ttl":90}`)
	end := time.Now().Add(time.Hour).UTC().Truncate(time.Millisecond)
	s.post(t, 200, "POST", "/api/v1/paths", js, `{"prefix":"10.9.1.0/24","next_hop":"192.0.2.66","expires_at":"`+end.Format(time.RFC3339Nano)+`"}`, &a)
	if a.ExpiresAt == nil || !a.ExpiresAt.Equal(end) {
		t.Errorf("expires_at %v, want %v", a.ExpiresAt, end)
	}
	near(time.Hour, `{"prefix":"10.9.2.1/32","next_hop":"192.0.2.66","communities":["blackhole"]}`) // guards.default_ttl
	a = apiv1.PathAnnounced{}
	s.post(t, 200, "POST", "/api/v1/paths", js, `{"prefix":"10.9.1.0/24","next_hop":"192.0.2.66"}`, &a)
	if a.ExpiresAt != nil {
		t.Errorf("%v", a.ExpiresAt)
	}
}

// A row of the list is a path that can be announced: what it says is all there is.
func TestARowOfTheListAnnouncesTheSame(t *testing.T) {
	_, s, _ := announcing(t)
	s.post(t, 200, "POST", "/api/v1/paths", js, `[
		{"prefix":"10.9.1.0/24","next_hop":"192.0.2.66","as_path":"65001 {1,2}","communities":["1:2"],"aggregator":"65001 192.0.2.1","ext_communities":["rt:1:2","rt:[2001:db8::1]:2"],"path_id":4,"ttl":"1h","peers":["192.0.2.9"],
		 "unknown_attributes":[{"type":99,"flags":224,"value":"00"}]},
		{"family":"ipv6-vpn","rd":"192.0.2.1:5","labels":[16,17],"prefix":"2001:db8::/32","next_hop":"2001:db8::1","next_hop_link_local":"fe80::1"},
		{"family":"ipv4-flowspec","nlri":"0501180a0900"},
		{"prefix":"2001:db8:1::/48","next_hop":"self"}]`, nil)
	_, before, _ := s.do("GET", "/api/v1/paths", "", "Accept", typeNDJSON)
	answer := s.post(t, 200, "POST", "/api/v1/paths", typeNDJSON, before, nil)
	if strings.Contains(answer, `"error"`) || strings.Count(answer, "\n") != 4 {
		t.Fatal(answer)
	}
	_, after, _ := s.do("GET", "/api/v1/paths", "", "Accept", typeNDJSON)
	if before != after {
		t.Errorf("before:\n%safter:\n%s", before, after)
	}
	if !strings.Contains(after, `"peers":["`+idOfNine+`"]`) || !strings.Contains(after, `"labels":[16,17]`) {
		t.Error(after)
	}
	s.post(t, 200, "DELETE", "/api/v1/paths", typeNDJSON, after, nil)
	if got := originated(t, s, "/api/v1/paths"); got != nil {
		t.Errorf("left: %v", got)
	}
}

func TestAPathForAPeerThatIsNoMoreSaysSo(t *testing.T) {
	got := string(appendPeerAnswers(nil, []string{"0000000000000001", idOfNine}, []PeerAnswer{{Peer: "192.0.2.9", PeerID: idOfNine}, {Peer: "192.0.2.1", PeerID: transitA}}))
	want := `[{"peer":"192.0.2.9","peer_id":"8f00c2d1e4b7a650","state":"sent","reason":null,"advertised_path_id":null},` +
		`{"peer":null,"peer_id":"0000000000000001","state":"down","reason":"there is no such peer now","advertised_path_id":null}]`
	if got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

// A row of routes is a path that can be announced, whoever it is from.
func TestARowOfRoutesCanBeAnnounced(t *testing.T) {
	_, s, _ := announcing(t)
	_, rows, _ := s.do("GET", "/api/v1/routes", "", "Accept", typeNDJSON)
	answer := s.post(t, 200, "POST", "/api/v1/paths", typeNDJSON, rows, nil)
	if strings.Contains(answer, `"error"`) || strings.Count(answer, "\n") != strings.Count(rows, "\n") {
		t.Error(answer)
	}
}

func TestALongListIsAnsweredWhole(t *testing.T) {
	_, s, _ := announcing(t)
	const n = 40_000
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `,{"prefix":"%d.%d.%d.0/24","next_hop":"192.0.2.66"}`, 20+i>>16, i>>8&255, i&255)
	}
	var as []apiv1.PathAnnounced
	s.post(t, 200, "POST", "/api/v1/paths", js, "["+b.String()[1:]+"]", &as, headerKey, "long")
	for i := range as {
		if want := fmt.Sprintf("%d.%d.%d.0/24", 20+i>>16, i>>8&255, i&255); *as[i].Prefix != want || len(as[i].Peers) != 3 {
			t.Fatalf("answer %d: %+v, want %s", i, as[i], want)
		}
	}
	if len(as) != n {
		t.Errorf("%d answers", len(as))
	}
}

func TestWhatIsHeldByGuardsIsListedWithTheReason(t *testing.T) {
	_, s, _ := announcing(t)
	s.post(t, 200, "POST", "/api/v1/paths", js, `{"prefix":"10.9.2.1/32","next_hop":"192.0.2.66","communities":["blackhole"]}`, nil)
	s.opts.Origin.SetGuards(origin.Guards{Protected: []netip.Prefix{netip.MustParsePrefix("10.9.0.0/16")}})
	var page apiv1.OriginatedPaths
	s.get(t, 200, "/api/v1/paths", &page)
	if len(page.Paths) != 1 || page.Paths[0].Held == nil || page.Paths[0].Held.Guard != "protected" || page.Paths[0].Advertised == nil || len(page.Paths[0].Advertised) != 0 {
		t.Errorf("%+v", page.Paths)
	}
}

func TestWhatIsOriginatedHereIsNoPeer(t *testing.T) {
	b, s, _ := announcing(t)
	var before, after apiv1.Peers
	var stats apiv1.Stats
	s.get(t, 200, "/api/v1/stats", &stats)
	n := stats.Peers
	s.get(t, 200, "/api/v1/peers", &before)
	s.post(t, 200, "POST", "/api/v1/paths", js, `[{"prefix":"10.9.2.1/32","next_hop":"192.0.2.66"},{"prefix":"10.9.2.1/32","path_id":1,"peers":["192.0.2.9"],"next_hop":"192.0.2.66"}]`, nil)
	b.r.Sync()
	s.get(t, 200, "/api/v1/peers", &after)
	s.get(t, 200, "/api/v1/stats", &stats)
	if len(before.Peers) != len(after.Peers) || stats.Peers != n {
		t.Errorf("%d peers, then %d; %d in the figures, then %d", len(before.Peers), len(after.Peers), n, stats.Peers)
	}
	s.get(t, 404, "/api/v1/peers/"+rib.PeerID(rib.SourceLocal, "", netip.Addr{}, 0), &apiv1.Problem{})
}

func TestBodiesOfOtherKindsAreRefused(t *testing.T) {
	_, s, _ := announcing(t)
	body := `{"prefix":"10.9.1.0/24","next_hop":"192.0.2.66"}`
	s.post(t, 415, "POST", "/api/v1/paths", "text/plain", body, nil)
	s.post(t, 415, "POST", "/api/v1/paths", js, body, nil, "Content-Encoding", "gzip")
	s.post(t, 406, "POST", "/api/v1/paths", js, body, nil, "Accept", "image/png")
	s.post(t, 406, "POST", "/api/v1/paths", typeNDJSON, body, nil, "Accept", js)
	s.post(t, 413, "POST", "/api/v1/paths", js, "["+strings.Repeat(" ", maxList)+"]", nil)
	s.post(t, 400, "POST", "/api/v1/paths?peer=1", js, body, nil)
	s.post(t, 403, "POST", "/api/v1/paths", js, body, nil, "Origin", "http://x")
	var err error
	if s.tokens, err = newTokens([]Token{{"r", RoleRead, "rrr"}, {"a", RoleAnnounce, "aaa"}}); err != nil {
		t.Fatal(err)
	}
	s.post(t, 401, "POST", "/api/v1/paths", js, body, nil)
	s.post(t, 403, "DELETE", "/api/v1/paths", js, body, nil, "Authorization", "Bearer rrr")
	s.post(t, 200, "POST", "/api/v1/paths", js, body, nil, "Authorization", "Bearer aaa")
	s.post(t, 200, "POST", "/api/v1/updates", js, body, nil)
	s.post(t, 401, "POST", "/api/v1/updates", js, body[:1]+`"send":true,`+body[1:], nil)
	s.post(t, 200, "POST", "/api/v1/updates", js, body[:1]+`"send":true,`+body[1:], nil, "Authorization", "Bearer aaa")
}

func TestCursorsOfPathsAreChecked(t *testing.T) {
	_, s, _ := announcing(t)
	s.post(t, 200, "POST", "/api/v1/paths", js, `[{"prefix":"10.9.1.0/24","next_hop":"192.0.2.66"},{"prefix":"10.9.2.0/24","next_hop":"192.0.2.66"},{"family":"ipv4-flowspec","nlri":"0501180a0900"},{"family":"ipv4-flowspec","nlri":"0501180a0901"}]`, nil)
	var all []string
	var page apiv1.OriginatedPaths
	for uri := "/api/v1/paths?limit=1"; ; {
		page = apiv1.OriginatedPaths{}
		s.get(t, 200, uri, &page)
		all = append(all, page.Paths[0].Family)
		if page.Next == nil {
			break
		}
		s.get(t, 400, "/api/v1/paths?family=ipv4-unicast&cursor="+*page.Next, &apiv1.Problem{})
		s.get(t, 400, uri+"&cursor=x"+*page.Next, &apiv1.Problem{})
		uri = "/api/v1/paths?limit=1&cursor=" + *page.Next
	}
	if len(all) != 4 {
		t.Errorf("%v", all)
	}
}

func TestUpdatesShowsTheExactMessages(t *testing.T) {
	_, s, _ := announcing(t)
	var u apiv1.Updates
	s.post(t, 200, "POST", "/api/v1/updates", js, `[{"prefix":"10.9.0.0/16","next_hop":"192.0.2.66","as_path":"65001","communities":["1:2"]},{"prefix":"198.51.100.0/24","next_hop":"192.0.2.66"},{"prefix":"10.10.0.0/16","withdraw":true}]`, &u)
	if u.Peer != nil || len(u.Messages) != 2 || len(u.Refused) != 1 || u.Refused[0].Index != 1 || *u.Refused[0].Prefix != "198.51.100.0/24" || u.Refused[0].Reason != "policy" || u.Sent != nil {
		t.Fatalf("%+v", u)
	}
	raw, err := hex.DecodeString(u.Messages[0])
	if err != nil {
		t.Fatal(err)
	}
	m, err := bgp.ParseBGPMessage(raw)
	if err != nil {
		t.Fatal(err)
	}
	up := m.Body.(*bgp.BGPUpdate)
	if len(up.NLRI) != 1 || up.NLRI[0].String() != "10.9.0.0/16" || len(up.PathAttributes) != 4 {
		t.Errorf("%v", up)
	}
	if got := strings.Join(u.Decoded[0], "\n"); !strings.Contains(got, "announces ipv4-unicast 10.9.0.0/16") || !strings.Contains(got, "AS_PATH (2) flags well-known+transitive, 6 octets: 65001") {
		t.Error(got)
	}
	if got := strings.Join(u.Decoded[1], "\n"); !strings.Contains(got, "withdraws ipv4-unicast 10.10.0.0/16") {
		t.Error(got)
	}
	if got := originated(t, s, "/api/v1/paths"); got != nil {
		t.Errorf("sent: %v", got)
	}
	s.post(t, 200, "POST", "/api/v1/updates?peer=192.0.2.9", js, `{"prefix":"10.9.0.0/16","next_hop":"192.0.2.66","send":true}`, &u)
	if u.Peer == nil || *u.Peer != "192.0.2.9" || len(u.Sent) != 1 || len(u.Sent[0].Peers) != 3 {
		t.Errorf("%+v", u)
	}
	if got := originated(t, s, "/api/v1/paths"); len(got) != 1 {
		t.Errorf("not sent: %v", got)
	}
	s.post(t, 404, "POST", "/api/v1/updates?peer=9.9.9.9", js, `{}`, nil)
	s.post(t, 422, "POST", "/api/v1/updates?peer=192.0.2.2", js, `{}`, nil)
	var p apiv1.Problem
	s.post(t, 422, "POST", "/api/v1/updates", js, `[{"prefix":"10.9.0.0/16","next_hop":"192.0.2.66"},{"prefix":"203.0.113.9/32","next_hop":"192.0.2.66","communities":["blackhole"],"send":true}]`, &p)
	if p.Guard != "protected" || p.Index == nil || *p.Index != 1 {
		t.Errorf("%+v", p)
	}
	s.post(t, 400, "POST", "/api/v1/updates", js, `{"prefix":"10.9.0.0/16","withdraw":true,"send":true}`, nil)
	answer := s.post(t, 200, "POST", "/api/v1/updates", typeNDJSON, "{\"prefix\":\"10.9.0.0/16\",\"next_hop\":\"192.0.2.66\"}\n\nx\n{\"family\":\"ipv4-flowspec\",\"nlri\":\"0501180a0900\"}\n", nil)
	got := strings.Split(strings.TrimSpace(answer), "\n")
	if len(got) != 3 || !strings.HasPrefix(got[1], `{"line":3,"status":400`) || !strings.Contains(got[2], "announces ipv4-flowspec destination 10.9.0.0/24") {
		t.Error(answer)
	}
	s.opts.Preview = func(string, []PreviewRoute) ([]byte, []PreviewRefusal, error) {
		return nil, nil, &Refused{Status: 422, Detail: "no"}
	}
	s.post(t, 422, "POST", "/api/v1/updates", js, `{"prefix":"10.9.0.0/16","next_hop":"192.0.2.66"}`, nil)
}

func TestWithoutOriginAnnouncingIsNotInThisBuild(t *testing.T) {
	_, s := small(t)
	for _, c := range []struct{ method, uri string }{{"POST", "/api/v1/paths"}, {"DELETE", "/api/v1/paths"}, {"GET", "/api/v1/paths"}, {"POST", "/api/v1/updates"}} {
		if code, answer, _ := s.do(c.method, c.uri, "{}", "Content-Type", js); code != 501 {
			t.Errorf("%s %s: %d %s", c.method, c.uri, code, answer)
		}
	}
}

func BenchmarkAnnounceOne(b *testing.B) {
	_, s, _ := announcing(b)
	var ctx fasthttp.RequestCtx
	ctx.Init2(noConn{}, nil, false)
	ctx.Request.Header.SetMethod("POST")
	ctx.Request.Header.SetHost("localhost")
	ctx.Request.SetRequestURI("/api/v1/paths")
	ctx.Request.Header.SetContentType(js)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		ctx.Request.SetBodyString(fmt.Sprintf(`{"prefix":"10.%d.%d.0/24","next_hop":"192.0.2.66","as_path":"65001 %d"}`, i>>8&255, i&255, 1+i%1000))
		s.handle(&ctx)
		if ctx.Response.StatusCode() != 200 {
			b.Fatal(string(ctx.Response.Body()))
		}
		ctx.Response.Reset()
	}
}
