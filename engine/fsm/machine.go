package fsm

import (
	"strconv"
	"time"
)

// State is a state of RFC 4271 section 8.2.2.
type State uint8

// The states.
const (
	Idle State = iota
	Connect
	Active
	OpenSent
	OpenConfirm
	Established
)

// NumStates is the count of states.
const NumStates = 6

// String returns the state's name in the API.
func (s State) String() string {
	switch s {
	case Idle:
		return "idle"
	case Connect:
		return "connect"
	case Active:
		return "active"
	case OpenSent:
		return "open-sent"
	case OpenConfirm:
		return "open-confirm"
	case Established:
		return "established"
	}
	return "state-" + strconv.Itoa(int(s))
}

// Settings is what a machine needs to know of a peer's configuration. It may
// be shared and must not change while a machine holds it.
type Settings struct {
	// Passive: connections are never made, only taken.
	Passive bool
	// Active: connections are only made, never taken. A second connection is
	// refused too.
	Active bool
	// OpenHoldTime is the large hold time until the OPEN has come.
	OpenHoldTime time.Duration
	// SendHoldTime is RFC 9687's; 0 is off. It is made twice the negotiated hold
	// time where it is shorter than that, and is off where the hold time is 0.
	SendHoldTime time.Duration
	// ConnectRetryMin is the time between the first two attempts to connect; it
	// doubles up to ConnectRetry.
	ConnectRetryMin, ConnectRetry time.Duration
	// DelayOpen is how long OPEN waits for that of the peer; 0 is off.
	DelayOpen time.Duration
	// IdleHoldMin is the first time in Idle after an error; it doubles up to
	// IdleHoldMax. 0: the machine stays in Idle until it is started.
	IdleHoldMin, IdleHoldMax time.Duration
	// StableTime is how long a session stands until earlier errors are forgotten.
	StableTime time.Duration
}

// DefaultSettings returns the times that a peer has unless configured.
func DefaultSettings() Settings {
	return Settings{
		OpenHoldTime:    4 * time.Minute,
		SendHoldTime:    8 * time.Minute,
		ConnectRetryMin: time.Second,
		ConnectRetry:    2 * time.Minute,
		IdleHoldMin:     time.Second,
		IdleHoldMax:     2 * time.Minute,
		StableTime:      5 * time.Minute,
	}
}

// Timer is a kind of timer (RFC 4271 section 8, RFC 9687).
type Timer uint8

// The timers.
const (
	TimerConnectRetry Timer = iota
	TimerHold
	TimerKeepalive
	TimerDelayOpen
	TimerIdleHold
	TimerSendHold // starts anew whenever octets of a message were taken by the transport: the caller sees to it
	TimerStable   // ours: a session has stood long enough
)

// NumTimers is the count of kinds of timers.
const NumTimers = 7

// String returns the timer's name.
func (t Timer) String() string {
	switch t {
	case TimerConnectRetry:
		return "connect-retry"
	case TimerHold:
		return "hold"
	case TimerKeepalive:
		return "keepalive"
	case TimerDelayOpen:
		return "delay-open"
	case TimerIdleHold:
		return "idle-hold"
	case TimerSendHold:
		return "send-hold"
	case TimerStable:
		return "stable"
	}
	return "timer-" + strconv.Itoa(int(t))
}

// Jittered is true where the time is to be made shorter by chance, with Jitter
// (RFC 4271 section 10).
func (t Timer) Jittered() bool {
	return t == TimerConnectRetry || t == TimerKeepalive || t == TimerDelayOpen || t == TimerIdleHold
}

// Expires returns the event that the end of the timer is.
func (t Timer) Expires() EventKind {
	switch t {
	case TimerConnectRetry:
		return EventConnectRetryExpires
	case TimerHold:
		return EventHoldExpires
	case TimerKeepalive:
		return EventKeepaliveExpires
	case TimerDelayOpen:
		return EventDelayOpenExpires
	case TimerIdleHold:
		return EventIdleHoldExpires
	case TimerSendHold:
		return EventSendHoldExpires
	case TimerStable:
		return EventStableExpires
	}
	panic("BUG: no such timer: " + t.String())
}

// Jitter returns d times 0.75 to 1, where r, a random number, says how much
// (RFC 4271 section 10).
func Jitter(d time.Duration, r uint32) time.Duration {
	return d - time.Duration(uint64(d/4)*uint64(r>>16)>>16)
}

// Machine is the state of one connection and of the attempts to have it. It is
// a value: Step returns a new one. It is comparable.
type Machine struct {
	set       *Settings
	state     State
	second    bool  // of a second connection: ends in Idle
	delaying  bool  // a connection is there, and DelayOpenTimer runs
	waits     bool  // the last start was one with PassiveTcpEstablishment
	damping   uint8 // times that IdleHoldTimer has doubled
	retries   uint8 // times that ConnectRetryTimer has doubled
	counter   uint32
	hold      time.Duration // negotiated
	keepalive time.Duration
	retain    bool // routes of the peer outlive the session (RFC 4724)
	retained  bool // and ours do at the peer
	notify    bool // so with a NOTIFICATION (RFC 8538)
}

// New returns the machine of a peer, in Idle.
func New(s *Settings) Machine { return Machine{set: s} }

// NewSecond returns the machine of a second connection. It waits in Active for
// the event that the connection is: EventTCPAcked or EventTCPConfirmed.
func NewSecond(s *Settings) Machine { return Machine{set: s, state: Active, second: true} }

// State returns the machine's state.
func (m *Machine) State() State { return m.state }

// Second is true for a machine of a second connection.
func (m *Machine) Second() bool { return m.second }

// ConnectRetryCounter counts the errors since the last manual start or stop
// (RFC 4271 section 8).
func (m *Machine) ConnectRetryCounter() uint32 { return m.counter }

// Connected is true where the machine has a connection of its own.
func (m *Machine) Connected() bool { return m.state >= OpenSent || m.delaying }

// Use makes the machine go on with other settings.
func (m *Machine) Use(s *Settings) { m.set = s }

// StartKind returns the event that starts the machine as it is configured.
func (s *Settings) StartKind(manual bool) EventKind {
	switch {
	case manual && s.Passive:
		return EventManualStartPassive
	case manual:
		return EventManualStart
	case s.IdleHoldMin > 0 && s.Passive:
		return EventAutomaticStartDampedPassive
	case s.IdleHoldMin > 0:
		return EventAutomaticStartDamped
	case s.Passive:
		return EventAutomaticStartPassive
	}
	return EventAutomaticStart
}
