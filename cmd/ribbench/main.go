package main

import (
	"fmt"
	"os"

	"github.com/alecthomas/kong"
)

type commands struct {
	Gen      genCommand      `cmd:"" help:"Make an MRT table (and update file), the same for the same flags."`
	LPM      lpmCommand      `cmd:"" name:"lpm" help:"Longest match: ns a look-up, beside gaissmai/bart and kentik/patricia; tails beside updates; bytes a prefix."`
	Update   updateCommand   `cmd:"" help:"Routes into the table: copy-on-write updates beside bart's, whole transfers on one core and two."`
	Load     loadCommand     `cmd:"" help:"A full-table dump into ribd: time, peak and settled memory, bytes a path."`
	Query    queryCommand    `cmd:"" help:"Questions over HTTP: single and packed look-ups beside a bare server, whole-table questions."`
	BGP      bgpCommand      `cmd:"" name:"bgp" help:"Sessions: tables in and out, changes from peer to peer, many peers, flaps, beside BIRD 2."`
	Flowspec flowspecCommand `cmd:"" name:"flowspec" help:"Flow Spec: packets matched beside the naive walk, over HTTP, and rules taken in beside GoBGP 4 and BIRD 2."`
	Announce announceCommand `cmd:"" name:"announce" help:"Routes that programs announce: from the request to a peer's socket, streams of them, kept on disk, beside GoBGP 3."`
	All      allCommand      `cmd:"" help:"All figures, one report."`

	Bare bareCommand `cmd:"" hidden:"" help:"Serve the answers of a file, as bare as fasthttp goes (the rival of query)."`
}

func main() {
	os.Exit(run(os.Args[1:]))
}

func run(args []string) int {
	var c commands
	parser, err := kong.New(&c,
		kong.Name("ribbench"),
		kong.Description("Makes routing tables and measures ribd on them, beside the best that others have, in the same run."),
		kong.UsageOnError(),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
	)
	if err != nil {
		panic("BUG: " + err.Error())
	}
	ctx, err := parser.Parse(args)
	parser.FatalIfErrorf(err)
	if err := ctx.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "ribbench:", err)
		return 1
	}
	return 0
}
