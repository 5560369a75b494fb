package bench

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/gaissmai/bart"
	"github.com/klauspost/compress/gzip"

	"ribd/internal/benchkit"
	"ribd/internal/golden"
	"ribd/internal/tablegen"
)

var built struct {
	sync.Once
	path string
	err  error
}

// TestMain removes the ribd that was built.
func TestMain(m *testing.M) {
	code := m.Run()
	if built.path != "" {
		os.RemoveAll(filepath.Dir(built.path))
	}
	os.Exit(code)
}

// serve starts a ribd that loads a file and waits until it is ready.
func serve(t testing.TB, file string) *benchkit.Process {
	t.Helper()
	built.Do(func() {
		dir, err := os.MkdirTemp("", "bench")
		if err != nil {
			built.err = err
			return
		}
		built.path = filepath.Join(dir, "ribd")
		if out, err := exec.Command("go", "build", "-o", built.path, "ribd/cmd/ribd").CombinedOutput(); err != nil {
			built.err = fmt.Errorf("building ribd: %w\n%s", err, out)
		}
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	p, err := benchkit.Start(built.path, "serve", "--load", file, "--http", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Stop)
	if _, err := p.Ready(2 * time.Minute); err != nil {
		t.Fatal(err)
	}
	return p
}

// BenchmarkLoad starts a process on the largest dump until it is ready, beside the
// time that decompression alone takes.
func BenchmarkLoad(b *testing.B) {
	file := golden.Data(b, "mrt", "synth-full-a.rib.gz")
	b.Run("side=ribd", func(b *testing.B) {
		var paths, settled, peak float64
		for b.Loop() {
			p := serve(b, file)
			b.StopTimer()
			s, err := p.Stats()
			if err != nil {
				b.Fatal(err)
			}
			if settled, peak, err = p.Settled(5 * time.Second); err != nil {
				b.Fatal(err)
			}
			paths = float64(s.Paths)
			p.Stop()
			b.StartTimer()
		}
		b.ReportMetric(paths*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mpaths/s")
		b.ReportMetric(settled/paths, "B/path")
		b.ReportMetric(peak/settled, "peak/settled")
	})
	b.Run("side=gzip", func(b *testing.B) {
		for b.Loop() {
			f, err := os.Open(file)
			if err != nil {
				b.Fatal(err)
			}
			z, err := gzip.NewReader(bufio.NewReaderSize(f, 1<<20))
			if err != nil {
				b.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, z); err != nil {
				b.Fatal(err)
			}
			f.Close()
		}
	})
}

// BenchmarkHTTP asks a ribd with a full table over 64 connections, one address a
// request, beside a bare fasthttp server with the same bodies (in this process), and
// then packed batches of 1,024.
func BenchmarkHTTP(b *testing.B) {
	p := serve(b, golden.Data(b, "mrt", "synth-full-a.rib.gz"))
	ps := prefixes(b, false)
	var single, packed [][]byte
	given := benchkit.Answers{}
	for _, a := range benchkit.Addresses(ps, 1024, 21) {
		single = append(single, lookupRequest(a))
		body, typ := get(b, p, "/api/v1/lookup/"+a.String())
		given.Type, given.Bodies = typ, append(given.Bodies, body)
	}
	for i := range 64 {
		packed = append(packed, packedRequest(benchkit.Addresses(ps, 1024, uint64(i))))
	}
	addr := make(chan string, 1)
	stop := make(chan struct{})
	defer close(stop)
	go benchkit.ServeBare(given, writerFunc(func(line []byte) { addr <- string(line) }), stop)
	var bare string
	if _, err := fmt.Sscanf(<-addr, "listening api=http addr=%s", &bare); err != nil {
		b.Fatal(err)
	}
	run := func(name, addr string, connections, each int, requests [][]byte) {
		b.Run(name, func(b *testing.B) {
			var n float64
			for b.Loop() {
				var err error
				if n, err = benchkit.Rate(addr, connections, time.Second, requests); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(n*float64(each), "addresses/s")
		})
	}
	run("single/side=ribd", p.Addr, 64, 1, single)
	run("single/side=bare", bare, 64, 1, single)
	run("packed/side=ribd", p.Addr, 8, 1024, packed)
}

// BenchmarkWholeTable asks questions that look at each of 3.6 M paths.
func BenchmarkWholeTable(b *testing.B) {
	p := serve(b, golden.Data(b, "mrt", "synth-full-a.rib.gz"))
	for _, q := range []string{"as_path=_13335$", "as_path=_64%03d_65000_", "community=3257:2002&peer_asn=6939"} {
		b.Run(q, func(b *testing.B) {
			var first time.Duration
			rows := 0
			for i := 0; b.Loop(); i++ {
				text := q
				if q == "as_path=_64%03d_65000_" {
					text = fmt.Sprintf(q, i%1000)
				}
				f, n := stream(b, p, "/api/v1/routes?"+text)
				first, rows = first+f, n
			}
			b.ReportMetric(float64(first.Microseconds())/float64(b.N)/1000, "first-ms")
			b.ReportMetric(float64(rows), "rows")
		})
	}
}

// Look-ups over HTTP, single and packed, are those of bart on the same table.
func TestServerAnswersAreThoseOfBart(t *testing.T) {
	table, err := tablegen.New(tablegen.Options{IPv4: 20_000, IPv6: 5_000, Peers: 2, Seed: 4})
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "table.mrt.gz")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	z := gzip.NewWriter(f)
	counts, err := table.WriteRIB(z)
	if err := errors.Join(err, z.Close(), f.Close()); err != nil {
		t.Fatal(err)
	}
	p := serve(t, name)
	if s, err := p.Stats(); err != nil || int(s.Paths) != counts.Paths || int(s.Prefixes) != counts.IPv4+counts.IPv6 {
		t.Fatalf("%+v, %v; want %+v", s, err, counts)
	}
	all := dumpPrefixes(t, name) // no peer has the others
	bt := &bart.Table[bool]{}
	for _, p := range all {
		bt.Insert(p, true)
	}
	c, err := benchkit.Dial(p.Addr)
	if err != nil {
		t.Fatal(err)
	}
	for _, v6 := range []bool{false, true} {
		ps := all[:counts.IPv4]
		if v6 {
			ps = all[counts.IPv4:]
		}
		as := probes(ps, 2000)
		if err := c.Ask(packedRequest(as)); err != nil {
			t.Fatal(err)
		}
		if len(c.Body) != 16*len(as) {
			t.Fatalf("%d octets for %d addresses", len(c.Body), len(as))
		}
		records := append([]byte(nil), c.Body...)
		for i, a := range as {
			want, _, ok := bt.LookupPrefixLPM(netip.PrefixFrom(a, a.BitLen()))
			length := byte(255)
			if ok {
				length = byte(want.Bits())
			}
			if got := records[16*i]; got != length {
				t.Fatalf("%v: packed length %d, want %d", a, got, length)
			}
			if i >= 500 {
				continue
			}
			if err := c.Ask(lookupRequest(a)); err != nil {
				t.Fatal(err)
			}
			var answer struct {
				Prefix *netip.Prefix
				Paths  []struct {
					AttrsID uint32 `json:"attrs_id"`
				}
			}
			if err := json.Unmarshal(c.Body, &answer); err != nil {
				t.Fatal(err)
			}
			switch {
			case (answer.Prefix != nil) != ok || ok && *answer.Prefix != want:
				t.Fatalf("%v: %v, want %v (%v)", a, answer.Prefix, want, ok)
			case ok && (len(answer.Paths) == 0 || answer.Paths[0].AttrsID != binary.LittleEndian.Uint32(records[16*i+12:])):
				t.Fatalf("%v: paths %v, packed attributes %x", a, answer.Paths, records[16*i:16*i+16])
			}
		}
	}
}

func lookupRequest(a netip.Addr) []byte {
	return fmt.Appendf(nil, "GET /api/v1/lookup/%s HTTP/1.1\r\nHost: localhost\r\n\r\n", a)
}

// packedRequest asks for addresses of one family.
func packedRequest(as []netip.Addr) []byte {
	family, size := "ipv4-unicast", 4
	if as[0].Is6() {
		family, size = "ipv6-unicast", 16
	}
	b := fmt.Appendf(nil, "POST /api/v1/lookup?family=%s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/octet-stream\r\nContent-Length: %d\r\n\r\n",
		family, size*len(as))
	for _, a := range as {
		b = append(b, a.AsSlice()...)
	}
	return b
}

type writerFunc func([]byte)

func (f writerFunc) Write(b []byte) (int, error) { f(b); return len(b), nil }

func get(t testing.TB, p *benchkit.Process, path string) (body []byte, typ string) {
	t.Helper()
	r, err := http.Get("http://" + p.Addr + path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if body, err = io.ReadAll(r.Body); err != nil || r.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v: %s", path, r.Status, err, body)
	}
	return body, r.Header.Get("Content-Type")
}

// stream asks for NDJSON and returns the time to the first row, and how many came.
func stream(t testing.TB, p *benchkit.Process, path string) (first time.Duration, rows int) {
	t.Helper()
	q, err := http.NewRequest(http.MethodGet, "http://"+p.Addr+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	q.Header.Set("Accept", "application/x-ndjson")
	q.Header.Set("Accept-Encoding", "identity")
	start := time.Now()
	r, err := http.DefaultClient.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s", path, r.Status)
	}
	sc := bufio.NewScanner(r.Body)
	sc.Buffer(nil, 1<<20)
	for ; sc.Scan(); rows++ {
		if rows == 0 {
			first = time.Since(start)
		}
	}
	if err := sc.Err(); err != nil {
		t.Fatal(err)
	}
	return first, rows
}
