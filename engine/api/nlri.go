package api

import (
	"fmt"

	"github.com/osrg/gobgp/v3/pkg/packet/bgp"

	"ribd/wire"
)

// nlriText tells what an NLRI of a family without prefixes says, or "" where it
// can't be decoded. GoBGP's packet library knows most families; it is asked for
// display alone, and a panic of it is an NLRI that it can't decode.
func nlriText(f wire.Family, nlri []byte) (text string) {
	defer func() {
		if recover() != nil {
			text = ""
		}
	}()
	p, err := bgp.NewPrefixFromRouteFamily(f.AFI(), f.SAFI())
	if err != nil {
		return ""
	}
	if _, opaque := p.(fmt.Stringer); !opaque {
		return ""
	}
	if err := p.DecodeFromBytes(nlri); err != nil {
		return ""
	}
	return p.String()
}
