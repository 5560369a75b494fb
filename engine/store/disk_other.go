//go:build !linux

package store

import "errors"

func (f osFile) datasync() error { return f.Sync() }

// allocate is not there: room is found missing when it is written to.
func (f osFile) allocate(int64, int64) error { return errors.ErrUnsupported }

func isFull(error) bool { return false }
