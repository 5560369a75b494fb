package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"ribd/engine/api/apiv1"
)

// flowspecCommand is everything about Flow Spec rules.
type flowspecCommand struct {
	List   flowListCommand   `cmd:"" default:"withargs" help:"The rules, in the order in which they apply."`
	Show   flowShowCommand   `cmd:"" help:"All of one rule."`
	Add    flowAddCommand    `cmd:"" help:"Announce rules."`
	Delete flowDeleteCommand `cmd:"" help:"Withdraw rules that were announced here."`
	Match  flowMatchCommand  `cmd:"" help:"Which rules a packet meets, and what becomes of it."`
}

// flowListCommand lists rules.
type flowListCommand struct {
	Family      string `q:"family" help:"ipv4-flowspec, ipv6-flowspec, or these with -vpn." enum:",ipv4-flowspec,ipv6-flowspec,ipv4-flowspec-vpn,ipv6-flowspec-vpn" default:"" placeholder:"NAME" group:"Filters"`
	RD          string `q:"rd" name:"rd" help:"Route distinguisher: VPN rules." placeholder:"RD" group:"Filters"`
	Peer        string `q:"peer" help:"Address, id or name of a peer." placeholder:"PEER" group:"Filters"`
	Destination string `q:"destination" help:"Prefix or address: rules whose destination overlaps it." placeholder:"PREFIX" group:"Filters"`
	Source      string `q:"source" help:"Prefix or address: rules whose source overlaps it; or bgp, mrt, bmp, local: where they come from." placeholder:"PREFIX" group:"Filters"`
	Valid       string `q:"valid" help:"true or false: feasible by the unicast routes, or not." enum:",true,false" default:"" placeholder:"BOOL" group:"Filters"`
	Filtered    string `q:"filtered" help:"true or any: what import policy refused, too." enum:",true,false,any" default:"" placeholder:"WHICH" group:"Filters"`
	Limit       uint64 `q:"limit" help:"End after so many." placeholder:"N"`
	IDs         bool   `name:"ids" help:"Print their ids alone."`
}

// Run streams the rules.
func (c *flowListCommand) Run(e *env) error {
	q := url.Values{}
	for name, v := range map[string]string{
		"family": c.Family, "rd": c.RD, "peer": c.Peer, "destination": c.Destination, "source": c.Source, "valid": c.Valid, "filtered": c.Filtered,
	} {
		if v != "" {
			q.Set(name, v)
		}
	}
	if c.Limit > 0 {
		q.Set("limit", strconv.FormatUint(c.Limit, 10))
	}
	if c.IDs {
		return eachRule(e, q, func(r *apiv1.FlowRule) error {
			_, err := fmt.Fprintln(e.out, printable(r.ID))
			return err
		})
	}
	if e.flags.JSON {
		return eachRule(e, q, nil)
	}
	t := newTable(e.out, "", "ID", "PEER", "THEN", "RULE")
	if err := eachRule(e, q, func(r *apiv1.FlowRule) error { return t.add(ruleCells(e, r)...) }); err != nil {
		return err
	}
	return t.flush()
}

// eachRule streams rules; with row nil they are printed as JSON.
func eachRule(e *env, q url.Values, row func(*apiv1.FlowRule) error) error {
	body, err := e.client.do(e.ctx, request{method: http.MethodGet, path: "/api/v1/flowspec", query: q, accept: "application/x-ndjson"})
	if err != nil {
		return err
	}
	defer body.Close()
	if row == nil {
		return stream(e, body, nil, nil)
	}
	f := *e.flags
	f.JSON = false
	plain := *e
	plain.flags = &f
	return stream(&plain, body, nil, func(line []byte) error {
		var r apiv1.FlowRule
		if err := json.Unmarshal(line, &r); err != nil {
			return fmt.Errorf("the server's answer is not what this ribctl knows: %w", err)
		}
		return row(&r)
	})
}

// ruleCells is one path of a rule as a row. The mark is * for the best path, s
// for a stale one, i for one that is not feasible, f for another that was refused;
// why, what shadows it and when it ends stand behind the rule.
func ruleCells(e *env, r *apiv1.FlowRule) []string {
	mark := ""
	if r.Best {
		mark = "*"
	}
	if r.Stale != nil {
		mark += "s"
	}
	rule, then := ruleText(r)
	notes := ""
	switch {
	case r.InvalidReason != nil:
		mark += "i"
		notes += " (not feasible: " + printable(*r.InvalidReason) + ")"
	case r.FilterReason != nil:
		mark += "f"
		notes += " (refused: " + printable(*r.FilterReason) + ")"
	}
	if len(r.ShadowedBy) > 0 {
		notes += " (shadowed by " + printable(strings.Join(r.ShadowedBy, " ")) + ")"
	}
	if r.ExpiresAt != nil {
		notes += " (ends in " + until(e, *r.ExpiresAt) + ")"
	}
	return []string{mark, printable(r.ID), rulePeer(r), then, rule + notes}
}

// ruleText parts what a rule matches from what is done.
func ruleText(r *apiv1.FlowRule) (rule, then string) {
	rule, then, _ = strings.Cut(printable(r.Text), " then ")
	return rule, then
}

// rulePeer is whose a rule is.
func rulePeer(r *apiv1.FlowRule) string {
	peer := "local"
	if r.Peer != nil {
		peer = printable(*r.Peer)
	}
	if r.PathID != nil {
		peer += "#" + strconv.FormatUint(uint64(*r.PathID), 10)
	}
	return peer
}

// flowShowCommand shows one rule.
type flowShowCommand struct {
	Rule string `arg:"" help:"Id of the rule."`
}

// Run prints the rule, a field a line.
func (c *flowShowCommand) Run(e *env) error {
	return get(e, "/api/v1/flowspec/"+url.PathEscape(c.Rule), nil, func(r *apiv1.FlowRule) error {
		rule, then := ruleText(r)
		state := "not the best of its paths"
		switch {
		case r.InvalidReason != nil:
			state = "not feasible: " + invalidReason(*r.InvalidReason)
		case r.FilterReason != nil:
			state = "refused: " + printable(*r.FilterReason)
		case r.Best:
			state = "active"
		}
		if r.Stale != nil {
			state += ", stale (" + printable(*r.Stale) + ")"
		}
		ends := ""
		if r.ExpiresAt != nil {
			ends = r.ExpiresAt.UTC().Format("2006-01-02T15:04:05Z") + ", in " + until(e, *r.ExpiresAt)
		}
		t := newTable(e.out, "rule", printable(r.ID))
		for _, row := range [][2]string{
			{"matches", rule}, {"then", then}, {"state", state}, {"order", fmt.Sprintf("%d of %s", r.Order, table1(r))},
			{"shadowed by", strings.Join(r.ShadowedBy, " ")}, {"peer", rulePeer(r) + ", AS " + strconv.FormatUint(uint64(r.PeerASN), 10)},
			{"received", r.ReceivedAt.UTC().Format("2006-01-02T15:04:05Z")}, {"ends", ends}, {"sent to", strings.Join(r.Peers, " ")},
			{"as path", r.ASPath}, {"origin", orDash(r.Origin)}, {"local pref", number(r.LocalPref)}, {"next hop", orDash(r.NextHop)},
			{"originator", orDash(r.OriginatorID)}, {"communities", strings.Join(r.Communities, " ")}, {"large communities", strings.Join(r.LargeCommunities, " ")},
			{"ext communities", strings.Join(r.ExtCommunities, " ")}, {"octets", r.NLRI},
		} {
			if row[1] == "" || row[1] == "-" {
				continue
			}
			if err := t.add(row[0], printable(row[1])); err != nil {
				return err
			}
		}
		return t.flush()
	})
}

// table1 names the table that a rule is in.
func table1(r *apiv1.FlowRule) string {
	if r.RD != nil {
		return printable(r.Family + " " + *r.RD)
	}
	return printable(r.Family)
}

// invalidReason says in words why a rule is not feasible (RFC 8955 section 6).
func invalidReason(s string) string {
	switch s {
	case "no-destination":
		return s + " (it has no destination prefix)"
	case "no-unicast-route":
		return s + " (no unicast route covers its destination)"
	case "originator":
		return s + " (the unicast route of its destination comes from somebody else)"
	case "more-specific":
		return s + " (a more specific unicast route comes from another AS)"
	}
	return printable(s)
}
