package mrt

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"ribd/internal/golden"
	"ribd/shard"
)

// cpuSeconds is the time that the process has spent on processors.
func cpuSeconds(b *testing.B) float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return float64(u.Utime.Sec+u.Stime.Sec) + float64(u.Utime.Usec+u.Stime.Usec)/1e6
}

// memory returns a line of /proc/self/status in bytes, 0 where there is none.
func memory(field string) float64 {
	b, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, field+":"); ok {
			n, _ := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(v), " kB"), 64)
			return n * 1024
		}
	}
	return 0
}

// BenchmarkLoadFull loads a full table dump of 3.6 million paths, and
// decompresses it alone: the rival that no loader can beat.
func BenchmarkLoadFull(b *testing.B) {
	path := golden.Data(b, "mrt", "synth-full-a.rib.gz")
	b.Run("decompress-only", func(b *testing.B) {
		cpu := cpuSeconds(b)
		for b.Loop() {
			f, err := os.Open(path)
			if err != nil {
				b.Fatal(err)
			}
			r, _, stop, err := unpack(bufio.NewReaderSize(f, 64<<10))
			if err != nil {
				b.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, r); err != nil {
				b.Fatal(err)
			}
			stop()
			f.Close()
		}
		b.ReportMetric((cpuSeconds(b)-cpu)/float64(b.N), "cpu-s/op")
	})
	b.Run("load", func(b *testing.B) {
		var cpu float64
		var routes int64
		var spent time.Duration
		for b.Loop() {
			r, err := shard.Open(shard.Options{})
			if err != nil {
				b.Fatal(err)
			}
			l := New(r, Options{Log: slog.New(slog.DiscardHandler)})
			begin := cpuSeconds(b)
			s, err := l.Load(context.Background(), File(path, "bench"))
			if err != nil {
				b.Fatal(err)
			}
			cpu += cpuSeconds(b) - begin
			routes += s.Routes
			spent += s.EndedAt.Sub(s.StartedAt)
			b.StopTimer()
			peak, settled := memory("VmHWM"), memory("VmRSS")
			runtime.GC()
			b.ReportMetric(peak/1e6, "peak-MB")
			b.ReportMetric(settled/1e6, "settled-MB")
			l.Close()
			r.Close()
			b.StartTimer()
		}
		b.ReportMetric(float64(routes)/spent.Seconds(), "paths/s")
		b.ReportMetric(cpu/float64(routes)*1e6, "cpu-s/Mpaths")
	})
}
