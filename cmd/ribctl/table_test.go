package main

import (
	"bufio"
	"bytes"
	"strings"
	"testing"
)

// tableText prints n rows, the second half of them wider.
func tableText(t *testing.T, n int) (lines []string, out string) {
	t.Helper()
	var b bytes.Buffer
	tab := newTable(bufio.NewWriter(&b), "A", ">N", "B")
	for i := range n {
		row := []string{"x", "1", "é"}
		if i >= n/2 {
			row = []string{"xx", "2", "é"}
		}
		if i == 1 {
			row[0] = "xx"
		}
		if err := tab.add(row...); err != nil {
			t.Fatal(err)
		}
	}
	if err := tab.flush(); err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimRight(b.String(), "\n"), "\n"), b.String()
}

func TestWhatAPeerNamesCanNotMoveTheCursor(t *testing.T) {
	if got := printable("a\x1b[2Jb\u009bc\n"); got != "a?[2Jb?c?" {
		t.Errorf("got %q", got)
	}
}

func TestNumbersForPeople(t *testing.T) {
	for v, want := range map[uint64]string{0: "0", 999: "999", 1000: "1,000", 3607676: "3,607,676"} {
		if got := thousands(v); got != want {
			t.Errorf("%d: got %s", v, got)
		}
	}
	for v, want := range map[float64]string{1: "1s", 61: "1m01s", 3700: "1h01m", 90000: "1d01h"} {
		if got := age(v); got != want {
			t.Errorf("%v: got %s, want %s", v, got, want)
		}
	}
}
