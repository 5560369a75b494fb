package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"ribd/engine/api/apiv1"
)

// statsCommand shows the figures of the server.
type statsCommand struct{}

// Run prints the figures.
func (statsCommand) Run(e *env) error {
	return get(e, "/api/v1/stats", nil, func(s *apiv1.Stats) error {
		ready := "ready"
		if !s.Ready {
			ready = "not ready yet"
		}
		fmt.Fprintf(e.out, "ribd %s, up %s, %s\n", s.Version, age(s.UptimeSeconds), ready)
		fmt.Fprintf(e.out, "%s prefixes, %s paths, %d peers, %s attribute sets\n",
			thousands(s.Prefixes), thousands(s.Paths), s.Peers, thousands(s.AttributeSets))
		fmt.Fprintf(e.out, "%d shards, %d views open, %d routes refused\n\n", s.Shards, s.Views, s.Refused)
		t := newTable(e.out, "FAMILY", ">PREFIXES", ">PATHS")
		for _, f := range s.Families {
			t.add(f.Family, thousands(f.Prefixes), thousands(f.Paths))
		}
		t.flush()
		e.out.WriteByte('\n')
		t = newTable(e.out, "MEMORY", ">BYTES")
		for _, k := range slices.Sorted(maps.Keys(s.Memory)) {
			t.add(k, thousands(s.Memory[k]))
		}
		t.flush()
		e.out.WriteByte('\n')
		t = newTable(e.out, "LOOK-UPS", ">ADDRESSES")
		for _, k := range slices.Sorted(maps.Keys(s.Lookups)) {
			t.add(k, thousands(s.Lookups[k]))
		}
		return t.flush()
	})
}

// pages asks for every page of a list.
func pages[T any](e *env, path string, page func(*T) (*string, error)) error {
	q := url.Values{"limit": {"10000"}}
	for {
		var next *string
		err := get(e, path, q, func(v *T) (err error) {
			next, err = page(v)
			return err
		})
		if err != nil || next == nil {
			return err
		}
		q.Set("cursor", *next)
	}
}

// thousands writes a number with commas.
func thousands[T ~int64 | ~uint64](v T) string {
	s := fmt.Sprint(uint64(max(v, 0)))
	var b strings.Builder
	for i, c := range []byte(s) {
		if i > 0 && (len(s)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteByte(c)
	}
	return b.String()
}

// age writes seconds in their two largest units.
func age(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	switch {
	case d < time.Minute:
		return d.Round(time.Second).String()
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 24*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd%02dh", int(d.Hours())/24, int(d.Hours())%24)
}

// decode reads one JSON object.
func decode(body io.Reader, v any) error {
	if err := json.NewDecoder(body).Decode(v); err != nil {
		return fmt.Errorf("the server's answer is not what this ribctl knows: %w", err)
	}
	return nil
}
