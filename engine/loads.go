package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"ribd/engine/api/apiv1"
	"ribd/engine/mrt"
)

// loads is the loader as the API sees it (api.Loads).
type loads struct {
	ctx    context.Context
	loader *mrt.Loader
	strict bool
}

// Body begins to load what r gives.
func (l loads) Body(r io.Reader, size int64, collector string) (string, <-chan struct{}, error) {
	return l.loader.Start(l.ctx, mrt.Source{Name: "body", Collector: collector, Reader: r, Size: size, Strict: l.strict})
}

// File begins to load a file of this machine. One that can't be opened is said
// at once, not when its turn comes.
func (l loads) File(path, collector string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	st, err := f.Stat()
	f.Close()
	if err != nil {
		return "", err
	}
	if st.IsDir() {
		return "", fmt.Errorf("%w: %s is a folder", os.ErrNotExist, path)
	}
	s := mrt.File(path, collector)
	s.Strict = l.strict
	id, _, err := l.loader.Start(l.ctx, s)
	return id, err
}

// List tells of all loads, oldest first.
func (l loads) List() []apiv1.Load {
	list := l.loader.List()
	out := make([]apiv1.Load, len(list))
	for i := range list {
		out[i] = loadOf(&list[i])
	}
	return out
}

// Get tells of one load.
func (l loads) Get(id string) (apiv1.Load, bool) {
	s, ok := l.loader.Get(id)
	if !ok {
		return apiv1.Load{}, false
	}
	return loadOf(&s), true
}

// loadState is the API's word for a state.
func loadState(s mrt.State) string {
	switch s {
	case mrt.Queued:
		return "waiting"
	case mrt.Running:
		return "loading"
	}
	return s.String()
}

func loadOf(s *mrt.Status) apiv1.Load {
	l := apiv1.Load{
		ID: s.ID, Name: s.Name, Collector: s.Collector, State: loadState(s.State),
		StartedAt: timeOf(s.StartedAt), FinishedAt: timeOf(s.EndedAt),
		Bytes: uint64(s.Bytes), Records: uint64(s.Records), Routes: uint64(s.Routes), Withdrawn: uint64(s.Withdrawals),
		Damaged: uint64(s.Damaged), DamagedRecords: make([]apiv1.Damage, len(s.Damage)),
		Truncated: s.Truncated != "", RoutesPerSec: s.Rate,
	}
	if s.Err != nil {
		text := s.Err.Error()
		l.Error = &text
	}
	if s.Total >= 0 {
		total := uint64(s.Total)
		l.BytesTotal = &total
	}
	if s.Left >= 0 {
		left := s.Left.Seconds()
		l.SecondsLeft = &left
	}
	for i, d := range s.Damage {
		l.DamagedRecords[i] = apiv1.Damage{Offset: uint64(d.Offset), Reason: d.Reason}
	}
	return l
}

func timeOf(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// startLoads gives the loader the start's files, in their order, and follows
// them in the background.
func (e *Engine) startLoads(files []Load, stdin io.Reader, strict bool) error {
	if len(files) == 0 {
		e.ready.Store(true)
		return nil
	}
	var pending []string
	var last <-chan struct{}
	for _, f := range files {
		s := mrt.File(f.File, f.Collector)
		if f.File == "-" {
			s = mrt.Source{Name: "standard input", Collector: f.Collector, Reader: &stoppable{ctx: e.ctx, r: stdin}}
		}
		s.Strict = strict
		id, done, err := e.loader.Start(e.ctx, s)
		if err != nil {
			return fmt.Errorf("load %s: %w", f.File, err)
		}
		pending, last = append(pending, id), done
	}
	e.wg.Go(func() {
		// Loads run one after the other: the last is over when all are.
		<-last
		e.loadsOver(pending, strict)
	})
	return nil
}

// stoppable is a reader that a context can take away from who waits for it,
// which closing a terminal or a pipe does not do.
type stoppable struct {
	ctx    context.Context
	r      io.Reader
	begun  sync.Once
	chunks chan chunk
	rest   chunk
}

type chunk struct {
	b   []byte
	err error
}

// Read returns what the reader gives, or the context's error when that comes
// first. The reader's goroutine ends with the read that it is in then.
func (s *stoppable) Read(p []byte) (int, error) {
	s.begun.Do(func() {
		s.chunks = make(chan chunk)
		go s.pump()
	})
	if len(s.rest.b) == 0 && s.rest.err == nil {
		select {
		case <-s.ctx.Done():
			return 0, s.ctx.Err()
		case s.rest = <-s.chunks:
		}
	}
	n := copy(p, s.rest.b)
	s.rest.b = s.rest.b[n:]
	if len(s.rest.b) == 0 && s.rest.err != nil {
		return n, s.rest.err
	}
	return n, nil
}

func (s *stoppable) pump() {
	for {
		b := make([]byte, 256<<10)
		n, err := s.r.Read(b)
		select {
		case <-s.ctx.Done():
			return
		case s.chunks <- chunk{b[:n], err}:
		}
		if err != nil {
			return
		}
	}
}

// loadsOver judges the start's loads.
func (e *Engine) loadsOver(ids []string, strict bool) {
	var failed error
	for _, id := range ids {
		s, ok := e.loader.Get(id)
		if ok && s.Err != nil && !errors.Is(s.Err, context.Canceled) {
			failed = errors.Join(failed, s.Err)
		}
	}
	if e.ctx.Err() != nil {
		return
	}
	if strict && failed != nil {
		e.fail(failed)
		return
	}
	e.ready.Store(true)
	st := e.rib.Stats()
	var prefixes, paths int64
	for _, t := range st.Tables {
		prefixes += t.Prefixes
		paths += t.Paths
	}
	e.log.Info("ready", "prefixes", prefixes, "paths", paths, "peers", st.Peers-e.bgp.origin.Stats().Sources, "seconds", time.Since(e.started).Round(time.Millisecond).Seconds())
}

// Progress is the start's load that runs now, as one line of at most width
// columns: "" when none does.
func (e *Engine) Progress(width int) string {
	if e.ready.Load() {
		return ""
	}
	list := e.loader.List()
	running := -1
	left := 0
	for i := range list {
		switch list[i].State {
		case mrt.Running:
			running = i
		case mrt.Queued:
			left++
		}
	}
	if running < 0 {
		return ""
	}
	line := mrt.AppendProgress(nil, list[running], width)
	if more := fmt.Sprintf("  %d more", left); left > 0 && len([]rune(string(line)))+len(more) <= width {
		line = append(line, more...)
	}
	return string(line)
}
