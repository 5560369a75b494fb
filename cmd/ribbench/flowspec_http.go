package main

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"ribd/internal/benchkit"
	"ribd/internal/rulegen"
	"ribd/wire"
)

// matchHTTP measures packets over HTTP, in batches, against 10,000 rules that a
// peer has sent; the client is on the same machine.
func (e *env) matchHTTP() error {
	e.note("matching packets over HTTP")
	f, err := e.rulesFeed(10_000)
	if err != nil {
		return err
	}
	ribd, err := e.ribd()
	if err != nil {
		return err
	}
	to, err := freePort()
	if err != nil {
		return err
	}
	file := filepath.Join(e.dir, "rules.yaml")
	if err := os.WriteFile(file, []byte(rulesConfig(to, "info")), 0o600); err != nil {
		return err
	}
	c, err := benchkit.Start(ribd, "serve", "--config", file, "--http", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer c.Stop()
	s, err := speak(f.from, to, f.as, false, nil, wire.IPv4FlowSpec)
	if err != nil {
		return err
	}
	defer s.close()
	if err = s.send(f.announce); err != nil {
		return err
	}
	if err = s.send(f.rules); err != nil {
		return err
	}
	for end := time.Now().Add(speakerLimit); ; time.Sleep(10 * time.Millisecond) {
		text, _, err := get("http://" + c.Addr + "/metrics")
		if err != nil {
			return err
		}
		if n, err := sumOf(activeRules, text); err != nil || n >= f.count {
			break
		} else if time.Now().After(end) {
			return fmt.Errorf("%d of %d rules are active", n, f.count)
		}
	}
	set := e.ruleSet(10_000, false)
	packed, lines := matchRequests(set)
	span := e.span(2 * time.Second)
	for _, kind := range []struct {
		name     string
		requests [][]byte
		goal     *benchkit.Goal
	}{
		{"HTTP, packets matched, packed in batches of 1,024", packed, benchkit.AtLeast(1)},
		{"HTTP, packets matched, NDJSON in batches of 1,024", lines, nil},
	} {
		runs, err := benchkit.Times(e.Runs, func() (float64, error) {
			n, err := benchkit.Rate(c.Addr, 4, span, kind.requests)
			return n * batchSize / 1e6, err
		})
		if err != nil {
			return fmt.Errorf("%s: %w", kind.name, err)
		}
		e.add(benchkit.Single(kind.name, "M packets/s", runs, e.atFull(kind.goal)))
	}
	return nil
}

// matchRequests makes requests of 1,024 packets each, packed and as lines.
func matchRequests(set *rulegen.Set) (packed, lines [][]byte) {
	const head = "POST /api/v1/flowspec/match HTTP/1.1\r\nHost: localhost\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n"
	for i := range 64 {
		var body, text []byte
		for k := range batchSize {
			p := set.Packet(uint64(i*batchSize + k))
			body = appendPacked(body, &p)
			text = fmt.Appendf(text, `{"src":"%s","dst":"%s","protocol":%d,"src_port":%d,"dst_port":%d,"tcp_flags":%d,"length":%d,"dscp":%d,"fragment":%d,"icmp_type":%d,"icmp_code":%d}`+"\n",
				p.Src, p.Dst, p.Protocol, p.SrcPort, p.DstPort, p.TCPFlags, p.Length, p.DSCP, p.Fragment, p.Type, p.Code)
		}
		packed = append(packed, append(fmt.Appendf(nil, head, "application/octet-stream", len(body)), body...))
		lines = append(lines, append(fmt.Appendf(nil, head, "application/x-ndjson", len(text)), text...))
	}
	return packed, lines
}

// appendPacked appends a packet of 48 octets, as the API's document has it.
func appendPacked(b []byte, p *rulegen.Packet) []byte {
	for _, a := range []netip.Addr{p.Src, p.Dst} {
		x := a.As16()
		b = append(b, x[:]...)
	}
	le := binary.LittleEndian
	b = le.AppendUint16(le.AppendUint16(b, p.SrcPort), p.DstPort)
	b = le.AppendUint16(le.AppendUint16(b, p.Length), p.TCPFlags)
	b = append(b, p.Protocol, p.DSCP, p.Type, p.Code)
	return le.AppendUint32(b, uint32(p.Fragment)<<20|0xff<<24)
}
