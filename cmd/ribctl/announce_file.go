package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"sync/atomic"
)

// besideFile says whether flags of a command (a struct) are given that --file
// has no use for, since its objects have them: all but those that are named.
func besideFile(command reflect.Value, but ...string) bool {
	for i := range command.NumField() {
		f := command.Type().Field(i)
		switch v := command.Field(i); {
		case f.Anonymous && besideFile(v, but...):
			return true
		case f.Anonymous, f.Name == "File", slices.Contains(but, f.Name):
		case v.Kind() == reflect.Slice && v.Len() == 0:
		case !v.IsZero():
			return true
		}
	}
	return false
}

// openPaths opens a file of paths, and looks whether it is a list.
func openPaths(e *env, name string) (in io.ReadCloser, isList bool, err error) {
	var src io.ReadCloser
	if name == "-" {
		src = io.NopCloser(e.in)
	} else if src, err = os.Open(name); err != nil {
		return nil, false, fmt.Errorf("%s: can't open it: %w", name, errors.Unwrap(err))
	}
	r := bufio.NewReaderSize(src, 1<<16)
	for {
		c, err := r.ReadByte()
		switch {
		case err == io.EOF:
			src.Close()
			return nil, false, fmt.Errorf("%s: is empty", name)
		case err != nil:
			src.Close()
			return nil, false, fmt.Errorf("%s: %w", name, err)
		case c == ' ' || c == '\t' || c == '\r' || c == '\n':
			continue
		}
		if err := r.UnreadByte(); err != nil {
			return nil, false, err
		}
		return readCloser{r, src}, c == '[', nil
	}
}

type readCloser struct {
	io.Reader
	io.Closer
}

// pathLines is a stream of JSON objects, however they are laid out, as one a
// line. It is read while the answers come.
type pathLines struct {
	*io.PipeReader
	wrong atomic.Pointer[error]
}

// linesOf reads objects one after the other.
func linesOf(in io.Reader) *pathLines {
	r, w := io.Pipe()
	l := &pathLines{PipeReader: r}
	go func() {
		d := json.NewDecoder(in)
		out := bufio.NewWriterSize(w, 1<<15)
		for n := 1; ; n++ {
			var raw json.RawMessage
			err := d.Decode(&raw)
			if err == io.EOF {
				_ = out.Flush() // who reads is gone, or gets the end
				_ = w.Close()
				return
			}
			if err != nil {
				err = fmt.Errorf("object %d, near octet %d: %w", n, d.InputOffset(), err)
				l.wrong.Store(&err)
				_ = out.Flush()
				_ = w.Close() // what came before is sent and answered
				return
			}
			if err := writeLine(out, raw); err != nil {
				return
			}
			// What is typed is sent at once, what comes from a file in full parts.
			if d.Buffered() != nil && !more(d) {
				if out.Flush() != nil {
					return
				}
			}
		}
	}()
	return l
}

// more says whether the decoder holds some of the next object already.
func more(d *json.Decoder) bool {
	var b [64]byte
	n, _ := d.Buffered().Read(b[:])
	for _, c := range b[:n] {
		if c != ' ' && c != '\t' && c != '\r' && c != '\n' {
			return true
		}
	}
	return false
}

// writeLine writes an object without line ends.
func writeLine(out *bufio.Writer, raw json.RawMessage) error {
	for _, c := range raw {
		if c == '\n' || c == '\r' { // never inside of a string
			c = ' '
		}
		if err := out.WriteByte(c); err != nil {
			return err
		}
	}
	return out.WriteByte('\n')
}

// broke is why the objects ended before the end of what was read.
func (l *pathLines) broke() error {
	if err := l.wrong.Load(); err != nil {
		return *err
	}
	return nil
}
