package ribd

import (
	"context"
	"fmt"
	"io"
	"time"

	"ribd/engine/mrt"
)

// LoadOptions say how a dump is loaded. The zero value is good for a dump.
type LoadOptions struct {
	// Collector is who wrote the file. Files of one collector go on from each
	// other: a dump and then its update files leave what the collector held.
	// The empty name is a collector like any other.
	Collector string
	// Strict makes a damaged or truncated file an error.
	Strict bool
	// Name is what the Loaded of LoadReader is called.
	Name string
}

// Loaded says what a load read.
type Loaded struct {
	Name string
	// Records, Routes and Withdrawals were read; Routes counts paths.
	Records, Routes, Withdrawals int64
	// Damaged counts the places that could not be read, and Damage lists the
	// first of them.
	Damaged int64
	Damage  []Damage
	// Truncated is why the file ends early, "" where it does not.
	Truncated string
	Took      time.Duration
}

// Damage is a place in a file that could not be read: the octet of the
// uncompressed file, and why.
type Damage struct {
	Offset int64
	Reason string
}

// Load loads an MRT file, plain or compressed with gzip, bzip2 or zstd, and
// returns when all of it can be seen. Loads run one after the other. A damaged
// record is skipped and counted, a truncated file loads what it holds: neither
// is an error unless o.Strict is set.
func (t *Table) Load(ctx context.Context, path string, o LoadOptions) (Loaded, error) {
	return t.load(ctx, mrt.File(path, o.Collector), o)
}

// LoadReader is Load for what a reader gives.
func (t *Table) LoadReader(ctx context.Context, r io.Reader, o LoadOptions) (Loaded, error) {
	name := o.Name
	if name == "" {
		name = "reader"
	}
	return t.load(ctx, mrt.Source{Name: name, Collector: o.Collector, Reader: r}, o)
}

func (t *Table) load(ctx context.Context, s mrt.Source, o LoadOptions) (Loaded, error) {
	s.Strict = o.Strict
	st, err := t.loader.Load(ctx, s)
	l := Loaded{
		Name: st.Name, Records: st.Records, Routes: st.Routes, Withdrawals: st.Withdrawals,
		Damaged: st.Damaged, Truncated: st.Truncated, Took: st.EndedAt.Sub(st.StartedAt),
	}
	for _, d := range st.Damage {
		l.Damage = append(l.Damage, Damage{d.Offset, d.Reason})
	}
	if err != nil {
		return l, fmt.Errorf("ribd: %w", err)
	}
	return l, nil
}
