package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
)

// version is stamped by the Makefile.
var version = "unversioned"

// The exit codes.
const (
	exitOK    = 0
	exitError = 1
	exitUsage = 2
)

// globals are the flags of every command.
type globals struct {
	Server    string `help:"Where ribd answers: http://ADDRESS:PORT, https://…, or unix:PATH." default:"http://127.0.0.1:8080" env:"RIBCTL_SERVER" placeholder:"URL"`
	TokenFile string `help:"File that holds the bearer token." type:"path" env:"RIBCTL_TOKEN_FILE" placeholder:"FILE"`
	CAFile    string `help:"Certificates to trust, in PEM, for https." type:"path" env:"RIBCTL_CA_FILE" placeholder:"FILE"`
	JSON      bool   `help:"Print the API's JSON: one object, or one a line where there are many." name:"json"`
}

// commands is the whole command line.
type commands struct {
	globals
	Lookup     lookupCommand     `cmd:"" help:"Longest match of addresses, from arguments or standard input."`
	Routes     routesCommand     `cmd:"" help:"Routes of a prefix, or all that pass the filters."`
	Count      countCommand      `cmd:"" help:"Count the prefixes and paths that pass the filters."`
	Stats      statsCommand      `cmd:"" help:"Figures of the server: table, memory, look-ups."`
	Flowspec   flowspecCommand   `cmd:"" help:"Flow Spec rules: list, show, add, delete, and what a packet meets."`
	Peers      peersCommand      `cmd:"" help:"Peers: sessions and what dumps told of, one a line."`
	Peer       peerCommand       `cmd:"" help:"All of one peer: state and why, capabilities of both ends, routes, errors, history."`
	Advertised advertisedCommand `cmd:"" help:"What a peer is sent."`
	Announce   announceCommand   `cmd:"" help:"Announce paths: attributes as flags, or from a file."`
	Withdraw   withdrawCommand   `cmd:"" help:"Withdraw paths that were announced."`
	Paths      pathsCommand      `cmd:"" help:"What is announced from here, and to how many peers."`
	Updates    updatesCommand    `cmd:"" help:"The exact UPDATE messages of paths, as hex, without sending them."`
	Enable     enableCommand     `cmd:"" help:"Let a peer's session start again."`
	Disable    disableCommand    `cmd:"" help:"End a peer's session and keep it down."`
	Reset      resetCommand      `cmd:"" help:"End a peer's session and let it start again."`
	Refresh    refreshCommand    `cmd:"" help:"Ask a peer for its routes again (RFC 2918)."`
	AddPeer    addPeerCommand    `cmd:"" help:"Add a peer to the running server."`
	DeletePeer deletePeerCommand `cmd:"" help:"Delete a peer: end its session and forget it."`
	Reload     reloadCommand     `cmd:"" help:"Make the server read its configuration file again."`
	Config     configCommand     `cmd:"" help:"The configuration: diff shows what a reload would change."`
	Drop       dropCommand       `cmd:"" help:"Drop a loaded peer and its routes."`
	Load       loadCommand       `cmd:"" help:"Load MRT dumps into the running server."`
	Loads      loadsCommand      `cmd:"" help:"Loads so far, with what was damaged."`
	Attributes attributesCommand `cmd:"" help:"A decoded attribute set, by its attrs_id."`
	Completion completionCommand `cmd:"" help:"Print the completion of a shell: bash, zsh or fish."`
	Version    versionCommand    `cmd:"" help:"Print the version."`
}

// env is what a command works with.
type env struct {
	ctx    context.Context
	flags  *globals
	in     io.Reader
	out    *bufio.Writer
	errs   io.Writer
	now    func() time.Time // ages count from it
	model  *kong.Application
	client *client
}

// versionCommand prints the version.
type versionCommand struct{}

// Run prints the version.
func (versionCommand) Run(e *env) error {
	_, err := fmt.Fprintln(e.out, "ribctl", version)
	return err
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// exited is what kong's exit turns into, so that --help ends run and not the
// process.
type exited int

// run parses and carries out one command line.
func run(ctx context.Context, args []string, in io.Reader, out, errs io.Writer) int {
	return runAt(ctx, args, in, out, errs, time.Now)
}

// runAt is run by a clock.
func runAt(ctx context.Context, args []string, in io.Reader, out, errs io.Writer, now func() time.Time) (code int) {
	var c commands
	parser, err := kong.New(&c,
		kong.Name("ribctl"),
		kong.Description("Asks a ribd: look-ups, routes, counts, sessions, loads and figures; announces and withdraws.\n\n"+
			"Exit codes: 0 all went well; 1 the server refused, could not be reached, or could not answer all; 2 wrong command line."),
		kong.Writers(out, errs),
		kong.Exit(func(code int) { panic(exited(code)) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true}),
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
		fmt.Fprintf(errs, "ribctl: %v (ribctl --help lists what there is)\n", err)
		return exitUsage
	}
	e := &env{ctx: ctx, flags: &c.globals, in: in, out: bufio.NewWriterSize(out, 1<<16), errs: errs, now: now, model: parser.Model}
	if e.client, err = newClient(&c.globals); err != nil {
		fmt.Fprintln(errs, "ribctl:", err)
		return exitUsage
	}
	defer e.client.http.CloseIdleConnections()
	err = kctx.Run(e)
	if ferr := e.out.Flush(); err == nil {
		err = ferr
	}
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errSome):
		return exitError
	case ctx.Err() != nil:
		fmt.Fprintln(errs, "ribctl: interrupted")
		return exitError
	}
	fmt.Fprintln(errs, "ribctl:", err)
	var u usageError
	if errors.As(err, &u) {
		return exitUsage
	}
	return exitError
}

// errSome is the end of a command that has said already what went wrong.
var errSome = errors.New("some of it failed")

// usageError is a command line that parses and makes no sense.
type usageError string

func (u usageError) Error() string { return string(u) }
