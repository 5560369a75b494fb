// Package golden finds test data and compares output with golden files.
//
// It owns nothing but paths: the shared data folder that real tables and
// captures are read from, and the testdata folder of the calling package.
package golden

import (
	"flag"
	"os"
	"path/filepath"
	"testing"
)

var update = flag.Bool("update", false, "accept the output of this run as the golden files")

// Data returns the path of a file below the shared data folder, which the
// environment variable RIBD_DATA names, or which is ../shared/data beside the
// module. A missing file skips the test, and fails it where CI=true.
func Data(t testing.TB, elem ...string) string {
	t.Helper()
	dir := os.Getenv("RIBD_DATA")
	if dir == "" {
		dir = filepath.Join(moduleRoot(t), "..", "shared", "data")
	}
	path := filepath.Join(append([]string{dir}, elem...)...)
	if _, err := os.Stat(path); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("test data is required in CI: %v", err)
		}
		t.Skipf("test data is not here: %v", err)
	}
	return path
}

// Compare fails the test where got differs from testdata/name; with -update it
// writes the file instead.
func Compare(t testing.TB, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v (go test -update accepts the output)", err)
	}
	if string(got) != string(want) {
		t.Errorf("output differs from %s\ngot:\n%s\nwant:\n%s", path, got, want)
	}
}

func moduleRoot(t testing.TB) string {
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			t.Fatal("no go.mod above the working directory")
		}
		dir = parent
	}
}
