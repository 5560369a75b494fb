package origin

import (
	"slices"
	"testing"
	"time"

	"ribd/shard"
	"ribd/wire"
)

// What a journal holds is only ever what was written to it, its sums say. Still,
// octets of another ribd must not end this one: they are refused, or make routes
// that are well formed.
func FuzzRecords(f *testing.F) {
	j := &memory{}
	r := newRig(f, Options{Journal: j})
	r.announce(route("10.0.0.0/8", ttl(time.Hour), peers("a", "b")), route("2001:db8::/32", pathID(3)), rule("destination 10.0.0.0/24 then discard"))
	r.announce(Route{Key: Key{Family: wire.IPv6VPN, RD: 1 << 63, Prefix: route("2001:db8::/32").Prefix}, Labels: []byte{0, 0, 1}, Attrs: attrs("192.0.2.1")})
	if _, err := r.Withdraw([]Key{route("10.0.0.0/8", pathID(1)).Key, route("2001:db8::/32", pathID(3)).Key}); err != nil {
		f.Fatal(err)
	}
	if err := r.Remember("key", 7, []byte("answer")); err != nil {
		f.Fatal(err)
	}
	for _, rec := range j.recs {
		f.Add(rec)
	}
	f.Add([]byte{})
	f.Add([]byte{recordVersion, itemAnnounce, flagSameAttrs | flagSamePeers, 1})
	f.Fuzz(func(t *testing.T, rec []byte) {
		o := Options{Journal: &memory{recs: [][]byte{rec}}, Log: silent}
		var err error
		if o.RIB, err = shard.Open(shard.Options{Shards: 1}); err != nil {
			t.Fatal(err)
		}
		defer o.RIB.Close()
		m, err := New(o)
		if err != nil {
			return
		}
		defer m.Close()
		routes, _ := m.List(nil, Filter{}, nil, 0)
		for i := range routes {
			w := routes[i]
			w.Peers, w.Held = slices.Clone(w.Peers), nil
			if _, err := w.Key.normalise(nil); err != nil {
				t.Errorf("%v is there: %v", w.Key, err)
			}
			if err := checkAttrs(w.Attrs, w.Family); err != nil {
				t.Errorf("%v has %x: %v", w.Key, w.Attrs, err)
			}
			if err := w.check(); err != nil {
				t.Errorf("%v is there: %v", w.Key, err)
			}
		}
	})
}
