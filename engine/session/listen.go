package session

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"

	"ribd/engine/config"
)

// listener is one address that is listened on.
type listener struct {
	name string // as configured
	l    *net.TCPListener
	raw  syscall.RawConn
	six  bool // of the IPv6 family, mapped addresses included
	keys secrets
	done sync.WaitGroup
}

// listen binds an address. Every connection is accepted with a TTL of 255, so
// that the SYN-ACK passes the TTL security of the other end.
func listen(l config.Listen) (*listener, error) {
	if l.Network != "tcp" {
		return nil, fmt.Errorf("bgp.listen: %s: BGP runs over TCP", l)
	}
	lc := net.ListenConfig{
		KeepAliveConfig: net.KeepAliveConfig{Enable: false}, // BGP has its own
		Control: func(_, _ string, c syscall.RawConn) error {
			return c.Control(saveSYN)
		},
	}
	lc.SetMultipathTCP(false) // it has no MD5, nor a TTL
	nl, err := lc.Listen(context.Background(), "tcp", l.Address)
	if err != nil {
		return nil, listenError(l, err)
	}
	x := &listener{name: l.String(), l: nl.(*net.TCPListener), keys: secrets{}}
	x.raw, err = x.l.SyscallConn()
	if err == nil {
		err = x.raw.Control(func(fd uintptr) {
			x.six = isSix(fd)
			setTTL(fd, x.six, 255, 0) // where it can't be set, TTL security is refused by name
		})
	}
	if err != nil {
		nl.Close()
		return nil, fmt.Errorf("bgp.listen: %s: %w", l, err)
	}
	return x, nil
}

func listenError(l config.Listen, err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("bgp.listen: %s is taken: another BGP daemon listens there; --bgp 127.0.0.1:0 takes a free port", l)
	case errors.Is(err, os.ErrPermission):
		return fmt.Errorf("bgp.listen: %s: no right to listen there; ports below 1024 want CAP_NET_BIND_SERVICE", l)
	}
	var op *net.OpError
	if errors.As(err, &op) {
		err = op.Err
	}
	return fmt.Errorf("bgp.listen: %s: %w", l, err)
}

// setKeys gives the listener the MD5 keys of all peers. The most specific range
// wins in the kernel, so the order does not matter.
func (x *listener) setKeys(keys secrets) error {
	var first error
	set := func(k peerKey, key string) bool {
		rng := k.rng
		if k.addr.IsValid() {
			rng = netip.PrefixFrom(k.addr, k.addr.BitLen())
		}
		var err error
		if e := x.raw.Control(func(fd uintptr) { err = setKey(fd, rng, x.six, []byte(key)) }); e != nil {
			err = e
		}
		if err != nil && first == nil {
			first = err
		}
		return err == nil
	}
	for k := range x.keys {
		if _, ok := keys[k]; !ok && set(k, "") {
			delete(x.keys, k)
		}
	}
	for k, key := range keys {
		if x.keys[k] != key && set(k, key) {
			x.keys[k] = key
		}
	}
	return first
}

// serve accepts until the listener is closed. Where the process is out of
// descriptors it waits, and goes on.
func (x *listener) serve(m *Manager) {
	pause := time.Duration(0)
	for {
		c, err := x.l.AcceptTCP()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			pause = min(max(2*pause, 10*time.Millisecond), time.Second)
			m.log.Warn("accept failed", "addr", x.name, "err", err)
			select {
			case <-time.After(pause):
			case <-m.closing:
				return
			}
			continue
		}
		pause = 0
		m.accept(c)
	}
}

func (x *listener) close() {
	x.l.Close()
	x.done.Wait()
}
