package metrics

// Journal is the journal on the disk of what is originated.
type Journal struct {
	LogBytes      uint64 // of what was appended since the snapshot
	SnapshotBytes uint64
	Writes        uint64
	Broken        bool
}

// Write writes them.
func (j *Journal) Write(w *Writer) {
	w.Gauge("ribd_journal_bytes", j.LogBytes, "part", "log")
	w.Gauge("ribd_journal_bytes", j.SnapshotBytes, "part", "snapshot")
	w.Counter("ribd_journal_writes_total", j.Writes)
	broken := uint64(0)
	if j.Broken {
		broken = 1
	}
	w.Gauge("ribd_journal_broken", broken)
}
