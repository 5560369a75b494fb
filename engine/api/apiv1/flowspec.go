package apiv1

import "time"

// FlowMatch is the components of a Flow Spec rule (RFC 8955 section 4.2.2, RFC
// 8956 section 3) by name, null where the rule has no such component. Prefixes
// are canonical; the rest is the operators' text, such as "=53",
// ">=1024&<=2048" or "=80|=443", and in bitmasks "=syn" or "=syn&!ack".
type FlowMatch struct {
	Destination       *string `json:"destination"`
	DestinationOffset *uint8  `json:"destination_offset"` // bits, IPv6 only; null: 0
	Source            *string `json:"source"`
	SourceOffset      *uint8  `json:"source_offset"`
	Protocol          *string `json:"protocol"` // IPv6: the upper-layer protocol
	Port              *string `json:"port"`
	DestinationPort   *string `json:"destination_port"`
	SourcePort        *string `json:"source_port"`
	ICMPType          *string `json:"icmp_type"`
	ICMPCode          *string `json:"icmp_code"`
	TCPFlags          *string `json:"tcp_flags"`
	PacketLength      *string `json:"packet_length"`
	DSCP              *string `json:"dscp"`
	Fragment          *string `json:"fragment"`
	FlowLabel         *string `json:"flow_label"` // IPv6 only
}

// FlowActions is what is done with packets that match: one rule's, or those of
// several combined. Rates are a second; 0 is discard.
type FlowActions struct {
	RateLimitBytes      *float32      `json:"rate_limit_bytes"`
	RateLimitBytesASN   *uint16       `json:"rate_limit_bytes_asn"` // informative (RFC 8955 7.1); null: 0
	RateLimitPackets    *float32      `json:"rate_limit_packets"`
	RateLimitPacketsASN *uint16       `json:"rate_limit_packets_asn"`
	Redirect            *FlowRedirect `json:"redirect"`
	MarkDSCP            *uint8        `json:"mark_dscp"`
	Sample              bool          `json:"sample"`
	// Terminal: later rules are not looked at. It is the opposite of the T bit of
	// traffic-action (RFC 8955 7.3).
	Terminal bool `json:"terminal"`
	// Unknown lists extended communities that are actions ribd does not know, as
	// 0x and hex digits.
	Unknown []string `json:"unknown"`
}

// FlowRedirect is where packets are redirected to: "rt", the routing instance
// that imports a route target (65001:1, 192.0.2.1:1, 65001L:1), or "ip", an
// address; Copy sends a copy there.
type FlowRedirect struct {
	Type  string `json:"type"`
	Value string `json:"value"`
	Copy  bool   `json:"copy"`
}

// FlowRule is one path of a Flow Spec NLRI: the rule, who sent it, and what
// came of it.
type FlowRule struct {
	ID      string      `json:"id"` // 16 hex digits
	Text    string      `json:"text"`
	NLRI    string      `json:"nlri"` // hex, with its length field
	Family  string      `json:"family"`
	RD      *string     `json:"rd"`
	PathID  *uint32     `json:"path_id"`
	Order   int         `json:"order"` // RFC 8955 section 5.1, in its family and RD, from 1
	Match   FlowMatch   `json:"match"`
	Actions FlowActions `json:"actions"`
	Peer    *string     `json:"peer"`
	PeerID  string      `json:"peer_id"`
	PeerASN uint32      `json:"peer_asn"`
	Source  string      `json:"source"`
	Attributes
	Best bool `json:"best"`
	// Valid: not found infeasible (RFC 8955 section 6, RFC 9117); InvalidReason
	// says why it was.
	Valid         bool      `json:"valid"`
	InvalidReason *string   `json:"invalid_reason"`
	Filtered      bool      `json:"filtered"`
	FilterReason  *string   `json:"filter_reason"`
	Stale         *string   `json:"stale"`
	Counters      *struct{} `json:"counters"` // null: ribd forwards no packets
	// ShadowedBy lists rules in front of it that leave it no packet.
	ShadowedBy []string   `json:"shadowed_by"`
	ReceivedAt time.Time  `json:"received_at"`
	ExpiresAt  *time.Time `json:"expires_at"`
	Peers      []string   `json:"peers"` // of a local rule: who alone may be sent it; null: all
}

// FlowRules is one page of rules. Next is the cursor of the next page, or null
// after the last.
type FlowRules struct {
	Rules []FlowRule `json:"rules"`
	Next  *string    `json:"next"`
}

// FlowPacket asks which rules a packet meets. What is left out is not known, so
// that a component which asks about it does not match; without a fragment the
// packet is none.
type FlowPacket struct {
	Src       string  `json:"src,omitempty"`
	Dst       string  `json:"dst,omitempty"`
	Protocol  any     `json:"protocol,omitempty"` // number or name
	SrcPort   *uint16 `json:"src_port,omitempty"`
	DstPort   *uint16 `json:"dst_port,omitempty"`
	ICMPType  any     `json:"icmp_type,omitempty"` // number or name
	ICMPCode  any     `json:"icmp_code,omitempty"`
	TCPFlags  any     `json:"tcp_flags,omitempty"` // number, or names: "syn" or ["syn","ack"]
	Length    *uint32 `json:"length,omitempty"`    // of the IP packet, in octets
	DSCP      any     `json:"dscp,omitempty"`
	Fragment  any     `json:"fragment,omitempty"` // number, or names: "is-fragment"
	FlowLabel *uint32 `json:"flow_label,omitempty"`
}

// FlowVerdict answers one packet. Rules are all that match, in order; those
// behind the first terminal one are Shadowed. Action, combined of the others, is
// null where none matches. DecidedBy is the last rule that applies.
type FlowVerdict struct {
	Rules     []string     `json:"rules"`
	Action    *FlowActions `json:"action"`
	DecidedBy *string      `json:"decided_by"`
	Shadowed  []string     `json:"shadowed"`
}

// FlowRuleInput is a rule that is to be originated, as text.
type FlowRuleInput struct {
	Text string `json:"text,omitempty"`
	PathInput
}

// FlowAnnounced answers a rule that was announced.
type FlowAnnounced struct {
	ID        string       `json:"id"`
	Text      string       `json:"text"`
	NLRI      string       `json:"nlri"` // hex
	Family    string       `json:"family"`
	RD        *string      `json:"rd"`
	PathID    *uint32      `json:"path_id"`
	AttrsID   uint32       `json:"attrs_id"`
	ExpiresAt *time.Time   `json:"expires_at"`
	Peers     []PeerAnswer `json:"peers"`
}
