//go:build linux

package peertest

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// names are what daemons call values, by component.
var names = map[uint8]map[string]uint64{
	3: {"icmp": 1, "igmp": 2, "ipip": 4, "tcp": 6, "egp": 8, "igp": 9, "udp": 17, "rsvp": 46, "gre": 47, "ipv4": 4, "ipv6": 41, "esp": 50,
		"ah": 51, "icmpv6": 58, "ipv6-icmp": 58, "ospf": 89, "pim": 103, "sctp": 132},
	7: {"echo-reply": 0, "unreachable": 3, "redirect": 5, "echo-request": 8, "router-advertisement": 9, "router-solicit": 10,
		"time-exceeded": 11, "parameter-problem": 12, "timestamp": 13, "timestamp-reply": 14},
	9: {"fin": 1, "syn": 2, "rst": 4, "push": 8, "psh": 8, "ack": 16, "urgent": 32, "urg": 32, "ece": 64, "cwr": 128, "ns": 256,
		"F": 1, "S": 2, "R": 4, "P": 8, "A": 16, "U": 32, "E": 64, "C": 128},
	12: {"not-a-fragment": 0, "dont-fragment": 1, "is-fragment": 2, "first-fragment": 4, "last-fragment": 8,
		"dont_fragment": 1, "is_fragment": 2, "first_fragment": 4, "last_fragment": 8},
}

// named puts numbers in the place of the names of a component's values: bits
// may be joined by "+", or by nothing where they have one letter each.
func named(kind uint8, ops string) string {
	var b strings.Builder
	for len(ops) > 0 {
		n := strings.IndexAny(ops, "=!<>&|")
		switch {
		case n == 0:
			b.WriteByte(ops[0])
			ops = ops[1:]
			continue
		case n < 0:
			n = len(ops)
		}
		b.WriteString(valueOf(kind, ops[:n]))
		ops = ops[n:]
	}
	return b.String()
}

func valueOf(kind uint8, word string) string {
	if word == "true" || word == "false" {
		return word
	}
	if _, err := strconv.ParseUint(word, 0, 64); err == nil {
		return word
	}
	var sum uint64
	for w := range strings.SplitSeq(word, "+") {
		if v, ok := names[kind][w]; ok {
			sum |= v
			continue
		}
		for _, c := range w {
			v, ok := names[kind][string(c)]
			if !ok {
				return word // which is no number, as the error then says
			}
			sum |= v
		}
	}
	return fmt.Sprint(sum)
}

// octetsOf are the octets that a number was written with: "=53/2".
var octetsOf = regexp.MustCompile(`/[1248]\b`)

// RuleOf makes a rule of components in words: names with "_" or "-", values
// with names or numbers, an offset as "destination_offset".
func RuleOf(family, rd string, match map[string]string, actions []uint64) (Rule, error) {
	r := Rule{Family: family, RD: rd, Actions: actions}
	for name, value := range match {
		name = strings.ReplaceAll(name, "_", "-")
		if strings.HasSuffix(name, "-offset") {
			continue
		}
		p := Part{Type: uint8(max(0, slices.Index(partNames, name)))}
		var err error
		switch {
		case p.Type == 0:
			err = fmt.Errorf("no component is named that")
		case p.Type <= 2:
			if off := match[name+"_offset"]; off != "" {
				value += "/" + off
			}
			err = p.prefix(value)
		default:
			value = octetsOf.ReplaceAllString(value, "")
			value = strings.NewReplacer("true:0", "true", "false:0", "false").Replace(value)
			p.Ops, err = parseOps(named(p.Type, value))
		}
		if err != nil {
			return r, fmt.Errorf("%s %q: %w", name, value, err)
		}
		r.Parts = append(r.Parts, p)
	}
	r.sort()
	return r, nil
}
