package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

const (
	// reserve is what is kept of the disk for Append with urgent.
	reserve = 256 << 10
	// ahead is what the disk is asked for at a time.
	ahead = 1 << 20
	// compactAt is the least size of a log that Compact is worth for. One that
	// failed is tried again after compactWait, twice as long each time up to
	// compactMost: it leaves a log behind.
	compactAt   = 4 << 20
	compactWait = 5 * time.Second
	compactMost = 10 * time.Minute
	// maxRecord bounds what is written at a time.
	maxRecord = 1 << 30
)

// Journal is a list of records that only grows, on the disk. Its methods are for
// any goroutine.
//
// It is a log, which records are appended to, and behind the first Compact a
// snapshot before it. Records that are appended at the same time share a frame:
// one write and one fdatasync. A frame has a sum over all that it holds and over
// its place, so it is there as a whole or not at all; and since the next one is
// written when it is on the disk, only the last one of a log can be torn.
type Journal struct {
	dir string
	log *slog.Logger

	mu      sync.Mutex
	waiting []*appending
	leading bool

	// What follows belongs to who writes, who has disk.
	disk      sync.Mutex
	file      file
	number    uint64
	end       int64 // of the last frame that is on the disk
	allocated int64 // of the file; less than 0: this disk can't be asked
	broken    error // since a write that may or may not be on the disk
	closed    bool
	buf       []byte

	compacting sync.Mutex
	sizes      struct {
		sync.Mutex
		log      int64 // of the log in use
		older    int64 // of logs before it that no snapshot stands for yet
		snapshot int64
		broken   bool
		tryAfter time.Time
		wait     time.Duration
		frames   uint64
	}
}

// file is what a Journal does with its log: an *os.File, but for tests of disks
// that fail.
type file interface {
	WriteAt(b []byte, off int64) (int, error)
	Truncate(size int64) error
	Close() error
	datasync() error
	allocate(off, n int64) error
}

// appending is a record that waits to be written.
type appending struct {
	rec    []byte
	urgent bool
	err    error
	turn   chan bool // true: lead, false: done
}

// ErrJournalClosed is what Append returns after Close.
var ErrJournalClosed = errors.New("persist: the journal is closed")

// Append writes a record. When it returns nil the record is on the disk, with
// all that were appended before. When it returns an error the record is not
// there, nor will it be after a restart.
//
// An urgent record may use what is kept free for those: on a full disk there is
// room for it when there is none for others any more.
func (j *Journal) Append(rec []byte, urgent bool) error {
	if len(rec) > maxRecord {
		return fmt.Errorf("persist: a record of %d octets: up to %d are possible", len(rec), maxRecord)
	}
	a := &appending{rec: rec, urgent: urgent}
	j.mu.Lock()
	j.waiting = append(j.waiting, a)
	if j.leading {
		a.turn = make(chan bool, 1)
		j.mu.Unlock()
		if lead := <-a.turn; !lead {
			return a.err
		}
		j.mu.Lock()
	}
	j.leading = true
	group := j.take()
	j.mu.Unlock()
	err := j.write(group)
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, o := range group {
		o.err = err
		if o != a {
			o.turn <- false
		}
	}
	if len(j.waiting) > 0 {
		j.waiting[0].turn <- true
	} else {
		j.leading = false
	}
	return err
}

// take returns who is written together: all that wait, as far as they are as
// urgent as the first, and fit.
func (j *Journal) take() []*appending {
	n, size := 0, 0
	for n < len(j.waiting) && j.waiting[n].urgent == j.waiting[0].urgent && (n == 0 || size+len(j.waiting[n].rec) <= maxRecord) {
		size += len(j.waiting[n].rec)
		n++
	}
	group := j.waiting[:n:n]
	j.waiting = j.waiting[n:]
	if len(j.waiting) == 0 {
		j.waiting = nil
	}
	return group
}

// write writes a frame with the records, and returns when it is on the disk.
func (j *Journal) write(group []*appending) error {
	j.disk.Lock()
	defer j.disk.Unlock()
	switch {
	case j.closed:
		return ErrJournalClosed
	case j.end < 0:
		panic("BUG: store: Append before Replay")
	case j.broken != nil:
		return fmt.Errorf("persist: %s can't be written since %w; it is begun anew within seconds", logName(j.number), j.broken)
	}
	j.buf = beginFrame(j.buf[:0])
	for _, a := range group {
		j.buf = binary.AppendUvarint(j.buf, uint64(len(a.rec)))
		j.buf = append(j.buf, a.rec...)
	}
	endFrame(j.buf, j.end)
	err := j.put(j.buf, group[0].urgent)
	if cap(j.buf) > 16<<20 {
		j.buf = nil
	}
	if err != nil {
		return fmt.Errorf("persist: %s: %w", logName(j.number), err)
	}
	j.note()
	return nil
}

// note tells those who do not write how large the log is.
func (j *Journal) note() {
	s := &j.sizes
	s.Lock()
	defer s.Unlock()
	s.log, s.broken = j.end, j.broken != nil
	s.frames++
}

// put writes b at the end of the log and forces it to the disk. After an error
// the log is what it was.
func (j *Journal) put(b []byte, urgent bool) error {
	if err := j.room(int64(len(b)), urgent); err != nil {
		return err
	}
	_, err := j.file.WriteAt(b, j.end)
	if err == nil {
		if err = j.file.datasync(); err == nil {
			j.end += int64(len(b))
			return nil
		}
		// What the kernel could not write it may have forgotten: no later
		// sync of this file means anything.
		j.broken = err
	}
	if j.allocated >= 0 {
		j.allocated = j.end
	}
	if terr := j.file.Truncate(j.end); terr != nil {
		j.broken = errors.Join(err, terr)
	} else if serr := j.file.datasync(); serr != nil {
		j.broken = errors.Join(err, serr)
	}
	if j.broken != nil {
		j.sizes.Lock()
		j.sizes.broken = true
		j.sizes.Unlock()
	}
	return err
}

// room sees to it that n octets more find room on the disk, and behind them what
// is urgent.
func (j *Journal) room(n int64, urgent bool) error {
	need := j.end + n + reserve
	if j.allocated < 0 || j.allocated >= need {
		return nil
	}
	from := max(j.allocated, j.end)
	err := j.file.allocate(from, need+ahead-from)
	if isFull(err) {
		err = j.file.allocate(from, need-from) // without what is asked for ahead
		if err == nil {
			j.allocated = need
			return nil
		}
	}
	switch {
	case err == nil:
		j.allocated = need + ahead
	case !isFull(err):
		j.allocated = -1
	case urgent && j.file.allocate(j.end, n) == nil: // it is kept already
	default:
		return err
	}
	return nil
}

// Grown says that Compact would give much room back, or mend what a failed write
// has left.
func (j *Journal) Grown() bool {
	s := &j.sizes
	s.Lock()
	defer s.Unlock()
	if !s.broken && s.log+s.older < max(compactAt, 2*s.snapshot) {
		return false
	}
	return time.Now().After(s.tryAfter)
}

// JournalStats counts a Journal.
type JournalStats struct {
	LogBytes, SnapshotBytes int64
	Writes                  uint64 // each with a sync, for one record or many
	Broken                  bool   // until it is begun anew
}

// Stats counts.
func (j *Journal) Stats() JournalStats {
	s := &j.sizes
	s.Lock()
	defer s.Unlock()
	return JournalStats{s.log + s.older, s.snapshot, s.frames, s.broken}
}

// Close ends the Journal. A write that runs ends before.
func (j *Journal) Close() error {
	j.compacting.Lock()
	defer j.compacting.Unlock()
	j.disk.Lock()
	defer j.disk.Unlock()
	if j.closed {
		return nil
	}
	j.closed = true
	return j.file.Close()
}

// osFile is a file of the disk.
type osFile struct{ *os.File }
