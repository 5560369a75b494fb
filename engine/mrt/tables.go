package mrt

import (
	"math"

	"ribd/shard"
	"ribd/shard/rib"
	"ribd/wire"
)

// noTable stands for a table that there is no room for.
const noTable = rib.TableID(math.MaxUint32)

// tableCache remembers the table of the last family and route distinguisher.
type tableCache struct {
	family wire.Family
	rd     uint64
	table  rib.TableID
}

func (c *tableCache) of(r *shard.RIB, f wire.Family, rd uint64) rib.TableID {
	switch f {
	case wire.IPv4Unicast:
		return rib.TableIPv4Unicast
	case wire.IPv6Unicast:
		return rib.TableIPv6Unicast
	}
	if f == c.family && rd == c.rd {
		return c.table
	}
	t, ok := r.Table(f, rd)
	if !ok {
		return noTable
	}
	c.family, c.rd, c.table = f, rd, t
	return t
}
