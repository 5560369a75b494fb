package rules

import (
	"math/rand/v2"
	"slices"
	"testing"

	"ribd/wire"
	"ribd/wire/flowspec"
)

func TestShadowedRulesAreTold(t *testing.T) {
	for _, c := range []struct {
		name, front, behind string
		shadowed            bool
	}{
		{"more of a protocol", "destination 192.0.2.0/24 protocol =6 =17", "destination 192.0.2.0/24 protocol =17", true},
		{"either port holds the destination port", "destination 192.0.2.0/24 protocol =17 port =53", "destination 192.0.2.0/24 protocol =17 destination-port =53", true},
		{"either port holds the source port", "destination 192.0.2.0/24 port =53", "destination 192.0.2.0/24 source-port =53", true},
		{"but not another", "destination 192.0.2.0/24 port =53", "destination 192.0.2.0/24 source-port =54", false},
		{"a range", "source 192.0.2.0/24 packet-length >=64&<=1500", "source 192.0.2.0/24 packet-length >=100&<=200 =300", true},
		{"a range that ends before", "source 192.0.2.0/24 packet-length >=64&<=250", "source 192.0.2.0/24 packet-length >=100&<=200 =300", false},
		{"every destination is as none", "destination 0.0.0.0/0", "protocol =17", true},
		{"every source is as none", "source 0.0.0.0/0 protocol =17", "protocol =17 destination-port =53", true},
		{"flags that mean more", "destination 192.0.2.1/32 tcp-flags =syn", "destination 192.0.2.1/32 tcp-flags =syn+ack", true},
		{"flags that mean another", "destination 192.0.2.1/32 tcp-flags =syn", "destination 192.0.2.1/32 tcp-flags =rst", false},
		{"one more component", "destination 192.0.2.0/24 protocol =17 port =53", "destination 192.0.2.0/24 protocol =17 packet-length >=0", false},
		{"a longer destination", "destination 192.0.2.1/32", "destination 192.0.2.0/24", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			front, behind := nlriOf(t, c.front), nlriOf(t, c.behind)
			f := wire.IPv4FlowSpec
			if flowspec.Compare(f, front, behind) >= 0 {
				t.Fatalf("%q is not in front of %q", c.front, c.behind)
			}
			v := Value{ID: 7, Active: true, Terminal: true}
			tbl := NewTable(f)
			tbl.Set(front, v)
			tbl.Set(behind, Value{ID: 8, Active: true, Terminal: true})
			want := []Value(nil)
			if c.shadowed {
				want = []Value{v}
			}
			if got := tbl.Publish().ShadowedBy(behind, nil); !slices.Equal(got, want) {
				t.Errorf("got %v, want %v", got, want)
			}
			for _, v := range []Value{{ID: 7, Active: true}, {ID: 7, Terminal: true}} {
				tbl.Set(front, v)
				if got := tbl.Publish().ShadowedBy(behind, nil); len(got) > 0 {
					t.Errorf("%v shadows", v)
				}
			}
		})
	}
}

func nlriOf(t testing.TB, text string) []byte {
	t.Helper()
	r, _, err := flowspec.ParseText(text)
	if err != nil {
		t.Fatal(err)
	}
	nlri, err := r.AppendNLRI(nil)
	if err != nil {
		t.Fatal(err)
	}
	return nlri
}

// TestShadowedRulesNeverApply sends packets at random: a rule of which it is told
// that it is shadowed never applies.
func TestShadowedRulesNeverApply(t *testing.T) {
	for _, f := range families {
		seed := rand.Uint64()
		m := newMaker(f, seed, 3)
		_, want, r := filled(t, m, 3000)
		shadowed := map[uint64][]Value{}
		for _, w := range want.rules {
			if by := r.ShadowedBy(w.nlri, nil); len(by) > 0 {
				shadowed[w.v.ID] = by
			}
		}
		if len(shadowed) == 0 {
			t.Errorf("%v, seed %d: none of %d rules is shadowed", f, seed, len(want.rules))
		}
		var matches Matches
		for range 3000 {
			p := m.packet()
			if !p.Src.IsValid() || !p.Dst.IsValid() || p.Src.Is4() != p.Dst.Is4() {
				continue
			}
			r.Match(&p, &matches)
			for i, v := range matches.Hits {
				for _, by := range shadowed[v.ID] {
					if !slices.Contains(matches.Hits[:i], by) {
						t.Fatalf("%v, seed %d: %+v matches %v, and %v, which shadows it, does not", f, seed, p, v, by)
					}
				}
			}
		}
	}
}
