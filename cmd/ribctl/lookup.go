package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"ribd/engine/api/apiv1"
)

// lookupCommand answers longest matches.
type lookupCommand struct {
	Address []string `arg:"" optional:"" help:"Addresses; without any, or with -, one a line from standard input."`
	filters
}

// Run asks for one address, or streams a batch.
func (c *lookupCommand) Run(e *env) error {
	q := c.filters.values()
	if !e.flags.JSON {
		q.Set("fields", columns)
	}
	stdin := len(c.Address) == 0 || len(c.Address) == 1 && c.Address[0] == "-"
	if !stdin && len(c.Address) == 1 {
		return c.one(e, q)
	}
	var body io.Reader
	if stdin {
		// The transport waits for no more than one read, so that a line typed
		// is answered before the next.
		body = struct{ io.Reader }{e.in}
	} else {
		for _, a := range c.Address {
			if a == "-" {
				return usageError("- stands alone: addresses come from arguments or from standard input")
			}
		}
		body = strings.NewReader(strings.Join(c.Address, "\n") + "\n")
	}
	answer, err := e.client.do(e.ctx, request{method: http.MethodPost, path: "/api/v1/lookup", query: q, body: body, contentType: "text/plain"})
	if err != nil {
		return err
	}
	defer answer.Close()
	bad := 0
	if e.flags.JSON {
		err = stream(e, answer, nil, func(line []byte) error {
			// Only a bad line has this key: rows with paths never do.
			var l struct {
				Error string `json:"error"`
			}
			if len(line) < 1024 && json.Unmarshal(line, &l) == nil && l.Error != "" {
				bad++
			}
			return nil
		})
	} else {
		t := newTable(e.out, append([]string{"QUERY"}, pathHead...)...)
		err = stream(e, answer, t, func(line []byte) error {
			var l apiv1.Lookup
			if err := json.Unmarshal(line, &l); err != nil {
				return fmt.Errorf("the server's answer is not what this ribctl knows: %w", err)
			}
			if l.Error != "" {
				bad++
			}
			return lookupRows(t, &l, true)
		})
	}
	if err == nil && bad > 0 {
		return fmt.Errorf("%d of the lines were no addresses", bad)
	}
	return err
}

func (c *lookupCommand) one(e *env, q url.Values) error {
	return get(e, "/api/v1/lookup/"+url.PathEscape(c.Address[0]), q, func(l *apiv1.Lookup) error {
		if l.Prefix == nil {
			_, err := fmt.Fprintf(e.out, "%s: no route\n", l.Query)
			return err
		}
		t := newTable(e.out, pathHead...)
		if err := lookupRows(t, l, false); err != nil {
			return err
		}
		return t.flush()
	})
}

// lookupRows adds a row for each path of an answer, the best first.
func lookupRows(t *table, l *apiv1.Lookup, query bool) error {
	add := func(cells []string) error {
		if query {
			cells = append([]string{printable(l.Query)}, cells...)
		}
		return t.add(cells...)
	}
	if l.Error != "" {
		return add([]string{"", "error: " + printable(l.Error), "", "", "", "", "", ""})
	}
	if l.Prefix == nil {
		return add([]string{"", "no route", "", "", "", "", "", ""})
	}
	for i := range l.Paths {
		if err := add(pathCells(*l.Prefix, &l.Paths[i])); err != nil {
			return err
		}
	}
	return nil
}

// attributesCommand shows an attribute set.
type attributesCommand struct {
	ID uint32 `arg:"" name:"attrs_id" help:"The attrs_id of a path."`
}

// Run prints the set, one attribute a line.
func (c *attributesCommand) Run(e *env) error {
	return get(e, fmt.Sprintf("/api/v1/attributes/%d", c.ID), nil, func(a *apiv1.Attributes) error {
		t := newTable(e.out, "ATTRIBUTE", "VALUE")
		for _, row := range []struct{ name, value string }{
			{"origin", orDash(a.Origin)}, {"as_path", a.ASPath}, {"origin_asn", number(a.OriginASN)},
			{"neighbor_asn", number(a.NeighborASN)}, {"next_hop", orDash(a.NextHop)},
			{"next_hop_link_local", orDash(a.NextHopLinkLocal)}, {"med", number(a.MED)},
			{"local_pref", number(a.LocalPref)}, {"communities", strings.Join(a.Communities, " ")},
			{"large_communities", strings.Join(a.LargeCommunities, " ")},
			{"ext_communities", strings.Join(a.ExtCommunities, " ")}, {"aggregator", orDash(a.Aggregator)},
			{"atomic_aggregate", map[bool]string{true: "true"}[a.AtomicAggregate]},
			{"originator_id", orDash(a.OriginatorID)}, {"cluster_list", strings.Join(a.ClusterList, " ")},
			{"only_to_customer", number(a.OnlyToCustomer)}, {"aigp", number(a.AIGP)},
		} {
			if row.value == "" || row.value == "-" {
				continue
			}
			if err := t.add(row.name, row.value); err != nil {
				return err
			}
		}
		for _, u := range a.UnknownAttributes {
			if err := t.add(fmt.Sprintf("type %d, flags %d", u.Type, u.Flags), u.Value); err != nil {
				return err
			}
		}
		return t.flush()
	})
}
