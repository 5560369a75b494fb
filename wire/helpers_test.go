package wire

import (
	"encoding/hex"
	"strings"
	"testing"
)

// attr makes an attribute with exactly these flags, long form where they say.
func attr(flags byte, t AttrType, value ...byte) []byte {
	if flags&FlagExtended != 0 {
		return append([]byte{flags, byte(t), byte(len(value) >> 8), byte(len(value))}, value...)
	}
	return append([]byte{flags, byte(t), byte(len(value))}, value...)
}

func join(parts ...[]byte) []byte {
	var b []byte
	for _, p := range parts {
		b = append(b, p...)
	}
	return b
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Parts that most messages of the tests are made of.
var (
	origin    = attr(0x40, AttrOrigin, 0)
	asPath    = attr(0x40, AttrASPath, path4(65001, 3356)...)
	nextHop   = attr(0x40, AttrNextHop, 192, 0, 2, 1)
	mandatory = join(origin, asPath, nextHop)
	prefix    = []byte{8, 10}
	reach6    = attr(0x80, AttrMPReach, append(append([]byte{0, 2, 1, 16}, hop6...), 0, 32, 0x20, 1, 0xd, 0xb8)...)
	hop6      = []byte{0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}
	hopLocal  = []byte{0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2}
	unreach6  = attr(0x80, AttrMPUnreach, 0, 2, 1, 32, 0x20, 1, 0xd, 0xb9)
)

var (
	external = Session{AS4: true, External: true}
	internal = Session{AS4: true}
	two      = Session{}
)

// checkError holds an error to its promise: the octet lies in the field, and
// the field in the message.
func checkError(t testing.TB, err *Error, n int) {
	t.Helper()
	if err == nil {
		return
	}
	if err.Start < 0 || err.Off < err.Start || err.Off >= err.End || err.End > n {
		if !(n == 0 && err.Off == 0 && err.End == 0) {
			t.Errorf("%v: octet %d, field %d to %d, of %d octets", err, err.Off, err.Start, err.End, n)
		}
	}
	if err.Action == ActionNone || err.Field == "" || err.Reason == "" || err.RFC == "" || err.Code == 0 {
		t.Errorf("incomplete error: %+v", *err)
	}
}

// parse parses msg and checks the error's place.
func parse(t testing.TB, u *Update, msg []byte, s *Session) *Error {
	t.Helper()
	err := u.Parse(msg, s)
	checkError(t, err, len(msg))
	if err != u.Err() {
		t.Errorf("Err() is %v, Parse returned %v", u.Err(), err)
	}
	return err
}

func actionOf(err *Error) Action {
	if err == nil {
		return ActionNone
	}
	return err.Action
}

func prefixes4(w NLRI4) (s []string) {
	for w.Next() {
		s = append(s, w.Prefix().String())
	}
	return s
}
