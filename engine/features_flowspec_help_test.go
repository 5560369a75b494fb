package engine

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"ribd/wire"
)

// ruleRow is a row of GET /flowspec.
type ruleRow struct {
	ID             string            `json:"id"`
	Text           string            `json:"text"`
	NLRI           string            `json:"nlri"`
	Family         string            `json:"family"`
	RD             *string           `json:"rd"`
	PathID         *uint32           `json:"path_id"`
	Order          int               `json:"order"`
	Match          map[string]any    `json:"match"`
	Actions        ruleActions       `json:"actions"`
	Peer           *string           `json:"peer"`
	Source         string            `json:"source"`
	ASPath         string            `json:"as_path"`
	LocalPref      *uint32           `json:"local_pref"`
	Communities    []string          `json:"communities"`
	ExtCommunities []string          `json:"ext_communities"`
	Best           bool              `json:"best"`
	Valid          bool              `json:"valid"`
	InvalidReason  *string           `json:"invalid_reason"`
	Filtered       bool              `json:"filtered"`
	FilterReason   *string           `json:"filter_reason"`
	ShadowedBy     []string          `json:"shadowed_by"`
	ExpiresAt      *string           `json:"expires_at"`
	Counters       json.RawMessage   `json:"counters"`
	Unknown        []json.RawMessage `json:"unknown_attributes"`
}

type ruleActions struct {
	RateBytes   *float64      `json:"rate_limit_bytes"`
	RatePackets *float64      `json:"rate_limit_packets"`
	Redirect    *ruleRedirect `json:"redirect"`
	MarkDSCP    *int          `json:"mark_dscp"`
	Sample      bool          `json:"sample"`
	Terminal    bool          `json:"terminal"`
	Unknown     []string      `json:"unknown"`
}

type ruleRedirect struct {
	Type, Value string
	Copy        bool
}

// String is the actions in one line: "rate-bytes=0 redirect=rt:65000:1 mark=46
// sample go-on unknown=…".
func (a ruleActions) String() string {
	var s []string
	add := func(format string, v ...any) { s = append(s, fmt.Sprintf(format, v...)) }
	if a.RateBytes != nil {
		add("rate-bytes=%v", *a.RateBytes)
	}
	if a.RatePackets != nil {
		add("rate-packets=%v", *a.RatePackets)
	}
	if a.Redirect != nil {
		add("redirect=%s:%s", a.Redirect.Type, a.Redirect.Value)
		if a.Redirect.Copy {
			add("copy")
		}
	}
	if a.MarkDSCP != nil {
		add("mark=%d", *a.MarkDSCP)
	}
	if a.Sample {
		add("sample")
	}
	if !a.Terminal {
		add("go-on")
	}
	if len(a.Unknown) > 0 {
		add("unknown=%s", strings.Join(a.Unknown, ","))
	}
	return strings.Join(s, " ")
}

// components are the fields of match that are not null.
func (r *ruleRow) components() map[string]string {
	m := map[string]string{}
	for k, v := range r.Match {
		if v != nil {
			m[k] = fmt.Sprint(v)
		}
	}
	return m
}

// rules asks for rules, "" or "?family=…".
func (c *client) rules(query string) []ruleRow {
	c.t.Helper()
	var l struct {
		Rules []ruleRow `json:"rules"`
	}
	c.get("/api/v1/flowspec"+query, &l)
	return l.Rules
}

// rule waits for the only rule of a query.
func (c *client) rule(query string) (r ruleRow) {
	c.t.Helper()
	var l []ruleRow
	eventually(c.t, "a rule for "+query, func() bool { l = c.rules(query); return len(l) > 0 })
	if len(l) != 1 {
		c.t.Fatalf("%s: %d rules, want 1: %+v", query, len(l), l)
	}
	return l[0]
}

// texts are the rules of a query by their text, in their order.
func (c *client) texts(query string) (out []string) {
	c.t.Helper()
	for _, r := range c.rules(query) {
		out = append(out, r.Text)
	}
	return out
}

// wantTexts waits until a query has these rules, in this order.
func (c *client) wantTexts(what, query string, want ...string) {
	c.t.Helper()
	var got []string
	for end := time.Now().Add(waitLimit); time.Now().Before(end); pause() {
		if got = c.texts(query); slices.Equal(got, want) {
			return
		}
	}
	c.t.Errorf("%s: flowspec%s has\n%s\nwant\n%s", what, query, strings.Join(got, "\n"), strings.Join(want, "\n"))
}

// flow sends a rule: hex of an NLRI with its length, extended communities of 8
// octets each.
func (p *player) flow(f wire.Family, nlriHex string, path []uint32, edit func(*wire.AttrEditor), ext ...uint64) {
	p.t.Helper()
	p.tell(f, attributes(path, netip.Addr{}, func(e *wire.AttrEditor) {
		e.AddExtCommunities(ext)
		if edit != nil {
			edit(e)
		}
	}), nlri{raw: unhex(nlriHex)})
}

// flowAttrs are the attributes of a rule, in hex: an AS path and extended
// communities.
func flowAttrs(path []uint32, ext ...uint64) []byte {
	return attributes(path, netip.Addr{}, func(e *wire.AttrEditor) { e.AddExtCommunities(ext) })
}

// reach writes an UPDATE that announces NLRI of a family, octets as given,
// without a next hop; attrs go before.
func reach(f wire.Family, attrs, nlri []byte) []byte {
	value := []byte{byte(f.AFI() >> 8), byte(f.AFI()), f.SAFI(), 0, 0}
	value = append(value, nlri...)
	attrs = append(slices.Clone(attrs), 0x90, byte(wire.AttrMPReach), byte(len(value)>>8), byte(len(value)))
	return rawUpdate(append(attrs, value...), nil)
}

// The actions that tests use most.
const (
	discard  = 0x8006_0000_0000_0000
	redirect = 0x8008_fde8_0000_0064 // to rt 65000:100
)

func pause() { time.Sleep(10 * time.Millisecond) }
