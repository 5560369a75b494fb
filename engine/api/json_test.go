package api

import (
	"encoding/json"
	"testing"
	"time"
)

func TestUnixTimesEqualTheStandardLibrarys(t *testing.T) {
	for s := uint64(0); s < 1<<32; s += 7_919_353 / 3 {
		want, _ := json.Marshal(time.Unix(int64(s), 0).UTC())
		if got := appendUnix(nil, uint32(s)); string(got) != string(want) {
			t.Fatalf("%d: got %s, want %s", s, got, want)
		}
	}
	for _, s := range []uint32{0, 951782399, 951782400, 951868799, 4107542400, 1<<32 - 1} {
		want, _ := json.Marshal(time.Unix(int64(s), 0).UTC())
		if got := appendUnix(nil, s); string(got) != string(want) {
			t.Errorf("%d: got %s, want %s", s, got, want)
		}
	}
}

// FuzzString promises of any octets that they become one valid JSON string, which
// reads as the standard library would write them.
func FuzzString(f *testing.F) {
	for _, s := range []string{"", "a\"\\\n\r\t\x00\x1f", "é€𝄞", "\xff\xc3", "\xed\xa0\x80x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := appendString(nil, s)
		var back, want string
		if err := json.Unmarshal(got, &back); err != nil {
			t.Fatalf("%q: %v in %s", s, err, got)
		}
		std, _ := json.Marshal(s)
		if err := json.Unmarshal(std, &want); err != nil || back != want {
			t.Fatalf("%q: reads %q, want %q", s, back, want)
		}
	})
}
