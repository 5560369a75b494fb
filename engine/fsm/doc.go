// Package fsm is the state machine of a BGP session (RFC 4271 section 8), and
// what the two ends of a session agree on. It is pure: [Step] takes a machine and
// an event to the machine after it and the actions that are due. Sockets,
// timers, clocks, randomness and the RIB are the caller's.
//
//	m, acts := fsm.Step(m, fsm.Event{Kind: fsm.EventManualStart}, acts[:0])
//
// # One connection, one machine
//
// A [Machine] stands for one connection. A peer has one that lives on, and a
// second one while two connections are open (RFC 4271 section 6.8):
//
//   - A connection that comes in, or is made, is an event of the first machine.
//     Of the actions one says what becomes of it: ActAdopt (it is the machine's
//     connection from now on), ActRefuse (close it) or ActTrack: make a machine
//     with [NewSecond] for it, and give the event to that one.
//   - When a connection has got its OPEN, and when it is established, [Collide]
//     says which of two has to go: its machine gets EventCollisionDump. Where
//     that is the first one, [Swap] makes the second one the first before.
//   - A second machine that has no connection is done with, whatever it waits for.
//     Where the first one has none and the second one does, they are swapped
//     before.
//
// # Timers
//
// Timers are actions. Start replaces the timer of that kind where it runs;
// those for which [Timer.Jittered] is true are due to be made shorter by chance
// ([Jitter]). A timer that was stopped must not lead to its event any more.
// In Established the caller may keep time itself: a KEEPALIVE or an UPDATE does
// no more than start the hold timer anew.
//
// # Beyond, and beside, RFC 4271
//
//   - A connection that cannot be made takes the machine from Connect to Active,
//     where it listens until ConnectRetryTimer runs out, and not to Idle: what
//     the RFC reaches by way of Idle and a passive automatic start. The time
//     between attempts doubles from [Settings].ConnectRetryMin to ConnectRetry.
//   - Damping of oscillations is on unless IdleHoldMin is 0: the time in Idle
//     doubles with each error up to IdleHoldMax. It does not grow where an
//     established session is ended by the other side or by the transport, and
//     begins anew once a session has stood for StableTime.
//   - A NOTIFICATION is never answered by one, and none is sent before an OPEN.
//   - With Settings.Passive the machine never makes a connection, with
//     Settings.Active it refuses those that come in.
//   - A second OPEN on a connection is an unexpected message (RFC 6608).
//   - SendHoldTimer is RFC 9687's. Graceful restart changes what a lost session
//     and a second connection mean (RFC 4724 section 5, RFC 8538): ActDown says
//     whether the routes are retained.
package fsm
