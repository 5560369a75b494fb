package engine

import (
	"slices"
	"testing"
)

// A burst of which no interval sees much is given back as well, once it is over.
func TestALullComesAfterASlowBurst(t *testing.T) {
	var l lull
	var got []int
	total := uint64(0)
	for i := range 60 {
		switch {
		case i < 4:
			total += 2 << 20
		case i >= 10 && i < 50:
			total += 300 << 10
		}
		if l.begins(total) {
			got = append(got, i)
		}
	}
	if want := []int{7, 53}; !slices.Equal(got, want) {
		t.Errorf("lulls at %v, want %v", got, want)
	}
}
