package api

import (
	"encoding/binary"
	"io"
	"net/netip"
	"time"

	"ribd/engine/metrics"
	"ribd/shard/rules"
	"ribd/wire"
	"ribd/wire/flowspec"
)

// flowMatcher answers packets of one request by the rules of a route
// distinguisher, or of those without one.
type flowMatcher struct {
	s              *Server
	rd             uint64
	vpn            bool
	rules4, rules6 *rules.Rules // nil: none
	found          rules.Matches
	reader         packetReader
	effects        effects
}

// flowMatcher begins a request.
func (c *call) flowMatcher() (*flowMatcher, *problem) {
	if c.flow == nil {
		c.flow = &flowMatcher{s: c.s}
	}
	m := c.flow
	m.rd, m.vpn = 0, false
	if v := c.q.get(pRD); v != nil {
		var err error
		if m.rd, err = wire.ParseRD(string(v)); err != nil {
			return nil, bad("rd", "%q is no route distinguisher (such as 65001:1, 192.0.2.1:1 or 65001L:1)", shown(v))
		}
		m.vpn = true
	}
	m.refresh()
	return m, nil
}

// refresh takes the rules as they are now.
func (m *flowMatcher) refresh() {
	f4, f6 := wire.IPv4FlowSpec, wire.IPv6FlowSpec
	if m.vpn {
		f4, f6 = wire.IPv4FlowSpecVPN, wire.IPv6FlowSpecVPN
	}
	m.rules4, m.rules6 = m.s.opts.Flow.Rules(f4, m.rd), m.s.opts.Flow.Rules(f6, m.rd)
	m.effects.begin(m.s.rib.Attrs(), uint32(time.Now().Unix()))
}

// match leaves the rules that match a packet in m.found.
func (m *flowMatcher) match(p *flowspec.Packet) {
	r := m.rules6
	if packetFamily(p) == wire.IPv4FlowSpec {
		r = m.rules4
	}
	if r == nil {
		m.found.Hits, m.found.Applied = m.found.Hits[:0], 0
		return
	}
	r.Match(p, &m.found)
}

// line answers one packet as a line of JSON, or says in its place why not.
func (m *flowMatcher) line(dst, packet []byte, number int) []byte {
	if wrong := m.reader.read(packet); wrong != "" {
		return appendLineError(dst, number, bad("", "%s", wrong))
	}
	m.match(&m.reader.p)
	return append(appendVerdict(dst, &m.found, &m.effects), '\n')
}

// flowMatch is POST flowspec/match.
func (c *call) flowMatch() *problem {
	if c.s.opts.Flow == nil {
		return later("", "Flow Spec")
	}
	media := c.mediaType()
	switch media {
	case typeJSON, typeNDJSON, typeOctets:
	case "application/ndjson", "application/jsonl":
		media = typeNDJSON
	default:
		if media == "" {
			media = "none"
		}
		return fail(415, "Content-Type", "%s: packets come as application/json (one), application/x-ndjson (one a line) or application/octet-stream (packed)", shown(media))
	}
	if _, p := c.accept(media); p != nil {
		return p
	}
	if p := c.identity(); p != nil {
		return p
	}
	m, p := c.flowMatcher()
	if p != nil {
		return p
	}
	switch media {
	case typeJSON:
		return m.one(c)
	case typeNDJSON:
		if p := c.stream(); p != nil {
			return p
		}
		return m.lines(c)
	}
	if p := c.stream(); p != nil {
		return p
	}
	return m.packed(c)
}

// one answers a single packet.
func (m *flowMatcher) one(c *call) *problem {
	b, p := c.jsonBody()
	if p != nil {
		return p
	}
	if wrong := m.reader.read(b); wrong != "" {
		return bad("body", "%s", wrong)
	}
	m.match(&m.reader.p)
	r := &c.ctx.Response
	r.SwapBody(append(appendVerdict(r.SwapBody(nil)[:0], &m.found, &m.effects), '\n'))
	r.Header.SetContentType(typeJSON)
	c.s.metrics.FlowMatches[metrics.Single].Inc()
	return nil
}

// lines answers packets of a body, one a line; empty lines are passed over. What
// was sent so far is answered before more is waited for.
func (m *flowMatcher) lines(c *call) *problem {
	if cap(c.in) < lineIn {
		c.in = make([]byte, lineIn)
	}
	t := &lineReader{src: c.source(), buf: c.in[:lineIn]}
	count := c.s.metrics.FlowMatches[metrics.Batch]
	c.streamBody(typeNDJSON, "", func(out *sink) error {
		buf := c.buf[:0]
		defer func() { c.buf = buf }()
		flush := func() error {
			err := out.write(buf)
			buf = buf[:0]
			return err
		}
		n := 0
		for {
			line, tooLong, ok := t.next()
			switch {
			case tooLong:
				buf = appendLineError(buf, t.line, fail(413, "", "is over %d octets long", maxLine))
			case ok:
				buf = m.line(buf, line, t.line)
				n++
			default:
				count.Add(n)
				n = 0
				if err := flush(); err != nil || t.eof {
					return err
				}
				if err := t.fill(); err != nil {
					return cutOff(out, &buf, err.Error())
				}
				m.refresh()
				continue
			}
			if len(buf) >= writePart-1024 {
				if err := flush(); err != nil {
					return err
				}
			}
		}
	})
	return nil
}

// packetSize is the length of a packed packet: see unpackPacket.
const packetSize = 48

// unpackPacket reads a packed packet. Addresses are in network order, IPv4 ones
// IPv4-mapped; numbers are little-endian: 16 octets src · 16 octets dst · u16
// src_port · u16 dst_port · u16 length · u16 tcp_flags · u8 protocol · u8 dscp ·
// u8 icmp_type · u8 icmp_code · u32 of flow_label (bits 0–19), fragment (20–23)
// and what is known (24–31): ports, icmp, tcp_flags, length, dscp, fragment,
// flow_label, protocol.
func unpackPacket(b []byte, p *flowspec.Packet) {
	_ = b[:packetSize]
	p.Src, p.Dst = unpackAddr(b[:16]), unpackAddr(b[16:32])
	p.SrcPort, p.DstPort = binary.LittleEndian.Uint16(b[32:]), binary.LittleEndian.Uint16(b[34:])
	p.Length = uint32(binary.LittleEndian.Uint16(b[36:]))
	p.TCPFlags = binary.LittleEndian.Uint16(b[38:]) & 0xfff
	p.Protocol, p.DSCP = b[40], b[41]&0x3f
	p.ICMPType, p.ICMPCode = b[42], b[43]
	w := binary.LittleEndian.Uint32(b[44:])
	p.FlowLabel = w & (1<<20 - 1)
	p.Fragment = flowspec.FragmentBits(w >> 20 & 15)
	p.Has = packedKnown[w>>24]
}

// packedKnown tells what a packet's last octet says is known.
var packedKnown = func() (t [256]flowspec.Fields) {
	bits := [8]flowspec.Fields{
		flowspec.HasSrcPort | flowspec.HasDstPort, flowspec.HasICMPType | flowspec.HasICMPCode, flowspec.HasTCPFlags, flowspec.HasLength,
		flowspec.HasDSCP, flowspec.HasFragment, flowspec.HasFlowLabel, flowspec.HasProtocol,
	}
	for i := range t {
		for bit, f := range bits {
			if i>>bit&1 != 0 {
				t[i] |= f
			}
		}
	}
	return t
}()

func unpackAddr(b []byte) netip.Addr {
	if binary.BigEndian.Uint64(b) == 0 && binary.BigEndian.Uint32(b[8:]) == 0xffff { // ::ffff:0:0/96
		return netip.AddrFrom4([4]byte(b[12:16]))
	}
	return netip.AddrFrom16([16]byte(b[:16]))
}

// packed answers packed packets: what came is answered before more is read.
func (m *flowMatcher) packed(c *call) *problem {
	if n := c.ctx.Request.Header.ContentLength(); n > 0 && n%packetSize != 0 {
		return fail(400, "body", "%d octets are no multiple of the %d of a packet", n, packetSize)
	}
	if cap(c.in) < packetsIn {
		c.in = make([]byte, packetsIn)
	}
	in, src := c.in[:packetsIn], c.source()
	have, err := readAligned(src, in, 0, packetSize)
	if err == errMisaligned {
		return fail(400, "body", "%d octets are no multiple of the %d of a packet", have, packetSize)
	}
	if err != nil && err != io.EOF {
		return fail(400, "body", "broke off: %v", err)
	}
	if err == nil && have == c.ctx.Request.Header.ContentLength() {
		err = io.EOF
	}
	if err == io.EOF { // all of it is here: one answer with its length
		r := &c.ctx.Response
		r.SwapBody(m.records(in[:have], r.SwapBody(nil)[:0]))
		r.Header.SetContentType(typeOctets)
		return nil
	}
	c.streamBody(typeOctets, "", func(out *sink) error {
		for {
			c.buf = m.records(in[:have], c.buf[:0])
			if err := out.write(c.buf); err != nil {
				return err
			}
			if err == io.EOF {
				return nil
			}
			if have, err = readAligned(src, in, 0, packetSize); err != nil && err != io.EOF {
				return err
			}
			m.refresh()
		}
	})
	return nil
}

// packetsIn is how much of a packed body is read at a time.
const packetsIn = 1024 * packetSize

// records answers whole packets.
func (m *flowMatcher) records(in, out []byte) []byte {
	n := len(in) / packetSize
	m.s.metrics.FlowMatches[metrics.Packed].Add(n)
	if need := n * verdictSize; cap(out) < need {
		out = make([]byte, need)
	} else {
		out = out[:need]
	}
	p := &m.reader.p
	for i := range n {
		unpackPacket(in[i*packetSize:][:packetSize], p)
		b := out[i*verdictSize:][:verdictSize]
		if p.Src.Is4() != p.Dst.Is4() { // no such packet
			clear(b)
			continue
		}
		m.match(p)
		putVerdict(b, &m.found, &m.effects)
	}
	return out
}
