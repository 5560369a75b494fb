//go:build linux

package engine

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"

	"ribd/engine/api/apiv1"
	"ribd/internal/peertest"
)

// ruleCase is one rule in ribd's words and in numbers.
type ruleCase struct {
	text  string
	given peertest.Rule
}

// rc writes a case down: the family, ribd's text, and the same in numbers with
// the actions' octets.
func rc(family, text, numbers string) ruleCase {
	return ruleCase{text, peertest.MustRule(family, numbers)}
}

// manyPorts are source ports that make an NLRI longer than 240 octets.
func manyPorts(n int) string {
	var l []string
	for i := range n {
		l = append(l, fmt.Sprintf("=%d", 1000+7*i))
	}
	return strings.Join(l, "|")
}

// ruleCases have every component, every operator and every action.
func ruleCases() []ruleCase {
	const v4, v6, v4v, v6v = "ipv4-flowspec", "ipv6-flowspec", "ipv4-flowspec-vpn", "ipv6-flowspec-vpn"
	return []ruleCase{
		rc(v4, "destination 203.0.113.0/24 protocol =udp destination-port =53|>=1024&<=2048 then rate-limit 1250000",
			"destination 203.0.113.0/24; protocol =17; destination-port =53|>=1024&<=2048 then 8006000049989680"),
		rc(v4, "destination 203.0.113.0/24 source 192.0.2.0/25 protocol =tcp|=udp port =80 packet-length >=100&<=200|>1400 dscp =46 then rate-limit 0",
			"destination 203.0.113.0/24; source 192.0.2.0/25; protocol =6|=17; port =80; packet-length >=100&<=200|>1400; dscp =46 then 8006000000000000"),
		rc(v4, "destination 203.0.113.0/25 source-port !=80&!=8080 then rate-limit 1000000",
			"destination 203.0.113.0/25; source-port !=80&!=8080 then 8006000049742400"),
		rc(v4, "destination 203.0.113.0/26 protocol =icmp icmp-type =echo-request icmp-code <1 then rate-limit 0",
			"destination 203.0.113.0/26; protocol =1; icmp-type =8; icmp-code <1 then 8006000000000000"),
		rc(v4, "destination 203.0.113.1/32 tcp-flags =syn&!ack fragment !is-fragment then redirect rt:65000:100",
			"destination 203.0.113.1/32; tcp-flags =0x2&!0x10; fragment !0x2 then 8008fde800000064"),
		rc(v4, "destination 203.0.113.2/32 tcp-flags fin+syn|!=syn+ack fragment =is-fragment|=first-fragment then sample continue mark 46",
			"destination 203.0.113.2/32; tcp-flags 0x3|!=0x12; fragment =0x2|=0x4 then 800900000000002e 8007000000000003"),
		rc(v4, "destination 203.0.113.3/32 fragment =dont-fragment|is-fragment+last-fragment then redirect rt:192.0.2.1:7",
			"destination 203.0.113.3/32; fragment =0x1|0xa then 8108c00002010007"),
		rc(v4, "destination 203.0.113.4/32 source-port true:0|false:0 then redirect rt:65538L:3",
			"destination 203.0.113.4/32; source-port true|false then 8208000100020003"),
		rc(v4, "destination 203.0.113.5/32 then rate-limit-packets 100", "destination 203.0.113.5/32 then 800c000042c80000"),
		rc(v4, "destination 203.0.113.6/32 then redirect ip:192.0.2.9 copy", "destination 203.0.113.6/32 then 010cc00002090001"),
		rc(v4, "destination 203.0.113.7/32 protocol =udp source-port "+manyPorts(120)+" then rate-limit 0",
			"destination 203.0.113.7/32; protocol =17; source-port "+manyPorts(120)+" then 8006000000000000"),
		rc(v4, "destination 203.0.113.8/32 then accept", "destination 203.0.113.8/32"),
		rc(v6, "destination 2001:db8:1::/48 protocol =udp dscp =10 flow-label =29062 then rate-limit 0",
			"destination 2001:db8:1::/48; protocol =17; dscp =10; flow-label =29062 then 8006000000000000"),
		rc(v6, "destination 2001:db8:7::/48 flow-label =881030 then rate-limit 0", "destination 2001:db8:7::/48; flow-label =881030 then 8006000000000000"),
		rc(v6, "destination 0:0:1::/64 offset 32 source ::1/128 offset 120 fragment =is-fragment then rate-limit 0",
			"destination 0:0:1::/64/32; source ::1/128/120; fragment =0x2 then 8006000000000000"),
		rc(v4v, "rd 65001:7 destination 203.0.113.0/24 then rate-limit 0", "rd 65001:7; destination 203.0.113.0/24 then 8006000000000000"),
		rc(v6v, "rd 65001:7 destination 2001:db8:9::/48 then rate-limit 0", "rd 65001:7; destination 2001:db8:9::/48 then 8006000000000000"),
	}
}

// casesFor are the cases that are not refused for a daemon.
func casesFor(no func(r *peertest.Rule) error) (out []ruleCase) {
	for _, c := range ruleCases() {
		if no(&c.given) == nil {
			out = append(out, c)
		}
	}
	return out
}

func given(l []ruleCase, change ...func(r *peertest.Rule)) (out []peertest.Rule) {
	for _, c := range l {
		r := c.given
		for _, f := range change {
			f(&r)
		}
		out = append(out, r)
	}
	return out
}

// heardBy sets the AS path of a rule.
func heardBy(path string) func(r *peertest.Rule) { return func(r *peertest.Rule) { r.ASPath = path } }

// send makes a request with a JSON body and reads what it answers.
func (r *ribdProc) send(method, path, body string, v any) error {
	req, err := http.NewRequest(method, "http://ribd"+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := r.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode/100 != 2 {
		return fmt.Errorf("%s %s %s: %s %s %w", method, path, body, resp.Status, b, err)
	}
	if v == nil {
		return nil
	}
	return json.NewDecoder(bytes.NewReader(b)).Decode(v)
}

func (r *ribdProc) mustSend(method, path, body string) (a told) {
	r.t.Helper()
	var v any = &a
	if method == "DELETE" {
		v = nil
	}
	if err := r.send(method, path, body, v); err != nil {
		r.t.Fatal(err)
	}
	return a
}

// rules asks for rules as the daemons show theirs.
func (r *ribdProc) rules(query string) (out []peertest.Rule, texts []string, err error) {
	var l struct {
		Rules []ruleRow `json:"rules"`
	}
	if err := r.get("/api/v1/flowspec?"+query, &l); err != nil {
		return nil, nil, err
	}
	for _, row := range l.Rules {
		var ext []uint64
		for _, s := range row.ExtCommunities {
			n, err := strconv.ParseUint(s, 0, 64)
			if err != nil {
				return nil, nil, fmt.Errorf("community %q: %w", s, err)
			}
			ext = append(ext, n)
		}
		rule, err := peertest.RuleOf(row.Family, text(row.RD), row.components(), ext)
		if err != nil {
			return nil, nil, err
		}
		rule.ASPath = row.ASPath
		out, texts = append(out, rule), append(texts, row.Text)
	}
	return out, texts, nil
}

// errors are what peers have done wrong.
func (r *ribdProc) errors() string {
	var l struct{ Peers []apiv1.Peer }
	if err := r.get("/api/v1/peers", &l); err != nil {
		return err.Error()
	}
	var b strings.Builder
	for _, p := range l.Peers {
		fmt.Fprintf(&b, "%s %s %s; ", text(p.Address), p.State, show(p.Errors))
	}
	return b.String()
}

// wantRules waits until a query answers with just these rules, and holds their
// texts to the cases'.
func (r *ribdProc) wantRules(query string, cases []ruleCase, path string) {
	r.t.Helper()
	var got []string
	peertest.Until(r.t, peertestWait, "ribd: flowspec?"+query, func() error {
		rules, texts, err := r.rules(query)
		if err != nil {
			return err
		}
		got = got[:0]
		for _, s := range texts {
			// RFC 8955 4.2.1.1 leaves the octets of a value to who writes it.
			got = append(got, numberOctets.ReplaceAllString(s, ""))
		}
		if err = peertest.DiffRules(rules, given(cases, heardBy(path))); err != nil {
			err = fmt.Errorf("%w; errors of peers: %s", err, r.errors())
		}
		return err
	})
	var want []string
	for _, c := range cases {
		want = append(want, c.text)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		r.t.Errorf("texts\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// flowPeer is a peer of ribd's for a daemon with Flow Spec.
func flowPeer(a netip.Addr, as int, k peertest.Kind) string {
	return peerLine(a, as, "flowspec_validation: off, extended_messages: true, families: [ipv4-unicast, "+strings.Join(peertest.RuleFamilies(k), ", ")+"]")
}

func startFlow(t testing.TB, k peertest.Kind, h, ribd *peertest.Host, as uint32) peertest.FlowSpec {
	t.Helper()
	return peertest.Start(t, k, h, peertest.Config{AS: as, Neighbors: []peertest.Neighbor{
		{Address: ribd.V4, AS: ribdAS, Families: append([]string{"ipv4-unicast"}, peertest.RuleFamilies(k)...)}}}).(peertest.FlowSpec)
}

// wideGuards let rules of any width be originated.
const wideGuards = "guards: {min_length: {ipv4: 8, ipv6: 16}, max_rules: {total: 100000, per_peer: 100000}}\n"

var flowKinds = []peertest.Kind{peertest.GoBGP4, peertest.BIRD, peertest.ExaBGP, peertest.FRR}

// TestInteropRulesAreTheSameAtBothEnds has every daemon announce all rules that
// it has words for, and be sent all that it can take: the rule, its text and its
// actions are the same at both ends.
func TestInteropRulesAreTheSameAtBothEnds(t *testing.T) {
	for _, k := range flowKinds {
		t.Run(string(k), func(t *testing.T) {
			t.Parallel()
			peertest.Need(t, k)
			n := peertest.NewNet(t)
			rh, dh := n.Host(), n.Host()
			r := startRIBD(t, rh, ribdConf{more: wideGuards, peers: []string{flowPeer(dh.V4, daemonAS, k)}})
			d := startFlow(t, k, dh, rh, daemonAS)
			r.established(dh.V4)

			// From the daemon.
			theirs := casesFor(func(x *peertest.Rule) error { return peertest.Announces(k, x) })
			if k != peertest.FRR {
				if err := d.AnnounceRules(given(theirs)...); err != nil {
					t.Fatal(err)
				}
				r.wantRules("peer="+dh.V4.String(), theirs, fmt.Sprint(daemonAS))
				if err := d.WithdrawRules(given(theirs[1:3])...); err != nil {
					t.Fatal(err)
				}
				r.wantRules("peer="+dh.V4.String(), slices.Concat(theirs[:1], theirs[3:]), fmt.Sprint(daemonAS))
			}

			// To the daemon, from text.
			ours := casesFor(func(x *peertest.Rule) error { return peertest.Takes(k, x) })
			var ids []string
			for _, c := range ours {
				a := r.mustSend("POST", "/api/v1/flowspec", `{"family":`+quoted(c.given.Family)+`,"text":`+quoted(c.text)+`}`)
				// The table may be on its way to it still.
				if s := a.states()[dh.V4.String()]; s != "sent" && s != "queued" {
					t.Errorf("%s: %s", c.text, s)
				}
				ids = append(ids, a.ID)
			}
			r.wantRules("source=local", ours, "")
			for _, f := range peertest.RuleFamilies(k) {
				peertest.WaitRules(t, d, f, given(ours, heardBy(fmt.Sprint(ribdAS))))
			}
			r.mustSend("DELETE", "/api/v1/flowspec/"+ids[0], "")
			r.mustSend("DELETE", "/api/v1/flowspec/"+ids[4], "")
			left := slices.Concat(ours[1:4], ours[5:])
			for _, f := range peertest.RuleFamilies(k) {
				peertest.WaitRules(t, d, f, given(left, heardBy(fmt.Sprint(ribdAS))))
			}
			if p := r.must(dh.V4); p.Flaps != 0 || p.Errors.TreatAsWithdraw+p.Errors.AttributeDiscard+p.Errors.FamilyDisabled != 0 {
				t.Errorf("flaps %d, errors %s", p.Flaps, show(p.Errors))
			}
			if k == peertest.FRR {
				return
			}
			// After a restart the daemon has all of it again.
			d.Proc().Kill()
			r.until(dh.V4, "is gone", func(p apiv1.Peer) bool { return p.State != "established" })
			d.Start(false)
			r.established(dh.V4)
			for _, f := range peertest.RuleFamilies(k) {
				peertest.WaitRules(t, d, f, given(left, heardBy(fmt.Sprint(ribdAS))))
			}
		})
	}
}

// TestInteropRulesPassThroughUnchanged has three daemons announce rules of
// their own: each other one, and FRR, is passed them on by ribd.
func TestInteropRulesPassThroughUnchanged(t *testing.T) {
	t.Parallel()
	peertest.Need(t, flowKinds...)
	n := peertest.NewNet(t)
	rh := n.Host()
	var daemons []peertest.FlowSpec
	var peers []string
	hosts := make([]*peertest.Host, len(flowKinds))
	for i, k := range flowKinds {
		hosts[i] = n.Host()
		peers = append(peers, flowPeer(hosts[i].V4, 65001+i, k))
	}
	r := startRIBD(t, rh, ribdConf{peers: peers})
	for i, k := range flowKinds {
		daemons = append(daemons, startFlow(t, k, hosts[i], rh, uint32(65001+i)))
	}
	for _, h := range hosts {
		r.established(h.V4)
	}
	all := make([][]peertest.Rule, len(daemons))
	for i, d := range daemons[:3] {
		for _, x := range given(ruleCases()) {
			bad := peertest.Announces(d.Kind(), &x) != nil
			for _, o := range daemons {
				bad = bad || slices.Contains(peertest.RuleFamilies(o.Kind()), x.Family) && peertest.Takes(o.Kind(), &x) != nil
			}
			if bad {
				continue
			}
			// Each has destinations of its own, behind those of the cases.
			x.Parts = slices.Clone(x.Parts)
			if x.Is6() {
				x.Parts[0].Prefix = netip.PrefixFrom(netip.MustParseAddr(fmt.Sprintf("2001:db8:%d%d::", i+1, len(all[i]))), 48)
			} else {
				x.Parts[0].Prefix = netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 51, byte(100 + i), byte(len(all[i]))}), 32)
			}
			x.ASPath = fmt.Sprintf("%d %d", ribdAS, 65001+i)
			all[i] = append(all[i], x)
		}
		if err := d.AnnounceRules(all[i]...); err != nil {
			t.Fatal(err)
		}
	}
	check := func() {
		t.Helper()
		for i, d := range daemons {
			var want []peertest.Rule
			for j, l := range all {
				if j != i {
					want = append(want, l...)
				}
			}
			for _, f := range peertest.RuleFamilies(d.Kind()) {
				peertest.WaitRules(t, d, f, want)
			}
		}
	}
	check()
	for i, d := range daemons[:3] {
		if err := d.WithdrawRules(all[i][:2]...); err != nil {
			t.Fatal(err)
		}
		all[i] = all[i][2:]
	}
	check()
	// One ends, and its rules with it.
	daemons[1].Proc().Kill()
	all[1] = nil
	for i, d := range []peertest.FlowSpec{daemons[0], daemons[2], daemons[3]} {
		var want []peertest.Rule
		for j, l := range all {
			if j != []int{0, 2, 3}[i] {
				want = append(want, l...)
			}
		}
		for _, f := range peertest.RuleFamilies(d.Kind()) {
			peertest.WaitRules(t, d, f, want)
		}
	}
}
