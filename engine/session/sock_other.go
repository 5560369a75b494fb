//go:build !linux

package session

import (
	"errors"
	"net"
	"net/netip"
)

const maxKey = 80

var (
	errNoMD5 = errors.New("md5_file: TCP MD5 (RFC 2385) is not on this system; it needs Linux")
	errNoTTL = errors.New("ttl_security and multihop: the TTL of a session can't be set on this system; it needs Linux")
)

// newLink makes a link of a connection.
func newLink(c net.Conn) link { return &plainLink{conn: c} }

func setKey(_ uintptr, _ netip.Prefix, _ bool, key []byte) error {
	if len(key) == 0 {
		return nil
	}
	return errNoMD5
}

func setTTL(_ uintptr, _ bool, _, least uint8) error {
	if least == 0 {
		return nil
	}
	return errNoTTL
}

func saveSYN(uintptr) {}

func synTTL(uintptr) (ttl uint8, ok bool) { return 0, false }

func isSix(uintptr) bool { return false }
