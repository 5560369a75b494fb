package config

import (
	"fmt"
	"math"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// scalar returns the text of a value that is no mapping and no list.
func (d *decoder) scalar(n ast.Node, path, want string) (string, bool) {
	n = d.resolve(n)
	switch v := n.(type) {
	case *ast.StringNode:
		return v.Value, true
	case *ast.LiteralNode:
		return strings.TrimSuffix(v.Value.Value, "\n"), true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return n.GetToken().Value, true
	}
	if n != nil {
		d.errorf(n, "%s: %s is not %s", path, kind(n), want)
	}
	return "", false
}

// str reads a text that is not empty.
func (t table) str(key string, dst *string) {
	n, path, ok := t.at(key)
	if !ok {
		return
	}
	s, ok := t.d.scalar(n, path, "text")
	if ok && s == "" {
		t.d.errorf(n, "%s is empty", path)
		return
	}
	if ok {
		*dst = s
	}
}

// boolean reads true or false.
func (t table) boolean(key string, dst *bool) {
	n, path, ok := t.at(key)
	if !ok {
		return
	}
	if b, ok := t.d.resolve(n).(*ast.BoolNode); ok {
		*dst = b.Value
		return
	}
	if s, ok := t.d.scalar(n, path, "true or false"); ok {
		t.d.errorf(n, "%s: %q is not true or false", path, s)
	}
}

// number reads a whole number between lo and hi into dst.
func number[T ~int | ~uint8 | ~uint16 | ~uint32](t table, key string, lo, hi int64, dst *T) bool {
	n, path, ok := t.at(key)
	if !ok {
		return false
	}
	v, ok := t.d.number(n, path, lo, hi)
	if ok {
		*dst = T(v)
	}
	return ok
}

func (d *decoder) number(n ast.Node, path string, lo, hi int64) (int64, bool) {
	want := fmt.Sprintf("a whole number from %d to %d", lo, hi)
	s, ok := d.scalar(n, path, want)
	if !ok {
		return 0, false
	}
	v, err := strconv.ParseInt(strings.ReplaceAll(s, "_", ""), 10, 64)
	if err != nil || v < lo || v > hi {
		d.errorf(n, "%s: %s is not %s", path, s, want)
		return 0, false
	}
	return v, true
}

// asNumber reads the number of an autonomous system.
func (d *decoder) asNumber(n ast.Node, path string) (uint32, bool) {
	v, ok := d.number(n, path, 1, math.MaxUint32)
	if ok && v == 23456 {
		d.errorf(n, "%s: 23456 stands for AS numbers that do not fit 2 octets (RFC 6793) and is nobody's", path)
		return 0, false
	}
	return uint32(v), ok
}

// enum reads one of a list of words.
func enum[T ~uint8](t table, key string, words names, dst *T) bool {
	n, path, ok := t.at(key)
	if !ok {
		return false
	}
	s, ok := t.d.scalar(n, path, list(words))
	if !ok {
		return false
	}
	i := words.index(s)
	if i < 0 {
		t.d.badWord(n, path, s, words)
		return false
	}
	*dst = T(i)
	return true
}

func (d *decoder) badWord(n ast.Node, path, s string, words []string) {
	if w := nearest(s, words); w != "" {
		d.errorf(n, "%s: %q is not %s: did you mean %q?", path, s, list(words), w)
		return
	}
	d.errorf(n, "%s: %q is not %s", path, s, list(words))
}

// duration reads a duration with a unit, in whole steps, between lo and hi.
func (t table) duration(key string, lo, hi, step time.Duration, dst *time.Duration) bool {
	n, path, ok := t.at(key)
	if !ok {
		return false
	}
	s, ok := t.d.scalar(n, path, "a duration such as 90s, 8m or 1h")
	if !ok {
		return false
	}
	v, err := parseDuration(s)
	switch {
	case err != nil:
		t.d.errorf(n, "%s: %q is not a duration: write a number with its unit, such as 90s, 8m, 1h or 7d", path, s)
	case v < lo || v > hi:
		t.d.errorf(n, "%s: %s is not between %s and %s", path, s, short(lo), short(hi))
	case v%step != 0:
		t.d.errorf(n, "%s: %s is not in whole seconds", path, s)
	default:
		*dst = v
		return true
	}
	return false
}

// parseDuration reads what time.ParseDuration does, and days.
func parseDuration(s string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		return time.Duration(n) * 24 * time.Hour, err
	}
	return time.ParseDuration(s)
}

// short writes a duration without the units that are nought.
func short(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// size reads a number of octets such as 8GiB.
func (t table) size(key string, lo uint64, dst *uint64) {
	n, path, ok := t.at(key)
	if !ok {
		return
	}
	const want = "a size such as 512MiB or 8GiB"
	s, ok := t.d.scalar(n, path, want)
	if !ok {
		return
	}
	v, ok := parseSize(s)
	if !ok {
		t.d.errorf(n, "%s: %q is not %s", path, s, want)
		return
	}
	if v < lo {
		t.d.errorf(n, "%s: %s is too little: at least %s", path, s, formatSize(lo))
		return
	}
	*dst = v
}

var sizeUnits = [...]struct {
	suffix string
	scale  uint64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
	{"kB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}, {"B", 1}, {"", 1},
}

func parseSize(s string) (uint64, bool) {
	for _, u := range sizeUnits {
		digits, ok := strings.CutSuffix(s, u.suffix)
		if !ok {
			continue
		}
		digits = strings.TrimSpace(digits)
		if v, err := strconv.ParseUint(digits, 10, 64); err == nil {
			return v * u.scale, v <= math.MaxInt64/u.scale
		}
		f, err := strconv.ParseFloat(digits, 64)
		if err != nil || u.scale == 1 || !(f >= 0 && f*float64(u.scale) < math.MaxInt64) {
			return 0, false
		}
		return uint64(f * float64(u.scale)), true
	}
	return 0, false
}

func formatSize(v uint64) string {
	for i := 3; i >= 0; i-- {
		if u := sizeUnits[i]; v >= u.scale && v%u.scale == 0 {
			return strconv.FormatUint(v/u.scale, 10) + u.suffix
		}
	}
	return strconv.FormatUint(v, 10) + "B"
}

// each calls f for every item of a list.
func (d *decoder) each(n ast.Node, path string, f func(n ast.Node, path string)) {
	n = d.resolve(n)
	if isNull(n) {
		return
	}
	seq, ok := n.(*ast.SequenceNode)
	if !ok {
		d.errorf(n, "%s is a list, not %s: write [one, two], or a line with - for each", path, kind(n))
		return
	}
	for i, v := range seq.Values {
		f(v, fmt.Sprintf("%s[%d]", path, i))
	}
}

// items calls f for every item of a key's list, where it is set.
func (t table) items(key string, f func(n ast.Node, path string)) {
	if n, path, ok := t.at(key); ok {
		t.d.each(n, path, f)
	}
}

// addr reads an IP address.
func (d *decoder) addr(n ast.Node, path string) (netip.Addr, bool) {
	s, ok := d.scalar(n, path, "an IP address")
	if !ok {
		return netip.Addr{}, false
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		d.errorf(n, "%s: %q is not an IP address", path, s)
		return netip.Addr{}, false
	}
	return a.Unmap(), true
}

func (t table) addr(key string, dst *netip.Addr) bool {
	n, path, ok := t.at(key)
	if !ok {
		return false
	}
	a, ok := t.d.addr(n, path)
	if ok {
		*dst = a
	}
	return ok
}

// addrOf reads an address of one family.
func (t table) addrOf(key string, v4 bool, dst *netip.Addr) {
	var a netip.Addr
	if !t.addr(key, &a) {
		return
	}
	n, path, _ := t.at(key)
	switch {
	case v4 != a.Is4() && v4:
		t.d.errorf(n, "%s: %s is not an IPv4 address", path, a)
	case v4 != a.Is4():
		t.d.errorf(n, "%s: %s is not an IPv6 address", path, a)
	default:
		*dst = a
	}
}

// prefix reads a prefix without host bits.
func (d *decoder) prefix(n ast.Node, path string) (netip.Prefix, bool) {
	s, ok := d.scalar(n, path, "a prefix such as 192.0.2.0/24")
	if !ok {
		return netip.Prefix{}, false
	}
	p, why := parsePrefix(s)
	if why != "" {
		d.errorf(n, "%s: %s", path, why)
		return netip.Prefix{}, false
	}
	return p, true
}

// parsePrefix returns why a text is no prefix, "" where it is one.
func parsePrefix(s string) (netip.Prefix, string) {
	p, err := netip.ParsePrefix(s)
	if err != nil {
		if _, err := netip.ParseAddr(s); err == nil {
			return netip.Prefix{}, fmt.Sprintf("%q has no length: write it as 192.0.2.0/24 is", s)
		}
		return netip.Prefix{}, fmt.Sprintf("%q is not a prefix such as 192.0.2.0/24", s)
	}
	if m := p.Masked(); m != p {
		return netip.Prefix{}, fmt.Sprintf("%s has bits set past its length: %s is the prefix", s, m)
	}
	return p, ""
}

// fileName reads the name of a file, relative to the configuration's folder,
// and notes it for Missing.
func (t table) fileName(key string, dst *string) {
	var s string
	t.str(key, &s)
	if s == "" {
		return
	}
	if !filepath.IsAbs(s) {
		s = filepath.Join(t.d.dir, s)
	}
	n, path, _ := t.at(key)
	line, col := position(n)
	t.d.cfg.named = append(t.d.cfg.named, fileRef{path, s, line, col})
	*dst = s
}
