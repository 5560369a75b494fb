package mrt

import (
	"fmt"
	"strings"
	"time"
)

// AppendProgress appends one line about a load, of at most width columns and
// without a newline, for a terminal that rewrites it:
//
//	rib.gz  63% ████████████▌        17.2 MiB of 27.4 MiB  2,310,000 routes  3.9 M/s  0:00 left
//
// The bar is left out where the size of the file is not known, and shrinks
// before anything else does. The caller asks golang.org/x/term whether there is
// a terminal, and how wide it is.
func AppendProgress(dst []byte, s Status, width int) []byte {
	name := s.Name
	if i := strings.LastIndexByte(name, '/'); i >= 0 && i < len(name)-1 {
		name = name[i+1:]
	}
	var tail strings.Builder
	fmt.Fprintf(&tail, "%s", size(s.Bytes))
	if s.Total > 0 {
		fmt.Fprintf(&tail, " of %s", size(s.Total))
	}
	fmt.Fprintf(&tail, "  %s routes", thousands(s.Routes+s.Withdrawals))
	if s.Rate > 0 {
		fmt.Fprintf(&tail, "  %s/s", short(s.Rate))
	}
	switch {
	case s.State == Queued:
		tail.WriteString("  queued")
	case s.State == Failed || s.State == Cancelled:
		tail.WriteString("  " + s.State.String())
	case s.State == Done:
		fmt.Fprintf(&tail, "  in %s", clock(s.EndedAt.Sub(s.StartedAt)))
	case s.Left >= 0:
		fmt.Fprintf(&tail, "  %s left", clock(s.Left))
	}
	if s.Damaged > 0 {
		fmt.Fprintf(&tail, "  %s damaged", thousands(s.Damaged))
	}
	head, bar := clip(name, 32), ""
	if s.Total > 0 {
		done := min(1, float64(s.Bytes)/float64(s.Total))
		head += fmt.Sprintf(" %3d%%", int(done*100))
		if room := width - columns(head) - tail.Len() - 4; room >= 5 {
			bar = " " + barOf(done, min(room, 40))
		}
	}
	return append(dst, clip(head+bar+"  "+tail.String(), width)...)
}

// barOf draws a part of n columns in eighths.
func barOf(part float64, n int) string {
	eighths := int(part * float64(n) * 8)
	s := strings.Repeat("█", eighths/8)
	used := eighths / 8
	if r := eighths % 8; r > 0 {
		s += string([]rune("▏▎▍▌▋▊▉")[r-1])
		used++
	}
	return s + strings.Repeat(" ", n-used)
}

// columns counts runes: what is printed here is one column wide each.
func columns(s string) int { return len([]rune(s)) }

// clip cuts s to n columns.
func clip(s string, n int) string {
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	if n <= 1 {
		return string(r[:max(n, 0)])
	}
	return string(r[:n-1]) + "…"
}

// size is a number of octets for people.
func size(n int64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	f, i := float64(n), 0
	for f >= 1024 && i < len(units)-1 {
		f, i = f/1024, i+1
	}
	if i == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", f, units[i])
}

// short is a rate for people.
func short(f float64) string {
	switch {
	case f >= 1e6:
		return fmt.Sprintf("%.1f M", f/1e6)
	case f >= 1e4:
		return fmt.Sprintf("%.0f k", f/1e3)
	}
	return fmt.Sprintf("%.0f", f)
}

// thousands groups digits with commas.
func thousands(n int64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// clock is a duration as minutes and seconds, or hours too.
func clock(d time.Duration) string {
	sec := int64(d.Round(time.Second) / time.Second)
	if sec >= 3600 {
		return fmt.Sprintf("%d:%02d:%02d", sec/3600, sec/60%60, sec%60)
	}
	return fmt.Sprintf("%d:%02d", sec/60, sec%60)
}
