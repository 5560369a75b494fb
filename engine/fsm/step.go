package fsm

import (
	"time"

	"ribd/wire"
)

// Step takes a machine and an event to the machine after it, and appends what
// is to be done to acts.
func Step(m Machine, e Event, acts []Action) (Machine, []Action) {
	s := stepper{Machine: m, e: e, acts: acts, first: len(acts)}
	if e.Kind == EventTCPInvalid {
		s.do(ActRefuse)
		return m, s.acts
	}
	switch m.state {
	case Idle:
		s.idle()
	case Connect, Active:
		s.connecting()
	case OpenSent:
		s.openSent()
	case OpenConfirm:
		s.openConfirm()
	case Established:
		s.established()
	}
	return s.Machine, s.acts
}

// stepper is one step under way.
type stepper struct {
	Machine
	e     Event
	acts  []Action
	first int // of acts, that is this step's
}

func (s *stepper) do(k ActionKind) { s.acts = append(s.acts, Action{Kind: k}) }

func (s *stepper) start(t Timer, after time.Duration) {
	s.acts = append(s.acts, Action{Kind: ActStartTimer, Timer: t, After: after})
}

func (s *stepper) stop(t Timer) {
	s.acts = append(s.acts, Action{Kind: ActStopTimer, Timer: t})
}

func (s *stepper) notification(n wire.Notification) {
	s.acts = append(s.acts, Action{Kind: ActSendNotification, Notification: n})
}

// sends returns the NOTIFICATION of the event, or else one of the codes given.
func (s *stepper) sends(code, subcode uint8) wire.Notification {
	if n := s.e.Notification; n != nil {
		return *n
	}
	return wire.Notification{Code: code, Subcode: subcode}
}

// doubled returns least, doubled times times, but no more than most.
func doubled(least, most time.Duration, times uint8) time.Duration {
	for ; times > 0 && least < most; times-- {
		least = min(2*least, most)
	}
	return least
}

// idle is the Idle state: connections are refused. A second machine stays in
// it.
func (s *stepper) idle() {
	if k := s.e.Kind; s.second && k != EventTCPAcked && k != EventTCPConfirmed {
		return
	}
	switch s.e.Kind {
	case EventManualStart, EventAutomaticStart, EventAutomaticStartDamped:
		s.begin(false)
	case EventManualStartPassive, EventAutomaticStartPassive, EventAutomaticStartDampedPassive:
		s.begin(true)
	case EventIdleHoldExpires:
		s.begin(s.waits)
	case EventManualStop:
		s.damping, s.retries, s.counter = 0, 0, 0
		s.stop(TimerIdleHold)
	case EventAutomaticStop:
		switch {
		case s.e.Restart < 0:
			s.stop(TimerIdleHold)
		case s.e.Restart > 0:
			s.acts = append(s.acts, Action{Kind: ActStartTimer, Timer: TimerIdleHold, After: s.e.Restart, Exact: true})
		}
	case EventTCPAcked, EventTCPConfirmed:
		s.do(ActRefuse)
	}
}

// begin leaves Idle: to Active where connections are waited for, else to
// Connect.
func (s *stepper) begin(wait bool) {
	s.waits = wait
	switch s.e.Kind {
	case EventManualStart, EventManualStartPassive, EventAutomaticStart, EventAutomaticStartPassive:
		s.damping, s.counter = 0, 0
	}
	s.retries = 0
	s.stop(TimerIdleHold)
	if wait || s.set.Passive {
		s.listen()
		return
	}
	s.connect()
}

// connect makes a connection, and listens.
func (s *stepper) connect() {
	s.state = Connect
	s.start(TimerConnectRetry, s.set.ConnectRetry)
	s.do(ActConnect)
}

// listen waits in Active for a connection, or for the next attempt to make
// one.
func (s *stepper) listen() {
	s.state = Active
	if s.set.Passive {
		s.stop(TimerConnectRetry)
		return
	}
	after := doubled(s.set.ConnectRetryMin, s.set.ConnectRetry, s.retries)
	if after < s.set.ConnectRetry {
		s.retries++
	}
	s.start(TimerConnectRetry, after)
}

// connecting is the states Connect and Active: they differ in what the end of
// ConnectRetryTimer and a failed connection mean.
func (s *stepper) connecting() {
	switch s.e.Kind {
	case EventManualStart, EventAutomaticStart, EventManualStartPassive, EventAutomaticStartPassive,
		EventAutomaticStartDamped, EventAutomaticStartDampedPassive, EventTCPValid, EventStableExpires:
	case EventManualStop:
		s.end(endManual)
	case EventAutomaticStop:
		s.end(endAutomatic)
	case EventConnectRetryExpires:
		s.retry()
	case EventDelayOpenExpires:
		if !s.delaying {
			s.end(endError)
			return
		}
		s.sendOpen()
	case EventTCPAcked, EventTCPConfirmed:
		s.connected()
	case EventTCPFails:
		s.failed()
	case EventOpen, EventOpenDelayed:
		if !s.delaying || s.e.Negotiated == nil {
			s.end(endError)
			return
		}
		s.stop(TimerDelayOpen)
		s.delaying = false
		s.do(ActSendOpen)
		s.confirm()
	case EventNotification, EventNotificationVersion:
		if s.delaying {
			s.end(endPeer)
			return
		}
		s.end(endError)
	default:
		s.end(endError)
	}
}

// retry answers the end of ConnectRetryTimer.
func (s *stepper) retry() {
	if s.state == Active && (s.delaying || s.second || s.set.Passive) {
		return // nothing is to be made: only a timer that runs late gets here
	}
	if s.state == Connect {
		s.do(ActDrop)
		if s.delaying {
			s.delaying = false
			s.stop(TimerDelayOpen)
		}
	}
	if s.set.Passive { // since the last attempt
		s.listen()
		return
	}
	s.connect()
}

// connected takes the connection of the event.
func (s *stepper) connected() {
	switch {
	case s.refuses():
		s.do(ActRefuse)
		return
	case s.delaying:
		s.do(ActTrack)
		return
	}
	s.do(ActAdopt)
	s.stop(TimerConnectRetry)
	if s.set.DelayOpen > 0 {
		s.delaying = true
		s.start(TimerDelayOpen, s.set.DelayOpen)
		return
	}
	s.sendOpen()
}

// refuses is true for a connection that came in where none may.
func (s *stepper) refuses() bool { return s.set.Active && s.e.Kind == EventTCPConfirmed }

// sendOpen goes to OpenSent.
func (s *stepper) sendOpen() {
	if s.delaying {
		s.delaying = false
		s.stop(TimerDelayOpen)
	}
	s.do(ActSendOpen)
	s.start(TimerHold, s.set.OpenHoldTime)
	s.state = OpenSent
}

// failed answers a connection that could not be made, or that broke while OPEN
// was delayed.
func (s *stepper) failed() {
	if s.second || s.state == Active {
		s.end(endError)
		return
	}
	if s.delaying {
		s.delaying = false
		s.stop(TimerDelayOpen)
	}
	s.do(ActDrop)
	s.listen()
}

// openSent is the OpenSent state: our OPEN is out.
func (s *stepper) openSent() {
	switch s.e.Kind {
	case EventManualStart, EventAutomaticStart, EventManualStartPassive, EventAutomaticStartPassive,
		EventAutomaticStartDamped, EventAutomaticStartDampedPassive, EventTCPValid, EventStableExpires:
	case EventTCPAcked, EventTCPConfirmed:
		s.track()
	case EventTCPFails:
		if s.second {
			s.end(endError)
			return
		}
		s.stop(TimerHold)
		s.do(ActDrop)
		s.listen()
	case EventOpen:
		if s.e.Negotiated == nil {
			s.fault(0)
			return
		}
		s.confirm()
	case EventKeepalive, EventUpdate, EventUpdateError, EventRouteRefresh, EventRouteRefreshError:
		s.fault(wire.SubUnexpectedInOpenSent)
	default:
		s.common()
	}
}

// confirm takes the OPEN that came: to OpenConfirm.
func (s *stepper) confirm() {
	n := s.e.Negotiated
	s.hold, s.keepalive = n.HoldTime, n.Keepalive
	s.retain, s.retained, s.notify = !n.Graceful.Families.Empty(), n.Graceful.ByPeer, n.Graceful.Notification
	s.stop(TimerConnectRetry)
	s.do(ActSendKeepalive)
	if s.hold > 0 {
		s.start(TimerKeepalive, s.keepalive)
		s.start(TimerHold, s.hold)
	} else {
		s.stop(TimerHold)
	}
	s.state = OpenConfirm
}

// openConfirm is the OpenConfirm state: the first KEEPALIVE is waited for.
func (s *stepper) openConfirm() {
	switch s.e.Kind {
	case EventManualStart, EventAutomaticStart, EventManualStartPassive, EventAutomaticStartPassive,
		EventAutomaticStartDamped, EventAutomaticStartDampedPassive, EventTCPValid, EventStableExpires:
	case EventTCPAcked, EventTCPConfirmed:
		s.track()
	case EventTCPFails:
		s.end(endError)
	case EventKeepaliveExpires:
		s.sendKeepalive()
	case EventKeepalive:
		s.establish()
	case EventOpen, EventOpenDelayed, EventUpdate, EventUpdateError, EventRouteRefresh, EventRouteRefreshError:
		s.fault(wire.SubUnexpectedInOpenConfirm)
	default:
		s.common()
	}
}

// sendKeepalive answers the end of KeepaliveTimer.
func (s *stepper) sendKeepalive() {
	if s.keepalive > 0 {
		s.do(ActSendKeepalive)
		s.start(TimerKeepalive, s.keepalive)
	}
}

func (s *stepper) establish() {
	s.alive()
	if s.set.SendHoldTime > 0 && s.hold > 0 {
		s.start(TimerSendHold, max(s.set.SendHoldTime, 2*s.hold))
	}
	if s.damping > 0 {
		s.start(TimerStable, s.set.StableTime)
	}
	s.retries = 0
	s.state = Established
	s.do(ActUp)
}

// alive starts HoldTimer anew.
func (s *stepper) alive() {
	if s.hold > 0 {
		s.start(TimerHold, s.hold)
	}
}

// established is the Established state: routes flow.
func (s *stepper) established() {
	switch s.e.Kind {
	case EventManualStart, EventAutomaticStart, EventManualStartPassive, EventAutomaticStartPassive,
		EventAutomaticStartDamped, EventAutomaticStartDampedPassive, EventTCPValid:
	case EventTCPAcked:
		s.track()
	case EventTCPConfirmed:
		s.again()
	case EventTCPFails:
		s.end(endPeer)
	case EventKeepaliveExpires:
		s.sendKeepalive()
	case EventKeepalive:
		s.alive()
	case EventUpdate, EventRouteRefresh:
		s.alive()
		s.do(ActDeliver)
	case EventUpdateError:
		s.notification(s.sends(wire.CodeUpdate, 0))
		s.end(endError)
	case EventRouteRefreshError:
		s.notification(s.sends(wire.CodeRouteRefresh, wire.SubInvalidRefreshLength))
		s.end(endError)
	case EventSendHoldExpires:
		s.notification(wire.Notification{Code: wire.CodeSendHold})
		s.end(endError)
	case EventStableExpires:
		s.damping = 0
	case EventOpen, EventOpenDelayed, EventOpenError:
		s.fault(wire.SubUnexpectedInEstablished)
	default:
		s.common()
	}
}

// again answers a connection that comes in while a session stands. A peer that
// restarts gracefully has lost the one before (RFC 4724 section 5).
func (s *stepper) again() {
	if s.refuses() || !s.retain {
		s.track()
		return
	}
	s.stopAll()
	s.acts = append(s.acts, Action{Kind: ActDown, Retain: true})
	s.do(ActDrop)
	s.do(ActAdopt)
	s.state = Active
	if s.set.DelayOpen > 0 {
		s.delaying = true
		s.start(TimerDelayOpen, s.set.DelayOpen)
		return
	}
	s.sendOpen()
}

// track gives a second connection to a second machine.
func (s *stepper) track() {
	if s.refuses() {
		s.do(ActRefuse)
		return
	}
	s.do(ActTrack)
}

// common is what the states with an OPEN sent have in common.
func (s *stepper) common() {
	switch s.e.Kind {
	case EventManualStop:
		s.notification(s.cease(wire.CeaseAdminShutdown))
		s.end(endManual)
	case EventAutomaticStop:
		s.notification(s.cease(wire.CeaseAdminReset))
		s.end(endAutomatic)
	case EventHoldExpires:
		s.notification(wire.Notification{Code: wire.CodeHoldTimer})
		s.end(endError)
	case EventHeaderError:
		s.notification(s.sends(wire.CodeHeader, 0))
		s.end(endError)
	case EventOpenError:
		s.notification(s.sends(wire.CodeOpen, 0))
		s.end(endError)
	case EventCollisionDump:
		s.notification(wire.Notification{Code: wire.CodeCease, Subcode: wire.CeaseCollision})
		s.end(endError)
	case EventNotification, EventNotificationVersion:
		s.end(endPeer)
	default:
		s.fault(0)
	}
}

// cease returns the NOTIFICATION of a stop: as a Hard Reset where the peer
// would keep our routes for any other (RFC 8538 section 3).
func (s *stepper) cease(subcode uint8) wire.Notification {
	n := s.sends(wire.CodeCease, subcode)
	if s.state == Established && s.notify && !s.e.Graceful {
		return wire.HardReset(n)
	}
	return n
}

// fault ends the connection over an event that the state does not expect.
func (s *stepper) fault(subcode uint8) {
	s.notification(wire.Notification{Code: wire.CodeFSM, Subcode: subcode})
	s.end(endError)
}
