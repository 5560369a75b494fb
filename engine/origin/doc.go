// Package origin owns what is originated here: routes and Flow Spec rules that
// programs announce, by whatever way they come in.
//
// A [Manager] holds them by their key (family, route distinguisher, prefix or
// NLRI, local path id), puts them into the RIB as routes of local sources, and
// takes them away when they are withdrawn or their time is over. A change is
// checked (that it is well formed, and the [Guards]), then written to the
// [Journal], then in the RIB: a call that returns without an error has done all
// three, and one that returns an error has changed nothing.
//
// Calls that come at the same time are one group: one write to the journal, one
// flush into the RIB. One of the callers does the work for all.
//
// # Sources
//
// Every distinct list of peers that routes are meant for is a source of its own,
// with a number in the RIB; so the rules of what is sent ask one question for
// each source, not for each route. All of them have one peer id, since they are
// one origin to those who look: this ribd.
//
// # Guards
//
// Guards hold at every entrance, a restart and a reload of the configuration
// included. What is here already and is refused by guards that have changed is
// held: not in the RIB, sent to nobody, but listed with the reason, and logged.
// It comes back when the guards allow it again, and ends with its time to live.
//
// # Not here
//
// What peers are sent is decided in engine/adjout, text and JSON are read in
// engine/api, the files of the journal belong to engine/store.
package origin
