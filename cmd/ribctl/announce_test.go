package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ribd/engine/api"
	"ribd/engine/api/apiv1"
	"ribd/engine/origin"
	"ribd/internal/golden"
	"ribd/shard"
	"ribd/wire"
)

// announcing serves the sessions of the API's tests, of which one has what is
// announced, one is down, and one is not sent 10.66.0.0/16.
func announcing(t *testing.T) string {
	t.Helper()
	var m *origin.Manager
	url, _ := withSessions(t, func(o *api.Options) {
		var err error
		if m, err = origin.New(origin.Options{RIB: o.RIB, AS: 64512, Guards: origin.Guards{Protected: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}}}); err != nil {
			t.Fatal(err)
		}
		o.Announcing = api.Announcing{Origin: m, Told: told(o.RIB), Preview: preview}
	})
	t.Cleanup(m.Close)
	return url
}

func told(*shard.RIB) func(context.Context, []origin.Route, []origin.Result, func(int, []api.PeerAnswer)) {
	return func(_ context.Context, routes []origin.Route, results []origin.Result, each func(int, []api.PeerAnswer)) {
		for i := range results {
			if results[i].Err != nil {
				continue
			}
			peers := []api.PeerAnswer{
				{Peer: "192.0.2.1", PeerID: "5c1f6e0b7a3d9e21", State: api.PeerSent},
				{Peer: "192.0.2.9", PeerID: "8f00c2d1e4b7a650", State: api.PeerSent, PathID: 3, HasPathID: true},
				{Peer: "198.51.100.7", PeerID: "0d4aa1937be2c8f6", State: api.PeerDown, Reason: "idle: hold timer expired"},
			}
			if routes[i].Prefix.String() == "10.66.0.0/16" {
				peers[0].State, peers[0].Reason = api.PeerRefused, "policy"
			}
			each(i, peers)
		}
	}
}

func preview(_ string, routes []api.PreviewRoute) (messages []byte, refused []api.PreviewRefusal, err error) {
	e := wire.NewEncoder(wire.SendOptions{AS4: true})
	for i, r := range routes {
		switch {
		case r.Prefix.String() == "10.66.0.0/16":
			refused = append(refused, api.PreviewRefusal{Index: i, Reason: "policy"})
			continue
		case r.Withdraw:
			e.Withdraw(r.Family)
		default:
			if err := e.Announce(r.Family, r.Attrs); err != nil {
				return nil, nil, err
			}
		}
		a := r.Prefix.Addr().As4()
		e.Route4(uint32(a[0])<<24|uint32(a[1])<<16|uint32(a[2])<<8|uint32(a[3]), uint8(r.Prefix.Bits()), 0)
	}
	return e.Flush(), refused, nil
}

func TestEveryAttributeIsAFlag(t *testing.T) {
	url := announcing(t)
	code, out, errs := ask(t, url, "", "announce", "--json", "10.9.0.0/16", "--next-hop", "192.0.2.66", "--origin", "egp", "--as-path", "65001 {64500,64501}", "--med", "0", "--local-pref", "200",
		"--community", "65001:1,no-export", "--community", "65001:2", "--large-community", "65001:1:2", "--ext-community", "rt:65001:1", "--atomic-aggregate", "--aggregator", "65001 192.0.2.1",
		"--originator-id", "192.0.2.2", "--cluster-list", "192.0.2.3,192.0.2.4", "--only-to-customer", "64512", "--aigp", "7", "--attribute", "99:224:00ff", "--attribute", "0x62:aa", "--path-id", "0", "--ttl", "1h", "--peer", "192.0.2.9")
	var a apiv1.PathAnnounced
	if err := json.Unmarshal([]byte(out), &a); code != 0 || err != nil || len(a.Peers) != 1 || a.ExpiresAt == nil {
		t.Fatalf("%d %v %s %s", code, err, out, errs)
	}
	_, out, _ = ask(t, url, "", "paths", "--json")
	var p apiv1.OriginatedPath
	if err := json.Unmarshal([]byte(out), &p); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	p.AttrsID = 0
	b, _ := json.Marshal(p.Attributes)
	want := `{"origin":"egp","as_path":"65001 {64500,64501}","origin_asn":null,"neighbor_asn":65001,"next_hop":"192.0.2.66","next_hop_link_local":null,"med":0,"local_pref":200,` +
		`"communities":["65001:1","65535:65281","65001:2"],"large_communities":["65001:1:2"],"ext_communities":["rt:65001:1"],"atomic_aggregate":true,"aggregator":"65001 192.0.2.1",` +
		`"originator_id":"192.0.2.2","cluster_list":["192.0.2.3","192.0.2.4"],"only_to_customer":64512,"aigp":7,"unknown_attributes":[{"type":98,"flags":192,"value":"aa"},{"type":99,"flags":224,"value":"00ff"}],"attrs_id":0}`
	if string(b) != want || *p.PathID != 0 || p.Peers[0] != "8f00c2d1e4b7a650" {
		t.Errorf("got %s\nwant %s", b, want)
	}
	for _, args := range [][]string{
		{"announce", "10.9.0.0/16", "--family", "ipv4-vpn", "--rd", "65001:1", "--label", "100", "--label", "200", "--next-hop", "self"},
		{"announce", "2001:db8::/32", "--next-hop", "2001:db8::1", "--next-hop-link-local", "fe80::1"},
		{"announce", "--family", "ipv4-flowspec", "--nlri", "0501180a0900"},
	} {
		if code, out, errs := ask(t, url, "", args...); code != 0 {
			t.Errorf("%v: %d %s %s", args, code, out, errs)
		}
	}
	if _, out, _ := ask(t, url, "", "paths", "--json", "--family", "ipv4-vpn", "--rd", "65001:1"); !strings.Contains(out, `"labels":[100,200]`) {
		t.Error(out)
	}
}

func TestAnnouncingForPeople(t *testing.T) {
	url := announcing(t)
	page := func(name, stdin string, wantCode int, args ...string) {
		t.Helper()
		code, out, errs := ask(t, url, stdin, args...)
		if code != wantCode {
			t.Errorf("%v: exit code %d", args, code)
		}
		golden.Compare(t, name+".golden", []byte(out+errs))
	}
	page("announce", "", 0, "announce", "10.9.0.0/16", "10.66.0.0/16", "--next-hop", "192.0.2.66", "--community", "no-export")
	page("announce-refused", "", 1, "announce", "203.0.113.7", "10.9.0.0/16", "--next-hop", "192.0.2.66", "--community", "blackhole")
	page("updates", "", 1, "updates", "10.9.0.0/16", "10.66.0.0/16", "10.10.0.0/16", "--next-hop", "192.0.2.66", "--as-path", "65001", "--decode")
	page("updates-withdraw", "", 0, "updates", "10.9.0.0/16", "--withdraw", "--decode")
	page("updates-send", `{"prefix":"10.8.0.0/16","next_hop":"192.0.2.1","send":true}{"prefix":"10.7.0.0/16",`+"\n"+`"next_hop":"192.0.2.1"}`, 0, "updates", "--file", "-")
	var lines strings.Builder
	for i := range 30 {
		fmt.Fprintf(&lines, "{\"prefix\":\"10.20.%d.0/24\",\n \"next_hop\":\"192.0.2.66\"}\n", i)
	}
	lines.WriteString(`{"prefix":"203.0.113.1/32","next_hop":"192.0.2.66","communities":["blackhole"]} {"prefix":"10.1.1.1/8","next_hop":"192.0.2.66"}`)
	page("announce-file", lines.String(), 1, "announce", "--file", "-")
	page("paths", "", 0, "paths", "10.9.0.0/16")
	page("withdraw", "", 0, "withdraw", "10.9.0.0/16", "10.66.0.0/16")
	page("withdraw-missing", "", 1, "withdraw", "10.9.0.0/16")
	list := filepath.Join(t.TempDir(), "list.json")
	if err := os.WriteFile(list, []byte("\n [{\"prefix\":\"10.20.1.0/24\"},\n{\"prefix\":\"10.20.2.0/24\"}]"), 0o600); err != nil {
		t.Fatal(err)
	}
	page("withdraw-file", "", 0, "withdraw", "--file", list)
}

func TestAPathEndsIn(t *testing.T) {
	url := announcing(t)
	if code, _, errs := ask(t, url, "", "announce", "10.9.0.0/16", "--next-hop", "192.0.2.66", "--ttl", "10m"); code != 0 {
		t.Fatal(errs)
	}
	var out, errs strings.Builder
	now := time.Now()
	code := runAt(t.Context(), []string{"--server", url, "paths"}, strings.NewReader(""), &out, &errs, func() time.Time { return now })
	if code != 0 || !strings.Contains(out.String(), " 9m") && !strings.Contains(out.String(), " 10m") {
		t.Errorf("%d %s %s", code, out.String(), errs.String())
	}
}

func TestAnnouncingIsRepeatedWithAKey(t *testing.T) {
	url := announcing(t)
	args := []string{"announce", "10.9.0.0/16", "--next-hop", "192.0.2.66", "--idempotency-key", "k"}
	for range 2 {
		if code, _, errs := ask(t, url, "", args...); code != 0 {
			t.Error(errs)
		}
	}
	args[1] = "10.10.0.0/16"
	if code, _, errs := ask(t, url, "", args...); code != 1 || !strings.Contains(errs, "another request") {
		t.Errorf("%d %s", code, errs)
	}
}

func TestWrongCommandLinesOfAnnouncing(t *testing.T) {
	url := announcing(t)
	for _, c := range []struct {
		stdin string
		code  int
		says  string
		args  []string
	}{
		{"", 2, "--file", []string{"announce", "--next-hop", "192.0.2.1"}},
		{"", 2, "not both", []string{"announce", "10.0.0.0/8", "--file", "-"}},
		{"", 2, "peers and ttl", []string{"announce", "--ttl", "10m", "--file", "-"}},
		{"", 2, "peers and ttl", []string{"announce", "--peer", "192.0.2.9", "--file", "-"}},
		{"", 2, "peers and ttl", []string{"announce", "--as-path", "", "--file", "-"}},
		{"", 2, "peers and ttl", []string{"announce", "--path-id", "0", "--file", "-"}},
		{"", 2, "path id", []string{"withdraw", "--path-id", "1", "--file", "-"}},
		{"", 2, "stands alone", []string{"updates", "--community", "1:1", "--file", "-"}},
		{"", 2, "99:192:00ff", []string{"announce", "10.0.0.0/8", "--attribute", "x"}},
		{"", 1, "NEXT_HOP is missing", []string{"announce", "10.0.0.0/8"}},
		{"", 1, "is empty", []string{"announce", "--file", "-"}},
		{"", 1, "can't open it", []string{"announce", "--file", "/nonesuch"}},
		{`{"prefix":"10.9.0.0/16","next_hop":"192.0.2.1"} x`, 1, "object 2", []string{"announce", "--file", "-"}},
		{`{"prefix":"10.9.0.0/16","next_hop":"192.0.2.1"}`, 2, "goes with prefixes", []string{"announce", "--file", "-", "--idempotency-key", "k"}},
		{`[{"prefix":"10.9.0.0/16"}]`, 1, "[0].next_hop", []string{"announce", "--file", "-"}},
		{"", 1, "no peer", []string{"announce", "10.0.0.0/8", "--next-hop", "192.0.2.1", "--peer", "9.9.9.9"}},
		{"", 2, "egp", []string{"announce", "10.0.0.0/8", "--origin", "x"}},
		{"x", 1, "object 1", []string{"updates", "--file", "-"}},
		{"", 2, "stands alone", []string{"updates", "--file", "-", "--send"}},
		{"", 1, "no peer", []string{"updates", "10.0.0.0/8", "--next-hop", "192.0.2.1", "--peer", "9.9.9.9"}},
	} {
		code, out, errs := ask(t, url, c.stdin, c.args...)
		if code != c.code || !strings.Contains(errs, c.says) {
			t.Errorf("%v: exit code %d, want %d: %s%s", c.args, code, c.code, out, errs)
		}
	}
}

// What a real table shows is announced again as it was.
func TestRealRoutesAreAnnouncedAgain(t *testing.T) {
	url := server(t)
	attributes := func(rows string) map[string]string {
		out := map[string]string{}
		for line := range strings.Lines(rows) {
			var r apiv1.Route
			if err := json.Unmarshal([]byte(line), &r); err != nil {
				t.Fatalf("%v in %s", err, line)
			}
			r.AttrsID = 0
			b, _ := json.Marshal(r.Attributes)
			out[*r.Prefix] = string(b)
		}
		return out
	}
	_, rows, _ := ask(t, url, "", "routes", "--json", "--best", "--limit", "20000")
	before := attributes(rows)
	if len(before) != 20000 {
		t.Fatalf("%d rows", len(before))
	}
	code, out, errs := ask(t, url, rows, "announce", "--file", "-")
	if code != 0 || !strings.HasPrefix(out, "20,000 announced\n") {
		t.Fatalf("%d %s%s", code, out, errs)
	}
	_, rows, _ = ask(t, url, "", "routes", "--json", "--source", "local")
	after := attributes(rows)
	for p, want := range before {
		if got := after[p]; got != want {
			t.Fatalf("%s: got %s\nwant %s", p, got, want)
		}
	}
	if code, out, errs := ask(t, url, rows, "withdraw", "--file", "-"); code != 0 || !strings.HasPrefix(out, "20,000 withdrawn\n") {
		t.Errorf("%d %s%s", code, out, errs)
	}
	if _, out, _ := ask(t, url, "", "paths", "--json"); out != "" {
		t.Errorf("left: %.200s", out)
	}
}
