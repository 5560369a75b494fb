package main

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"

	"github.com/valyala/fasthttp"
)

// answers is what the bare server gives: the answers that ribd gave, so that both
// send the same octets.
type answers struct {
	Type   string   `json:"type"`
	Bodies [][]byte `json:"bodies"`
}

type bareCommand struct {
	Answers string `arg:"" type:"existingfile"`
}

// Run serves until it is told to stop.
func (c *bareCommand) Run() error {
	data, err := os.ReadFile(c.Answers)
	if err != nil {
		return err
	}
	var a answers
	if err := json.Unmarshal(data, &a); err != nil {
		return err
	}
	if len(a.Bodies) == 0 {
		return fmt.Errorf("%s holds no answers", c.Answers)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := bareServer(a)
	fmt.Printf("listening api=http addr=%s\n", l.Addr())
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, os.Interrupt)
	go func() {
		<-stop
		server.Shutdown()
	}()
	return server.Serve(l)
}

// bareServer answers each request with the next body, and looks at nothing of the
// request but that fasthttp parsed it.
func bareServer(a answers) *fasthttp.Server {
	typ := []byte(a.Type)
	mask := 1
	for mask*2 <= len(a.Bodies) {
		mask *= 2
	}
	mask--
	return &fasthttp.Server{
		NoDefaultDate:         false,
		NoDefaultServerHeader: true,
		Handler: func(ctx *fasthttp.RequestCtx) {
			ctx.Response.Header.SetContentTypeBytes(typ)
			ctx.Response.SetBodyRaw(a.Bodies[int(ctx.ConnRequestNum()*31+ctx.ConnID())&mask])
		},
	}
}
