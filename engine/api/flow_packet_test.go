package api

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"ribd/wire/flowspec"
)

func TestPacketsAreReadFromJSON(t *testing.T) {
	type packet = flowspec.Packet
	a4, b4, a6 := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("203.0.113.7"), netip.MustParseAddr("2001:db8::1")
	const frag = flowspec.HasFragment
	for _, c := range []struct {
		json string
		want packet
	}{
		{`{"dst":"203.0.113.7"}`, packet{Dst: b4, Has: frag}},
		{`{"src":"192.0.2.1"}`, packet{Src: a4, Has: frag}},
		{` { "dst" : "203.0.113.7" , "src":"192.0.2.1" } `, packet{Src: a4, Dst: b4, Has: frag}},
		{`{"dst":"::ffff:203.0.113.7","protocol":17,"dst_port":53,"src_port":null}`,
			packet{Dst: b4, Protocol: 17, DstPort: 53, Has: frag | flowspec.HasProtocol | flowspec.HasDstPort}},
		{`{"dst":"2001:db8::1","protocol":"udp","src_port":"53","flow_label":1048575}`,
			packet{Dst: a6, Protocol: 17, SrcPort: 53, FlowLabel: 1<<20 - 1, Has: frag | flowspec.HasProtocol | flowspec.HasSrcPort | flowspec.HasFlowLabel}},
		{`{"dst":"203.0.113.7","protocol":"tcp","tcp_flags":"syn+ack"}`, packet{Dst: b4, Protocol: 6, TCPFlags: 18, Has: frag | flowspec.HasProtocol | flowspec.HasTCPFlags}},
		{`{"dst":"203.0.113.7","protocol":"tcp","tcp_flags":["syn","ack","fin"]}`, packet{Dst: b4, Protocol: 6, TCPFlags: 19, Has: frag | flowspec.HasProtocol | flowspec.HasTCPFlags}},
		{`{"dst":"203.0.113.7","protocol":"tcp","tcp_flags":[]}`, packet{Dst: b4, Protocol: 6, Has: frag | flowspec.HasProtocol | flowspec.HasTCPFlags}},
		{`{"dst":"203.0.113.7","protocol":"tcp","tcp_flags":"0x12"}`, packet{Dst: b4, Protocol: 6, TCPFlags: 18, Has: frag | flowspec.HasProtocol | flowspec.HasTCPFlags}},
		{`{"icmp_type":"echo-request","protocol":"icmp","dst":"203.0.113.7","icmp_code":0}`,
			packet{Dst: b4, Protocol: 1, ICMPType: 8, Has: frag | flowspec.HasProtocol | flowspec.HasICMPType | flowspec.HasICMPCode}},
		{`{"icmp_type":"echo-request","protocol":58,"dst":"2001:db8::1"}`,
			packet{Dst: a6, Protocol: 58, ICMPType: 128, Has: frag | flowspec.HasProtocol | flowspec.HasICMPType}},
		{`{"dst":"203.0.113.7","length":1500,"dscp":"ef","fragment":"is-fragment+last-fragment"}`,
			packet{Dst: b4, Length: 1500, DSCP: 46, Fragment: 10, Has: frag | flowspec.HasLength | flowspec.HasDSCP}},
		{`{"dst":"203.0.113.7","fragment":"not-a-fragment"}`, packet{Dst: b4, Has: frag}},
		{`{"dst":"203.0.113.7","fragment":["first-fragment"],"protocol":"gre"}`, packet{Dst: b4, Fragment: 4, Protocol: 47, Has: frag | flowspec.HasProtocol}},
		{`{"\u0064st":"203.0.\u00313.7"}`, packet{Dst: netip.MustParseAddr("203.0.13.7"), Has: frag}},
	} {
		var r packetReader
		if wrong := r.read([]byte(c.json)); wrong != "" {
			t.Errorf("%s: %s", c.json, wrong)
		} else if r.p != c.want {
			t.Errorf("%s:\n got %+v\nwant %+v", c.json, r.p, c.want)
		}
	}
}

func TestWrongPacketsNameTheFieldAndWhatIsRight(t *testing.T) {
	for _, c := range []struct{ json, says string }{
		{``, "a packet such as"},
		{`[]`, "a packet such as"},
		{`{`, "octet 1"},
		{`{}`, "dst is missing"},
		{`{"dst":"x"}`, `dst: "x" is no IPv4 or IPv6 address`},
		{`{"dst":"192.0.2.0/24"}`, "is a prefix"},
		{`{"dst":17}`, "no address in quotes"},
		{`{"src":"192.0.2.1","dst":"2001:db8::1"}`, "two families"},
		{`{"dst":"192.0.2.1","dport":53}`, `"dport" is no field of a packet`},
		{`{"dst":"192.0.2.1","dst_prt":53}`, "did you mean dst_port?"},
		{`{"dst":"192.0.2.1","protocol":"udp","dst_port":65536}`, `dst_port: "65536" is no number from 0 to 65535`},
		{`{"dst":"192.0.2.1","protocol":"udp","dst_port":-1}`, "from 0 to 65535"},
		{`{"dst":"192.0.2.1","protocol":"udp","dst_port":1.5}`, "from 0 to 65535"},
		{`{"dst":"192.0.2.1","protocol":"udp","dst_port":true}`, "from 0 to 65535"},
		{`{"dst":"192.0.2.1","protocol":"upd"}`, `protocol: "upd" is neither a number nor one of`},
		{`{"dst":"192.0.2.1","protocol":"300"}`, "protocol: 300 is over 255"},
		{`{"dst":"192.0.2.1","dst_port":53}`, "protocol is missing"},
		{`{"dst":"192.0.2.1","icmp_type":"echo-request"}`, "protocol is missing"},
		{`{"dst":"192.0.2.1","protocol":1,"icmp_type":"ping"}`, `icmp_type: "ping"`},
		{`{"dst":"192.0.2.1","flow_label":5}`, "IPv6 packets alone"},
		{`{"dst":"192.0.2.1","dscp":64}`, "from 0 to 63"},
		{`{"dst":"192.0.2.1","fragment":16}`, "from 0 to 15"},
		{`{"dst":"192.0.2.1","protocol":6,"tcp_flags":["syn",5]}`, `tcp_flags: "5" is no name in quotes`},
		{`{"dst":"192.0.2.1","protocol":6,"tcp_flags":["syn"`, "octet"},
		{`{"dst":"192.0.2.1"}{}`, "something follows"},
		{`{"dst":"192.0.2.1",}`, "follow a comma"},
		{`{"dst":"192.0.2.1" "src":"192.0.2.1"}`, "comma"},
		{`{"dst":"192.0.2.1`, "does not end"},
	} {
		var r packetReader
		if wrong := r.read([]byte(c.json)); !strings.Contains(wrong, c.says) || wrong == "" {
			t.Errorf("%s: %q, want one with %q", c.json, wrong, c.says)
		}
	}
}

// TestReadingPacketsAgreesWithEncodingJSON compares numbers and addresses with
// what encoding/json reads.
func TestReadingPacketsAgreesWithEncodingJSON(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	var r packetReader
	for range 2000 {
		text := randomPacket(rnd)
		if wrong := r.read([]byte(text)); wrong != "" {
			t.Fatalf("%s: %s", text, wrong)
		}
		var w struct {
			Src, Dst netip.Addr
			Protocol uint8
			SrcPort  uint16 `json:"src_port"`
			DstPort  uint16 `json:"dst_port"`
			Length   uint32
			TCPFlags uint16 `json:"tcp_flags"`
			Fragment uint8
		}
		if err := json.Unmarshal([]byte(text), &w); err != nil {
			t.Fatal(err)
		}
		p := &r.p
		if p.Src != w.Src || p.Dst != w.Dst || p.Protocol != w.Protocol || p.SrcPort != w.SrcPort || p.DstPort != w.DstPort ||
			p.Length != w.Length || p.TCPFlags != w.TCPFlags || uint8(p.Fragment) != w.Fragment {
			t.Fatalf("%s:\n got %+v\nwant %+v", text, r.p, w)
		}
	}
}

func randomPacket(rnd *rand.Rand) string {
	a := func() string {
		return netip.AddrFrom4([4]byte{byte(rnd.Uint32()), byte(rnd.Uint32()), byte(rnd.Uint32()), byte(rnd.Uint32())}).String()
	}
	return fmt.Sprintf(`{"src":%q,"dst":%q,"protocol":%d,"src_port":%d,"dst_port":%d,"length":%d,"tcp_flags":%d,"fragment":%d}`,
		a(), a(), rnd.IntN(256), rnd.IntN(65536), rnd.IntN(65536), rnd.IntN(65536), rnd.IntN(4096), rnd.IntN(16))
}

func TestReadingAPacketAllocatesNothing(t *testing.T) {
	if raceOn {
		t.Skip("the race detector allocates")
	}
	var r packetReader
	text := []byte(`{"src":"198.51.100.9","dst":"203.0.113.7","protocol":"udp","src_port":53,"dst_port":40000,"length":1400,"fragment":0}`)
	if n := testing.AllocsPerRun(200, func() { r.read(text) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkReadPacket(b *testing.B) {
	var r packetReader
	text := []byte(`{"src":"198.51.100.9","dst":"203.0.113.7","protocol":"udp","src_port":53,"dst_port":40000,"length":1400,"fragment":0}`)
	for b.Loop() {
		if r.read(text) != "" {
			b.Fatal(r.json.wrong)
		}
	}
}

func FuzzReadPacket(f *testing.F) {
	for _, s := range []string{`{"dst":"192.0.2.1"}`, `{"dst":"2001:db8::1","protocol":"icmpv6","icmp_type":"echo-request"}`, `{"tcp_flags":["syn"],"dst":"::"}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var r packetReader
		// What is read is JSON, and an address is there.
		if r.read(b) == "" && (!json.Valid(b) || !r.p.Src.IsValid() && !r.p.Dst.IsValid()) {
			t.Errorf("%q was read as %+v", b, r.p)
		}
	})
}
