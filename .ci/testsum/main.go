// Command testsum reads the output of `go test -json` from standard input,
// shows what `go test` would, and ends with a line that counts the tests. With
// -into it adds the counts to a file, and with -total it prints the sum of
// such a file: the summary of several runs.
//
// What follows the flags are flags of `go test`. With them a test that failed
// gets a second chance, see again.go, and is called flaky if it takes it; after
// its output a line {"Action":"ended","Output":"N"} has to say what `go test`
// exited with.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"sort"
	"strings"
)

type event struct {
	Action  string
	Package string
	Test    string
	Output  string
	Elapsed float64
}

type counts struct{ passed, failed, skipped, flaky int }

func main() {
	into := flag.String("into", "", "add the counts to this file")
	total := flag.String("total", "", "print the sum of this file's counts")
	name := flag.String("name", "tests", "what this run is called")
	flag.Parse()
	if *total != "" {
		os.Exit(sum(*total))
	}
	os.Exit(read(*name, *into, flag.Args()))
}

// tests is what has been read of one run of `go test`.
type tests struct {
	counts
	broken  int // packages that failed
	fails   failures
	output  map[string][]string // of tests that have not ended
	skips   map[string]string
	running map[string]bool // those that have begun: one that never ends has taken its package along
	ended   string          // the exit code of `go test`
}

func read(name, into string, flags []string) int {
	t := tests{fails: failures{}, output: map[string][]string{}, skips: map[string]string{}, running: map[string]bool{}}
	in := bufio.NewReaderSize(os.Stdin, 1<<20)
	for {
		line, err := in.ReadBytes('\n')
		var e event
		switch {
		case len(line) == 0:
		case json.Unmarshal(line, &e) != nil || e.Action == "":
			fmt.Print(string(line)) // a build's complaint
		default:
			t.take(e)
		}
		if err != nil {
			break
		}
	}
	t.judge(flags)
	fmt.Printf("%s: %d passed, %d failed, %d skipped, %d flaky\n", name, t.passed, t.failed, t.skipped, t.flaky)
	if into != "" {
		if err := add(into, name, t.counts); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	if t.failed > 0 || t.passed == 0 {
		return 1
	}
	return 0
}

// take counts what one event tells, and shows what `go test` would.
func (t *tests) take(e event) {
	key := e.Package + " " + e.Test
	switch e.Action {
	case "run":
		t.running[key] = true
		return
	case "ended":
		t.ended = e.Output
		return
	case "output":
		t.output[key] = append(t.output[key], e.Output)
		return
	case "build-output":
		fmt.Print(e.Output)
		return
	case "pass":
		if e.Test != "" {
			t.passed++
		} else {
			fmt.Printf("ok    %s  %.1fs\n", e.Package, e.Elapsed)
		}
	case "skip":
		if e.Test != "" {
			t.skipped++
			t.skips[key] = why(t.output[key])
		}
	case "fail":
		if e.Test != "" {
			t.failed++
		} else {
			t.broken++
			fmt.Printf("FAIL  %s  %.1fs\n", e.Package, e.Elapsed)
		}
		out := strings.Join(t.output[key], "")
		t.fails.add(e, out)
		fmt.Print(out)
	default:
		return
	}
	delete(t.running, key) // it passed, was skipped, or failed
	delete(t.output, key)
}

// judge says what the run came to once its output is over: whether what failed
// was only flaky, what was skipped, and what never ended.
func (t *tests) judge(flags []string) {
	for _, k := range sorted(t.skips) {
		fmt.Printf("skip  %s: %s\n", k, t.skips[k])
	}
	if t.broken > 0 && t.failed == 0 {
		t.failed = t.broken // a package that did not build, or died
	} else if len(flags) > 0 && t.failed > 0 && t.ended == "1" && len(t.running) == 0 && t.broken == t.fails.packages() && t.fails.again(flags) {
		t.flaky, t.failed = len(t.fails), 0
		t.passed += t.flaky
	}
	for _, k := range sorted(t.running) {
		fmt.Printf("%s did not end\n", k)
	}
	if len(flags) > 0 && t.ended != "0" && t.failed+t.flaky == 0 {
		fmt.Printf("go test ended with %q, and no test says why\n", t.ended)
		t.failed = 1
	}
}

// why is the reason that a test gave for skipping.
func why(output []string) string {
	for _, l := range output {
		l = strings.TrimSpace(l)
		if l != "" && !strings.HasPrefix(l, "=== ") && !strings.HasPrefix(l, "--- ") {
			return l
		}
	}
	return "no reason given"
}

func sorted[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

func add(file, name string, c counts) error {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, "%s %d %d %d %d\n", strings.ReplaceAll(name, " ", "-"), c.passed, c.failed, c.skipped, c.flaky)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

func sum(file string) int {
	b, err := os.ReadFile(file)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	var all counts
	for _, line := range strings.Split(strings.TrimSpace(string(b)), "\n") {
		var name string
		var c counts
		if _, err := fmt.Sscanf(line, "%s %d %d %d %d", &name, &c.passed, &c.failed, &c.skipped, &c.flaky); err != nil {
			continue
		}
		fmt.Printf("%-12s %d passed, %d failed, %d skipped, %d flaky\n", name, c.passed, c.failed, c.skipped, c.flaky)
		all.passed += c.passed
		all.failed += c.failed
		all.skipped += c.skipped
	}
	fmt.Printf("%d passed, %d failed\n", all.passed, all.failed)
	if all.failed > 0 {
		return 1
	}
	return 0
}
