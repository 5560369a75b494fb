package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

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
