// Command ribbench makes routing tables and measures ribd on them, beside the
// best that others have, in the same run.
//
//	ribbench gen --out table.mrt.zst      a table, the same for the same flags
//	ribbench all --json FILE              all figures, as paired runs
//	ribbench lpm|update|load|query        a part of them
//	ribbench bgp|flowspec|announce        sessions, Flow Spec, routes of programs
//
// It owns the questions and the order in which both sides are asked; what measuring
// takes apart from that is internal/benchkit, what makes tables is
// internal/tablegen. It is no part of a running server.
package main
