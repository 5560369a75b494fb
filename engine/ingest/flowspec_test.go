package ingest

import (
	"slices"
	"strings"
	"testing"

	"ribd/shard"
	"ribd/wire"
)

// flow returns MP_REACH_NLRI with Flow Spec NLRI of IPv4, and no next hop.
func flow(nlri ...[]byte) []byte {
	v := append([]byte{0, 1, 133, 0, 0}, slices.Concat(nlri...)...)
	return wire.AppendAttr(nil, 0x80, wire.AttrMPReach, v)
}

func noFlow(nlri ...[]byte) []byte {
	return wire.AppendAttr(nil, 0x80, wire.AttrMPUnreach, append([]byte{0, 1, 133}, slices.Concat(nlri...)...))
}

func flowUpdate(attrs ...[]byte) []byte {
	return update(nil, slices.Concat(append([][]byte{origin(0), asPath(0xe9)}, attrs...)...), nil)
}

func extended(cs ...[]byte) []byte {
	return wire.AppendAttr(nil, 0xc0, wire.AttrExtCommunities, slices.Concat(cs...))
}

var (
	ruleTen  = []byte{6, 1, 8, 10, 3, 0x81, 17}
	ruleDirt = []byte{0xf0, 6, 1, 7, 11, 3, 0xc1, 17} // a length of two octets, bits behind the prefix, an AND with nothing before it
	ruleTidy = []byte{6, 1, 7, 10, 3, 0x81, 17}
)

// TestARuleIsOneKeyHoweverItIsWritten announces one rule in two forms and takes it
// away in the second.
func TestARuleIsOneKeyHoweverItIsWritten(t *testing.T) {
	r, n := open(t, shard.Options{Shards: 2})
	p := start(t, r, n, Session{Wire: wire.Session{AS4: true}})
	take(t, p, flowUpdate(flow(ruleDirt)), flowUpdate(flow(ruleTidy, ruleTen)))
	got := routes(r)
	if len(got) != 2 || !strings.HasPrefix(got[0], "ipv4-flowspec 0601070a038111 ") {
		t.Fatalf("stored: %q", got)
	}
	take(t, p, update(nil, noFlow(ruleDirt), nil))
	if got = routes(r); len(got) != 1 || !strings.Contains(got[0], "0601080a038111") {
		t.Fatalf("left: %q", got)
	}
}

// TestAMalformedRuleMakesItsMessageAWithdrawal has one bad rule among good ones:
// those that were there go, nothing comes, and what was wrong is kept with its
// octets.
func TestAMalformedRuleMakesItsMessageAWithdrawal(t *testing.T) {
	nan := []byte{0x80, 6, 0, 0, 0x7f, 0xc0, 0, 0}
	for _, c := range []struct {
		name  string
		msg   []byte
		field string
		octet []byte // that the error is at, and what follows
	}{
		{"an unknown component", flowUpdate(flow(ruleTen, []byte{3, 99, 0x81, 1})), "MP_REACH_NLRI", []byte{99, 0x81, 1}},
		{"components out of order", flowUpdate(flow([]byte{6, 3, 0x81, 6, 1, 8, 10}, ruleTen)), "MP_REACH_NLRI", nil},
		{"no end of the operators", flowUpdate(flow(ruleTen, []byte{3, 3, 1, 6})), "MP_REACH_NLRI", nil},
		{"an empty rule", flowUpdate(flow(ruleTen, []byte{0})), "MP_REACH_NLRI", nil},
		{"a bad withdrawal", flowUpdate(noFlow([]byte{3, 99, 0x81, 1}), flow(ruleTen)), "MP_UNREACH_NLRI", []byte{99, 0x81, 1}},
		{"a rate that is no number", flowUpdate(flow(ruleTen), extended(nan)), "EXTENDED_COMMUNITIES", nan[4:]},
	} {
		r, n := open(t, shard.Options{Shards: 2})
		p := start(t, r, n, Session{Wire: wire.Session{AS4: true}})
		take(t, p, flowUpdate(flow(ruleTen, ruleTidy)))
		take(t, p, c.msg)
		if got := routes(r); len(got) != 1 || !strings.Contains(got[0], "0601070a038111") {
			t.Errorf("%s: left are %q", c.name, got)
		}
		s := p.Counters()
		if s.TreatAsWithdraw != 1 || s.AttributeDiscard != 0 || s.Last == nil {
			t.Errorf("%s: counters %+v", c.name, s)
			continue
		}
		e := s.Last.Error
		if e.Field != c.field || e.Action != wire.TreatAsWithdraw || e.Off < e.Start || e.Off >= e.End || !strings.Contains(e.RFC, "8955") ||
			!slices.Equal(s.Last.Message, c.msg) {
			t.Errorf("%s: %+v of %x", c.name, e, s.Last.Message)
		}
		if at := c.msg[e.Off:]; c.octet != nil && !slices.Equal(at[:len(c.octet)], c.octet) {
			t.Errorf("%s: the error is at %x", c.name, at)
		}
	}
}

// TestBadActionsOfOtherFamiliesAreNoneOfOurs: the communities mean nothing there.
func TestBadActionsOfOtherFamiliesAreNoneOfOurs(t *testing.T) {
	r, n := open(t, shard.Options{Shards: 2})
	p := start(t, r, n, Session{Wire: wire.Session{AS4: true}})
	take(t, p, update(nil, attributes(extended([]byte{0x80, 6, 0, 0, 0x7f, 0xc0, 0, 0})), prefixes("10.0.0.0/8")))
	if got := prefixesOf(r); !slices.Equal(got, []string{"10.0.0.0/8"}) || p.Counters().TreatAsWithdraw != 0 {
		t.Errorf("%q, %+v", got, p.Counters())
	}
}

// TestNLRIThatDoNotFrameResetTheSession: that is left to package wire.
func TestNLRIThatDoNotFrameResetTheSession(t *testing.T) {
	r, n := open(t, shard.Options{Shards: 2})
	p := start(t, r, n, Session{Wire: wire.Session{AS4: true}})
	b := flowUpdate(flow(ruleTen, []byte{7, 1, 8, 10}))
	if k, err := p.Updates(b, 1000); k != 0 || err == nil || err.Action != wire.SessionReset {
		t.Errorf("%d octets, %v", k, err)
	}
	if p.Flush(); len(routes(r)) != 0 {
		t.Errorf("stored: %q", routes(r))
	}
}

func TestCheckFlowAllocatesNothing(t *testing.T) {
	r, _ := open(t, shard.Options{Shards: 1})
	f := r.NewFan()
	defer f.Close()
	w := NewRouter(r, f)
	var u wire.Update
	u.Parse(flowUpdate(flow(ruleTen, ruleDirt), extended([]byte{0x80, 6, 0, 0, 0, 0, 0, 0})), &wire.Session{AS4: true})
	if n := testing.AllocsPerRun(100, func() {
		if err := w.CheckFlow(&u); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
