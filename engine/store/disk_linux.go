package store

import (
	"errors"

	"golang.org/x/sys/unix"
)

// datasync forces what was written to the disk, without what nobody needs for
// reading it.
func (f osFile) datasync() error {
	for {
		if err := unix.Fdatasync(int(f.Fd())); err != unix.EINTR {
			return err
		}
	}
}

// allocate has the disk keep room for octets behind the end of the file, which
// stays where it is.
func (f osFile) allocate(off, n int64) error {
	for {
		if err := unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_KEEP_SIZE, off, n); err != unix.EINTR {
			return err
		}
	}
}

// isFull says whether an error is of a disk without room.
func isFull(err error) bool {
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) || errors.Is(err, unix.EFBIG)
}
