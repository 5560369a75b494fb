// Command ribbench makes routing tables and measures ribd on them, beside the
// best that others have, in the same run.
package main

import (
	"fmt"
	"os"

	"github.com/alecthomas/kong"
)

type commands struct {
	Gen genCommand `cmd:"" help:"Make an MRT table (and update file), the same for the same flags."`
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
