package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"ribd/internal/tablegen"
)

type genCommand struct {
	Prefixes string   `help:"Take prefixes from this list, one a line (plain, .gz or .zst); without it they are made up, with the lengths of a real table." type:"existingfile" placeholder:"FILE"`
	IPv4     int      `name:"ipv4" help:"IPv4 prefixes; -1: all of the list, or 900,000." default:"-1" placeholder:"N"`
	IPv6     int      `name:"ipv6" help:"IPv6 prefixes; -1: all of the list, or 160,000." default:"-1" placeholder:"N"`
	Keep     []string `help:"A prefix of the list that must stay in, or PREFIX=AS to name its origin too. Repeatable." placeholder:"PREFIX"`
	Peers    int      `help:"Peers, up to 1,000." default:"3" placeholder:"N"`
	Partial  int      `help:"The last N peers give their customers' routes only." default:"0" placeholder:"N"`
	AddPath  int      `help:"Up to N paths a prefix and peer, in the Add-Path forms of RFC 8050." default:"0" placeholder:"N"`
	Seed     uint64   `help:"Another seed makes another table of the same kind." default:"1" placeholder:"N"`
	Time     string   `help:"Time of the dump." default:"2026-01-01T00:00:00Z" placeholder:"RFC3339"`
	Out      string   `help:"The table: TABLE_DUMP_V2, compressed by suffix (.gz, .zst)." required:"" placeholder:"FILE"`
	Updates  string   `help:"Also an update file that goes on from the table: BGP4MP_ET, compressed by suffix." placeholder:"FILE"`
	Messages int      `help:"Messages of the update file." default:"100000" placeholder:"N"`
}

// Run makes the table.
func (c *genCommand) Run() error {
	o := tablegen.Options{IPv4: c.IPv4, IPv6: c.IPv6, Peers: c.Peers, Partial: c.Partial, AddPath: c.AddPath, Seed: c.Seed}
	var err error
	if o.Time, err = time.Parse(time.RFC3339, c.Time); err != nil {
		return fmt.Errorf("--time: %w", err)
	}
	for _, text := range c.Keep {
		k, err := parseKeep(text)
		if err != nil {
			return fmt.Errorf("--keep %s: %w", text, err)
		}
		o.Keep = append(o.Keep, k)
	}
	if c.Prefixes != "" {
		if o.Prefixes, err = readPrefixes(c.Prefixes); err != nil {
			return err
		}
	}
	t, err := tablegen.New(o)
	if err != nil {
		return err
	}
	counts, err := writeFile(c.Out, t.WriteRIB)
	if err != nil {
		return err
	}
	fmt.Printf("%s: %d paths of %d IPv4 and %d IPv6 prefixes from %d peers\n", c.Out, counts.Paths, counts.IPv4, counts.IPv6, len(t.Peers()))
	if c.Updates == "" {
		return nil
	}
	u, err := writeFile(c.Updates, func(w io.Writer) (tablegen.UpdateCounts, error) { return t.WriteUpdates(w, c.Messages) })
	if err != nil {
		return err
	}
	fmt.Printf("%s: %d messages that announce %d and withdraw %d routes\n", c.Updates, u.Messages, u.Announced, u.Withdrawn)
	return nil
}

func parseKeep(text string) (k tablegen.Keep, err error) {
	prefix, as, named := strings.Cut(text, "=")
	if k.Prefix, err = netip.ParsePrefix(prefix); err != nil || !named {
		return k, err
	}
	n, err := strconv.ParseUint(as, 10, 32)
	if err == nil && n == 0 {
		err = errors.New("AS 0 originates nothing (RFC 7607)")
	}
	k.Origin = uint32(n)
	return k, err
}

// readPrefixes reads a list, decompressed by the suffix of its name.
func readPrefixes(name string) ([]netip.Prefix, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var r io.Reader = bufio.NewReader(f)
	switch filepath.Ext(name) {
	case ".gz":
		if r, err = gzip.NewReader(r); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	case ".zst":
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		defer z.Close()
		r = z
	}
	ps, err := tablegen.ReadPrefixes(r)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return ps, nil
}

// writeFile makes a file with what write gives, compressed by the suffix of its
// name. The file appears under its name only when it is whole.
func writeFile[C any](name string, write func(io.Writer) (C, error)) (counts C, err error) {
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*")
	if err != nil {
		return counts, err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
			err = fmt.Errorf("%s: %w", name, err)
		}
	}()
	w, err := compressor(name, f)
	if err != nil {
		return counts, err
	}
	if counts, err = write(w); err != nil {
		return counts, err
	}
	if err = w.Close(); err != nil {
		return counts, err
	}
	if err = f.Chmod(0o644); err != nil {
		return counts, err
	}
	if err = f.Close(); err != nil {
		return counts, err
	}
	return counts, os.Rename(f.Name(), name)
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

// compressor uses one goroutine and the densest level, so that the octets do not
// depend on the machine.
func compressor(name string, w io.Writer) (io.WriteCloser, error) {
	switch filepath.Ext(name) {
	case ".gz":
		return gzip.NewWriterLevel(w, gzip.BestCompression)
	case ".zst":
		return zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedBestCompression), zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(8<<20))
	}
	return nopCloser{w}, nil
}
