package ribd

import (
	"errors"
	"fmt"

	"ribd/shard/rules"
	"ribd/wire"
	"ribd/wire/flowspec"
)

// FlowRule is a Flow Specification (RFC 8955, RFC 8956): which packets, and what
// is done with them. Both are taken apart in package wire/flowspec, to build
// them or to look into them.
type FlowRule struct {
	flowspec.Rule
	Actions FlowActions
}

// FlowActions is what is done with the packets of a rule.
type FlowActions = flowspec.Actions

// RedirectForm says how a redirect to an address is written: as a community, or
// as next hop (draft-ietf-idr-flowspec-redirect-ip).
type RedirectForm = flowspec.RedirectForm

// The forms; most routers read the first.
const (
	RedirectCommunity = flowspec.RedirectCommunity
	RedirectNextHop   = flowspec.RedirectNextHop
)

// ParseFlowRule reads a rule as people write it: "destination 203.0.113.0/24
// protocol =udp destination-port =53|>=1024&<=2048 then rate-limit 1250000"; see
// flowspec.ParseText. The error names the word that is wrong and what would be
// right.
func ParseFlowRule(text string) (FlowRule, error) {
	r, a, err := flowspec.ParseText(text)
	if err != nil {
		return FlowRule{}, fmt.Errorf("ribd: %w", err)
	}
	return FlowRule{Rule: r, Actions: a}, nil
}

// DecodeFlowRule takes the NLRI of a rule apart, as an Update has it in Raw, and
// reads the actions out of the attributes beside it.
func DecodeFlowRule(n NLRI, a Attributes) (FlowRule, error) {
	r, err := flowspec.Parse(n.Family, n.Raw)
	if err != nil {
		return FlowRule{}, fmt.Errorf("ribd: %w", err)
	}
	attrs, err := a.Encode()
	if err != nil {
		return FlowRule{}, err
	}
	return FlowRule{Rule: r, Actions: flowspec.ActionsOf(attrs)}, nil
}

// NLRI returns the rule as a route of an Update. Its attributes are
// Attributes.SetFlowActions. The error says what is wrong with the rule.
func (r *FlowRule) NLRI() (NLRI, error) {
	b, err := r.AppendNLRI(nil)
	if err != nil {
		return NLRI{}, fmt.Errorf("ribd: %w", err)
	}
	return NLRI{Family: r.Family, Raw: b}, nil
}

// String returns the text that ParseFlowRule reads.
func (r FlowRule) String() string { return flowspec.Text(&r.Rule, &r.Actions) }

// SetFlowActions writes actions into the extended communities, in place of
// those that are there. RedirectNextHop sets NextHop to where a redirect to an
// address goes.
func (a *Attributes) SetFlowActions(actions *FlowActions, form RedirectForm) error {
	attrs, err := a.Encode()
	if err != nil {
		return err
	}
	var e wire.AttrEditor
	e.Start(attrs)
	if err := actions.Apply(&e, form); err != nil {
		return fmt.Errorf("ribd: %w", err)
	}
	*a = decodeAttributes(e.Append(nil))
	return nil
}

// Packet is what rules are matched with. PacketOf reads one out of octets.
type Packet = flowspec.Packet

// PacketOf reads the fields that rules match out of an IP packet, from its IP
// header on; ok is false where that is no whole header.
func PacketOf(b []byte) (p Packet, ok bool) { return flowspec.PacketOf(b) }

// Matcher finds the rules that a packet matches, among many. It stays as it is,
// and any goroutine may use it.
type Matcher struct {
	rules  []FlowRule
	v4, v6 *rules.Rules
}

// NewMatcher compiles rules, of either IP version. Rules of a VPN family must
// all be of one route distinguisher, and be no others beside them: a packet is
// of one VPN or of none. Of rules with the same NLRI the last one counts. The
// error says which rule cannot be used.
func NewMatcher(list []FlowRule) (*Matcher, error) {
	m := &Matcher{rules: append([]FlowRule(nil), list...)}
	var tables [2]*rules.Table
	var nlri []byte
	var vpn bool
	var rd uint64
	for i := range m.rules {
		r := &m.rules[i]
		var err error
		if nlri, err = r.AppendNLRI(nlri[:0]); err != nil {
			return nil, fmt.Errorf("ribd: rule %d: %w", i, err)
		}
		if i == 0 {
			vpn, rd = flowspec.IsVPN(r.Family), r.RD
		}
		if flowspec.IsVPN(r.Family) != vpn || r.RD != rd {
			return nil, fmt.Errorf("ribd: rule %d: %w", i, errOneVPN)
		}
		which := 0
		if flowspec.Is6(r.Family) {
			which = 1
		}
		if tables[which] == nil {
			tables[which] = rules.NewTable(r.Family)
		}
		tables[which].Set(nlri, rules.Value{ID: uint64(i), Active: true, Terminal: r.Actions.Terminal()})
	}
	if tables[0] != nil {
		m.v4 = tables[0].PublishCompiled()
	}
	if tables[1] != nil {
		m.v6 = tables[1].PublishCompiled()
	}
	return m, nil
}

var errOneVPN = errors.New("not of the same route distinguisher as the one before it (each VPN has a matcher of its own)")

// FlowMatch is what a Matcher found. It is used again and again, by one
// goroutine at a time, so that matching allocates nothing.
type FlowMatch struct {
	// Rules are the rules that the packet matches, as indexes into what
	// NewMatcher was given, in the order of RFC 8955 section 5.1.
	Rules []int
	// Applied says how many of them apply: up to and with the first that is
	// terminal (section 7.3). The others are shadowed for this packet.
	Applied int

	hits rules.Matches
}

// Match finds the rules that a packet matches, and tells whether there are any.
// A packet of which no address is known has no IP version, and matches none.
func (m *Matcher) Match(p *Packet, found *FlowMatch) bool {
	found.Rules, found.Applied = found.Rules[:0], 0
	var r *rules.Rules
	switch p.Version() {
	case 4:
		r = m.v4
	case 6:
		r = m.v6
	}
	if r == nil {
		return false
	}
	r.Match(p, &found.hits)
	for _, h := range found.hits.Hits {
		found.Rules = append(found.Rules, int(h.ID))
	}
	found.Applied = found.hits.Applied
	return len(found.Rules) != 0
}

// Actions returns what is done with a packet: the actions of the rules that
// apply, the earlier one's where two interfere (RFC 8955 section 7.7).
func (m *Matcher) Actions(found *FlowMatch) FlowActions {
	var a FlowActions
	for i, r := range found.Rules[:found.Applied] {
		if i == 0 {
			a = m.rules[r].Actions
			continue
		}
		a.Merge(&m.rules[r].Actions)
	}
	return a
}
