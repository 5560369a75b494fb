package session

import (
	"errors"
	"log/slog"
	"net/netip"
	"time"

	"ribd/engine/config"
	"ribd/shard"
	"ribd/shard/rib"
	"ribd/wire"
)

// Options of a Manager. RIB is required.
type Options struct {
	RIB   *shard.RIB
	Log   *slog.Logger // nil: slog.Default
	Hooks Hooks
	// Hostname and Domain go into the FQDN capability; without a Hostname there
	// is none.
	Hostname, Domain string
	// Restarting is until when OPENs say that this speaker has restarted (RFC
	// 4724, the R bit); zero: never.
	Restarting time.Time
	// ConnectRetry is the time between two calls of peers that have none
	// configured, 120 s where it is 0. The first calls that fail are repeated
	// sooner, see fsm.
	ConnectRetry time.Duration
	// MaxPending bounds the accepted connections whose peer is not known to be
	// one yet: those that have not sent an OPEN. 0: 1,024.
	MaxPending int
}

// Hooks may not call the Manager, but the methods of the Session. Any may be nil.
type Hooks struct {
	// Import returns the import policy of a session: when it is established,
	// before Up, and in Reimport. A nil Filter accepts everything.
	Import func(*Session) rib.Filter
	// Up is called when a session is established, by the goroutine that reads
	// it, before its first UPDATE is taken in.
	Up func(*Session)
	// Down is called once for each Up, after the last UPDATE was taken in; Send
	// fails by then.
	Down func(*Session)
	// Gone is called when a number, and the routes with it, was dropped: at the
	// end of the session, or when nothing is retained any more.
	Gone func(rib.PeerNum)
	// Behind says whether changes come faster than they are told on. A peer that
	// sends in bulk then waits, so that the changes of others do not.
	Behind func() bool
	// Refresh says that the peer asked for a family again (RFC 2918). enhanced
	// is true where both ends have RFC 7313.
	Refresh func(s *Session, f wire.Family, enhanced bool)
}

// Settings are what a configuration file says about sessions.
type Settings struct {
	AS       uint32 // 0: nothing is listened on, and there is no session
	RouterID netip.Addr
	Listen   []config.Listen
	Peers    []config.Peer
}

// SettingsOf picks the Settings out of a configuration.
func SettingsOf(c *config.Config) Settings {
	return Settings{AS: c.AS, RouterID: c.RouterID, Listen: c.BGP.Listen, Peers: c.Peers}
}

// ChangeKind is what a new configuration does to a peer.
type ChangeKind uint8

// The kinds of Change.
const (
	Added   ChangeKind = iota // is new
	Removed                   // is there no more
	Reset                     // its session starts again
	Live                      // is taken over without touching its session
)

// String names the kind.
func (k ChangeKind) String() string {
	if int(k) < len(changeKinds) {
		return changeKinds[k]
	}
	return "unknown"
}

var changeKinds = [...]string{"added", "removed", "reset", "live"}

// Change is what Apply does to one configured peer.
type Change struct {
	Peer string // its address, or the prefix of a range
	Name string
	Kind ChangeKind
	Keys []string // of the configuration that differ, for Reset and Live
}

// Changes is what Apply does. Peers that stay as they are do not appear.
type Changes struct {
	Listen bool // the addresses that are listened on
	Peers  []Change
}

// Empty says that there is nothing to do.
func (c Changes) Empty() bool { return !c.Listen && len(c.Peers) == 0 }

// What the operations on one peer can't do.
var (
	ErrNoPeer         = errors.New("there is no such peer")
	ErrAmbiguous      = errors.New("several peers have that address")
	ErrNotEstablished = errors.New("the session is not established")
	ErrNoRefresh      = errors.New("the peer did not offer route refresh (RFC 2918)")
	ErrFamily         = errors.New("the session does not carry that family")
	ErrMessage        = errors.New("a shutdown communication is UTF-8 of at most 255 octets (RFC 9003)")
	ErrClosed         = errors.New("sessions are shut down")
)
