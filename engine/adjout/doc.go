// Package adjout sends the Loc-RIB to peers: Adj-RIB-Out, with the rules of
// export for every kind of peer.
//
// It owns what peers have been sent and the goroutines that find out what is to
// be sent next. It does not know sessions, which are Senders, nor policy, which
// is an Export.
//
// # Update groups
//
// Peers that are sent the same (Target says by what) are members of one group,
// which does the work once. It has the state: a hash table, without Go pointers,
// of what is advertised, each entry with its set, the peer that it comes from,
// and the number of the batch that changed it last. A member has all live
// entries but its own routes.
//
// The group's goroutine follows the feed of the shards. It looks up the changed
// prefixes, as they are now; asks the rules, the policy and the rules again what
// is sent, by set of attributes, with a memo; compares with the state; and
// encodes what differs as a batch, grouped by set. Members that are in step get
// it at once, by TrySend on that goroutine: no other is on the way.
//
// A source may have an audience of its own (Source.Only). Its routes are in the
// state like all others, and who is not in the audience is not handed the parts
// of a batch that are about them. Route server clients, of which each has the best
// path that it may have, have a list of paths instead (see mixed.go).
//
// # Who asks
//
// Told waits until all groups have come to a mark in the feed; Explain says what
// has become of one path towards each member, and why; Preview what a peer would
// be sent for a route that is not there.
//
// # Who is not in step
//
// A member that can't take a batch lags. It gets a goroutine of its own, which
// waits for it in Send, goes on from the group's ring of batches, and ends when
// it is in step again. A member that joins, wants a refresh, or has fallen out of
// the bounded ring takes a run: the entries of the state that have changed since,
// in the order of their sets (see runSet). So the memory for a slow peer is
// bounded, and it delays nobody. Entries that are withdrawn stay, dead, while
// somebody has still to be told; past a bound the slowest peer has to go
// (Target.Overrun).
//
// # Keeping up
//
// Where changes come faster than the feed's ring holds, or a policy changes, the
// group scans the table again, in slices between which it follows the feed (see
// scan). Everything that it sends is the difference to the state.
package adjout
