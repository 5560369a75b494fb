package main

import (
	"path/filepath"
	"testing"

	"ribd/internal/benchkit"
)

// Announcing can be measured, whether or not its rivals are on this machine.
func TestAnnounceSmoke(t *testing.T) {
	if testing.Short() {
		t.Skip("builds ribd and starts it a few times")
	}
	name := filepath.Join(t.TempDir(), "report.json")
	t.Chdir(filepath.Join("..", ".."))
	c := announceCommand{measureFlags: measureFlags{JSON: name, Smoke: true, Data: "."}}
	if err := c.Run(); err != nil {
		t.Fatal(err)
	}
	r, err := benchkit.ReadReport(name)
	if err != nil {
		t.Fatal(err)
	}
	rivals, err := (&env{}).announceRivals()
	if err != nil {
		t.Fatal(err)
	}
	want := 3 + 3*len(rivals) // what is kept on disk has no rival
	if len(r.Rows) != want {
		t.Errorf("%d figures, want %d", len(r.Rows), want)
	}
	for _, row := range r.Rows {
		if row.Ours.Median <= 0 || row.Verdict != "" {
			t.Errorf("%s: %v, verdict %q of a smoke run", row.Name, row.Ours, row.Verdict)
		}
	}
}
