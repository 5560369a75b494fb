package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const sample = "../../sample/sample.mrt.zst"

// patience is how long a test waits, on a machine with much else to do: only a
// test that fails waits to its end.
const patience = 5 * time.Minute

// TestMain lets the test binary be ribd itself, so that tests can send signals
// to a process.
func TestMain(m *testing.M) {
	if os.Getenv("RIBD_TEST_MAIN") == "1" {
		main()
	}
	os.Exit(m.Run())
}

// process is a running ribd.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	mu   sync.Mutex
	log  bytes.Buffer
	addr chan string
	done chan struct{}
}

var listening = regexp.MustCompile(`listening api=http addr=(\S+)`)

// serve starts ribd with these arguments.
func serve(t *testing.T, stdin io.Reader, args ...string) *process {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, cmd: exec.Command(exe, append([]string{"serve"}, args...)...), addr: make(chan string, 1), done: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), "RIBD_TEST_MAIN=1")
	p.cmd.Stdin = stdin
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p.cmd.Stderr = w
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	go func() {
		defer close(p.done)
		defer r.Close()
		for s := bufio.NewScanner(r); s.Scan(); {
			p.mu.Lock()
			p.log.WriteString(s.Text() + "\n")
			p.mu.Unlock()
			if m := listening.FindStringSubmatch(s.Text()); m != nil {
				select {
				case p.addr <- m[1]:
				default:
				}
			}
		}
	}()
	t.Cleanup(func() {
		p.cmd.Process.Kill()
		p.cmd.Wait()
		if t.Failed() {
			t.Logf("log of ribd %v:\n%s", args, p.text())
		}
	})
	return p
}

func (p *process) text() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

// base returns the URL that the process logged.
func (p *process) base() string {
	p.t.Helper()
	select {
	case a := <-p.addr:
		return "http://" + a
	case <-time.After(patience):
		p.t.Fatal("it never listens")
		return ""
	}
}

// wait returns the exit code.
func (p *process) wait() int {
	p.t.Helper()
	end := make(chan struct{})
	go func() {
		p.cmd.Wait()
		<-p.done
		close(end)
	}()
	select {
	case <-end:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(patience):
		p.t.Fatal("it never ends")
		return -1
	}
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func ready(t *testing.T, base string) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if status, _ := get(t, base+"/readyz"); status == 200 {
			return
		}
	}
	t.Fatal("never ready")
}

func TestServeAnswersAndEndsCleanlyOnSignals(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		p := serve(t, nil, "--http", "127.0.0.1:0", "--load", sample)
		base := p.base()
		ready(t, base)
		if status, body := get(t, base+"/api/v1/lookup/1.1.1.1"); status != 200 || !strings.Contains(body, `"prefix":"1.1.1.0/24"`) {
			t.Errorf("1.1.1.1: %d %s", status, body)
		}
		p.cmd.Process.Signal(syscall.SIGHUP) // there is no file to read again: it goes on
		p.cmd.Process.Signal(sig)
		if code := p.wait(); code != 0 {
			t.Errorf("%v: exit code %d", sig, code)
		}
		for _, want := range []string{"msg=ready", "msg=ended"} {
			if !strings.Contains(p.text(), want) {
				t.Errorf("%v: the log lacks %q", sig, want)
			}
		}
	}
}

func TestASignalInTheMiddleOfALoadEndsItCleanly(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	p := serve(t, r, "--http", "127.0.0.1:0", "--load", "-")
	r.Close()
	p.base()
	p.cmd.Process.Signal(syscall.SIGTERM)
	if code := p.wait(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

func TestASecondInstanceSaysSoInOneLine(t *testing.T) {
	p := serve(t, nil, "--http", "127.0.0.1:0")
	addr := strings.TrimPrefix(p.base(), "http://")
	q := serve(t, nil, "--http", addr)
	if code := q.wait(); code != 1 {
		t.Errorf("exit code %d", code)
	}
	lines := strings.Split(strings.TrimSpace(q.text()), "\n")
	if got, want := lines[len(lines)-1], "ribd: api: "+addr+" is taken: another ribd, or another program, listens there; --http 127.0.0.1:0 takes a free port"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestStrictEndsWithAnErrorWhereAFileIsCutOff(t *testing.T) {
	b, err := os.ReadFile(sample)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "cut.mrt")
	if err := os.WriteFile(path, b[:len(b)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	p := serve(t, nil, "--http", "127.0.0.1:0", "--strict", "--load", path)
	if code := p.wait(); code != 1 || !strings.Contains(p.text(), "ribd: load "+path) {
		t.Errorf("exit code %d", code)
	}
}

// command runs ribd in this process.
func command(t *testing.T, args ...string) (code int, out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	code = run(ctx, args, strings.NewReader(""), &o, &e)
	return code, o.String(), e.String()
}

func TestCheckNamesFileLineAndColumn(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	bad := write("bad.yaml", "shrds: 2\nhttp: {listen: [8080]}\n")
	code, out, errs := command(t, "check", bad)
	want := bad + ":1:1: unknown key \"shrds\" at the top of the file: did you mean \"shards\"?\n" +
		bad + ":2:17: http.listen[0]: \"8080\" is not ADDRESS:PORT: write \"127.0.0.1:8080\", \"[::1]:8080\", \":8080\" for all addresses, or \"unix:PATH\"\n"
	if code != 1 || out != "" || errs != want {
		t.Errorf("exit code %d\ngot  %s%s\nwant %s", code, out, errs, want)
	}
	good := write("good.yaml", "load: [{file: gone.mrt}]\nguards: {max_ttl: 1h}\n")
	code, out, errs = command(t, "check", good)
	want = good + ":1:15: warning: load[0].file: no file " + filepath.Join(dir, "gone.mrt") + "\n"
	if code != 0 || out != good+": good\n" || errs != want {
		t.Errorf("exit code %d\ngot  %s%s\nwant %s", code, out, errs, want)
	}
	if code, _, errs := command(t, "check", filepath.Join(dir, "nowhere.yaml")); code != 1 || !strings.Contains(errs, "nowhere.yaml") {
		t.Errorf("a missing file: %d %s", code, errs)
	}
	code, _, errs = command(t, "serve", "--config", good, "--http", "127.0.0.1:0")
	if code != 1 || !strings.Contains(errs, good+":1:15: load[0].file: no file") {
		t.Errorf("serve: %d %s", code, errs)
	}
}

func TestUsage(t *testing.T) {
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{nil, 0, "Usage: ribd"},
		{[]string{"--help"}, 0, "serve"},
		{[]string{"version"}, 0, "ribd unversioned"},
		{[]string{"sevre"}, 2, `did you mean "serve"?`},
		{[]string{"serve", "--http", "8080"}, 2, "is not ADDRESS:PORT"},
		{[]string{"serve", "--bgp", "unix:/x"}, 2, "BGP listens on TCP only"},
		{[]string{"serve", "--http", "127.0.0.1:0", "--load", "nowhere.mrt"}, 1, "nowhere.mrt"},
	} {
		if code, out, errs := command(t, c.args...); code != c.code || !strings.Contains(out+errs, c.says) {
			t.Errorf("ribd %v: exit code %d\n%s%s", c.args, code, out, errs)
		}
	}
}

func TestTheStatusLineStaysBelowTheLog(t *testing.T) {
	var b bytes.Buffer
	s := &statusLine{out: &b}
	io.WriteString(s, "one\n")
	s.set("50 %")
	io.WriteString(s, "two\n")
	s.set("")
	if got, want := b.String(), "one\n\r\x1b[K50 %\r\x1b[Ktwo\n50 %\r\x1b[K"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
