package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/alecthomas/kong"

	"ribd/engine"
	"ribd/engine/config"
)

// version is stamped by the Makefile.
var version = "unversioned"

// The exit codes.
const (
	exitOK    = 0
	exitError = 1
	exitUsage = 2
)

type commands struct {
	Serve   serveCommand   `cmd:"" help:"Run the server."`
	Check   checkCommand   `cmd:"" help:"Check a configuration file."`
	Version versionCommand `cmd:"" help:"Print the version."`
}

// env is what a command works with.
type env struct {
	ctx  context.Context
	in   io.Reader
	out  io.Writer
	errs io.Writer
}

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// exited is what kong's exit turns into, so that --help ends run and not the
// process.
type exited int

// run parses and carries out one command line.
func run(ctx context.Context, args []string, in io.Reader, out, errs io.Writer) (code int) {
	var c commands
	parser, err := kong.New(&c,
		kong.Name("ribd"),
		kong.Description("A BGP daemon and RIB server: it speaks with routers, loads routing tables and answers look-ups over HTTP."),
		kong.Writers(out, errs),
		kong.Exit(func(code int) { panic(exited(code)) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
	)
	if err != nil {
		panic("BUG: " + err.Error())
	}
	defer func() {
		if r := recover(); r != nil {
			e, ok := r.(exited)
			if !ok {
				panic(r)
			}
			code = int(e)
		}
	}()
	if len(args) == 0 {
		args = []string{"--help"}
	}
	kctx, err := parser.Parse(args)
	if err != nil {
		fmt.Fprintf(errs, "ribd: %v (ribd --help lists what there is)\n", err)
		return exitUsage
	}
	err = kctx.Run(&env{ctx: ctx, in: in, out: out, errs: errs})
	if err == nil {
		return exitOK
	}
	var ps config.Problems
	switch {
	case errors.As(err, &ps): // FILE:LINE:COL starts the line
		fmt.Fprintln(errs, ps.Error())
	case !errors.Is(err, errSaid):
		fmt.Fprintln(errs, "ribd:", err)
	}
	var u usageError
	if errors.As(err, &u) {
		return exitUsage
	}
	return exitError
}

// errSaid is the end of a command that has said already what went wrong.
var errSaid = errors.New("it was said")

// usageError is a command line that parses and makes no sense.
type usageError string

func (u usageError) Error() string { return string(u) }

// versionCommand prints the version.
type versionCommand struct{}

// Run prints the version.
func (versionCommand) Run(e *env) error {
	_, err := fmt.Fprintln(e.out, "ribd", version)
	return err
}

// checkCommand checks a configuration file.
type checkCommand struct {
	File string `arg:"" help:"The configuration file."`
}

// Run prints what is wrong with the file, one FILE:LINE:COL: text a line.
func (c *checkCommand) Run(e *env) error {
	cfg, err := config.Load(c.File)
	if err != nil {
		return err
	}
	if ps := engine.Check(cfg); len(ps) > 0 {
		return ps
	}
	for _, p := range cfg.Missing() {
		p.Text = "warning: " + p.Text
		fmt.Fprintln(e.errs, p)
	}
	_, err = fmt.Fprintf(e.out, "%s: good\n", c.File)
	return err
}
