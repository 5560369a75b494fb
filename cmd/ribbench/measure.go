package main

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"ribd/internal/benchkit"
	"ribd/internal/tablegen"
)

// measureFlags are those of all commands that measure.
type measureFlags struct {
	Data     string `help:"Folder of the shared test data; without its files made-up tables of the same size are taken." env:"RIBD_DATA" default:"../shared/data" placeholder:"DIR"`
	Runs     int    `help:"Paired runs of each figure." default:"5" placeholder:"N"`
	Smoke    bool   `help:"Tiny tables and one short run: shows that everything works, and measures nothing."`
	JSON     string `name:"json" help:"Write the report here too." placeholder:"FILE"`
	Baseline string `help:"Compare with this report." type:"existingfile" placeholder:"FILE"`
	Ribd     string `help:"The ribd to measure; without it ./cmd/ribd is built." type:"existingfile" placeholder:"PATH"`
}

// env is one run of ribbench: flags, tables and the report as it grows.
type env struct {
	measureFlags
	report benchkit.Report
	dir    string // for files that are made, removed at the end
	v4, v6 []netip.Prefix
}

// measure runs the parts and prints, and writes, what they found. What was found
// before an error is printed as well.
func (f measureFlags) measure(parts ...func(*env) error) (err error) {
	if f.Smoke {
		f.Runs = 1
	}
	if f.Runs < 1 {
		return fmt.Errorf("--runs %d: at least 1", f.Runs)
	}
	e := &env{measureFlags: f}
	if e.dir, err = os.MkdirTemp("", "ribbench"); err != nil {
		return err
	}
	defer os.RemoveAll(e.dir)
	var baseline *benchkit.Report
	if f.Baseline != "" {
		if baseline, err = benchkit.ReadReport(f.Baseline); err != nil {
			return err
		}
	}
	e.report = benchkit.Report{Date: time.Now().UTC().Truncate(time.Second), Machine: benchkit.ThisMachine(), Runs: f.Runs}
	if err = e.readPrefixes(); err != nil {
		return err
	}
	for _, part := range parts {
		if err = part(e); err != nil {
			break
		}
	}
	e.report.Print(os.Stdout, baseline)
	if err == nil && f.JSON != "" {
		err = e.report.WriteJSON(f.JSON)
	}
	return err
}

// file returns the path of a file of the shared data, if it is there.
func (e *env) file(elem ...string) (string, bool) {
	if e.Smoke {
		return "", false
	}
	name := filepath.Join(append([]string{e.Data}, elem...)...)
	_, err := os.Stat(name)
	return name, err == nil
}

// readPrefixes takes the real prefixes of 2023, or makes as many up.
func (e *env) readPrefixes() error {
	name, ok := e.file("tables", "prefixes-2023.txt.gz")
	if !ok {
		n4, n6 := 900_000, 160_000
		if e.Smoke {
			n4, n6 = 20_000, 5_000
		}
		e.v4, e.v6 = tablegen.Synthetic(false, n4, 1), tablegen.Synthetic(true, n6, 1)
		e.report.Data = fmt.Sprintf("made-up prefixes, %d IPv4 and %d IPv6", n4, n6)
		return nil
	}
	ps, err := readPrefixes(name)
	if err != nil {
		return err
	}
	for _, p := range ps {
		if p.Addr().Is4() {
			e.v4 = append(e.v4, p)
		} else {
			e.v6 = append(e.v6, p)
		}
	}
	e.report.Data = fmt.Sprintf("%s, %d IPv4 and %d IPv6", filepath.Base(name), len(e.v4), len(e.v6))
	return nil
}

// table draws a table of IPv4 prefixes from some peers.
func (e *env) table(peers int) (*tablegen.Table, error) {
	n := min(900_000, len(e.v4))
	return tablegen.New(tablegen.Options{Prefixes: e.v4, IPv4: n, IPv6: 0, Peers: peers, Seed: 1})
}

func (e *env) add(rows ...benchkit.Row) {
	for _, r := range rows {
		fmt.Fprintf(os.Stderr, "%s: %v %s", r.Name, r.Ours, r.Unit)
		if r.Theirs != nil {
			fmt.Fprintf(os.Stderr, " beside %v of %s", r.Theirs, r.Rival)
		}
		fmt.Fprintln(os.Stderr)
	}
	e.report.Rows = append(e.report.Rows, rows...)
}

// note says on standard error what takes its time now.
func (e *env) note(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "… "+format+"\n", args...)
}

// atFull returns the goal where tables have their full size: a smoke run reaches
// nothing and misses nothing.
func (e *env) atFull(g *benchkit.Goal) *benchkit.Goal {
	if e.Smoke {
		return nil
	}
	return g
}

// short is how long a figure that takes its time is measured.
func (e *env) span(full time.Duration) time.Duration {
	if e.Smoke {
		return 50 * time.Millisecond
	}
	return full
}

// ribd returns the program to measure, and builds it where none is named.
func (e *env) ribd() (string, error) {
	if e.Ribd != "" {
		return e.Ribd, nil
	}
	name := filepath.Join(e.dir, "ribd")
	e.note("building ribd")
	out, err := exec.Command("go", "build", "-o", name, "ribd/cmd/ribd").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("building ribd (run this at the top of the repository, or name one with --ribd): %w\n%s", err, out)
	}
	e.Ribd = name
	return name, nil
}

type allCommand struct{ measureFlags }

// Run measures everything.
func (c *allCommand) Run() error {
	return c.measure((*env).lpm, (*env).tails, (*env).sizes, (*env).updates, (*env).transfers, (*env).load, (*env).bytesAPath, (*env).queries)
}

type lpmCommand struct{ measureFlags }

// Run measures look-ups in the process.
func (c *lpmCommand) Run() error { return c.measure((*env).lpm, (*env).tails, (*env).sizes) }

type updateCommand struct{ measureFlags }

// Run measures writing.
func (c *updateCommand) Run() error { return c.measure((*env).updates, (*env).transfers) }

type loadCommand struct{ measureFlags }

// Run measures whole processes that load.
func (c *loadCommand) Run() error { return c.measure((*env).load, (*env).bytesAPath) }

type queryCommand struct{ measureFlags }

// Run measures answers over HTTP.
func (c *queryCommand) Run() error { return c.measure((*env).queries) }
