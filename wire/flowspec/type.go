package flowspec

import (
	"fmt"
	"strconv"
	"strings"
)

// Type is a component type (RFC 8955 section 4.2.2, RFC 8956 section 3).
type Type uint8

// The component types.
const (
	TypeDestination     Type = 1
	TypeSource          Type = 2
	TypeProtocol        Type = 3 // of IPv6 the upper-layer protocol
	TypePort            Type = 4 // source or destination
	TypeDestinationPort Type = 5
	TypeSourcePort      Type = 6
	TypeICMPType        Type = 7
	TypeICMPCode        Type = 8
	TypeTCPFlags        Type = 9
	TypePacketLength    Type = 10
	TypeDSCP            Type = 11
	TypeFragment        Type = 12
	TypeFlowLabel       Type = 13 // IPv6 only
)

// lastType is the last type that is known.
const lastType = TypeFlowLabel

var typeNames = [lastType + 1]string{
	TypeDestination: "destination", TypeSource: "source", TypeProtocol: "protocol", TypePort: "port",
	TypeDestinationPort: "destination-port", TypeSourcePort: "source-port", TypeICMPType: "icmp-type",
	TypeICMPCode: "icmp-code", TypeTCPFlags: "tcp-flags", TypePacketLength: "packet-length", TypeDSCP: "dscp",
	TypeFragment: "fragment", TypeFlowLabel: "flow-label",
}

// String returns the type's name in the text of a rule, "destination-port", or
// "type-N" for one that is not known.
func (t Type) String() string {
	if t != 0 && t <= lastType {
		return typeNames[t]
	}
	return "type-" + strconv.Itoa(int(t))
}

// typeAliases are other words for the types, which other programs use.
var typeAliases = map[string]Type{
	"dst": TypeDestination, "destination-ipv4": TypeDestination, "destination-ipv6": TypeDestination, "destination-prefix": TypeDestination,
	"src": TypeSource, "source-ipv4": TypeSource, "source-ipv6": TypeSource, "source-prefix": TypeSource,
	"next-header": TypeProtocol, "upper-layer-protocol": TypeProtocol, "ip-protocol": TypeProtocol,
	"dst-port": TypeDestinationPort, "src-port": TypeSourcePort, "dport": TypeDestinationPort, "sport": TypeSourcePort,
	"length": TypePacketLength, "traffic-class": TypeDSCP, "tcp-flag": TypeTCPFlags, "label": TypeFlowLabel,
}

// ParseType reads what String writes, with _ for - too, and the words of other
// programs: next-header, traffic-class, ….
func ParseType(s string) (Type, error) {
	if t := typeOf(s); t != 0 {
		return t, nil
	}
	return 0, fmt.Errorf("no component is called %q (destination, source, protocol, port, destination-port, source-port, "+
		"icmp-type, icmp-code, tcp-flags, packet-length, dscp, fragment, flow-label)", s)
}

// typeOf returns the type that a word names, 0 for none.
func typeOf(s string) Type {
	s = strings.ReplaceAll(strings.ToLower(s), "_", "-")
	for t := TypeDestination; t <= lastType; t++ {
		if typeNames[t] == s {
			return t
		}
	}
	return typeAliases[s]
}

// IsPrefix is true for the two types that hold a prefix.
func (t Type) IsPrefix() bool { return t == TypeDestination || t == TypeSource }

// IsBitmask is true for the two types whose operators compare bits (RFC 8955
// section 4.2.1.2); those of the others compare numbers.
func (t Type) IsBitmask() bool { return t == TypeTCPFlags || t == TypeFragment }

// maxOctets returns the most octets that RFC 8955 section 4.2.2 lets a value of
// the type have. Where it says SHOULD, 8.
func (t Type) maxOctets() int {
	switch t {
	case TypeDSCP, TypeFragment:
		return 1
	case TypeTCPFlags:
		return 2
	}
	return 8
}

// valueMask returns the bits of a value that a receiver does not ignore: RFC
// 8955 sections 4.2.2.11 and 4.2.2.12, RFC 8956 section 3.6.
func (t Type) valueMask(v6 bool) uint64 {
	switch t {
	case TypeDSCP:
		return 0x3f
	case TypeFragment:
		if v6 {
			return 0x0e
		}
		return 0x0f
	}
	return ^uint64(0)
}

// most returns the greatest value that what the type compares with can have.
func (t Type) most() uint64 {
	switch t {
	case TypeProtocol, TypeICMPType, TypeICMPCode:
		return 0xff
	case TypePort, TypeDestinationPort, TypeSourcePort, TypePacketLength:
		return 0xffff
	case TypeDSCP:
		return 0x3f
	case TypeTCPFlags:
		return 0xfff
	case TypeFragment:
		return 0x0f
	case TypeFlowLabel:
		return 0xfffff
	}
	return 0
}
