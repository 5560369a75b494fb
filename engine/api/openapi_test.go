package api

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"

	"ribd/engine/api/apiv1"
	"ribd/engine/flow"
	"ribd/engine/origin"
	"ribd/shard/rib"
)

func description(t testing.TB) *openapi3.T {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(OpenAPI())
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return doc
}

func TestDescriptionNamesEveryEndpoint(t *testing.T) {
	doc := description(t)
	_, s := small(t)
	var served, described []string
	for _, e := range s.exact {
		for _, m := range e.methods {
			served = append(served, m.verb+" "+e.path)
			op := doc.Paths.Value(e.path)
			if op == nil || op.GetOperation(m.verb) == nil || m.takes == ^paramSet(0) {
				continue
			}
			var names paramSet
			for _, p := range op.GetOperation(m.verb).Parameters {
				if p.Value.In == "query" {
					n, _ := paramOf([]byte(p.Value.Name))
					names |= 1 << n
				}
			}
			if names != m.takes {
				t.Errorf("%s %s: described parameters %s, served %s", m.verb, e.path, names.names(), m.takes.names())
			}
		}
	}
	for p, item := range doc.Paths.Map() {
		for verb := range item.Operations() {
			described = append(described, verb+" "+p)
		}
	}
	sort.Strings(served)
	sort.Strings(described)
	if a, b := strings.Join(served, "\n"), strings.Join(described, "\n"); a != b {
		t.Errorf("served:\n%s\n\ndescribed:\n%s", a, b)
	}
	for _, r := range filterReasons() {
		if !slices.Contains(doc.Components.Schemas["Path"].Value.Properties["filter_reason"].Value.Enum, any(r.String())) {
			t.Errorf("the reason %s is not described", r)
		}
	}
	for f, name := range fieldNames {
		if doc.Components.Schemas["Path"].Value.Properties[name] == nil {
			t.Errorf("field %d, %s, is not described", f, name)
		}
	}
}

// getURIs ask every endpoint that is read, for good answers and bad ones.
var getURIs = []string{
	"/api/v1/lookup/10.1.2.3", "/api/v1/lookup/2001:db8:1::1", "/api/v1/lookup/2001::", "/api/v1/lookup/x", "/api/v1/lookup/10.0.0.1?peer=9.9.9.9",
	"/api/v1/lookup/10.0.0.1?rpki=valid", "/api/v1/lookup/10.0.0.1?at=1", "/api/v1/lookup/10.1.2.3?fields=as_path",
	"/api/v1/attributes/x", "/api/v1/attributes/99999999",
	"/api/v1/routes", "/api/v1/routes?limit=1", "/api/v1/routes?filtered=any", "/api/v1/routes?limit=x", "/api/v1/routes?peer=9.9.9.9", "/api/v1/routes?rpki=valid", "/api/v1/routes?at=1",
	"/api/v1/routes/count", "/api/v1/routes/count?x=1", "/api/v1/peers", "/api/v1/peers?limit=1", "/api/v1/peers?x=1", "/api/v1/peers/192.0.2.1", "/api/v1/peers/9.9.9.9", "/api/v1/peers/zz",
	"/api/v1/loads", "/api/v1/loads/1", "/api/v1/loads/9", "/api/v1/stats", "/metrics", "/healthz", "/readyz", "/openapi.yaml", "/",
	"/api/v1/paths", "/api/v1/flowspec", "/api/v1/flowspec/1", "/api/v1/mitigations", "/api/v1/mitigations/audit", "/api/v1/mitigations/1",
	"/api/v1/diff", "/api/v1/config/diff", "/api/v1/stream", "/api/v1/snapshot.mrt", "/api/v1/snapshot.mrt.gz", "/api/v1/snapshot.mrt.zst",
}

func TestAnswersAreAsDescribed(t *testing.T) {
	doc := description(t)
	text := func(body io.Reader, _ http.Header, _ *openapi3.SchemaRef, _ openapi3filter.EncodingFn) (any, error) {
		b, err := io.ReadAll(body)
		return string(b), err
	}
	for _, ct := range []string{typeNDJSON, "application/yaml", "text/plain"} {
		openapi3filter.RegisterBodyDecoder(ct, text)
	}
	b, s, peers := withSessions(t)
	s.opts.Loads = &fakeLoads{list: []apiv1.Load{{ID: "1", State: "done"}}}
	var reloadErr error
	key := "x"
	diff := apiv1.ConfigDiff{File: "f", Changes: []apiv1.ConfigChange{{Section: "peers", Name: &key, Change: "changed", Effect: "live", Keys: []apiv1.ConfigKey{{Key: "import", Old: nil, New: &key}}, Peers: []string{"192.0.2.1"}}}}
	s.opts.ConfigDiff = func(context.Context) (apiv1.ConfigDiff, error) { return diff, reloadErr }
	s.opts.Reload = func(context.Context) (apiv1.Reload, error) {
		return apiv1.Reload{ConfigDiff: diff, At: time.Now()}, reloadErr
	}
	out := &fakeOut{r: s.rib, peers: map[string]map[outKey][]Advertised{}}
	out.everything("8f00c2d1e4b7a650")
	s.opts.AdjOut = out.of
	var l apiv1.Lookup
	s.get(t, 200, "/api/v1/lookup/10.1.2.3", &l)
	seen := map[string]bool{}
	check := func(method, uri, body string, headers ...string) (int, string) {
		t.Helper()
		code, answer, h := s.do(method, uri, body, headers...)
		u, err := url.Parse("http://localhost" + uri)
		if err != nil {
			t.Fatal(err)
		}
		req := &http.Request{Method: method, URL: u, Header: http.Header{}}
		e, _ := s.find([]byte(u.Path))
		if e == nil {
			t.Fatalf("%s %s: not served", method, uri)
		}
		route := &routers.Route{Spec: doc, Path: e.path, PathItem: doc.Paths.Value(e.path), Method: method}
		if route.Operation = route.PathItem.GetOperation(method); route.Operation == nil {
			if code != 405 {
				t.Errorf("%s %s: not described, answered %d", method, uri, code)
			}
			route.Operation = route.PathItem.Get // any that describes 405
			if route.Operation == nil {
				route.Operation = route.PathItem.Post
			}
		}
		seen[method+" "+route.Path+" "+itoa(uint32(code))] = true
		header := http.Header{}
		for k, v := range h.All() {
			header.Add(string(k), string(v))
		}
		in := &openapi3filter.ResponseValidationInput{
			RequestValidationInput: &openapi3filter.RequestValidationInput{Request: req, Route: route},
			Status:                 code, Header: header, Body: io.NopCloser(strings.NewReader(answer)),
			Options: &openapi3filter.Options{IncludeResponseStatus: true, MultiError: true},
		}
		if err := openapi3filter.ValidateResponse(t.Context(), in); err != nil {
			t.Errorf("%s %s: %d is not as described: %v\n%.2000s", method, uri, code, err, answer)
		}
		return code, answer
	}
	for _, uri := range append(getURIs, "/api/v1/attributes/"+itoa(l.Paths[0].AttrsID)) {
		check("GET", uri, "")
		check("GET", uri, "", "Accept", "image/png")
		check("PUT", uri, "")
	}
	lookup := doc.Components.Schemas["Lookup"].Value
	route := doc.Components.Schemas["Route"].Value
	each := func(schema *openapi3.Schema, body string) {
		t.Helper()
		for _, line := range strings.Split(strings.TrimSpace(body), "\n") {
			var v any
			if err := json.Unmarshal([]byte(line), &v); err != nil {
				t.Fatalf("%v in %s", err, line)
			}
			if err := schema.VisitJSON(v); err != nil {
				t.Errorf("line is not as described: %v", err)
			}
		}
	}
	_, body := check("POST", "/api/v1/lookup", "10.1.2.3\nx\n::1", "Content-Type", "text/plain")
	each(lookup, body)
	_, body = check("GET", "/api/v1/routes?filtered=any", "", "Accept", typeNDJSON)
	each(route, body)
	_, body = check("GET", "/api/v1/peers", "", "Accept", typeNDJSON)
	each(doc.Components.Schemas["Peer"].Value, body)
	_, body = check("GET", "/api/v1/loads", "", "Accept", typeNDJSON)
	each(doc.Components.Schemas["Load"].Value, body)
	check("POST", "/api/v1/lookup", `["10.1.2.3"]`, "Content-Type", "application/json")
	check("POST", "/api/v1/lookup?family=ipv4-unicast", "\x0a\x01\x02\x03", "Content-Type", typeOctets)
	check("POST", "/api/v1/lookup", "x", "Content-Type", "image/png")
	check("POST", "/api/v1/lookup", "{", "Content-Type", "application/json")
	check("POST", "/api/v1/load", `{"file":"/x"}`, "Content-Type", "application/json")
	check("POST", "/api/v1/load", `{"file":"/none"}`, "Content-Type", "application/json")
	check("POST", "/api/v1/load", "", "Content-Type", typeOctets)
	check("POST", "/api/v1/load", `{"file":"/x"}`, "Content-Type", "application/json", "Origin", "http://x")
	sessionsAreDescribed(t, s, check, func(e error) { peers.fail, reloadErr = e, e })
	check("DELETE", "/api/v1/peers/9.9.9.9", "")
	check("DELETE", "/api/v1/peers/192.0.2.1", "", "Origin", "http://x")
	check("DELETE", "/api/v1/peers/192.0.2.1", "")
	check("DELETE", "/api/v1/peers/192.0.2.2", "")
	for _, uri := range []string{"/api/v1/paths", "/api/v1/updates", "/api/v1/flowspec", "/api/v1/flowspec/match", "/api/v1/mitigations", "/api/v1/reload", "/api/v1/peers", "/api/v1/peers/1.2.3.4/reset"} {
		check("POST", uri, "{}")
	}
	originate(t, b, s, func(o *origin.Options) { o.ID = flow.RuleID })
	pathsAreDescribed(t, doc, check, each)
	rulesAreDescribed(t, b, s, doc, check, each)
	s.opts.Ready = func() (bool, string) { return false, "" }
	check("GET", "/readyz", "")
	for _, e := range s.exact {
		for _, m := range e.methods {
			found := false
			for k := range seen {
				found = found || strings.HasPrefix(k, m.verb+" "+e.path+" ")
			}
			if !found && m.verb != "DELETE" && m.verb != "PATCH" {
				t.Errorf("%s %s was not asked", m.verb, e.path)
			}
		}
	}
}

// pathsAreDescribed announces, lists and withdraws, carried out and refused.
func pathsAreDescribed(t *testing.T, doc *openapi3.T, check func(method, uri, body string, headers ...string) (int, string), each func(*openapi3.Schema, string)) {
	t.Helper()
	const one, blackhole = `{"prefix":"10.9.1.0/24","next_hop":"192.0.2.66"}`, `{"prefix":"203.0.113.1","next_hop":"192.0.2.66","communities":["blackhole"]}`
	vpn := `{"prefix":"10.9.1.0/24","family":"ipv4-vpn","rd":"65001:1","labels":[100],"path_id":7,"next_hop":"192.0.2.66","ttl":"10m","peers":["192.0.2.9"],"as_path":"65001 {1,2}","aigp":5,"unknown_attributes":[{"type":99,"value":"00"}]}`
	rule := `{"family":"ipv4-flowspec","nlri":"0501180a0900"}`
	asJSON := func(method, uri, body string, status int, headers ...string) {
		t.Helper()
		if code, answer := check(method, uri, body, append([]string{"Content-Type", typeJSON}, headers...)...); code != status {
			t.Errorf("%s %s %s: %d, want %d: %s", method, uri, body, code, status, answer)
		}
	}
	asJSON("POST", "/api/v1/paths", one, 200, headerKey, "k")
	asJSON("POST", "/api/v1/paths", one, 200, headerKey, "k")
	asJSON("POST", "/api/v1/paths", vpn, 422, headerKey, "k")
	asJSON("POST", "/api/v1/paths", "["+vpn+","+rule+"]", 200)
	asJSON("POST", "/api/v1/paths", "["+vpn+","+blackhole+"]", 422)
	asJSON("POST", "/api/v1/paths", `{"prefix":"10.0.0.0/8"}`, 400)
	asJSON("POST", "/api/v1/paths", `{"prefix":"10.0.0.0/8","peers":["9.9.9.9"]}`, 404)
	asJSON("POST", "/api/v1/paths", one, 406, "Accept", "image/png")
	asJSON("POST", "/api/v1/paths", one, 403, "Origin", "http://x")
	asJSON("POST", "/api/v1/paths", "["+strings.Repeat(" ", maxList)+"]", 413)
	asJSON("POST", "/api/v1/updates", one, 200)
	asJSON("POST", "/api/v1/updates?peer=192.0.2.9", `[{"prefix":"10.9.1.0/24","next_hop":"192.0.2.66","send":true},{"prefix":"198.51.100.0/24","next_hop":"192.0.2.66"},`+rule+`,{"prefix":"10.9.1.0/24","withdraw":true}]`, 200)
	asJSON("POST", "/api/v1/updates?peer=9.9.9.9", one, 404)
	asJSON("POST", "/api/v1/updates?x=1", one, 400)
	asJSON("POST", "/api/v1/updates", blackhole[:1]+`"send":true,`+blackhole[1:], 422)
	check("POST", "/api/v1/updates", one, "Content-Type", "text/plain")
	line := func(schemas []string, answer string) {
		t.Helper()
		for i, l := range strings.Split(strings.TrimSpace(answer), "\n") {
			each(doc.Components.Schemas[schemas[i]].Value, l)
		}
	}
	_, answer := check("POST", "/api/v1/paths", one+"\nx\n"+blackhole+"\n"+rule, "Content-Type", typeNDJSON)
	line([]string{"PathAnnounced", "LineError", "LineError", "PathAnnounced"}, answer)
	_, answer = check("POST", "/api/v1/updates", one+"\nx\n", "Content-Type", typeNDJSON)
	line([]string{"Updates", "LineError"}, answer)
	check("GET", "/api/v1/paths", "")
	check("GET", "/api/v1/paths?limit=1", "")
	check("GET", "/api/v1/paths?rd=x", "")
	_, answer = check("GET", "/api/v1/paths", "", "Accept", typeNDJSON)
	each(doc.Components.Schemas["OriginatedPath"].Value, answer)
	_, answer = check("DELETE", "/api/v1/paths", rule+"\n"+rule, "Content-Type", typeNDJSON)
	line([]string{"PathWithdrawn", "LineError"}, answer)
	asJSON("DELETE", "/api/v1/paths", "["+one+"]", 200)
	asJSON("DELETE", "/api/v1/paths", one, 404)
	asJSON("DELETE", "/api/v1/paths", vpn, 200)
}

// rulesAreDescribed announces, lists, matches and withdraws Flow Spec rules,
// carried out and refused.
func rulesAreDescribed(t *testing.T, b *table, s *Server, doc *openapi3.T, check func(method, uri, body string, headers ...string) (int, string), each func(*openapi3.Schema, string)) {
	t.Helper()
	tables := flow.New(flow.Options{RIB: s.rib, Filter: func(rib.PeerNum) rib.Filter { return nil }})
	t.Cleanup(tables.Close)
	s.opts.Flow, s.shownTime = tables, patience
	f := &flowTable{table: b, flow: tables, origin: s.opts.Origin, s: s}
	peer := f.live("192.0.2.77", 65077)
	spec := attrSpec{path: "65077 65001", med: 5, next: "192.0.2.1", large: [][3]uint32{{1, 2, 3}}}
	f.rule("destination 203.0.113.0/24 protocol =udp then rate-limit 1.5 sample continue mark 5", peer, spec)
	f.rule("destination ::1:0:0:0/80 offset 16 flow-label =5 then redirect rt:[2001:db8::1]:5", peer, spec)
	f.rule("rd 65001:1 source 203.0.113.0/24 then redirect ip:192.0.2.9 copy community 0x80ff010203040506", peer, spec, func(p *rib.Path) { p.Filtered = rib.FilterNoDestination })
	f.settle()
	ask := func(method, uri, body string, status int, headers ...string) string {
		t.Helper()
		code, answer := check(method, uri, body, append([]string{"Content-Type", typeJSON}, headers...)...)
		if code != status {
			t.Errorf("%s %s %s: %d, want %d: %s", method, uri, body, code, status, answer)
		}
		return answer
	}
	const uri, match = "/api/v1/flowspec", "/api/v1/flowspec/match"
	const one, refused = `{"text":"destination 198.18.0.7/32 then discard","ttl":"10m"}`, `{"text":"protocol =udp then discard"}`
	ask("POST", uri, one, 200, headerKey, "rule")
	ask("POST", uri, one, 200, headerKey, "rule")
	ask("POST", uri, "["+one+`,{"match":{"destination":"2001:db8::/64","protocol":17},"actions":{"rate_limit_packets":5},"peers":["192.0.2.9"],"path_id":1,"rd":"65001:9"}]`, 200)
	ask("POST", uri, refused, 422)
	ask("POST", uri, "["+one+","+refused+"]", 422)
	ask("POST", uri, `{"match":{}}`, 400)
	ask("POST", uri, one, 403, "Origin", "http://x")
	ask("POST", uri, one, 406, "Accept", "image/png")
	ask("POST", uri, "["+strings.Repeat(" ", maxList)+"]", 413)
	check("POST", uri, one, "Content-Type", "text/plain")
	line := func(schemas []string, answer string) {
		t.Helper()
		for i, l := range strings.Split(strings.TrimSpace(answer), "\n") {
			each(doc.Components.Schemas[schemas[i]].Value, l)
		}
	}
	_, answer := check("POST", uri, one+"\nx\n"+refused, "Content-Type", typeNDJSON)
	line([]string{"FlowAnnounced", "LineError", "LineError"}, answer)
	var list apiv1.FlowRules
	strict(t, "rules", ask("GET", uri, "", 200), &list)
	if len(list.Rules) != 5 {
		t.Errorf("%d rules", len(list.Rules))
	}
	for i := range list.Rules {
		ask("GET", uri+"/"+list.Rules[i].ID, "", 200)
	}
	_, answer = check("GET", uri, "", "Accept", typeNDJSON)
	each(doc.Components.Schemas["FlowRule"].Value, answer)
	for query, status := range map[string]int{"?limit=1": 200, "?valid=false": 200, "?family=ipv4-unicast": 400, "?peer=9.9.9.9": 404, "/x": 400, "/0123456789abcdef": 404} {
		ask("GET", uri+query, "", status)
	}
	ask("GET", uri, "", 406, "Accept", "image/png")
	ask("POST", match, `{"dst":"203.0.113.7","protocol":"udp"}`, 200)
	ask("POST", match+"?rd=65001:1", `{"dst":"10.0.0.1"}`, 200)
	ask("POST", match, `{}`, 400)
	ask("POST", match, strings.Repeat(" ", maxJSON+1), 413)
	ask("POST", match, `{}`, 406, "Accept", "image/png")
	check("POST", match, "x", "Content-Type", "text/plain")
	check("POST", match, strings.Repeat("\x00", packetSize), "Content-Type", typeOctets)
	_, answer = check("POST", match, `{"dst":"203.0.113.7"}`+"\nx\n"+`{"dst":"10.0.0.1"}`, "Content-Type", typeNDJSON)
	line([]string{"FlowVerdict", "LineError", "FlowVerdict"}, answer)
	for _, r := range list.Rules {
		status := 409
		if r.Source == "local" {
			status = 204
		}
		ask("DELETE", uri+"/"+r.ID, "", status)
	}
	ask("DELETE", uri+"/0123456789abcdef", "", 404)
	ask("DELETE", uri+"/x", "", 400)
	ask("DELETE", uri+"/"+list.Rules[0].ID, "", 403, "Origin", "http://x")
}

// sessionsAreDescribed asks for what changes sessions and the configuration,
// carried out and refused.
func sessionsAreDescribed(t *testing.T, s *Server, check func(method, uri, body string, headers ...string) (int, string), fail func(error)) {
	t.Helper()
	refused := &Refused{Detail: "no", Problems: []apiv1.ConfigProblem{{File: "f", Line: 1, Column: 2, Text: "no"}}}
	for _, e := range []error{nil, refused} {
		fail(e)
		check("GET", "/api/v1/config/diff", "")
		check("POST", "/api/v1/reload", "")
		for _, action := range []string{"enable", "disable", "reset", "refresh"} {
			check("POST", "/api/v1/peers/192.0.2.9/"+action, "")
		}
		check("POST", "/api/v1/peers", `{"address":"192.0.2.30","as":65030}`, "Content-Type", "application/json")
		check("DELETE", "/api/v1/peers/203.0.113.3", "")
	}
	check("POST", "/api/v1/peers", `x`, "Content-Type", "application/json")
	check("POST", "/api/v1/peers", `x`, "Content-Type", "image/png")
	check("POST", "/api/v1/peers/9.9.9.9/reset", "")
	check("POST", "/api/v1/peers/192.0.2.1/reset", "")
	check("POST", "/api/v1/peers/192.0.2.2/reset", "")
	check("POST", "/api/v1/peers/192.0.2.9/reset", "", "Accept", "image/png")
	check("POST", "/api/v1/reload", "", "Accept", "image/png")
	for _, e := range s.opts.Peers.List(nil) {
		if code, body := check("GET", "/api/v1/peers/"+e.ID, ""); code != 200 {
			t.Errorf("%s: %d %s", e.ID, code, body)
		}
	}
	if code, body := check("GET", "/api/v1/routes?table=adj-out&peer=192.0.2.9", ""); code != 200 || !strings.Contains(body, "prefix") {
		t.Errorf("adj-out: %d %s", code, body)
	}
	check("GET", "/api/v1/routes/count?table=adj-out&peer=192.0.2.9", "")
	check("GET", "/api/v1/routes?table=adj-out&peer=192.0.2.2", "")
}
