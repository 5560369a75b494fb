//go:build linux

package peertest

import (
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// Kind names a daemon.
type Kind string

// The daemons that tests run.
const (
	BIRD     Kind = "bird"
	FRR      Kind = "frr"
	OpenBGPD Kind = "openbgpd"
	GoBGP3   Kind = "gobgp3"
	GoBGP4   Kind = "gobgp4"
	ExaBGP   Kind = "exabgp"
)

// Kinds returns all daemons.
func Kinds() []Kind { return []Kind{BIRD, FRR, OpenBGPD, GoBGP3, GoBGP4, ExaBGP} }

// Features is what a daemon of a kind can do, as far as tests differ by it.
type Features struct {
	// AddPathSend and AddPathReceive: RFC 7911 in that direction.
	AddPathSend, AddPathReceive bool
	// PathIDs: the ids that it received can be read from it.
	PathIDs bool
	// Forwards: it is a router that passes on what it learns.
	Forwards bool
	// Refresh: it asks for a refresh when told to (RFC 2918).
	Refresh bool
	// Refreshes: it does what such a request asks of it.
	Refreshes bool
	// Restarts: it announces graceful restart and keeps quiet about its end when
	// killed, so that the other end may keep its routes (RFC 4724).
	Restarts bool
	// Message: it sends the text of a shutdown (RFC 9003).
	Message bool
	// ShowsMessage: the text that it received can be read from it.
	ShowsMessage bool
	// MD5 and TTL: TCP MD5 (RFC 2385) and TTL security (RFC 5082) of this build
	// of the daemon on Linux.
	MD5, TTL bool
}

// Can returns what the daemons of a kind can do.
func Can(k Kind) Features {
	all := Features{
		AddPathSend: true, AddPathReceive: true, PathIDs: true, Forwards: true, Refresh: true, Restarts: true,
		Refreshes: true, Message: true, ShowsMessage: true, MD5: true, TTL: true,
	}
	switch k {
	case BIRD:
		// 2.0.12 shows its own number of a path, not the id that came.
		all.PathIDs = false
	case GoBGP3, GoBGP4:
		// It shows no ids, and takes a refresh out of what it has kept.
		all.PathIDs, all.Refresh = false, false
	case OpenBGPD:
		// Its graceful restart is no more than the End-of-RIB. To a request for a
		// refresh 7.7 says that the family is "not negotiated".
		all.Restarts, all.Refreshes = false, false
	case ExaBGP:
		all.Forwards, all.Refresh, all.Message = false, false, false
	}
	return all
}

// programs are the files that a kind runs. Names without a slash are in the
// folder of .ci/peers.
var programs = map[Kind][]string{
	BIRD:     {"/usr/sbin/bird", "/usr/sbin/birdc"},
	FRR:      {"/usr/lib/frr/bgpd", "/usr/lib/frr/zebra", "/usr/bin/vtysh"},
	OpenBGPD: {"/usr/sbin/bgpd", "/usr/sbin/bgpctl"},
	GoBGP3:   {"gobgpd3", "gobgp3"},
	GoBGP4:   {"gobgpd4", "gobgp4"},
	ExaBGP:   {"exabgp/bin/exabgp"},
}

// Required is true where a missing daemon is an error (RIBD_PEERS=required).
func Required() bool { return os.Getenv("RIBD_PEERS") == "required" }

// Need skips the test under -short, and where a daemon or the right to make a
// network namespace is missing; with RIBD_PEERS=required it fails there.
func Need(t testing.TB, kinds ...Kind) {
	t.Helper()
	if testing.Short() {
		t.Skip("runs real daemons: not with -short")
	}
	lack := t.Skipf
	if Required() {
		lack = t.Fatalf
	}
	if err := namespaces(); err != nil {
		lack("no network namespaces here: %v", err)
	}
	for _, k := range kinds {
		for i := range programs[k] {
			if p := program(k, i); !executable(p) {
				lack("%s is not installed (%s is missing): make peers", k, p)
			}
		}
	}
}

// program returns the path of a kind's program i.
func program(k Kind, i int) string {
	p := programs[k][i]
	if filepath.IsAbs(p) {
		return p
	}
	return filepath.Join(peersDir(), p)
}

// peersDir is where .ci/peers puts what it installs: $PEERS, or .peers at the
// module's root.
var peersDir = sync.OnceValue(func() string {
	if dir := os.Getenv("PEERS"); dir != "" {
		return dir
	}
	return filepath.Join(moduleRoot(), ".peers")
})

// moduleRoot is the folder above with go.mod, "." without one.
func moduleRoot() string {
	dir, err := os.Getwd()
	for err == nil {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		up := filepath.Dir(dir)
		if up == dir {
			break
		}
		dir = up
	}
	return "."
}

func executable(p string) bool {
	st, err := os.Stat(p)
	return err == nil && st.Mode()&0o111 != 0
}

// namespaces says why this process cannot make network namespaces.
var namespaces = sync.OnceValue(func() error {
	if _, err := exec.LookPath("ip"); err != nil {
		return err
	}
	s, err := newSpace()
	if err != nil {
		return err
	}
	s.close()
	return nil
})
