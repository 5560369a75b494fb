package store

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The tests of crashes run this binary again, as another process: childEnv says
// what it is to do there.
const (
	childEnv = "RIBD_STORE_TEST_CHILD"
	dirEnv   = "RIBD_STORE_TEST_DIR"
)

func TestMain(m *testing.M) {
	switch os.Getenv(childEnv) {
	case "append":
		appendForever(os.Getenv(dirEnv))
		return
	case "fill":
		fillDisk(os.Getenv(dirEnv))
		return
	}
	os.Exit(m.Run())
}

// appendForever appends "writer value" from several goroutines, each value one
// more than the one before, and says of each that was acknowledged. It compacts
// all the while.
func appendForever(dir string) {
	o, err := tryJournal(dir)
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	var mu, out sync.Mutex
	state := map[string]int{}
	for _, r := range o.recs {
		w, v, _ := strings.Cut(r, " ")
		state[w], _ = strconv.Atoi(strings.TrimRight(v, "."))
	}
	for i := range 8 {
		go func() {
			name := fmt.Sprint("writer-", i)
			mu.Lock()
			v := state[name]
			mu.Unlock()
			for {
				v++
				rec := fmt.Sprintf("%s %d%s", name, v, strings.Repeat(".", v%5*700))
				mu.Lock()
				state[name] = v
				mu.Unlock()
				if err := o.Append([]byte(rec), false); err != nil {
					fmt.Println("error", err)
					os.Exit(1)
				}
				out.Lock()
				fmt.Printf("%s %d\n", name, v)
				out.Unlock()
			}
		}()
	}
	for {
		time.Sleep(3 * time.Millisecond)
		err := o.Compact(func(put func([]byte) error) error {
			for i := range 8 {
				name := fmt.Sprint("writer-", i)
				mu.Lock()
				v := state[name]
				mu.Unlock()
				if v > 0 {
					if err := put(fmt.Appendf(nil, "%s %d", name, v)); err != nil {
						return err
					}
				}
			}
			return nil
		})
		if err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
	}
}

// A process that is killed at any moment has lost nothing that it acknowledged.
func TestKilledAtAnyMomentNothingAcknowledgedIsLost(t *testing.T) {
	dir := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	rounds := 40
	if testing.Short() {
		rounds = 10
	}
	acked := map[string]int{}
	total := 0
	seed := uint64(time.Now().UnixNano())
	rnd := rand.New(rand.NewPCG(seed, 0))
	for round := range rounds {
		child := exec.Command(self)
		child.Env = append(os.Environ(), childEnv+"=append", dirEnv+"="+dir)
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		kill := sync.OnceFunc(func() {
			time.AfterFunc(time.Duration(20+rnd.IntN(80))*time.Millisecond, func() { child.Process.Kill() })
		})
		if round%2 == 0 { // whatever it does then; the others have answered, however slow the machine is
			kill()
		}
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			w, v, ok := strings.Cut(lines.Text(), " ")
			n, err := strconv.Atoi(v)
			if !ok || w == "error" {
				child.Process.Kill()
				t.Fatalf("round %d (seed %d): the child says %s", round, seed, lines.Text())
			}
			if err == nil { // else the line was cut by the kill
				acked[w] = max(acked[w], n)
				total++
				kill()
			}
		}
		child.Wait()
		o := openJournal(t, dir)
		got := map[string]int{}
		for _, r := range o.recs {
			w, v, _ := strings.Cut(r, " ")
			got[w], _ = strconv.Atoi(strings.TrimRight(v, "."))
		}
		o.close(t)
		for w, v := range acked {
			if got[w] < v {
				t.Fatalf("round %d (seed %d): %s has %d, and %d was acknowledged", round, seed, w, got[w], v)
			}
		}
	}
	if total == 0 {
		t.Fatal("nothing was acknowledged")
	}
	t.Logf("%d records acknowledged by %d processes that were killed", total, rounds)
}

// fillDisk runs in a mount namespace of its own, where dir is a disk of 3 MB. It
// appends until the disk is full, and goes on as a full disk lets it.
func fillDisk(dir string) {
	fail := func(format string, args ...any) {
		fmt.Printf(format+"\n", args...)
		os.Exit(1)
	}
	if err := unix.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		fmt.Println("skip", err)
		os.Exit(0)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=3m"); err != nil {
		fmt.Println("skip", err)
		os.Exit(0)
	}
	o, err := tryJournal(dir)
	if err != nil {
		fail("%v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "filler"), make([]byte, 1<<20), 0o600); err != nil {
		fail("%v", err)
	}
	rec := bytes.Repeat([]byte("r"), 5000)
	kept := 0
	for err == nil {
		if err = o.Append(fmt.Appendf(nil, "%d %s", kept, rec), false); err == nil {
			kept++
		}
	}
	if !errors.Is(err, unix.ENOSPC) || !strings.Contains(err.Error(), "no space left") {
		fail("a full disk says %v", err)
	}
	if kept < 200 {
		fail("only %d records of 5,000 octets on a disk of 3 MB", kept)
	}
	if err := o.Append(rec, false); !errors.Is(err, unix.ENOSPC) {
		fail("the second refusal is %v", err)
	}
	// What is urgent still finds room.
	urgent := 0
	for ; urgent < 40; urgent++ {
		if err := o.Append(fmt.Appendf(nil, "urgent %d %s", urgent, rec[:1000]), true); err != nil {
			fail("urgent record %d: %v", urgent, err)
		}
	}
	if err := o.Append(rec, false); !errors.Is(err, unix.ENOSPC) {
		fail("a refusal after urgent ones is %v", err)
	}
	if err := o.Compact(func(put func([]byte) error) error { return put(make([]byte, 2<<20)) }); err == nil {
		fail("a snapshot of 2 MB fits")
	}
	check := func(more ...string) {
		o, err := tryJournal(dir)
		if err != nil {
			fail("%v", err)
		}
		want := kept + urgent + len(more)
		if len(o.recs) != want {
			fail("%d records, want %d", len(o.recs), want)
		}
		for i, r := range o.recs {
			name := fmt.Sprint(i)
			if i >= kept {
				name = fmt.Sprint("urgent ", i-kept)
			}
			if i >= kept+urgent {
				name = more[i-kept-urgent]
			}
			if !strings.HasPrefix(r, name) {
				fail("record %d is %.20s, want %s", i, r, name)
			}
		}
		o.Journal.Close()
		o.store.Close()
	}
	o.Journal.Close()
	o.store.Close()
	check()
	// A restart changes nothing of it.
	if o, err = tryJournal(dir); err != nil {
		fail("%v", err)
	}
	if err := o.Append(rec, false); !errors.Is(err, unix.ENOSPC) {
		fail("a refusal after a restart is %v", err)
	}
	if err := o.Append(fmt.Appendf(nil, "urgent %d", urgent), true); err != nil {
		fail("an urgent record after a restart: %v", err)
	}
	urgent++
	o.Journal.Close()
	o.store.Close()
	check()
	// And when there is room again, it is used.
	os.Remove(filepath.Join(dir, "filler"))
	if o, err = tryJournal(dir); err != nil {
		fail("%v", err)
	}
	if err := o.Append([]byte("again"), false); err != nil {
		fail("with room again: %v", err)
	}
	o.Journal.Close()
	o.store.Close()
	check("again")
	fmt.Println("ok", kept, urgent)
}

func TestOnAFullDiskARecordIsRefusedAndNothingIsHalfDone(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child := exec.Command(self)
	child.Env = append(os.Environ(), childEnv+"=fill", dirEnv+"="+t.TempDir())
	child.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWNS | syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
	}
	out, err := child.CombinedOutput()
	switch {
	case err != nil && len(out) == 0:
		t.Skipf("no namespace to mount a small disk in: %v", err)
	case strings.HasPrefix(string(out), "skip"):
		t.Skipf("no small disk: %s", out)
	case err != nil || !strings.HasPrefix(string(out), "ok"):
		t.Fatalf("%v: %s", err, out)
	}
	t.Logf("%s", out)
}
