package main

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"ribd/internal/benchkit"
)

// rotondaAnnouncer is Rotonda 0.6 with its experimental endpoints that send to
// peers. It is built from source (`cargo install rotonda`), so few machines
// have it.
var rotondaAnnouncer = &rival{
	name: "Rotonda",
	find: inPeers("rotonda"),
	start: func(_ *env, program string, to netip.AddrPort, dir string) (*exec.Cmd, error) {
		addr, err := takeAPIPort(dir)
		if err != nil {
			return nil, err
		}
		conf := fmt.Sprintf(`log_level = "error"
log_target = "stderr"
http_listen = [%q]
[units.bgp]
type = "bgp-tcp-in"
listen = %q
my_asn = %d
my_bgp_id = [192, 0, 2, 254]
[units.bgp.peers.%q]
name = "sink"
remote_asn = []
protocols = ["Ipv4Unicast"]
[units.rib]
type = "rib"
sources = ["bgp"]
[targets.null]
type = "null-out"
sources = ["rib"]
`, addr, to, ownAS, sinkAddr(0))
		file := filepath.Join(dir, "rotonda.conf")
		if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
			return nil, err
		}
		return exec.Command(program, "-c", file), nil
	},
	count: func(d *daemon) (int, error) {
		addr, err := apiPort(d.dir)
		if err != nil {
			return 0, err
		}
		// It listens for a second before the path is there: then no prefix is an
		// error of the request.
		resp, err := http.Post("http://"+addr+rotondaPath, "application/json", strings.NewReader("{}"))
		if err != nil {
			return 0, err
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusUnprocessableEntity {
			return 0, &benchkit.StatusError{Status: resp.StatusCode}
		}
		return 0, nil
	},
	dial: func(addr string) (program, error) {
		c, err := benchkit.Dial(addr)
		return &rotondaProgram{addr: addr, conn: c, attrs: base64.StdEncoding.EncodeToString(rotondaAttrs())}, err
	},
}

// rotondaPath is where a request goes to all of Rotonda's peers.
const rotondaPath = "/api/v1/bgp/announce/all"

// rotondaAttrs are the octets of the attributes that Rotonda is to send, but for
// the next hop: an origin, its AS and a community.
func rotondaAttrs() []byte {
	b := []byte{0x40, 1, 1, 0, 0x40, 2, 6, 2, 1}
	b = binary.BigEndian.AppendUint32(b, ownAS)
	return append(b, 0xc0, 8, 4, 65000>>8, 65000&255, 0, 1)
}

// rotondaProgram announces over Rotonda's HTTP API, on a connection that stays.
type rotondaProgram struct {
	addr  string
	conn  *benchkit.Conn
	attrs string
	buf   []byte
}

// rotondaBatch is the prefixes of one request: Rotonda sends each as one UPDATE,
// which holds no more than some 900.
const rotondaBatch = 800

// errFull is an answer of a queue to the peer that is full: Rotonda has ten
// places, and says so instead of making its client wait.
var errFull = errors.New("the queue is full")

func (r *rotondaProgram) post(ps []netip.Prefix) error {
	body := []byte(`{"prefix":[`)
	for i, p := range ps {
		if i > 0 {
			body = append(body, ',')
		}
		body = append(p.AppendTo(append(body, '"')), '"')
	}
	body = fmt.Appendf(body, `],"nexthop":"192.0.2.1","raw_attributes":%q}`, r.attrs)
	r.buf = fmt.Appendf(r.buf[:0], "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", rotondaPath, r.addr, len(body), body)
	err := r.conn.Ask(r.buf)
	if err == nil {
		return nil
	}
	// The rest of a refusal may be unread.
	again, dialErr := benchkit.Dial(r.addr)
	if dialErr != nil {
		return errors.Join(err, dialErr)
	}
	r.conn.Close()
	r.conn = again
	if s, ok := errors.AsType[*benchkit.StatusError](err); ok && s.Status == http.StatusInternalServerError {
		return errFull
	}
	return err
}

func (r *rotondaProgram) one(p netip.Prefix) error { return r.post([]netip.Prefix{p}) }

func (r *rotondaProgram) many(ps []netip.Prefix) error {
	for len(ps) > 0 {
		n := min(len(ps), rotondaBatch)
		err := r.post(ps[:n])
		for tries := 0; errors.Is(err, errFull) && tries < 1000; tries++ {
			time.Sleep(time.Millisecond)
			err = r.post(ps[:n])
		}
		if err != nil {
			return err
		}
		ps = ps[n:]
	}
	return nil
}

func (r *rotondaProgram) close() { r.conn.Close() }
