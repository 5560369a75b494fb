package main

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"

	gobgp "github.com/osrg/gobgp/v3/api"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/anypb"
)

// gobgpAnnouncer is GoBGP 3 with its gRPC API, which this program speaks.
var gobgpAnnouncer = &rival{
	name: "GoBGP 3",
	find: inPeers("gobgpd3", "gobgpd"),
	start: func(_ *env, program string, to netip.AddrPort, dir string) (*exec.Cmd, error) {
		addr, err := takeAPIPort(dir)
		if err != nil {
			return nil, err
		}
		conf := fmt.Sprintf(`[global.config]
as = %d
router-id = "192.0.2.254"
port = %d
local-address-list = [%q]
[[neighbors]]
[neighbors.config]
neighbor-address = %q
peer-as = %d
[neighbors.transport.config]
passive-mode = true
[neighbors.timers.config]
hold-time = 240
[[neighbors.afi-safis]]
[neighbors.afi-safis.config]
afi-safi-name = "ipv4-unicast"
`, ownAS, to.Port(), to.Addr(), sinkAddr(0), sinkAS)
		file := filepath.Join(dir, "gobgp.toml")
		if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
			return nil, err
		}
		return exec.Command(program, "-f", file, "-l", "error", "-p", "--pprof-disable", "--api-hosts", addr), nil
	},
	count: func(d *daemon) (int, error) {
		addr, err := apiPort(d.dir)
		if err != nil {
			return 0, err
		}
		g, err := dialGoBGP(addr)
		if err != nil {
			return 0, err
		}
		defer g.close()
		ctx, cancel := waitContext()
		defer cancel()
		_, err = g.client.GetBgp(ctx, &gobgp.GetBgpRequest{})
		return 0, err
	},
	dial: func(addr string) (program, error) { return dialGoBGP(addr) },
}

// gobgpProgram announces over gRPC, on a connection that stays.
type gobgpProgram struct {
	conn   *grpc.ClientConn
	client gobgp.GobgpApiClient
	attrs  []*anypb.Any
}

var gobgpFamily = &gobgp.Family{Afi: gobgp.Family_AFI_IP, Safi: gobgp.Family_SAFI_UNICAST}

func dialGoBGP(addr string) (*gobgpProgram, error) {
	conn, err := grpc.NewClient("passthrough:///"+addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, err
	}
	g := &gobgpProgram{conn: conn, client: gobgp.NewGobgpApiClient(conn)}
	origin, err1 := anypb.New(&gobgp.OriginAttribute{Origin: 0})
	hop, err2 := anypb.New(&gobgp.NextHopAttribute{NextHop: "192.0.2.1"})
	communities, err3 := anypb.New(&gobgp.CommunitiesAttribute{Communities: []uint32{65000<<16 | 1}})
	for _, err := range []error{err1, err2, err3} {
		if err != nil {
			return nil, err
		}
	}
	g.attrs = []*anypb.Any{origin, hop, communities}
	return g, nil
}

func (g *gobgpProgram) path(p netip.Prefix) (*gobgp.Path, error) {
	nlri, err := anypb.New(&gobgp.IPAddressPrefix{Prefix: p.Addr().String(), PrefixLen: uint32(p.Bits())})
	return &gobgp.Path{Family: gobgpFamily, Nlri: nlri, Pattrs: g.attrs}, err
}

func (g *gobgpProgram) one(p netip.Prefix) error {
	path, err := g.path(p)
	if err != nil {
		return err
	}
	ctx, cancel := waitContext()
	defer cancel()
	_, err = g.client.AddPath(ctx, &gobgp.AddPathRequest{TableType: gobgp.TableType_GLOBAL, Path: path})
	return err
}

// gobgpBatch is the paths of one message of a stream.
const gobgpBatch = 500

func (g *gobgpProgram) many(ps []netip.Prefix) error {
	ctx, cancel := waitContext()
	defer cancel()
	stream, err := g.client.AddPathStream(ctx)
	if err != nil {
		return err
	}
	for len(ps) > 0 {
		n := min(len(ps), gobgpBatch)
		req := &gobgp.AddPathStreamRequest{TableType: gobgp.TableType_GLOBAL}
		for _, p := range ps[:n] {
			path, err := g.path(p)
			if err != nil {
				return err
			}
			req.Paths = append(req.Paths, path)
		}
		if err := stream.Send(req); err != nil {
			return err
		}
		ps = ps[n:]
	}
	_, err = stream.CloseAndRecv()
	return err
}

func (g *gobgpProgram) close() { g.conn.Close() }
