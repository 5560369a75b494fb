package benchkit

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Process is a server that runs beside: ribd, or a bare one.
type Process struct {
	// Addr is where it listens.
	Addr    string
	cmd     *exec.Cmd
	started time.Time
	log     tail
	ended   chan struct{} // closed when it has
	err     error         // how it ended
}

// tail keeps the last of what a child says, and hands out the address that it
// listens on.
type tail struct {
	mu   sync.Mutex
	text []byte
	addr chan string
}

var listening = regexp.MustCompile(`api=http addr=([^ \n"]+)`)

// Write takes the log of a child.
func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, b...)
	if t.addr != nil {
		if m := listening.FindSubmatch(t.text); m != nil && bytes.IndexByte(t.text[bytes.Index(t.text, m[0]):], '\n') >= 0 {
			t.addr <- string(m[1])
			t.addr = nil
		}
	}
	if extra := len(t.text) - 16<<10; extra > 0 {
		t.text = append(t.text[:0], t.text[extra:]...)
	}
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.text)
}

// Start runs a program until it says where it listens.
func Start(name string, args ...string) (*Process, error) {
	addr := make(chan string, 1)
	c := &Process{cmd: exec.Command(name, args...), ended: make(chan struct{}), started: time.Now()}
	c.log.addr = addr
	c.cmd.Stderr, c.cmd.Stdout = &c.log, &c.log
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		c.err = c.cmd.Wait()
		close(c.ended)
	}()
	select {
	case c.Addr = <-addr:
		return c, nil
	case <-c.ended:
		return nil, fmt.Errorf("%s ended before it listened: %v\n%s", filepath.Base(name), c.err, &c.log)
	case <-time.After(30 * time.Second):
		c.cmd.Process.Kill()
		return nil, fmt.Errorf("%s did not say where it listens within 30 s\n%s", filepath.Base(name), &c.log)
	}
}

// Stop ends it as an operator would. It may be called again.
func (c *Process) Stop() {
	c.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-c.ended:
	case <-time.After(20 * time.Second):
		c.cmd.Process.Kill()
		<-c.ended
	}
}

// Ready waits until the loads are done and returns how long that took from the
// start of the process.
func (c *Process) Ready(limit time.Duration) (time.Duration, error) {
	for {
		r, err := http.Get("http://" + c.Addr + "/readyz")
		if err == nil {
			io.Copy(io.Discard, r.Body)
			r.Body.Close()
			if r.StatusCode == http.StatusOK {
				return time.Since(c.started), nil
			}
		}
		select {
		case <-c.ended:
			return 0, fmt.Errorf("ribd ended while it loaded: %v\n%s", c.err, &c.log)
		case <-time.After(5 * time.Millisecond):
		}
		if time.Since(c.started) > limit {
			return 0, fmt.Errorf("ribd was not ready within %v\n%s", limit, &c.log)
		}
	}
}

// Numbers is the part of /api/v1/stats that measuring needs.
type Numbers struct {
	Prefixes, Paths uint64
	AttributeSets   uint64 `json:"attribute_sets"`
	Memory          map[string]uint64
}

// Stats asks a ribd for its numbers.
func (c *Process) Stats() (s Numbers, err error) {
	r, err := http.Get("http://" + c.Addr + "/api/v1/stats")
	if err != nil {
		return s, err
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK {
		return s, errors.New("stats: " + r.Status)
	}
	return s, json.NewDecoder(r.Body).Decode(&s)
}

// Memory returns what it has resident and the most that it had, in bytes.
func (c *Process) Memory() (now, peak float64, err error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", c.cmd.Process.Pid))
	if err != nil {
		return 0, 0, fmt.Errorf("resident memory is read from /proc, which %s lacks: %w", runtime.GOOS, err)
	}
	defer f.Close()
	sc := bufio.NewScanner(f)
	for sc.Scan() {
		name, value, _ := strings.Cut(sc.Text(), ":")
		var kb float64
		fmt.Sscanf(strings.TrimSpace(value), "%f kB", &kb)
		switch name {
		case "VmRSS":
			now = kb * 1024
		case "VmHWM":
			peak = kb * 1024
		}
	}
	return now, peak, sc.Err()
}

// CPU returns the processor time that the process has taken so far, user and system.
func (c *Process) CPU() (time.Duration, error) {
	const tick = time.Second / 100 // USER_HZ, the same on all Linux systems
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", c.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	_, after, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(after)
	if len(fields) < 13 {
		return 0, fmt.Errorf("/proc/%d/stat: %q", c.cmd.Process.Pid, text)
	}
	var user, system time.Duration
	if _, err := fmt.Sscan(fields[11], (*int64)(&user)); err != nil {
		return 0, err
	}
	_, err = fmt.Sscan(fields[12], (*int64)(&system))
	return (user + system) * tick, err
}

// Settled waits until resident memory no longer falls and returns it, and the peak.
func (c *Process) Settled(wait time.Duration) (now, peak float64, err error) {
	least := -1.0
	for end := time.Now().Add(wait); time.Now().Before(end); time.Sleep(wait / 20) {
		if now, peak, err = c.Memory(); err != nil {
			return 0, 0, err
		}
		if least < 0 || now < least*0.999 {
			least = now
			end = time.Now().Add(wait / 2)
		}
	}
	return now, peak, nil
}
