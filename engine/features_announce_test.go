package engine

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"ribd/wire"
)

// told is an answer to what was announced: of a path, or of a rule.
type told struct {
	Prefix    *string         `json:"prefix"`
	NLRI      *string         `json:"nlri"`
	ID        string          `json:"id"`
	Text      string          `json:"text"`
	PathID    *uint32         `json:"path_id"`
	AttrsID   uint32          `json:"attrs_id"`
	ExpiresAt *time.Time      `json:"expires_at"`
	Error     json.RawMessage `json:"error"`
	Peers     []toldPeer      `json:"peers"`
}

type toldPeer struct {
	Peer             string  `json:"peer"`
	State            string  `json:"state"`
	Reason           *string `json:"reason"`
	AdvertisedPathID *uint32 `json:"advertised_path_id"`
}

// states are the peers' states by address, the reason behind the refused ones.
func (a *told) states() map[string]string {
	m := map[string]string{}
	for _, p := range a.Peers {
		m[p.Peer] = p.State
		if p.State == "refused" && p.Reason != nil {
			m[p.Peer] += ": " + *p.Reason
		}
	}
	return m
}

// refusal is a problem document.
type refusal struct {
	Status                             int
	Title, Detail, Param, Guard, Cause string
	Index                              *int
}

// post sends JSON and returns the answer where it is taken.
func (c *client) post(path, body string) (a told) {
	c.t.Helper()
	c.change("POST", path, body, &a)
	return a
}

// change makes a request that is taken, and reads its answer into v.
func (c *client) change(method, path, body string, v any) {
	c.t.Helper()
	status, b := c.ask(method, path, "application/json", strings.NewReader(body))
	if status/100 != 2 {
		c.t.Fatalf("%s %s %s: %d %s", method, path, body, status, b)
	}
	if v == nil || len(b) == 0 {
		return
	}
	if err := json.Unmarshal(b, v); err != nil {
		c.t.Fatalf("%s %s: %v in %s", method, path, err, b)
	}
}

// refused makes a request that is refused with a status; detail is in what it
// says.
func (c *client) refused(status int, method, path, body, detail string) (r refusal) {
	c.t.Helper()
	got, b := c.ask(method, path, "application/json", strings.NewReader(body))
	if err := json.Unmarshal(b, &r); err != nil || got != status || !strings.Contains(string(b), detail) {
		c.t.Errorf("%s %s %s: %d %s (%v), want %d with %q", method, path, body, got, b, err, status, detail)
	}
	return r
}

// lines sends NDJSON and returns the answers, one for each line.
func (c *client) lines(path string, body string) (out []told) {
	c.t.Helper()
	status, b := c.ask("POST", path, "application/x-ndjson", strings.NewReader(body))
	if status/100 != 2 {
		c.t.Fatalf("POST %s: %d %.500s", path, status, b)
	}
	for l := range strings.Lines(string(b)) {
		var a told
		if err := json.Unmarshal([]byte(l), &a); err != nil {
			c.t.Fatalf("POST %s: %v in %s", path, err, l)
		}
		out = append(out, a)
	}
	return out
}

// originated is a row of GET /paths.
type originated struct {
	Prefix    *string    `json:"prefix"`
	Family    string     `json:"family"`
	PathID    *uint32    `json:"path_id"`
	NextHop   *string    `json:"next_hop"`
	ASPath    string     `json:"as_path"`
	ExpiresAt *time.Time `json:"expires_at"`
	Peers     []string   `json:"peers"`
}

// originates lists GET /paths as "prefix" or "prefix id".
func (c *client) originates(query string) (keys []string) {
	c.t.Helper()
	var l struct {
		Paths []originated `json:"paths"`
	}
	c.get("/api/v1/paths"+query, &l)
	for _, p := range l.Paths {
		key := "-"
		if p.Prefix != nil {
			key = *p.Prefix
		}
		if p.PathID != nil {
			key += fmt.Sprintf(" %d", *p.PathID)
		}
		keys = append(keys, key)
	}
	return keys
}

func wantStates(t *testing.T, what string, got, want map[string]string) {
	t.Helper()
	if !maps.Equal(got, want) {
		t.Errorf("%s: states %v, want %v", what, got, want)
	}
}

func TestAnAnnouncedPathGoesToThePeersThatPolicyAllowsAndTheAnswerSaysSo(t *testing.T) {
	t.Parallel()
	c, to := hub(t, "policies:\n  none: [{then: reject}]\n", "address: 127.21.1.1, as: 65001", "address: 127.21.1.2, as: 65002, export: none",
		"address: 127.21.1.3, as: 65003", "address: 127.21.1.4, as: 64512", "address: 127.21.1.5, as: 65005, families: [ipv6-unicast]")
	one := play(t, to, playerOptions{from: ip("127.21.1.1"), as: 65001}).settle()
	two := play(t, to, playerOptions{from: ip("127.21.1.2"), as: 65002}).settle()
	four := play(t, to, playerOptions{from: ip("127.21.1.4"), as: 64512}).settle()
	five := play(t, to, playerOptions{from: ip("127.21.1.5"), as: 65005, families: []wire.Family{v6u}}).settle()
	const prefix = "203.0.113.0/24"
	a := c.post("/api/v1/paths", `{"prefix":"203.0.113.0/24","next_hop":"192.0.2.1","origin":"incomplete","as_path":"64999 {64998,64997}","med":5,
		"communities":["64512:7","no-peer"],"large_communities":["64512:1:2"],"ext_communities":["rt:64512:9"],"unknown_attributes":[{"type":99,"flags":192,"value":"00ff"}]}`)
	if a.Prefix == nil || *a.Prefix != prefix || a.PathID != nil || a.AttrsID == 0 {
		t.Errorf("answer: %+v", a)
	}
	got := a.states()
	for p, s := range got {
		if strings.HasPrefix(s, "refused") && len(s) < len("refused: x") {
			t.Errorf("%s is refused without a reason", p)
		}
		got[p], _, _ = strings.Cut(s, ":")
	}
	wantStates(t, "the answer", got, map[string]string{"127.21.1.1": "sent", "127.21.1.2": "refused", "127.21.1.3": "down", "127.21.1.4": "sent", "127.21.1.5": "refused"})
	one.expect("the route", prefix)
	four.expect("the route", prefix)
	if got, want := one.brief(prefix), "64512 64999 {64998,64997} | 192.0.2.1 | 5 | - | 64512:7 65535:65284 | 64512:1:2 | rt:64512:9"; got != want {
		t.Errorf("eBGP: %s\nwant  %s", got, want)
	}
	if got, want := four.brief(prefix), "64999 {64998,64997} | 192.0.2.1 | 5 | 100 | 64512:7 65535:65284 | 64512:1:2 | rt:64512:9"; got != want {
		t.Errorf("iBGP: %s\nwant  %s", got, want)
	}
	if v, _ := one.attr(prefix, 99); fmt.Sprintf("%x", v) != "00ff" {
		t.Errorf("the unknown attribute: %x", v)
	}
	if v, _ := one.attr(prefix, wire.AttrOrigin); fmt.Sprint(v) != "[2]" {
		t.Errorf("origin %v", v)
	}
	r := c.one("?prefix=" + prefix)
	if r.Source != "local" || r.Peer != nil || !r.Best || r.AttrsID != a.AttrsID {
		t.Errorf("shown: %+v", r)
	}
	if got := c.originates(""); !slices.Equal(got, []string{prefix}) {
		t.Errorf("originated: %v", got)
	}
	// Local paths win before local-pref.
	four.announce(0, nil, func(e *wire.AttrEditor) { e.SetUint32(wire.AttrLocalPref, 500) }, prefix)
	eventually(t, "two paths", func() bool { return len(c.routes("?prefix="+prefix).Routes) == 2 })
	if r := c.routes("?best=true&prefix=" + prefix).Routes; len(r) != 1 || r[0].Source != "local" {
		t.Errorf("best: %+v", r)
	}
	c.change("DELETE", "/api/v1/paths", `{"prefix":"203.0.113.0/24"}`, nil)
	one.expect("the iBGP peer's is best now", prefix)
	eventually(t, "its path", func() bool { return one.text(prefix, wire.AttrASPath) == "64512" })
	four.expect("nothing but its own")
	c.refused(404, "DELETE", "/api/v1/paths", `{"prefix":"203.0.113.0/24"}`, "203.0.113.0/24")
	for _, p := range []*player{two, five} {
		p.expect("never")
	}
}

func TestAPathGoesToTheNamedPeersAlone(t *testing.T) {
	t.Parallel()
	c, to := hub(t, "", "address: 127.21.2.1, as: 65001, name: scrubber", "address: 127.21.2.2, as: 65002", "address: 127.21.2.3, as: 65003, add_path: {send: all}")
	one := play(t, to, playerOptions{from: ip("127.21.2.1"), as: 65001}).settle()
	two := play(t, to, playerOptions{from: ip("127.21.2.2"), as: 65002}).settle()
	three := play(t, to, playerOptions{from: ip("127.21.2.3"), as: 65003, takeIDs: true}).settle()
	a := c.post("/api/v1/paths", `{"prefix":"203.0.113.0/24","next_hop":"192.0.2.1","peers":["scrubber"]}`)
	wantStates(t, "by name", a.states(), map[string]string{"127.21.2.1": "sent"})
	one.expect("by name", "203.0.113.0/24")
	id := c.peer("127.21.2.2").ID
	a = c.post("/api/v1/paths", `{"prefix":"198.51.100.0/24","next_hop":"192.0.2.1","peers":["`+id+`","127.21.2.1"]}`)
	wantStates(t, "by id and address", a.states(), map[string]string{"127.21.2.1": "sent", "127.21.2.2": "sent"})
	one.expect("both", "198.51.100.0/24", "203.0.113.0/24")
	two.expect("by id", "198.51.100.0/24")
	three.expect("nothing")
	// Others take over: who had it loses it.
	a = c.post("/api/v1/paths", `{"prefix":"198.51.100.0/24","next_hop":"192.0.2.1","peers":["127.21.2.3"]}`)
	wantStates(t, "others", a.states(), map[string]string{"127.21.2.3": "sent"})
	one.expect("not any more", "203.0.113.0/24")
	two.expect("not any more")
	eventually(t, "the new one", func() bool { return len(three.pathsOf("198.51.100.0/24")) == 1 })
	c.refused(400, "POST", "/api/v1/paths", `{"prefix":"198.51.100.0/24","next_hop":"192.0.2.1","peers":["nobody"]}`, "nobody")
	c.change("DELETE", "/api/v1/paths", `{"prefix":"203.0.113.0/24"}`, nil)
	one.expect("withdrawn")
}

func TestAMissingMandatoryAttributeIsNamed(t *testing.T) {
	t.Parallel()
	c, _ := hub(t, "", "address: 127.21.3.1, as: 65001")
	for _, x := range []struct{ body, names string }{
		{`{"prefix":"203.0.113.0/24"}`, "next_hop"},
		{`{"prefix":"2001:db8::/32"}`, "next_hop"},
		{`{"next_hop":"192.0.2.1"}`, "prefix"},
		{`{"prefix":"203.0.113.0/24","next_hop":"192.0.2.1","next_hopp":"1"}`, "next_hop"},
		{`{"prefix":"203.0.113.1/24","next_hop":"192.0.2.1"}`, "203.0.113.0/24"},
		{`{"prefix":"203.0.113.0/24","next_hop":"nowhere"}`, "next_hop"},
		{`{"prefix":"203.0.113.0/24","next_hop":"192.0.2.1","as_path":"65001 x"}`, "as_path"},
		{`{"prefix":"203.0.113.0/24","next_hop":"192.0.2.1","origin":"egp?"}`, "origin"},
		{`{"prefix":"203.0.113.0/24","next_hop":"192.0.2.1","communities":["1:70000"]}`, "communities"},
		{`{"prefix":"203.0.113.0/24","next_hop":"192.0.2.1","path_id":4294967296}`, "path_id"},
		{`{"prefix":"203.0.113.0/24","next_hop":"192.0.2.1","ttl":"-3s"}`, "ttl"},
		{`{"prefix":"203.0.113.0/24","next_hop":"192.0.2.1"`, ""},
		{`[]x`, ""},
		{``, ""},
	} {
		c.refused(400, "POST", "/api/v1/paths", x.body, x.names)
	}
	if got := c.originates(""); len(got) != 0 {
		t.Errorf("originated: %v", got)
	}
}

func TestAListIsTakenWholeOrNotAtAllInSeveralFamilies(t *testing.T) {
	t.Parallel()
	families := "families: [ipv4-unicast, ipv6-unicast, ipv4-vpn, ipv4-labelled-unicast]"
	c, to := hub(t, "", "address: 127.21.4.1, as: 65001, "+families)
	one := play(t, to, playerOptions{from: ip("127.21.4.1"), as: 65001, families: []wire.Family{v4u, v6u, wire.IPv4VPN, wire.IPv4LabelledUnicast}}).settle()
	list := []string{
		`{"prefix":"203.0.113.0/24","next_hop":"192.0.2.1"}`,
		`{"prefix":"2001:db8:1::/48","next_hop":"2001:db8::1","next_hop_link_local":"fe80::1"}`,
		`{"family":"ipv4-vpn","rd":"65001:1","prefix":"10.0.0.0/8","next_hop":"198.51.100.1","labels":[100],"ext_communities":["rt:65001:1"]}`,
		`{"family":"ipv4-labelled-unicast","prefix":"198.51.100.0/24","next_hop":"198.51.100.1","labels":[16,17]}`,
	}
	keys := []string{"203.0.113.0/24", "2001:db8:1::/48", "ipv4-vpn 65001:1 10.0.0.0/8", "ipv4-labelled-unicast 198.51.100.0/24"}
	bad := `{"prefix":"192.0.2.0/24"}`
	r := c.refused(400, "POST", "/api/v1/paths", "["+strings.Join(slices.Concat(list[:2], []string{bad}, list[2:]), ",")+"]", "next_hop")
	if r.Index == nil || *r.Index != 2 {
		t.Errorf("the index of the bad one: %v in %+v", r.Index, r)
	}
	if got := c.originates(""); len(got) != 0 {
		t.Errorf("a list with a bad path leaves %v", got)
	}
	one.expect("nothing of it")
	c.change("POST", "/api/v1/paths", "["+strings.Join(list, ",")+"]", nil)
	one.expect("all of it", slices.Clone(keys)...)
	if got := one.text(keys[1], wire.AttrNextHop); got != "2001:db8::1 fe80::1" {
		t.Errorf("next hop %s", got)
	}
	if got := c.originates(""); len(got) != 4 {
		t.Errorf("originated: %v", got)
	}
	if got := c.originates("?family=ipv6-unicast"); !slices.Equal(got, []string{"2001:db8:1::/48"}) {
		t.Errorf("originated in one family: %v", got)
	}
	c.refused(404, "DELETE", "/api/v1/paths", `[{"prefix":"203.0.113.0/24"},{"prefix":"9.9.9.0/24"}]`, "9.9.9.0/24")
	one.expect("all is still there", slices.Clone(keys)...)
	c.change("DELETE", "/api/v1/paths", `[{"prefix":"203.0.113.0/24"},{"family":"ipv4-vpn","rd":"65001:1","prefix":"10.0.0.0/8"}]`, nil)
	one.expect("two are withdrawn", keys[1], keys[3])
}

func TestTheSamePathAgainChangesNothing(t *testing.T) {
	t.Parallel()
	c, to := hub(t, "", "address: 127.21.5.1, as: 65001")
	one := play(t, to, playerOptions{from: ip("127.21.5.1"), as: 65001}).settle()
	const body = `{"prefix":"203.0.113.0/24","next_hop":"192.0.2.1","communities":["64512:7"]}`
	a := c.post("/api/v1/paths", body)
	one.expect("the route", "203.0.113.0/24")
	updates := func() (n int) {
		one.mu.Lock()
		defer one.mu.Unlock()
		for _, s := range one.said {
			if s == "update" {
				n++
			}
		}
		return n
	}
	before := updates()
	for range 3 {
		b := c.post("/api/v1/paths", body)
		wantStates(t, "again", b.states(), a.states())
	}
	c.post("/api/v1/paths", `{"prefix":"198.51.100.0/24","next_hop":"192.0.2.1"}`)
	one.expect("another", "198.51.100.0/24", "203.0.113.0/24")
	if n := updates(); n != before+1 {
		t.Errorf("%d UPDATEs for one new path", n-before)
	}

	// An Idempotency-Key gives the first answer back, and is of one body.
	keyed := func(key, body string) (int, string) {
		t.Helper()
		req := newRequest(t, c, "POST", "/api/v1/paths", body)
		req.Header.Set("Idempotency-Key", key)
		return do(t, c, req)
	}
	const other = `{"prefix":"192.0.2.0/24","next_hop":"192.0.2.1"}`
	status, first := keyed("k1", other)
	if status/100 != 2 {
		t.Fatalf("with a key: %d %s", status, first)
	}
	c.change("DELETE", "/api/v1/paths", `{"prefix":"192.0.2.0/24"}`, nil)
	if again, b := keyed("k1", other); again != status || b != first {
		t.Errorf("the key again: %d %s, want %d %s", again, b, status, first)
	}
	one.expect("it was not announced again", "198.51.100.0/24", "203.0.113.0/24")
	if status, b := keyed("k1", body); status != 409 && status != 422 {
		t.Errorf("the key with another body: %d %s", status, b)
	}
}

func TestLinesAreTakenOneByOneWhileTheyAreRead(t *testing.T) {
	t.Parallel()
	n := 100_000
	if testing.Short() {
		n = 20_000
	}
	c, to := hub(t, "", "address: 127.21.6.1, as: 65001")
	one := play(t, to, playerOptions{from: ip("127.21.6.1"), as: 65001}).settle()
	var b strings.Builder
	for i := range n {
		if i%1000 == 999 {
			fmt.Fprintf(&b, `{"prefix":"10.%d.%d.0/24"}`+"\n", i>>8&255, i&255) // without a next hop
			continue
		}
		fmt.Fprintf(&b, `{"prefix":"%d.%d.%d.0/24","next_hop":"192.0.2.1","med":%d}`+"\n", 11+i>>16, i>>8&255, i&255, i%50)
	}
	answers := c.lines("/api/v1/paths", b.String())
	if len(answers) != n {
		t.Fatalf("%d answers for %d lines", len(answers), n)
	}
	for i, a := range answers {
		if i%1000 == 999 {
			if len(a.Error) == 0 || !strings.Contains(string(a.Error), "NEXT_HOP") {
				t.Fatalf("line %d: %+v", i, a)
			}
			continue
		}
		if want := fmt.Sprintf("%d.%d.%d.0/24", 11+i>>16, i>>8&255, i&255); a.Prefix == nil || *a.Prefix != want || len(a.Error) > 0 {
			t.Fatalf("line %d: %+v", i, a)
		}
		if len(a.Peers) != 1 || a.Peers[0].State != "sent" && a.Peers[0].State != "queued" {
			t.Fatalf("line %d: peers %+v", i, a.Peers)
		}
	}
	eventually(t, "all of them", func() bool {
		one.mu.Lock()
		defer one.mu.Unlock()
		return len(one.table) == n-n/1000
	})
	// Pages of what is originated, each once.
	seen, cursor := 0, ""
	last := ""
	for {
		var l struct {
			Paths []originated `json:"paths"`
			Next  *string      `json:"next"`
		}
		c.get("/api/v1/paths?limit=30000"+cursor, &l)
		seen += len(l.Paths)
		if p := *l.Paths[0].Prefix; p == last {
			t.Fatalf("a page begins with the last one's end: %s", p)
		}
		last = *l.Paths[len(l.Paths)-1].Prefix
		if l.Next == nil {
			break
		}
		cursor = "&cursor=" + url.QueryEscape(*l.Next)
	}
	if seen != n-n/1000 {
		t.Errorf("%d are listed, want %d", seen, n-n/1000)
	}
}
