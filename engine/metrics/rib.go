package metrics

import (
	"strconv"

	"ribd/shard"
)

// RIB writes the sizes of a RIB.
func RIB(w *Writer, s shard.Stats) {
	w.Gauge("ribd_shards", uint64(s.Shards))
	w.Gauge("ribd_peers", uint64(s.Peers))
	type key struct{ prefixes, paths uint64 }
	families := map[string]*key{}
	var order []string
	for _, t := range s.Tables {
		name := t.Family.String()
		k := families[name]
		if k == nil {
			k = &key{}
			families[name] = k
			order = append(order, name)
		}
		k.prefixes += uint64(t.Prefixes)
		k.paths += uint64(t.Paths)
	}
	for _, name := range order {
		w.Gauge("ribd_rib_prefixes", families[name].prefixes, "family", name)
	}
	for _, name := range order {
		w.Gauge("ribd_rib_paths", families[name].paths, "family", name)
	}
	w.Gauge("ribd_attribute_sets", uint64(s.Attrs.Sets))
	w.Gauge("ribd_as_paths", uint64(s.Attrs.ASPaths))
	for _, m := range s.Memory {
		w.Gauge("ribd_memory_bytes", m.Resident, "part", m.Name, "state", "resident")
		w.Gauge("ribd_memory_bytes", m.Live, "part", m.Name, "state", "live")
		w.Gauge("ribd_memory_bytes", m.Free, "part", m.Name, "state", "free")
		w.Gauge("ribd_memory_bytes", m.Kept, "part", m.Name, "state", "kept")
	}
	w.Gauge("ribd_views", uint64(s.Views))
	w.GaugeFloat("ribd_view_oldest_seconds", s.OldestView.Seconds())
	w.Counter("ribd_views_ended_total", s.ViewsEnded)
	for i, q := range s.Queued {
		w.Gauge("ribd_shard_queue", uint64(q), "shard", strconv.Itoa(i))
	}
	w.Counter("ribd_routes_refused_total", s.Refused)
	w.Counter("ribd_routes_late_total", s.Late)
	w.Counter("ribd_operations_total", s.Applied)
	w.Counter("ribd_batches_published_total", s.Published)
	w.Counter("ribd_shard_stalls_total", s.Stalls)
}
