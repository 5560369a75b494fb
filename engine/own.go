package engine

import (
	"encoding/binary"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync/atomic"
)

// ownAddrs is the addresses of this machine's interfaces, as they were when they
// were last read.
type ownAddrs struct{ links atomic.Pointer[[]link] }

// link is one interface.
type link struct {
	name  string
	addrs []netip.Prefix
}

func (o *ownAddrs) read() {
	var links []link
	ifs, err := net.Interfaces()
	if err != nil {
		ifs = nil
	}
	for _, i := range ifs {
		l := link{name: i.Name}
		as, err := i.Addrs()
		if err != nil {
			continue
		}
		for _, a := range as {
			if p, err := netip.ParsePrefix(a.String()); err == nil {
				l.addrs = append(l.addrs, netip.PrefixFrom(p.Addr().Unmap().WithZone(""), p.Bits()))
			}
		}
		links = append(links, l)
	}
	o.links.Store(&links)
}

// all returns the addresses that a next hop may not be: ours, but for loopback
// ones, which the import checks know by themselves.
func (o *ownAddrs) all() (as []netip.Addr) {
	for _, l := range *o.links.Load() {
		for _, p := range l.addrs {
			if !p.Addr().IsLoopback() && !p.Addr().IsLinkLocalUnicast() {
				as = append(as, p.Addr())
			}
		}
	}
	return as
}

// towards returns the next hops that a peer is told of us: the local end of the
// session, and of the other family what its interface has. The link-local one is
// for peers on the same link.
func (o *ownAddrs) towards(local, remote netip.Addr, internal bool) (v4, v6, linkLocal netip.Addr) {
	local, remote = local.Unmap().WithZone(""), remote.Unmap().WithZone("")
	if local.Is4() {
		v4 = local
	} else if !local.IsLinkLocalUnicast() {
		v6 = local
	} else {
		linkLocal = local
	}
	for _, l := range *o.links.Load() {
		if !slices.ContainsFunc(l.addrs, func(p netip.Prefix) bool { return p.Addr() == local }) || l.addrs[0].Addr().IsLoopback() {
			continue
		}
		onLink := !internal && slices.ContainsFunc(l.addrs, func(p netip.Prefix) bool { return p.Contains(remote) })
		for _, p := range l.addrs {
			a := p.Addr()
			switch {
			case a.Is4() && !v4.IsValid():
				v4 = a
			case a.Is6() && a.IsLinkLocalUnicast():
				if onLink && local.Is6() && !linkLocal.IsValid() {
					linkLocal = a
				}
			case a.Is6() && !v6.IsValid():
				v6 = a
			}
		}
	}
	return v4, v6, linkLocal
}

// idAddr is a BGP identifier as an address, which is how people write it.
func idAddr(id uint32) netip.Addr {
	return netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, id)))
}

// addrID is the reverse; 0 where a is not valid.
func addrID(a netip.Addr) uint32 {
	if !a.Is4() {
		return 0
	}
	b := a.As4()
	return binary.BigEndian.Uint32(b[:])
}

// hostname is the machine's name for the FQDN capability, without its domain.
func hostname() string {
	name, err := os.Hostname()
	if err != nil {
		return ""
	}
	name, _, _ = strings.Cut(name, ".")
	return name
}
