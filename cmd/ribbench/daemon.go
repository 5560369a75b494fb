package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// ownAS is the AS of the daemon under test; feeders have those of the table.
const (
	ownAS  = 64512
	sinkAS = 64513
)

// rival is a kind of daemon that is measured: how it is configured, started and
// asked how many routes it has.
type rival struct {
	name string
	// find returns the program, "" where it is not on this machine.
	find func(e *env) (string, error)
	// start makes the command; it listens on to, takes all routes of feeders
	// (127.1/16) and sends all to sinks (127.2/16).
	start func(e *env, program string, to netip.AddrPort, dir string) (*exec.Cmd, error)
	// count returns how many paths it has taken.
	count func(d *daemon) (int, error)
	// dial connects to its API at addr to announce; nil where routes are not
	// announced to it so.
	dial func(addr string) (program, error)
}

// daemon is one that runs.
type daemon struct {
	*rival
	cmd   *exec.Cmd
	ended chan struct{}
	dir   string
	to    netip.AddrPort
	log   string
	base  float64
	cpu0  time.Duration
}

func inPath(names ...string) func(*env) (string, error) {
	return func(*env) (string, error) {
		for _, n := range names {
			if p, err := exec.LookPath(n); err == nil {
				return p, nil
			}
		}
		return "", nil
	}
}

var ribdRival = &rival{
	name: "ribd",
	find: (*env).ribd,
	start: func(_ *env, program string, to netip.AddrPort, dir string) (*exec.Cmd, error) {
		conf := fmt.Sprintf(`as: %d
router_id: 192.0.2.254
bgp: {listen: ["%s"]}
http: {listen: ["127.0.0.1:0"]}
log: {level: warn}
peer_defaults: {families: [ipv4-unicast], hold_time: 240s, enforce_first_as: false, reject_as_sets: false, graceful_restart: false, extended_messages: false}
peers:
  - {prefix: 127.1.0.0/16, as: any, import: accept-all, export: reject-all}
  - {prefix: 127.2.0.0/16, as: any, import: accept-all, export: accept-all}
`, ownAS, to)
		return ribdCommand(program, dir, conf)
	},
	count: func(d *daemon) (int, error) {
		var s struct{ Paths int }
		return d.ask("/api/v1/stats", &s, &s.Paths)
	},
}

// ask gets a shape from ribd's API on its socket.
func (d *daemon) ask(path string, into any, n *int) (int, error) {
	resp, err := d.get(path)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	err = json.NewDecoder(resp.Body).Decode(into)
	return *n, err
}

// get asks ribd's API on its socket.
func (d *daemon) get(path string) (*http.Response, error) {
	c := http.Client{Timeout: speakerLimit, Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(context.Context, string, string) (net.Conn, error) {
		return net.Dial("unix", filepath.Join(d.dir, "http.sock"))
	}}}
	return c.Get("http://ribd" + path)
}

var birdCount = regexp.MustCompile(`Routes:\s+(\d+) imported`)

var birdRival = &rival{
	name: "BIRD 2",
	find: inPath("bird", "/usr/sbin/bird"),
	start: func(_ *env, program string, to netip.AddrPort, dir string) (*exec.Cmd, error) {
		conf := fmt.Sprintf(`router id 192.0.2.254;
log "%[3]s/bird.log" all;
protocol device {}
ipv4 table master4;
ipv4 table hops;
protocol static { ipv4 { table hops; }; route 127.0.0.0/8 via "lo"; }
template bgp any {
  local %[1]s port %[2]d as %[4]d;
  strict bind;
  passive;
  hold time 240;
  multihop;
  ipv4 { import all; export none; add paths rx; igp table hops; };
}
protocol bgp feeders from any { neighbor range 127.1.0.0/16 external; dynamic name "f"; }
protocol bgp sinks from any { neighbor range 127.2.0.0/16 external; dynamic name "s"; ipv4 { import all; export all; add paths off; igp table hops; }; }
`, to.Addr(), to.Port(), dir, ownAS)
		return birdCommand(program, dir, conf)
	},
	count: func(d *daemon) (int, error) {
		// What protocols have counted: counting the table itself would keep BIRD
		// from its work.
		out, err := exec.Command("birdc", "-s", filepath.Join(d.dir, "bird.ctl"), "show", "protocols", "all").CombinedOutput()
		if err != nil {
			return 0, fmt.Errorf("birdc: %w\n%s", err, out)
		}
		return sumOf(birdCount, out)
	},
}

// ribdCommand runs ribd on a configuration, with its API on a socket in dir.
func ribdCommand(program, dir, conf string) (*exec.Cmd, error) {
	file := filepath.Join(dir, "ribd.yaml")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		return nil, err
	}
	return exec.Command(program, "serve", "--config", file, "--http", "unix:"+filepath.Join(dir, "http.sock")), nil
}

// birdCommand runs BIRD on a configuration, with its control socket in dir.
func birdCommand(program, dir, conf string) (*exec.Cmd, error) {
	file := filepath.Join(dir, "bird.conf")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		return nil, err
	}
	return exec.Command(program, "-f", "-c", file, "-s", filepath.Join(dir, "bird.ctl"), "-P", filepath.Join(dir, "bird.pid")), nil
}

// sumOf adds up the numbers that a pattern finds.
func sumOf(pattern *regexp.Regexp, text []byte) (n int, err error) {
	for _, m := range pattern.FindAllSubmatch(text, -1) {
		i, err := strconv.Atoi(string(m[1]))
		if err != nil {
			return 0, err
		}
		n += i
	}
	return n, nil
}

// errEnded is of a daemon that ended at its start.
var errEnded = errors.New("it ended")

// launch starts a daemon on a free port of loopback and waits until it listens.
// nil, nil: it is not on this machine.
func (e *env) launch(r *rival) (d *daemon, err error) {
	program, err := r.find(e)
	if err != nil || program == "" {
		return nil, err
	}
	// A port that was free may be another program's when the daemon wants it.
	for range 3 {
		if d, err = e.launchOn(r, program); !errors.Is(err, errEnded) {
			break
		}
	}
	return d, err
}

func (e *env) launchOn(r *rival, program string) (d *daemon, err error) {
	d = &daemon{rival: r, ended: make(chan struct{})}
	if d.to, err = freePort(); err != nil {
		return nil, err
	}
	if d.dir, err = os.MkdirTemp(e.dir, "daemon"); err != nil {
		return nil, err
	}
	if d.cmd, err = r.start(e, program, d.to, d.dir); err != nil {
		return nil, err
	}
	d.log = filepath.Join(d.dir, "output")
	out, err := os.Create(d.log)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	d.cmd.Stdout, d.cmd.Stderr = out, out
	if err = d.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { d.cmd.Wait(); close(d.ended) }()
	why := fmt.Errorf("not within %s", speakerLimit)
wait:
	for end := time.Now().Add(speakerLimit); time.Now().Before(end); {
		select {
		case <-d.ended:
			why = errEnded
			break wait
		case <-time.After(25 * time.Millisecond):
		}
		c, err := net.DialTimeout("tcp", d.to.String(), time.Second)
		if err != nil {
			continue
		}
		c.Close()
		time.Sleep(100 * time.Millisecond)
		if _, err := d.count(d); err == nil {
			d.base, _ = d.resident()
			d.cpu0, _ = d.cpu()
			return d, nil
		}
	}
	text, _ := os.ReadFile(d.log)
	d.stop()
	return nil, fmt.Errorf("%s does not listen on %s: %w\n%s", r.name, d.to, why, text)
}

// freePort returns a port of loopback that nobody listens on.
func freePort() (netip.AddrPort, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return netip.AddrPort{}, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).AddrPort(), nil
}

// explain adds the end of the daemon's log to an error, and stops the daemon.
func (d *daemon) explain(err *error) {
	if *err != nil {
		text, _ := os.ReadFile(d.log)
		if more, _ := os.ReadFile(filepath.Join(d.dir, "bird.log")); len(more) > 0 {
			text = append(text, more...)
		}
		*err = fmt.Errorf("%s: %w\n%s", d.name, *err, text[max(0, len(text)-2000):])
	}
	d.stop()
}

// stop ends the daemon.
func (d *daemon) stop() {
	d.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-d.ended:
	case <-time.After(20 * time.Second):
		d.cmd.Process.Kill()
		<-d.ended
	}
	os.RemoveAll(d.dir)
}

// cpu is the processor time that it has taken so far, user and system.
func (d *daemon) cpu() (time.Duration, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", d.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	f := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	user, _ := strconv.Atoi(f[11])
	system, _ := strconv.Atoi(f[12])
	return time.Duration(user+system) * 10 * time.Millisecond, nil
}

// resident is what it has in memory, in octets.
func (d *daemon) resident() (float64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", d.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "VmRSS:" {
			kb, err := strconv.Atoi(f[1])
			return float64(kb) * 1024, err
		}
	}
	return 0, fmt.Errorf("no VmRSS of %s", d.name)
}

// reach waits until the daemon has n paths, and returns when that was seen, or
// an error when one of the sessions ends. Between two questions it waits longer
// the more a question costs.
func (d *daemon) reach(ok func(n int) bool, up ...*speaker) (time.Time, error) {
	for end := time.Now().Add(speakerLimit); time.Now().Before(end); {
		for _, s := range up {
			select {
			case <-s.done:
				return time.Now(), s.ended()
			default:
			}
		}
		asked := time.Now()
		n, err := d.count(d)
		if err != nil {
			return asked, err
		}
		if ok(n) {
			return time.Now(), nil
		}
		time.Sleep(max(5*time.Millisecond, 4*time.Since(asked)))
	}
	n, _ := d.count(d)
	return time.Now(), fmt.Errorf("%s stays at %d paths", d.name, n)
}
