// Package benchkit is what measuring takes apart from what is measured: paired
// runs, medians with their spread, goals and verdicts, the report as a terminal
// table and as JSON, stored baselines, and questions (addresses) for look-ups.
//
// It is a leaf and knows nothing of routes; cmd/ribbench and bench use it.
package benchkit
