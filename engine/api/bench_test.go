//go:build unix

package api

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
)

// askers sends one request after another on each of 64 connections, and reads the
// answers with as little work as HTTP allows.
func askers(b *testing.B, addr string, request []byte, perOp int) {
	b.Helper()
	const conns = 64
	var wg sync.WaitGroup
	n := make(chan struct{}, conns*4)
	fail := make(chan error, conns)
	for range conns {
		wg.Add(1)
		go func() {
			defer wg.Done()
			c, err := net.Dial("tcp", addr)
			if err != nil {
				fail <- err
				return
			}
			defer func() { _ = c.Close() }()
			r := bufio.NewReaderSize(c, 32<<10)
			for range n {
				if _, err := c.Write(request); err != nil {
					fail <- err
					return
				}
				if err := readAnswer(r); err != nil {
					fail <- err
					return
				}
			}
		}()
	}
	b.ResetTimer()
	start, busy := time.Now(), cpu()
	for range b.N {
		select {
		case n <- struct{}{}:
		case err := <-fail:
			b.Fatal(err)
		}
	}
	close(n)
	wg.Wait()
	b.ReportMetric(float64(b.N*perOp)/time.Since(start).Seconds(), "addresses/s")
	// What a busy machine does not change: the time of both cores, client included.
	b.ReportMetric(float64(cpu()-busy)/float64(b.N*perOp), "cpu-ns/address")
}

// cpu is the time that this process has used.
func cpu() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

var contentLength = []byte("Content-Length: ")

func readAnswer(r *bufio.Reader) error {
	size := -1
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return err
		}
		if bytes.HasPrefix(line, contentLength) {
			size, _ = strconv.Atoi(string(bytes.TrimSpace(line[len(contentLength):])))
		}
		if len(line) == 2 {
			break
		}
	}
	if size < 0 {
		return fmt.Errorf("no length")
	}
	_, err := r.Discard(size)
	return err
}

// BenchmarkLookup compares a look-up with a bare fasthttp handler that answers
// the same bytes.
func BenchmarkLookup(b *testing.B) {
	_, s0 := many(b, 3000)
	t := &table{t: b, r: s0.rib}
	s := t.serve()
	_, want, _ := s.do("GET", "/api/v1/lookup/10.1.2.3", "")
	body := []byte(want)
	bare := &fasthttp.Server{NoDefaultContentType: true, Name: "ribd", Handler: func(ctx *fasthttp.RequestCtx) {
		ctx.Response.Header.SetContentType(typeJSON)
		ctx.Response.SetBody(body)
	}}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	go func() { _ = bare.Serve(l) }()
	defer func() { _ = bare.Shutdown() }()
	request := []byte("GET /api/v1/lookup/10.1.2.3 HTTP/1.1\r\nHost: localhost\r\n\r\n")
	b.Run("ribd", func(b *testing.B) { askers(b, s.addr, request, 1) })
	b.Run("bare", func(b *testing.B) { askers(b, l.Addr().String(), request, 1) })
}

// BenchmarkPacked is packed look-ups in batches of 1,024.
func BenchmarkPacked(b *testing.B) {
	_, s0 := many(b, 100_000)
	t := &table{t: b, r: s0.rib}
	s := t.serve()
	request := []byte("POST /api/v1/lookup?family=ipv4-unicast HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/octet-stream\r\nContent-Length: 4096\r\n\r\n")
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 1024 {
		request = binary.BigEndian.AppendUint32(request, 10<<24+rnd.Uint32N(100_000)<<8+rnd.Uint32N(256))
	}
	askers(b, s.addr, request, 1024)
}

// BenchmarkHandler is a look-up without its socket.
func BenchmarkHandler(b *testing.B) {
	_, s := many(b, 3000)
	var ctx fasthttp.RequestCtx
	ctx.Init2(noConn{}, nil, false)
	b.ReportAllocs()
	for b.Loop() {
		ctx.Request.SetRequestURI("/api/v1/lookup/10.1.2.3")
		ctx.Response.Reset()
		s.handle(&ctx)
	}
}

// BenchmarkCount asks questions of a whole table.
func BenchmarkCount(b *testing.B) {
	_, s := many(b, 300_000)
	for _, q := range []string{"", "as_path=_3356_1005$", "as_path=(174|1299).*15", "community=0:3", "origin_asn=1005", "peer=192.0.2.2"} {
		b.Run(q, func(b *testing.B) {
			for b.Loop() {
				if code, body, _ := s.do("GET", "/api/v1/routes/count?"+q, ""); code != 200 {
					b.Fatal(body)
				}
			}
			b.ReportMetric(400_000*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mpaths/s")
		})
	}
}

// BenchmarkRows streams a whole table.
func BenchmarkRows(b *testing.B) {
	_, s := many(b, 100_000)
	srv := (&table{t: b, r: s.rib}).serve()
	for b.Loop() {
		r, err := srv.http.Get(srv.url + "/api/v1/routes?limit=100000")
		if err != nil {
			b.Fatal(err)
		}
		n, _ := io.Copy(io.Discard, r.Body)
		_ = r.Body.Close()
		b.SetBytes(n)
	}
	b.ReportMetric(100_000*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}
