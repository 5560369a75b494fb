// Package store keeps what has to survive a restart of ribd in a folder
// (persist.dir): peers that came by the API.
//
// It owns the files in that folder and their format, and a lock that keeps a
// second process out. It does not know what a peer is: it keeps the text that
// the API was given. A change is on the disk when the call that makes it
// returns, as a whole or not at all.
package store
