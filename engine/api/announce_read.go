package api

import (
	"net/netip"
	"strings"
	"time"

	"ribd/wire"
)

// pathInput is a path as a client gave it, to be originated, withdrawn or
// previewed. Its slices lie in the memory of the pathReader that read it.
type pathInput struct {
	family    wire.Family
	rd        uint64
	prefix    netip.Prefix
	nlri      []byte // of families without prefixes, with its length octets; canonical for Flow Spec
	labels    []byte // 3 octets each, the bottom of the stack marked
	pathID    uint32
	hasPathID bool
	attrs     []byte        // canonical, with NEXT_HOP; not of one that is to be withdrawn
	peers     []string      // ids, sorted; nil: all
	ttl       time.Duration // 0: not said
	from      time.Time     // that ttl counts from; zero: when it is carried out
	send      bool          // of POST updates: originate it, too
	withdraw  bool          // of POST updates: what a withdrawal of it looks like
}

// input is a field of a path that is read.
type input uint8

const (
	inPrefix input = iota
	inNLRI
	inFamily
	inRD
	inLabels
	inPathID
	inOrigin
	inASPath
	inNextHop
	inNextHopLinkLocal
	inMED
	inLocalPref
	inCommunities
	inLargeCommunities
	inExtCommunities
	inAtomicAggregate
	inAggregator
	inOriginatorID
	inClusterList
	inOnlyToCustomer
	inAIGP
	inUnknownAttributes
	inPeers
	inTTL
	inExpiresAt
	inSend
	inWithdraw
	numInputs
	inIgnored = numInputs // of answers only
	inUnknown = numInputs + 1
)

var inputNames = [numInputs]string{
	"prefix", "nlri", "family", "rd", "labels", "path_id", "origin", "as_path", "next_hop", "next_hop_link_local", "med",
	"local_pref", "communities", "large_communities", "ext_communities", "atomic_aggregate", "aggregator", "originator_id",
	"cluster_list", "only_to_customer", "aigp", "unknown_attributes", "peers", "ttl", "expires_at", "send", "withdraw",
}

// inputOf finds the field of a name. The switch is what the compiler makes
// fastest.
func inputOf(name []byte) input {
	switch string(name) {
	case "prefix":
		return inPrefix
	case "nlri":
		return inNLRI
	case "family":
		return inFamily
	case "rd":
		return inRD
	case "labels":
		return inLabels
	case "path_id":
		return inPathID
	case "origin":
		return inOrigin
	case "as_path":
		return inASPath
	case "next_hop":
		return inNextHop
	case "next_hop_link_local":
		return inNextHopLinkLocal
	case "med":
		return inMED
	case "local_pref":
		return inLocalPref
	case "communities":
		return inCommunities
	case "large_communities":
		return inLargeCommunities
	case "ext_communities":
		return inExtCommunities
	case "atomic_aggregate":
		return inAtomicAggregate
	case "aggregator":
		return inAggregator
	case "originator_id":
		return inOriginatorID
	case "cluster_list":
		return inClusterList
	case "only_to_customer":
		return inOnlyToCustomer
	case "aigp":
		return inAIGP
	case "unknown_attributes":
		return inUnknownAttributes
	case "peers":
		return inPeers
	case "ttl":
		return inTTL
	case "expires_at":
		return inExpiresAt
	case "send":
		return inSend
	case "withdraw":
		return inWithdraw
	case "peer", "peer_id", "peer_asn", "source", "best", "best_reason", "rank", "origin_asn", "neighbor_asn", "attrs_id",
		"received_at", "stale", "filtered", "filter_reason", "rpki", "nlri_text", "created_at", "held", "advertised":
		return inIgnored
	}
	return inUnknown
}

// inputSet is a set of fields, a bit each.
type inputSet uint32

func (s inputSet) has(f input) bool { return s>>f&1 != 0 }

func inputs(list ...input) (s inputSet) {
	for _, f := range list {
		s |= 1 << f
	}
	return s
}

// What the requests take. A withdrawal needs the key alone, but may be given the
// whole of what was announced.
const (
	takesAnnounce = inputSet(1<<inSend - 1)
	takesPreview  = inputSet(1<<numInputs - 1)
)

// pathReader reads the JSON objects of paths. It is used again and again, for one
// request at a time, and then allocates little: what it has read is good until
// reset.
type pathReader struct {
	c     *call
	takes inputSet
	// key: only what names a path is wanted (DELETE), the rest is read and
	// checked, and not asked for.
	key bool
	// rule reads the fields of Flow Spec rules; nil where paths are read.
	rule *ruleReader

	js     jsonReader
	given  inputSet // fields of the object that are not null
	named  inputSet // fields of the object
	in     pathInput
	hop    hopInput
	attrs  attrInput
	mem    []byte              // what pathInputs hold
	peers  map[string][]string // lists of peers of this request, by their text
	labels [maxLabels]uint32
	nLabel int
}

// hopInput is next_hop and next_hop_link_local.
type hopInput struct {
	self          bool // "self": ours towards each peer
	global, local netip.Addr
}

// maxLabels bounds a label stack: NLRI are 255 bits at most (RFC 8277 2).
const maxLabels = 8

// begin makes the reader ready for a request.
func (r *pathReader) begin(c *call, takes inputSet, key bool) {
	r.c, r.takes, r.key = c, takes, key
	clear(r.peers)
	r.mem = r.mem[:0]
}

// start makes the reader ready for an object.
func (r *pathReader) start() {
	r.given, r.named, r.in, r.hop, r.nLabel = 0, 0, pathInput{}, hopInput{}, 0
	r.attrs.reset()
	if r.rule != nil {
		r.rule.begin()
	}
}

// read reads one object, all of text.
func (r *pathReader) read(text []byte) (pathInput, *problem) {
	r.js.reset(text)
	in, p := r.object()
	if p == nil && !r.js.end() {
		p = r.js.problem()
	}
	return in, p
}

// object reads the object that comes next in r.js.
func (r *pathReader) object() (pathInput, *problem) {
	js := &r.js
	r.start()
	js.open('{', `a path as a JSON object, {"prefix":…,"next_hop":…},`)
	for first := true; js.more('}', &first); {
		name := js.key()
		if name == nil {
			break
		}
		if r.rule != nil {
			if known, p := r.rule.field(r, name); p != nil {
				return r.in, p
			} else if known {
				continue
			}
		}
		f := inputOf(name)
		if f == inIgnored {
			js.skip(0)
			continue
		}
		if f == inUnknown || !r.takes.has(f) {
			return r.in, r.unknown(string(name))
		}
		if p := r.take(f); p != nil {
			return r.in, p
		}
	}
	if js.wrong != "" {
		return r.in, js.problem()
	}
	if r.rule != nil {
		if p := r.rule.place(r); p != nil {
			return r.in, p
		}
	}
	if p := r.whole(); p != nil {
		return r.in, p
	}
	if r.rule != nil {
		return r.in, r.rule.finish(r)
	}
	return r.in, nil
}

// take reads the value of a field, null or not.
func (r *pathReader) take(f input) *problem {
	if r.named.has(f) {
		return bad(inputNames[f], "is given twice")
	}
	r.named |= 1 << f
	if r.js.null() {
		return nil
	}
	r.given |= 1 << f
	p := r.field(f)
	if r.js.wrong != "" {
		return r.js.problem()
	}
	return p
}

// unknown names the field that was meant, where one is near.
func (r *pathReader) unknown(name string) *problem {
	if inputOf([]byte(name)) != inUnknown {
		return bad(shown(name), "goes with POST /api/v1/updates alone")
	}
	best, at := 3, ""
	for f, n := range inputNames {
		if r.takes.has(input(f)) {
			if d := editDistance(shown(name), n); d < best {
				best, at = d, n
			}
		}
	}
	if at != "" {
		return bad(shown(name), "no such field of a path: did you mean %s?", at)
	}
	var known []string
	for f, n := range inputNames {
		if r.takes.has(input(f)) {
			known = append(known, n)
		}
	}
	return bad(shown(name), "no such field of a path: %s", strings.Join(known, ", "))
}

// want is the problem of a value of the wrong kind.
func (r *pathReader) want(f input, what string) *problem {
	got := r.js.raw()
	if r.js.wrong != "" {
		return r.js.problem()
	}
	return bad(inputNames[f], "%s: %s is wanted", shown(got), what)
}

// field reads the value of one field, which is not null.
func (r *pathReader) field(f input) *problem {
	switch f {
	case inPrefix:
		return r.readPrefix()
	case inNLRI:
		v, p := r.hex(f)
		r.in.nlri = v
		return p
	case inFamily:
		return r.readFamily()
	case inRD:
		s, ok := r.js.text()
		if !ok {
			return r.want(f, `a route distinguisher such as "65001:1"`)
		}
		var err error
		if r.in.rd, err = wire.ParseRD(string(s)); err != nil {
			return bad("rd", "%v", err)
		}
		return nil
	case inLabels:
		return r.readLabels()
	case inPathID:
		n, ok := r.js.number(1<<32 - 1)
		if !ok {
			return r.want(f, "a number from 0 to 4294967295, or null,")
		}
		r.in.pathID, r.in.hasPathID = uint32(n), true
		return nil
	case inNextHop, inNextHopLinkLocal:
		return r.readHop(f)
	case inPeers:
		return r.readPeers()
	case inTTL:
		return r.readTTL()
	case inExpiresAt:
		return r.readExpiry()
	case inSend:
		return r.flag(f, &r.in.send)
	case inWithdraw:
		return r.flag(f, &r.in.withdraw)
	}
	return r.attribute(f)
}

func (r *pathReader) flag(f input, dst *bool) *problem {
	v, ok := r.js.boolean()
	if !ok {
		return r.want(f, "true or false")
	}
	*dst = v
	return nil
}

func (r *pathReader) readPrefix() *problem {
	s, ok := r.js.text()
	if !ok {
		return r.want(inPrefix, `a prefix such as "192.0.2.0/24"`)
	}
	p, err := netip.ParsePrefix(str(s))
	if err != nil || p.Addr().Is4In6() || p != p.Masked() {
		var wrong *problem
		if p, wrong = parsePrefix(s); wrong != nil {
			return wrong
		}
	}
	r.in.prefix = p
	return nil
}

func (r *pathReader) readFamily() *problem {
	s, ok := r.js.text()
	if !ok {
		return r.want(inFamily, `a family such as "ipv4-unicast"`)
	}
	switch string(s) {
	case "ipv4-unicast":
		r.in.family = wire.IPv4Unicast
		return nil
	case "ipv6-unicast":
		r.in.family = wire.IPv6Unicast
		return nil
	}
	f, err := wire.ParseFamily(string(s))
	if err != nil {
		return bad("family", "%v", err)
	}
	if f == 0 || f.AFI() == 0 || f.SAFI() == 0 {
		return bad("family", "%q is reserved (RFC 4760)", shown(s))
	}
	r.in.family = f
	return nil
}

func (r *pathReader) readLabels() *problem {
	if r.js.peek() != '[' {
		return r.want(inLabels, "a list of labels such as [100,200]")
	}
	r.js.open('[', "")
	for first := true; r.js.more(']', &first); {
		n, ok := r.js.number(1<<20 - 1)
		if !ok {
			return r.want(inLabels, "a label from 0 to 1048575")
		}
		if r.nLabel == maxLabels {
			return bad("labels", "there are more than %d", maxLabels)
		}
		r.labels[r.nLabel] = uint32(n)
		r.nLabel++
	}
	if r.js.wrong != "" {
		return r.js.problem()
	}
	if r.nLabel == 0 {
		r.given &^= 1 << inLabels
	}
	return nil
}

// whole checks what fields are to each other, and puts the attributes together.
func (r *pathReader) whole() *problem {
	if p := r.place(); p != nil {
		return p
	}
	if r.given.has(inTTL) && r.given.has(inExpiresAt) {
		return bad("expires_at", "goes in the place of ttl, not beside it")
	}
	if r.key || r.in.withdraw {
		if r.in.withdraw && r.in.send {
			return bad("send", "sends what is announced: DELETE /api/v1/paths withdraws")
		}
		return nil
	}
	if p := r.stack(); p != nil {
		return p
	}
	return r.together()
}
