package api

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"ribd/engine/flow"
	"ribd/engine/metrics"
	"ribd/wire"
)

func TestMetricsAreTheDocumentedOnes(t *testing.T) {
	doc, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `(ribd_[a-z_]+)` ").FindAllStringSubmatch(string(doc), -1) {
		listed[m[1]] = true
	}
	_, s, _ := announcing(t)
	s.post(t, 200, "POST", "/api/v1/paths", typeJSON, `{"prefix":"10.9.1.0/24","next_hop":"192.0.2.66"}`, nil)
	s.opts.Loads = &fakeLoads{}
	s.metrics.Register(func(w *metrics.Writer) { // what engine has
		(&metrics.UpdateGroups{}).Write(w)
		(&metrics.PolicyFailures{Policy: "p", Term: 1}).Write(w)
		(&metrics.Journal{}).Write(w)
		collectFlow(w, flow.Stats{Families: []flow.FamilyStats{{Family: wire.IPv4FlowSpec}}})
	})
	s.do("GET", "/api/v1/lookup/10.1.2.3", "")
	_, body, _ := s.do("GET", "/metrics", "")
	written := map[string]bool{}
	for _, line := range strings.Split(body, "\n") {
		if name, _, ok := strings.Cut(line, " "); ok && strings.HasPrefix(name, "ribd_") {
			name, _, _ = strings.Cut(name, "{")
			written[name] = true
		}
	}
	for n := range written {
		if !listed[n] {
			t.Errorf("%s is written, not documented", n)
		}
	}
	for n := range listed {
		if !written[n] {
			t.Errorf("%s is documented, not written", n)
		}
	}
}

func TestMetricsOfSessions(t *testing.T) {
	_, s, _ := withSessions(t)
	_, body, _ := s.do("GET", "/metrics", "")
	for _, want := range []string{
		`ribd_sessions{state="established"} 3`,
		`ribd_sessions{state="open-sent"} 0`,
		`ribd_peer_info{peer="198.51.100.7",id="0d4aa1937be2c8f6",asn="64496",name="cust-initech",group="customers",type="external"} 1`,
		`ribd_peer_up{peer="192.0.2.1"} 1`,
		`ribd_peer_up{peer="2001:db8:3::1"} 0`,
		`ribd_peer_enabled{peer="203.0.113.3"} 0`,
		`ribd_peer_state{peer="192.0.2.1"} 6`,
		`ribd_peer_state{peer="198.51.100.7"} 3`,
		`ribd_peer_state_since_seconds{peer="198.51.100.7"} 1.795442148e+09`,
		`ribd_peer_flaps_total{peer="2001:db8:3::1"} 7`,
		`ribd_peer_messages_total{peer="192.0.2.1",direction="received",type="update"} 1204511`,
		`ribd_peer_withdraws_total{peer="192.0.2.1",direction="received"} 88121`,
		`ribd_peer_errors_total{peer="192.0.2.1",action="attribute-discard"} 4`,
		`ribd_peer_last_notification_seconds{peer="198.51.100.7",direction="sent",code="6",subcode="1"} 1.795442148e+09`,
		`ribd_peer_bytes_total{peer="192.0.2.1",direction="received"} 148223901`,
		`ribd_peer_queue_bytes{peer="192.0.2.9",direction="sent"} 131072`,
		`ribd_peer_hold_seconds{peer="127.0.2.17"} 0`,
		`ribd_peer_prefixes{peer="192.0.2.1",family="ipv4-unicast"} 3`,
		`ribd_peer_paths{peer="192.0.2.1",family="ipv4-unicast",state="filtered"} 1`,
		`ribd_peer_advertised_paths{peer="192.0.2.9",family="ipv4-unicast"} 601890`,
		`ribd_peer_prefix_limit{peer="198.51.100.7",family="ipv4-unicast"} 1000`,
		`ribd_peer_end_of_rib{peer="192.0.2.9",family="ipv4-vpn"} 0`,
		`ribd_reloads_total{result="refused"} 0`,
	} {
		if !strings.Contains(body, want+"\n") {
			t.Errorf("lacks %s", want)
		}
	}
	// The values of one name stand together, and no series is there twice.
	seen, last := map[string]bool{}, ""
	for line := range strings.Lines(body) {
		series := line[:strings.LastIndexByte(line, ' ')]
		name, _, _ := strings.Cut(series, "{")
		if seen[series] || name != last && seen["name "+name] && strings.HasPrefix(name, "ribd_peer") {
			t.Errorf("%s stands twice, or apart from its like", series)
		}
		seen[series], seen["name "+name], last = true, true, name
	}
}
