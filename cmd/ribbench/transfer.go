package main

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"sync"
	"time"

	"ribd/internal/benchkit"
	"ribd/internal/tablegen"
	"ribd/shard"
	"ribd/shard/rib"
	"ribd/trie"
	"ribd/wire"
)

const (
	transferPeers = 4
	readChunk     = 64 << 10 // octets that a session reads at a time
)

// transfers measures the straight line less the socket: UPDATE messages of four
// peers with whole tables, parsed, interned, fanned out and decided.
func (e *env) transfers() error {
	e.note("whole transfers: making the messages of %d peers", transferPeers)
	t, err := e.table(transferPeers)
	if err != nil {
		return err
	}
	var messages [][]byte
	routes := 0
	for i := range transferPeers {
		m, n := t.Transfer(i)
		messages, routes = append(messages, m), routes+n
	}
	for _, c := range []struct {
		name  string
		cores int
		goal  float64
	}{{"one core", 1, 2}, {"two cores", 2, 4}} {
		var sets uint64
		var cpu []float64
		runs, err := benchkit.Times(e.Runs, func() (float64, error) {
			took, used, s, err := transfer(t.Peers(), messages, c.cores)
			sets = s
			cpu = append(cpu, used.Seconds()/float64(routes)*1e6)
			return float64(routes) / took.Seconds() / 1e6, err
		})
		if err != nil {
			return err
		}
		row := benchkit.Single("routes into the RIB, 4 peers, "+c.name, "M/s", runs, e.atFull(benchkit.AtLeast(c.goal)))
		row.Note = fmt.Sprintf("%d routes, %d attribute sets; rotonda-store 0.43 a thread, GoBGP 0.61 (measured elsewhere)", routes, sets)
		e.add(row, benchkit.Single("routes into the RIB, 4 peers, "+c.name+", processor time", "s a million", cpu, nil))
	}
	return nil
}

// transfer takes the messages of each peer in a goroutine of its own and returns
// how long it took until all routes could be seen, and the processor time.
func transfer(peers []tablegen.Peer, messages [][]byte, cores int) (took, used time.Duration, sets uint64, err error) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(cores))
	r, err := shard.Open(shard.Options{Shards: cores})
	if err != nil {
		return 0, 0, 0, err
	}
	defer r.Close()
	nums := make([]rib.PeerNum, len(messages))
	for i := range messages {
		p := peers[i]
		info := rib.PeerInfo{ID: fmt.Sprintf("%016x", i+1), Source: rib.SourceBGP, Addr: p.Addr, AS: p.AS, RouterID: benchkit.Uint32(p.RouterID)}
		if nums[i], err = r.AddPeer(info); err != nil {
			return 0, 0, 0, err
		}
	}
	runtime.GC()
	start, cpu := time.Now(), benchkit.CPUTime()
	errs := make([]error, len(messages))
	var wg sync.WaitGroup
	for i, m := range messages {
		wg.Go(func() { errs[i] = session(r, nums[i], m) })
	}
	wg.Wait()
	r.Sync()
	took, used = time.Since(start), benchkit.CPUTime()-cpu
	for _, err := range errs {
		if err != nil {
			return 0, 0, 0, err
		}
	}
	return took, used, uint64(r.Attrs().Stats().Sets), nil
}

// session does with the messages of a peer what a session does.
func session(r *shard.RIB, peer rib.PeerNum, messages []byte) error {
	f := r.NewFan()
	defer f.Close()
	var u wire.Update
	s := wire.Session{AS4: true, External: true}
	scratch := make([]byte, 0, 4096)
	chunk := 0
	for len(messages) > 0 {
		n := int(binary.BigEndian.Uint16(messages[16:]))
		if err := u.Parse(messages[:n], &s); err != nil {
			return err
		}
		messages = messages[n:]
		id, ok := r.Attrs().Intern(u.Attributes(scratch))
		if !ok {
			return fmt.Errorf("no room for an attribute set")
		}
		p := rib.Path{Peer: peer, Attrs: id, Received: 1_767_225_600}
		for nlri := u.NLRI4(); nlri.Next(); {
			f.Announce(rib.TableIPv4Unicast, trie.Key4(nlri.Addr()), nlri.Len(), &p)
		}
		if chunk += n; chunk >= readChunk {
			f.Flush()
			chunk = 0
		}
	}
	return nil
}

// pathBytes are the octets of one path without an Add-Path id.
const pathBytes = 12

// sizes measures what a prefix takes without its paths: trie, image, handles and
// the heads of path blocks, all that is resident for them, once the table is at
// rest: a shard gives memory back when it has nothing else to do.
func (e *env) sizes() error {
	e.note("bytes a prefix")
	for _, family := range []struct {
		name string
		v6   bool
		goal float64
	}{{"IPv4", false, 24}, {"IPv6", true, 44}} {
		ps := e.v4
		if family.v6 {
			ps = e.v6
		}
		r, _, err := fill(ps, shard.Options{})
		if err != nil {
			return err
		}
		r.Settle()
		n := float64(len(ps))
		fresh, _, _ := aPrefix(r, n)
		resident, live, note := fresh, 0.0, ""
		step := e.span(time.Second)
		for calm := 0; calm < 6; calm++ {
			time.Sleep(step)
			var now float64
			if now, live, note = aPrefix(r, n); now < resident {
				resident, calm = now, 0
			}
		}
		r.Close()
		row := benchkit.Single("bytes a prefix "+family.name+", all but paths", "B", []float64{resident}, e.atFull(benchkit.AtMost(family.goal)))
		row.Note = fmt.Sprintf("%s%d paths of %d B left out; live %.1f; right after loading %.1f; bart.Fast 30 / 85, rotonda-store 310 / 460 (measured elsewhere)",
			note, len(ps), pathBytes, live, fresh)
		e.add(row)
	}
	return nil
}

// aPrefix returns resident and live octets a prefix, paths left out, of n prefixes
// with one path each, and says of what they are.
func aPrefix(r *shard.RIB, n float64) (resident, live float64, parts string) {
	resident, live = -pathBytes, -pathBytes
	for _, m := range r.Stats().Memory {
		switch m.Name {
		case "trie", "image", "handles", "blocks":
			resident, live = resident+float64(m.Resident)/n, live+float64(m.Live)/n
			parts += fmt.Sprintf("%s %.1f (live %.1f), ", m.Name, float64(m.Resident)/n, float64(m.Live)/n)
		}
	}
	return resident, live, parts
}
