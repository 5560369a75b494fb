package store

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
)

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
