package mrt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime"
	"strconv"
	"sync"
	"time"

	"ribd/shard"
	"ribd/shard/rib"
)

// ErrBusy is what Start returns when too many loads wait.
var ErrBusy = errors.New("too many loads wait: try again when one is done")

// ErrClosed is what Start and Load return after Close.
var ErrClosed = errors.New("the loader is closed")

// errDamaged is the cause of a strict load that found damage.
var errDamaged = errors.New("damaged")

// Options of a Loader; the zero value is ready for use.
type Options struct {
	Workers    int          // that decode; 0: GOMAXPROCS
	Log        *slog.Logger // nil: slog.Default
	Strict     bool         // every load is strict, see Source
	KeepDamage int          // damaged places that a Status lists, the rest is counted. 0: 100
	KeepDone   int          // loads that are over and still listed. 0: 256
	MaxQueued  int          // loads that wait at a time. 0: 256
}

// Source is a file to load. Reader or Open gives its octets.
type Source struct {
	// Name of the file, for people and logs.
	Name string
	// Collector that wrote it. Files of one collector go on from each other; the
	// empty name is a collector like any other.
	Collector string
	// Reader gives the file, of Size octets; Size 0 or less: not known. It is read
	// from other goroutines until the load is over, and not closed.
	Reader io.Reader
	Size   int64
	// Open is called in the place of Reader, when it is the load's turn; what it
	// returns is closed.
	Open func() (r io.ReadCloser, size int64, err error)
	// Strict makes the first damage or an early end an error. The load then ends
	// there; peers that it brought are dropped again, those that were there before
	// keep what was read up to then, and nothing is swept.
	Strict bool

	leave bool // a read that blocks is not waited for
}

// File is the source of a file on disk, or of standard input for "-".
func File(path, collector string) Source {
	return Source{Name: path, Collector: collector, leave: path == "-", Open: func() (io.ReadCloser, int64, error) {
		if path == "-" {
			return io.NopCloser(os.Stdin), -1, nil
		}
		f, err := os.Open(path)
		if err != nil {
			return nil, 0, err
		}
		st, err := f.Stat()
		if err != nil {
			f.Close()
			return nil, 0, err
		}
		size := st.Size()
		if !st.Mode().IsRegular() {
			size = -1
		}
		return f, size, nil
	}}
}

// Loader loads MRT files into a RIB, one after the other. Any goroutine may
// call its methods.
type Loader struct {
	rib *shard.RIB
	o   Options

	mu         sync.Mutex
	jobs       []*job // in the order given; those that are over are forgotten in time
	next       int
	waiting    int
	last       chan struct{} // closed when the job given last is over
	collectors map[string]*collector
	closed     bool
	cancel     context.CancelFunc
	ctx        context.Context
}

// New makes a loader for r. Close it before r.
func New(r *shard.RIB, o Options) *Loader {
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.KeepDamage <= 0 {
		o.KeepDamage = 100
	}
	if o.KeepDone <= 0 {
		o.KeepDone = 256
	}
	if o.MaxQueued <= 0 {
		o.MaxQueued = 256
	}
	l := &Loader{rib: r, o: o, collectors: map[string]*collector{}, last: make(chan struct{})}
	close(l.last)
	l.ctx, l.cancel = context.WithCancel(context.Background())
	return l
}

// Close cancels the loads and waits for them.
func (l *Loader) Close() {
	l.mu.Lock()
	l.closed = true
	last := l.last
	l.mu.Unlock()
	l.cancel()
	<-last
}

// Load loads a file and returns when it is over. The Status is always good; the
// error is its Err. A file that is damaged or ends early is no error unless it
// has to be sound: the Status tells of it.
func (l *Loader) Load(ctx context.Context, s Source) (Status, error) {
	j, err := l.add(ctx, s)
	if err != nil {
		return Status{Name: s.Name, Collector: s.Collector, State: Failed, Err: err}, err
	}
	<-j.done
	st := l.status(j)
	return st, st.Err
}

// Start begins a load and returns at once: its id, and a channel that is closed
// when it is over. ctx cancels it.
func (l *Loader) Start(ctx context.Context, s Source) (id string, done <-chan struct{}, err error) {
	j, err := l.add(ctx, s)
	if err != nil {
		return "", nil, err
	}
	return j.st.ID, j.done, nil
}

// List returns the loads, oldest first.
func (l *Loader) List() []Status {
	l.mu.Lock()
	jobs := append([]*job(nil), l.jobs...)
	l.mu.Unlock()
	out := make([]Status, len(jobs))
	for i, j := range jobs {
		out[i] = l.status(j)
	}
	return out
}

// Get returns one load.
func (l *Loader) Get(id string) (Status, bool) {
	l.mu.Lock()
	var found *job
	for _, j := range l.jobs {
		if j.st.ID == id {
			found = j
		}
	}
	l.mu.Unlock()
	if found == nil {
		return Status{}, false
	}
	return l.status(found), true
}

// DropPeer takes a loaded peer and its routes away. Routes for it that a
// running load has already read are dropped with it. It reports whether n was
// one of the loader's peers.
func (l *Loader) DropPeer(n rib.PeerNum) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.collectors {
		if p := c.byNumber(n); p != nil {
			c.drop(p)
			return true
		}
	}
	return false
}

// add puts a load at the end of the queue.
func (l *Loader) add(ctx context.Context, s Source) (*job, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closed:
		return nil, ErrClosed
	case l.waiting >= l.o.MaxQueued:
		return nil, ErrBusy
	}
	c := l.collectors[s.Collector]
	if c == nil {
		c = &collector{rib: l.rib, name: s.Collector, peers: map[peerKey]*peer{}}
		l.collectors[s.Collector] = c
	}
	l.next++
	l.waiting++
	j := &job{
		l: l, src: s, col: c, strict: s.Strict || l.o.Strict,
		done: make(chan struct{}),
		st: Status{ID: strconv.Itoa(l.next), Name: s.Name, Collector: s.Collector, Total: -1,
			State: Queued, QueuedAt: time.Now()},
	}
	j.log = l.o.Log.With("load", j.st.ID, "file", s.Name, "collector", s.Collector)
	l.jobs = append(l.jobs, j)
	before := l.last
	l.last = j.done
	go l.run(ctx, j, before)
	return j, nil
}

// run waits for a load's turn and does it. The next one's turn comes when this
// one is over and all before it are.
func (l *Loader) run(ctx context.Context, j *job, before <-chan struct{}) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(l.ctx, func() { cancel(context.Canceled) })()
	select {
	case <-before:
	case <-ctx.Done():
	}
	l.set(j, func(s *Status) {
		l.waiting--
		s.State, s.StartedAt = Running, time.Now()
	})
	err := context.Cause(ctx)
	if err == nil {
		err = j.run(ctx, cancel)
	}
	l.set(j, func(s *Status) {
		s.EndedAt = time.Now()
		switch {
		case err == nil:
			s.State = Done
		case errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded):
			s.State, s.Err = Cancelled, fmt.Errorf("load %s: %w", s.Name, err)
		default:
			s.State, s.Err = Failed, fmt.Errorf("load %s: %w", s.Name, err)
		}
		l.forget()
	})
	j.report(l.status(j))
	<-before
	close(j.done)
}

// set changes a load's status.
func (l *Loader) set(j *job, f func(*Status)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f(&j.st)
}

func (l *Loader) status(j *job) Status {
	l.mu.Lock()
	s := j.st
	l.mu.Unlock()
	j.n.status(&s, time.Now())
	return s
}

// forget removes the oldest loads that are over; l.mu is held.
func (l *Loader) forget() {
	over := 0
	for _, j := range l.jobs {
		if j.st.State > Running {
			over++
		}
	}
	for i := 0; over > l.o.KeepDone; {
		if l.jobs[i].st.State > Running {
			l.jobs = append(l.jobs[:i:i], l.jobs[i+1:]...)
			over--
		} else {
			i++
		}
	}
}
