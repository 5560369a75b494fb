package session

import (
	"time"

	"ribd/wire"
)

// historyLen is how many changes of state are kept for a peer.
const historyLen = 64

// Event is one change of a peer's state.
type Event struct {
	At       time.Time
	From, To string // states, as the API names them
	Reason   string
}

// history is the last changes of state, in a ring that grows to its bound.
type history struct {
	ring []Event
	next int
}

func (h *history) add(e Event) {
	if len(h.ring) < historyLen {
		h.ring = append(h.ring, e)
		return
	}
	h.ring[h.next] = e
	h.next = (h.next + 1) % historyLen
}

// list returns the events, the oldest first.
func (h *history) list() []Event {
	out := make([]Event, 0, len(h.ring))
	out = append(out, h.ring[h.next:]...)
	return append(out, h.ring[:h.next]...)
}

// Notification is a NOTIFICATION that was sent or received, decoded.
type Notification struct {
	Code, Subcode uint8
	Name          string // of the subcode, where it has one
	Message       string // what the data says: a shutdown communication, a limit
	Line          string // all of it on one line
	Data          []byte
	HardReset     bool // Name and Message are of the NOTIFICATION inside
	At            time.Time
}

// noted makes a Notification of what went over the wire.
func noted(n wire.Notification, at time.Time) *Notification {
	n.Data = append([]byte(nil), n.Data...)
	d := &Notification{Code: n.Code, Subcode: n.Subcode, Name: n.Name(), Message: n.Text(), Line: n.String(), Data: n.Data, At: at}
	if inner, ok := n.Unwrap(); ok {
		d.HardReset = true
		d.Name = "hard reset: " + inner.Name()
	}
	return d
}
