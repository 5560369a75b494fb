package origin

import (
	"testing"
	"time"
)

// A route that is to end at a time ends then, however long it waited for its turn.
func TestTTLCountsFromWhereItIsSaid(t *testing.T) {
	r := newRig(t, Options{})
	from := time.Now().Add(-10 * time.Minute).Round(0)
	late := route("10.0.0.0/8", ttl(time.Hour), func(w *Route) { w.From = from })
	past := route("172.16.0.0/12", ttl(time.Minute), func(w *Route) { w.From = from })
	res := r.announce(late, past)
	if want := from.Add(time.Hour); !res[0].Expires.Equal(want) {
		t.Errorf("ends at %v, want %v", res[0].Expires, want)
	}
	r.gone(past, time.Now().Add(time.Minute))
	if len(r.inRIB(late.Key)) != 1 {
		t.Error("what has not ended is gone")
	}
}
