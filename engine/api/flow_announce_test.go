package api

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"ribd/engine/api/apiv1"
	"ribd/engine/origin"
)

// post announces by POST flowspec.
func (b *flowTable) post(body string, headers ...string) (int, string) {
	if len(headers) == 0 {
		headers = []string{"Content-Type", "application/json"}
	}
	code, answer, _ := b.s.do("POST", "/api/v1/flowspec", body, headers...)
	return code, answer
}

func TestARuleIsOriginatedShownAndWithdrawn(t *testing.T) {
	b := newFlowTable(t)
	begin := time.Now().Truncate(time.Millisecond)
	code, body := b.post(`{"match":{"destination":"203.0.113.7/32","protocol":"=udp"},"actions":{"rate_limit_bytes":0},"ttl":"10m","communities":["no-export"]}`)
	var a apiv1.FlowAnnounced
	strict(t, "POST", body, &a)
	if code != 200 || a.Text != "destination 203.0.113.7/32 protocol =udp then rate-limit 0" || a.ExpiresAt == nil || a.Family != "ipv4-flowspec" || a.AttrsID == 0 {
		t.Fatalf("%d %s", code, body)
	}
	rules := b.list(t, "?source=local") // at once
	if len(rules) != 1 {
		t.Fatalf("got %d rules", len(rules))
	}
	r := rules[0]
	if r.ID != a.ID || r.Peer != nil || r.Source != "local" || !r.Best || !r.Valid || r.Communities[0] != "65535:65281" || *r.Actions.RateLimitBytes != 0 ||
		r.ExpiresAt == nil || !r.ExpiresAt.Equal(*a.ExpiresAt) || r.Peers != nil || r.Text != a.Text || r.NLRI != a.NLRI || r.AttrsID != a.AttrsID {
		t.Errorf("got %s\nfor %s", asJSON(t, r), body)
	}
	if r.ExpiresAt.Before(begin.Add(10*time.Minute)) || r.ExpiresAt.After(time.Now().Add(10*time.Minute)) {
		t.Errorf("expires at %v, announced after %v", r.ExpiresAt, begin)
	}
	// The row is the same rule: it changes nothing.
	code, again := b.post(asJSON(t, r))
	var c apiv1.FlowAnnounced
	if strict(t, "again", again, &c); code != 200 || c.ID != a.ID || c.AttrsID != a.AttrsID || len(b.list(t, "")) != 1 {
		t.Errorf("its own row: %d %s", code, again)
	}
	// Another path of it, by its id.
	code, body = b.post(`{"text":"destination 203.0.113.7/32 protocol =udp then mark 5","path_id":0}`)
	var second apiv1.FlowAnnounced
	if strict(t, "path_id", body, &second); code != 200 || second.ID == a.ID || *second.PathID != 0 || len(b.list(t, "")) != 2 {
		t.Errorf("path_id: %d %s", code, body)
	}
	if code, body, _ := b.s.do("DELETE", "/api/v1/flowspec/"+a.ID, ""); code != 204 || body != "" {
		t.Errorf("DELETE: %d %s", code, body)
	}
	if left := b.list(t, ""); len(left) != 1 || left[0].ID != second.ID {
		t.Errorf("left: %s", asJSON(t, left))
	}
	var p apiv1.Problem
	code, body, _ = b.s.do("DELETE", "/api/v1/flowspec/"+a.ID, "")
	if strict(t, "DELETE", body, &p); code != 404 || p.Param != "id" {
		t.Errorf("a second DELETE: %d %s", code, body)
	}
}

func TestARuleOfAPeerIsNotWithdrawnHere(t *testing.T) {
	b := smallRules(t)
	code, body, _ := b.s.do("DELETE", "/api/v1/flowspec/"+b.list(t, "")[0].ID, "")
	if code != 409 || !strings.Contains(body, "192.0.2.1") {
		t.Errorf("%d %s", code, body)
	}
	if n := len(b.list(t, "")); n != len(usualRules) {
		t.Errorf("%d rules are left", n)
	}
}

func TestVPNRulesAreOriginatedInTheirTable(t *testing.T) {
	b := newFlowTable(t)
	code, body := b.post(`[{"rd":"65001:1","match":{"destination":"203.0.113.0/24"}},{"text":"rd 65001:2 destination 2001:db8::/32 then accept"}]`)
	var list []apiv1.FlowAnnounced
	strict(t, "POST", body, &list)
	if code != 200 || len(list) != 2 || *list[0].RD != "65001:1" || list[1].Family != "ipv6-flowspec-vpn" {
		t.Fatalf("%d %s", code, body)
	}
	for i, q := range []string{"?rd=65001:1", "?rd=65001:2"} {
		if got := b.list(t, q); len(got) != 1 || got[0].ID != list[i].ID || *got[0].RD != *list[i].RD {
			t.Errorf("%s: %s", q, asJSON(t, got))
		}
	}
}

func TestAListOfRulesIsAllOrNothingAndLinesAreNot(t *testing.T) {
	b := newFlowTable(t)
	const good, bad = `{"text":"destination 203.0.113.7/32 then accept"}`, `{"text":"destination 203.0.113.7/33"}`
	code, body := b.post("[" + good + "," + bad + "]")
	var p apiv1.Problem
	if strict(t, "list", body, &p); code != 400 || p.Index == nil || *p.Index != 1 || p.Param != "[1].text" || len(b.list(t, "")) != 0 {
		t.Errorf("a list: %d %s", code, body)
	}
	code, body = b.post(good+"\n\n"+bad+"\n"+`{"text":"destination 203.0.113.8/32 then accept"}`, "Content-Type", typeNDJSON)
	got := strings.Split(strings.TrimSpace(body), "\n")
	if code != 200 || len(got) != 3 {
		t.Fatalf("lines: %d %s", code, body)
	}
	var a apiv1.FlowAnnounced
	strict(t, "line", got[0], &a)
	strict(t, "line", got[2], &a)
	var e apiv1.LineError
	if strict(t, "line", got[1], &e); e.Line != 3 || e.Status != 400 || e.Param != "text" {
		t.Errorf("the bad line: %s", got[1])
	}
	if len(b.list(t, "")) != 2 {
		t.Errorf("rules: %v", texts(b.list(t, "")))
	}
}

func TestGuardsRefuseRulesAndNameThemselves(t *testing.T) {
	b := newFlowTable(t, func(o *origin.Options) {
		o.Guards = origin.Guards{
			Protected: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}, MinLength4: 24, MinLength6: 48,
			MaxRules: 3, MaxTTL: time.Hour, DefaultTTL: 10 * time.Minute,
		}
	})
	for _, c := range []struct{ json, guard string }{
		{`{"text":"destination 198.51.100.7/32 then discard"}`, "protected"},
		{`{"text":"destination 203.0.112.0/23 then rate-limit 5"}`, "min_length"},
		{`{"text":"protocol =udp then redirect rt:65001:1"}`, "no-destination"},
		{`{"text":"destination 0.0.0.0/0 then discard"}`, ""},
		{`{"text":"destination 203.0.113.7/32 then discard","ttl":"2h"}`, "max_ttl"},
	} {
		code, body := b.post(c.json)
		var p apiv1.Problem
		strict(t, c.json, body, &p)
		if code != 422 || p.Guard == "" || c.guard != "" && p.Guard != c.guard {
			t.Errorf("%s: %d %s", c.json, code, body)
		}
		code, body = b.post(c.json, "Content-Type", typeNDJSON)
		var e apiv1.LineError
		if strict(t, c.json, body, &e); code != 200 || e.Status != 422 || e.Guard != p.Guard {
			t.Errorf("as a line, %s: %d %s", c.json, code, body)
		}
	}
	if code, body := b.post(`{"text":"protocol =udp then mark 5"}`); code != 200 { // filters nothing
		t.Errorf("a mark: %d %s", code, body)
	}
	for i := range 4 {
		code, body := b.post(fmt.Sprintf(`{"text":"destination 203.0.113.%d/32 then discard"}`, i))
		var p apiv1.Problem
		if i < 3 {
			var a apiv1.FlowAnnounced
			if strict(t, "rule", body, &a); code != 200 || a.ExpiresAt == nil {
				t.Errorf("rule %d: %d %s", i, code, body)
			}
		} else if strict(t, "rule", body, &p); code != 422 || p.Guard != "max_rules.total" {
			t.Errorf("rule %d: %d %s", i, code, body)
		}
	}
}

func TestWrongBodiesOfRules(t *testing.T) {
	b := newFlowTable(t)
	for _, c := range []struct {
		body, content string
		code          int
	}{
		{`{"text":"destination"}`, "application/json", 400},
		{`{"txt":"destination 192.0.2.0/24"}`, "application/json", 400},
		{`x`, "application/json", 400},
		{``, "application/json", 400},
		{`{"text":"destination 192.0.2.0/24"}`, "text/plain", 415},
		{`{"text":"destination 192.0.2.0/24","peers":["9.9.9.9"]}`, "application/json", 404},
	} {
		if code, body := b.post(c.body, "Content-Type", c.content); code != c.code {
			t.Errorf("%s as %s: %d %s", c.body, c.content, code, body)
		}
	}
	if code, body, _ := b.s.do("POST", "/api/v1/flowspec", `{}`, "Content-Type", "application/json", "Origin", "http://x"); code != 403 {
		t.Errorf("from a web page: %d %s", code, body)
	}
}
