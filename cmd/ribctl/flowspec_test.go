package main

import (
	"context"
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"time"

	"ribd/engine/api"
	"ribd/engine/api/apiv1"
	"ribd/engine/flow"
	"ribd/engine/origin"
	"ribd/internal/golden"
	"ribd/shard"
	"ribd/shard/rib"
	"ribd/wire"
	"ribd/wire/flowspec"
)

// withRules serves rules of a peer, and originates what is added.
func withRules(t *testing.T) string {
	t.Helper()
	var m *origin.Manager
	var f *flow.Tables
	var r *shard.RIB
	url, _ := withSessions(t, func(o *api.Options) {
		r = o.RIB
		f = flow.New(flow.Options{RIB: r, Filter: func(rib.PeerNum) rib.Filter { return nil }})
		var err error
		if m, err = origin.New(origin.Options{RIB: r, AS: 64512, ID: flow.RuleID, Guards: origin.Guards{Protected: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}}}); err != nil {
			t.Fatal(err)
		}
		o.Announcing, o.Flow = api.Announcing{Origin: m, Told: told(r)}, f
	})
	t.Cleanup(m.Close)
	t.Cleanup(f.Close)
	a := netip.MustParseAddr("192.0.2.1")
	n, err := r.AddPeer(rib.PeerInfo{ID: "5c1f6e0b7a3d9e21", Source: rib.SourceBGP, Addr: a, AS: 65001})
	if err != nil {
		t.Fatal(err)
	}
	fan := r.NewFan()
	defer fan.Close()
	for text, why := range map[string]rib.FilterReason{
		"destination 203.0.113.0/24 protocol =udp then discard":                             rib.FilterNone,
		"destination 203.0.113.7/32 protocol =tcp tcp-flags =syn&!ack then sample continue": rib.FilterNone,
		"destination 203.0.113.7/32 then redirect rt:65001:5":                               rib.FilterNone,
		"source 192.0.2.0/24 then rate-limit 1250000":                                       rib.FilterNoDestination,
		"destination 2001:db8::/32 flow-label =5 then mark 10":                              rib.FilterPolicy,
		"rd 65001:1 destination 203.0.113.0/24 then accept":                                 rib.FilterNone,
	} {
		rule, actions, err := flowspec.ParseText(text)
		if err != nil {
			t.Fatal(err)
		}
		nlri, err := rule.AppendNLRI(nil)
		if err != nil {
			t.Fatal(err)
		}
		attrs := wire.AppendAttr(nil, wire.FlagTransitive, wire.AttrOrigin, []byte{0})
		attrs = wire.AppendAttr(attrs, wire.FlagTransitive, wire.AttrASPath, []byte{2, 1, 0, 0, 0xfd, 0xe9})
		attrs = wire.AppendAttr(attrs, wire.FlagOptional|wire.FlagTransitive, wire.AttrCommunities, []byte{0xfd, 0xe9, 0, 1})
		var e wire.AttrEditor
		e.Start(attrs)
		if err := actions.Apply(&e, flowspec.RedirectCommunity); err != nil {
			t.Fatal(err)
		}
		id, _ := r.Attrs().Intern(e.Append(nil))
		tab, _ := r.Table(rule.Family, 0)
		k, l, _ := r.RawKey(nlri)
		fan.Announce(tab, k, l, &rib.Path{Peer: n, Attrs: id, Received: 1767323045, Filtered: why})
	}
	fan.Flush()
	ctx, stop := context.WithTimeout(t.Context(), patience)
	defer stop()
	if err := f.Wait(ctx, r.Mark(nil)); err != nil {
		t.Fatal(err)
	}
	return url
}

func TestRulesForPeople(t *testing.T) {
	url := withRules(t)
	page := func(name, stdin string, wantCode int, args ...string) {
		t.Helper()
		code, out, errs := ask(t, url, stdin, append([]string{"flowspec"}, args...)...)
		if code != wantCode {
			t.Errorf("%v: exit code %d", args, code)
		}
		golden.Compare(t, name+".golden", []byte(out+errs))
	}
	page("flowspec-add", "", 0, "add", "destination 203.0.113.7/32 protocol =udp source-port =53|=123 then discard", "destination 203.0.113.7/32 protocol =udp source-port =53 then rate-limit 1000", "--community", "no-export")
	page("flowspec-add-refused", "", 1, "add", "destination 198.51.100.0/24 then discard")
	page("flowspec-add-wrong", "", 1, "add", "destination 203.0.113.7/32 protocol =upd then discard")
	page("flowspec-add-file", `{"match":{"destination":"203.0.113.9/32"},"actions":{"mark_dscp":5}}`+"\n"+`{"text":"destination 203.0.113.9/40"}`, 1, "add", "--file", "-")
	page("flowspec", "", 0)
	page("flowspec-filtered", "", 0, "list", "--filtered", "any", "--destination", "2001:db8::1")
	page("flowspec-vpn", "", 0, "--rd", "65001:1")
	page("flowspec-match", "", 0, "match", "--dst", "203.0.113.7", "--protocol", "tcp", "--tcp-flags", "syn", "--dst-port", "80")
	page("flowspec-match-none", "", 0, "match", "--dst", "10.0.0.1")
	page("flowspec-match-wrong", "", 1, "match", "--dst", "10.0.0.1", "--dst-port", "80")
	page("flowspec-match-lines", `{"dst":"203.0.113.9"}`+"\n"+`{"dst":"x"}`+"\n", 1, "match", "--stdin")
	_, ids, _ := ask(t, url, "", "flowspec", "list", "--ids")
	id := strings.Fields(ids)
	if len(id) != 8 {
		t.Fatalf("ids: %s", ids)
	}
	page("flowspec-show", "", 0, "show", id[0])
	page("flowspec-show-invalid", "", 0, "show", id[6])
	page("flowspec-delete", "", 0, "delete", "destination 203.0.113.7/32 protocol =udp source-port =53|=123", "destination 203.0.113.9/32 then mark 5")
	page("flowspec-delete-missing", "", 1, "delete", "destination 203.0.113.9/32")
	page("flowspec-delete-of-a-peer", "", 1, "delete", id[len(id)-1])
}

func TestRulesForPrograms(t *testing.T) {
	url := withRules(t)
	code, out, errs := ask(t, url, "", "flowspec", "add", "--json", "destination 203.0.113.7/32 then discard", "--ttl", "10m", "--path-id", "7", "--peer", "192.0.2.9")
	var a apiv1.FlowAnnounced
	if err := json.Unmarshal([]byte(out), &a); code != 0 || err != nil || a.ExpiresAt == nil || *a.PathID != 7 || len(a.Peers) != 1 {
		t.Fatalf("%d %v %s %s", code, err, out, errs)
	}
	code, out, _ = ask(t, url, "", "flowspec", "--json", "--source", "local")
	var r apiv1.FlowRule
	if err := json.Unmarshal([]byte(out), &r); code != 0 || err != nil || r.ID != a.ID || r.Peers[0] != "8f00c2d1e4b7a650" {
		t.Errorf("%d %v %s", code, err, out)
	}
	for _, args := range [][]string{{"show", a.ID}, {"match", "--dst", "203.0.113.7"}} {
		if code, out, errs := ask(t, url, "", append([]string{"flowspec", "--json"}, args...)...); code != 0 || !json.Valid([]byte(out)) {
			t.Errorf("%v: %d %s %s", args, code, out, errs)
		}
	}
	var text, errText strings.Builder
	if code := runAt(t.Context(), []string{"--server", url, "flowspec", "show", a.ID}, strings.NewReader(""), &text, &errText, time.Now); code != 0 || !strings.Contains(text.String(), "ends ") {
		t.Errorf("show: %d %s %s", code, text.String(), errText.String())
	}
	if code, _, errs := ask(t, url, "", "flowspec", "delete", "destination 203.0.113.7/32", "--path-id", "7"); code != 0 {
		t.Errorf("delete: %d %s", code, errs)
	}
	// Without quotes, and by id.
	code, out, errs = ask(t, url, "", "flowspec", "add", "--json", "destination", "203.0.113.8/32", "then", "mark", "5")
	if err := json.Unmarshal([]byte(out), &a); code != 0 || err != nil || a.Text != "destination 203.0.113.8/32 then mark 5" {
		t.Errorf("without quotes: %d %s %s", code, out, errs)
	}
	for _, args := range [][]string{{"delete", a.ID}, {"add", "destination", "203.0.113.8"}, {"delete", "destination", "203.0.113.8"}} {
		if code, _, errs := ask(t, url, "", append([]string{"flowspec"}, args...)...); code != 0 {
			t.Errorf("%v: %d %s", args, code, errs)
		}
	}
}

func TestWrongCommandLinesOfRules(t *testing.T) {
	url := withRules(t)
	for _, c := range []struct {
		code int
		says string
		args []string
	}{
		{2, "--file", []string{"add"}},
		{2, "peers and ttl", []string{"add", "--ttl", "10m", "--file", "-"}},
		{2, "peers and ttl", []string{"add", "--peer", "192.0.2.9", "--file", "-"}},
		{2, "--dst", []string{"match"}},
		{2, "16 hex digits", []string{"delete", "nonsense"}},
		{1, "no rule", []string{"show", "0123456789abcdef"}},
		{1, "is no id", []string{"show", "x"}},
		{2, "valid", []string{"list", "--valid", "x"}},
		{1, "is neither a kind", []string{"list", "--source", "x"}},
	} {
		code, out, errs := ask(t, url, "", append([]string{"flowspec"}, c.args...)...)
		if code != c.code || !strings.Contains(errs, c.says) || strings.Count(errs, "\n") != 1 || out != "" {
			t.Errorf("%v: exit code %d\nout:  %s\nerrs: %s", c.args, code, out, errs)
		}
	}
}
