package apiv1

import "time"

// Peer is a peer: a session, or one that a dump told of. What only a session
// has is null, zero or empty for the other kind.
type Peer struct {
	ID                   string            `json:"id"`
	Address              *string           `json:"address"`
	Port                 *uint16           `json:"port"` // where it listens
	Name                 *string           `json:"name"`
	Description          *string           `json:"description"`
	Group                *string           `json:"group"`
	Source               string            `json:"source"` // bgp, mrt, bmp
	Collector            *string           `json:"collector"`
	ASN                  uint32            `json:"asn"` // 0: any, and none is known yet
	RouterID             *string           `json:"router_id"`
	Local                *PeerLocal        `json:"local"`
	DynamicRange         *string           `json:"dynamic_range"`
	ConfiguredBy         *string           `json:"configured_by"` // file, api, range; null for what a dump told of
	Type                 string            `json:"type"`          // external, internal
	Role                 *PeerRole         `json:"role"`
	Enabled              bool              `json:"enabled"`
	State                string            `json:"state"` // loaded, for a peer of a dump
	Since                *time.Time        `json:"since"`
	Reason               *string           `json:"reason"` // of the last change of state
	Flaps                uint64            `json:"flaps"`  // how often it left established
	LastDown             *PeerDown         `json:"last_down"`
	NextConnectAt        *time.Time        `json:"next_connect_at"`
	Import               *string           `json:"import"` // null: none is configured
	Export               *string           `json:"export"`
	RouteServerClient    bool              `json:"route_server_client"`
	RouteReflectorClient bool              `json:"route_reflector_client"`
	Timers               *PeerTimers       `json:"timers"`
	Capabilities         []Capability      `json:"capabilities"` // all that either end named
	Families             []PeerFamily      `json:"families"`
	Messages             *PeerMessages     `json:"messages"`
	Errors               *PeerErrors       `json:"errors"`
	LastNotification     *PeerNotification `json:"last_notification"`
	History              []PeerChange      `json:"history"` // oldest first, 64 at most
	Transport            *PeerTransport    `json:"transport"`
}

// PeerDown is when and why a session was lost the last time: what a session that
// is called in vain ever since has pushed out of its history.
type PeerDown struct {
	At     time.Time `json:"at"`
	Reason string    `json:"reason"`
}

// PeerLocal is our end of a session.
type PeerLocal struct {
	Address  *string `json:"address"` // null: not connected, and none is configured
	Port     *uint16 `json:"port"`
	ASN      uint32  `json:"asn"`
	RouterID *string `json:"router_id"`
}

// PeerRole is the two ends' roles (RFC 9234): provider, rs, rs-client, customer
// or peer.
type PeerRole struct {
	Local  *string `json:"local"`
	Remote *string `json:"remote"`
}

// PeerTimers are seconds.
type PeerTimers struct {
	Hold         HoldTime `json:"hold"`
	Keepalive    *uint32  `json:"keepalive"` // null: not established
	SendHold     *uint32  `json:"send_hold"` // null: off
	ConnectRetry uint32   `json:"connect_retry"`
}

// HoldTime is the hold time of both ends in seconds; 0 is none.
type HoldTime struct {
	Configured uint32  `json:"configured"`
	Received   *uint32 `json:"received"`
	Negotiated *uint32 `json:"negotiated"`
}

// Capability is one capability of an OPEN, at both ends and what came of it.
// Each of the three is null where there is nothing; true for a flag; a number, a
// text, a list or an object where it says more; and hex where ribd does not know
// the capability.
type Capability struct {
	Code       uint8  `json:"code"`
	Name       string `json:"name"` // unknown
	Sent       any    `json:"sent"`
	Received   any    `json:"received"`
	Negotiated any    `json:"negotiated"`
}

// PeerFamily tells of one family of a peer, over all its route distinguishers.
type PeerFamily struct {
	Family          string         `json:"family"`
	Negotiated      *bool          `json:"negotiated"` // null: no session, or not established
	AddPath         *AddPath       `json:"add_path"`
	Prefixes        int64          `json:"prefixes"`
	Received        int64          `json:"received"` // paths, filtered ones too
	Accepted        int64          `json:"accepted"`
	Filtered        int64          `json:"filtered"`
	Best            int64          `json:"best"` // of the prefixes: those of which it has the best path
	Advertised      int64          `json:"advertised"`
	Stale           int64          `json:"stale"`
	PrefixLimit     *PrefixLimit   `json:"prefix_limit"`
	EndOfRIB        *EndOfRIB      `json:"end_of_rib"`
	GracefulRestart *FamilyRestart `json:"graceful_restart"`
}

// AddPath is what was negotiated of Add-Path (RFC 7911), from our side.
type AddPath struct {
	Receive bool `json:"receive"`
	Send    bool `json:"send"`
}

// PrefixLimit is max_prefixes of a family.
type PrefixLimit struct {
	Limit        uint32  `json:"limit"`
	Warn         *uint32 `json:"warn"`
	Action       string  `json:"action"`        // warn, shutdown, restart
	RestartAfter *uint32 `json:"restart_after"` // seconds
	State        string  `json:"state"`         // ok, warned, exceeded
}

// EndOfRIB is when the first End-of-RIB of the session came and went.
type EndOfRIB struct {
	Received *time.Time `json:"received"`
	Sent     *time.Time `json:"sent"`
}

// FamilyRestart is graceful restart of a family (RFC 4724, 9494) as the peer
// asked for it, and how long what it left is kept.
type FamilyRestart struct {
	Forwarding    bool       `json:"forwarding"`      // the peer kept its forwarding state over its restart
	RestartTime   uint32     `json:"restart_time"`    // seconds
	LLGRStaleTime *uint32    `json:"llgr_stale_time"` // seconds; null: no LLGR
	Stale         *string    `json:"stale"`           // gr, llgr: paths are kept now
	StaleUntil    *time.Time `json:"stale_until"`
}

// PeerMessages counts messages since the peer was configured.
type PeerMessages struct {
	Received     MessageCounts `json:"received"`
	Sent         MessageCounts `json:"sent"`
	LastReceived *time.Time    `json:"last_received"`
	LastSent     *time.Time    `json:"last_sent"`
}

// MessageCounts counts messages by type; Withdraws are routes.
type MessageCounts struct {
	Open         uint64 `json:"open"`
	Update       uint64 `json:"update"`
	Keepalive    uint64 `json:"keepalive"`
	Notification uint64 `json:"notification"`
	RouteRefresh uint64 `json:"route_refresh"`
	Withdraws    uint64 `json:"withdraws"`
}

// PeerErrors counts malformed UPDATEs by what RFC 7606 asked for.
type PeerErrors struct {
	TreatAsWithdraw  uint64     `json:"treat_as_withdraw"`
	AttributeDiscard uint64     `json:"attribute_discard"`
	FamilyDisabled   uint64     `json:"family_disabled"`
	Last             *PeerError `json:"last"`
}

// PeerError is one malformed message.
type PeerError struct {
	At      time.Time `json:"at"`
	Action  string    `json:"action"` // attribute-discard, treat-as-withdraw, disable-family, session-reset
	Text    string    `json:"text"`   // the whole of it in one line
	RFC     *string   `json:"rfc"`    // the section that was broken
	Offset  *int      `json:"offset"` // of the fault in data, in octets
	Data    string    `json:"data"`   // the message, or its start, header included: hex
	Decoded []string  `json:"decoded"`
}

// PeerNotification holds the last NOTIFICATION each way.
type PeerNotification struct {
	Received *Notification `json:"received"`
	Sent     *Notification `json:"sent"`
}

// Notification is a NOTIFICATION, decoded.
type Notification struct {
	Code    uint8     `json:"code"`
	Subcode uint8     `json:"subcode"`
	Name    string    `json:"name"`
	Message *string   `json:"message"` // of a shutdown communication (RFC 9003)
	Data    string    `json:"data"`    // hex
	Decoded *string   `json:"decoded"` // what the data say
	At      time.Time `json:"at"`
}

// PeerChange is one change of state.
type PeerChange struct {
	At     time.Time `json:"at"`
	From   string    `json:"from"`
	To     string    `json:"to"`
	Reason string    `json:"reason"`
}

// PeerTransport is the TCP connection and what it is protected by.
type PeerTransport struct {
	MD5          bool    `json:"md5"`
	TTLSecurity  *uint8  `json:"ttl_security"` // hops; null: off
	MSS          *uint32 `json:"mss"`          // null: not connected
	SendQueue    uint64  `json:"send_queue"`   // octets
	ReceiveQueue uint64  `json:"receive_queue"`
	BytesIn      uint64  `json:"bytes_in"`
	BytesOut     uint64  `json:"bytes_out"`
}

// Peers answers GET /api/v1/peers.
type Peers struct {
	Peers []Peer  `json:"peers"`
	Next  *string `json:"next"`
}

// ConfigDiff answers GET /api/v1/config/diff: what a reload would change.
type ConfigDiff struct {
	File    string         `json:"file"`
	Changes []ConfigChange `json:"changes"`
}

// Reload answers POST /api/v1/reload: what was changed.
type Reload struct {
	ConfigDiff
	At time.Time `json:"at"`
}

// ConfigChange is one thing that differs between what runs and the file.
type ConfigChange struct {
	Section string      `json:"section"` // the key at the top of the file: peers, policies, log, …
	Name    *string     `json:"name"`    // of the peer, policy, prefix set, …
	Change  string      `json:"change"`  // added, removed, changed
	Effect  string      `json:"effect"`  // live, reset, restart
	Keys    []ConfigKey `json:"keys"`    // of what is changed
	Peers   []string    `json:"peers"`   // addresses or ranges of the sessions that it concerns
}

// ConfigKey is one key with its values as a file would have them; secrets are
// never among them. Null stands for a key that is not there.
type ConfigKey struct {
	Key string  `json:"key"`
	Old *string `json:"old"`
	New *string `json:"new"`
}

// ConfigProblem is one complaint about a file. Line and column count from 1; 0
// where it is of the whole file.
type ConfigProblem struct {
	File   string `json:"file"`
	Line   int    `json:"line"`
	Column int    `json:"column"`
	Text   string `json:"text"`
}
