package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ribd/engine"
	"ribd/engine/api/apiv1"
	"ribd/engine/config"
	"ribd/internal/golden"
)

const sample = "../../sample/sample.mrt.zst"

// patience is how long a test waits, on a machine with much else to do: only a
// test that fails waits to its end.
const patience = 5 * time.Minute

// server starts a ribd with the sample and returns its URL.
func server(t *testing.T, more ...config.Listen) string {
	t.Helper()
	cfg := config.Default()
	cfg.HTTP.Listen = append([]config.Listen{{Network: "tcp", Address: "127.0.0.1:0"}}, more...)
	e, err := engine.Start(engine.Options{Config: cfg, Version: "test", Log: slog.New(slog.DiscardHandler), Loads: []engine.Load{{File: sample}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := e.Shutdown(ctx); err != nil {
			t.Error(err)
		}
	})
	for end := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		if ok, waits := e.Ready(); ok {
			return "http://" + e.Addrs()[0].String()
		} else if time.Now().After(end) {
			t.Fatal(waits)
		}
	}
}

// ask runs ribctl against a server.
func ask(t *testing.T, server, stdin string, args ...string) (code int, out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	code = run(ctx, append([]string{"--server", server}, args...), strings.NewReader(stdin), &o, &e)
	return code, o.String(), e.String()
}

func TestTablesForPeople(t *testing.T) {
	url := server(t)
	for _, c := range []struct {
		golden, stdin string
		args          []string
	}{
		{"lookup", "", []string{"lookup", "8.8.8.8"}},
		{"lookup-several", "", []string{"lookup", "--best", "1.1.1.1", "192.0.2.1", "2001:67c:2e8::1"}},
		{"lookup-stdin", "9.9.9.9\n17.1.2.3\n", []string{"lookup", "--peer-asn", "64496"}},
		{"routes-longer", "", []string{"routes", "17.0.0.0/8", "--match", "longer", "--best"}},
		{"routes-shorter", "", []string{"routes", "140.82.112.0/24", "--match", "shorter"}},
		{"routes-fields", "", []string{"routes", "8.8.8.0/24", "--fields", "prefix,origin_asn,communities", "--best"}},
		{"count", "", []string{"count", "--origin-asn", "13335"}},
		{"count-all", "", []string{"count"}},
		{"peers", "", []string{"peers"}},
	} {
		code, out, errs := ask(t, url, c.stdin, c.args...)
		if code != 0 || errs != "" {
			t.Errorf("%v: exit code %d: %s", c.args, code, errs)
		}
		golden.Compare(t, c.golden+".golden", []byte(out))
	}
}

func TestJSONForPrograms(t *testing.T) {
	url := server(t)
	code, out, _ := ask(t, url, "", "lookup", "--json", "8.8.8.8")
	var l apiv1.Lookup
	if err := json.Unmarshal([]byte(out), &l); code != 0 || err != nil || *l.Prefix != "8.8.8.0/24" || len(l.Paths) != 3 {
		t.Errorf("lookup: %d %v %s", code, err, out)
	}
	code, out, _ = ask(t, url, "8.8.8.8\n1.1.1.1\n", "lookup", "--json")
	if code != 0 || strings.Count(out, "\n") != 2 || !json.Valid([]byte(strings.Split(out, "\n")[1])) {
		t.Errorf("batch: %d %s", code, out)
	}
	code, out, _ = ask(t, url, "", "routes", "--json", "--family", "ipv6-unicast", "--best", "--limit", "7")
	if code != 0 || strings.Count(out, "\n") != 7 {
		t.Errorf("routes: %d %s", code, out)
	}
	for _, args := range [][]string{{"stats"}, {"peers"}, {"loads"}, {"loads", "1"}, {"count"}} {
		code, out, errs := ask(t, url, "", append(args, "--json")...)
		if code != 0 || !json.Valid([]byte(out)) {
			t.Errorf("%v: %d %s %s", args, code, out, errs)
		}
	}
	id := l.Paths[0].AttrsID
	b, _ := json.Marshal(id)
	if code, out, errs := ask(t, url, "", "attributes", string(b)); code != 0 || !strings.Contains(out, "as_path") {
		t.Errorf("attributes: %d %s %s", code, out, errs)
	}
	if code, out, _ := ask(t, url, "", "stats"); code != 0 || !strings.Contains(out, "147,867 paths") {
		t.Errorf("stats: %d %s", code, out)
	}
	if code, out, _ := ask(t, url, "", "loads"); code != 0 || !strings.Contains(out, "sample.mrt.zst") {
		t.Errorf("loads: %d %s", code, out)
	}
	var ps apiv1.Peers
	_, out, _ = ask(t, url, "", "peers", "--json")
	if err := json.Unmarshal([]byte(out), &ps); err != nil || len(ps.Peers) != 3 {
		t.Fatalf("peers: %v %s", err, out)
	}
	if code, out, errs := ask(t, url, "", "peers", ps.Peers[0].ID); code != 0 || !strings.Contains(out, "ipv4-unicast") {
		t.Errorf("one peer: %d %s %s", code, out, errs)
	}
	if code, _, errs := ask(t, url, "", "drop", ps.Peers[0].ID); code != 0 {
		t.Errorf("drop: %d %s", code, errs)
	}
	if code, _, errs := ask(t, url, "", "drop", ps.Peers[0].ID); code != 1 {
		t.Errorf("a second drop: %d %s", code, errs)
	}
}

func TestErrorsAreOneClearLine(t *testing.T) {
	sock := filepath.Join(t.TempDir(), "s")
	url := server(t, config.Listen{Network: "unix", Address: sock})
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"lookup", "nonsense"}, 1, "nonsense"},
		{[]string{"routes", "10.0.0.1/8"}, 1, "10.0.0.0/8"},
		{[]string{"routes", "--as-path", "("}, 1, "as_path"},
		{[]string{"peers", "192.0.2.254"}, 1, "not found"},
		{[]string{"load", "nowhere.mrt"}, 1, "nowhere.mrt"},
		{[]string{"routes", "--match", "longer"}, 2, "--match wants a prefix"},
		{[]string{"routes", "--macth", "longer"}, 2, "--match"},
		{[]string{"lookup", "1.1.1.1", "-"}, 2, "- stands alone"},
		{[]string{"lookup", "--server", "ftp://x", "1.1.1.1"}, 2, "--server"},
		{[]string{"lookup", "--server", "http://127.0.0.1:1", "1.1.1.1"}, 1, "no ribd answers at http://127.0.0.1:1"},
		{[]string{"lookup", "--token-file", sample + "x", "1.1.1.1"}, 2, "--token-file"},
	} {
		code, out, errs := ask(t, url, "", c.args...)
		if code != c.code || !strings.HasPrefix(errs, "ribctl: ") || !strings.Contains(errs, c.says) || strings.Count(errs, "\n") != 1 || out != "" {
			t.Errorf("%v: exit code %d\nout:  %s\nerrs: %s", c.args, code, out, errs)
		}
	}
	code, out, errs := ask(t, url, "1.1.1.1\nbad\n", "lookup", "--json")
	if code != 1 || strings.Count(out, "\n") != 2 || !strings.Contains(errs, "1 of the lines") {
		t.Errorf("a bad line: %d %s %s", code, out, errs)
	}
	if code, out, errs := ask(t, "unix:"+sock, "", "lookup", "1.1.1.1"); code != 0 || !strings.Contains(out, "1.1.1.0/24") {
		t.Errorf("by the socket: %d %s %s", code, out, errs)
	}
}

func TestALineOfStandardInputIsAnsweredBeforeTheNext(t *testing.T) {
	url := server(t)
	in, typed := io.Pipe()
	shown, out := io.Pipe()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, []string{"--server", url, "lookup", "--json"}, in, out, io.Discard)
		out.Close()
	}()
	buf := make([]byte, 1<<16)
	for _, a := range []string{"8.8.8.8", "1.1.1.1"} {
		io.WriteString(typed, a+"\n")
		n, err := shown.Read(buf)
		if err != nil || !strings.Contains(string(buf[:n]), `"query":"`+a+`"`) {
			t.Fatalf("%s: %v %s", a, err, buf[:n])
		}
	}
	typed.Close()
	if code := <-ended; code != 0 {
		t.Errorf("exit code %d", code)
	}
}

func TestLoadSendsFilesAndWaits(t *testing.T) {
	url := server(t)
	code, out, errs := ask(t, url, "", "load", "--collector", "again", sample)
	if code != 0 || !strings.Contains(out, "done: 147,867 routes") {
		t.Errorf("exit code %d: %s %s", code, out, errs)
	}
	dump, err := os.ReadFile(sample)
	if err != nil {
		t.Fatal(err)
	}
	if code, out, errs := ask(t, url, string(dump), "load", "--json", "-"); code != 0 || !json.Valid([]byte(out)) {
		t.Errorf("standard input: %d: %s %s", code, out, errs)
	}
	if code, out, errs := ask(t, url, "this is no dump", "load", "-"); code == 0 && !strings.Contains(out, "damaged") {
		t.Errorf("no dump: %d: %s %s", code, out, errs)
	}
	path, _ := filepath.Abs(sample)
	if code, out, errs := ask(t, url, "", "load", "--on-server", path); code != 0 || !strings.Contains(out, "done") {
		t.Errorf("on the server: %d: %s %s", code, out, errs)
	}
}

func TestEveryFilterOfTheAPIIsAFlag(t *testing.T) {
	url := server(t)
	resp, err := http.Get(url + "/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	spec, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	_, help, _ := ask(t, url, "", "routes", "--help")
	_, rules, _ := ask(t, url, "", "flowspec", "list", "--help")
	help += rules
	for line := range strings.Lines(string(spec)) {
		name, ok := strings.CutPrefix(strings.TrimSpace(line), "- name: ")
		if !ok {
			name, ok = strings.CutPrefix(strings.TrimSpace(line), "name: ")
		}
		name = strings.TrimSpace(name)
		switch {
		case !ok || name == "" || strings.Contains(name, " ") || strings.ContainsAny(name, "-ABCDEFGHIJKLMNOPQRSTUVWXYZ."):
		case name == "prefix", name == "address", name == "id", name == "attrs_id", name == "cursor", name == "collector", name == "message":
		default:
			if !strings.Contains(help, "--"+strings.ReplaceAll(name, "_", "-")) {
				t.Errorf("the API's parameter %s has no flag", name)
			}
		}
	}
}

func TestCompletionsComplete(t *testing.T) {
	dir := t.TempDir()
	for _, shell := range []string{"bash", "zsh", "fish"} {
		code, out, errs := ask(t, "http://127.0.0.1:1", "", "completion", shell)
		if code != 0 || !strings.Contains(out, "community") || !strings.Contains(out, "lookup") {
			t.Fatalf("%s: %d %s", shell, code, errs)
		}
		path := filepath.Join(dir, shell)
		if err := os.WriteFile(path, []byte(out), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := exec.LookPath(shell); err != nil {
			continue // it is looked at by people who have it
		}
		if b, err := exec.Command(shell, "-n", path).CombinedOutput(); err != nil {
			t.Errorf("%s: %v %s", shell, err, b)
		}
	}
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip("no bash here")
	}
	for _, c := range []struct{ words, want string }{
		{"ribctl lo", "lookup load loads"},
		{"ribctl --json cou", "count"},
		{"ribctl routes --match l", "longest longer"},
		{"ribctl routes --origin", "--origin-asn --originator-id"},
		{"ribctl completion z", "zsh"},
		{"ribctl config d", "diff"},
		{"ribctl flowspec m", "match"},
		{"ribctl flowspec match --dst", "--dst --dst-port"},
		{"ribctl flowspec match --fragment f", "first-fragment"},
		{"ribctl flowspec --val", "--valid"},
		{"ribctl disable --m", "--message"},
		{"ribctl routes --filter-reason as", "as-loop as-set"},
	} {
		words := strings.Fields(c.words)
		script := "source " + filepath.Join(dir, "bash") + "; COMP_WORDS=(" + c.words + "); COMP_CWORD=" +
			string(rune('0'+len(words)-1)) + "; _ribctl; echo ${COMPREPLY[@]}"
		b, err := exec.Command("bash", "-c", script).CombinedOutput()
		if got := strings.TrimSpace(string(b)); err != nil || got != c.want {
			t.Errorf("%q: got %q, %v; want %q", c.words, got, err, c.want)
		}
	}
}

func TestColumnsStayAlignedAsTheyWiden(t *testing.T) {
	_, out := tableText(t, 0)
	if out != "A  N  B\n" {
		t.Errorf("no rows: %q", out)
	}
	lines, _ := tableText(t, 2*batchRows)
	if len(lines) != 2*batchRows+1 || lines[1] != "x   1  é" || lines[len(lines)-1] != "xx  2  é" {
		t.Errorf("got %d lines, %q … %q", len(lines), lines[1], lines[len(lines)-1])
	}
}
