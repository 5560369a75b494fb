package wire

import (
	"bytes"
	"testing"
)

// TestAttributeActions has a row for each way an attribute can be malformed:
// what the rule asks for, and where the error points.
func TestAttributeActions(t *testing.T) {
	const (
		discard  = AttributeDiscard
		withdraw = TreatAsWithdraw
	)
	seg := func(b ...byte) []byte { return b }
	for _, c := range []struct {
		name string
		s    Session
		attr []byte
		in   string // attribute of mandatory that attr replaces: "", "origin", "path", "hop"
		want Action
		at   int // of the error, from the attribute's first octet
		rfc  string
	}{
		{"ORIGIN of two octets", external, attr(0x40, AttrOrigin, 0, 0), "origin", withdraw, 2, "RFC 7606 7.1"},
		{"ORIGIN without value", external, attr(0x40, AttrOrigin), "origin", withdraw, 2, "RFC 7606 7.1"},
		{"ORIGIN 3", external, attr(0x40, AttrOrigin, 3), "origin", withdraw, 3, "RFC 7606 7.1"},
		{"ORIGIN 2", external, attr(0x40, AttrOrigin, 2), "origin", ActionNone, 0, ""},
		{"ORIGIN optional", external, attr(0xc0, AttrOrigin, 0), "origin", withdraw, 0, "RFC 7606 3(c)"},
		{"ORIGIN not transitive", external, attr(0x00, AttrOrigin, 0), "origin", withdraw, 0, "RFC 7606 3(c)"},
		{"ORIGIN with Partial and low bits", external, attr(0x6f, AttrOrigin, 0), "origin", ActionNone, 0, ""},
		{"AS_PATH empty", internal, attr(0x40, AttrASPath), "path", ActionNone, 0, ""},
		{"AS_PATH lone octet", external, attr(0x40, AttrASPath, seg(2)...), "path", withdraw, 3, "RFC 7606 7.2"},
		{"AS_PATH segment type 0", external, attr(0x40, AttrASPath, seg(0, 1, 0, 0, 0, 1)...), "path", withdraw, 3, "RFC 7606 7.2"},
		{"AS_PATH segment type 5", external, attr(0x40, AttrASPath, seg(5, 1, 0, 0, 0, 1)...), "path", withdraw, 3, "RFC 7606 7.2"},
		{"AS_PATH segment of none", external, attr(0x40, AttrASPath, seg(2, 0)...), "path", withdraw, 4, "RFC 7606 7.2"},
		{"AS_PATH segment overruns", external, attr(0x40, AttrASPath, seg(2, 2, 0, 0, 0, 1)...), "path", withdraw, 4, "RFC 7606 7.2"},
		{"AS_PATH second segment overruns", external, attr(0x40, AttrASPath, seg(2, 1, 0, 0, 0, 1, 1, 1, 0, 0)...), "path", withdraw, 10, "RFC 7606 7.2"},
		{"AS_PATH of 2-octet AS", external, attr(0x40, AttrASPath, seg(2, 1, 0, 1)...), "path", withdraw, 4, "RFC 7606 7.2"},
		{"AS_PATH with AS 0", external, attr(0x40, AttrASPath, seg(2, 2, 0, 0, 0, 1, 0, 0, 0, 0)...), "path", withdraw, 9, "RFC 7607 2"},
		{"AS_PATH with AS 0, recorded", Session{AS4: true, Recorded: true}, attr(0x40, AttrASPath, seg(2, 1, 0, 0, 0, 0)...), "path", ActionNone, 0, ""},
		{"AS_PATH confederation, external", external, attr(0x40, AttrASPath, seg(3, 1, 0, 0, 0, 1)...), "path", withdraw, 3, "RFC 7606 7.2"},
		{"AS_PATH confederation, internal", internal, attr(0x40, AttrASPath, seg(3, 1, 0, 0, 0, 1)...), "path", ActionNone, 0, ""},
		{"AS_PATH flags", external, attr(0x80, AttrASPath, path4(1)...), "path", withdraw, 0, "RFC 7606 3(c)"},
		{"NEXT_HOP of 3", external, attr(0x40, AttrNextHop, 1, 2, 3), "hop", withdraw, 2, "RFC 7606 7.3"},
		{"NEXT_HOP of 16", external, attr(0x40, AttrNextHop, hop6...), "hop", withdraw, 2, "RFC 7606 7.3"},
		{"NEXT_HOP flags", external, attr(0xc0, AttrNextHop, 1, 2, 3, 4), "hop", withdraw, 0, "RFC 7606 3(c)"},
		{"MED of 3", external, attr(0x80, AttrMED, 1, 2, 3), "", withdraw, 2, "RFC 7606 7.4"},
		{"MED transitive", external, attr(0xc0, AttrMED, 0, 0, 0, 1), "", withdraw, 0, "RFC 7606 3(c)"},
		{"LOCAL_PREF from outside", external, attr(0x40, AttrLocalPref, 0, 0, 0, 1), "", discard, 0, "RFC 7606 7.5"},
		{"LOCAL_PREF from outside, malformed", external, attr(0x40, AttrLocalPref, 1), "", discard, 0, "RFC 7606 7.5"},
		{"LOCAL_PREF of 3 from inside", internal, attr(0x40, AttrLocalPref, 1, 2, 3), "", withdraw, 2, "RFC 7606 7.5"},
		{"LOCAL_PREF from inside", internal, attr(0x40, AttrLocalPref, 0, 0, 0, 1), "", ActionNone, 0, ""},
		{"ATOMIC_AGGREGATE with a value", external, attr(0x40, AttrAtomicAggregate, 1), "", discard, 2, "RFC 7606 7.6"},
		{"ATOMIC_AGGREGATE flags", external, attr(0xc0, AttrAtomicAggregate), "", withdraw, 0, "RFC 7606 3(c)"},
		{"AGGREGATOR of 6 with 4-octet AS", external, attr(0xc0, AttrAggregator, 0, 1, 1, 2, 3, 4), "", discard, 2, "RFC 7606 7.7"},
		{"AGGREGATOR of 8 with 4-octet AS", external, attr(0xc0, AttrAggregator, 0, 0, 0, 1, 1, 2, 3, 4), "", ActionNone, 0, ""},
		{"AGGREGATOR of 6, recorded", Session{AS4: true, Recorded: true}, attr(0xc0, AttrAggregator, 0, 1, 1, 2, 3, 4), "", ActionNone, 0, ""},
		{"AGGREGATOR of 7, recorded", Session{AS4: true, Recorded: true}, attr(0xc0, AttrAggregator, 0, 0, 1, 1, 2, 3, 4), "", discard, 2, "RFC 7606 7.7"},
		{"AGGREGATOR of AS 0", external, attr(0xc0, AttrAggregator, 0, 0, 0, 0, 1, 2, 3, 4), "", discard, 3, "RFC 7607 2"},
		{"AGGREGATOR flags", external, attr(0x40, AttrAggregator, 0, 0, 0, 1, 1, 2, 3, 4), "", withdraw, 0, "RFC 7606 3(c)"},
		{"COMMUNITIES of 0", external, attr(0xc0, AttrCommunities), "", withdraw, 2, "RFC 7606 7.8"},
		{"COMMUNITIES of 6", external, attr(0xc0, AttrCommunities, 1, 2, 3, 4, 5, 6), "", withdraw, 2, "RFC 7606 7.8"},
		{"COMMUNITIES not transitive", external, attr(0x80, AttrCommunities, 1, 2, 3, 4), "", withdraw, 0, "RFC 7606 3(c)"},
		{"ORIGINATOR_ID from outside", external, attr(0x80, AttrOriginatorID, 1, 2, 3, 4), "", discard, 0, "RFC 7606 7.9"},
		{"ORIGINATOR_ID of 5 from inside", internal, attr(0x80, AttrOriginatorID, 1, 2, 3, 4, 5), "", withdraw, 2, "RFC 7606 7.9"},
		{"CLUSTER_LIST from outside", external, attr(0x80, AttrClusterList, 1, 2, 3, 4), "", discard, 0, "RFC 7606 7.10"},
		{"CLUSTER_LIST of 0 from inside", internal, attr(0x80, AttrClusterList), "", withdraw, 2, "RFC 7606 7.10"},
		{"CLUSTER_LIST of 5 from inside", internal, attr(0x80, AttrClusterList, 1, 2, 3, 4, 5), "", withdraw, 2, "RFC 7606 7.10"},
		{"EXTENDED_COMMUNITIES of 0", external, attr(0xc0, AttrExtCommunities), "", withdraw, 2, "RFC 7606 7.14"},
		{"EXTENDED_COMMUNITIES of 12", external, attr(0xc0, AttrExtCommunities, make([]byte, 12)...), "", withdraw, 2, "RFC 7606 7.14"},
		{"IPV6_EXTENDED_COMMUNITIES of 10", external, attr(0xc0, AttrIPv6ExtCommunities, make([]byte, 10)...), "", withdraw, 2, "RFC 7606 7.15"},
		{"LARGE_COMMUNITY of 0", external, attr(0xc0, AttrLargeCommunities), "", withdraw, 2, "RFC 8092 6"},
		{"LARGE_COMMUNITY of 13", external, attr(0xc0, AttrLargeCommunities, make([]byte, 13)...), "", withdraw, 2, "RFC 8092 6"},
		{"OTC of 2", external, attr(0xc0, AttrOTC, 1, 2), "", withdraw, 2, "RFC 9234 5"},
		{"OTC", external, attr(0xc0, AttrOTC, 0, 0, 0, 9), "", ActionNone, 0, ""},
		{"ATTR_SET of 3", external, attr(0xc0, AttrSet, 1, 2, 3), "", withdraw, 2, "RFC 7606 7.16"},
		{"AS4_PATH beside 4-octet AS", external, attr(0xc0, AttrAS4Path, path4(1)...), "", discard, 0, "RFC 6793 4.1"},
		{"AS4_AGGREGATOR beside 4-octet AS", external, attr(0xc0, AttrAS4Aggregator, 0, 0, 0, 1, 1, 2, 3, 4), "", discard, 0, "RFC 6793 4.1"},
		{"AIGP transitive", external, attr(0xc0, AttrAIGP, 1, 0, 3), "", discard, 0, "RFC 7606 3(c)"},
		{"AIGP", external, attr(0x80, AttrAIGP, 1, 0, 3), "", ActionNone, 0, ""},
		{"PMSI_TUNNEL", external, attr(0xc0, AttrPMSITunnel, 1), "", ActionNone, 0, ""},
		{"unknown, transitive", external, attr(0xe0, 99, 1), "", ActionNone, 0, ""},
		{"unknown, not transitive", external, attr(0x80, 99, 1), "", ActionNone, 0, ""},
		{"unknown, well-known", external, attr(0x40, 99, 1), "", SessionReset, 0, "RFC 4271 6.3"},
		{"MED runs past the end", external, []byte{0x80, 4, 5, 0, 0, 0, 1}, "", withdraw, 0, "RFC 7606 4"},
		{"two octets left", external, []byte{0x80, 4}, "", withdraw, 0, "RFC 7606 4"},
		{"three octets left of a long header", external, []byte{0x90, 4, 0}, "", withdraw, 0, "RFC 7606 4"},
		{"MP_REACH_NLRI runs past the end", external, []byte{0x80, 14, 9, 0, 2, 1}, "", SessionReset, 0, "RFC 7606 3(j)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			parts := [][]byte{origin, asPath, nextHop}
			i := map[string]int{"origin": 0, "path": 1, "hop": 2, "": 3}[c.in]
			if i == 3 {
				parts = append(parts, c.attr)
			} else {
				parts[i] = c.attr
			}
			at := HeaderLen + 4 + len(join(parts[:i]...)) + c.at
			msg := message(nil, join(parts...), prefix)
			var u Update
			err := parse(t, &u, msg, &c.s)
			if got := actionOf(err); got != c.want {
				t.Fatalf("got %v (%v), want %v", got, err, c.want)
			}
			if err == nil {
				return
			}
			if err.Off != at || err.RFC != c.rfc {
				t.Errorf("got %v, want octet %d by %s", err, at, c.rfc)
			}
			if c.want == AttributeDiscard && c.in == "" {
				if got := u.Attributes(nil); !bytes.Equal(got, mandatory) {
					t.Errorf("got attributes %x, want %x", got, mandatory)
				}
			}
			if w := u.NLRI4(); w.Next() == (c.want == SessionReset) {
				t.Errorf("routes after %v", c.want)
			}
		})
	}
}

// TestAS4Attributes has the malformed forms on a session with 2-octet AS
// numbers.
func TestAS4Attributes(t *testing.T) {
	path2 := attr(0x40, AttrASPath, 2, 2, 0xfd, 0xe9, 0x5b, 0xa0)
	for _, c := range []struct {
		name string
		attr []byte
		want Action
	}{
		{"AS4_PATH", attr(0xc0, AttrAS4Path, path4(70000)...), ActionNone},
		{"AS4_PATH empty", attr(0xc0, AttrAS4Path), AttributeDiscard},
		{"AS4_PATH of segment type 7", attr(0xc0, AttrAS4Path, 7, 1, 0, 0, 0, 1), AttributeDiscard},
		{"AS4_PATH overruns", attr(0xc0, AttrAS4Path, 2, 2, 0, 0, 0, 1), AttributeDiscard},
		{"AS4_PATH segment of none", attr(0xc0, AttrAS4Path, 2, 0, 2, 1, 0, 0, 0, 1), AttributeDiscard},
		{"AS4_PATH flags", attr(0x40, AttrAS4Path, path4(70000)...), AttributeDiscard},
		{"AS4_AGGREGATOR", attr(0xc0, AttrAS4Aggregator, 0, 1, 0, 0, 1, 2, 3, 4), ActionNone},
		{"AS4_AGGREGATOR of 6", attr(0xc0, AttrAS4Aggregator, 0, 1, 0, 0, 1, 2), AttributeDiscard},
		{"AGGREGATOR of 8", attr(0xc0, AttrAggregator, 0, 1, 0, 0, 1, 2, 3, 4), AttributeDiscard},
		{"AGGREGATOR of 6", attr(0xc0, AttrAggregator, 0, 1, 1, 2, 3, 4), ActionNone},
	} {
		t.Run(c.name, func(t *testing.T) {
			var u Update
			err := parse(t, &u, message(nil, join(origin, path2, nextHop, c.attr), prefix), &two)
			if got := actionOf(err); got != c.want {
				t.Errorf("got %v (%v), want %v", got, err, c.want)
			}
		})
	}
}

func TestEveryKnownAttributeHasItsRow(t *testing.T) {
	for i := range attrTable {
		r := &attrTable[i]
		if !r.known {
			if r.name != "" || r.flags != 0 {
				t.Errorf("row %d is there by half", i)
			}
			continue
		}
		if r.name == "" || r.onFlags == ActionNone || r.keep == 0 {
			t.Errorf("row %d (%s) is incomplete", i, r.name)
		}
		if (r.rule != lenAny || r.check != checkNone) && (r.action == ActionNone || r.rfc == "" || r.subcode == 0) {
			t.Errorf("row %d (%s) has a rule and no action", i, r.name)
		}
		if r.keep&FlagPartial != 0 != (r.flags == optTransitive) {
			t.Errorf("row %d (%s): Partial is for optional transitive attributes", i, r.name)
		}
	}
}
