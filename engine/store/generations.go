package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The files of the journal are numbered. Snapshot N is what the logs before N
// come to, and log N begins when it does; without a snapshot, the logs begin
// with 1. So what counts is the highest snapshot and the logs from its number
// on: more than one of them where a Compact did not come to its end.
const (
	journalName = "originated-"
	logSuffix   = ".journal"
	snapSuffix  = ".snapshot"
	newSuffix   = ".new"
)

func logName(n uint64) string      { return fmt.Sprintf("%s%08d%s", journalName, n, logSuffix) }
func snapshotName(n uint64) string { return fmt.Sprintf("%s%08d%s", journalName, n, snapSuffix) }

// generations returns the numbers of the snapshots and logs in a folder, in
// ascending order, and takes away what a Compact has left unfinished.
func generations(dir string) (snapshots, logs []uint64, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, nil, err
	}
	for _, e := range entries {
		name, ok := strings.CutPrefix(e.Name(), journalName)
		if !ok {
			continue
		}
		if strings.HasSuffix(name, newSuffix) {
			os.Remove(filepath.Join(dir, e.Name()))
			continue
		}
		for suffix, list := range map[string]*[]uint64{logSuffix: &logs, snapSuffix: &snapshots} {
			if num, ok := strings.CutSuffix(name, suffix); ok {
				if n, err := strconv.ParseUint(num, 10, 63); err == nil {
					*list = append(*list, n)
				}
			}
		}
	}
	slices.Sort(snapshots)
	slices.Sort(logs)
	return snapshots, logs, nil
}

// Journal opens the journal of what is originated, which it begins where there
// is none. What it says of what it finds goes to log (nil: slog.Default).
// Replay comes next.
func (s *Store) Journal(log *slog.Logger) (*Journal, error) {
	if log == nil {
		log = slog.Default()
	}
	j := &Journal{dir: s.dir, log: log}
	snapshots, logs, err := generations(s.dir)
	if err != nil {
		return nil, fmt.Errorf("persist: %w", err)
	}
	if len(snapshots) == 0 && len(logs) == 0 {
		if err := j.begin(1); err != nil {
			return nil, fmt.Errorf("persist: %w", err)
		}
		return j, nil
	}
	first := uint64(1)
	if n := len(snapshots); n > 0 {
		first = snapshots[n-1]
	}
	for len(logs) > 0 && logs[0] < first {
		os.Remove(filepath.Join(s.dir, logName(logs[0])))
		logs = logs[1:]
	}
	for i := range len(snapshots) - 1 {
		os.Remove(filepath.Join(s.dir, snapshotName(snapshots[i])))
	}
	for i := range max(1, len(logs)) {
		if i >= len(logs) || logs[i] != first+uint64(i) {
			return nil, fmt.Errorf("persist: %s is missing in %s: bring it back, or move the other files %s* away to start without what they hold",
				logName(first+uint64(i)), s.dir, journalName)
		}
	}
	j.number = logs[len(logs)-1]
	f, err := os.OpenFile(filepath.Join(s.dir, logName(j.number)), os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("persist: %w", err)
	}
	j.file, j.end = osFile{f}, -1
	return j, nil
}

// begin makes an empty log and appends to it from now on. The log before it is
// closed.
func (j *Journal) begin(number uint64) error {
	path := filepath.Join(j.dir, logName(number))
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o640)
	if err != nil {
		return err
	}
	if _, err = f.Write([]byte(fileMagic)); err == nil {
		if err = f.Sync(); err == nil {
			err = syncDir(j.dir)
		}
	}
	if err != nil {
		f.Close()
		os.Remove(path)
		return err
	}
	j.disk.Lock()
	defer j.disk.Unlock()
	if j.closed {
		f.Close()
		os.Remove(path)
		return ErrJournalClosed
	}
	if j.file != nil {
		j.file.Close()
	}
	j.file, j.number, j.end, j.allocated, j.broken = osFile{f}, number, int64(len(fileMagic)), 0, nil
	s := &j.sizes
	s.Lock()
	defer s.Unlock()
	s.older += s.log
	s.log, s.broken = j.end, false
	return nil
}

// Replay yields the records in the order in which they were appended. It is
// called once, before the first Append. rec is borrowed. A frame that was torn
// when ribd was killed, the last one, was never acknowledged: it is cut off, and
// logged. Other damage is an error that names the file and the octet.
func (j *Journal) Replay(yield func(rec []byte) error) error {
	snapshots, logs, err := generations(j.dir)
	if err != nil {
		return fmt.Errorf("persist: %w", err)
	}
	if n := len(snapshots); n > 0 {
		end, size, err := j.read(snapshotName(snapshots[n-1]), yield)
		if err != nil {
			return err
		}
		if end != size {
			return j.damaged(snapshotName(snapshots[n-1]), end, "")
		}
		j.sizes.snapshot = size
	}
	for _, n := range logs {
		end, size, err := j.read(logName(n), yield)
		if err != nil {
			return err
		}
		if end != size {
			j.log.Warn("the end of the journal was torn, which happens when ribd or the machine is stopped while it writes; it had not been acknowledged, and is cut off",
				"file", filepath.Join(j.dir, logName(n)), "octet", end, "octets", size-end)
		}
		if n != j.number {
			j.sizes.older += end
			continue
		}
		if err := j.trim(end, size); err != nil {
			return fmt.Errorf("persist: %s: %w", logName(n), err)
		}
	}
	return nil
}

// trim makes the log in use end where its last whole frame does.
func (j *Journal) trim(end, size int64) error {
	j.disk.Lock()
	defer j.disk.Unlock()
	if end < int64(len(fileMagic)) {
		if _, err := j.file.WriteAt([]byte(fileMagic), 0); err != nil {
			return err
		}
		end = int64(len(fileMagic))
	}
	if end != size {
		if err := j.file.Truncate(end); err != nil {
			return err
		}
		if err := j.file.datasync(); err != nil {
			return err
		}
	}
	j.end = end
	j.sizes.Lock()
	defer j.sizes.Unlock()
	j.sizes.log = end
	return nil
}

// read yields the records of a file up to its first frame that is not whole, and
// returns where that begins: at size where there is none.
func (j *Journal) read(name string, yield func(rec []byte) error) (end, size int64, err error) {
	f, err := os.Open(filepath.Join(j.dir, name))
	if err != nil {
		return 0, 0, fmt.Errorf("persist: %w", err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return 0, 0, fmt.Errorf("persist: %w", err)
	}
	r := &frameReader{f: f, size: st.Size(), off: int64(len(fileMagic))}
	head := make([]byte, min(r.size, r.off))
	if _, err := f.ReadAt(head, 0); err != nil {
		return 0, 0, fmt.Errorf("persist: %s: %w", name, err)
	}
	if string(head) != fileMagic {
		if r.size <= r.off && (fileMagic[:len(head)] == string(head) || isZero(head)) {
			return 0, r.size, nil // torn when it was begun
		}
		return 0, 0, j.damaged(name, 0, "it does not begin like a journal of this ribd; ")
	}
	for {
		at := r.off
		payload, ok, err := r.next()
		if err != nil {
			return 0, 0, fmt.Errorf("persist: %s at octet %d: %w", name, at, err)
		}
		if !ok {
			break
		}
		for len(payload) > 0 {
			n, w := binary.Uvarint(payload)
			if w <= 0 || n > uint64(len(payload)-w) {
				return 0, 0, j.damaged(name, at, "")
			}
			if err := yield(payload[w : w+int(n)]); err != nil {
				return 0, 0, fmt.Errorf("persist: %s at octet %d: %w", name, at, err)
			}
			payload = payload[w+int(n):]
		}
	}
	if r.off < r.size {
		next, err := r.behind()
		if err != nil {
			return 0, 0, fmt.Errorf("persist: %s: %w", name, err)
		}
		if next >= 0 {
			return 0, 0, j.damaged(name, r.off, fmt.Sprintf("what is at octet %d is whole again; ", next))
		}
	}
	return r.off, r.size, nil
}

func isZero(b []byte) bool {
	for _, v := range b {
		if v != 0 {
			return false
		}
	}
	return true
}

func (j *Journal) damaged(name string, at int64, more string) error {
	return fmt.Errorf("persist: %s is damaged at octet %d: %sbring it back from a copy, or move the files %s* away to start without what they hold",
		filepath.Join(j.dir, name), at, more, journalName)
}

// Compact begins a new log, has write put what the records before it come to,
// and makes that the snapshot which stands for them. Append goes on meanwhile,
// into the new log. After an error everything is there that was there.
func (j *Journal) Compact(write func(put func(rec []byte) error) error) (err error) {
	j.compacting.Lock()
	defer j.compacting.Unlock()
	defer func() {
		if err != nil {
			j.sizes.Lock()
			defer j.sizes.Unlock()
			j.sizes.wait = min(max(2*j.sizes.wait, compactWait), compactMost)
			j.sizes.tryAfter = time.Now().Add(j.sizes.wait)
		}
	}()
	j.disk.Lock()
	number := j.number + 1
	j.disk.Unlock()
	if err := j.begin(number); err != nil {
		return fmt.Errorf("persist: %w", err)
	}
	path := filepath.Join(j.dir, snapshotName(number))
	size, err := writeSnapshot(path+newSuffix, write)
	if err == nil {
		err = os.Rename(path+newSuffix, path)
	}
	if err == nil {
		err = syncDir(j.dir)
	}
	if err != nil {
		os.Remove(path + newSuffix)
		return fmt.Errorf("persist: %w", err)
	}
	j.sizes.Lock()
	j.sizes.snapshot, j.sizes.older, j.sizes.wait = size, 0, 0
	j.sizes.Unlock()
	snapshots, logs, err := generations(j.dir)
	for _, n := range snapshots {
		if n < number {
			err = errors.Join(err, remove(filepath.Join(j.dir, snapshotName(n))))
		}
	}
	for _, n := range logs {
		if n < number {
			err = errors.Join(err, remove(filepath.Join(j.dir, logName(n))))
		}
	}
	return err
}

func remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("persist: %w", err)
	}
	return nil
}

// writeSnapshot writes a file and forces it to the disk.
func writeSnapshot(path string, write func(put func(rec []byte) error) error) (size int64, err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o640)
	if err != nil {
		return 0, err
	}
	defer func() {
		if cerr := f.Close(); err == nil {
			err = cerr
		}
	}()
	if _, err = f.Write([]byte(fileMagic)); err != nil {
		return 0, err
	}
	size = int64(len(fileMagic))
	var buf []byte
	err = write(func(rec []byte) error {
		buf = beginFrame(buf[:0])
		buf = binary.AppendUvarint(buf, uint64(len(rec)))
		buf = append(buf, rec...)
		endFrame(buf, size)
		_, err := f.Write(buf)
		size += int64(len(buf))
		return err
	})
	if err != nil {
		return 0, err
	}
	return size, f.Sync()
}
