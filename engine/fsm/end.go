package fsm

import (
	"math"

	"ribd/wire"
)

// ending is why a machine goes to Idle.
type ending uint8

const (
	endManual    ending = iota // stays in Idle
	endAutomatic               // as the event says
	endPeer                    // by the other side, or by the transport
	endError                   // by an error: damping grows
)

// end goes to Idle: it releases what there is, drops the connection, and says
// when to start again.
func (s *stepper) end(why ending) {
	was := s.state
	retain := s.keeps()
	if s.e.Graceful && s.state == Established && s.retained && !s.notify {
		s.dropNotification()
	}
	s.stopAll()
	if was == Established {
		s.acts = append(s.acts, Action{Kind: ActDown, Retain: retain})
	}
	s.do(ActDrop)
	s.state, s.delaying = Idle, false
	s.hold, s.keepalive, s.retain, s.retained, s.notify = 0, 0, false, false, false
	if why == endManual {
		s.damping, s.retries, s.counter = 0, 0, 0
		return
	}
	if s.counter < math.MaxUint32 {
		s.counter++
	}
	if s.second {
		return
	}
	s.pause(why, was)
}

// pause starts IdleHoldTimer, where the machine is to start again.
func (s *stepper) pause(why ending, was State) {
	if why == endAutomatic && s.e.Restart != 0 {
		if s.e.Restart > 0 {
			s.acts = append(s.acts, Action{Kind: ActStartTimer, Timer: TimerIdleHold, After: s.e.Restart, Exact: true})
		}
		return
	}
	if s.set.IdleHoldMin <= 0 {
		return
	}
	after := doubled(s.set.IdleHoldMin, s.set.IdleHoldMax, s.damping)
	if grows := why == endError || why == endPeer && was != Established; grows && after < s.set.IdleHoldMax {
		s.damping++
	}
	s.start(TimerIdleHold, after)
}

// keeps is true where routes of the session that the event ends are retained
// (RFC 4724 section 4.2, RFC 8538 section 4).
func (s *stepper) keeps() bool {
	switch s.e.Kind {
	case EventTCPFails:
		return s.retain
	case EventManualStop, EventAutomaticStop:
		return false
	case EventNotification, EventNotificationVersion:
		if n := s.e.Notification; n != nil && n.Code == wire.CodeCease && n.Subcode == wire.CeaseHardReset {
			return false
		}
	}
	return s.retain && s.notify
}

// dropNotification takes back the NOTIFICATION that would make the peer forget
// our routes.
func (s *stepper) dropNotification() {
	for i := s.first; i < len(s.acts); i++ {
		if s.acts[i].Kind == ActSendNotification {
			s.acts = append(s.acts[:i], s.acts[i+1:]...)
			return
		}
	}
}

// stopAll stops the timers of the connection.
func (s *stepper) stopAll() {
	s.stop(TimerConnectRetry)
	if s.delaying {
		s.stop(TimerDelayOpen)
	}
	if s.state >= OpenSent {
		s.stop(TimerHold)
		s.stop(TimerKeepalive)
	}
	if s.state == Established {
		s.stop(TimerSendHold)
		s.stop(TimerStable)
	}
}
