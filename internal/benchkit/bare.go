package benchkit

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"

	"github.com/valyala/fasthttp"
)

// Answers is what a bare server gives: the answers that ribd gave, so that both
// send the same octets.
type Answers struct {
	Type   string   `json:"type"`
	Bodies [][]byte `json:"bodies"`
}

// ReadAnswers reads what Answers.Write wrote.
func ReadAnswers(name string) (a Answers, err error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return a, err
	}
	if err = json.Unmarshal(data, &a); err == nil && len(a.Bodies) == 0 {
		err = errors.New("no answers")
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", name, err)
	}
	return a, err
}

// Write makes a file of the answers, for another process.
func (a Answers) Write(name string) error {
	data, err := json.Marshal(a)
	if err != nil {
		return err
	}
	return os.WriteFile(name, data, 0o600)
}

// ServeBare listens on a free port of loopback, says so on log as Start wants it,
// and answers each request with the next body until stop is closed. It looks at
// nothing of a request but that fasthttp parsed it.
func ServeBare(a Answers, log io.Writer, stop <-chan struct{}) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	typ := []byte(a.Type)
	server := &fasthttp.Server{
		NoDefaultServerHeader: true,
		Handler: func(ctx *fasthttp.RequestCtx) {
			ctx.Response.Header.SetContentTypeBytes(typ)
			ctx.Response.SetBodyRaw(a.Bodies[(ctx.ConnRequestNum()*31+ctx.ConnID())%uint64(len(a.Bodies))])
		},
	}
	fmt.Fprintf(log, "listening api=http addr=%s\n", l.Addr())
	go func() {
		<-stop
		server.Shutdown()
	}()
	return server.Serve(l)
}
