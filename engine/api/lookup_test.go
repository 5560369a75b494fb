package api

import (
	"strings"
	"testing"

	"ribd/engine/api/apiv1"
)

func TestLookupAnswersTheLongestMatch(t *testing.T) {
	_, s := small(t)
	for _, c := range []struct {
		uri, prefix string
		paths       int
	}{
		{"10.1.2.3", "10.1.2.0/24", 2},
		{"10.1.3.1", "10.1.0.0/16", 1},
		{"10.2.0.1", "10.0.0.0/8", 2},
		{"8.8.8.8", "0.0.0.0/0", 1},
		{"::ffff:10.1.2.3", "10.1.2.0/24", 2},
		{"192.168.1.1", "0.0.0.0/0", 1},
		{"192.168.1.1?filtered=any", "192.168.0.0/16", 1},
		{"192.168.1.1?filtered=true", "192.168.0.0/16", 1},
		{"2001:db8:1::1", "2001:db8:1::/48", 1},
		{"2001:db8:2::1", "2001:db8::/32", 1},
		{"2001:4860::1", "null", 0},
		// Filters come before the longest match.
		{"10.1.2.3?peer=192.0.2.2", "10.1.0.0/16", 1},
		{"10.1.2.3?peer=192.0.2.2&as_path=15169$", "10.0.0.0/8", 1},
		{"10.1.2.3?origin_asn=15169", "10.0.0.0/8", 2},
		{"10.1.2.3?best=true&origin_asn=15169", "10.0.0.0/8", 1},
		{"10.1.2.3?path_id=7", "10.1.2.0/24", 1},
		{"10.1.2.3?path_id=none", "10.1.0.0/16", 1},
		{"10.1.2.3?path_id=0", "10.1.2.0/24", 1},
		{"10.1.2.3?community=65001:100", "10.0.0.0/8", 1},
		{"10.1.2.3?community=no-export&community=65001:*", "10.0.0.0/8", 1},
		{"10.1.2.3?community=65001:101", "null", 0},
		{"10.1.2.3?large_community=65001:1:2", "10.1.0.0/16", 1},
		{"10.1.2.3?ext_community=rt:65001:1", "10.1.2.0/24", 1},
		{"10.1.2.3?max_length=15", "10.0.0.0/8", 2},
		{"10.1.3.3?min_length=17", "null", 0},
		{"10.1.2.3?as_path=_174_", "10.1.0.0/16", 1},
		{"10.1.2.3?as_path=_64501_", "10.1.0.0/16", 1},
		{"10.1.2.3?neighbor_asn=65002", "10.1.0.0/16", 1},
		{"10.1.2.3?as_path_length=1", "0.0.0.0/0", 1},
		{"10.1.2.3?next_hop=192.0.2.2", "10.1.0.0/16", 1},
		{"10.1.2.3?source=mrt", "10.1.2.0/24", 2},
		{"10.1.2.3?source=bgp", "null", 0},
		{"10.1.2.3?peer_asn=65002", "10.1.0.0/16", 1},
		{"10.1.2.3?received_after=2026-01-02T03:04:04Z", "10.1.2.0/24", 2},
		{"10.1.2.3?received_before=2026-01-02T03:04:05Z", "null", 0},
		{"2001:db8:1::1?as_path=^$", "2001:db8:1::/48", 1},
		{"10.1.2.3?family=ipv4-multicast", "null", 0},
		{"10.1.2.3?family=ipv4-vpn&rd=65001:1", "null", 0},
	} {
		var l apiv1.Lookup
		s.get(t, 200, "/api/v1/lookup/"+strings.ReplaceAll(c.uri, "^", "%5E"), &l)
		if got := prefixOf(&l); got != c.prefix || len(l.Paths) != c.paths {
			t.Errorf("%s: got %s with %d paths, want %s with %d", c.uri, got, len(l.Paths), c.prefix, c.paths)
		}
	}
}

func TestPathHasTheFieldsOfTheContract(t *testing.T) {
	_, s := small(t)
	_, body, h := s.do("GET", "/api/v1/lookup/10.2.0.0?best=true", "")
	if got := string(h.ContentType()); got != typeJSON {
		t.Errorf("content type %q", got)
	}
	id := s.rib.Peers()
	want := `{"query":"10.2.0.0","prefix":"10.0.0.0/8","paths":[{"peer":"192.0.2.1","peer_id":"` + peerIDOf(id, "192.0.2.1") +
		`","peer_asn":65001,"source":"mrt","family":"ipv4-unicast","rd":null,"labels":null,"path_id":null,` +
		`"best":true,"best_reason":"as-path-length","rank":1,"origin":"igp","as_path":"65001 3356 15169","origin_asn":15169,"neighbor_asn":65001,` +
		`"next_hop":"192.0.2.1","next_hop_link_local":null,"med":5,"local_pref":null,"communities":["65001:100","65535:65281"],` +
		`"large_communities":[],"ext_communities":[],"atomic_aggregate":false,"aggregator":null,"originator_id":null,"cluster_list":[],` +
		`"only_to_customer":null,"aigp":null,"unknown_attributes":[],"attrs_id":ID,"received_at":"2026-01-02T03:04:05Z","stale":null,` +
		`"filtered":false,"filter_reason":null,"rpki":null}]}` + "\n"
	var l apiv1.Lookup
	strict(t, "lookup", body, &l)
	got := strings.Replace(body, `"attrs_id":`+itoa(l.Paths[0].AttrsID), `"attrs_id":ID`, 1)
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	var a apiv1.Attributes
	s.get(t, 200, "/api/v1/attributes/"+itoa(l.Paths[0].AttrsID), &a)
	if a.ASPath != l.Paths[0].ASPath || a.AttrsID != l.Paths[0].AttrsID {
		t.Errorf("attributes: got %+v", a)
	}
}

func TestLookupRefuses(t *testing.T) {
	_, s := small(t)
	for _, c := range []struct {
		uri    string
		status int
		param  string
	}{
		{"10.0.0.0/8", 400, "address"},
		{"10.0.0", 400, "address"},
		{"", 400, "address"},
		{"fe80::1%25eth0", 400, "address"},
		{"10.0.0.1?familly=ipv4-unicast", 400, "familly"},
		{"10.0.0.1?best=true&best=true", 400, "best"},
		{"10.0.0.1?best=", 400, "best"},
		{"10.0.0.1?best=maybe", 400, "best"},
		{"10.0.0.1?family=ipv4", 400, "family"},
		{"10.0.0.1?family=ipv6-unicast", 400, "address"},
		{"10.0.0.1?family=ipv4-vpn", 400, "rd"},
		{"10.0.0.1?rd=1:1", 400, "family"},
		{"10.0.0.1?family=ipv4-unicast&rd=1:1", 400, "rd"},
		{"10.0.0.1?family=ipv4-flowspec", 400, "family"},
		{"10.0.0.1?at=2026-01-01T00:00:00Z", 501, "at"},
		{"10.0.0.1?peer=192.0.2.77", 404, "peer"},
		{"10.0.0.1?peer=x", 400, "peer"},
		{"10.0.0.1?as_path=(", 400, "as_path"},
		{"10.0.0.1?community=x", 400, "community"},
		{"10.0.0.1?rpki=valid", 422, "rpki"},
		{"10.0.0.1?rpki=good", 400, "rpki"},
		{"10.0.0.1?path_id=-1", 400, "path_id"},
		{"10.0.0.1?fields=prefx,as_pth", 400, "fields"},
		{"10.0.0.1?limit=5", 400, "limit"},
		{"10.0.0.1?community=%zz", 400, "community"},
		{"10.0.0.1?min_length=9&max_length=8", 400, "min_length"},
	} {
		code, body, h := s.do("GET", "/api/v1/lookup/"+c.uri, "")
		var p apiv1.Problem
		strict(t, c.uri, body, &p)
		if code != c.status || p.Status != c.status || p.Param != c.param || p.Detail == "" || string(h.ContentType()) != "application/problem+json" {
			t.Errorf("%s: got %d %s, want %d about %q", c.uri, code, body, c.status, c.param)
		}
	}
	for _, c := range []struct {
		method, uri string
		status      int
		headers     []string
	}{
		{"PUT", "/api/v1/lookup/10.0.0.1", 405, nil},
		{"GET", "/api/v1/lookup", 405, nil},
		{"GET", "/api/v1/nothing", 404, nil},
		{"GET", "/api/v1/lookup/10.0.0.1", 406, []string{"Accept", "text/html"}},
		{"POST", "/api/v1/lookup", 415, []string{"Content-Type", "text/html"}},
		{"POST", "/api/v1/lookup", 415, nil},
		{"POST", "/api/v1/lookup", 415, []string{"Content-Type", "text/plain", "Content-Encoding", "gzip"}},
		{"GET", "/api/v1/paths", 501, nil},
		{"POST", "/api/v1/flowspec/match", 501, nil},
		{"GET", "/api/v1/diff?from=1&to=2", 501, nil},
		{"GET", "/api/v1/snapshot.mrt.zst", 501, nil},
		{"GET", "/api/v1/attributes/0", 400, nil},
		{"GET", "/api/v1/attributes/4000000000", 404, nil},
		{"GET", "/api/v1/peers/192.0.2.9", 404, nil},
		{"GET", "/api/v1/loads/9", 404, nil},
		{"GET", "/api/v1/peers/{peer}", 404, nil},
	} {
		code, body, h := s.do(c.method, c.uri, "", c.headers...)
		var p apiv1.Problem
		strict(t, c.uri, body, &p)
		if code != c.status {
			t.Errorf("%s %s: got %d %s, want %d", c.method, c.uri, code, body, c.status)
		}
		if code == 405 && len(h.Peek("Allow")) == 0 {
			t.Errorf("%s: no Allow", c.uri)
		}
	}
}

func TestBatchAnswersInOrderWithErrorsInPlace(t *testing.T) {
	_, s := small(t)
	code, body, h := s.do("POST", "/api/v1/lookup", "10.1.2.3\n\nnonsense\r\n 2001:db8::1 \n10.0.0.0/8\n8.8.8.8", "Content-Type", "text/plain")
	if code != 200 || string(h.ContentType()) != typeNDJSON {
		t.Fatalf("got %d %s", code, h.ContentType())
	}
	got := lines[apiv1.Lookup](t, body)
	var short []string
	for i := range got {
		if got[i].Error != "" {
			short = append(short, got[i].Query+"!")
		} else {
			short = append(short, got[i].Query+"="+prefixOf(&got[i]))
		}
	}
	want := "10.1.2.3=10.1.2.0/24 ! nonsense! 2001:db8::1=2001:db8::/32 10.0.0.0/8! 8.8.8.8=0.0.0.0/0"
	if g := strings.Join(short, " "); g != want {
		t.Errorf("got  %s\nwant %s", g, want)
	}
	_, body, _ = s.do("POST", "/api/v1/lookup", ` [ "10.1.2.3" , "1\u0030.1.3.1",3,null, ""]`, "Content-Type", "application/json; charset=utf-8")
	got = lines[apiv1.Lookup](t, body)
	if len(got) != 5 || prefixOf(&got[0]) != "10.1.2.0/24" || prefixOf(&got[1]) != "10.1.0.0/16" || got[2].Error == "" || got[3].Error == "" || got[4].Error == "" {
		t.Errorf("JSON: got %s", body)
	}
	for _, bad := range []string{``, `{}`, `"x"`, `[`, `[{}]`, `[[]]`, `[,]`, `[} `} {
		if code, body, _ := s.do("POST", "/api/v1/lookup", bad, "Content-Type", "application/json"); code != 400 {
			t.Errorf("%q: got %d %s", bad, code, body)
		}
	}
	if _, body, _ := s.do("POST", "/api/v1/lookup", `["10.1.2.3"`, "Content-Type", "application/json"); !strings.HasSuffix(body, "\n{\"error\":\"the list does not end\"}\n") {
		t.Errorf("a list that does not end: got %s", body)
	}
	if code, body, _ := s.do("POST", "/api/v1/lookup", `[]`, "Content-Type", "application/json"); code != 200 || body != "" {
		t.Errorf("an empty list: got %d %s", code, body)
	}
}
