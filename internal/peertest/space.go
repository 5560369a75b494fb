//go:build linux

package peertest

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// space is a network namespace: a thread of this process that is in it and
// runs what it is handed. Sockets and processes made on it belong to it.
type space struct {
	work chan func()
	done chan struct{}
	ns   *os.File
}

func newSpace() (*space, error) {
	s := &space{work: make(chan func()), done: make(chan struct{})}
	ready := make(chan error, 1)
	go func() {
		defer close(s.done)
		// Never unlocked: the thread ends with the goroutine, and the namespace
		// with it.
		runtime.LockOSThread()
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			s.ns, err = os.Open(fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid()))
		}
		ready <- err
		if err != nil {
			return
		}
		for f := range s.work {
			f()
		}
	}()
	if err := <-ready; err != nil {
		<-s.done
		return nil, fmt.Errorf("network namespace: %w", err)
	}
	return s, nil
}

// do runs f on a thread in the namespace.
func (s *space) do(f func() error) error {
	done := make(chan error, 1)
	s.work <- func() { done <- f() }
	return <-done
}

// path names the namespace for `ip link … netns`.
func (s *space) path() string { return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), s.ns.Fd()) }

func (s *space) close() {
	close(s.work)
	<-s.done
	s.ns.Close()
}
