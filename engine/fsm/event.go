package fsm

import (
	"strconv"
	"time"

	"ribd/wire"
)

// EventKind is an event; the numbers up to 28 are those of RFC 4271 section
// 8.1, 29 is that of RFC 9687.
type EventKind uint8

// The events.
const (
	EventManualStart                 EventKind = 1
	EventManualStop                  EventKind = 2 // disabled: Notification is sent, and the machine stays in Idle
	EventAutomaticStart              EventKind = 3
	EventManualStartPassive          EventKind = 4
	EventAutomaticStartPassive       EventKind = 5
	EventAutomaticStartDamped        EventKind = 6
	EventAutomaticStartDampedPassive EventKind = 7
	EventAutomaticStop               EventKind = 8 // reset, limit of prefixes: Notification is sent, Restart says what follows
	EventConnectRetryExpires         EventKind = 9
	EventHoldExpires                 EventKind = 10
	EventKeepaliveExpires            EventKind = 11
	EventDelayOpenExpires            EventKind = 12
	EventIdleHoldExpires             EventKind = 13
	EventTCPValid                    EventKind = 14 // a connection request that may be taken; it says nothing yet
	EventTCPInvalid                  EventKind = 15 // a connection request that must not be taken
	EventTCPAcked                    EventKind = 16 // a connection that we made
	EventTCPConfirmed                EventKind = 17 // a connection that came in
	EventTCPFails                    EventKind = 18 // the machine's connection ended, or could not be made
	EventOpen                        EventKind = 19 // Negotiated holds what it leads to
	EventOpenDelayed                 EventKind = 20 // the same while DelayOpenTimer runs; EventOpen will do too
	EventHeaderError                 EventKind = 21 // Notification is sent
	EventOpenError                   EventKind = 22 // Notification is sent
	EventCollisionDump               EventKind = 23
	EventNotificationVersion         EventKind = 24 // a NOTIFICATION of a wrong version; EventNotification will do too
	EventNotification                EventKind = 25 // Notification came
	EventKeepalive                   EventKind = 26
	EventUpdate                      EventKind = 27
	EventUpdateError                 EventKind = 28 // Notification is sent
	EventSendHoldExpires             EventKind = 29
	EventRouteRefresh                EventKind = 30 // ours: a ROUTE-REFRESH
	EventRouteRefreshError           EventKind = 31 // ours: a malformed one (RFC 7313); Notification is sent
	EventStableExpires               EventKind = 32 // ours: TimerStable
)

// NumEvents is one more than the last event.
const NumEvents = 33

var eventNames = [NumEvents]string{
	EventManualStart:                 "started",
	EventManualStop:                  "disabled",
	EventAutomaticStart:              "started automatically",
	EventManualStartPassive:          "started, passive",
	EventAutomaticStartPassive:       "started automatically, passive",
	EventAutomaticStartDamped:        "started automatically",
	EventAutomaticStartDampedPassive: "started automatically, passive",
	EventAutomaticStop:               "stopped",
	EventConnectRetryExpires:         "connect retry timer expired",
	EventHoldExpires:                 "hold timer expired",
	EventKeepaliveExpires:            "keepalive timer expired",
	EventDelayOpenExpires:            "delay open timer expired",
	EventIdleHoldExpires:             "idle hold timer expired",
	EventTCPValid:                    "connection request",
	EventTCPInvalid:                  "invalid connection request",
	EventTCPAcked:                    "connected",
	EventTCPConfirmed:                "connection accepted",
	EventTCPFails:                    "connection failed",
	EventOpen:                        "OPEN received",
	EventOpenDelayed:                 "OPEN received",
	EventHeaderError:                 "malformed message header",
	EventOpenError:                   "OPEN refused",
	EventCollisionDump:               "connection collision",
	EventNotificationVersion:         "notification received",
	EventNotification:                "notification received",
	EventKeepalive:                   "keepalive received",
	EventUpdate:                      "update received",
	EventUpdateError:                 "malformed update",
	EventSendHoldExpires:             "send hold timer expired",
	EventRouteRefresh:                "route refresh received",
	EventRouteRefreshError:           "malformed route refresh",
	EventStableExpires:               "session is stable",
}

// String says in words what the event is.
func (k EventKind) String() string {
	if int(k) < len(eventNames) && eventNames[k] != "" {
		return eventNames[k]
	}
	return "event-" + strconv.Itoa(int(k))
}

// Event is what happens to a machine.
type Event struct {
	Kind EventKind
	// Notification is what came (EventNotification), or what is to be sent for a
	// stop or an error. A stop without one sends a Cease that says what it is.
	Notification *wire.Notification
	// Negotiated is what an OPEN leads to.
	Negotiated *Negotiated
	// Restart is how long EventAutomaticStop keeps the machine in Idle: Never,
	// until it is started; 0, as long as damping says.
	Restart time.Duration
	// Graceful makes a stop one that the peer may take for a restart: the
	// connection ends without a NOTIFICATION where one would cost the routes
	// (RFC 4724), and without Hard Reset (RFC 8538).
	Graceful bool
	// Cause says more: an error of the transport, who disabled the peer.
	Cause string
}

// Never is the Restart of a stop that lasts.
const Never time.Duration = -1

// Reason says in a line why a state changes. Of a stop it says what for, since
// the NOTIFICATION is of our making.
func (e *Event) Reason() string {
	s, n := e.Kind.String(), e.Notification
	switch {
	case e.Kind == EventManualStop || e.Kind == EventAutomaticStop:
		if e.Cause != "" {
			return e.Cause
		}
		if n == nil {
			return s
		}
		if text := n.Text(); text != "" {
			return s + ": " + text
		}
		return s + ": " + n.Name()
	case n != nil:
		s += ": " + n.String()
	}
	if e.Cause != "" {
		s += ": " + e.Cause
	}
	return s
}

// ActionKind is what is to be done.
type ActionKind uint8

// The actions. They are due in the order that Step returns them in.
const (
	// ActConnect makes a connection; it leads to EventTCPAcked or EventTCPFails.
	ActConnect ActionKind = iota + 1
	// ActAdopt takes the connection of the event as the machine's own.
	ActAdopt
	// ActTrack gives the connection of the event to a second machine, or closes
	// it where there is one already.
	ActTrack
	// ActRefuse closes the connection of the event.
	ActRefuse
	// ActDrop closes the machine's connection, once what is to be sent is sent,
	// and gives up an attempt to make one.
	ActDrop
	// ActSendOpen sends our OPEN.
	ActSendOpen
	// ActSendKeepalive sends a KEEPALIVE.
	ActSendKeepalive
	// ActSendNotification sends Notification.
	ActSendNotification
	// ActStartTimer starts Timer, anew where it runs, to end after After.
	ActStartTimer
	// ActStopTimer stops Timer.
	ActStopTimer
	// ActUp: the session is established, routes may flow.
	ActUp
	// ActDown: the session is over. Retain: its routes are kept as stale for the
	// families that graceful restart covers (RFC 4724 section 4.2).
	ActDown
	// ActDeliver takes the UPDATE or ROUTE-REFRESH of the event.
	ActDeliver
)

var actionNames = [...]string{
	ActConnect: "connect", ActAdopt: "adopt", ActTrack: "track", ActRefuse: "refuse", ActDrop: "drop",
	ActSendOpen: "send-open", ActSendKeepalive: "send-keepalive", ActSendNotification: "send-notification",
	ActStartTimer: "start", ActStopTimer: "stop", ActUp: "up", ActDown: "down", ActDeliver: "deliver",
}

// String returns the action's name.
func (k ActionKind) String() string {
	if int(k) < len(actionNames) && actionNames[k] != "" {
		return actionNames[k]
	}
	return "action-" + strconv.Itoa(int(k))
}

// Action is one thing that is to be done.
type Action struct {
	Kind         ActionKind
	Timer        Timer             // ActStartTimer, ActStopTimer
	After        time.Duration     // ActStartTimer
	Exact        bool              // ActStartTimer: After is not to be made shorter by chance
	Retain       bool              // ActDown
	Notification wire.Notification // ActSendNotification
}

// String returns the action in a few words.
func (a Action) String() string {
	switch a.Kind {
	case ActStartTimer:
		return a.Kind.String() + " " + a.Timer.String() + " " + a.After.String()
	case ActStopTimer:
		return a.Kind.String() + " " + a.Timer.String()
	case ActSendNotification:
		return a.Kind.String() + " " + strconv.Itoa(int(a.Notification.Code)) + "/" + strconv.Itoa(int(a.Notification.Subcode))
	case ActDown:
		if a.Retain {
			return "down retain"
		}
	}
	return a.Kind.String()
}
