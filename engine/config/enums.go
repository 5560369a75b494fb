package config

// LogFormat is how a line of the log looks.
type LogFormat uint8

// The formats of the log.
const (
	LogText LogFormat = iota
	LogJSON
)

var logFormats = names{"text", "json"}

// String returns the format as the file writes it.
func (f LogFormat) String() string { return logFormats.of(int(f)) }

// Shutdown is what peers are told when ribd ends.
type Shutdown uint8

// Graceful shutdown keeps the routes of peers that negotiated it; withdraw
// takes them back first.
const (
	ShutdownGraceful Shutdown = iota
	ShutdownWithdraw
)

var shutdowns = names{"graceful", "withdraw"}

// String returns the kind as the file writes it.
func (s Shutdown) String() string { return shutdowns.of(int(s)) }

// Role is what a token may do; each holds the ones before it.
type Role uint8

// The roles of tokens.
const (
	RoleRead Role = iota
	RoleAnnounce
	RoleAdmin
)

var roles = names{"read", "announce", "admin"}

// String returns the role as the file writes it.
func (r Role) String() string { return roles.of(int(r)) }

// Mode is who opens the connection.
type Mode uint8

// The modes of a peer.
const (
	ModeBoth Mode = iota
	ModeActive
	ModePassive
)

var modes = names{"both", "active", "passive"}

// String returns the mode as the file writes it.
func (m Mode) String() string { return modes.of(int(m)) }

// SessionRole is our role towards a peer (RFC 9234).
type SessionRole uint8

// The roles of RFC 9234; RoleNone sends no role.
const (
	RoleNone SessionRole = iota
	RoleProvider
	RoleRS
	RoleRSClient
	RoleCustomer
	RolePeer
)

var sessionRoles = names{"none", "provider", "rs", "rs-client", "customer", "peer"}

// String returns the role as the file writes it.
func (r SessionRole) String() string { return sessionRoles.of(int(r)) }

// LimitAction is what happens past a limit of prefixes.
type LimitAction uint8

// The actions of max_prefixes.
const (
	LimitWarn LimitAction = iota
	LimitShutdown
	LimitRestart
)

var limitActions = names{"warn", "shutdown", "restart"}

// String returns the action as the file writes it.
func (a LimitAction) String() string { return limitActions.of(int(a)) }

// NextHop is the next hop that a peer is sent.
type NextHop uint8

// The next hops: by the RFCs' rules, always ours, or as it came.
const (
	NextHopDefault NextHop = iota
	NextHopSelf
	NextHopUnchanged
)

var nextHops = names{"default", "self", "unchanged"}

// String returns the choice as the file writes it.
func (n NextHop) String() string { return nextHops.of(int(n)) }

// FlowSpecValidation is how received Flow Spec rules are validated.
type FlowSpecValidation uint8

// The ways to validate: RFC 8955 section 6, the same with rules without a
// destination allowed, or not at all.
const (
	FlowSpecStrict FlowSpecValidation = iota
	FlowSpecNoDestination
	FlowSpecOff
)

var flowSpecValidations = names{"strict", "no-destination", "off"}

// String returns the way as the file writes it.
func (v FlowSpecValidation) String() string { return flowSpecValidations.of(int(v)) }

// FlowSpecRedirect is the form in which a peer is sent a redirect to an IP
// address of a rule that is originated here.
type FlowSpecRedirect uint8

// The forms: an extended community that holds the address
// (draft-ietf-idr-flowspec-redirect-ip), or the route's next hop with a
// community that says so (draft-simpson-idr-flowspec-redirect).
const (
	FlowSpecRedirectCommunity FlowSpecRedirect = iota
	FlowSpecRedirectNextHop
)

var flowSpecRedirects = names{"community", "next-hop"}

// String returns the form as the file writes it.
func (r FlowSpecRedirect) String() string { return flowSpecRedirects.of(int(r)) }

// Verdict is how a term ends.
type Verdict uint8

// The verdicts of a term.
const (
	Next Verdict = iota
	Accept
	Reject
)

var verdicts = names{"next", "accept", "reject"}

// String returns the verdict as the file writes it.
func (v Verdict) String() string { return verdicts.of(int(v)) }

// names holds the words of an enum, in the order of its values.
type names []string

func (n names) of(i int) string {
	if i < len(n) {
		return n[i]
	}
	return "?"
}

func (n names) index(s string) int {
	for i, w := range n {
		if w == s {
			return i
		}
	}
	return -1
}
