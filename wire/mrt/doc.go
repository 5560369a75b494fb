// Package mrt decodes and encodes the MRT routing information export format:
// RFC 6396, its Add-Path forms of RFC 8050, the GEO_PEER_TABLE of RFC 6397 and
// the older forms that archives still hold.
//
// It is pure: it reads octets and returns values that borrow them. Nothing is
// copied, nothing is allocated on the good path, and nothing is read outside
// the record that was handed in. What a BGP message or a block of path
// attributes means is the business of package wire; this package says where
// they lie, whose they are and how wide their AS numbers are.
//
// A caller cuts a stream into records with [ParseHeader] (and, where a file is
// damaged, [Resync]), then decodes each [Record] by its type:
//
//	TABLE_DUMP                       ParseTableDump
//	TABLE_DUMP_V2 PEER_INDEX_TABLE   ParsePeerIndex, Peers
//	TABLE_DUMP_V2 GEO_PEER_TABLE     ParseGeoPeers, GeoPeers
//	TABLE_DUMP_V2 RIB_*              RIB.Parse, Entries
//	BGP4MP, BGP4MP_ET, BGP, BGP4PLUS Message.Parse, StateChange.Parse, Entry
//
// [Record.Kind] says which of them applies. Errors are *[Error]: the octet
// within the record, the field, the reason and the section.
package mrt
