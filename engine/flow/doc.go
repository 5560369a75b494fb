// Package flow keeps the Flow Spec rules of the RIB in order, ready to be matched,
// and decides which are feasible (RFC 8955, 8956, 9117).
//
// The rules themselves are routes: package shard has them in raw tables, by their
// canonical NLRI, with everything that routes have. This package owns what is made
// of them:
//
//   - A table for each family and route distinguisher (shard/rules), which follows
//     the feed. [Tables.Rules] is a snapshot that stays as it is. Nothing follows
//     before the first Flow Spec table is registered: without Flow Spec it costs
//     nothing.
//   - Validation. [Tables.Filter] wraps the import filter of a session, so that a
//     rule which policy accepts and which is not feasible is filtered with one of
//     four reasons: kept, shown, never best, never sent or matched.
//
// # When unicast routes change
//
// A rule depends on the unicast route that its destination matches best, and on
// those under its destination. The goroutine that follows sees these change, finds
// the rules whose destination covers the changed prefix or is covered by it, works
// their verdicts out anew, and where one differs from what the table has asks the
// shard to judge the path again (shard.RIB.RejudgeKeys). The rules to one destination
// are looked at together and once for all changes that were read, so that a peer with
// many rules to one destination can't make each change cost much. The verdict travels with
// that question, and counts if the path is still what it was worked out for.
//
// The verdict of every rule is also worked out when its own announcement comes by
// in the feed. So no change is lost that comes between the judging of a rule and
// its being in the table: either the rule is found by the change, or the
// announcement comes by after it.
//
// It does not send, match or show rules: that is for adjout, shard/rules and api.
package flow
