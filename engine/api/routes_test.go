package api

import (
	"bytes"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"ribd/engine/api/apiv1"
)

func rowNames(list []apiv1.Route) string {
	var b []string
	for i := range list {
		p := "null"
		if list[i].Prefix != nil {
			p = *list[i].Prefix
		}
		b = append(b, p+"#"+fmt.Sprint(list[i].Rank))
	}
	return strings.Join(b, " ")
}

func TestRoutesByPrefixAndMatch(t *testing.T) {
	_, s := small(t)
	for _, c := range []struct{ query, want string }{
		{"prefix=10.0.0.0/8", "10.0.0.0/8#1 10.0.0.0/8#2"},
		{"prefix=10.0.0.0/9", ""},
		{"prefix=10.1.2.3", ""},
		{"prefix=10.1.2.3&match=longest", "10.1.2.0/24#1 10.1.2.0/24#2"},
		{"prefix=10.1.0.0/20&match=longest", "10.1.0.0/16#1"},
		{"prefix=10.1.2.3&match=shorter", "0.0.0.0/0#1 10.0.0.0/8#1 10.0.0.0/8#2 10.1.0.0/16#1 10.1.2.0/24#1 10.1.2.0/24#2"},
		{"prefix=10.1.0.0/16&match=shorter&best=true", "0.0.0.0/0#1 10.0.0.0/8#1 10.1.0.0/16#1"},
		{"prefix=10.1.0.0/16&match=longer", "10.1.0.0/16#1 10.1.2.0/24#1 10.1.2.0/24#2"},
		{"prefix=10.0.0.0/8&match=longer&min_length=20", "10.1.2.0/24#1 10.1.2.0/24#2"},
		{"prefix=::/0&match=longer", "2001:db8::/32#1 2001:db8:1::/48#1"},
		{"family=ipv6-unicast", "2001:db8::/32#1 2001:db8:1::/48#1"},
		{"best=true", "0.0.0.0/0#1 10.0.0.0/8#1 10.1.0.0/16#1 10.1.2.0/24#1 2001:db8::/32#1 2001:db8:1::/48#1"},
		{"best=false", "10.0.0.0/8#2 10.1.2.0/24#2"},
		{"filtered=true", "192.168.0.0/16#1"},
		{"as_path=^65002_174_", "10.0.0.0/8#2 10.1.0.0/16#1"},
		{"as_path=_3356_15169$", "10.0.0.0/8#1 10.0.0.0/8#2"},
		{"as_path=^$", "2001:db8:1::/48#1"},
		{"as_path=3356", "10.0.0.0/8#1 10.0.0.0/8#2 10.1.2.0/24#1"},
		{"as_path={", "10.1.0.0/16#1"},
		{"originator_id=1.2.3.4", ""},
		{"stale=true", ""},
		{"stale=false&community=no-export", "10.0.0.0/8#1"},
		{"path_id=7", "10.1.2.0/24#2"},
		{"path_id=none&peer_asn=65002&family=ipv4-unicast", "10.0.0.0/8#2 10.1.0.0/16#1"},
		{"family=ipv4-vpn", ""},
		{"family=ipv4-vpn&rd=65001:1", ""},
		{"family=l2vpn-evpn", ""},
	} {
		var r apiv1.Routes
		q := strings.NewReplacer("^", "%5E", "{", "%7B").Replace(c.query)
		s.get(t, 200, "/api/v1/routes?"+q, &r)
		got := rowNames(r.Routes)
		// Paths of equal rank in every step but the last are told by peer number: names alone.
		if got != c.want || r.Next != nil {
			t.Errorf("%s: got  %s, next %v\nwant %s", c.query, got, r.Next, c.want)
		}
		var n apiv1.Count
		s.get(t, 200, "/api/v1/routes/count?"+q, &n)
		if int(n.Paths) != len(r.Routes) {
			t.Errorf("%s: count says %d, the list has %d", c.query, n.Paths, len(r.Routes))
		}
	}
}

func TestRoutesRefuse(t *testing.T) {
	_, s := small(t)
	for _, c := range []struct {
		query, param string
		status       int
	}{
		{"prefix=10.0.0.1/8", "prefix", 400}, {"prefix=x", "prefix", 400}, {"match=longer", "prefix", 400},
		{"prefix=10.0.0.0/8&match=near", "match", 400}, {"limit=0", "limit", 400}, {"limit=100001", "limit", 400},
		{"cursor=x", "cursor", 400}, {"cursor=" + strings.Repeat("A", 55), "cursor", 400}, {"table=adj-out", "peer", 400}, {"table=adj-out&peer=192.0.2.1", "peer", 422}, {"table=adj-out&peer=192.0.2.77", "peer", 404},
		{"table=x", "table", 400}, {"prefix=10.0.0.0/8&family=ipv6-unicast", "prefix", 400},
		{"prefix=10.0.0.0/8&family=ls", "prefix", 400}, {"at=5", "at", 501}, {"fields=", "fields", 400}, {"fields=origin_as", "fields", 400},
		{"origin_asn=x", "origin_asn", 400}, {"max_length=129", "max_length", 400},
	} {
		code, body, _ := s.do("GET", "/api/v1/routes?"+c.query, "")
		var p apiv1.Problem
		strict(t, c.query, body, &p)
		if code != c.status || p.Param != c.param {
			t.Errorf("%s: got %d %s, want %d about %s", c.query, code, body, c.status, c.param)
		}
	}
	if _, body, _ := s.do("GET", "/api/v1/routes?prefix=10.0.0.1/8", ""); !strings.Contains(body, "10.0.0.0/8 is right") {
		t.Errorf("the right form is not named: %s", body)
	}
}

func TestFieldsKeepOnlyWhatIsNamed(t *testing.T) {
	_, s := small(t)
	_, body, _ := s.do("GET", "/api/v1/routes?prefix=10.0.0.0/8&best=true&fields=prefix,origin_asn,as_path,peer", "")
	if want := `{"routes":[{"prefix":"10.0.0.0/8","peer":"192.0.2.1","as_path":"65001 3356 15169","origin_asn":15169}],"next":null}` + "\n"; body != want {
		t.Errorf("got %s want %s", body, want)
	}
	// Each field alone is what it is among all, cached or not.
	for range 2 {
		for _, f := range fieldNames {
			_, body, _ := s.do("GET", "/api/v1/lookup/10.1.2.3?fields="+f, "")
			_, all, _ := s.do("GET", "/api/v1/lookup/10.1.2.3", "")
			var one, whole apiv1.Lookup
			strict(t, f, body, &one)
			strict(t, f, all, &whole)
			_, item, _ := strings.Cut(body, `"paths":[{`)
			item, _, _ = strings.Cut(item, "},{")
			if !strings.Contains(all, item) || !strings.HasPrefix(item, `"`+f+`":`) {
				t.Errorf("fields=%s: %q is not a part of %s", f, item, all)
			}
		}
	}
	_, body, _ = s.do("GET", "/api/v1/routes?prefix=10.0.0.0/8&best=true&fields=prefix", "")
	if want := `{"routes":[{"prefix":"10.0.0.0/8"}],"next":null}` + "\n"; body != want {
		t.Errorf("got %s", body)
	}
}

// many fills a table with n prefixes of two peers.
func many(t testing.TB, n int) (*table, *Server) {
	b := newTable(t)
	p1, p2 := b.peer("192.0.2.1", 65001, "rrc00"), b.peer("192.0.2.2", 65002, "rrc00")
	for i := range n {
		px := netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(10 + i>>16), byte(i >> 8), byte(i), 0}), 24).String()
		b.add(px, p1, attrSpec{path: fmt.Sprintf("65001 3356 %d", 1000+i%500), next: "192.0.2.1", med: -1, comms: []uint32{uint32(i % 7)}})
		if i%3 == 0 {
			b.add(px, p2, attrSpec{path: fmt.Sprintf("65002 174 3356 %d", 1000+i%500), next: "192.0.2.2", med: -1})
		}
	}
	b.sync()
	s, err := New(Options{RIB: b.r, Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	return b, s
}

func TestPagesJoinToTheWhole(t *testing.T) {
	b, s := many(t, 3000)
	_, whole, _ := s.do("GET", "/api/v1/routes", "", "Accept", "application/x-ndjson")
	want := rowNames(lines[apiv1.Route](t, whole))
	if strings.Count(want, " ") != 3999 {
		t.Fatalf("the whole has %d rows, want 4000", strings.Count(want, " ")+1)
	}
	for _, limit := range []int{1, 7, 999, 4000, 100000} {
		if limit == 1 && testing.Short() {
			continue
		}
		var all []apiv1.Route
		cursor := ""
		for pages := 0; ; pages++ {
			var r apiv1.Routes
			s.get(t, 200, fmt.Sprintf("/api/v1/routes?limit=%d%s", limit, cursor), &r)
			all = append(all, r.Routes...)
			if len(r.Routes) != min(limit, 4000-limit*pages) {
				t.Fatalf("limit %d: page %d has %d rows", limit, pages, len(r.Routes))
			}
			if r.Next == nil {
				break
			}
			cursor = "&cursor=" + url.QueryEscape(*r.Next)
		}
		if got := rowNames(all); got != want {
			t.Errorf("limit %d: the pages do not join to the whole", limit)
		}
	}
	// A cursor outlives what changes: later prefixes show up, none comes twice.
	var first, second apiv1.Routes
	s.get(t, 200, "/api/v1/routes?limit=2000&best=true", &first)
	b.add("10.0.0.0/25", b.peers["192.0.2.1|rrc00"], attrSpec{path: "65001", med: -1})
	b.add("200.0.0.0/24", b.peers["192.0.2.1|rrc00"], attrSpec{path: "65001", med: -1})
	b.sync()
	s.get(t, 200, "/api/v1/routes?limit=2000&best=true&cursor="+*first.Next, &second)
	if len(second.Routes) != 1001 || *second.Routes[1000].Prefix != "200.0.0.0/24" || second.Next != nil {
		t.Errorf("after a change: %d rows, next %v", len(second.Routes), second.Next)
	}
	// Damage and another question are refused.
	for i := range *first.Next {
		c := []byte(*first.Next)
		c[i] ^= 1
		if code, body, _ := s.do("GET", "/api/v1/routes?limit=5&best=true&cursor="+url.QueryEscape(string(c)), ""); code != 400 {
			t.Errorf("damage at %d: got %d %s", i, code, body[:min(len(body), 200)])
		}
	}
	if code, _, _ := s.do("GET", "/api/v1/routes?cursor="+*first.Next, ""); code != 400 {
		t.Errorf("a cursor of another question: got %d", code)
	}
}

func TestLinesAreLimitedAndCompressed(t *testing.T) {
	_, s := many(t, 3000)
	_, body, h := s.do("GET", "/api/v1/routes?limit=10", "", "Accept", "application/x-ndjson")
	if got := strings.Count(body, "\n"); got != 10 || len(h.Peek(headerVersion)) == 0 {
		t.Errorf("limit 10: %d lines, version %q", got, h.Peek(headerVersion))
	}
	_, plain, _ := s.do("GET", "/api/v1/routes", "", "Accept", "application/x-ndjson")
	_, packed, h := s.do("GET", "/api/v1/routes", "", "Accept", "application/x-ndjson", "Accept-Encoding", "gzip;q=0.5, zstd")
	if string(h.ContentEncoding()) != "zstd" || len(packed) > len(plain)/4 {
		t.Errorf("zstd: %q, %d of %d octets", h.ContentEncoding(), len(packed), len(plain))
	}
	r, err := zstd.NewReader(strings.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var out bytes.Buffer
	if _, err := r.WriteTo(&out); err != nil || out.String() != plain {
		t.Errorf("zstd does not give the plain answer: %v", err)
	}
	_, big, _ := s.do("GET", "/api/v1/routes?limit=100000", "")
	var list apiv1.Routes
	strict(t, "page", big, &list)
	if len(list.Routes) != 4000 || len(big) < pagePlain {
		t.Errorf("a page of %d octets has %d rows", len(big), len(list.Routes))
	}
}

func TestPathExpressionsEqualTheirText(t *testing.T) {
	paths := []string{"", "65001", "3356", "65001 3356", "65001 3356 15169", "65001 13356 15169", "3356 65001 3356", "65001 {3356,15169}",
		"{3356} 65001", "65001 3356 3356 15169", "1 2 3 4 5 6 7 8 9 3356 15169", "33560 3356", "3356 33560"}
	exprs := []string{"^$", "_3356_", "^3356_", "_3356$", "^3356$", "^65001_3356_", "_3356_15169$", "^65001_.*_15169$", "^[0-9]+_3356_",
		`^\d+ 3356$`, "_65001_.*_3356_", "_0_", "3356", "^6500", "(_1|_2)_", "_[0-9]+_15169_", "_3356_.*_3356_", "_03356_", "_3356_3356_", "[_]",
		`\b3356\b`, `\B356`, "(?i)x|33(5|6)6 1?5", ".*", "", "^.{4}$", "(3|4)+5*?6", `\A65001|15169\z`, "[^0-9]3356", `[{,]3356`, "(?m)^3356$", "x*", "^(?:65001 )?3356"}
	for _, x := range exprs {
		e, err := compilePathExpr(x)
		if err != nil {
			t.Fatalf("%s: %v", x, err)
		}
		slow := &pathExpr{re: e.re}
		fast := e.share()
		fast.simple = false
		for _, p := range paths {
			got, _ := e.match(pathBytes(p), nil)
			want, _ := slow.match(pathBytes(p), nil)
			if got != want {
				t.Errorf("%q on %q: got %v, its text says %v", x, p, got, want)
			}
			if got, _ := fast.match(pathBytes(p), nil); got != want || fast.dfa == nil || fast.dfa.failed {
				t.Errorf("%q on %q: the automaton says %v, regexp %v", x, p, got, want)
			}
		}
	}
	for in, want := range map[string]string{
		`[_a]_`: `[_a]` + separator, `\__`: `\_` + separator, `[^]_]_`: `[^]_]` + separator, `\Q_\E_`: `\Q_\E` + separator, `[[:digit:]_]_`: `[[:digit:]_]` + separator,
	} {
		if got := expandUnderscore(in); got != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
}

func TestPeersAndTheirEnd(t *testing.T) {
	b, s := small(t)
	b.peer("192.0.2.2", 65002, "rrc09")
	var list apiv1.Peers
	s.get(t, 200, "/api/v1/peers", &list)
	if len(list.Peers) != 4 || *list.Peers[0].Address != "192.0.2.1" || list.Peers[0].State != "loaded" || list.Peers[0].Families[0].Prefixes != 4 || list.Peers[0].Families[0].Filtered != 1 {
		t.Errorf("peers: %+v", list)
	}
	var first, rest apiv1.Peers
	s.get(t, 200, "/api/v1/peers?limit=3", &first)
	s.get(t, 200, "/api/v1/peers?limit=3&cursor="+*first.Next, &rest)
	if len(first.Peers) != 3 || len(rest.Peers) != 1 || rest.Next != nil {
		t.Errorf("pages of %d and %d", len(first.Peers), len(rest.Peers))
	}
	var one apiv1.Peer
	s.get(t, 200, "/api/v1/peers/2001:db8:0::2", &one)
	var p apiv1.Problem
	s.get(t, 409, "/api/v1/peers/192.0.2.2", &p)
	if len(p.IDs) != 2 {
		t.Errorf("409 names %v", p.IDs)
	}
	if code, body, _ := s.do("DELETE", "/api/v1/peers/"+list.Peers[0].ID, ""); code != 204 || body != "" {
		t.Errorf("drop: %d %s", code, body)
	}
	var l apiv1.Lookup
	s.get(t, 200, "/api/v1/lookup/10.1.2.3", &l)
	if prefixOf(&l) != "10.1.0.0/16" {
		t.Errorf("after the drop: %s", prefixOf(&l))
	}
	s.get(t, 404, "/api/v1/peers/"+list.Peers[0].ID, &p)
}

func TestStatsMetricsAndHealth(t *testing.T) {
	_, s := small(t)
	s.do("GET", "/api/v1/lookup/10.1.2.3", "")
	var st apiv1.Stats
	s.get(t, 200, "/api/v1/stats", &st)
	if st.Lookups["single"] != 1 || st.Peers != 3 || st.Paths != 9 || st.Prefixes != 7 || !st.Ready || st.Version != "test" {
		t.Errorf("stats: %+v", st)
	}
	_, body, _ := s.do("GET", "/metrics", "")
	for _, want := range []string{`ribd_lookups_total{kind="single"} 1`, `ribd_http_requests_total{endpoint="lookup/{address}",code="200"} 1`,
		`ribd_rib_paths{family="ipv4-unicast"} 7`, `ribd_peers 3`, `ribd_info{version="test"} 1`, `ribd_http_request_seconds_count{endpoint="lookup/{address}"} 1`} {
		if !strings.Contains(body, want+"\n") {
			t.Errorf("metrics lack %s in\n%s", want, body)
		}
	}
	for _, uri := range []string{"/healthz", "/readyz", "/", "/openapi.yaml"} {
		if code, _, _ := s.do("GET", uri, ""); code != 200 {
			t.Errorf("%s: %d", uri, code)
		}
	}
	s.opts.Ready = func() (bool, string) { return false, "2 loads are running" }
	if code, body, _ := s.do("GET", "/readyz", ""); code != 503 || !strings.Contains(body, "2 loads") {
		t.Errorf("not ready: %d %s", code, body)
	}
}

func TestRoundsFindWhatAWalkFinds(t *testing.T) {
	_, s := many(t, 40_000)
	for _, q := range []string{"as_path=_1007$", "as_path=_174_.*_1003$", "community=0:3&as_path=_1010$", "origin_asn=1499&best=true", "as_path=_9_",
		"prefix=10.64.0.0/10&match=longer&as_path=_1007$", "peer=192.0.2.2&origin_asn=1002", "community=0:1", "min_length=25"} {
		_, all, _ := s.do("GET", "/api/v1/routes?"+q+"&fields=rank,attrs_id", "", "Accept", typeNDJSON)
		var want []string
		var n apiv1.Count
		s.get(t, 200, "/api/v1/routes/count?"+q, &n)
		rows := lines[apiv1.Route](t, all)
		if int(n.Paths) != len(rows) {
			t.Errorf("%s: %d rows, count says %d", q, len(rows), n.Paths)
		}
		last := netip.Prefix{}
		for i := range rows {
			p := netip.MustParsePrefix(*rows[i].Prefix)
			if last.IsValid() && (p.Addr().Less(last.Addr()) || p.Addr() == last.Addr() && p.Bits() < last.Bits()) {
				t.Fatalf("%s: %s comes after %s", q, p, last)
			}
			last = p
		}
		if strings.HasPrefix(q, "as_path=_1007$") {
			_, whole, _ := s.do("GET", "/api/v1/routes?fields=rank,as_path", "", "Accept", typeNDJSON)
			for _, r := range lines[apiv1.Route](t, whole) {
				if strings.HasSuffix(r.ASPath, " 1007") {
					want = append(want, *r.Prefix+"#"+fmt.Sprint(r.Rank))
				}
			}
			if got := rowNames(rows); got != strings.Join(want, " ") {
				t.Errorf("%s: got\n%.300s\nwant\n%.300s", q, got, strings.Join(want, " "))
			}
		}
		var joined []apiv1.Route
		cursor := ""
		for {
			var r apiv1.Routes
			s.get(t, 200, "/api/v1/routes?limit=17&fields=rank,attrs_id&"+q+cursor, &r)
			joined = append(joined, r.Routes...)
			if r.Next == nil || len(joined) > 2000 {
				break
			}
			cursor = "&cursor=" + *r.Next
		}
		if a, b := rowNames(joined), rowNames(rows); !strings.HasPrefix(b, a) || len(joined) <= 2000 && a != b {
			t.Errorf("%s: pages do not join: %d rows of %d", q, len(joined), len(rows))
		}
	}
}
