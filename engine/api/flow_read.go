package api

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math"
	"strconv"
	"strings"

	"ribd/wire"
	"ribd/wire/flowspec"
)

// ruleReader reads the fields that a Flow Spec rule has over a path: match and
// actions, or text in their place. A row of GET flowspec is read as well: what
// only answers have is passed over, and what says the same twice has to agree.
type ruleReader struct {
	named, given ruleFields
	text         string
	match        [len(flowFields)]string // by flowFields, "" where it is not there
	actions      flowspec.Actions
	rule         flowspec.Rule
	edit         wire.AttrEditor
}

// ruleFields is a set of the fields of a rule.
type ruleFields uint8

const (
	ruleText ruleFields = 1 << iota
	ruleMatch
	ruleActions
)

// begin forgets the rule before.
func (x *ruleReader) begin() { *x = ruleReader{edit: x.edit} }

// field reads one field of the object, if it is one of a rule.
func (x *ruleReader) field(r *pathReader, name []byte) (known bool, p *problem) {
	var f ruleFields
	switch string(name) {
	case "text":
		f = ruleText
	case "match":
		f = ruleMatch
	case "actions":
		f = ruleActions
	case "id", "order", "valid", "invalid_reason", "counters", "shadowed_by": // of answers
		r.js.skip(0)
		return true, nil
	default:
		return false, nil
	}
	if x.named&f != 0 {
		return true, bad(string(name), "is given twice")
	}
	x.named |= f
	if r.js.null() {
		return true, nil
	}
	x.given |= f
	switch f {
	case ruleText:
		s, ok := r.js.text()
		if !ok {
			return true, wanted(&r.js, "text", `a rule such as "destination 192.0.2.0/24 protocol =udp then rate-limit 0"`)
		}
		x.text = string(s)
		return true, nil
	case ruleMatch:
		return true, x.readMatch(&r.js)
	}
	return true, x.readActions(&r.js)
}

// wanted is the problem of a value of the wrong kind.
func wanted(js *jsonReader, field, what string) *problem {
	got := js.raw()
	if js.wrong != "" {
		return js.problem()
	}
	return bad(field, "%s: %s is wanted", shown(got), what)
}

// readMatch reads "match": each component as text, a bare number as equal to
// it. What the texts say is looked at when the family is known.
func (x *ruleReader) readMatch(js *jsonReader) *problem {
	if js.peek() != '{' {
		return wanted(js, "match", `an object such as {"destination":"192.0.2.0/24","protocol":"=udp"}`)
	}
	js.at++
	for first := true; js.more('}', &first); {
		name := js.key()
		if js.wrong != "" {
			break
		}
		i := 0
		for i < len(flowFields) && string(name) != flowFields[i].name {
			i++
		}
		if i == len(flowFields) {
			return unknownOf("match", string(name), matchNames())
		}
		if js.null() {
			continue
		}
		f := &flowFields[i]
		switch s, ok := js.text(); {
		case ok && !f.offset:
			x.match[i] = string(s)
			if len(s) == 0 {
				return bad("match."+f.name, "is empty: leave it out, or give a value")
			}
		case f.typ.IsPrefix() && !f.offset:
			return wanted(js, "match."+f.name, `a prefix such as "192.0.2.0/24"`)
		default:
			n, ok := js.number(math.MaxUint32)
			if !ok {
				return wanted(js, "match."+f.name, map[bool]string{true: "a number of bits", false: `a text such as "=53" or ">=1024&<=2048"`}[f.offset])
			}
			x.match[i] = strconv.FormatUint(n, 10)
		}
	}
	return js.problem()
}

func matchNames() (names []string) {
	for i := range flowFields {
		names = append(names, flowFields[i].name)
	}
	return names
}

// unknownOf names the field of an object that was meant, where one is near.
func unknownOf(object, name string, known []string) *problem {
	best, at := 3, ""
	for _, n := range known {
		if d := editDistance(shown(name), n); d < best {
			best, at = d, n
		}
	}
	if at != "" {
		return bad(object+"."+shown(name), "no such field of %s: did you mean %s?", object, at)
	}
	return bad(object+"."+shown(name), "no such field of %s: %s", object, strings.Join(known, ", "))
}

var actionNames = []string{
	"rate_limit_bytes", "rate_limit_bytes_asn", "rate_limit_packets", "rate_limit_packets_asn", "redirect", "mark_dscp", "sample", "terminal", "unknown",
}

// readActions reads "actions".
func (x *ruleReader) readActions(js *jsonReader) *problem {
	if js.peek() != '{' {
		return wanted(js, "actions", `an object such as {"rate_limit_bytes":0}`)
	}
	js.at++
	x.actions = flowspec.Actions{}
	for first := true; js.more('}', &first); {
		name := string(js.key())
		if js.wrong != "" {
			break
		}
		if js.null() {
			continue
		}
		if p := x.readAction(js, name); p != nil {
			return p
		}
	}
	return js.problem()
}

func (x *ruleReader) readAction(js *jsonReader, name string) (p *problem) {
	a := &x.actions
	switch name {
	case "rate_limit_bytes":
		a.RateBytes, p = readRate(js, name)
	case "rate_limit_packets":
		a.RatePackets, p = readRate(js, name)
	case "rate_limit_bytes_asn":
		a.RateBytesAS, p = readWord[uint16](js, name, 65535)
	case "rate_limit_packets_asn":
		a.RatePacketsAS, p = readWord[uint16](js, name, 65535)
	case "mark_dscp":
		var v uint8
		if v, p = readWord[uint8](js, name, 63); p == nil {
			a.MarkDSCP = &v
		}
	case "sample":
		a.Sample, p = readFlag(js, name)
	case "terminal":
		a.GoOn, p = readFlag(js, name)
		a.GoOn = !a.GoOn
	case "redirect":
		a.Redirect, p = readRedirect(js)
	case "unknown":
		a.Unknown, p = readUnknownActions(js)
	default:
		return unknownOf("actions", name, actionNames)
	}
	return p
}

func readFlag(js *jsonReader, name string) (bool, *problem) {
	v, ok := js.boolean()
	if !ok {
		return false, wanted(js, "actions."+name, "true or false")
	}
	return v, nil
}

func readWord[T ~uint8 | ~uint16](js *jsonReader, name string, most uint64) (T, *problem) {
	v, ok := js.number(most)
	if !ok {
		return 0, wanted(js, "actions."+name, "a number from 0 to "+strconv.FormatUint(most, 10))
	}
	return T(v), nil
}

// readRate reads a rate of RFC 8955 section 7.1, an IEEE single.
func readRate(js *jsonReader, name string) (*float32, *problem) {
	raw := js.raw()
	if js.wrong != "" {
		return nil, js.problem()
	}
	v, err := strconv.ParseFloat(string(raw), 32)
	switch {
	case err != nil && !errors.Is(err, strconv.ErrRange), len(raw) > 0 && (raw[0] == '"' || raw[0] > '9'):
		return nil, bad("actions."+name, "%s: a number is wanted, 0 to discard", shown(raw))
	case v < 0:
		return nil, bad("actions."+name, "%s is under 0: 0 discards (RFC 8955 7.1)", shown(raw))
	case err != nil || math.IsInf(v, 0):
		return nil, bad("actions."+name, "%s is over %v, which is no limit any more: leave it out", shown(raw), float32(math.MaxFloat32))
	}
	rate := float32(v)
	return &rate, nil
}

// readRedirect reads {"type":"rt"|"ip","value":…,"copy":…}.
func readRedirect(js *jsonReader) (*flowspec.Redirect, *problem) {
	const want = `an object such as {"type":"rt","value":"65001:1"} or {"type":"ip","value":"192.0.2.1","copy":false}`
	if js.peek() != '{' {
		return nil, wanted(js, "actions.redirect", want)
	}
	js.at++
	var kind, value string
	var r flowspec.Redirect
	for first := true; js.more('}', &first); {
		name := string(js.key())
		if js.wrong != "" {
			break
		}
		if js.null() {
			continue
		}
		switch name {
		case "copy":
			v, ok := js.boolean()
			if !ok {
				return nil, wanted(js, "actions.redirect.copy", "true or false")
			}
			r.Copy = v
		case "type", "value":
			s, ok := js.text()
			if !ok {
				return nil, wanted(js, "actions.redirect."+name, "a text in quotes")
			}
			if name == "type" {
				kind = string(s)
			} else {
				value = string(s)
			}
		default:
			return nil, unknownOf("actions.redirect", name, []string{"type", "value", "copy"})
		}
	}
	if js.wrong != "" {
		return nil, js.problem()
	}
	k, ok := map[string]flowspec.RedirectKind{"rt": flowspec.RedirectRT, "ip": flowspec.RedirectIP}[kind]
	if !ok {
		return nil, bad("actions.redirect.type", "%q is neither rt nor ip: %s is wanted", shown(kind), want)
	}
	to, err := flowspec.ParseRedirect(k, value)
	switch {
	case err != nil:
		return nil, bad("actions.redirect.value", "%s", strings.TrimPrefix(err.Error(), "redirect: "))
	case r.Copy && k == flowspec.RedirectRT:
		return nil, bad("actions.redirect.copy", "a copy goes to an address: type ip")
	}
	to.Copy = r.Copy
	return &to, nil
}

// readUnknownActions reads extended communities as 0x and 16 or 40 hex digits.
func readUnknownActions(js *jsonReader) (list [][]byte, p *problem) {
	const want = `a list of extended communities such as ["0x8006000000000000"]`
	if js.peek() != '[' {
		return nil, wanted(js, "actions.unknown", want)
	}
	js.at++
	for first := true; js.more(']', &first); {
		s, ok := js.text()
		if !ok {
			return nil, wanted(js, "actions.unknown", want)
		}
		digits, found := bytes.CutPrefix(s, []byte("0x"))
		b, err := hex.DecodeString(string(digits))
		if !found || err != nil || len(b) != 8 && len(b) != 20 {
			return nil, bad("actions.unknown", "%q is not 0x and 16 or 40 hex digits", shown(s))
		}
		list = append(list, b)
	}
	return list, js.problem()
}

// place finds the family and the NLRI of the rule that was read, for the path
// reader to go on with.
func (x *ruleReader) place(r *pathReader) *problem {
	if x.given&(ruleText|ruleMatch) == 0 {
		if r.given.has(inNLRI) {
			if !r.given.has(inFamily) {
				return bad("family", "is missing: nlri alone does not say whose rule it is")
			}
			if !flowspec.Is(r.in.family) {
				return bad("family", "%s has no Flow Spec rules: ipv4-flowspec, ipv6-flowspec, and these with -vpn", r.in.family)
			}
			return x.checkRD(r, r.in.nlri)
		}
		return bad("match", `is missing: {"match":{…},"actions":{…}} or {"text":"destination 192.0.2.0/24 … then …"} is wanted`)
	}
	var fromText []byte
	if x.given&ruleText != 0 {
		rule, actions, err := flowspec.ParseText(x.text)
		if err != nil {
			return bad("text", "%s", trimPackage(err))
		}
		if p := x.adopt(r, &rule); p != nil {
			return p
		}
		if fromText, err = rule.AppendNLRI(nil); err != nil {
			return bad("text", "%s", trimPackage(err))
		}
		x.rule = rule
		if x.given&ruleActions == 0 && !actions.Empty() {
			x.actions, x.given = actions, x.given|ruleActions
		}
	}
	nlri := fromText
	if x.given&ruleMatch != 0 {
		var p *problem
		if nlri, p = x.fromMatch(r, fromText); p != nil {
			return p
		}
	}
	if r.given.has(inNLRI) {
		canonical, err := flowspec.Canonical(nil, x.rule.Family, r.in.nlri)
		if err != nil || !bytes.Equal(canonical, nlri) {
			return bad("nlri", "says another rule than %s: one of them is enough", map[bool]string{true: "match", false: "text"}[x.given&ruleMatch != 0])
		}
	}
	at := len(r.mem)
	r.mem = append(r.mem, nlri...)
	r.in.family, r.in.nlri = x.rule.Family, r.mem[at:len(r.mem):len(r.mem)]
	r.given |= inputs(inFamily, inNLRI)
	r.given &^= inputs(inRD) // it is in the NLRI
	r.in.rd = 0
	return nil
}

// trimPackage is the text of an error of wire/flowspec without the name of the
// package.
func trimPackage(err error) string { return strings.TrimPrefix(err.Error(), "flowspec: ") }

// adopt joins what the rule's text says of its family and route distinguisher
// with the fields of these names.
func (x *ruleReader) adopt(r *pathReader, rule *flowspec.Rule) *problem {
	if r.given.has(inRD) {
		if rule.RD != 0 && rule.RD != r.in.rd {
			return bad("rd", "text has another route distinguisher: one of them is enough")
		}
		rule.RD = r.in.rd
		rule.Family = vpnOf(rule.Family)
	}
	if !r.given.has(inFamily) || rule.Family == r.in.family {
		return nil
	}
	if flowspec.IsVPN(r.in.family) && !flowspec.IsVPN(rule.Family) && vpnOf(rule.Family) == r.in.family {
		return bad("rd", `is missing: a rule of %s has a route distinguisher such as "65001:1" (RFC 8955 8)`, r.in.family)
	}
	return bad("family", "%s is not that of the rule, %s", r.in.family, rule.Family)
}

func vpnOf(f wire.Family) wire.Family {
	switch f {
	case wire.IPv4FlowSpec:
		return wire.IPv4FlowSpecVPN
	case wire.IPv6FlowSpec:
		return wire.IPv6FlowSpecVPN
	}
	return f
}

// fromMatch puts the rule of "match" together; what text said has to be the
// same.
func (x *ruleReader) fromMatch(r *pathReader, fromText []byte) ([]byte, *problem) {
	f, p := x.family(r)
	if p != nil {
		return nil, p
	}
	rule := flowspec.Rule{Family: f, RD: r.in.rd}
	if fromText != nil && !r.given.has(inRD) {
		rule.RD = x.rule.RD
	}
	for i := range flowFields {
		field := &flowFields[i]
		text := x.match[i]
		if text == "" || field.offset {
			continue
		}
		if field.typ.IsPrefix() && x.match[i+1] != "" {
			text += " offset " + x.match[i+1]
		}
		c, err := flowspec.ParseComponent(f, field.typ, text)
		if err != nil {
			return nil, bad("match."+field.name, "%s", trimPackage(err))
		}
		rule.Components = append(rule.Components, c)
	}
	nlri, err := rule.AppendNLRI(nil)
	if err != nil {
		return nil, bad("match", "%s", trimPackage(err))
	}
	if fromText != nil && !bytes.Equal(nlri, fromText) {
		return nil, bad("text", "says another rule than match: one of them is enough")
	}
	x.rule = rule
	return nlri, nil
}

// family is the one that was given, or that the prefixes tell.
func (x *ruleReader) family(r *pathReader) (wire.Family, *problem) {
	if r.given.has(inFamily) {
		f := r.in.family
		switch {
		case !flowspec.Is(f):
			return 0, bad("family", "%s has no Flow Spec rules: ipv4-flowspec, ipv6-flowspec, and these with -vpn", f)
		case flowspec.IsVPN(f) && !r.given.has(inRD) && x.given&ruleText == 0:
			return 0, bad("rd", `is missing: a rule of %s has a route distinguisher such as "65001:1" (RFC 8955 8)`, f)
		case !flowspec.IsVPN(f) && r.given.has(inRD):
			return 0, bad("rd", "the family %s has no route distinguishers", f)
		}
		return f, nil
	}
	if x.given&ruleText != 0 { // it knew
		return x.rule.Family, nil
	}
	f := wire.Family(0)
	for i := range flowFields {
		if x.match[i] == "" || flowFields[i].offset {
			continue
		}
		switch {
		case flowFields[i].typ == flowspec.TypeFlowLabel, flowFields[i].typ.IsPrefix() && strings.Contains(x.match[i], ":"):
			f = wire.IPv6FlowSpec
		case flowFields[i].typ.IsPrefix():
			f = wire.IPv4FlowSpec
		}
		if f != 0 {
			break
		}
	}
	if f == 0 { // as in the text
		f = wire.IPv4FlowSpec
	}
	if r.given.has(inRD) {
		f = vpnOf(f)
	}
	return f, nil
}

// checkRD checks rd against what the NLRI has.
func (x *ruleReader) checkRD(r *pathReader, nlri []byte) *problem {
	if !r.given.has(inRD) {
		return nil
	}
	canonical, err := flowspec.Canonical(nil, r.in.family, nlri)
	if err == nil && flowspec.IsVPN(r.in.family) && flowspec.RD(r.in.family, canonical) != r.in.rd {
		return bad("rd", "nlri has another route distinguisher: one of them is enough")
	}
	if flowspec.IsVPN(r.in.family) {
		r.given &^= inputs(inRD)
		r.in.rd = 0
	}
	return nil
}

// finish writes the actions into the attributes. Where none were given, those
// among the extended communities stay.
func (x *ruleReader) finish(r *pathReader) *problem {
	if r.key || x.given&ruleActions == 0 {
		return r.actions()
	}
	if was := flowspec.ActionsOf(r.in.attrs); was.HasTrafficAction {
		x.actions.HasTrafficAction = true // JSON tells of its bits alone
	}
	x.edit.Start(r.in.attrs)
	if err := x.actions.Apply(&x.edit, flowspec.RedirectCommunity); err != nil {
		return bad("actions", "%s", trimPackage(err))
	}
	at := len(r.mem)
	r.mem = x.edit.Append(r.mem)
	r.in.attrs = r.mem[at:len(r.mem):len(r.mem)]
	if err := flowspec.CheckActions(r.in.attrs); err != nil { // unknown may hold anything
		return bad("actions", "%s (%s)", err.Reason, err.RFC)
	}
	return nil
}
