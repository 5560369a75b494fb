package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ribd/engine/api/apiv1"
	"ribd/shard/rib"
	"ribd/wire"
)

// fakePeers is a set of sessions that do nothing but note what was asked.
type fakePeers struct {
	mu    sync.Mutex
	list  []apiv1.Peer
	asked []string
	fail  error
}

// realistic is the sessions of testdata/peers.json.
func realistic(t testing.TB) *fakePeers {
	t.Helper()
	b, err := os.ReadFile("testdata/peers.json")
	if err != nil {
		t.Fatal(err)
	}
	f := &fakePeers{}
	strict(t, "testdata/peers.json", string(b), &f.list)
	return f
}

func (f *fakePeers) List(match func(string, netip.Addr) bool) (out []apiv1.Peer) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range f.list {
		a, _ := netip.ParseAddr(textOf(p.Address))
		if match == nil || match(p.ID, a) {
			p.Families = slices.Clone(p.Families)
			out = append(out, p)
		}
	}
	return out
}

func (f *fakePeers) note(format string, args ...any) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, fmt.Sprintf(format, args...))
	return f.fail
}

func (f *fakePeers) Add(config []byte) (apiv1.Peer, error) {
	if err := f.note("add %s", config); err != nil {
		return apiv1.Peer{}, err
	}
	var c struct {
		Address string
		AS      uint32
	}
	if err := json.Unmarshal(config, &c); err != nil {
		return apiv1.Peer{}, err
	}
	p := apiv1.Peer{ID: "00000000000000aa", Address: &c.Address, ASN: c.AS, Source: "bgp", Type: "external", State: "idle", Enabled: true}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.list = append(f.list, p)
	return p, nil
}

func (f *fakePeers) Delete(id, message string) error {
	err := f.note("delete %s %q", id, message)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.list = slices.DeleteFunc(f.list, func(p apiv1.Peer) bool { return err == nil && p.ID == id })
	return err
}
func (f *fakePeers) Enable(id string) error           { return f.note("enable %s", id) }
func (f *fakePeers) Disable(id, message string) error { return f.note("disable %s %q", id, message) }
func (f *fakePeers) Reset(id, message string) error   { return f.note("reset %s %q", id, message) }
func (f *fakePeers) Refresh(id string, fam wire.Family) error {
	return f.note("refresh %s %s", id, fam)
}

const transitA = "5c1f6e0b7a3d9e21"

// withSessions is the small table with sessions beside the peers of dumps; it
// has routes of transit-a, 2 accepted and 1 filtered.
func withSessions(t testing.TB) (*table, *Server, *fakePeers) {
	b, s := small(t)
	f := realistic(t)
	s.opts.Peers = f
	n, err := b.r.AddPeer(rib.PeerInfo{ID: transitA, Addr: netip.MustParseAddr("192.0.2.1"), AS: 65001, Name: "transit-a"})
	if err != nil {
		t.Fatal(err)
	}
	pre := attrSpec{path: "65001 65010", next: "192.0.2.1", med: 9}
	b.add("10.5.0.0/16", n, attrSpec{path: "65001 64496", next: "192.0.2.1", med: -1, comms: []uint32{64512<<16 | 1}}, func(p *rib.Path) {
		p.PreAttrs, _ = b.r.Attrs().Intern(pre.canonical())
	})
	b.add("10.6.0.0/16", n, attrSpec{path: "65001 64497", next: "192.0.2.1", med: -1})
	b.add("10.7.0.0/16", n, attrSpec{path: "65001 64512 1", next: "192.0.2.1", med: -1}, func(p *rib.Path) { p.Filtered = rib.FilterASLoop })
	b.sync()
	return b, s, f
}

func TestSessionsAndLoadedPeersAreOneList(t *testing.T) {
	_, s, _ := withSessions(t)
	var all apiv1.Peers
	s.get(t, 200, "/api/v1/peers", &all)
	var got []string
	for _, p := range all.Peers {
		got = append(got, textOf(p.Address)+" "+p.Source+" "+p.State)
	}
	want := []string{"127.0.2.17 bgp established", "192.0.2.1 mrt loaded", "192.0.2.1 bgp established", "192.0.2.2 mrt loaded", "192.0.2.9 bgp established",
		"198.51.100.7 bgp active", "203.0.113.3 bgp idle", "2001:db8::2 mrt loaded", "2001:db8:3::1 bgp connect"}
	slices.Sort(got[1:3])
	slices.Sort(want[1:3])
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	var p apiv1.Peer
	s.get(t, 200, "/api/v1/peers/"+transitA, &p)
	f := p.Families[0]
	if f.Prefixes != 3 || f.Received != 3 || f.Accepted != 2 || f.Filtered != 1 || f.Advertised != 412 || *f.Negotiated != true {
		t.Errorf("counts of the RIB beside those of the session: %+v", f)
	}
	if len(p.Families) != 3 || p.Families[2].Family != "ipv4-flowspec" {
		t.Errorf("families: %+v", p.Families)
	}
	// In pages of one, each once.
	var ids []string
	for cursor := ""; ; {
		var page apiv1.Peers
		s.get(t, 200, "/api/v1/peers?limit=1"+cursor, &page)
		ids = append(ids, page.Peers[0].ID)
		if page.Next == nil {
			break
		}
		cursor = "&cursor=" + *page.Next
	}
	if len(ids) != len(want) {
		t.Errorf("pages have %d peers, want %d", len(ids), len(want))
	}
	var pr apiv1.Problem
	s.get(t, 409, "/api/v1/peers/192.0.2.1", &pr)
	if len(pr.IDs) != 2 || !slices.Contains(pr.IDs, transitA) {
		t.Errorf("ambiguous: %+v", pr)
	}
}

func TestRoutesOfASessionThatIsDown(t *testing.T) {
	_, s, _ := withSessions(t)
	var r apiv1.Routes
	s.get(t, 200, "/api/v1/routes?peer=198.51.100.7&filtered=any", &r)
	if len(r.Routes) != 0 {
		t.Errorf("got %+v", r)
	}
	var pr apiv1.Problem
	s.get(t, 404, "/api/v1/routes?peer=198.51.100.8", &pr)
	s.get(t, 200, "/api/v1/routes?peer="+transitA+"&policy=pre&prefix=10.5.0.0/16", &r)
	if p := r.Routes[0]; p.ASPath != "65001 65010" || *p.MED != 9 || len(p.Communities) != 0 {
		t.Errorf("before policy: %+v", p)
	}
	s.get(t, 200, "/api/v1/routes?peer="+transitA+"&filtered=true", &r)
	if len(r.Routes) != 1 || *r.Routes[0].FilterReason != "as-loop" {
		t.Errorf("filtered: %+v", r)
	}
}

func TestRoutesAreFoundByWhyTheyWereRefused(t *testing.T) {
	_, s, _ := withSessions(t)
	for q, want := range map[string]string{
		"filter_reason=as-loop": "10.7.0.0/16", "filter_reason=next-hop": "192.168.0.0/16", "filter_reason=otc": "",
		"filter_reason=as-loop&filtered=any": "10.7.0.0/16", "filter_reason=as-loop&filtered=false": "", "filter_reason=as-loop&peer=192.0.2.2": "",
	} {
		var r apiv1.Routes
		s.get(t, 200, "/api/v1/routes?"+q, &r)
		got := ""
		for _, x := range r.Routes {
			got += *x.Prefix
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", q, got, want)
		}
	}
	var pr apiv1.Problem
	s.get(t, 400, "/api/v1/routes?filter_reason=loop", &pr)
	if pr.Param != "filter_reason" || !strings.Contains(pr.Detail, "as-loop, originator-loop") {
		t.Errorf("got %+v", pr)
	}
}

func TestPeersHaveNames(t *testing.T) {
	_, s, f := withSessions(t)
	var p apiv1.Peer
	s.get(t, 200, "/api/v1/peers/transit-b", &p)
	if p.ID != "c4d8e9f00a1b2c3d" {
		t.Errorf("got %s", p.ID)
	}
	var r apiv1.Routes
	s.get(t, 200, "/api/v1/routes?peer=transit-a", &r)
	if len(r.Routes) != 2 {
		t.Errorf("got %+v", r)
	}
	if code, body, _ := s.do("POST", "/api/v1/peers/rr1/enable", ""); code != 200 || f.asked[0] != "enable 8f00c2d1e4b7a650" {
		t.Errorf("got %d %s %q", code, body, f.asked)
	}
	var pr apiv1.Problem
	s.get(t, 400, "/api/v1/peers/transit-c", &pr)
}

func TestErrorsAndNotificationsAreDecoded(t *testing.T) {
	_, s, _ := withSessions(t)
	var p apiv1.Peer
	s.get(t, 200, "/api/v1/peers/"+transitA, &p)
	want := []string{
		"UPDATE, 63 octets", "withdrawn routes: 0 octets", "path attributes: 36 octets",
		"  ORIGIN (1) flags well-known+transitive, 1 octets: igp",
		"  AS_PATH (2) flags well-known+transitive, 14 octets: 65001 3356 15169",
		"  NEXT_HOP (3) flags well-known+transitive, 4 octets: 192.0.2.1",
		"  COMMUNITIES (8) flags optional+transitive, 5 octets: fde9006401",
		"NLRI: 4 octets: 18cb0071",
	}
	if got := p.Errors.Last.Decoded; !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	s.get(t, 200, "/api/v1/peers/198.51.100.7", &p)
	if n := p.LastNotification; n.Received != nil || *n.Sent.Decoded != "ipv4-unicast: limit 1000" {
		t.Errorf("got %+v", n.Sent)
	}
}

func TestNotificationDataSayWhatTheyMean(t *testing.T) {
	for _, c := range []struct {
		code, subcode uint8
		data, want    string
	}{
		{1, 2, "0fff", "length 4095"},
		{1, 3, "09", "message of type 9"},
		{2, 1, "0004", "version 4 is the one that it speaks"},
		{2, 7, "0104000200014102", "multiprotocol (1) ipv6-unicast"},
		{2, 7, "01040002000141040000fde9", "multiprotocol (1) ipv6-unicast, 4-octet-as (65) 0000fde9"},
		{3, 5, "400304c00002", "NEXT_HOP (3) flags well-known+transitive, 4 octets: runs over the end, 3 are left: c00002"},
		{3, 3, "02", "AS_PATH is missing"},
		{3, 10, "40cb0071", ""},
		{6, 1, "000101000f4240", "ipv4-unicast: limit 1000000"},
		{6, 1, "0001", ""},
		{6, 9, "0602", "code 6, subcode 2"},
		{6, 2, "0141", ""},
	} {
		n := decodedNotification(&apiv1.Notification{Code: c.code, Subcode: c.subcode, Data: c.data})
		if got := textOf(n.Decoded); got != c.want {
			t.Errorf("%d/%d %s: got %q, want %q", c.code, c.subcode, c.data, got, c.want)
		}
	}
}

func FuzzDescriptionsOfMessagesEnd(f *testing.F) {
	f.Add([]byte("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00\x20\x02\x00\x00\x00\x05\x40\x02\x02\x02\x01"), uint8(3), uint8(1))
	f.Add([]byte("\x06\x09\x06\x09\x06\x09"), uint8(6), uint8(9))
	f.Fuzz(func(t *testing.T, b []byte, code, subcode uint8) {
		text := fmt.Sprintf("%x", b)
		if lines := describeMessage(text); len(lines) > maxDescribed+8 {
			t.Errorf("%d lines", len(lines))
		}
		decodedNotification(&apiv1.Notification{Code: code, Subcode: subcode, Data: text})
	})
}

func TestActionsOnSessions(t *testing.T) {
	_, s, f := withSessions(t)
	for _, c := range []struct {
		method, uri string
		code        int
		asked       string // "": nothing
		says        string
	}{
		{"POST", "/api/v1/peers/192.0.2.9/enable", 200, "enable 8f00c2d1e4b7a650", ""},
		{"POST", "/api/v1/peers/192.0.2.9/disable", 200, `disable 8f00c2d1e4b7a650 ""`, ""},
		{"POST", "/api/v1/peers/192.0.2.9/disable?message=back+at+9:15", 200, `disable 8f00c2d1e4b7a650 "back at 9:15"`, ""},
		{"POST", "/api/v1/peers/" + transitA + "/reset?message=%C3%BC", 200, `reset ` + transitA + ` "ü"`, ""},
		{"POST", "/api/v1/peers/2001:db8:3::1/refresh", 200, "refresh c4d8e9f00a1b2c3d afi-0-safi-0", ""},
		{"POST", "/api/v1/peers/2001:db8:3::1/refresh?family=ipv6-unicast", 200, "refresh c4d8e9f00a1b2c3d ipv6-unicast", ""},
		{"DELETE", "/api/v1/peers/203.0.113.3?message=bye", 204, `delete b3e97d20416f8ca5 "bye"`, ""},
		{"DELETE", "/api/v1/peers/192.0.2.2?message=bye", 400, "", "nobody to tell"},
		{"POST", "/api/v1/peers/192.0.2.1/reset", 409, "", transitA},
		{"POST", "/api/v1/peers/192.0.2.2/reset", 409, "", "it has no session"},
		{"POST", "/api/v1/peers/192.0.2.77/reset", 404, "", "there is no peer"},
		{"POST", "/api/v1/peers/192.0.2.9/flap", 404, "", "nothing at"},
		{"POST", "/api/v1/peers/192.0.2.9/enable?message=x", 400, "", "goes with disable and reset"},
		{"POST", "/api/v1/peers/192.0.2.9/reset?family=ipv6-unicast", 400, "", "goes with refresh"},
		{"POST", "/api/v1/peers/192.0.2.9/refresh?family=ipv7", 400, "", "ipv7"},
		{"POST", "/api/v1/peers/192.0.2.9/reset?message=%ff", 400, "", "UTF-8"},
		{"POST", "/api/v1/peers/192.0.2.9/reset?message=" + strings.Repeat("x", 256), 400, "", "255"},
	} {
		f.asked = nil
		code, body, _ := s.do(c.method, c.uri, "")
		if code != c.code || !strings.Contains(body, c.says) || strings.Join(f.asked, ";") != c.asked {
			t.Errorf("%s %s: got %d, asked %q: %s\nwant %d, %q, %q", c.method, c.uri, code, f.asked, body, c.code, c.asked, c.says)
		}
	}
	f.fail = &Refused{Status: 409, Param: "peer", Detail: "it is the file's: take it out there"}
	if code, body, _ := s.do("DELETE", "/api/v1/peers/192.0.2.9", ""); code != 409 || !strings.Contains(body, "take it out there") {
		t.Errorf("a refusal: %d %s", code, body)
	}
	f.fail = errors.New("the session is not established")
	if code, body, _ := s.do("POST", "/api/v1/peers/192.0.2.9/refresh", ""); code != 422 || !strings.Contains(body, "not established") {
		t.Errorf("another error: %d %s", code, body)
	}
}

func TestPeersAreAddedAsJSON(t *testing.T) {
	_, s, f := withSessions(t)
	post := func(body string, more ...string) (int, string, string) {
		code, answer, h := s.do("POST", "/api/v1/peers", body, append([]string{"Content-Type", "application/json"}, more...)...)
		return code, answer, string(h.Peek("Location"))
	}
	code, body, at := post(`{"address":"192.0.2.30","as":65030}`)
	var p apiv1.Peer
	strict(t, "peer", body, &p)
	if code != 201 || at != "/api/v1/peers/00000000000000aa" || *p.Address != "192.0.2.30" || p.History == nil {
		t.Errorf("got %d %s %s", code, at, body)
	}
	s.get(t, 200, at, &p)
	for _, c := range []struct {
		body string
		code int
		says string
	}{
		{``, 400, "EOF"}, {`[]`, 400, "address"}, {`{}`, 400, "is empty"}, {`null`, 400, "is empty"}, {`{"address":"x"} {}`, 400, "follows"},
		{`{"a":"` + strings.Repeat("x", maxJSON) + `"}`, 413, "over"},
	} {
		if code, body, _ := post(c.body); code != c.code || !strings.Contains(body, c.says) {
			t.Errorf("%.60s: got %d %s", c.body, code, body)
		}
	}
	if code, _, _ := post(`{"address":"x"}`, "Content-Type", "text/plain"); code != 415 {
		t.Errorf("text: %d", code)
	}
	f.fail = &Refused{Detail: "2 problems", Problems: []apiv1.ConfigProblem{{File: "body", Line: 1, Column: 12, Text: "peers[0].address: x is no address"}, {File: "body", Text: "b"}}}
	code, body, _ = post(`{"address":"x"}`)
	var pr apiv1.Problem
	strict(t, "problem", body, &pr)
	if code != 422 || len(pr.Problems) != 2 || pr.Problems[0].Column != 12 {
		t.Errorf("got %d %+v", code, pr)
	}
}

func TestReloadAndDiff(t *testing.T) {
	_, s, _ := withSessions(t)
	old, name := "90s", "192.0.2.1"
	diff := apiv1.ConfigDiff{File: "ribd.yaml", Changes: []apiv1.ConfigChange{{Section: "peers", Name: &name, Change: "changed", Effect: "reset", Keys: []apiv1.ConfigKey{{Key: "hold_time", Old: &old}}}}}
	var bad error
	s.opts.ConfigDiff = func(context.Context) (apiv1.ConfigDiff, error) { return diff, bad }
	s.opts.Reload = func(context.Context) (apiv1.Reload, error) {
		return apiv1.Reload{ConfigDiff: apiv1.ConfigDiff{File: "ribd.yaml"}, At: time.Unix(1767323045, 0).UTC()}, bad
	}
	var d apiv1.ConfigDiff
	s.get(t, 200, "/api/v1/config/diff", &d)
	if len(d.Changes) != 1 || d.Changes[0].Peers == nil || *d.Changes[0].Keys[0].Old != "90s" || d.Changes[0].Keys[0].New != nil {
		t.Errorf("got %+v", d)
	}
	code, body, _ := s.do("POST", "/api/v1/reload", "")
	var r apiv1.Reload
	strict(t, "reload", body, &r)
	if code != 200 || r.Changes == nil || r.At.IsZero() {
		t.Errorf("got %d %s", code, body)
	}
	bad = &Refused{Detail: "ribd.yaml has an error: nothing was changed", Problems: []apiv1.ConfigProblem{{File: "ribd.yaml", Line: 3, Column: 5, Text: "x"}}}
	for _, c := range [][2]string{{"POST", "/api/v1/reload"}, {"GET", "/api/v1/config/diff"}} {
		code, body, _ := s.do(c[0], c[1], "")
		var pr apiv1.Problem
		strict(t, "problem", body, &pr)
		if code != 422 || pr.Problems[0].Line != 3 {
			t.Errorf("%v: got %d %s", c, code, body)
		}
	}
	if code, _, _ := s.do("POST", "/api/v1/reload", "", "Origin", "http://x"); code != 403 {
		t.Errorf("a web page reloads: %d", code)
	}
}

// BenchmarkThousandsOfSessions is a scrape and a list of 2,500 sessions.
func BenchmarkThousandsOfSessions(b *testing.B) {
	_, s, f := withSessions(b)
	one := f.list[0]
	for i := range 2500 {
		p, a := one, fmt.Sprintf("10.%d.%d.1", i/250, i%250)
		p.Address, p.ID = &a, fmt.Sprintf("%016x", i)
		f.list = append(f.list, p)
	}
	for _, uri := range []string{"/metrics", "/api/v1/peers?limit=10000", "/api/v1/peers/10.3.7.1"} {
		b.Run(strings.ReplaceAll(uri[1:], "/", "-"), func(b *testing.B) {
			for b.Loop() {
				if code, body, _ := s.do("GET", uri, ""); code != 200 {
					b.Fatal(body)
				}
			}
		})
	}
}
