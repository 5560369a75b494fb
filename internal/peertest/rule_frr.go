//go:build linux

package peertest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
)

// AnnounceRules has no answer but an error: FRR originates no rules.
func (d *frr) AnnounceRules(...Rule) error { return fmt.Errorf("frr originates no rules") }

// WithdrawRules has no answer but an error.
func (d *frr) WithdrawRules(...Rule) error { return fmt.Errorf("frr originates no rules") }

// frrParts are the names of components in `show bgp … flowspec detail json`.
var frrParts = []string{1: "to", "from", "proto", "port", "dstp", "srcp", "type", "code", "tcp", "pktlen", "dscp", "pktfrag", "flwlbl"}

// Rules returns its rules as far as it shows them: of numbers without the "and"
// between them, of actions those that it knows (asFRR says which).
func (d *frr) Rules(family string) ([]Rule, error) {
	out, err := d.vty("show bgp " + frrFamily(family) + " detail json")
	if err != nil {
		return nil, err
	}
	// One array after the other, without anything around them.
	var rules []Rule
	for dec := json.NewDecoder(bytes.NewReader(out)); dec.More(); {
		var entry []map[string]string
		if err := dec.Decode(&entry); err != nil {
			return nil, fmt.Errorf("frr: %w: %s", err, out)
		}
		r := Rule{Family: family}
		for _, m := range entry {
			if err := frrInto(&r, m); err != nil {
				return nil, fmt.Errorf("frr: %w: %s", err, out)
			}
		}
		r.sort()
		rules = append(rules, r)
	}
	return rules, nil
}

func frrInto(r *Rule, m map[string]string) (err error) {
	for kind, name := range frrParts {
		text, ok := m[name]
		if !ok || name == "" {
			continue
		}
		p := Part{Type: uint8(kind)}
		text = strings.ReplaceAll(text, " ", "")
		switch {
		case kind <= 2:
			err = p.prefix(strings.Replace(text, "/off", "/", 1))
		case p.Bitmask():
			// "∋" is any of the bits, "=" all of them, and "!" behind it not.
			text = strings.NewReplacer("=!", "!=", "∋!", "!", "∋", "", ",", "").Replace(text)
			p.Ops, err = parseOps(text)
		default:
			p.Ops, err = parseOps(strings.ReplaceAll(text, ",", "|"))
		}
		if err != nil {
			return err
		}
		r.Parts = append(r.Parts, p)
	}
	r.Actions = append(r.Actions, frrActions(m["ecomlist"])...)
	return nil
}

var frrAction = regexp.MustCompile(`FS:(rate|redirect VRF|marking) (?:RT:)?([0-9.:]+)|NH:([0-9.:]+)`)

func frrActions(text string) (out []uint64) {
	for _, m := range frrAction.FindAllStringSubmatch(text, -1) {
		switch m[1] {
		case "rate":
			f, _ := strconv.ParseFloat(m[2], 32)
			out = append(out, 0x8006<<48|uint64(math.Float32bits(float32(f))))
		case "marking":
			n, _ := strconv.ParseUint(m[2], 10, 8)
			out = append(out, 0x8009<<48|n)
		case "":
			v, _ := admin(m[3])
			out = append(out, 0x010c<<48|v)
		default:
			v, _ := admin(m[2])
			kind := uint64(0x8008)
			if as, _, _ := strings.Cut(m[2], ":"); strings.Contains(as, ".") {
				kind = 0x8108
			} else if len(as) > 5 || as > "65535" && len(as) == 5 {
				kind = 0x8208
			}
			out = append(out, kind<<48|v)
		}
	}
	return out
}

// asFRR makes of a rule what FRR shows of it.
func asFRR(r *Rule) {
	for i := range r.Parts {
		p := &r.Parts[i]
		if p.Bitmask() || p.Type <= 2 {
			continue
		}
		ops := make([]Op, len(p.Ops))
		for i, o := range p.Ops {
			ops[i] = Op{Op: o.Op, Value: o.Value}
		}
		p.Ops = ops
	}
	var shown []uint64
	for _, a := range r.Actions {
		switch a >> 48 {
		case 0x8006, 0x8008, 0x8108, 0x8208, 0x8009, 0x010c:
			shown = append(shown, a)
		}
	}
	r.Actions, r.ASPath = shown, ""
}
