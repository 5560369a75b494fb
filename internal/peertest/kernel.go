//go:build linux

package peertest

import (
	"testing"

	"golang.org/x/sys/unix"
)

// kernelHas skips the test where the kernel lacks what it needs, and says what.
func kernelHas(t testing.TB, what string, level, option int, value []byte) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.SetsockoptString(fd, level, option, string(value)); err != nil {
		t.Skipf("this kernel has no %s: %v", what, err)
	}
}

// NeedMD5 skips the test where the kernel has no TCP MD5.
func NeedMD5(t testing.TB) {
	t.Helper()
	// struct tcp_md5sig: an address of 128 octets, flags, prefix length, key
	// length, interface, key.
	v := make([]byte, 128+1+1+2+4+80)
	v[0], v[4], v[7] = unix.AF_INET, 127, 1
	v[130], v[136] = 1, 'k'
	kernelHas(t, "TCP MD5 (RFC 2385, CONFIG_TCP_MD5SIG)", unix.IPPROTO_TCP, unix.TCP_MD5SIG, v)
}

// NeedMinTTL skips the test where the kernel does not look at the TTL of what
// arrives.
func NeedMinTTL(t testing.TB) {
	t.Helper()
	kernelHas(t, "least TTL (RFC 5082, IP_MINTTL)", unix.IPPROTO_IP, unix.IP_MINTTL, []byte{255, 0, 0, 0})
}
