package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"ribd/engine/api/apiv1"
)

// flowMatchCommand asks what rules do with a packet.
type flowMatchCommand struct {
	Src       string  `help:"Source address." placeholder:"ADDRESS" group:"Packet"`
	Dst       string  `help:"Destination address." placeholder:"ADDRESS" group:"Packet"`
	Protocol  string  `help:"Protocol: tcp, udp, icmp, …, or a number." placeholder:"NAME" group:"Packet"`
	SrcPort   *uint16 `help:"Source port." placeholder:"N" group:"Packet"`
	DstPort   *uint16 `help:"Destination port." placeholder:"N" group:"Packet"`
	ICMPType  string  `name:"icmp-type" help:"ICMP type: echo-request, …, or a number." placeholder:"NAME" group:"Packet"`
	ICMPCode  string  `name:"icmp-code" help:"ICMP code." placeholder:"NAME" group:"Packet"`
	TCPFlags  string  `name:"tcp-flags" help:"TCP flags: syn, syn+ack, …, or a number." placeholder:"FLAGS" group:"Packet"`
	Length    *uint32 `help:"Octets of the IP packet." placeholder:"N" group:"Packet"`
	DSCP      string  `name:"dscp" help:"DSCP: a number, or ef, af11, …." placeholder:"N" group:"Packet"`
	Fragment  string  `help:"is-fragment, first-fragment, last-fragment, dont-fragment, joined by +. Default: no fragment." placeholder:"WHAT" group:"Packet"`
	FlowLabel *uint32 `help:"IPv6 flow label." placeholder:"N" group:"Packet"`
	RD        string  `name:"rd" help:"Route distinguisher: the rules of a VPN." placeholder:"RD"`
	Stdin     bool    `help:"Packets as JSON objects from standard input, one a line; answers as JSON."`
}

func (c *flowMatchCommand) packet() apiv1.FlowPacket {
	word := func(s string) any {
		if s == "" {
			return nil
		}
		return s
	}
	return apiv1.FlowPacket{
		Src: c.Src, Dst: c.Dst, Protocol: word(c.Protocol), SrcPort: c.SrcPort, DstPort: c.DstPort, ICMPType: word(c.ICMPType), ICMPCode: word(c.ICMPCode),
		TCPFlags: word(c.TCPFlags), Length: c.Length, DSCP: word(c.DSCP), Fragment: word(c.Fragment), FlowLabel: c.FlowLabel,
	}
}

// Run asks, and shows the rules in order with what they do.
func (c *flowMatchCommand) Run(e *env) error {
	q := url.Values{}
	if c.RD != "" {
		q.Set("rd", c.RD)
	}
	req := request{method: http.MethodPost, path: "/api/v1/flowspec/match", query: q, contentType: "application/json"}
	if c.Stdin {
		req.body, req.contentType, req.accept = struct{ io.Reader }{e.in}, "application/x-ndjson", "application/x-ndjson"
		return c.lines(e, req)
	}
	if c.Src == "" && c.Dst == "" {
		return usageError("--dst or --src is missing: a packet has an address (--stdin reads packets as JSON)")
	}
	b, err := json.Marshal(c.packet())
	if err != nil {
		return err
	}
	req.body = bytes.NewReader(b)
	return fetch(e, req, func(v *apiv1.FlowVerdict) error { return showVerdict(e, v) })
}

// lines answers packets of standard input.
func (c *flowMatchCommand) lines(e *env, req request) error {
	body, err := e.client.do(e.ctx, req)
	if err != nil {
		return err
	}
	defer body.Close()
	f := *e.flags
	f.JSON = true
	plain := *e
	plain.flags = &f
	bad := 0
	err = stream(&plain, body, nil, func(line []byte) error {
		if bytes.HasPrefix(line, []byte(`{"line":`)) {
			bad++
		}
		return nil
	})
	if err == nil && bad > 0 {
		return fmt.Errorf("%d of the lines were no packets", bad)
	}
	return err
}

// shownRules bounds the rules of a verdict that are asked for by id.
const shownRules = 50

// showVerdict prints what becomes of a packet: the combined action, and each rule
// that it matches with what it adds.
func showVerdict(e *env, v *apiv1.FlowVerdict) error {
	if len(v.Rules) == 0 {
		_, err := fmt.Fprintln(e.out, "no rule matches: it passes")
		return err
	}
	fmt.Fprintln(e.out, "action:", actionWords(v.Action))
	shadowed := map[string]bool{}
	for _, id := range v.Shadowed {
		shadowed[id] = true
	}
	t := newTable(e.out, "", "ID", "THEN", "RULE")
	for i, id := range v.Rules {
		if i == shownRules {
			if err := t.add("", fmt.Sprintf("… and %d more", len(v.Rules)-shownRules)); err != nil {
				return err
			}
			break
		}
		mark := "applies"
		switch {
		case shadowed[id]:
			mark = "shadowed"
		case v.DecidedBy != nil && id == *v.DecidedBy:
			mark = "decides"
		}
		rule, then, err := oneRule(e, id)
		if err != nil {
			return err
		}
		if err := t.add(mark, printable(id), then, rule); err != nil {
			return err
		}
	}
	return t.flush()
}

// oneRule asks for a rule's text; it may have gone meanwhile.
func oneRule(e *env, id string) (rule, then string, err error) {
	body, err := e.client.do(e.ctx, request{method: http.MethodGet, path: "/api/v1/flowspec/" + url.PathEscape(id)})
	if err != nil {
		if isNotFound(err) {
			return "(gone meanwhile)", "", nil
		}
		return "", "", err
	}
	defer body.Close()
	var r apiv1.FlowRule
	if err := decode(body, &r); err != nil {
		return "", "", err
	}
	rule, then = ruleText(&r)
	return rule, then, nil
}

// actionWords is a combined action in the words of a rule's text.
func actionWords(a *apiv1.FlowActions) string {
	var w []string
	rate := func(name string, r *float32) {
		if r != nil {
			w = append(w, name+" "+strconv.FormatFloat(float64(*r), 'f', -1, 32))
		}
	}
	if a.RateLimitBytes != nil && *a.RateLimitBytes == 0 {
		w = append(w, "discard")
	} else {
		rate("rate-limit", a.RateLimitBytes)
	}
	rate("rate-limit-packets", a.RateLimitPackets)
	if a.Sample {
		w = append(w, "sample")
	}
	if r := a.Redirect; r != nil {
		s := "redirect " + printable(r.Type) + ":" + printable(r.Value)
		if r.Copy {
			s += " copy"
		}
		w = append(w, s)
	}
	if a.MarkDSCP != nil {
		w = append(w, "mark "+strconv.Itoa(int(*a.MarkDSCP)))
	}
	for _, u := range a.Unknown {
		w = append(w, "community "+printable(u))
	}
	if len(w) == 0 {
		return "accept"
	}
	return strings.Join(w, " ")
}
