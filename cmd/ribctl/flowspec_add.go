package main

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"strings"

	"ribd/engine/api/apiv1"
	"ribd/wire/flowspec"
)

// flowAddCommand announces rules.
type flowAddCommand struct {
	Text           []string `arg:"" optional:"" help:"Rules, each in quotes: 'destination 203.0.113.0/24 protocol =udp then rate-limit 1250000'."`
	File           string   `help:"Rules as JSON: a list (all or nothing), or objects one after the other (each for itself); - is standard input." type:"path" placeholder:"FILE"`
	Peer           []string `help:"Only to this peer: address, id or name; may repeat. Default: all that policy allows." placeholder:"PEER"`
	TTL            string   `name:"ttl" help:"Withdraw it after this time: 10m, 24h, or seconds." placeholder:"TIME"`
	PathID         *uint32  `name:"path-id" help:"A key of the local rule: several paths of a rule can be announced." placeholder:"N"`
	RD             string   `name:"rd" help:"Route distinguisher: a VPN rule." placeholder:"RD"`
	Community      []string `help:"Community, 65001:100 or a name; may repeat." placeholder:"C" group:"Attributes"`
	LargeCommunity []string `help:"Large community, 65001:1:2; may repeat." placeholder:"C" group:"Attributes"`
	ExtCommunity   []string `help:"Extended community beside those of the actions; may repeat." placeholder:"C" group:"Attributes"`
	LocalPref      *uint32  `help:"LOCAL_PREF." placeholder:"N" group:"Attributes"`
	MED            *uint32  `name:"med" help:"MULTI_EXIT_DISC." placeholder:"N" group:"Attributes"`
	Key            string   `name:"idempotency-key" help:"Do it once, however often it is sent with this key within a day." placeholder:"KEY"`
}

// Help shows a rule.
func (flowAddCommand) Help() string {
	return "Components: destination, source, protocol, port, destination-port, source-port, icmp-type, icmp-code, tcp-flags, packet-length, dscp, fragment, flow-label. " +
		"Values: =53, >=1024&<=2048, several with | or blanks between.\n\n" +
		"Actions: accept, discard, rate-limit N, rate-limit-packets N, sample, continue, redirect rt:65001:1, redirect ip:192.0.2.1 [copy], mark N, community 0x…."
}

// Run announces.
func (c *flowAddCommand) Run(e *env) error {
	s := submission{method: http.MethodPost, path: "/api/v1/flowspec", key: c.Key}
	if (c.File == "") == (len(c.Text) == 0) {
		return usageError("give rules in quotes or --file, one of them")
	}
	if c.File != "" {
		if besideFile(reflect.ValueOf(*c), "Key") {
			return usageError("--file stands alone: a file has the attributes, peers and ttl of each rule")
		}
		return s.file(e, c.File, addedRow)
	}
	var list []apiv1.FlowRuleInput
	for _, text := range ruleArgs(c.Text) {
		list = append(list, apiv1.FlowRuleInput{Text: text, PathInput: apiv1.PathInput{
			RD: c.RD, PathID: c.PathID, Communities: c.Community, LargeCommunities: c.LargeCommunity, ExtCommunities: c.ExtCommunity,
			LocalPref: c.LocalPref, MED: c.MED, Peers: c.Peer, TTL: withUnit(c.TTL),
		}})
	}
	return submit(e, s, list, addedRow)
}

// ruleArgs are the rules or ids of a command line. Words without blanks that are
// no ids are one rule that was given without quotes.
func ruleArgs(args []string) []string {
	for _, a := range args {
		if strings.Contains(a, " ") || isRuleID(a) {
			return args
		}
	}
	return []string{strings.Join(args, " ")}
}

func isRuleID(s string) bool { return len(s) == 16 && strings.Trim(s, "0123456789abcdefABCDEF") == "" }

// addedRow notes an answer to an announcement of a rule.
func addedRow(t *outcome, line []byte) error {
	var a apiv1.FlowAnnounced
	if err := json.Unmarshal(line, &a); err != nil {
		return fmt.Errorf("the server's answer is not what this ribctl knows: %w", err)
	}
	t.head = []string{"RULE", "PEER", "STATE", ">PATH ID", "UNTIL", "REASON"}
	if t.done < fewRows {
		t.before = append(t.before, printable(a.ID)+"  "+printable(a.Text))
	}
	t.announced(printable(a.ID), a.ExpiresAt, a.Peers)
	return nil
}

// flowDeleteCommand withdraws rules.
type flowDeleteCommand struct {
	Rule   []string `arg:"" name:"rule" help:"Ids of rules, or their texts in quotes, with or without what follows then."`
	PathID *uint32  `name:"path-id" help:"Of a text: the path with this key." placeholder:"N"`
	RD     string   `name:"rd" help:"Of a text: route distinguisher." placeholder:"RD"`
}

// Run withdraws each rule.
func (c *flowDeleteCommand) Run(e *env) error {
	rules := ruleArgs(c.Rule)
	ids := make([]string, len(rules))
	for i, s := range rules { // all are found before the first goes
		id, err := c.find(e, s)
		if err != nil {
			return err
		}
		ids[i] = id
	}
	for _, id := range ids {
		body, err := e.client.do(e.ctx, request{method: http.MethodDelete, path: "/api/v1/flowspec/" + url.PathEscape(id)})
		if err != nil {
			return err
		}
		body.Close()
		if !e.flags.JSON {
			fmt.Fprintf(e.out, "withdrawn: %s\n", printable(id))
		}
	}
	return nil
}

// find answers the id of a rule that is named by id or by text.
func (c *flowDeleteCommand) find(e *env, s string) (string, error) {
	if isRuleID(s) {
		return strings.ToLower(s), nil
	}
	if c.RD != "" {
		s = "rd " + c.RD + " " + s
	}
	r, _, err := flowspec.ParseText(s)
	if err != nil {
		return "", usageError(fmt.Sprintf("%q is neither an id of 16 hex digits nor a rule: %s", s, strings.TrimPrefix(err.Error(), "flowspec: ")))
	}
	b, err := r.AppendNLRI(nil)
	if err != nil {
		return "", usageError(strings.TrimPrefix(err.Error(), "flowspec: "))
	}
	nlri, found := hex.EncodeToString(b), []string(nil)
	q := url.Values{"source": {"local"}, "filtered": {"any"}, "family": {r.Family.String()}}
	if err := eachRule(e, q, func(o *apiv1.FlowRule) error {
		same := o.PathID == nil && c.PathID == nil || o.PathID != nil && c.PathID != nil && *o.PathID == *c.PathID
		if o.NLRI == nlri && same {
			found = append(found, o.ID)
		}
		return nil
	}); err != nil {
		return "", err
	}
	if len(found) == 0 {
		return "", fmt.Errorf("no rule that was announced here is %q (ribctl flowspec list --source local lists them; --path-id names one of several paths)", r.String())
	}
	return found[0], nil
}

// isNotFound says that there is no such thing.
func isNotFound(err error) bool {
	var p *apiv1.Problem
	return errors.As(err, &p) && p.Status == http.StatusNotFound
}
