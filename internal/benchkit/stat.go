package benchkit

import (
	"math"
	"slices"
)

// Spread is what several runs measured.
type Spread struct {
	Median float64   `json:"median"`
	Min    float64   `json:"min"`
	Max    float64   `json:"max"`
	Runs   []float64 `json:"runs"`
}

// NewSpread sums up the runs, which stay in the order in which they were made.
func NewSpread(runs []float64) Spread {
	if len(runs) == 0 {
		return Spread{Median: math.NaN(), Min: math.NaN(), Max: math.NaN()}
	}
	s := slices.Sorted(slices.Values(runs))
	m := s[len(s)/2]
	if len(s)%2 == 0 {
		m = (s[len(s)/2-1] + m) / 2
	}
	return Spread{Median: m, Min: s[0], Max: s[len(s)-1], Runs: runs}
}

// Pairs runs both sides n times, side by side, and turns the order around each
// time, so that what disturbs the machine meets both. The first error ends it.
func Pairs(n int, ours, rival func() (float64, error)) (a, b []float64, err error) {
	sides := [2]func() (float64, error){ours, rival}
	out := [2][]float64{}
	for i := range n {
		for j := range 2 {
			side := (i + j) % 2
			v, err := sides[side]()
			if err != nil {
				return out[0], out[1], err
			}
			out[side] = append(out[side], v)
		}
	}
	return out[0], out[1], nil
}

// Slices is Pairs for sides that can be measured in a few milliseconds: each run is
// the median of many slices, in turn with the other side's, so that what takes the
// processor away for a moment falls out.
func Slices(n, slices int, ours, rival func() float64) (a, b []float64) {
	for range n {
		x, y, _ := Pairs(slices, func() (float64, error) { return ours(), nil }, func() (float64, error) { return rival(), nil })
		a, b = append(a, NewSpread(x).Median), append(b, NewSpread(y).Median)
	}
	return a, b
}

// Times runs one side n times.
func Times(n int, f func() (float64, error)) (runs []float64, err error) {
	for range n {
		v, err := f()
		if err != nil {
			return runs, err
		}
		runs = append(runs, v)
	}
	return runs, nil
}

// Ratios divides run by run: a[i] / b[i].
func Ratios(a, b []float64) []float64 {
	out := make([]float64, min(len(a), len(b)))
	for i := range out {
		out[i] = a[i] / b[i]
	}
	return out
}

// Histogram counts durations to the nanosecond below its size; longer ones share
// the last place. It takes no lock.
type Histogram struct {
	counts []uint32
	total  uint64
}

// NewHistogram keeps durations below size nanoseconds apart.
func NewHistogram(size int) *Histogram { return &Histogram{counts: make([]uint32, size)} }

// Add counts one duration in nanoseconds.
func (h *Histogram) Add(ns int64) {
	h.counts[min(max(int(ns), 0), len(h.counts)-1)]++
	h.total++
}

// Quantile returns the smallest duration that q (0 to 1) of all do not exceed.
func (h *Histogram) Quantile(q float64) float64 {
	rest := int64(math.Ceil(q * float64(h.total)))
	for i, c := range h.counts {
		if rest -= int64(c); rest <= 0 {
			return float64(i)
		}
	}
	return float64(len(h.counts) - 1)
}
