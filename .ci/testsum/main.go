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

func read(name, into string, flags []string) int {
	var c counts
	var broken int
	fails := failures{}
	output := map[string][]string{} // of tests that have not ended
	skips := map[string]string{}
	running := map[string]bool{} // those that have begun: one that never ends has taken its package along
	ended := ""                  // the exit code of `go test`
	in := bufio.NewReaderSize(os.Stdin, 1<<20)
	for {
		line, err := in.ReadBytes('\n')
		if len(line) > 0 {
			var e event
			if json.Unmarshal(line, &e) != nil || e.Action == "" {
				fmt.Print(string(line)) // a build's complaint
				continue
			}
			key := e.Package + " " + e.Test
			switch e.Action {
			case "pass", "fail", "skip":
				delete(running, key)
			}
			switch e.Action {
			case "run":
				running[key] = true
			case "ended":
				ended = e.Output
			case "output":
				output[key] = append(output[key], e.Output)
			case "build-output":
				fmt.Print(e.Output)
			case "pass":
				if e.Test != "" {
					c.passed++
				} else {
					fmt.Printf("ok    %s  %.1fs\n", e.Package, e.Elapsed)
				}
				delete(output, key)
			case "skip":
				if e.Test != "" {
					c.skipped++
					skips[key] = why(output[key])
				}
				delete(output, key)
			case "fail":
				if e.Test != "" {
					c.failed++
				} else {
					broken++
					fmt.Printf("FAIL  %s  %.1fs\n", e.Package, e.Elapsed)
				}
				out := strings.Join(output[key], "")
				fails.add(e, out)
				fmt.Print(out)
				delete(output, key)
			}
		}
		if err != nil {
			break
		}
	}
	for _, k := range sorted(skips) {
		fmt.Printf("skip  %s: %s\n", k, skips[k])
	}
	if broken > 0 && c.failed == 0 {
		c.failed = broken // a package that did not build, or died
	} else if len(flags) > 0 && c.failed > 0 && ended == "1" && len(running) == 0 && broken == fails.packages() && fails.again(flags) {
		c.flaky, c.failed = len(fails), 0
		c.passed += c.flaky
	}
	for _, k := range sorted(running) {
		fmt.Printf("%s did not end\n", k)
	}
	if len(flags) > 0 && ended != "0" && c.failed+c.flaky == 0 {
		fmt.Printf("go test ended with %q, and no test says why\n", ended)
		c.failed = 1
	}
	fmt.Printf("%s: %d passed, %d failed, %d skipped, %d flaky\n", name, c.passed, c.failed, c.skipped, c.flaky)
	if into != "" {
		if err := add(into, name, c); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	if c.failed > 0 || c.passed == 0 {
		return 1
	}
	return 0
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
