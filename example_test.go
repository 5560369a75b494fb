//go:build !race

package ribd_test

import (
	"context"
	"fmt"
	"log"
	"net/netip"

	"ribd"
)

// open loads the bundled sample table, of made-up peers.
func open() *ribd.Table {
	t, err := ribd.Open(ribd.Options{})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := t.Load(context.Background(), "sample/sample.mrt.zst", ribd.LoadOptions{}); err != nil {
		log.Fatal(err)
	}
	return t
}

func Example() {
	t, err := ribd.Open(ribd.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer t.Close()
	loaded, err := t.Load(context.Background(), "sample/sample.mrt.zst", ribd.LoadOptions{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(loaded.Routes, "paths")

	v := t.View()
	defer v.Close()
	r, ok := v.Lookup(netip.MustParseAddr("8.8.8.8"))
	if !ok {
		log.Fatal("no route")
	}
	best := r.Best()
	fmt.Println(r.Prefix(), "by", best.Peer.Addr, "path", best.Attributes().ASPath)
	// Output:
	// 147867 paths
	// 8.8.8.0/24 by 192.0.2.2 path 64497 15544 15169
}

func ExampleView_Lookup() {
	t := open()
	defer t.Close()
	v := t.View()
	defer v.Close()

	r, _ := v.Lookup(netip.MustParseAddr("1.1.1.1"))
	for _, p := range r.Paths() {
		a := p.Attributes()
		origin, _ := a.ASPath.Origin()
		fmt.Printf("%d. %v from AS%d, next hop %v, best %v\n", p.Rank, r.Prefix(), origin, a.NextHop, p.Best)
	}
	_, ok := v.Lookup(netip.MustParseAddr("192.0.2.1"))
	fmt.Println("192.0.2.1:", ok)
	// Output:
	// 1. 1.1.1.0/24 from AS13335, next hop 192.0.2.1, best true
	// 2. 1.1.1.0/24 from AS13335, next hop 192.0.2.2, best false
	// 3. 1.1.1.0/24 from AS13335, next hop 192.0.2.3, best false
	// 192.0.2.1: false
}

func ExampleView_LookupBatch() {
	t := open()
	defer t.Close()
	v := t.View()
	defer v.Close()

	addrs := []netip.Addr{
		netip.MustParseAddr("9.9.9.9"), netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2606:4700:4700::1111"),
	}
	for i, r := range v.LookupBatch(addrs, nil) {
		fmt.Println(addrs[i], r.OK(), r.Prefix())
	}
	// Output:
	// 9.9.9.9 true 9.9.9.0/24
	// 192.0.2.1 false invalid Prefix
	// 2606:4700:4700::1111 true 2606:4700:4700::/48
}

func ExampleView_Walk() {
	t := open()
	defer t.Close()
	v := t.View()
	defer v.Close()

	for r := range v.Walk(netip.MustParsePrefix("140.82.112.0/20")) {
		fmt.Println(r.Prefix(), len(r.Paths()), "paths")
	}
	// Output:
	// 140.82.112.0/20 3 paths
	// 140.82.112.0/24 3 paths
}

// A Reader answers from the latest state and allocates nothing.
func ExampleReader_LookupBatch() {
	t := open()
	defer t.Close()
	rd := t.NewReader()
	defer rd.Close()

	addrs := []netip.Addr{netip.MustParseAddr("17.1.2.3"), netip.MustParseAddr("2620:fe::fe")}
	answers := make([]ribd.Answer, len(addrs))
	rd.LookupBatch(addrs, answers)
	for i, a := range answers {
		fmt.Printf("%v in %v of AS%d, %d paths\n", addrs[i], a.Prefix, a.OriginAS, a.Paths)
	}
	// Output:
	// 17.1.2.3 in 17.0.0.0/9 of AS714, 3 paths
	// 2620:fe::fe in 2620:fe::/48 of AS19281, 3 paths
}

func ExampleTable_Peers() {
	t := open()
	defer t.Close()
	for _, p := range t.Peers() {
		fmt.Println(p.Addr, p.AS, p.Source, p.Paths)
	}
	// Output:
	// 192.0.2.1 64496 mrt 49312
	// 192.0.2.2 64497 mrt 49261
	// 2001:db8:3::1 64498 mrt 49294
}
