package mrt

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"ribd/shard"
	"ribd/wire"
	"ribd/wire/mrt"
)

// flowRules lists the IPv4 Flow Spec rules of a RIB in hex.
func flowRules(r *shard.RIB) (rules []string) {
	r.Settle()
	tb, ok := r.FindTable(wire.IPv4FlowSpec, 0)
	if !ok {
		return nil
	}
	v := r.View()
	defer v.Close()
	for w := v.Walk(tb, shard.WalkRange{}); w.Next(); {
		b, _ := r.RawNLRI(w.Key())
		for range w.Paths(nil) {
			rules = append(rules, fmt.Sprintf("%x", b))
		}
	}
	slices.Sort(rules)
	return rules
}

// TestFlowSpecOfRecordings: rules of tables and of messages are stored under their
// canonical octets; malformed ones are damage in a table, and make a message a
// withdrawal (RFC 8955 section 10).
func TestFlowSpecOfRecordings(t *testing.T) {
	dirty, tidy := []byte{0xf0, 6, 1, 7, 11, 3, 0xc1, 17}, "0601070a038111"
	other, bad := []byte{6, 1, 8, 12, 3, 0x81, 17}, []byte{3, 99, 0x81, 1}
	nan := wire.AppendAttr(nil, 0xc0, wire.AttrExtCommunities, []byte{0x80, 6, 0, 0, 0x7f, 0xc0, 0, 0})
	reach := func(nlri ...[]byte) []byte {
		return wire.AppendAttr(nil, 0x80, wire.AttrMPReach, append([]byte{0, 1, 133, 0, 0}, slices.Concat(nlri...)...))
	}

	r, l := newRIB(t, Options{})
	var f file
	f.index(1, peerA)
	entry := func(nlri []byte, attrs []byte) {
		x := mrt.RIB{Seq: f.seq, Family: wire.IPv4FlowSpec, NLRI: nlri, Count: 1}
		f.seq++
		e := mrt.Entry{Originated: f.time, Attrs: attrs}
		f.record(mrt.TypeTableDump2, x.Subtype(), e.Append(x.Append(nil, x.Subtype()), mrt.LayoutPlain))
	}
	entry(dirty, attrs(65001))
	entry(bad, attrs(65001))
	entry(other, append(attrs(65001), nan...))
	st := load(t, l, f.source("x"))
	if got := flowRules(r); !slices.Equal(got, []string{tidy}) {
		t.Errorf("stored: %q", got)
	}
	if st.Damaged != 1 || !strings.Contains(st.Damage[0].Reason, "type") || st.TreatedAsWithdrawn != 1 {
		t.Errorf("%+v", st)
	}

	var g file
	both := [][]byte{other, {6, 1, 7, 10, 3, 0x81, 17}}
	g.message(peerA, mrt.Update, false, update(nil, append(attrs(65001), reach(both...)...)))
	st = load(t, l, g.source("x"))
	if got := flowRules(r); len(got) != 2 || st.TreatedAsWithdrawn != 0 {
		t.Errorf("stored: %q, %+v", got, st)
	}
	g.message(peerA, mrt.Update, false, update(nil, append(attrs(65001), reach(dirty, bad)...)))
	g.message(peerA, mrt.Update, false, update(nil, slices.Concat(attrs(65001), nan, reach([]byte{6, 1, 8, 13, 3, 0x81, 17}))))
	st = load(t, l, g.source("x"))
	if got := flowRules(r); !slices.Equal(got, []string{fmt.Sprintf("%x", other)}) || st.TreatedAsWithdrawn == 0 {
		t.Errorf("left: %q, %+v", got, st)
	}
}
