// Package policy judges routes: what a peer may bring in and what it is sent.
//
// Compile makes a Set of a configuration's policies. Each is an ordered list of
// terms, a condition in CEL (the Common Expression Language) and what to do
// where it holds; docs/policies.md is the users' description. Import and Export
// make rib.Filters of them, and Import adds the checks that come before every
// policy: loops, roles, next hops, RFC 8212.
//
// # How a condition is judged
//
// A condition is parsed and type-checked once, with errors that point into the
// file. Its tree of &&, ||, ! and ?: is taken over as nodes; what stands between
// them are leaves. The forms that policies are made of (comparisons of numbers
// and text, communities, AS numbers, prefix sets) become closures over the
// canonical attributes; anything else stays a CEL program, with a limit on its
// cost. So a leaf has one meaning, and a test holds both ways of judging, and
// the whole condition by CEL alone, to the same answers.
//
// Every leaf knows what it looks at. What does not look at the prefix or the
// path id is judged once for each attribute set and source: the outcome, which
// may be "undecided at term n, and this is known of its condition", is kept in a
// bounded memo that any goroutine reads without a lock. A route then costs the
// leaves that look at it, and nothing where there are none.
//
// A condition can fail at run time: a list has no such element, a number
// overflows, the limit is reached. Then the route is rejected, whatever the term
// was for, and the failure is counted (Set.Failures).
//
// The package keeps no goroutine, reads no clock and opens no file. What it
// keeps of attribute ids it forgets at each sweep (rib.Attrs.Generation).
package policy
