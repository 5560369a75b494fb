package main

import (
	"io"
	"sync"
)

// statusLine is a terminal's last line, kept below what is logged: a log line
// that comes between two drawings wipes it and puts it back.
type statusLine struct {
	mu   sync.Mutex
	out  io.Writer
	line string
}

const wipe = "\r\x1b[K"

// Write writes log lines above the status.
func (s *statusLine) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.line == "" {
		return s.out.Write(p)
	}
	// One write, so that nothing of another process comes between.
	b := append([]byte(wipe), p...)
	if _, err := s.out.Write(append(b, s.line...)); err != nil {
		return 0, err
	}
	return len(p), nil
}

// set draws a new status; "" takes it away.
func (s *statusLine) set(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if line == s.line {
		return
	}
	s.line = line
	_, _ = io.WriteString(s.out, wipe+line) // a terminal that is gone is no matter
}
