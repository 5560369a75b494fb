package main

import (
	"bufio"
	"strings"
	"unicode/utf8"
)

// table prints rows in aligned columns. Rows are held back until a batch is
// full or flush is called, so that the widths fit; columns only ever widen,
// so that a long answer stays readable and takes no more memory than a batch.
type table struct {
	out    *bufio.Writer
	head   []string
	right  []bool // columns of numbers
	widths []int
	rows   [][]string
	headed bool
}

// batchRows is how many rows set the widths together.
const batchRows = 512

// newTable starts a table. A column whose name starts with > is of numbers and
// stands to the right.
func newTable(out *bufio.Writer, columns ...string) *table {
	t := &table{out: out, widths: make([]int, len(columns))}
	for _, c := range columns {
		name, right := strings.CutPrefix(c, ">")
		t.head = append(t.head, name)
		t.right = append(t.right, right)
	}
	return t
}

// add prints a row, now or with its batch.
func (t *table) add(cells ...string) error {
	t.rows = append(t.rows, cells)
	if len(t.rows) < batchRows {
		return nil
	}
	return t.flush()
}

// flush prints the rows that are held back, the heading before the first.
func (t *table) flush() error {
	if !t.headed {
		t.rows = append([][]string{t.head}, t.rows...)
		t.headed = true
	}
	for _, r := range t.rows {
		for i, c := range r {
			t.widths[i] = max(t.widths[i], utf8.RuneCountInString(c))
		}
	}
	for _, r := range t.rows {
		t.line(r)
	}
	t.rows = t.rows[:0]
	return t.out.Flush()
}

func (t *table) line(r []string) {
	last := len(r) - 1
	for last > 0 && r[last] == "" {
		last--
	}
	for i, c := range r[:last+1] {
		pad := t.widths[i] - utf8.RuneCountInString(c)
		if t.right[i] {
			t.spaces(pad)
		}
		t.out.WriteString(c)
		if i < last {
			if t.right[i] {
				pad = 0
			}
			t.spaces(pad + 2)
		}
	}
	t.out.WriteByte('\n')
}

func (t *table) spaces(n int) {
	for range n {
		t.out.WriteByte(' ')
	}
}

// printable keeps what a peer chose as text from moving the terminal's cursor.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return '?'
		}
		return r
	}, s)
}
