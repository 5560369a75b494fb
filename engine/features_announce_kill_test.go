//go:build linux

package engine

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"ribd/internal/peertest"
)

// killable is a ribd of its own that a test may kill: the program itself, on
// loopback, with its API on a Unix socket.
type killable struct {
	t        *testing.T
	bin, dir string
	cmd      *exec.Cmd
	c        *client
	bgp      string // where its sessions connect to
}

var bgpListening = regexp.MustCompile(`listening api=bgp addr=(\S+)`)

func startKillable(t *testing.T, src string) *killable {
	t.Helper()
	bin, err := builtRIBD()
	if err != nil {
		t.Fatal(err)
	}
	k := &killable{t: t, bin: bin, dir: peertest.Dir(t)}
	conf := fmt.Sprintf("http: {listen: [%q]}\nbgp: {listen: [\"127.0.0.1:0\"]}\npersist: {dir: %s}\n%s", "unix:"+k.socket(), filepath.Join(k.dir, "kept"), src)
	if err := os.WriteFile(filepath.Join(k.dir, "ribd.yaml"), []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	k.c = &client{t: t, base: "http://ribd", http: &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", k.socket())
		},
	}}}
	t.Cleanup(func() {
		k.c.http.CloseIdleConnections()
		k.kill()
	})
	k.start()
	return k
}

func (k *killable) socket() string { return filepath.Join(k.dir, "http") }

func (k *killable) start() {
	k.t.Helper()
	k.cmd = exec.Command(k.bin, "serve", "--config", filepath.Join(k.dir, "ribd.yaml"))
	logs, err := k.cmd.StderrPipe()
	if err != nil {
		k.t.Fatal(err)
	}
	if err := k.cmd.Start(); err != nil {
		k.t.Fatal(err)
	}
	addr := make(chan string, 1)
	go func() {
		for s := bufio.NewScanner(logs); s.Scan(); {
			if m := bgpListening.FindStringSubmatch(s.Text()); m != nil {
				addr <- m[1]
			}
		}
	}()
	select {
	case k.bgp = <-addr:
	case <-time.After(waitLimit):
		k.t.Fatal("ribd does not start")
	}
	eventually(k.t, "ribd answers", func() bool {
		resp, err := k.c.http.Get("http://ribd/healthz")
		if err == nil {
			resp.Body.Close()
		}
		return err == nil && resp.StatusCode == 200
	})
}

// kill ends it as a power cut would.
func (k *killable) kill() {
	if k.cmd != nil {
		k.cmd.Process.Kill()
		k.cmd.Wait()
		k.cmd = nil
	}
}

// TestKillingRibdLosesNothingThatWasAnswered streams announcements and kills
// ribd in the middle, three times over: what was answered is there again, is
// sent again, and what was withdrawn stays withdrawn.
func TestKillingRibdLosesNothingThatWasAnswered(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("builds ribd")
	}
	k := startKillable(t, hubConfig("", "address: 127.21.80.1, as: 65001, families: [ipv4-unicast, ipv4-flowspec]"))
	answered := map[string]bool{} // prefix -> it is there, or was withdrawn
	next := 0
	for round := range 3 {
		var mu sync.Mutex
		var wg sync.WaitGroup
		for stream := range 2 {
			wg.Go(func() {
				r, w := io.Pipe()
				go func() {
					defer w.Close()
					for i := 0; ; i++ {
						if i%100 == 99 {
							time.Sleep(5 * time.Millisecond)
						}
						if _, err := fmt.Fprintf(w, `{"prefix":"%d.%d.%d.0/24","next_hop":"192.0.2.1","med":%d}`+"\n", 20+2*round+stream, i>>8&255, i&255, round); err != nil {
							return
						}
					}
				}()
				req, _ := http.NewRequest("POST", "http://ribd/api/v1/paths", r)
				req.Header.Set("Content-Type", "application/x-ndjson")
				resp, err := k.c.http.Do(req)
				if err != nil {
					r.CloseWithError(err)
					return
				}
				defer resp.Body.Close()
				for s := bufio.NewScanner(resp.Body); s.Scan(); {
					var a told
					if json.Unmarshal(s.Bytes(), &a) == nil && a.Prefix != nil {
						mu.Lock()
						answered[*a.Prefix] = true
						mu.Unlock()
					}
				}
				r.CloseWithError(io.ErrClosedPipe)
			})
		}
		// Singles beside them: announced and withdrawn, and rules.
		var rules []string
		for range 20 {
			next++
			prefix := fmt.Sprintf("10.%d.%d.0/24", next>>8, next&255)
			k.c.post("/api/v1/paths", `{"prefix":"`+prefix+`","next_hop":"192.0.2.1"}`)
			k.c.change("DELETE", "/api/v1/paths", `{"prefix":"`+prefix+`"}`, nil)
			a := k.c.post("/api/v1/flowspec", fmt.Sprintf(`{"text":"destination 203.0.113.%d/32 then rate-limit 0"}`, next))
			rules = append(rules, a.ID)
			mu.Lock()
			answered[prefix] = false
			mu.Unlock()
		}
		eventually(t, "thousands are answered", func() bool {
			mu.Lock()
			defer mu.Unlock()
			return len(answered) > 2000*(round+1)
		})
		k.kill()
		wg.Wait()
		k.start()
		there := map[string]bool{}
		req, _ := http.NewRequest("GET", "http://ribd/api/v1/paths", nil)
		req.Header.Set("Accept", "application/x-ndjson")
		resp, err := k.c.http.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		for d := json.NewDecoder(resp.Body); d.More(); {
			var p originated
			if err := d.Decode(&p); err != nil {
				t.Fatal(err)
			}
			if p.Prefix != nil {
				there[*p.Prefix] = true
			}
		}
		resp.Body.Close()
		lost, back := 0, 0
		for prefix, want := range answered {
			if want && !there[prefix] {
				lost++
			}
			if !want && there[prefix] {
				back++
			}
		}
		if lost > 0 || back > 0 {
			t.Fatalf("round %d: of %d answered %d are lost, %d that were withdrawn are back", round, len(answered), lost, back)
		}
		for _, id := range rules {
			eventually(t, "the rule "+id, func() bool { status, _ := k.c.ask("GET", "/api/v1/flowspec/"+id, "", nil); return status == 200 })
		}
		one := play(t, k.bgp, playerOptions{from: ip("127.21.80.1"), as: 65001, families: flowFamilies[:4]})
		eventually(t, "all of it is sent again", func() bool {
			one.mu.Lock()
			defer one.mu.Unlock()
			n := 0
			for key := range one.table {
				if !strings.HasPrefix(key, "ipv4-flowspec ") {
					n++
				}
			}
			return n == len(there) && len(one.table)-n == 20*(round+1)
		})
		one.close()
		t.Logf("round %d: %d are there, %d answers", round, len(there), len(answered))
	}
}
