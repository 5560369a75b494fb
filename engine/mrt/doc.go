// Package mrt loads MRT files into the RIB: table dumps and update files, from
// disk, standard input or a request's body, in any of the usual compressions.
//
// A [Loader] runs loads one after the other in the order in which they were
// given. One load is a line of goroutines:
//
//	read ahead ──▶ decompress, frame ──▶ decode, intern, sort ──▶ shards
//	one            one, in order          one a core, sent in order
//
// The framer cuts the stream into segments of whole records in pooled buffers;
// the number of buffers bounds the memory. Workers decode segments at the same
// time and send them in the order of the file, so that of two routes for one
// path the later one stays. What must not overtake (a new PEER_INDEX_TABLE, a
// session that went down, the first record of a family in a dump) is done by
// the framer itself, where need be when all segments before it have been sent.
//
// It owns the peers that dumps bring, known by collector, address and AS
// number. Files of a collector go on from each other: updates replace and
// withdraw what a dump brought, and a later dump replaces the families that it
// holds once it is complete. Package wire/mrt knows the format, package wire
// the messages, package shard the tables.
package mrt
