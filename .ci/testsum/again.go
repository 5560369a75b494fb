package main

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
)

// Thousands of tests, many of them with real daemons and real sockets, run on
// machines whose two cores are shared: now and then one waits longer than it
// thought possible. Where a run has at most mostAgain such tests, each runs
// againTimes times more, alone, and counts as flaky if it passes every time:
// shown, with the output of its failure, to be mended, but no reason to refuse a
// change. What fails for good, or every third time, still fails here. A data race,
// a panic, a leak or a package that died is never run again: once is enough.
const (
	mostAgain  = 2
	againTimes = 5
)

// failure is a test that failed, with its subtests.
type failure struct{ pkg, test string }

// failures holds what the tests that failed printed.
type failures map[failure]string

// final is in the output of what is no matter of time.
var final = []string{"DATA RACE", "data race(s)", "race detected", "panic:", "fatal error:", "goleak", "leaked"}

func (f failures) add(e event, output string) {
	if e.Test == "" {
		for at := range f {
			if at.pkg == e.Package {
				f[at] += output // what the package printed: the race detector, a leak
			}
		}
		return
	}
	top, _, _ := strings.Cut(e.Test, "/")
	f[failure{e.Package, top}] += output
}

// packages counts those that have a test that failed.
func (f failures) packages() int {
	seen := map[string]bool{}
	for at := range f {
		seen[at.pkg] = true
	}
	return len(seen)
}

// again runs what failed once more with the flags of `go test`, and is true if all
// of it passes.
func (f failures) again(flags []string) bool {
	if len(f) > mostAgain {
		return false
	}
	for at, output := range f {
		for _, s := range final {
			if strings.Contains(output, s) {
				fmt.Printf("%s %s is not run again: %q\n", at.pkg, at.test, s)
				return false
			}
		}
	}
	passes := true
	for at := range f {
		fmt.Printf("again %s %s, %d times\n", at.pkg, at.test, againTimes)
		args := append([]string{"test", "-run", "^" + at.test + "$", "-count", strconv.Itoa(againTimes)}, flags...)
		out, err := exec.Command(goCommand(), append(args, at.pkg)...).CombinedOutput()
		fmt.Print(string(out))
		if err != nil {
			passes = false
			continue
		}
		fmt.Printf("FLAKY %s %s: failed once, then passed %d times\n", at.pkg, at.test, againTimes)
	}
	return passes
}

func goCommand() string {
	if g := os.Getenv("GO"); g != "" {
		return g
	}
	return "go"
}
