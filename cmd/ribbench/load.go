package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/klauspost/compress/gzip"

	"ribd/internal/benchkit"
	"ribd/internal/tablegen"
)

const loadLimit = 2 * time.Minute

// dump returns the largest full-table dump, or one that is made like it.
func (e *env) dump() (string, error) {
	if name, ok := e.file("mrt", "synth-full-a.rib.gz"); ok {
		return name, nil
	}
	name := filepath.Join(e.dir, "full.rib.gz")
	if _, err := os.Stat(name); err == nil {
		return name, nil
	}
	e.note("making %s", filepath.Base(name))
	o := tablegen.Options{IPv4: 1_017_000, IPv6: 219_000, Peers: 4, Partial: 1, Seed: 2}
	if e.Smoke {
		o.IPv4, o.IPv6 = 5000, 1000
	}
	t, err := tablegen.New(o)
	if err != nil {
		return "", err
	}
	_, err = writeFile(name, t.WriteRIB)
	return name, err
}

// loaded is what one process that loads a file shows.
type loaded struct {
	took, cpu             time.Duration
	paths, prefixes, sets uint64
	settled, peak         float64
	memory                map[string]uint64
}

func (e *env) loadOnce(file string) (l loaded, err error) {
	ribd, err := e.ribd()
	if err != nil {
		return l, err
	}
	c, err := benchkit.Start(ribd, "serve", "--load", file, "--http", "127.0.0.1:0")
	if err != nil {
		return l, err
	}
	defer c.Stop()
	if l.took, err = c.Ready(loadLimit); err != nil {
		return l, err
	}
	if l.cpu, err = c.CPU(); err != nil {
		return l, err
	}
	s, err := c.Stats()
	if err != nil {
		return l, err
	}
	l.paths, l.prefixes, l.sets, l.memory = s.Paths, s.Prefixes, s.AttributeSets, s.Memory
	l.settled, l.peak, err = c.Settled(e.span(8 * time.Second))
	return l, err
}

// decompress reads a gzip file as the loader must and returns how long that takes.
func decompress(file string) (time.Duration, error) {
	f, err := os.Open(file)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	start := time.Now()
	z, err := gzip.NewReader(bufio.NewReaderSize(f, 1<<20))
	if err != nil {
		return 0, err
	}
	_, err = io.Copy(io.Discard, z)
	return time.Since(start), err
}

// load measures a whole process: from its start until it is ready, beside
// decompression alone.
func (e *env) load() error {
	file, err := e.dump()
	if err != nil {
		return err
	}
	e.note("loading %s", filepath.Base(file))
	var rates, over, settled, cpu []float64
	var last loaded
	ours := func() (float64, error) {
		l, err := e.loadOnce(file)
		if err != nil {
			return 0, err
		}
		last = l
		rates = append(rates, float64(l.paths)/l.took.Seconds()/1e6)
		over = append(over, l.peak/l.settled)
		settled = append(settled, l.settled/1e6)
		cpu = append(cpu, l.cpu.Seconds()/float64(l.paths)*1e6)
		return l.took.Seconds(), nil
	}
	a, b, err := benchkit.Pairs(e.Runs, ours, func() (float64, error) {
		d, err := decompress(file)
		return d.Seconds(), err
	})
	if err != nil {
		return err
	}
	rate := benchkit.Single("load of a full table (gzip)", "M paths/s", rates, e.atFull(benchkit.AtLeast(3)))
	rate.Note = fmt.Sprintf("%s: %d paths, %d prefixes, %d attribute sets; from the start of the process until it is ready", filepath.Base(file), last.paths, last.prefixes, last.sets)
	share := benchkit.Paired("load of a full table, whole time", "s", "decompression alone", a, b, benchkit.LessIsBetter, nil)
	share.Note = "the ratio is the share of the time that decompression alone would take"
	memory := benchkit.Single("load of a full table, settled memory", "MB", settled, nil)
	memory.Note = fmt.Sprintf("parts as /api/v1/stats has them: %v", last.memory)
	e.add(rate, share, benchkit.Single("load of a full table, processor time", "s a million paths", cpu, nil),
		benchkit.Single("load of a full table, peak over settled memory", "×", over, e.atFull(benchkit.AtMost(1.3))), memory)
	return nil
}

// bytesAPath measures resident memory of a process that holds 4 peers x 900,000
// IPv4 prefixes.
func (e *env) bytesAPath() error {
	e.note("bytes a path: making the table of 4 peers")
	t, err := e.table(transferPeers)
	if err != nil {
		return err
	}
	file := filepath.Join(e.dir, "four.mrt")
	if _, err := writeFile(file, t.WriteRIB); err != nil {
		return err
	}
	defer os.Remove(file)
	var last loaded
	runs, err := benchkit.Times(min(e.Runs, 5), func() (float64, error) {
		l, err := e.loadOnce(file)
		last = l
		return l.settled / float64(max(l.paths, 1)), err
	})
	if err != nil {
		return err
	}
	row := benchkit.Single("resident memory, 4 peers, bytes a path", "B", runs, e.atFull(benchkit.AtMost(50)))
	row.Note = fmt.Sprintf("%d paths, %d prefixes, %d attribute sets; parts %v; BIRD 2 126, RustyBGP 712, GoBGP 1,275, FRR 1,447 (measured elsewhere)", last.paths, last.prefixes, last.sets, last.memory)
	e.add(row)
	return nil
}
