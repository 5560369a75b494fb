// Package bench measures ribd beside the best that others have, on the real
// prefixes and tables of the shared test data, and holds the tests that both
// sides of a benchmark give the same answers.
//
//	go test ./bench                       the answers are the same
//	go test -bench . ./bench              one side after the other, for benchstat
//	go run ./cmd/ribbench all             paired runs, goals and verdicts
//
// What ribbench found on a quiet machine is in baseline. This package has tests and
// benchmarks only; nobody imports it.
package bench
