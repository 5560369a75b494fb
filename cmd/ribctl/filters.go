package main

import (
	"net/url"
	"reflect"
	"strconv"
)

// filters are the route filters of the API, as flags. A field's tag q is the
// name of the parameter; what is empty is not sent.
type filters struct {
	Family         string   `q:"family" help:"Family: ipv4-unicast, ipv6-unicast, ipv4-vpn, …" placeholder:"NAME" group:"Filters"`
	RD             string   `q:"rd" name:"rd" help:"Route distinguisher, for VPN families." placeholder:"RD" group:"Filters"`
	Peer           string   `q:"peer" help:"Address, id or name of a peer." placeholder:"PEER" group:"Filters"`
	PeerASN        string   `q:"peer_asn" name:"peer-asn" help:"AS number of the peer." placeholder:"AS" group:"Filters"`
	Source         string   `q:"source" help:"bgp, mrt, bmp or local." placeholder:"KIND" group:"Filters"`
	PathID         string   `q:"path_id" name:"path-id" help:"Add-Path id, or none." placeholder:"ID" group:"Filters"`
	OriginASN      string   `q:"origin_asn" name:"origin-asn" help:"AS number that the path starts at." placeholder:"AS" group:"Filters"`
	NeighborASN    string   `q:"neighbor_asn" name:"neighbor-asn" help:"AS number that the path was last sent by." placeholder:"AS" group:"Filters"`
	ASPath         string   `q:"as_path" name:"as-path" help:"Expression on the AS path; _ is a border: ^65001_, _3356_, ^$$." placeholder:"REGEXP" group:"Filters"`
	ASPathLength   string   `q:"as_path_length" name:"as-path-length" help:"Length of the AS path." placeholder:"N" group:"Filters"`
	Community      []string `q:"community" sep:"none" help:"Community, 65001:100, 65001:* or a name; may repeat." placeholder:"C" group:"Filters"`
	LargeCommunity []string `q:"large_community" sep:"none" help:"Large community, 65001:1:2; may repeat." placeholder:"C" group:"Filters"`
	ExtCommunity   []string `q:"ext_community" sep:"none" help:"Extended community, rt:65001:1; may repeat." placeholder:"C" group:"Filters"`
	NextHop        string   `q:"next_hop" help:"Next hop." placeholder:"ADDRESS" group:"Filters"`
	OriginatorID   string   `q:"originator_id" name:"originator-id" help:"ORIGINATOR_ID." placeholder:"ID" group:"Filters"`
	RPKI           string   `q:"rpki" name:"rpki" help:"valid, invalid or not-found." placeholder:"STATE" group:"Filters"`
	Best           bool     `q:"best" help:"Best paths only." group:"Filters"`
	Stale          string   `q:"stale" help:"true, false, gr, llgr or restart." placeholder:"KIND" group:"Filters"`
	Filtered       string   `q:"filtered" help:"true or any: paths that import policy refused, too." placeholder:"WHICH" group:"Filters"`
	FilterReason   string   `q:"filter_reason" help:"Paths refused for this: policy, no-policy, as-loop, otc, next-hop, …" placeholder:"WHY" group:"Filters"`
	MinLength      string   `q:"min_length" help:"Least prefix length." placeholder:"N" group:"Filters"`
	MaxLength      string   `q:"max_length" help:"Greatest prefix length." placeholder:"N" group:"Filters"`
	ReceivedAfter  string   `q:"received_after" help:"RFC 3339 time." placeholder:"TIME" group:"Filters"`
	ReceivedBefore string   `q:"received_before" help:"RFC 3339 time." placeholder:"TIME" group:"Filters"`
	Policy         string   `q:"policy" help:"pre: attributes as they arrived, before import policy." placeholder:"WHICH" group:"Filters"`
	At             string   `q:"at" help:"A time or a sequence of the retained past." placeholder:"WHEN" group:"Filters"`
}

// values returns the parameters that were given.
func (f *filters) values() url.Values {
	q := url.Values{}
	v := reflect.ValueOf(f).Elem()
	for i := range v.NumField() {
		name := v.Type().Field(i).Tag.Get("q")
		switch x := v.Field(i).Interface().(type) {
		case string:
			if x != "" {
				q.Set(name, x)
			}
		case bool:
			if x {
				q.Set(name, strconv.FormatBool(x))
			}
		case []string:
			for _, s := range x {
				q.Add(name, s)
			}
		}
	}
	return q
}
