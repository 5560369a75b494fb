package mrt

import (
	"cmp"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// State is where a load stands.
type State uint8

// The states of a load.
const (
	Queued    State = iota // waits for those before it
	Running                // reads
	Done                   // read to the end, or to where a truncated file ends
	Failed                 // could not be read, or was damaged and had to be sound
	Cancelled              // its context ended
)

// String names the state as the API does.
func (s State) String() string {
	names := [...]string{"queued", "running", "done", "failed", "cancelled"}
	if int(s) < len(names) {
		return names[s]
	}
	return "state(" + strconv.Itoa(int(s)) + ")"
}

// Damage is a place in a file that could not be read.
type Damage struct {
	Offset int64 // octet of the uncompressed file
	Reason string
}

// Status is a load at a moment. It is a copy.
type Status struct {
	ID          string
	Name        string // of the file, for people
	Collector   string
	State       State
	Err         error // why it failed
	Compression Compression

	Bytes    int64 // read of the file as it is
	Total    int64 // size of the file as it is, -1: not known
	Unpacked int64 // octets after decompression

	Records     int64
	Routes      int64 // announced, a path counts once
	Withdrawals int64
	Skipped     int64 // records that tell of no route: other protocols, sent messages
	Peers       int   // that the file named

	TreatedAsWithdrawn  int64 // routes withdrawn for a malformed attribute (RFC 7606)
	AttributesDiscarded int64 // sets that lost a malformed attribute (RFC 7606)
	Refused             int64 // routes that there was no room for
	SessionsDown        int64 // times that a peer's routes were dropped
	PathIDsGuessed      int64 // messages read with path ids though their subtype says none

	Damaged   int64    // places that could not be read
	Damage    []Damage // the first of them, in the order of the file
	Truncated string   // why the file ends early, empty when it does not
	Notes     []string // what a person should know beside

	QueuedAt, StartedAt, EndedAt time.Time     // zero: not yet
	Rate                         float64       // routes and withdrawals a second since StartedAt
	Left                         time.Duration // until the end at this rate, -1: not known
}

// counters is the part of a load that its goroutines write.
type counters struct {
	bytes, unpacked                                atomic.Int64
	records, routes, withdrawals, skipped          atomic.Int64
	treated, discarded, refused, sessions, guessed atomic.Int64
	damaged                                        atomic.Int64
	peers                                          atomic.Int64

	mu        sync.Mutex
	damage    []Damage
	truncated string
	notes     []string
}

// note adds a line for people.
func (c *counters) note(s string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !slices.Contains(c.notes, s) {
		c.notes = append(c.notes, s)
	}
}

// status fills in what the goroutines have counted.
func (c *counters) status(s *Status, now time.Time) {
	s.Bytes, s.Unpacked = c.bytes.Load(), c.unpacked.Load()
	s.Records, s.Routes, s.Withdrawals, s.Skipped = c.records.Load(), c.routes.Load(), c.withdrawals.Load(), c.skipped.Load()
	s.TreatedAsWithdrawn, s.AttributesDiscarded, s.Refused = c.treated.Load(), c.discarded.Load(), c.refused.Load()
	s.SessionsDown, s.PathIDsGuessed = c.sessions.Load(), c.guessed.Load()
	s.Damaged, s.Peers = c.damaged.Load(), int(c.peers.Load())
	c.mu.Lock()
	s.Damage = slices.SortedFunc(slices.Values(c.damage), func(a, b Damage) int { return cmp.Compare(a.Offset, b.Offset) })
	s.Truncated, s.Notes = c.truncated, slices.Clone(c.notes)
	c.mu.Unlock()
	s.Left = -1
	if s.StartedAt.IsZero() {
		return
	}
	if !s.EndedAt.IsZero() {
		now = s.EndedAt
	}
	spent := now.Sub(s.StartedAt)
	if spent <= 0 {
		return
	}
	s.Rate = float64(s.Routes+s.Withdrawals) / spent.Seconds()
	switch {
	case s.State > Running:
		s.Left = 0
	case s.Total > 0 && s.Bytes > 0:
		s.Left = time.Duration(float64(spent) * float64(max(0, s.Total-s.Bytes)) / float64(s.Bytes))
	}
}
