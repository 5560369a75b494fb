package tablegen

// graph is an AS topology of three tiers of transit networks, with stubs as
// customers below. Nodes are numbered from the top down: 0..tier1 are a clique of
// peers; each node below has providers among those above it, and peers beside it.
type graph struct {
	asn       []uint32 // transit networks, then the origins without customers
	transit   int      // how many of them carry traffic for others
	providers [][]int32
	customers [][]int32 // transit customers only
	peers     [][]int32
	number    map[uint32]int32 // the nodes of the AS numbers that were asked for
}

const tier1 = 14

// newGraph draws a topology with the given number of origin networks, with enough
// transit networks for the peers, and one more origin for each AS of keep.
func newGraph(origins, peers int, keep []Keep, seed uint64) *graph {
	rng := newSource(seed, 'g')
	tier2 := min(max(origins/250, 20), 320)
	tier3 := max(min(max(origins/12, 40), 6500), peers)
	n := tier1 + tier2 + tier3
	g := &graph{transit: n, number: map[uint32]int32{}}
	for _, k := range keep {
		if _, ok := g.number[k.Origin]; !ok && k.Origin != 0 {
			g.number[k.Origin] = int32(n + origins + len(g.number))
		}
	}
	g.asn = drawNumbers(n, origins, g.number, &rng)
	origins += len(g.number)
	g.asn = g.asn[:n+origins]
	for as, node := range g.number {
		g.asn[node] = as
	}
	g.providers = make([][]int32, n+origins)
	g.customers = make([][]int32, n)
	g.peers = make([][]int32, n)
	for i := range tier1 {
		for j := range i {
			g.link(i, j)
		}
	}
	for i := tier1; i < tier1+tier2; i++ {
		g.attach(i, 0, tier1, 2+rng.intN(3), &rng)
		for range 6 {
			g.link(i, tier1+rng.intN(tier2))
		}
		if rng.chance(30) { // large ones peer with half of the top
			for range 4 {
				g.link(i, rng.intN(tier1))
			}
		}
	}
	for i := tier1 + tier2; i < n; i++ {
		g.attach(i, tier1/2, tier1/2+tier2, 1+rng.intN(3), &rng)
		if rng.chance(40) {
			g.link(i, tier1+rng.skewed(tier2))
		}
	}
	for i := n; i < n+origins; i++ {
		lo, hi := tier1, n // most buy from a regional network, some from the top
		switch {
		case rng.chance(20):
			lo, hi = 0, tier1
		case rng.chance(62):
			hi = tier1 + tier2
		}
		g.attach(i, lo, hi, rng.geometric(1.8), &rng)
	}
	return g
}

// attach makes i a customer of up to n nodes of [lo, hi), low numbers (large
// networks) more often.
func (g *graph) attach(i, lo, hi, n int, rng *source) {
	for range min(n, 8) {
		p := int32(lo + rng.skewed(hi-lo))
		if int(p) >= i || contains(g.providers[i], p) {
			continue
		}
		g.providers[i] = append(g.providers[i], p)
		if i < g.transit {
			g.customers[p] = append(g.customers[p], int32(i))
		}
	}
	if len(g.providers[i]) == 0 {
		g.providers[i] = append(g.providers[i], int32(lo))
		if i < g.transit {
			g.customers[lo] = append(g.customers[lo], int32(i))
		}
	}
}

func (g *graph) link(i, j int) {
	if i != j && !contains(g.peers[i], int32(j)) && !contains(g.providers[i], int32(j)) {
		g.peers[i] = append(g.peers[i], int32(j))
		g.peers[j] = append(g.peers[j], int32(i))
	}
}

func contains(s []int32, x int32) bool {
	for _, y := range s {
		if y == x {
			return true
		}
	}
	return false
}

// drawNumbers returns different AS numbers of the public ranges for the transit
// networks, mostly old ones of two octets, and then for the origins; none of
// taken, with room for those.
func drawNumbers(transit, origins int, taken map[uint32]int32, rng *source) []uint32 {
	n := transit + origins
	seen := make(map[uint32]struct{}, n)
	for as := range taken {
		seen[as] = struct{}{}
	}
	out := make([]uint32, 0, n+len(taken))
	for len(out) < n {
		var a uint32
		switch {
		case len(out) < tier1:
			a = uint32(1 + rng.intN(9000))
		case len(out) < transit && rng.chance(90), len(out) < 40000 && rng.chance(40):
			a = uint32(1 + rng.intN(64000))
		default:
			a = uint32(131072 + rng.intN(270000+n))
		}
		if _, dup := seen[a]; dup || a == asTrans {
			continue
		}
		seen[a] = struct{}{}
		out = append(out, a)
	}
	return out
}

const asTrans = 23456

// routes holds the shortest valley-free way from one node to every transit
// network: up to providers, across one peering at most, down to customers
// (Gao and Rexford).
type routes struct {
	dist []uint8 // 2*node+phase; phase 0: only up so far, 1: across or down
	from []int32 // the state before, -1 at the start
}

const unreached = 0xff

// paths walks the graph from start. With cone, only its customers are reached,
// as over a session that gives no more.
func (g *graph) paths(start int, cone bool, seed uint64) *routes {
	r := &routes{dist: make([]uint8, 2*g.transit), from: make([]int32, 2*g.transit)}
	for i := range r.dist {
		r.dist[i] = unreached
	}
	rng := newSource(seed, 'r', uint64(start))
	s0 := int32(2 * start)
	if cone {
		s0++
	}
	r.dist[s0], r.from[s0] = 0, -1
	queue := []int32{s0}
	step := func(s int32, nodes []int32, phase int32) {
		// Where several ways are equally short, each start has its own taste.
		off := 0
		if len(nodes) > 0 {
			off = rng.intN(len(nodes))
		}
		for i := range nodes {
			t := 2*nodes[(i+off)%len(nodes)] + phase
			if r.dist[t] == unreached {
				r.dist[t], r.from[t] = r.dist[s]+1, s
				queue = append(queue, t)
			}
		}
	}
	for len(queue) > 0 {
		s := queue[0]
		queue = queue[1:]
		step(s, g.customers[s/2], 1)
		if s%2 == 0 {
			step(s, g.peers[s/2], 1)
			step(s, g.providers[s/2], 0)
		}
	}
	return r
}

// best returns the nearer of the two states of a node, and whether it is reached.
// A way down is preferred where both are equal.
func (r *routes) best(node int32) (state int32, ok bool) {
	up, down := 2*node, 2*node+1
	if r.dist[up] < r.dist[down] {
		return up, true
	}
	return down, r.dist[down] != unreached
}

// appendPath appends the AS numbers from the start to the node of a state.
func (r *routes) appendPath(dst []uint32, g *graph, state int32) []uint32 {
	at := len(dst)
	for s := state; s >= 0; s = r.from[s] {
		dst = append(dst, g.asn[s/2])
	}
	for i, j := at, len(dst)-1; i < j; i, j = i+1, j-1 {
		dst[i], dst[j] = dst[j], dst[i]
	}
	return dst
}
