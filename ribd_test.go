package ribd_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/gaissmai/bart"
	"go.uber.org/goleak"

	"ribd"
)

const sample = "sample/sample.mrt.zst"

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func table(t testing.TB) *ribd.Table {
	t.Helper()
	tab, err := ribd.Open(ribd.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tab.Close)
	l, err := tab.Load(context.Background(), sample, ribd.LoadOptions{Strict: true})
	if err != nil {
		t.Fatal(err)
	}
	if l.Routes != 147867 || l.Damaged != 0 || l.Truncated != "" || l.Records != 50001 {
		t.Fatalf("loaded %+v", l)
	}
	return tab
}

// TestLookupsAgreeWithABartTable asks a view, a reader one by one and a reader
// in batches, and an independent table of the prefixes that the view walks.
func TestLookupsAgreeWithABartTable(t *testing.T) {
	tab := table(t)
	v := tab.View()
	defer v.Close()
	var truth bart.Fast[netip.Prefix]
	var addrs []netip.Addr
	n := 0
	for _, all := range []string{"0.0.0.0/0", "::/0"} {
		var last netip.Prefix
		for r := range v.Walk(netip.MustParsePrefix(all)) {
			p := r.Prefix()
			if last.IsValid() && (p.Addr().Less(last.Addr()) || p.Addr() == last.Addr() && p.Bits() <= last.Bits()) {
				t.Fatalf("the walk goes from %v to %v", last, p)
			}
			last = p
			truth.Insert(p, p)
			n++
			if n%5 == 0 {
				addrs = append(addrs, p.Addr(), p.Addr().Next(), lastOf(p), lastOf(p).Next())
			}
		}
	}
	if n != 50000 {
		t.Errorf("%d prefixes walked, want 50000", n)
	}
	addrs = slices.DeleteFunc(addrs, func(a netip.Addr) bool { return !a.IsValid() })
	addrs = append(addrs, netip.Addr{}, netip.MustParseAddr("::ffff:8.8.8.8"))
	rd := tab.NewReader()
	defer rd.Close()
	answers := make([]ribd.Answer, len(addrs))
	rd.LookupBatch(addrs, answers)
	routes := v.LookupBatch(addrs, nil)
	for i, a := range addrs {
		var want netip.Prefix
		if a.IsValid() {
			want, _ = truth.Lookup(a.Unmap())
		}
		one := rd.Lookup(a)
		if routes[i].Prefix() != want || answers[i].Prefix != want || one != answers[i] {
			t.Fatalf("%v: view %v, batch %v, one %v; want %v", a, routes[i].Prefix(), answers[i].Prefix, one.Prefix, want)
		}
		if !want.IsValid() {
			continue
		}
		best := routes[i].Best()
		origin, _ := best.Attributes().ASPath.Origin()
		if len(routes[i].Paths()) != one.Paths || best.AttrsID != one.AttrsID || origin != one.OriginAS {
			t.Fatalf("%v: best path of the view %+v, of the reader %+v", a, best, one)
		}
	}
}

func lastOf(p netip.Prefix) netip.Addr {
	b := p.Addr().As16()
	from := p.Bits()
	if p.Addr().Is4() {
		from += 96
	}
	for i := from; i < 128; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	return netip.AddrFrom16(b).Unmap()
}

func TestAViewStaysAsItWas(t *testing.T) {
	tab := table(t)
	v := tab.View()
	defer v.Close()
	a := netip.MustParseAddr("8.8.8.8")
	before, _ := v.Lookup(a)
	paths := before.Paths()
	for _, p := range tab.Peers() {
		if !tab.Drop(p.ID) || tab.Drop(p.ID) {
			t.Errorf("%s can't be dropped once", p.ID)
		}
	}
	after, ok := v.Lookup(a)
	if !ok || len(after.Paths()) != len(paths) {
		t.Errorf("%d paths, and %d after the peers went", len(paths), len(after.Paths()))
	}
	w := tab.View()
	defer w.Close()
	if _, ok := w.Lookup(a); ok {
		t.Error("a new view still finds routes of dropped peers")
	}
	rd := tab.NewReader()
	defer rd.Close()
	if got := rd.Lookup(a); got.OK() {
		t.Errorf("a reader still finds %+v", got)
	}
	if got := paths[0].Attributes().ASPath.String(); got != "64497 15544 15169" {
		t.Errorf("a path that is kept decodes to %q", got)
	}
}

func TestReadersAskWhileALoadRuns(t *testing.T) {
	tab := table(t)
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for range 2 {
		wg.Go(func() {
			rd := tab.NewReader()
			defer rd.Close()
			for {
				select {
				case <-stop:
					return
				default:
				}
				if got := rd.Lookup(netip.MustParseAddr("1.1.1.1")); got.Prefix.String() != "1.1.1.0/24" {
					t.Errorf("got %+v", got)
					return
				}
			}
		})
	}
	dump, err := os.ReadFile(sample)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tab.LoadReader(context.Background(), bytes.NewReader(dump), ribd.LoadOptions{Collector: "other"}); err != nil {
		t.Error(err)
	}
	close(stop)
	wg.Wait()
	if n := len(tab.Peers()); n != 6 {
		t.Errorf("%d peers of two collectors", n)
	}
}

func TestDamageIsToldAndStrictMakesItAnError(t *testing.T) {
	dump, err := os.ReadFile(sample)
	if err != nil {
		t.Fatal(err)
	}
	tab, err := ribd.Open(ribd.Options{Shards: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer tab.Close()
	l, err := tab.LoadReader(context.Background(), bytes.NewReader(dump[:len(dump)/2]), ribd.LoadOptions{Name: "half"})
	if err != nil || l.Truncated == "" || l.Routes == 0 || l.Name != "half" {
		t.Errorf("%+v, %v", l, err)
	}
	if _, err := tab.LoadReader(context.Background(), bytes.NewReader(dump[:len(dump)/2]), ribd.LoadOptions{Strict: true}); err == nil {
		t.Error("strict takes half a file")
	}
	if _, err := tab.Load(context.Background(), "nowhere.mrt", ribd.LoadOptions{}); err == nil {
		t.Error("a missing file is taken")
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := tab.Load(ctx, sample, ribd.LoadOptions{}); err == nil {
		t.Error("a load goes on after its context")
	}
}

// TestTheLibraryBringsInNeitherHTTPNorPolicy asks the go command for all that
// the package stands on.
func TestTheLibraryBringsInNeitherHTTPNorPolicy(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "ribd").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, p := range strings.Fields(string(out)) {
		if p == "net/http" || strings.Contains(p, "fasthttp") || strings.HasPrefix(p, "ribd/engine/api") || strings.Contains(p, "cel-go") ||
			strings.Contains(p, "kong") || strings.Contains(p, "go-yaml") {
			t.Errorf("the library brings in %s", p)
		}
	}
}

const app = `package main

import (
	"context"
	"fmt"
	"log"
	"net/netip"
	"os"

	"ribd"
)

func main() {
	t, err := ribd.Open(ribd.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer t.Close()
	if _, err := t.Load(context.Background(), os.Args[1], ribd.LoadOptions{}); err != nil {
		log.Fatal(err)
	}
	v := t.View()
	defer v.Close()
	r, ok := v.Lookup(netip.MustParseAddr(os.Args[2]))
	a := r.Best().Attributes()
	fmt.Println(ok, r.Prefix(), a.ASPath, a.NextHop, len(a.Communities), a.Origin)
}
`

// TestAnAppInAnotherModuleEmbedsIt builds and runs an app that only knows where
// ribd is.
func TestAnAppInAnotherModuleEmbedsIt(t *testing.T) {
	root, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod":  "module app\n\ngo 1.26.0\n\nrequire ribd v0.0.0\n\nreplace ribd => " + root + "\n",
		"main.go": app,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	sums, err := os.ReadFile("go.sum")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "go.sum"), sums, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", "run", ".", filepath.Join(root, sample), "8.8.8.8")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOPROXY=off", "GOWORK=off")
	out, err := cmd.CombinedOutput()
	if want := "true 8.8.8.0/24 64497 15544 15169 192.0.2.2 10 igp\n"; err != nil || string(out) != want {
		t.Errorf("%v\ngot  %swant %s", err, out, want)
	}
}

func TestAttributesAreNativeAndTheirTextIsAsRoutersWriteIt(t *testing.T) {
	tab := table(t)
	v := tab.View()
	defer v.Close()
	seen := map[string]bool{}
	for r := range v.Walk(netip.MustParsePrefix("0.0.0.0/0")) {
		a := r.Best().Attributes()
		if !a.NextHop.Is4() {
			t.Fatalf("%v: next hop %v", r.Prefix(), a.NextHop)
		}
		note := func(what string, is bool) {
			if is {
				seen[what] = true
			}
		}
		note("community", len(a.Communities) > 0 && strings.Contains(a.Communities[0].String(), ":"))
		note("large community", len(a.LargeCommunities) > 0 && strings.Count(a.LargeCommunities[0].String(), ":") == 2)
		note("med", a.MED != nil)
		note("aggregator", a.Aggregator != nil && a.Aggregator.Addr.Is4())
		note("atomic aggregate", a.AtomicAggregate)
		note("incomplete", a.Origin.String() == "incomplete")
		id := r.Best().AttrsID
		again, ok := tab.Attributes(id)
		if !ok || again.ASPath.String() != a.ASPath.String() {
			t.Fatalf("attributes %d by their id: %v, %v", id, again, ok)
		}
	}
	for _, what := range []string{"community", "large community", "med", "aggregator", "incomplete"} {
		if !seen[what] {
			t.Errorf("no route of the sample has a %s", what)
		}
	}
	p := ribd.ASPath{{Type: ribd.ASSequence, AS: []uint32{65001, 3356}}, {Type: ribd.ASSet, AS: []uint32{64500, 64501}}}
	if got := p.String(); got != "65001 3356 {64500,64501}" {
		t.Errorf("an AS path with a set: %q", got)
	}
	if _, ok := p.Origin(); ok || !p.Contains(64501) || p.Contains(1) {
		t.Error("a path that ends in a set has an origin, or lacks one of its own")
	}
	if got := ribd.ExtCommunity(binary.BigEndian.Uint64([]byte{0, 2, 0xfd, 0xe9, 0, 0, 0, 1})).String(); got != "rt:65001:1" {
		t.Errorf("a route target: %q", got)
	}
}
