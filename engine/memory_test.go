package engine

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"log/slog"
)

func TestTheHeapGetsWhatTheTablesLeave(t *testing.T) {
	for _, c := range []struct {
		total, slabs uint64
		want         int64
	}{
		{8 << 30, 0, 8 << 30},
		{8 << 30, 2 << 30, 6 << 30},
		{1 << 30, 1 << 30, leastHeap},
		{1 << 30, 8 << 30, leastHeap},
		{math.MaxUint64, 0, math.MaxInt64},
	} {
		if got := heapLimit(c.total, c.slabs); got != c.want {
			t.Errorf("heapLimit(%d, %d) = %d, want %d", c.total, c.slabs, got, c.want)
		}
	}
}

func TestALullComesOnceAfterABurst(t *testing.T) {
	var l lull
	var got []int
	total := uint64(0)
	for i, grown := range []uint64{
		0, 0, 0, 0, 0, 0, // nothing happened: nothing to give back
		64 << 20, 64 << 20, 0, 0, 512, 0, 0, 0, 0, // a burst, then quiet from 8 on
		300 << 10, 300 << 10, 0, 0, 0, 0, 0, // too little
		9 << 20, 0, 0, 5 << 20, 0, 0, 0, 0, 0, // enough with what was before, quiet from 26 on
	} {
		total += grown
		if l.begins(total) {
			got = append(got, i)
		}
	}
	if want := []int{11, 29}; !slices.Equal(got, want) {
		t.Errorf("lulls at %v, want %v", got, want)
	}
}

func TestTheLimitFollowsTheTablesAndIsPutBack(t *testing.T) {
	before := debug.SetMemoryLimit(-1)
	var slabs atomic.Uint64
	k := keepMemory(1<<30, slabs.Load, slog.New(slog.DiscardHandler))
	if got := debug.SetMemoryLimit(-1); got != 1<<30 {
		t.Errorf("at first: %d", got)
	}
	slabs.Store(256 << 20)
	eventually(t, "256 MiB later", func() bool { return debug.SetMemoryLimit(-1) == 768<<20 })
	k.stop()
	if got := debug.SetMemoryLimit(-1); got != before {
		t.Errorf("at the end: %d, want %d", got, before)
	}
}

func TestMemoryOfTheMachine(t *testing.T) {
	if v, ok := memTotal([]byte("MemTotal:       16384 kB\nMemFree: 1 kB\n")); !ok || v != 16<<20 {
		t.Errorf("MemTotal: %d, %v", v, ok)
	}
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	proc := write("two", "0::/a/b\n")
	write("a/memory.max", "1073741824\n")
	write("a/b/memory.max", "max\n")
	if v, ok := groupLimit(proc, dir); !ok || v != 1<<30 {
		t.Errorf("version 2: %d, %v", v, ok)
	}
	write("a/b/memory.max", "4096\n")
	if v, ok := groupLimit(proc, dir); !ok || v != 4096 {
		t.Errorf("version 2, the inner one less: %d, %v", v, ok)
	}
	proc = write("one", "5:cpu:/x\n4:memory,hugetlb:/y\n")
	write("memory/y/memory.limit_in_bytes", "8192\n")
	if v, ok := groupLimit(proc, dir); !ok || v != 8192 {
		t.Errorf("version 1: %d, %v", v, ok)
	}
	if _, ok := groupLimit(filepath.Join(dir, "nowhere"), dir); ok {
		t.Error("a limit out of nothing")
	}
}

// safeBuffer is a buffer for two goroutines.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// selfSigned makes a certificate for 127.0.0.1 and its key, in PEM.
func selfSigned(t *testing.T) (cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	kder, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: kder}))
}

func trust(t *testing.T, cert string) *tls.Config {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(cert)) {
		t.Fatal("no certificate")
	}
	return &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
}
