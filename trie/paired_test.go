package trie

import (
	"runtime"
	"slices"
	"testing"
)

// zero is 0, and the compiler does not know it: a result & zero makes the next
// question wait for it.
var zero uint32

const window = 1 << 21

func (t *table) askBart(i int, dependent bool) (x uint32) {
	at, y := uint32(i), uint32(0)
	if dependent {
		for n := range uint32(window) {
			x, _ = t.fast.Lookup(t.addrs[(at+n+x&zero)&mask20])
		}
		return x
	}
	for n := range uint32(window) {
		x, _ = t.fast.Lookup(t.addrs[(at+n)&mask20])
		y ^= x
	}
	return y
}

func (t *table) askImage(i int, dependent bool) (x uint32) {
	at, y := uint32(i), uint32(0)
	m4, m6 := t.image.m4, t.image.m6
	switch {
	case m4 != nil && dependent:
		for n := range uint32(window) {
			x = m4.Lookup(t.a4[(at+n+x&zero)&mask20])
		}
		return x
	case m4 != nil:
		for n := range uint32(window) {
			y ^= m4.Lookup(t.a4[(at+n)&mask20])
		}
	case dependent:
		for n := range uint32(window) {
			j := (at + n + x&zero) & mask20
			x = m6.Lookup(t.hi[j], t.lo[j])
		}
		return x
	default:
		for n := range uint32(window) {
			j := (at + n) & mask20
			y ^= m6.Lookup(t.hi[j], t.lo[j])
		}
	}
	return y
}

func (t *table) askTrie(i int, dependent bool) (x uint32) {
	at, y := uint32(i), uint32(0)
	if dependent {
		for n := range uint32(window) {
			j := (at + n + x&zero) & mask20
			x, _ = t.view.Match(Key{t.hi[j], t.lo[j]}, t.view.width)
		}
		return x
	}
	for n := range uint32(window) {
		j := (at + n) & mask20
		x, _ = t.view.Match(Key{t.hi[j], t.lo[j]}, t.view.width)
		y ^= x
	}
	return y
}

func (t *table) askBatch(i int, _ bool) uint32 {
	const size = 1024
	var out [size]uint32
	for n := 0; n < window; n += size {
		j := (i + n) & mask20
		if t.image.m4 != nil {
			t.image.m4.LookupBatch(t.a4[j:j+size], out[:])
		} else {
			t.image.m6.LookupBatch(t.hi[j:j+size], t.lo[j:j+size], out[:])
		}
	}
	return out[0]
}

// BenchmarkPaired asks the same addresses of bart and of the package's
// structures, a short window of each in turn, so that what else the machine
// does meets all alike. It prints the median, and how many times bart's it is.
func BenchmarkPaired(b *testing.B) {
	for _, v4 := range []bool{true, false} {
		t := loadTable(b, v4)
		family := "IPv6"
		if v4 {
			family = "IPv4"
		}
		b.Run(family+"/independent", func(b *testing.B) { t.paired(b, false) })
		b.Run(family+"/dependent", func(b *testing.B) { t.paired(b, true) })
	}
}

func (t *table) paired(b *testing.B, dependent bool) {
	sides := []struct {
		name string
		ask  func(int, bool) uint32
	}{{"bart", t.askBart}, {"image", t.askImage}, {"trie", t.askTrie}, {"batch", t.askBatch}}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	const rounds = 11
	times := make([][]float64, len(sides))
	for r := range rounds {
		for s, side := range sides {
			start := cpuTime()
			sink += side.ask(r*window, dependent)
			times[s] = append(times[s], float64((cpuTime()-start).Nanoseconds())/window)
		}
	}
	for s := range times {
		slices.Sort(times[s])
		b.ReportMetric(times[s][rounds/2], sides[s].name+"-ns")
		b.ReportMetric(times[s][rounds/20], sides[s].name+"-ns-p5")
		if s > 0 {
			b.ReportMetric(times[0][rounds/2]/times[s][rounds/2], sides[s].name+"-x")
		}
	}
	b.ReportMetric(0, "ns/op")
}
