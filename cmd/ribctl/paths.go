package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"ribd/engine/api/apiv1"
)

// columns are the fields of a path that tables show: no more is asked for.
const columns = "prefix,peer,peer_id,source,path_id,best,stale,filtered,filter_reason,next_hop,local_pref,med,origin,as_path,communities"

// pathHead is the heading of tables of paths. The last columns are the wide
// ones.
var pathHead = []string{"", "PREFIX", "PEER", "NEXT HOP", ">LP", ">MED", "AS PATH", "COMMUNITIES"}

// pathCells is one path as a row. The mark is * for the best path, s for a
// stale one, f for one that was refused, and why stands at the end. #N after the peer is the Add-Path
// id; i, e or ? after the AS path is the origin.
func pathCells(prefix string, p *apiv1.Path) []string {
	mark := ""
	if p.Best {
		mark = "*"
	}
	if p.Stale != nil {
		mark += "s"
	}
	if p.Filtered {
		mark += "f"
	}
	peer := p.PeerID
	switch {
	case p.Peer != nil:
		peer = *p.Peer
	case p.Source == "local":
		peer = "local"
	}
	if p.PathID != nil {
		peer += "#" + strconv.FormatUint(uint64(*p.PathID), 10)
	}
	origin := "?"
	if p.Origin != nil && *p.Origin != "incomplete" {
		origin = (*p.Origin)[:1]
	}
	last := strings.Join(p.Communities, " ")
	if p.FilterReason != nil {
		last = strings.TrimLeft(last+" (refused: "+printable(*p.FilterReason)+")", " ")
	}
	return []string{
		mark, prefix, peer, orDash(p.NextHop), number(p.LocalPref), number(p.MED),
		strings.TrimLeft(p.ASPath+" "+origin, " "), last,
	}
}

func orDash(s *string) string {
	if s == nil {
		return "-"
	}
	return printable(*s)
}

func number[T ~uint32 | ~uint64](v *T) string {
	if v == nil {
		return "-"
	}
	return strconv.FormatUint(uint64(*v), 10)
}

// stream reads an NDJSON answer line by line: it prints the lines with --json,
// else hands each to row. A last line that is an error ends the command. Rows
// that wait in t are shown when the answer pauses.
func stream(e *env, body io.Reader, t *table, row func(line []byte) error) error {
	lines := make(chan []byte, 64)
	done := make(chan error, 1)
	go func() {
		r := bufio.NewReaderSize(body, 1<<16)
		defer close(lines)
		for {
			line, err := r.ReadBytes('\n')
			if len(bytes.TrimSpace(line)) > 0 {
				select {
				case lines <- line:
				case <-e.ctx.Done():
					done <- e.ctx.Err()
					return
				}
			}
			if err != nil {
				if err == io.EOF {
					err = nil
				}
				done <- err
				return
			}
		}
	}()
	pause := time.NewTimer(time.Hour)
	defer pause.Stop()
	// What ends the loop early must not leave the reader behind, blocked on
	// the channel: the body is closed by the caller and the lines drained.
	defer func() {
		go func() {
			for range lines {
			}
		}()
	}()
	for {
		pause.Reset(30 * time.Millisecond)
		select {
		case line, ok := <-lines:
			if !ok {
				if err := <-done; err != nil {
					return e.client.explain(err)
				}
				if t != nil {
					return t.flush()
				}
				return nil
			}
			if err := streamError(line); err != nil {
				if t != nil {
					t.flush()
				}
				return err
			}
			if e.flags.JSON {
				e.out.Write(bytes.TrimRight(line, "\r\n"))
				if err := e.out.WriteByte('\n'); err != nil {
					return err
				}
				if row == nil {
					continue
				}
			}
			if row != nil {
				if err := row(line); err != nil {
					return err
				}
			}
		case <-pause.C:
			if t != nil && len(t.rows) > 0 {
				if err := t.flush(); err != nil {
					return err
				}
			}
			if err := e.out.Flush(); err != nil {
				return err
			}
		}
	}
}

// streamError is the error that a stream broke with, if the line is one.
func streamError(line []byte) error {
	if !bytes.HasPrefix(line, []byte(`{"error":`)) {
		return nil
	}
	var s apiv1.StreamError
	if json.Unmarshal(line, &s) == nil && s.Error != "" {
		return fmt.Errorf("the answer broke off: %s", s.Error)
	}
	return nil
}

// routesCommand lists routes.
type routesCommand struct {
	Prefix string `arg:"" optional:"" help:"Prefix or address; all routes without one."`
	routeFlags
	Limit  uint64 `help:"End after so many routes." placeholder:"N"`
	Fields string `help:"Show these fields of the API instead of the usual columns." placeholder:"F,…"`
	filters
	from bool // the peer of a row is whose path is sent on
}

// routeFlags choose routes by their prefix.
type routeFlags struct {
	Match string `help:"exact, longest, longer or shorter; longer and shorter include the prefix." enum:",exact,longest,longer,shorter" default:"" placeholder:"HOW"`
	Table string `help:"adj-out, with --peer: what is sent to that peer." placeholder:"TABLE" group:"Filters"`
}

func (r routeFlags) into(q url.Values, prefix string) error {
	if prefix != "" {
		q.Set("prefix", prefix)
	}
	if r.Match != "" {
		if prefix == "" {
			return usageError("--match wants a prefix")
		}
		q.Set("match", r.Match)
	}
	if r.Table != "" {
		q.Set("table", r.Table)
	}
	return nil
}

// Run streams the routes.
func (c *routesCommand) Run(e *env) error {
	q := c.filters.values()
	if err := c.into(q, c.Prefix); err != nil {
		return err
	}
	if c.Limit > 0 {
		q.Set("limit", strconv.FormatUint(c.Limit, 10))
	}
	switch {
	case c.Fields != "":
		q.Set("fields", c.Fields)
	case !e.flags.JSON:
		q.Set("fields", columns)
	}
	body, err := e.client.do(e.ctx, request{method: http.MethodGet, path: "/api/v1/routes", query: q, accept: "application/x-ndjson"})
	if err != nil {
		return err
	}
	defer body.Close()
	switch {
	case e.flags.JSON:
		return stream(e, body, nil, nil)
	case c.Fields != "":
		return fieldsTable(e, body, strings.Split(c.Fields, ","))
	}
	head := slices.Clone(pathHead)
	if c.from {
		head[2] = "FROM"
	}
	t := newTable(e.out, head...)
	return stream(e, body, t, func(line []byte) error {
		var r apiv1.Route
		if err := json.Unmarshal(line, &r); err != nil {
			return fmt.Errorf("the server's answer is not what this ribctl knows: %w", err)
		}
		return t.add(pathCells(routeName(&r), &r.Path)...)
	})
}

func routeName(r *apiv1.Route) string {
	switch {
	case r.Prefix != nil:
		return *r.Prefix
	case r.NLRIText != nil:
		return printable(*r.NLRIText)
	case r.NLRI != nil:
		return *r.NLRI
	}
	return "-"
}

// fieldsTable prints the named fields of each line, as the API writes them.
func fieldsTable(e *env, body io.Reader, fields []string) error {
	if fields[0] != "prefix" {
		fields = append([]string{"prefix"}, fields...)
	}
	head := make([]string, len(fields))
	for i, f := range fields {
		head[i] = strings.ToUpper(f)
	}
	t := newTable(e.out, head...)
	return stream(e, body, t, func(line []byte) error {
		var row map[string]any
		d := json.NewDecoder(bytes.NewReader(line))
		d.UseNumber()
		if err := d.Decode(&row); err != nil {
			return fmt.Errorf("the server's answer is not what this ribctl knows: %w", err)
		}
		cells := make([]string, len(fields))
		for i, f := range fields {
			cells[i] = text(row[f])
		}
		return t.add(cells...)
	})
}

func text(v any) string {
	switch v := v.(type) {
	case nil:
		return "-"
	case string:
		return printable(v)
	case []any:
		parts := make([]string, len(v))
		for i, x := range v {
			parts[i] = text(x)
		}
		return strings.Join(parts, " ")
	case map[string]any:
		b, _ := json.Marshal(v)
		return printable(string(b))
	}
	return fmt.Sprint(v)
}

// countCommand counts routes.
type countCommand struct {
	Prefix string `arg:"" optional:"" help:"Prefix or address; all routes without one."`
	routeFlags
	filters
}

// Run prints the counts.
func (c *countCommand) Run(e *env) error {
	q := c.filters.values()
	if err := c.into(q, c.Prefix); err != nil {
		return err
	}
	return get(e, "/api/v1/routes/count", q, func(n *apiv1.Count) error {
		_, err := fmt.Fprintf(e.out, "%s prefixes, %s paths\n", thousands(n.Prefixes), thousands(n.Paths))
		return err
	})
}
