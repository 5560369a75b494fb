package ingest

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"ribd/wire"
)

// Counters is what a Peer has taken in, over all its sessions.
type Counters struct {
	Updates   uint64 // messages, End-of-RIB markers included
	Announced uint64 // routes
	Withdrawn uint64 // routes, whether or not they were there
	Refused   uint64 // routes that there was no room for: they count as withdrawn

	// Malformed messages, by what RFC 7606 asks for.
	TreatAsWithdraw  uint64
	AttributeDiscard uint64
	SessionReset     uint64

	// Last is the last malformed message, nil without one.
	Last *ErrorRecord
	// EndOfRIB is when the session's last marker of each family came, in the
	// order in which the families first did.
	EndOfRIB []FamilyTime
}

// ErrorRecord is a malformed message.
type ErrorRecord struct {
	At      time.Time
	Error   *wire.Error
	Message []byte // as it came
}

// FamilyTime is when something happened to a family.
type FamilyTime struct {
	Family wire.Family
	At     time.Time
}

// counts is the reader's own; the Router counts routes.
type counts struct{ updates, treated, discarded, reset uint64 }

// stats is what Counters reads, without waiting for a reader that waits for the
// shards.
type stats struct {
	updates, announced, withdrawn, refused atomic.Uint64
	treated, discarded, reset              atomic.Uint64

	mu   sync.Mutex
	last ErrorRecord
	eor  []FamilyTime
}

// publish makes the reader's counts everybody's.
func (s *stats) publish(n *counts, w *Router) {
	s.updates.Store(n.updates)
	s.announced.Store(w.Announced)
	s.withdrawn.Store(w.Withdrawn)
	s.refused.Store(w.Refused)
	s.treated.Store(n.treated)
	s.discarded.Store(n.discarded)
	s.reset.Store(n.reset)
}

// start forgets the markers of the session before.
func (s *stats) start() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.eor = s.eor[:0]
}

func (s *stats) endOfRIB(f wire.Family) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	for i := range s.eor {
		if s.eor[i].Family == f {
			s.eor[i].At = now
			return
		}
	}
	s.eor = append(s.eor, FamilyTime{f, now})
}

// malformed keeps a message. A peer can send nothing but malformed ones: the
// memory is used again.
func (s *stats) malformed(err *wire.Error, msg []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last.At, s.last.Error = time.Now(), err
	s.last.Message = append(s.last.Message[:0], msg...)
}

// Counters returns what was taken in. It never waits for the reader.
func (p *Peer) Counters() Counters {
	s := &p.stats
	c := Counters{
		Updates: s.updates.Load(), Announced: s.announced.Load(), Withdrawn: s.withdrawn.Load(), Refused: s.refused.Load(),
		TreatAsWithdraw: s.treated.Load(), AttributeDiscard: s.discarded.Load(), SessionReset: s.reset.Load(),
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last.Error != nil {
		c.Last = &ErrorRecord{s.last.At, s.last.Error, slices.Clone(s.last.Message)}
	}
	c.EndOfRIB = slices.Clone(s.eor)
	return c
}
