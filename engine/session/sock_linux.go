package session

import (
	"fmt"
	"net/netip"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	tcpSaveSyn  = 27 // TCP_SAVE_SYN
	tcpSavedSyn = 28 // TCP_SAVED_SYN

	maxKey = unix.TCP_MD5SIG_MAXKEYLEN
)

const errAgain = unix.EAGAIN

// mostWrite bounds one call of send(2).
const mostWrite = 256 << 10

// sysRead is read(2) on a socket that does not wait, again after a signal. An
// error has n <= 0.
//
// It, and sysWrite, are raw: the scheduler is not told. They take as long as the
// copy does, and to be told costs more: where the process is mostly idle, as
// between the changes of a quiet table, leaving a system call wakes the
// runtime's monitor each time, which was a seventh of all CPU.
func sysRead(fd uintptr, b []byte) (int, error) {
	for {
		n, _, err := unix.RawSyscall(unix.SYS_READ, fd, uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
		switch {
		case err == 0:
			return int(n), nil
		case err == unix.EAGAIN:
			return -1, errAgain
		case err != unix.EINTR:
			return -1, err
		}
	}
}

// sysWrite is send(2) without SIGPIPE, again after a signal. It writes little
// enough at a time to be short.
func sysWrite(fd uintptr, b []byte) (int, error) {
	b = b[:min(len(b), mostWrite)]
	for {
		n, _, err := unix.RawSyscall6(unix.SYS_SENDTO, fd, uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), unix.MSG_NOSIGNAL, 0, 0)
		switch {
		case err == 0:
			return int(n), nil
		case err == unix.EAGAIN:
			return 0, errAgain
		case err != unix.EINTR:
			return 0, err
		}
	}
}

// sysQueues asks what the kernel holds for a socket.
func sysQueues(raw syscall.RawConn) (send, receive, mss int) {
	raw.Control(func(fd uintptr) {
		send, _ = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ)
		receive, _ = unix.IoctlGetInt(int(fd), unix.SIOCINQ)
		mss, _ = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_MAXSEG)
	})
	return send, receive, mss
}

// setKey gives a socket the MD5 key (RFC 2385) of the peers of a range; an
// empty key takes it away. A range of one address does without the extended
// call, which older kernels lack.
func setKey(fd uintptr, peers netip.Prefix, six bool, key []byte) error {
	if len(key) > maxKey {
		return fmt.Errorf("an MD5 key has at most %d octets", maxKey)
	}
	var sig unix.TCPMD5Sig
	bits, whole := peers.Bits(), peers.IsSingleIP()
	switch a := peers.Addr(); {
	case !six && a.Is4():
		sa := (*unix.RawSockaddrInet4)(unsafe.Pointer(&sig.Addr))
		sa.Family, sa.Addr = unix.AF_INET, a.As4()
	case six:
		sa := (*unix.RawSockaddrInet6)(unsafe.Pointer(&sig.Addr))
		sa.Family, sa.Addr = unix.AF_INET6, a.As16() // mapped where it is IPv4; the length counts from there
	default:
		return nil // an IPv6 peer can't reach an IPv4 socket
	}
	sig.Keylen = uint16(copy(sig.Key[:], key))
	opt := unix.TCP_MD5SIG
	if !whole {
		opt, sig.Flags, sig.Prefixlen = unix.TCP_MD5SIG_EXT, unix.TCP_MD5SIG_FLAG_PREFIX, uint8(bits)
	}
	err := unix.SetsockoptTCPMD5Sig(int(fd), unix.IPPROTO_TCP, opt, &sig)
	if err == unix.ENOENT && len(key) == 0 {
		return nil // there was none
	}
	if err != nil {
		return fmt.Errorf("the kernel refuses an MD5 key for %s: %w", peers, err)
	}
	return nil
}

// setTTL sets the TTL to send with (0: leave it) and the least one that is
// taken (0: any).
func setTTL(fd uintptr, six bool, ttl, least uint8) error {
	set := func(v4, v6 int, v uint8) error {
		if v == 0 {
			return nil
		}
		if !six {
			return os.NewSyscallError("setsockopt", unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, v4, int(v)))
		}
		// A socket of both families has both options; an IPv6 one has no use for the first.
		unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, v4, int(v))
		return os.NewSyscallError("setsockopt", unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, v6, int(v)))
	}
	if err := set(unix.IP_TTL, unix.IPV6_UNICAST_HOPS, ttl); err != nil {
		return err
	}
	return set(unix.IP_MINTTL, unix.IPV6_MINHOPCOUNT, least)
}

// saveSYN has a listener keep the SYN of each connection, for synTTL.
func saveSYN(fd uintptr) { unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, tcpSaveSyn, 1) }

// synTTL returns the TTL that the SYN of an accepted connection came with: what
// arrived before setTTL was not held to its bound.
func synTTL(fd uintptr) (ttl uint8, ok bool) {
	var s [128]byte
	n := uint32(len(s))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, fd, unix.IPPROTO_TCP, tcpSavedSyn,
		uintptr(unsafe.Pointer(&s)), uintptr(unsafe.Pointer(&n)), 0)
	if errno != 0 || n < 20 {
		return 0, false
	}
	switch s[0] >> 4 {
	case 4:
		return s[8], true
	case 6:
		return s[7], true
	}
	return 0, false
}

// isSix says whether a socket is of the IPv6 family, mapped addresses included.
func isSix(fd uintptr) bool {
	d, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_DOMAIN)
	return err == nil && d == unix.AF_INET6
}
