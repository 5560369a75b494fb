package fuzz

import (
	"bytes"
	"slices"
	"testing"

	"ribd/wire"
)

// FuzzCanonical: the canonical form of attributes is a fixed point, whichever
// way it comes in again; it is in order and as short as can be; and what a
// message says survives in it.
func FuzzCanonical(f *testing.F) {
	f.Add(someAttrs(), byte(0))
	for _, b := range seedBodies() {
		n := int(b[0])<<8 | int(b[1])
		for mode := range byte(4) {
			f.Add(b[min(len(b), 4+n):], mode)
		}
	}
	f.Fuzz(func(t *testing.T, attrs []byte, mode byte) {
		if len(attrs) > 30000 {
			return
		}
		s := wire.Session{AS4: mode&1 == 0, External: mode&2 != 0, Extended: true, Recorded: mode&4 != 0}
		var u wire.Update
		err := u.Parse(update(nil, attrs, []byte{8, 10}), &s)
		if err != nil && err.Action > wire.AttributeDiscard {
			return
		}
		c := u.Attributes(nil)
		checkCanonical(t, c)
		if err == nil {
			checkSurvival(t, attrs, c, s.AS4)
		}
		again(t, "a session", c, &s)
		got, err := wire.AppendRIBAttributes([]byte{1}, c, wire.IPv4Unicast, wire.RIBOptions{External: s.External})
		if err != nil || !bytes.Equal(got[1:], c) {
			t.Fatalf("a table dump's entry (%v):\ngot  %x\nwant %x", err, got[1:], c)
		}
		encoded(t, c, s)
	})
}

// again parses canonical attributes: they come out as they are.
func again(t *testing.T, name string, c []byte, s *wire.Session) {
	t.Helper()
	as4 := *s
	as4.AS4 = true
	var u wire.Update
	if err := u.Parse(update(nil, c, []byte{8, 10}), &as4); err != nil {
		t.Fatalf("%s: %v\n%x", name, err, c)
	}
	if got := u.Attributes(nil); !bytes.Equal(got, c) {
		t.Fatalf("%s:\ngot  %x\nwant %x", name, got, c)
	}
}

// encoded sends canonical attributes over sessions of every kind.
func encoded(t *testing.T, c []byte, s wire.Session) {
	t.Helper()
	confed := false
	path, _ := wire.FindAttr(c, wire.AttrASPath)
	for w := wire.WalkASPath(path); w.Next(); {
		confed = confed || w.Type() > wire.SegSequence
	}
	for mode := range 4 {
		o := wire.SendOptions{AS4: mode&1 == 0, Extended: true, MP4: mode&2 != 0}
		if !o.AS4 && confed {
			continue // AS4_PATH loses them: RFC 6793 section 3
		}
		e := wire.NewEncoder(o)
		if e.Announce(wire.IPv4Unicast, c) != nil {
			continue
		}
		e.Route4(10<<24, 8, 0)
		s.AS4 = o.AS4
		var u wire.Update
		if err := u.Parse(e.Flush(), &s); err != nil {
			t.Fatalf("%+v: %v\n%x", o, err, c)
		}
		got := u.Attributes(nil)
		if o.MP4 {
			got = u.ReachAttributes(nil)
		}
		if !bytes.Equal(got, c) {
			t.Fatalf("%+v:\ngot  %x\nwant %x", o, got, c)
		}
	}
}

// checkCanonical holds attributes to the canonical form.
func checkCanonical(t *testing.T, c []byte) {
	t.Helper()
	n, last := 0, -1
	for w := wire.WalkAttributes(c); w.Next(); last = int(w.Type()) {
		n += 3 + len(w.Value())
		if len(w.Value()) > 255 {
			n++
		}
		switch {
		case int(w.Type()) <= last:
			t.Fatalf("%v is out of order: %x", w.Type(), c)
		case w.Flags()&0x0f != 0:
			t.Fatalf("%v has flags %#x: %x", w.Type(), w.Flags(), c)
		case w.Type() == wire.AttrMPReach, w.Type() == wire.AttrMPUnreach, w.Type() == wire.AttrAS4Path, w.Type() == wire.AttrAS4Aggregator:
			t.Fatalf("%v is kept: %x", w.Type(), c)
		}
	}
	if n != len(c) {
		t.Fatalf("%d octets of attributes in %d: %x", n, len(c), c)
	}
}

// checkSurvival: the first attribute of each type is there with its value.
func checkSurvival(t *testing.T, attrs, c []byte, as4 bool) {
	t.Helper()
	var seen []wire.AttrType
	for w := wire.WalkAttributes(attrs); w.Next(); {
		if slices.Contains(seen, w.Type()) {
			t.Fatalf("a second %v passed without a word", w.Type())
		}
		seen = append(seen, w.Type())
		got, ok := wire.FindAttr(c, w.Type())
		switch {
		case w.Type() == wire.AttrMPReach, w.Type() == wire.AttrMPUnreach:
		case w.Type() == wire.AttrAS4Path, w.Type() == wire.AttrAS4Aggregator:
		case (w.Type() == wire.AttrASPath || w.Type() == wire.AttrAggregator) && (!as4 || len(w.Value()) == 6):
			if !ok {
				t.Fatalf("%v is lost: %x", w.Type(), attrs)
			}
		case w.Type() == wire.AttrLargeCommunities:
			if !ok || len(got) > len(w.Value()) {
				t.Fatalf("%v: got %x, want %x", w.Type(), got, w.Value())
			}
		case !w.Type().Known() && w.Flags()&wire.FlagTransitive == 0:
			if ok {
				t.Fatalf("%v is kept: it is not transitive", w.Type())
			}
		case !ok || !bytes.Equal(got, w.Value()):
			t.Fatalf("%v: got %x, want %x", w.Type(), got, w.Value())
		}
	}
}
