package flowspec

import (
	"fmt"
	"strconv"
	"strings"
)

// name is a word for a value. Of several words for one value the first is
// written.
type name struct {
	value uint64
	word  string
}

// protocolNames are of the IANA registry of protocol numbers.
var protocolNames = []name{
	{1, "icmp"}, {2, "igmp"}, {4, "ipv4"}, {4, "ipip"}, {6, "tcp"}, {8, "egp"}, {17, "udp"}, {33, "dccp"}, {41, "ipv6"},
	{46, "rsvp"}, {47, "gre"}, {50, "esp"}, {51, "ah"}, {58, "icmpv6"}, {58, "ipv6-icmp"}, {58, "icmp6"}, {89, "ospf"},
	{103, "pim"}, {112, "vrrp"}, {115, "l2tp"}, {132, "sctp"}, {136, "udplite"},
}

var icmpNames = []name{
	{0, "echo-reply"}, {3, "destination-unreachable"}, {3, "unreachable"}, {4, "source-quench"}, {5, "redirect"},
	{8, "echo-request"}, {9, "router-advertisement"}, {10, "router-solicitation"}, {11, "time-exceeded"},
	{12, "parameter-problem"}, {13, "timestamp"}, {14, "timestamp-reply"}, {17, "mask-request"}, {18, "mask-reply"},
	{30, "traceroute"},
}

var icmp6Names = []name{
	{1, "destination-unreachable"}, {1, "unreachable"}, {2, "packet-too-big"}, {3, "time-exceeded"},
	{4, "parameter-problem"}, {128, "echo-request"}, {129, "echo-reply"}, {130, "listener-query"},
	{131, "listener-report"}, {132, "listener-done"}, {133, "router-solicitation"}, {134, "router-advertisement"},
	{135, "neighbor-solicitation"}, {136, "neighbor-advertisement"}, {137, "redirect"}, {143, "listener-report-v2"},
}

// flagNames are the control bits of RFC 9293 and the one of RFC 9768.
var flagNames = []name{
	{0x01, "fin"}, {0x02, "syn"}, {0x04, "rst"}, {0x08, "psh"}, {0x08, "push"}, {0x10, "ack"}, {0x20, "urg"},
	{0x20, "urgent"}, {0x40, "ece"}, {0x80, "cwr"}, {0x100, "ae"}, {0x100, "ns"},
}

var fragmentWords = []name{
	{uint64(DF), "dont-fragment"}, {uint64(DF), "df"}, {uint64(IsF), "is-fragment"}, {uint64(IsF), "isf"},
	{uint64(FF), "first-fragment"}, {uint64(FF), "ff"}, {uint64(LF), "last-fragment"}, {uint64(LF), "lf"},
}

// dscpNames are read, and not written (RFC 2474, 2597, 3246, 5865, 8622).
var dscpNames = []name{
	{0, "default"}, {0, "be"}, {0, "cs0"}, {8, "cs1"}, {16, "cs2"}, {24, "cs3"}, {32, "cs4"}, {40, "cs5"}, {48, "cs6"},
	{56, "cs7"}, {10, "af11"}, {12, "af12"}, {14, "af13"}, {18, "af21"}, {20, "af22"}, {22, "af23"}, {26, "af31"},
	{28, "af32"}, {30, "af33"}, {34, "af41"}, {36, "af42"}, {38, "af43"}, {46, "ef"}, {44, "voice-admit"}, {1, "le"},
}

// names returns the words for values of a type.
func (t Type) names(v6 bool) []name {
	switch t {
	case TypeProtocol:
		return protocolNames
	case TypeICMPType:
		if v6 {
			return icmp6Names
		}
		return icmpNames
	case TypeTCPFlags:
		return flagNames
	case TypeFragment:
		return fragmentWords
	case TypeDSCP:
		return dscpNames
	}
	return nil
}

// appendValue appends a value by its name where it has one.
func appendValue(dst []byte, t Type, v6 bool, v uint64) []byte {
	if t.IsBitmask() {
		return appendBits(dst, t.names(v6), v)
	}
	if t != TypeDSCP {
		for _, n := range t.names(v6) {
			if n.value == v {
				return append(dst, n.word...)
			}
		}
	}
	return strconv.AppendUint(dst, v, 10)
}

// appendBits appends the names of the bits with + between; in hex where one has
// no name.
func appendBits(dst []byte, names []name, v uint64) []byte {
	at, rest := len(dst), v
	for _, n := range names {
		if rest&n.value == 0 {
			continue
		}
		if len(dst) > at {
			dst = append(dst, '+')
		}
		dst = append(dst, n.word...)
		rest &^= n.value
	}
	if rest != 0 || v == 0 {
		return strconv.AppendUint(append(dst[:at], '0', 'x'), v, 16)
	}
	return dst
}

// ParseValue reads a value of a component type: a number, decimal or 0x and hex
// digits, or a name, "udp", "echo-request"; of the bitmask types names joined
// by +, "syn+ack". The error says what would be right.
func ParseValue(v6 bool, t Type, s string) (uint64, error) {
	if t == 0 || t > lastType || t.IsPrefix() {
		return 0, fmt.Errorf("%v has no values", t)
	}
	if !t.IsBitmask() {
		return parseWord(v6, t, s)
	}
	var v uint64
	for word := range strings.SplitSeq(s, "+") {
		bit, err := parseWord(v6, t, word)
		if err != nil {
			return 0, err
		}
		v |= bit
	}
	return v, nil
}

func parseWord(v6 bool, t Type, s string) (uint64, error) {
	v, err := parseUint(s)
	if err == nil {
		return v, nil
	}
	low := strings.ReplaceAll(strings.ToLower(s), "_", "-")
	for _, n := range t.names(v6) {
		if n.word == low {
			return n.value, nil
		}
	}
	switch {
	case s == "":
		return 0, fmt.Errorf("no value (such as %s)", example(t))
	case s[0] >= '0' && s[0] <= '9':
		return 0, fmt.Errorf("%q is not a number from 0 to %d", s, t.most())
	case t.names(v6) == nil:
		return 0, fmt.Errorf("%q is not a number (such as %s)", s, example(t))
	}
	return 0, fmt.Errorf("%q is neither a number nor one of %s", s, wordList(t.names(v6)))
}

// parseUint reads a decimal number, or a hexadecimal one after 0x.
func parseUint(s string) (uint64, error) {
	if hex, ok := strings.CutPrefix(s, "0x"); ok {
		return strconv.ParseUint(hex, 16, 64)
	}
	return strconv.ParseUint(s, 10, 64)
}

// wordList lists the words that are written.
func wordList(names []name) string {
	var b strings.Builder
	for i, n := range names {
		if i > 0 && names[i-1].value == n.value {
			continue
		}
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(n.word)
	}
	return b.String()
}

// example returns what the text of a component of the type may look like.
func example(t Type) string {
	switch t {
	case TypeDestination, TypeSource:
		return "203.0.113.0/24"
	case TypeProtocol:
		return "=udp"
	case TypeICMPType:
		return "=echo-request"
	case TypeICMPCode:
		return "=0"
	case TypeTCPFlags:
		return "=syn&!ack"
	case TypePacketLength:
		return ">=468&<=490"
	case TypeDSCP:
		return "=46"
	case TypeFragment:
		return "=is-fragment"
	case TypeFlowLabel:
		return "=12345"
	}
	return "=53|>=1024&<=2048"
}
