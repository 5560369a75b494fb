// Package store keeps what has to survive a restart of ribd in a folder
// (persist.dir): peers that came by the API, and the journal of what is
// originated here.
//
// It owns the files in that folder and their format, and a lock that keeps a
// second process out. It does not know what a peer or a route is: it keeps the
// text that the API was given, and the octets that engine/origin makes. A change
// is on the disk when the call that makes it returns, as a whole or not at all.
package store
