package api

import (
	"context"

	"ribd/engine/origin"
)

// Announcing is what Options plugs in for routes that are originated here. Its
// functions are for any goroutine.
type Announcing struct {
	// Origin holds what is originated.
	Origin *origin.Manager
	// Told waits until what was flushed into the RIB before the call is with the
	// peers that keep up, and then calls each for every route whose result has no
	// error, in order, with what became of it at every session, those that are
	// down too, in the order of addresses. peers is borrowed for the call. Where
	// ctx ends before, it goes on with what is known. Without routes it only
	// waits. nil: nothing is sent to anybody.
	Told func(ctx context.Context, routes []origin.Route, results []origin.Result, each func(i int, peers []PeerAnswer))
	// Preview answers the UPDATE messages that a peer, by its id, would be sent of
	// routes, without sending them, one after the other, and why it would not be
	// sent some. The id "" is a plain external peer: no policy, no Add-Path, 4-octet
	// AS numbers. nil: POST updates answers 501.
	Preview func(peerID string, routes []PreviewRoute) (messages []byte, refused []PreviewRefusal, err error)
}

// PreviewRoute is a route that a peer might be sent, or told to forget.
type PreviewRoute struct {
	origin.Route
	Withdraw bool
}

// PreviewRefusal says why a peer would not be sent a route.
type PreviewRefusal struct {
	Index  int // of the route
	Reason string
}

// PeerState is what became of a route at a peer.
type PeerState uint8

// The states.
const (
	PeerSent    PeerState = iota // its octets are with the session
	PeerQueued                   // it is to be sent, once the peer has read what is before it
	PeerDown                     // the session is not established; it is sent when it is
	PeerRefused                  // it is not sent, for the reason that is given
)

// String names the state as the API does.
func (s PeerState) String() string {
	switch s {
	case PeerSent:
		return "sent"
	case PeerQueued:
		return "queued"
	case PeerDown:
		return "down"
	}
	return "refused"
}

// PeerAnswer is what became of a route at one peer.
type PeerAnswer struct {
	Peer      string // its address
	PeerID    string
	State     PeerState
	Reason    string // "" where it is sent
	PathID    uint32 // on the wire
	HasPathID bool
}
