package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"ribd/internal/benchkit"
)

const (
	connections = 64
	batchSize   = 1024
)

// queries measures answers over HTTP, with the client on the same machine.
func (e *env) queries() error {
	file, err := e.dump()
	if err != nil {
		return err
	}
	ribd, err := e.ribd()
	if err != nil {
		return err
	}
	e.note("questions over HTTP: loading %s", filepath.Base(file))
	c, err := benchkit.Start(ribd, "serve", "--load", file, "--http", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer c.Stop()
	if _, err := c.Ready(loadLimit); err != nil {
		return err
	}
	ps, err := loadedPrefixes(c)
	if err != nil {
		return fmt.Errorf("the prefixes that were loaded: %w", err)
	}
	if err := e.single(c, ps); err != nil {
		return fmt.Errorf("single look-ups: %w", err)
	}
	if err := e.packed(c, ps); err != nil {
		return fmt.Errorf("packed look-ups: %w", err)
	}
	return e.whole(c, ps)
}

// loadedPrefixes asks for the IPv4 prefixes of the table.
func loadedPrefixes(c *benchkit.Process) (ps []netip.Prefix, err error) {
	var wrong error
	_, _, _, err = stream("http://"+c.Addr+"/api/v1/routes?family=ipv4-unicast&best=true&fields=prefix", func(line []byte) {
		var row struct{ Prefix netip.Prefix }
		if err := json.Unmarshal(line, &row); err != nil {
			wrong = err
			return
		}
		ps = append(ps, row.Prefix)
	})
	if err == nil {
		err = wrong
	}
	if err == nil && len(ps) == 0 {
		err = fmt.Errorf("there are none")
	}
	return ps, err
}

// single measures one look-up a request, beside a bare server that sends the same
// bodies.
func (e *env) single(c *benchkit.Process, ps []netip.Prefix) error {
	as := benchkit.Addresses(ps, 1024, 21)
	requests := make([][]byte, len(as))
	for i, a := range as {
		requests[i] = fmt.Appendf(nil, "GET /api/v1/lookup/%s HTTP/1.1\r\nHost: localhost\r\n\r\n", a)
	}
	given := benchkit.Answers{}
	octets := 0
	for _, a := range as {
		body, typ, err := get("http://" + c.Addr + "/api/v1/lookup/" + a.String())
		if err != nil {
			return err
		}
		given.Type, given.Bodies = typ, append(given.Bodies, body)
		octets += len(body)
	}
	bare, err := e.startBare(given)
	if err != nil {
		return err
	}
	defer bare.Stop()
	span := e.span(2 * time.Second)
	a, b, err := benchkit.Pairs(e.Runs,
		func() (float64, error) { return benchkit.Rate(c.Addr, connections, span, requests) },
		func() (float64, error) { return benchkit.Rate(bare.Addr, connections, span, requests) })
	if err != nil {
		return err
	}
	row := benchkit.Paired("HTTP, one look-up a request, 64 connections", "/s", "bare fasthttp", a, b, benchkit.MoreIsBetter, e.atFull(benchkit.RatioAtLeast(0.85)))
	row.Note = fmt.Sprintf("answers of %d octets on average", octets/len(as))
	e.add(row)
	return nil
}

// startBare runs this program again as the bare server.
func (e *env) startBare(a benchkit.Answers) (*benchkit.Process, error) {
	name := filepath.Join(e.dir, "answers.json")
	if err := a.Write(name); err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return benchkit.Start(self, "bare", name)
}

// packed measures batches of packed addresses.
func (e *env) packed(c *benchkit.Process, ps []netip.Prefix) error {
	var requests [][]byte
	for i := range 64 {
		b := fmt.Appendf(nil, "POST /api/v1/lookup?family=ipv4-unicast HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/octet-stream\r\nContent-Length: %d\r\n\r\n", 4*batchSize)
		for _, a := range benchkit.Addresses(ps, batchSize, uint64(100+i)) {
			b = append(b, a.AsSlice()...)
		}
		requests = append(requests, b)
	}
	span := e.span(2 * time.Second)
	runs, err := benchkit.Times(e.Runs, func() (float64, error) {
		n, err := benchkit.Rate(c.Addr, 8, span, requests)
		return n * batchSize / 1e6, err
	})
	if err != nil {
		return err
	}
	e.add(benchkit.Single("HTTP, packed look-ups in batches of 1,024", "M addresses/s", runs, e.atFull(benchkit.AtLeast(8))))
	return nil
}

// whole measures questions that look at every path: the time to the first row and
// to the last. Each run asks another one, since a server may remember.
func (e *env) whole(c *benchkit.Process, ps []netip.Prefix) error {
	origins, community, err := asked(c, ps)
	if err != nil {
		return err
	}
	s, err := c.Stats()
	if err != nil {
		return err
	}
	for _, q := range []struct {
		name string
		ask  func(run int) url.Values
	}{
		{"AS-path expression", func(run int) url.Values { return url.Values{"as_path": {"_" + origins[run%len(origins)] + "$"}} }},
		{"community", func(run int) url.Values { return url.Values{"community": {community[run%len(community)]}} }},
		{"AS-path expression that nothing matches", func(run int) url.Values { return url.Values{"as_path": {fmt.Sprintf("_65%03d_64%03d_", run, run)}} }},
	} {
		var first, all []float64
		rows := 0
		for run := range e.Runs {
			f, a, n, err := stream("http://"+c.Addr+"/api/v1/routes?"+q.ask(run).Encode(), nil)
			if err != nil {
				return fmt.Errorf("%s: %w", q.name, err)
			}
			first, all, rows = append(first, f), append(all, a), rows+n
		}
		r := benchkit.Single("whole table, "+q.name+", all", "ms", all, e.atFull(benchkit.AtMost(150)))
		r.Note = fmt.Sprintf("%d rows on average of %d paths", rows/e.Runs, s.Paths)
		if rows > 0 {
			e.add(benchkit.Single("whole table, "+q.name+", first row", "ms", first, e.atFull(benchkit.AtMost(20))))
		}
		e.add(r)
	}
	return nil
}

// asked picks origins and communities that are in the table, from look-ups.
func asked(c *benchkit.Process, ps []netip.Prefix) (origins, communities []string, err error) {
	seen := map[string]bool{}
	for _, a := range benchkit.Addresses(ps, 400, 31) {
		body, _, err := get("http://" + c.Addr + "/api/v1/lookup/" + a.String())
		if err != nil {
			return nil, nil, err
		}
		var answer struct {
			Paths []struct {
				OriginASN   *uint32 `json:"origin_asn"`
				Communities []string
			}
		}
		if err := json.Unmarshal(body, &answer); err != nil {
			return nil, nil, err
		}
		for _, p := range answer.Paths {
			if p.OriginASN != nil && !seen[fmt.Sprint(*p.OriginASN)] {
				seen[fmt.Sprint(*p.OriginASN)] = true
				origins = append(origins, fmt.Sprint(*p.OriginASN))
			}
			if n := len(p.Communities); n > 0 && !seen[p.Communities[n-1]] {
				seen[p.Communities[n-1]] = true
				communities = append(communities, p.Communities[n-1])
			}
		}
	}
	if len(origins) == 0 || len(communities) == 0 {
		return nil, nil, fmt.Errorf("%d origins and %d communities in the answers to %d look-ups", len(origins), len(communities), 400)
	}
	return origins, communities, nil
}

func get(address string) (body []byte, typ string, err error) {
	r, err := http.Get(address)
	if err != nil {
		return nil, "", err
	}
	defer r.Body.Close()
	if body, err = io.ReadAll(r.Body); err == nil && r.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %s", address, r.Status, body)
	}
	return body, r.Header.Get("Content-Type"), err
}

// stream asks for rows as NDJSON and returns the milliseconds to the end of the
// first row and of all, and how many there were; each is shown to see, if any.
func stream(address string, see func(line []byte)) (first, all float64, rows int, err error) {
	q, err := http.NewRequest(http.MethodGet, address, nil)
	if err != nil {
		return 0, 0, 0, err
	}
	q.Header.Set("Accept", "application/x-ndjson")
	q.Header.Set("Accept-Encoding", "identity")
	start := time.Now()
	r, err := http.DefaultClient.Do(q)
	if err != nil {
		return 0, 0, 0, err
	}
	defer r.Body.Close()
	in := bufio.NewReaderSize(r.Body, 64<<10)
	for {
		line, err := in.ReadSlice('\n')
		if err == io.EOF && len(line) == 0 {
			break
		}
		if err != nil && err != bufio.ErrBufferFull {
			return 0, 0, rows, err
		}
		if err == nil {
			if rows == 0 {
				first = time.Since(start).Seconds() * 1000
			}
			if rows++; see != nil {
				see(line)
			}
		}
	}
	all = time.Since(start).Seconds() * 1000
	if r.StatusCode != http.StatusOK {
		return 0, 0, rows, fmt.Errorf("%s: %s", address, r.Status)
	}
	return first, all, rows, nil
}
