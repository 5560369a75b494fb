package main

import (
	"bufio"
	"fmt"
	"reflect"
	"strings"

	"github.com/alecthomas/kong"
)

// completionCommand prints the completion script of a shell.
type completionCommand struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

// Help says how the scripts are used.
func (completionCommand) Help() string {
	return "bash: source <(ribctl completion bash)\n\nzsh: ribctl completion zsh > \"${fpath[1]}/_ribctl\"\n\n" +
		"fish: ribctl completion fish > ~/.config/fish/completions/ribctl.fish"
}

// Run prints the script.
func (c completionCommand) Run(e *env) error {
	switch c.Shell {
	case "bash":
		bashCompletion(e.out, e.model)
	case "zsh":
		zshCompletion(e.out, e.model)
	case "fish":
		fishCompletion(e.out, e.model)
	}
	return nil
}

// words are the values that are offered after a flag, nil where it takes a
// file, and ok false where it takes none of these.
func words(f *kong.Flag) (w []string, file, ok bool) {
	switch {
	case f.IsBool():
		return nil, false, false
	case f.Tag.Type == "path":
		return nil, true, true
	case f.Enum != "":
		for _, v := range f.EnumSlice() {
			if v != "" {
				w = append(w, v)
			}
		}
		return w, false, true
	}
	if f.Target.Kind() == reflect.Pointer { // a number of a path, and no filter
		return nil, false, false
	}
	w, ok = map[string][]string{
		"family": {"ipv4-unicast", "ipv6-unicast", "ipv4-multicast", "ipv6-multicast", "ipv4-vpn", "ipv6-vpn"},
		"source": {"bgp", "mrt", "bmp", "local"},
		"rpki":   {"valid", "invalid", "not-found"},
		"stale":  {"true", "false", "gr", "llgr", "restart"},
		"filter-reason": {"policy", "no-policy", "as-loop", "originator-loop", "cluster-loop", "otc", "next-hop", "limit", "malformed", "first-as", "as-set",
			"no-destination", "no-unicast-route", "originator", "more-specific"},
		"filtered":  {"true", "false", "any"},
		"path-id":   {"none"},
		"policy":    {"pre"},
		"table":     {"adj-out"},
		"protocol":  {"tcp", "udp", "icmp", "icmpv6", "gre", "esp", "sctp"},
		"tcp-flags": {"syn", "syn+ack", "ack", "rst", "fin"},
		"fragment":  {"is-fragment", "first-fragment", "last-fragment", "dont-fragment"},
	}[f.Name]
	return w, false, ok
}

// asks is the command that lists what a command's first argument may be, by
// asking the server: addresses of peers, ids of Flow Spec rules. "" for others.
func asks(n *kong.Node) string {
	if len(n.Positional) == 0 {
		return ""
	}
	return map[string]string{
		"peer": "ribctl peers --names 2>/dev/null",
		"rule": "ribctl flowspec list --ids 2>/dev/null",
	}[n.Positional[0].Name]
}

// argWords are the values of a command's arguments: its own commands, its enum,
// or files.
func argWords(n *kong.Node) (w []string, file bool) {
	for _, c := range n.Children {
		w = append(w, c.Name)
	}
	if w != nil {
		return w, false
	}
	for _, p := range n.Positional {
		if p.Enum != "" {
			return p.EnumSlice(), false
		}
	}
	return nil, n.Name == "load"
}

// allFlags are a command's own flags, those of what it does when none of its
// own commands is named, and those of every command.
func allFlags(app *kong.Application, n *kong.Node) []*kong.Flag {
	all := append([]*kong.Flag{}, n.Flags...)
	if n.DefaultCmd != nil {
		all = append(all, n.DefaultCmd.Flags...)
	}
	return append(all, app.Flags...)
}

// everyCommand lists the commands, each followed by its own, which are called
// with a space: "flowspec add".
func everyCommand(app *kong.Application) (names []string, nodes []*kong.Node) {
	for _, n := range app.Children {
		names, nodes = append(names, n.Name), append(nodes, n)
		for _, c := range n.Children {
			names, nodes = append(names, n.Name+" "+c.Name), append(nodes, c)
		}
	}
	return names, nodes
}

func bashCompletion(out *bufio.Writer, app *kong.Application) {
	var names []string
	for _, n := range app.Children {
		names = append(names, n.Name)
	}
	fmt.Fprint(out, `# Completion of ribctl for bash: source <(ribctl completion bash)
_ribctl() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} command= i
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
`)
	fmt.Fprintf(out, "            %s) command=${COMP_WORDS[i]}; break ;;\n", strings.Join(names, "|"))
	fmt.Fprint(out, "        esac\n    done\n")
	all, nodes := everyCommand(app)
	var sub []string
	for _, n := range all {
		if strings.Contains(n, " ") {
			sub = append(sub, shellQuote(n))
		}
	}
	fmt.Fprintf(out, "    for ((i++; i < COMP_CWORD; i++)); do\n        case \"$command ${COMP_WORDS[i]}\" in\n"+
		"            %s) command=\"$command ${COMP_WORDS[i]}\"; break ;;\n        esac\n    done\n    case $prev in\n", strings.Join(sub, "|"))
	seen := map[string]bool{}
	for _, n := range nodes {
		for _, f := range allFlags(app, n) {
			w, file, ok := words(f)
			if seen[f.Name] || !ok {
				continue
			}
			seen[f.Name] = true
			if file {
				fmt.Fprintf(out, "        --%s) COMPREPLY=($(compgen -f -- \"$cur\")); return ;;\n", f.Name)
			} else {
				fmt.Fprintf(out, "        --%s) COMPREPLY=($(compgen -W %q -- \"$cur\")); return ;;\n", f.Name, strings.Join(w, " "))
			}
		}
	}
	fmt.Fprint(out, "    esac\n    case $command in\n")
	for i, n := range nodes {
		var flags []string
		for _, f := range allFlags(app, n) {
			flags = append(flags, "--"+f.Name)
		}
		w, file := argWords(n)
		fmt.Fprintf(out, "        %s)\n            if [[ $cur == -* ]]; then COMPREPLY=($(compgen -W %q -- \"$cur\"))\n", shellQuote(all[i]), strings.Join(flags, " "))
		switch {
		case asks(n) != "":
			fmt.Fprintf(out, "            else COMPREPLY=($(compgen -W \"$(%s)\" -- \"$cur\"))\n", asks(n))
		case file:
			fmt.Fprint(out, "            else COMPREPLY=($(compgen -f -- \"$cur\"))\n")
		case len(w) > 0:
			fmt.Fprintf(out, "            else COMPREPLY=($(compgen -W %q -- \"$cur\"))\n", strings.Join(w, " "))
		}
		fmt.Fprint(out, "            fi ;;\n")
	}
	var flags []string
	for _, f := range app.Flags {
		flags = append(flags, "--"+f.Name)
	}
	fmt.Fprintf(out, "        *) COMPREPLY=($(compgen -W %q -- \"$cur\")) ;;\n    esac\n}\ncomplete -F _ribctl ribctl\n",
		strings.Join(append(names, flags...), " "))
}

func zshCompletion(out *bufio.Writer, app *kong.Application) {
	fmt.Fprint(out, "#compdef ribctl\n# Completion of ribctl for zsh: ribctl completion zsh > \"${fpath[1]}/_ribctl\"\n\n_ribctl() {\n"+
		"    local context state line\n    local -a commands\n    commands=(\n")
	for _, n := range app.Children {
		fmt.Fprintf(out, "        %s\n", shellQuote(n.Name+":"+n.Help))
	}
	fmt.Fprint(out, "    )\n    _arguments -C \\\n")
	for _, f := range app.Flags {
		fmt.Fprintf(out, "        %s \\\n", zshFlag(f))
	}
	fmt.Fprint(out, "        '1: :->command' '*:: :->args'\n    case $state in\n"+
		"        command) _describe command commands ;;\n        args)\n            case $words[1] in\n")
	for _, n := range app.Children {
		fmt.Fprintf(out, "                %s) ", n.Name)
		if len(n.Children) > 0 {
			fmt.Fprint(out, "case $words[2] in\n")
			for _, c := range n.Children {
				fmt.Fprintf(out, "                %s) shift words; (( CURRENT-- )); ", c.Name)
				zshArguments(out, app, c)
				fmt.Fprint(out, " ;;\n")
			}
			fmt.Fprint(out, "                *) ")
			zshArguments(out, app, n)
			fmt.Fprint(out, " ;;\n                esac ;;\n")
			continue
		}
		zshArguments(out, app, n)
		fmt.Fprint(out, " ;;\n")
	}
	fmt.Fprint(out, "            esac ;;\n    esac\n}\n\n_ribctl \"$@\"\n")
}

// zshArguments is the call of _arguments for a command.
func zshArguments(out *bufio.Writer, app *kong.Application, n *kong.Node) {
	fmt.Fprint(out, "_arguments")
	for _, f := range allFlags(app, n) {
		fmt.Fprintf(out, " \\\n                    %s", zshFlag(f))
	}
	switch w, file := argWords(n); {
	case asks(n) != "":
		fmt.Fprintf(out, " \\\n                    '1:%s:{compadd -- $(%s)}'", n.Positional[0].Name, asks(n))
	case file:
		fmt.Fprint(out, " \\\n                    '*:file:_files'")
	case len(w) > 0:
		fmt.Fprintf(out, " \\\n                    '1:%s:(%s)'", n.Name, strings.Join(w, " "))
	}
}

// zshFlag is a flag as _arguments reads it.
func zshFlag(f *kong.Flag) string {
	help := strings.NewReplacer("[", "(", "]", ")", ":", "\\:").Replace(f.Help)
	spec := "--" + f.Name
	if !f.IsBool() {
		spec += "="
	}
	spec += "[" + help + "]"
	w, file, ok := words(f)
	switch {
	case f.IsBool():
	case file:
		spec += ":file:_files"
	case ok:
		spec += ":" + f.Name + ":(" + strings.Join(w, " ") + ")"
	default:
		spec += ":" + f.Name + ": "
	}
	if f.IsSlice() {
		spec = "*" + spec
	}
	return shellQuote(spec)
}

func fishCompletion(out *bufio.Writer, app *kong.Application) {
	fmt.Fprint(out, "# Completion of ribctl for fish: ribctl completion fish > ~/.config/fish/completions/ribctl.fish\ncomplete -c ribctl -f\n")
	flag := func(when string, f *kong.Flag) {
		fmt.Fprintf(out, "complete -c ribctl%s -l %s -d %s", when, f.Name, shellQuote(f.Help))
		w, file, ok := words(f)
		switch {
		case f.IsBool():
		case file:
			fmt.Fprint(out, " -r -F")
		case ok:
			fmt.Fprintf(out, " -x -a %s", shellQuote(strings.Join(w, " ")))
		default:
			fmt.Fprint(out, " -x")
		}
		fmt.Fprintln(out)
	}
	for _, f := range app.Flags {
		flag("", f)
	}
	names, nodes := everyCommand(app)
	for i, n := range nodes {
		parent, name, nested := strings.Cut(names[i], " ")
		when := " -n " + shellQuote("__fish_seen_subcommand_from "+parent)
		if nested {
			when = " -n " + shellQuote("__fish_seen_subcommand_from "+parent+"; and __fish_seen_subcommand_from "+name)
		} else {
			fmt.Fprintf(out, "complete -c ribctl -n __fish_use_subcommand -a %s -d %s\n", n.Name, shellQuote(n.Help))
		}
		flags := n.Flags
		if n.DefaultCmd != nil {
			flags = append(append([]*kong.Flag{}, flags...), n.DefaultCmd.Flags...)
		}
		for _, f := range flags {
			flag(when, f)
		}
		switch w, file := argWords(n); {
		case asks(n) != "":
			fmt.Fprintf(out, "complete -c ribctl%s -a '(%s)'\n", when, asks(n))
		case file:
			fmt.Fprintf(out, "complete -c ribctl%s -F\n", when)
		case len(w) > 0:
			fmt.Fprintf(out, "complete -c ribctl%s -a %s\n", when, shellQuote(strings.Join(w, " ")))
		}
	}
}

// shellQuote quotes a word for any of the three shells.
func shellQuote(s string) string {
	return "'" + strings.ReplaceAll(s, "'", "’") + "'"
}
