//go:build linux

package peertest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Proc is a daemon's process on a Host. It ends with the test; where the test
// fails, the end of what it printed is logged.
type Proc struct {
	t    testing.TB
	name string
	host *Host
	argv []string
	env  []string
	log  string
	cmd  *exec.Cmd
	done chan struct{}
	left bool // children may be there still
}

// NewProc prepares a process that logs into dir and does not start it. env is
// added to the environment.
func NewProc(t testing.TB, h *Host, name, dir string, env []string, argv ...string) *Proc {
	p := &Proc{t: t, name: name, host: h, argv: argv, env: env, log: filepath.Join(dir, name+".log")}
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() || os.Getenv("PEERTEST_LOGS") != "" {
			t.Logf("%s %s printed last:\n%s", name, h.V4, p.Tail(60))
		}
	})
	return p
}

// Start starts the process, again if it ran before.
func (p *Proc) Start() {
	p.t.Helper()
	if p.Running() {
		return
	}
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		p.t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(p.argv[0], p.argv[1:]...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = append(os.Environ(), p.env...)
	// Children of its own, which share its group, go with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := p.host.Do(cmd.Start); err != nil {
		p.t.Fatalf("%s: %v", p.name, err)
	}
	done := make(chan struct{})
	go func() {
		cmd.Wait()
		close(done)
	}()
	p.cmd, p.done, p.left = cmd, done, true
}

// Running is true from Start to the process's end.
func (p *Proc) Running() bool {
	if p.cmd == nil {
		return false
	}
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// PID returns the process id, 0 before Start.
func (p *Proc) PID() int {
	if p.cmd == nil {
		return 0
	}
	return p.cmd.Process.Pid
}

// Signal sends a signal to the process and its children.
func (p *Proc) Signal(s syscall.Signal) {
	if p.Running() {
		if err := syscall.Kill(-p.cmd.Process.Pid, s); err != nil && !errors.Is(err, syscall.ESRCH) {
			p.t.Errorf("%s: %v: %v", p.name, s, err)
		}
	}
}

// Kill ends the process at once: it can say nothing to its peers.
func (p *Proc) Kill() {
	if p.cmd == nil {
		return
	}
	p.Signal(syscall.SIGKILL)
	<-p.done
	p.alone()
}

// alone waits for the children of a process that has ended: they die a moment
// after it, and have its ports until then.
func (p *Proc) alone() {
	p.t.Helper()
	if !p.left {
		return
	}
	p.left = false
	err := Wait(Patience, func() error {
		if left := group(p.cmd.Process.Pid); len(left) > 0 {
			return fmt.Errorf("processes %v go on", left)
		}
		return nil
	})
	if err != nil {
		p.t.Errorf("%s has ended, and its children have not: %v", p.name, err)
	}
}

// group returns the processes of a group that have not ended.
func group(id int) (pids []int) {
	if syscall.Kill(-id, 0) == syscall.ESRCH {
		return nil
	}
	// Who has ended and was not waited for yet is in the group, and holds nothing.
	files, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range files {
		b, _ := os.ReadFile(file) // nothing of one that is gone meanwhile
		_, rest, _ := strings.Cut(string(b), ") ")
		var state string
		var parent, of, pid int
		if n, _ := fmt.Sscan(rest, &state, &parent, &of); n == 3 && of == id && state != "Z" && state != "X" {
			fmt.Sscan(string(b), &pid)
			pids = append(pids, pid)
		}
	}
	return pids
}

// Stop asks the process to end, and kills it where it does not.
func (p *Proc) Stop() {
	p.t.Helper()
	if !p.Running() {
		return
	}
	p.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
		p.alone()
	case <-time.After(Patience):
		p.t.Errorf("%s does not end when asked", p.name)
		p.Kill()
	}
}

// Freeze stops the process where it is: its sockets stay open and nobody reads
// them. Thaw lets it go on.
func (p *Proc) Freeze() { p.Signal(syscall.SIGSTOP) }

// Thaw lets a frozen process go on.
func (p *Proc) Thaw() { p.Signal(syscall.SIGCONT) }

// Tail returns the last n lines that the process printed.
func (p *Proc) Tail(n int) string {
	b, err := os.ReadFile(p.log)
	if err != nil {
		return fmt.Sprint(err)
	}
	lines := strings.Split(strings.TrimRight(string(b), "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// Log returns all that the process printed.
func (p *Proc) Log() string {
	b, _ := os.ReadFile(p.log)
	return string(b)
}

// Dir makes a folder for a process's files that ends with the test. Its path is
// short, since those of Unix sockets have to be, and any user may read it,
// since daemons change theirs.
func Dir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "peer")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	return dir
}

// Patience is how long a test waits for what a daemon or a command does: long
// enough for a machine with much else to do, since only a test that fails waits
// to its end.
const Patience = 2 * time.Minute

// Until waits until f has no error, at most limit, and fails the test with the
// last one.
func Until(t testing.TB, limit time.Duration, what string, f func() error) {
	t.Helper()
	if err := Wait(limit, f); err != nil {
		t.Fatalf("%s: not within %v: %v", what, limit, err)
	}
}

// Wait calls f until it has no error, at most limit, and returns its last one.
func Wait(limit time.Duration, f func() error) error {
	end := time.Now().Add(limit)
	for pause := 20 * time.Millisecond; ; pause = min(pause*5/4, 200*time.Millisecond) {
		err := f()
		if err == nil || time.Now().After(end) {
			return err
		}
		time.Sleep(pause)
	}
}
