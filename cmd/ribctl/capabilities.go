package main

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"ribd/engine/api/apiv1"
)

// capabilities shows what each end said in its OPEN and what came of it. A
// capability that says more than yes has a line for each thing that it says, so
// that both ends stand side by side.
func (g *peerPage) capabilities() {
	var rows [][]string
	for i := range g.p.Capabilities {
		rows = append(rows, capabilityRows(&g.p.Capabilities[i])...)
	}
	g.table([]string{"CAPABILITY", ">CODE", "US", "THEM", "NEGOTIATED"}, rows)
}

// capabilityRows are the lines of one capability.
func capabilityRows(c *apiv1.Capability) [][]string {
	sides := [3]any{c.Sent, c.Received, c.Negotiated}
	var parts [3]map[string]any
	var order []string
	split := false
	for i, v := range sides {
		m, keys, ok := things(v)
		if !ok {
			continue
		}
		split = true
		parts[i] = m
		for _, k := range keys {
			if !slices.Contains(order, k) {
				order = append(order, k)
			}
		}
	}
	row := []string{printable(c.Name), strconv.Itoa(int(c.Code)), "", "", ""}
	if !split {
		for i, v := range sides {
			row[2+i] = valueText(v)
		}
		return [][]string{row}
	}
	for i, v := range sides {
		switch {
		case parts[i] == nil:
			row[2+i] = valueText(v)
		case len(parts[i]) == 0:
			row[2+i] = "yes"
		}
	}
	rows := [][]string{row}
	for _, k := range order {
		r := []string{"  " + printable(strings.ReplaceAll(k, "_", " ")), "", "", "", ""}
		for i := range sides {
			if v, ok := parts[i][k]; ok {
				r[2+i] = valueText(v)
			} else {
				r[2+i] = "-"
			}
		}
		rows = append(rows, r)
	}
	return rows
}

// things takes a list or an object apart; an object in an object ("families")
// gives its own keys.
func things(v any) (m map[string]any, order []string, ok bool) {
	m = map[string]any{}
	add := func(k string, v any) {
		if _, twice := m[k]; !twice {
			order = append(order, k)
		}
		m[k] = v
	}
	switch v := v.(type) {
	case []any:
		for _, x := range v {
			if s, ok := x.(string); ok {
				add(s, true)
				continue
			}
			if o, ok := x.(map[string]any); ok { // a list of objects that name their family
				if f, ok := o["family"].(string); ok {
					rest := maps.Clone(o)
					delete(rest, "family")
					add(f, any(rest))
					continue
				}
			}
			add(valueText(x), true)
		}
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(v)) {
			switch inner := v[k].(type) {
			case map[string]any:
				if nested(inner) {
					for _, f := range slices.Sorted(maps.Keys(inner)) {
						add(f, inner[f])
					}
					continue
				}
				if len(inner) == 0 && k == "families" {
					continue
				}
			case []any:
				if k == "families" {
					sub, keys, _ := things(inner)
					for _, f := range keys {
						add(f, sub[f])
					}
					continue
				}
			}
			add(k, v[k])
		}
	default:
		return nil, nil, false
	}
	return m, order, true
}

// nested says whether all values of an object are objects.
func nested(m map[string]any) bool {
	for _, v := range m {
		if _, ok := v.(map[string]any); !ok {
			return false
		}
	}
	return len(m) > 0
}

// valueText is a decoded value in a cell.
func valueText(v any) string {
	switch v := v.(type) {
	case nil:
		return "-"
	case bool:
		return yesNo(v)
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case string:
		if v == "" {
			return "-"
		}
		return printable(v)
	case []any:
		s := make([]string, len(v))
		for i := range v {
			s[i] = valueText(v[i])
		}
		return strings.Join(s, ", ")
	case map[string]any:
		var s []string
		for _, k := range slices.Sorted(maps.Keys(v)) {
			name := printable(strings.ReplaceAll(k, "_", " "))
			switch x := v[k].(type) {
			case bool:
				if x {
					s = append(s, name)
				} else {
					s = append(s, "not "+name)
				}
			case nil:
			default:
				s = append(s, name+" "+valueText(x))
			}
		}
		if len(s) == 0 {
			return "yes"
		}
		return strings.Join(s, ", ")
	}
	return printable(fmt.Sprint(v))
}
