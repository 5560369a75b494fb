package store

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
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
