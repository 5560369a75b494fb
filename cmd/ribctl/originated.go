package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"ribd/engine/api/apiv1"
)

// pathsCommand lists what is originated.
type pathsCommand struct {
	Prefix string `arg:"" optional:"" help:"Prefix; all without one."`
	Family string `help:"Family: ipv4-unicast, ipv4-flowspec, …" placeholder:"NAME"`
	RD     string `name:"rd" help:"Route distinguisher, for VPN families." placeholder:"RD"`
	Limit  uint64 `help:"End after so many paths." placeholder:"N"`
}

// Run streams the paths.
func (c *pathsCommand) Run(e *env) error {
	q := url.Values{}
	for name, v := range map[string]string{"prefix": c.Prefix, "family": c.Family, "rd": c.RD} {
		if v != "" {
			q.Set(name, v)
		}
	}
	if c.Limit > 0 {
		q.Set("limit", strconv.FormatUint(c.Limit, 10))
	}
	body, err := e.client.do(e.ctx, request{method: http.MethodGet, path: "/api/v1/paths", query: q, accept: "application/x-ndjson"})
	if err != nil {
		return err
	}
	defer body.Close()
	if e.flags.JSON {
		return stream(e, body, nil, nil)
	}
	t := newTable(e.out, "PREFIX", "NEXT HOP", ">LP", ">MED", "AS PATH", "PEERS", "ENDS IN", "COMMUNITIES")
	return stream(e, body, t, func(line []byte) error {
		var p apiv1.OriginatedPath
		if err := json.Unmarshal(line, &p); err != nil {
			return fmt.Errorf("the server's answer is not what this ribctl knows: %w", err)
		}
		return t.add(originatedCells(e, &p)...)
	})
}

// originatedCells is one path as a row. PEERS counts those that have it of those
// that may; i, e or ? after the AS path is the origin.
func originatedCells(e *env, p *apiv1.OriginatedPath) []string {
	name := keyName(&p.PathKey)
	if p.NLRIText != nil {
		name = printable(*p.NLRIText)
		if p.PathID != nil {
			name += "#" + strconv.FormatUint(uint64(*p.PathID), 10)
		}
	}
	origin := "?"
	if p.Origin != nil && *p.Origin != "incomplete" {
		origin = (*p.Origin)[:1]
	}
	sent := 0
	for _, a := range p.Advertised {
		if a.State == "sent" {
			sent++
		}
	}
	peers := fmt.Sprintf("%d of %d", sent, len(p.Advertised))
	if p.Held != nil {
		peers = "held"
	}
	end := "-"
	if p.ExpiresAt != nil {
		end = until(e, *p.ExpiresAt)
	}
	last := append(append(append([]string{}, p.Communities...), p.LargeCommunities...), p.ExtCommunities...)
	if p.Held != nil {
		last = append(last, "(held by the guard "+printable(p.Held.Guard)+": "+printable(p.Held.Detail)+")")
	}
	return []string{name, orDash(p.NextHop), number(p.LocalPref), number(p.MED), strings.TrimLeft(p.ASPath+" "+origin, " "), peers, end, strings.Join(last, " ")}
}
