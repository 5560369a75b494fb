package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// The command in sample/README.md makes the committed sample again.
func TestSampleIsWhatItsREADMEMakes(t *testing.T) {
	args := sampleArgs(t)
	out := filepath.Join(t.TempDir(), "sample.mrt.zst")
	for i, a := range args {
		switch {
		case strings.HasPrefix(a, "$("):
			args[i] = filepath.Join(bartDir(t), strings.TrimPrefix(a, "$(go list -m -f '{{.Dir}}' github.com/gaissmai/bart)/"))
		case a == "sample/sample.mrt.zst":
			args[i] = out
		}
	}
	if code := run(args); code != 0 {
		t.Fatalf("ribbench %q: exit status %d", args, code)
	}
	committed := filepath.Join("..", "..", "sample", "sample.mrt.zst")
	got, want := sha256.Sum256(unpack(t, out)), sha256.Sum256(unpack(t, committed))
	if got != want {
		t.Errorf("the table has sha256 %x, the committed one %x", got, want)
	}
	if info, err := os.Stat(committed); err != nil || info.Size() > 1_500_000 {
		t.Errorf("sample: %v, %d bytes; it must stay below 1.5 MB", err, info.Size())
	}
}

// sampleArgs reads the arguments of ribbench from the README's command.
func sampleArgs(t *testing.T) []string {
	text, err := os.ReadFile(filepath.Join("..", "..", "sample", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(text), "go run ./cmd/ribbench ")
	command, _, ok := strings.Cut(after, "```")
	if !ok {
		t.Fatal("sample/README.md holds no command")
	}
	var args []string
	quoted := strings.Split(strings.ReplaceAll(command, "\\\n", " "), `"`)
	for i, part := range quoted {
		if i%2 == 1 {
			args = append(args, part)
		} else {
			args = append(args, strings.Fields(part)...)
		}
	}
	return args
}

func bartDir(t testing.TB) string {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/gaissmai/bart").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	return strings.TrimSpace(string(out))
}

func unpack(t *testing.T, name string) []byte {
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	switch filepath.Ext(name) {
	case ".zst":
		z, err := zstd.NewReader(nil)
		if err != nil {
			t.Fatal(err)
		}
		defer z.Close()
		if data, err = z.DecodeAll(data, nil); err != nil {
			t.Fatal(err)
		}
	case ".gz":
		z, err := gzip.NewReader(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if _, err := b.ReadFrom(z); err != nil {
			t.Fatal(err)
		}
		data = b.Bytes()
	}
	return data
}

// All suffixes hold the same table, twice the same command the same octets, and
// another seed another table.
func TestGenIsDeterministic(t *testing.T) {
	dir := t.TempDir()
	gen := func(name, seed string) (table, updates []byte) {
		table2, updates2 := filepath.Join(dir, name), filepath.Join(dir, "u-"+name)
		args := []string{"gen", "--ipv4", "3000", "--ipv6", "700", "--peers", "4", "--partial", "1", "--add-path", "3", "--seed", seed,
			"--out", table2, "--updates", updates2, "--messages", "500"}
		if code := run(args); code != 0 {
			t.Fatalf("exit status %d", code)
		}
		return unpack(t, table2), unpack(t, updates2)
	}
	table, updates := gen("a.mrt", "7")
	for _, name := range []string{"b.mrt", "b.mrt.gz", "b.mrt.zst"} {
		t2, u2 := gen(name, "7")
		if !bytes.Equal(table, t2) || !bytes.Equal(updates, u2) {
			t.Errorf("%s differs from the first run", name)
		}
	}
	other, _ := gen("c.mrt", "8")
	if bytes.Equal(table, other) {
		t.Error("another seed made the same table")
	}
	const want = "abb3921a092998d781db262d8a0e04fc071efac71546c0247552240ae344af02"
	if got := fmt.Sprintf("%x", sha256.Sum256(append(table, updates...))); got != want {
		t.Errorf("sha256 %s, want %s: a generator that changes makes other baselines; say so in the commit", got, want)
	}
}
