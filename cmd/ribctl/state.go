package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
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
		fmt.Fprintf(e.out, "%s prefixes, %s paths, %d peers, %s attribute sets, %s AS paths\n",
			thousands(s.Prefixes), thousands(s.Paths), s.Peers, thousands(s.AttributeSets), thousands(s.ASPaths))
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

// peersCommand shows peers.
type peersCommand struct {
	Peer string `arg:"" optional:"" help:"Address or id of one peer."`
}

// Run prints the peers, or one of them.
func (c *peersCommand) Run(e *env) error {
	if c.Peer != "" {
		return get(e, "/api/v1/peers/"+url.PathEscape(c.Peer), nil, func(p *apiv1.Peer) error { return showPeer(e, p) })
	}
	if e.flags.JSON {
		return get(e, "/api/v1/peers", url.Values{"limit": {"100000"}}, func(*apiv1.Peers) error { return nil })
	}
	t := newTable(e.out, "ID", "ADDRESS", ">AS", "SOURCE", "COLLECTOR", "STATE", ">PREFIXES", ">BEST")
	err := pages(e, "/api/v1/peers", func(ps *apiv1.Peers) (*string, error) {
		for i := range ps.Peers {
			p := &ps.Peers[i]
			var prefixes, best int64
			for _, f := range p.Families {
				prefixes += f.Prefixes
				best += f.Best
			}
			err := t.add(p.ID, orDash(p.Address), strconv.FormatUint(uint64(p.ASN), 10), p.Source, orDash(p.Collector), p.State,
				thousands(prefixes), thousands(best))
			if err != nil {
				return nil, err
			}
		}
		return ps.Next, nil
	})
	if err != nil {
		return err
	}
	return t.flush()
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

func showPeer(e *env, p *apiv1.Peer) error {
	t := newTable(e.out, "PEER", p.ID)
	row := func(name, value string) {
		if value != "" && value != "-" {
			t.add(name, value)
		}
	}
	row("address", orDash(p.Address))
	row("as", strconv.FormatUint(uint64(p.ASN), 10))
	row("type", p.Type)
	row("router_id", orDash(p.RouterID))
	row("name", orDash(p.Name))
	row("description", orDash(p.Description))
	row("source", p.Source)
	row("collector", orDash(p.Collector))
	row("state", p.State)
	if p.Since != nil {
		row("since", p.Since.Format(time.RFC3339))
	}
	t.flush()
	e.out.WriteByte('\n')
	t = newTable(e.out, "FAMILY", ">PREFIXES", ">RECEIVED", ">ACCEPTED", ">FILTERED", ">BEST", ">STALE")
	for _, f := range p.Families {
		t.add(f.Family, thousands(f.Prefixes), thousands(f.Received), thousands(f.Accepted),
			thousands(f.Filtered), thousands(f.Best), thousands(f.Stale))
	}
	return t.flush()
}

// dropCommand drops a loaded peer.
type dropCommand struct {
	Peer string `arg:"" help:"Id of the peer, or its address where that is of one peer."`
}

// Run drops the peer.
func (c *dropCommand) Run(e *env) error {
	body, err := e.client.do(e.ctx, request{method: http.MethodDelete, path: "/api/v1/peers/" + url.PathEscape(c.Peer)})
	if err != nil {
		return err
	}
	defer body.Close()
	if e.flags.JSON {
		b, err := io.ReadAll(body)
		if len(b) > 0 {
			e.out.Write(b)
		}
		return err
	}
	_, err = fmt.Fprintf(e.out, "%s is dropped\n", c.Peer)
	return err
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
