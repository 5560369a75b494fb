package benchkit

import (
	"errors"
	"math/rand/v2"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
)

func TestSpreadIsMedianAndEnds(t *testing.T) {
	for _, c := range []struct {
		runs             []float64
		median, low, top float64
	}{
		{[]float64{3}, 3, 3, 3},
		{[]float64{5, 1, 3}, 3, 1, 5},
		{[]float64{4, 1, 2, 8}, 3, 1, 8},
	} {
		if s := NewSpread(c.runs); s.Median != c.median || s.Min != c.low || s.Max != c.top {
			t.Errorf("%v: got %+v", c.runs, s)
		}
	}
}

func TestPairsAlternate(t *testing.T) {
	var order strings.Builder
	side := func(name string, v float64) func() (float64, error) {
		return func() (float64, error) { order.WriteString(name); return v, nil }
	}
	a, b, err := Pairs(3, side("a", 2), side("b", 6))
	if err != nil || order.String() != "abbaab" || len(a) != 3 || len(b) != 3 || Ratios(b, a)[2] != 3 {
		t.Errorf("order %s, %v, %v, %v", order.String(), a, b, err)
	}
	_, _, err = Pairs(3, side("a", 1), func() (float64, error) { return 0, errors.New("no") })
	if err == nil {
		t.Error("an error was lost")
	}
}

func TestSlicesDropWhatDisturbsAFew(t *testing.T) {
	n := 0
	disturbed := func() float64 {
		if n++; n%5 == 0 {
			return 1000
		}
		return 2
	}
	a, b := Slices(4, 15, disturbed, func() float64 { return 7 })
	if len(a) != 4 || len(b) != 4 || NewSpread(a).Max != 2 || NewSpread(b).Min != 7 {
		t.Errorf("%v and %v", a, b)
	}
}

func TestVerdicts(t *testing.T) {
	for _, c := range []struct {
		row  Row
		want Verdict
	}{
		{Single("x", "B", []float64{20, 30, 25}, AtMost(25)), VerdictMet},
		{Single("x", "B", []float64{20, 30, 27}, AtMost(25)), VerdictSpread},
		{Single("x", "B", []float64{26, 30, 27}, AtMost(25)), VerdictShort},
		{Single("x", "M/s", []float64{2, 3, 4}, AtLeast(3)), VerdictMet},
		{Paired("x", "ns", "bart", []float64{10, 10}, []float64{100, 130}, LessIsBetter, RatioAtLeast(12)), VerdictSpread},
		{Paired("x", "/s", "bare", []float64{80, 81}, []float64{100, 100}, MoreIsBetter, RatioAtLeast(0.85)), VerdictShort},
		{Paired("x", "ns", "idle", []float64{105, 106}, []float64{100, 100}, OursToTheirs, RatioAtMost(1.1)), VerdictMet},
		{Single("x", "B", []float64{1}, nil), ""},
	} {
		if c.row.Verdict != c.want {
			t.Errorf("%+v: verdict %q, want %q", c.row, c.row.Verdict, c.want)
		}
	}
}

func TestReportComesBackFromJSONAndPrints(t *testing.T) {
	r := &Report{Machine: ThisMachine(), Data: "a test", Runs: 2}
	r.Rows = append(r.Rows, Paired("look-up", "ns", "bart", []float64{10, 12}, []float64{120, 150}, LessIsBetter, RatioAtLeast(12)), Single("size", "B", []float64{1234567}, nil))
	name := filepath.Join(t.TempDir(), "x", "y.json")
	if err := r.WriteJSON(name); err != nil {
		t.Fatal(err)
	}
	back, err := ReadReport(name)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	r.Print(&b, back)
	for _, want := range []string{"look-up  11.0 (10.0 – 12.0)", "12.2 (12.0 – 12.5)  ≥ 12.0 ×  met", "1,234,567", "+0% ~"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is missing in\n%s", want, b.String())
		}
	}
}

func TestHistogramQuantiles(t *testing.T) {
	h := NewHistogram(1000)
	for i := range 1000 {
		h.Add(int64(i))
	}
	h.Add(1 << 40)
	if h.Quantile(0.5) != 500 || h.Quantile(0.99) != 990 || h.Quantile(1) != 999 {
		t.Errorf("%v %v %v", h.Quantile(0.5), h.Quantile(0.99), h.Quantile(1))
	}
}

func TestInsideIsInside(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, s := range []string{"0.0.0.0/0", "10.0.0.0/8", "192.0.2.1/32", "::/0", "2001:db8::/32", "2001:db8:1:2::/64", "2001:db8::/65", "2001:db8::1/128"} {
		p := netip.MustParsePrefix(s)
		for range 1000 {
			if a := Inside(p, rng); !p.Contains(a) {
				t.Fatalf("%v is not in %v", a, p)
			}
		}
	}
}
