package benchkit

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"text/tabwriter"
	"time"
)

// Goal is what a figure should reach: the median of the ratio, or of what was
// measured where Ratio is false; at least Value, or at most with Most.
type Goal struct {
	Ratio bool    `json:"ratio"`
	Most  bool    `json:"most"`
	Value float64 `json:"value"`
}

// AtLeast is a goal for the value itself.
func AtLeast(v float64) *Goal { return &Goal{Value: v} }

// AtMost is a goal for the value itself.
func AtMost(v float64) *Goal { return &Goal{Value: v, Most: true} }

// RatioAtLeast is a goal for the ratio to the rival.
func RatioAtLeast(v float64) *Goal { return &Goal{Value: v, Ratio: true} }

// RatioAtMost is a goal for the ratio to the rival.
func RatioAtMost(v float64) *Goal { return &Goal{Value: v, Ratio: true, Most: true} }

// Verdict says whether a goal was reached.
type Verdict string

// The verdicts. A goal within the spread of the runs is reached, since machines are
// noisy, but told apart.
const (
	VerdictMet    Verdict = "met"
	VerdictSpread Verdict = "met (in spread)"
	VerdictShort  Verdict = "SHORT"
)

// Row is one figure: what we measured, what the rival measured in the same run,
// and how they compare.
type Row struct {
	Name    string  `json:"name"`
	Unit    string  `json:"unit"`
	Ours    Spread  `json:"ours"`
	Rival   string  `json:"rival,omitempty"` // what stands on the other side
	Theirs  *Spread `json:"theirs,omitempty"`
	Ratio   *Spread `json:"ratio,omitempty"` // by pair, see Compare
	Goal    *Goal   `json:"goal,omitempty"`
	Verdict Verdict `json:"verdict,omitempty"`
	Note    string  `json:"note,omitempty"`
}

// Single makes the row of a figure without a rival in the run.
func Single(name, unit string, runs []float64, goal *Goal) Row {
	r := Row{Name: name, Unit: unit, Ours: NewSpread(runs), Goal: goal}
	r.judge()
	return r
}

// Compare says how a ratio is made.
type Compare uint8

// How a ratio is made: how many times better we are, or plainly ours / theirs.
const (
	LessIsBetter Compare = iota // theirs / ours
	MoreIsBetter                // ours / theirs
	OursToTheirs                // ours / theirs, above 1 is worse
)

// Paired makes the row of a figure with a rival.
func Paired(name, unit, rival string, ours, theirs []float64, c Compare, goal *Goal) Row {
	a, b := NewSpread(ours), NewSpread(theirs)
	ratio := NewSpread(Ratios(ours, theirs))
	if c == LessIsBetter {
		ratio = NewSpread(Ratios(theirs, ours))
	}
	r := Row{Name: name, Unit: unit, Ours: a, Rival: rival, Theirs: &b, Ratio: &ratio, Goal: goal}
	r.judge()
	return r
}

func (r *Row) judge() {
	if r.Goal == nil {
		return
	}
	s := r.Ours
	if r.Goal.Ratio && r.Ratio != nil {
		s = *r.Ratio
	}
	reached := func(v float64) bool {
		if r.Goal.Most {
			return v <= r.Goal.Value
		}
		return v >= r.Goal.Value
	}
	switch {
	case reached(s.Median):
		r.Verdict = VerdictMet
	case reached(s.Min) || reached(s.Max):
		r.Verdict = VerdictSpread
	default:
		r.Verdict = VerdictShort
	}
}

// Machine describes where a report was made.
type Machine struct {
	CPU    string `json:"cpu"`
	Cores  int    `json:"cores"`
	Memory uint64 `json:"memory_bytes"`
	OS     string `json:"os"`
	Go     string `json:"go"`
}

// ThisMachine looks around.
func ThisMachine() Machine {
	m := Machine{CPU: "unknown", Cores: runtime.NumCPU(), OS: runtime.GOOS + "/" + runtime.GOARCH, Go: runtime.Version()}
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(text)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				m.CPU = strings.TrimSpace(value)
				break
			}
		}
	}
	if text, err := os.ReadFile("/proc/meminfo"); err == nil {
		var kb uint64
		if _, err := fmt.Sscanf(string(text), "MemTotal: %d kB", &kb); err == nil {
			m.Memory = kb << 10
		}
	}
	return m
}

// Report is everything that one command measured.
type Report struct {
	Date    time.Time `json:"date"`
	Machine Machine   `json:"machine"`
	Data    string    `json:"data"` // which tables
	Runs    int       `json:"runs"`
	Rows    []Row     `json:"rows"`
}

// WriteJSON makes a file of the report.
func (r *Report) WriteJSON(name string) error {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	return os.WriteFile(name, append(data, '\n'), 0o644)
}

// ReadReport reads what WriteJSON made.
func ReadReport(name string) (*Report, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	r := &Report{}
	if err := json.Unmarshal(data, r); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return r, nil
}

// Print writes the rows as a table: medians with the least and the greatest run,
// the rival of the same run, the ratio by pair, goal and verdict; with a baseline
// also how the median changed.
func (r *Report) Print(w io.Writer, baseline *Report) {
	fmt.Fprintf(w, "%s, %d cores, %s; %s; %d runs; median (least – most)\n\n", r.Machine.CPU, r.Machine.Cores, r.Machine.Go, r.Data, r.Runs)
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	head := "figure\tribd\tunit\tbeside it\t\tratio\tgoal\tverdict"
	if baseline != nil {
		head += "\tbaseline"
	}
	fmt.Fprintln(tw, head)
	for _, row := range r.Rows {
		theirs, ratio, goal := "", "", ""
		if row.Theirs != nil {
			theirs, ratio = row.Theirs.String(), row.Ratio.String()
		}
		if row.Goal != nil {
			goal = row.Goal.String()
		}
		fmt.Fprintf(tw, "%s\t%v\t%s\t%s\t%s\t%s\t%s\t%s", row.Name, row.Ours, row.Unit, row.Rival, theirs, ratio, goal, row.Verdict)
		if baseline != nil {
			fmt.Fprintf(tw, "\t%s", baseline.change(row))
		}
		fmt.Fprintln(tw)
	}
	tw.Flush()
	first := true
	for _, row := range r.Rows {
		if row.Note == "" {
			continue
		}
		if first {
			fmt.Fprintln(w)
			first = false
		}
		fmt.Fprintf(w, "%s: %s\n", row.Name, row.Note)
	}
}

// change compares a row with that of the same name in the baseline.
func (r *Report) change(row Row) string {
	for _, old := range r.Rows {
		if old.Name != row.Name || old.Ours.Median == 0 {
			continue
		}
		text := fmt.Sprintf("%s %+.0f%%", number(old.Ours.Median), 100*(row.Ours.Median/old.Ours.Median-1))
		if row.Ours.Min <= old.Ours.Max && old.Ours.Min <= row.Ours.Max {
			return text + " ~"
		}
		return text
	}
	return "new"
}

// String is "126 (121 – 140)".
func (s Spread) String() string {
	if len(s.Runs) == 1 {
		return number(s.Median)
	}
	return fmt.Sprintf("%s (%s – %s)", number(s.Median), number(s.Min), number(s.Max))
}

// String is "≥ 12 ×" or "≤ 24".
func (g *Goal) String() string {
	text := "≥ "
	if g.Most {
		text = "≤ "
	}
	text += number(g.Value)
	if g.Ratio {
		text += " ×"
	}
	return text
}

// number writes three digits that count, and groups of thousands.
func number(v float64) string {
	switch {
	case v != v:
		return "–"
	case v >= 99.95 || v <= -99.95:
		digits := fmt.Sprintf("%.0f", v)
		for i := len(digits) - 3; i > 0 && digits[i-1] != '-'; i -= 3 {
			digits = digits[:i] + "," + digits[i:]
		}
		return digits
	case v >= 9.995:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}
