package tablegen

// source is SplitMix64: small, seedable from any key, and fixed for good, which
// math/rand/v2 promises for its sources but not for its helpers.
type source struct{ state uint64 }

// mix64 is the output function of SplitMix64.
func mix64(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}

// newSource returns the source of a key: equal keys, equal numbers.
func newSource(key ...uint64) source {
	s := uint64(0x9e3779b97f4a7c15)
	for _, k := range key {
		s = mix64(s ^ mix64(k+0x9e3779b97f4a7c15))
	}
	return source{s}
}

func (s *source) uint64() uint64 {
	s.state += 0x9e3779b97f4a7c15
	return mix64(s.state)
}

// intN returns a number below n. The bias of the modulus is below 2^-32 for the
// sizes of this package.
func (s *source) intN(n int) int { return int(s.uint64() % uint64(n)) }

// chance is true with a probability of p percent.
func (s *source) chance(p float64) bool {
	return float64(s.uint64()>>11)/(1<<53)*100 < p
}

// geometric returns 1, 2, … with the given mean.
func (s *source) geometric(mean float64) int {
	n := 1
	for n < 4096 && !s.chance(100/mean) {
		n++
	}
	return n
}

// skewed returns a number below n, small ones more often: the n-th of a
// population in which few own much.
func (s *source) skewed(n int) int {
	u := float64(s.uint64()>>11) / (1 << 53)
	return int(u * u * u * float64(n))
}

func (s *source) shuffle(n int, swap func(i, j int)) {
	for i := n - 1; i > 0; i-- {
		swap(i, s.intN(i+1))
	}
}
