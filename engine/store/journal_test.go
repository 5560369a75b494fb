package store

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

var silent = slog.New(slog.NewTextHandler(io.Discard, nil))

// opened is a journal with what was in it.
type opened struct {
	*Journal
	store *Store
	recs  []string
}

func openJournal(t testing.TB, dir string) *opened {
	t.Helper()
	o, err := tryJournal(dir)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func tryJournal(dir string) (*opened, error) {
	s, err := Open(dir)
	if err != nil {
		return nil, err
	}
	o := &opened{store: s}
	if o.Journal, err = s.Journal(silent); err == nil {
		err = o.Replay(func(rec []byte) error {
			o.recs = append(o.recs, string(rec))
			return nil
		})
	}
	if err != nil {
		s.Close()
		return nil, err
	}
	return o, nil
}

func (o *opened) close(t testing.TB) {
	t.Helper()
	if err := errors.Join(o.Journal.Close(), o.store.Close()); err != nil {
		t.Fatal(err)
	}
}

func (o *opened) add(t testing.TB, recs ...string) {
	t.Helper()
	for _, r := range recs {
		if err := o.Append([]byte(r), false); err != nil {
			t.Fatal(err)
		}
	}
}

func numbered(from, to int) (recs []string) {
	for i := from; i < to; i++ {
		recs = append(recs, fmt.Sprintf("record %d %s", i, strings.Repeat("x", i%97)))
	}
	return recs
}

func TestRecordsAreThereAgainInOrder(t *testing.T) {
	dir := t.TempDir()
	o := openJournal(t, dir)
	want := append(numbered(0, 50), "")
	o.add(t, want...)
	o.close(t)
	for range 2 {
		o = openJournal(t, dir)
		if !slices.Equal(o.recs, want) {
			t.Fatalf("got %d records, want %d", len(o.recs), len(want))
		}
		more := numbered(100, 110)
		o.add(t, more...)
		want = append(want, more...)
		o.close(t)
	}
}

// logFile returns the path of the log in use.
func (o *opened) logFile() string { return filepath.Join(o.dir, logName(o.number)) }

func TestATornTailIsCutOffAtEveryOctet(t *testing.T) {
	dir := t.TempDir()
	o := openJournal(t, dir)
	recs := numbered(0, 6)
	ends := []int64{o.end}
	for _, r := range recs {
		o.add(t, r)
		ends = append(ends, o.end)
	}
	path := o.logFile()
	o.close(t)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for cut := 0; cut <= len(whole); cut++ {
		for _, tail := range []string{"", "\x00\x00\x00\x00\x00\x00\x00", "\xf5rj\x1a\xff\xff\xff\xffgarbage"} {
			if cut < len(fileMagic) && tail != "" {
				continue
			}
			if err := os.WriteFile(path, append(whole[:cut:cut], tail...), 0o600); err != nil {
				t.Fatal(err)
			}
			n := 0
			for n+1 < len(ends) && ends[n+1] <= int64(cut) {
				n++
			}
			o := openJournal(t, dir)
			if !slices.Equal(o.recs, recs[:n]) {
				t.Fatalf("cut at %d: got %d records, want %d", cut, len(o.recs), n)
			}
			o.add(t, "after")
			o.close(t)
			o = openJournal(t, dir)
			if want := append(slices.Clone(recs[:n]), "after"); !slices.Equal(o.recs, want) {
				t.Fatalf("cut at %d and written on: got %q, want %q", cut, o.recs, want)
			}
			o.close(t)
		}
	}
}

func TestDamageInTheMiddleIsNamedByFileAndOctet(t *testing.T) {
	dir := t.TempDir()
	o := openJournal(t, dir)
	ends := []int64{o.end}
	for _, r := range numbered(0, 5) {
		o.add(t, r)
		ends = append(ends, o.end)
	}
	path := o.logFile()
	o.close(t)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for at := range int(ends[len(ends)-2]) { // all but the last frame
		bad := slices.Clone(whole)
		bad[at] ^= 0x40
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		frame := int64(0)
		for _, e := range ends[:len(ends)-1] {
			if e <= int64(at) {
				frame = e
			}
		}
		_, err := tryJournal(dir)
		if want := fmt.Sprintf("%s is damaged at octet %d:", path, frame); err == nil || !strings.Contains(err.Error(), want) {
			t.Fatalf("octet %d: got %v, want %s", at, err, want)
		}
		if b, _ := os.ReadFile(path); !slices.Equal(b, bad) {
			t.Fatalf("octet %d: the file has changed", at)
		}
	}
}

func TestAMissingFileIsNamed(t *testing.T) {
	dir := t.TempDir()
	o := openJournal(t, dir)
	o.add(t, "a")
	if err := o.Compact(func(put func([]byte) error) error { return put([]byte("a")) }); err != nil {
		t.Fatal(err)
	}
	path := o.logFile()
	o.close(t)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := tryJournal(dir); err == nil || !strings.Contains(err.Error(), filepath.Base(path)+" is missing") {
		t.Errorf("got %v", err)
	}
}

func TestManyWaitersShareOneSync(t *testing.T) {
	o := openJournal(t, t.TempDir())
	defer o.close(t)
	slow := &slowDisk{file: o.file, of: o.Journal}
	o.file = slow
	const callers, rounds = 32, 10
	for k := range rounds {
		slow.until = callers - 1 // all but the first, who is alone
		var wg sync.WaitGroup
		for i := range callers {
			wg.Go(func() {
				if err := o.Append(fmt.Appendf(nil, "%d/%d", i, k), k%3 == 0); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if n := o.Stats().Writes; n != uint64(2*(k+1)) {
			t.Fatalf("%d writes for %d records", n, callers*(k+1))
		}
	}
	end := o.end
	o.file = slow.file
	size, err := os.Stat(o.logFile())
	if err != nil || size.Size() != end {
		t.Errorf("the file has %d octets, want %d (%v)", size.Size(), end, err)
	}
}

// slowDisk is a disk whose next sync takes until so many records wait.
type slowDisk struct {
	file
	of    *Journal
	until int
}

func (d *slowDisk) datasync() error {
	for n := 0; n < d.until; time.Sleep(time.Millisecond) {
		d.of.mu.Lock()
		n = len(d.of.waiting)
		d.of.mu.Unlock()
	}
	d.until = 0
	return d.file.datasync()
}

// A journal in use, and the same as a map: keys to values, the last one counts.
func TestCompactLosesNothingThatIsAppendedMeanwhile(t *testing.T) {
	dir := t.TempDir()
	o := openJournal(t, dir)
	var mu sync.Mutex
	state := map[string]string{}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(w), 1))
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				k, v := fmt.Sprintf("%d-%d", w, rnd.IntN(20)), fmt.Sprint(i)
				// As origin does: the value is there first, then on the disk.
				mu.Lock()
				state[k] = v
				mu.Unlock()
				if err := o.Append([]byte(k+"="+v), false); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 15 {
		err := o.Compact(func(put func([]byte) error) error {
			mu.Lock()
			defer mu.Unlock()
			for k, v := range state {
				if err := put([]byte(k + "=" + v)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Millisecond)
	}
	close(stop)
	wg.Wait()
	o.close(t)
	o = openJournal(t, dir)
	defer o.close(t)
	got := map[string]string{}
	for _, r := range o.recs {
		k, v, _ := strings.Cut(r, "=")
		got[k] = v
	}
	if len(got) != len(state) {
		t.Errorf("%d keys, want %d", len(got), len(state))
	}
	for k, v := range state {
		if got[k] != v {
			t.Errorf("%s: got %s, want %s", k, got[k], v)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, journalName+"*")); len(left) != 2 {
		t.Errorf("files: %v, want a snapshot and a log", left)
	}
}

// copyDir copies a folder as it is at the moment: what a crash leaves.
func copyDir(t *testing.T, from string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return to
}

func TestACrashInTheMiddleOfCompactLosesNothing(t *testing.T) {
	dir := t.TempDir()
	o := openJournal(t, dir)
	want := numbered(0, 20)
	o.add(t, want...)
	check := func(what, dir string, want []string) {
		t.Helper()
		c := openJournal(t, dir)
		if !slices.Equal(c.recs, want) {
			t.Errorf("%s: got %d records, want %d", what, len(c.recs), len(want))
		}
		c.add(t, "on")
		c.close(t)
		c = openJournal(t, dir)
		if !slices.Equal(c.recs, append(slices.Clone(want), "on")) {
			t.Errorf("%s: what was appended after it is lost", what)
		}
		c.close(t)
	}
	var during []string
	err := o.Compact(func(put func([]byte) error) error {
		during = append(during, copyDir(t, dir))
		if err := o.Append([]byte("meanwhile"), false); err != nil {
			return err
		}
		if err := put([]byte("half of it")); err != nil {
			return err
		}
		during = append(during, copyDir(t, dir))
		return errors.New("no more")
	})
	if err == nil || !strings.Contains(err.Error(), "no more") {
		t.Fatalf("got %v", err)
	}
	check("before the snapshot", during[0], want)
	want = append(want, "meanwhile")
	check("in the middle of the snapshot", during[1], want)
	check("after the failure", copyDir(t, dir), want)
	if o.Grown() {
		t.Error("what has just failed is to be tried again at once")
	}
	// One that ends well stands for both logs.
	if err := o.Compact(func(put func([]byte) error) error { return put([]byte("all")) }); err != nil {
		t.Fatal(err)
	}
	check("after the second", copyDir(t, dir), []string{"all"})
	o.close(t)
}

func TestADamagedSnapshotIsNamed(t *testing.T) {
	dir := t.TempDir()
	o := openJournal(t, dir)
	if err := o.Compact(func(put func([]byte) error) error { return put([]byte("all that there is")) }); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, snapshotName(o.number))
	o.close(t)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range [][]byte{whole[:len(whole)-1], append(slices.Clone(whole), 0), append(slices.Clone(whole[:len(whole)-1]), 'x')} {
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := tryJournal(dir); err == nil || !strings.Contains(err.Error(), path+" is damaged at octet") {
			t.Errorf("got %v", err)
		}
	}
}

// badDisk is a disk whose writes and syncs fail when they are told to.
type badDisk struct {
	file
	writes, syncs error
	part          int // octets that are written before the error
}

func (d *badDisk) WriteAt(b []byte, off int64) (int, error) {
	if d.writes != nil {
		n, _ := d.file.WriteAt(b[:min(d.part, len(b))], off)
		return n, d.writes
	}
	return d.file.WriteAt(b, off)
}

func (d *badDisk) datasync() error {
	if d.syncs != nil {
		return d.syncs
	}
	return d.file.datasync()
}

func TestAWriteThatFailsLeavesNothing(t *testing.T) {
	for _, part := range []int{0, 5, 20, 1000} {
		dir := t.TempDir()
		o := openJournal(t, dir)
		o.add(t, "before")
		bad := &badDisk{file: o.file, writes: errors.New("input/output error"), part: part}
		o.file = bad
		if err := o.Append([]byte("refused"), false); err == nil || !strings.Contains(err.Error(), "input/output error") {
			t.Fatalf("got %v", err)
		}
		bad.writes = nil
		o.add(t, "after")
		o.close(t)
		o = openJournal(t, dir)
		if want := []string{"before", "after"}; !slices.Equal(o.recs, want) {
			t.Errorf("%d octets of it written: got %q, want %q", part, o.recs, want)
		}
		o.close(t)
	}
}

func TestAfterASyncThatFailsTheLogIsBegunAnew(t *testing.T) {
	dir := t.TempDir()
	o := openJournal(t, dir)
	o.add(t, "before")
	bad := &badDisk{file: o.file, syncs: errors.New("input/output error")}
	o.file = bad
	if err := o.Append([]byte("refused"), false); err == nil {
		t.Fatal("no error")
	}
	bad.syncs = nil
	// The kernel may have forgotten what it could not write.
	if err := o.Append([]byte("refused too"), true); err == nil || !strings.Contains(err.Error(), "input/output error") {
		t.Fatalf("got %v", err)
	}
	if !o.Grown() || !o.Stats().Broken {
		t.Error("nobody is told to begin it anew")
	}
	if err := o.Compact(func(put func([]byte) error) error { return put([]byte("before")) }); err != nil {
		t.Fatal(err)
	}
	o.add(t, "after")
	o.close(t)
	o = openJournal(t, dir)
	defer o.close(t)
	if want := []string{"before", "after"}; !slices.Equal(o.recs, want) {
		t.Errorf("got %q, want %q", o.recs, want)
	}
}

func TestAClosedJournalTakesNothing(t *testing.T) {
	o := openJournal(t, t.TempDir())
	o.close(t)
	if err := o.Append([]byte("late"), false); !errors.Is(err, ErrJournalClosed) {
		t.Errorf("got %v", err)
	}
	if err := o.Compact(func(func([]byte) error) error { return nil }); err == nil {
		t.Error("Compact goes on after Close")
	}
}

func BenchmarkAppend(b *testing.B) {
	for _, callers := range []int{1, 64} {
		b.Run(fmt.Sprintf("callers-%d", callers), func(b *testing.B) {
			o := openJournal(b, b.TempDir())
			defer o.close(b)
			rec := make([]byte, 60)
			b.SetParallelism(callers)
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if err := o.Append(rec, false); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}
