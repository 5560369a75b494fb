// Package wire reads and writes BGP messages.
package wire
