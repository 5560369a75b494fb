package store_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"ribd/engine/origin"
)

const childFull = "RIBD_STORE_TEST_FULL"

// TestOriginateUntilFull is what the child of the next test does, in a mount
// namespace where the folder is a disk of 2 MB.
func TestOriginateUntilFull(t *testing.T) {
	dir := os.Getenv(childFull)
	if dir == "" {
		t.Skip("for the test of a full disk")
	}
	if err := unix.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		fmt.Println("no namespace", err)
		return
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=2m"); err != nil {
		fmt.Println("no small disk", err)
		return
	}
	o, err := originate(dir)
	if err != nil {
		t.Fatal(err)
	}
	const batch = 50
	list := func(from int) (routes []origin.Route) {
		for i := range batch {
			routes = append(routes, version(from+i, uint32(from+i)))
		}
		return routes
	}
	kept := 0
	for ; err == nil; kept += batch {
		_, err = o.Announce(list(kept), origin.AllOrNothing)
	}
	kept -= batch
	if !errors.Is(err, origin.ErrNotKept) || !errors.Is(err, unix.ENOSPC) || !strings.Contains(err.Error(), "no space left") {
		t.Fatalf("after %d routes: %v", kept, err)
	}
	check := func(o *originating, want int) {
		t.Helper()
		if routes, _ := o.List(nil, origin.Filter{}, nil, 0); len(routes) != want {
			t.Fatalf("%d routes are listed, want %d", len(routes), want)
		}
		o.rib.Sync()
		n := 0
		for _, p := range o.rib.Peers() {
			for _, c := range p.Counts {
				n += int(c.Paths)
			}
		}
		if n != want {
			t.Fatalf("%d paths are in the RIB, want %d", n, want)
		}
	}
	check(&o, kept)
	// What is refused changes nothing; what is there can be withdrawn.
	if _, err := o.Announce(list(0)[:1], origin.EachAlone); err == nil {
		t.Log("one route found room") // a smaller record may
	}
	const gone = 500
	for i := range gone {
		if found, err := o.Withdraw([]origin.Key{version(i, 0).Key}); err != nil || !found[0] {
			t.Fatalf("withdrawing route %d: %v %v", i, found, err)
		}
	}
	check(&o, kept-gone)
	o.close()
	if o, err = originate(dir); err != nil {
		t.Fatal(err)
	}
	check(&o, kept-gone)
	if _, err := o.Announce(list(0), origin.AllOrNothing); !errors.Is(err, origin.ErrNotKept) {
		t.Fatalf("after a restart: %v", err)
	}
	o.close()
	fmt.Println("kept", kept)
}

func TestOnAFullDiskAnnouncementsAreRefusedAndWithdrawalsAreNot(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child := exec.Command(self, "-test.run", "^TestOriginateUntilFull$")
	child.Env = append(os.Environ(), childFull+"="+t.TempDir())
	child.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWNS | syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
	}
	out, err := child.CombinedOutput()
	switch {
	case err != nil && len(out) == 0, strings.HasPrefix(string(out), "no "):
		t.Skipf("no small disk: %v %s", err, out)
	case err != nil || !strings.HasPrefix(string(out), "kept "):
		t.Fatalf("%v: %s", err, out)
	}
}
