package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// Change is one difference between two configurations: a key as the files
// write it, and what it says in each, "" where it is not set.
type Change struct {
	Path, Old, New string
}

// String returns the change as one line.
func (c Change) String() string {
	switch {
	case c.Old == "":
		return fmt.Sprintf("+ %s: %s", c.Path, c.New)
	case c.New == "":
		return fmt.Sprintf("- %s: %s", c.Path, c.Old)
	}
	return fmt.Sprintf("~ %s: %s -> %s", c.Path, c.Old, c.New)
}

// Top is the key of the first level that the change is under.
func (c Change) Top() string {
	if i := strings.IndexAny(c.Path, ".["); i >= 0 {
		return c.Path[:i]
	}
	return c.Path
}

// value is a scalar of the file, with the path to it.
type value struct {
	path, text string
}

// Diff lists what next says that c does not, and what c says that next does
// not, by path. What is only said in another order or form is no difference,
// but for lists whose order counts.
func (c *Config) Diff(next *Config) []Change {
	byPath := func(c *Config) map[string]string {
		m := make(map[string]string, len(c.values))
		for _, v := range c.values {
			m[v.path] = v.text
		}
		return m
	}
	before, after := byPath(c), byPath(next)
	paths := slices.Sorted(maps.Keys(before))
	for p := range after {
		if _, ok := before[p]; !ok {
			paths = append(paths, p)
		}
	}
	slices.Sort(paths)
	var out []Change
	for _, p := range paths {
		if before[p] != after[p] {
			out = append(out, Change{p, before[p], after[p]})
		}
	}
	return out
}

// maxDepth bounds the nesting of a file: aliases could make it endless.
const maxDepth = 32

// flatten notes every scalar below n.
func (d *decoder) flatten(n ast.Node, path string, depth int) {
	if depth > maxDepth || len(d.cfg.values) > 1<<20 {
		return
	}
	n = d.resolve(n)
	switch v := n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		t, ok := d.openAny(n, path)
		if !ok {
			return
		}
		for _, k := range t.order {
			d.flatten(t.keys[k].value, join(path, k), depth+1)
		}
	case *ast.SequenceNode:
		d.flattenList(v, path, depth)
	default:
		if isNull(n) {
			return
		}
		if text, ok := d.scalar(n, path, "text"); ok {
			d.cfg.values = append(d.cfg.values, value{path, text})
		}
	}
}

// flattenList notes the items of a list: those that have a name of their own
// by it, a list of scalars as one, the others by their place.
func (d *decoder) flattenList(v *ast.SequenceNode, path string, depth int) {
	var words []string
	for _, item := range v.Values {
		switch d.resolve(item).(type) {
		case *ast.MappingNode, *ast.MappingValueNode, *ast.SequenceNode:
		default:
			if isNull(d.resolve(item)) {
				continue
			}
			if text, ok := d.scalar(item, path, "text"); ok {
				words = append(words, text)
			}
		}
	}
	if len(words) == len(v.Values) {
		d.cfg.values = append(d.cfg.values, value{path, "[" + strings.Join(words, ", ") + "]"})
		return
	}
	for i, item := range v.Values {
		d.flatten(item, fmt.Sprintf("%s[%s]", path, d.itemName(item, i)), depth+1)
	}
}

// itemName is what an item of a list is known by.
func (d *decoder) itemName(n ast.Node, i int) string {
	t, ok := d.openAny(d.resolve(n), "")
	if ok {
		for _, k := range []string{"address", "prefix", "name"} {
			if t.has(k) {
				if text, ok := d.scalar(t.keys[k].value, k, "text"); ok {
					return text
				}
			}
		}
	}
	return fmt.Sprint(i + 1)
}
