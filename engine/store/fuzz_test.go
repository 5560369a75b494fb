package store

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Whatever is in a log: it is an error that names the file and an octet of it, or
// records that are there again after the end was cut off, and are followed by
// what is appended then.
func FuzzLog(f *testing.F) {
	dir := f.TempDir()
	o := openJournal(f, dir)
	o.add(f, numbered(0, 4)...)
	path := o.logFile()
	o.close(f)
	whole, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add(whole[:len(whole)-3])
	f.Add(whole[:len(fileMagic)])
	f.Add(append(slices.Clone(whole[:60]), whole...))
	f.Add([]byte{})
	f.Add(make([]byte, 12))
	f.Fuzz(func(t *testing.T, b []byte) {
		dir := t.TempDir()
		path := filepath.Join(dir, logName(1))
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		o, err := tryJournal(dir)
		if err != nil {
			if !strings.Contains(err.Error(), path+" is damaged at octet ") {
				t.Errorf("the error is %v", err)
			}
			return
		}
		first := o.recs
		o.add(t, "more")
		o.close(t)
		o = openJournal(t, dir)
		defer o.close(t)
		if want := append(slices.Clone(first), "more"); !slices.Equal(o.recs, want) {
			t.Errorf("got %q, then %q", first, o.recs)
		}
	})
}
