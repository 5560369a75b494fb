package main

import (
	"os"
	"path/filepath"
	"testing"

	"ribd/internal/benchkit"
)

// TestMain lets the test be the bare server, which ribbench starts from its own
// executable.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "bare" {
		os.Exit(run(os.Args[1:]))
	}
	os.Exit(m.Run())
}

// All figures can be measured, on tiny tables, and the report is read back and
// compared with.
func TestSmoke(t *testing.T) {
	if testing.Short() {
		t.Skip("builds ribd and starts it a few times")
	}
	name := filepath.Join(t.TempDir(), "report.json")
	t.Chdir(filepath.Join("..", ".."))
	if err := smoke(measureFlags{JSON: name}); err != nil {
		t.Fatal(err)
	}
	r, err := benchkit.ReadReport(name)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Rows) < 35 {
		t.Errorf("%d figures, want 35 or more", len(r.Rows))
	}
	seen := map[string]bool{}
	for _, row := range r.Rows {
		if seen[row.Name] {
			t.Errorf("two figures are called %q", row.Name)
		}
		seen[row.Name] = true
		if row.Verdict != "" {
			t.Errorf("%s: verdict %q of a smoke run", row.Name, row.Verdict)
		}
		if row.Theirs != nil && row.Theirs.Median <= 0 {
			t.Errorf("%s: %v of %s", row.Name, row.Theirs, row.Rival)
		}
	}
}

func smoke(f measureFlags) error {
	f.Smoke, f.Data = true, "."
	c := allCommand{f}
	return c.Run()
}

// So can those of Flow Spec, and the naive walk agrees.
func TestSmokeFlowspec(t *testing.T) {
	if testing.Short() {
		t.Skip("builds ribd and starts it a few times")
	}
	name := filepath.Join(t.TempDir(), "report.json")
	t.Chdir(filepath.Join("..", ".."))
	c := flowspecCommand{measureFlags: measureFlags{Smoke: true, Data: ".", JSON: name}}
	if err := c.Run(); err != nil {
		t.Fatal(err)
	}
	r, err := benchkit.ReadReport(name)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Rows) < 23 {
		t.Errorf("%d figures, want 23 or more", len(r.Rows))
	}
}
