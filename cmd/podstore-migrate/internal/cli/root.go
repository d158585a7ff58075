package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

const rootHelp = `podstore-migrate moves Pod metadata between podstore databases and directories of
{pod}/metadata.json files, byte for byte, and looks inside.

The database is the first argument of every command that uses one. Flags may come
anywhere; after -- everything is an argument, so a Pod may be named -dash. DB, SRC and
DST are one of
  PATH            a database file
  unix:SOCKET     the database of the supervisor that serves this socket
  dir:DIR         a directory of {pod}/metadata.json files
  etcd://HOST:PORT[,HOST:PORT...]/PREFIX
                  in etcd; podstore-migrate-etcd is the build that has it
While a supervisor runs it has its file locked: give the socket that it serves.
salvage, snapshot and compact work on database files: they take PATH and unix:SOCKET.
Write ./dir:x for a file whose name begins like one of the others.

Results go to standard output, messages to standard error. A Pod's name that has
spaces, quotes or control characters is printed quoted, as in Go or JSON source:
"a b". No other name begins with a double quote.
`

const exitHelp = `
Exit codes:
  0    done
  1    failure
  2    wrong usage
  3    done, but some Pods were refused or are in conflict; or you answered no
  4    verify or copy found differences, or check --sessions dangling sessions
  5    damage found; everything that could be read was delivered
  10   no such database, directory or Pod
  11   the database is locked by another program
  12   not a podstore database, or of an unknown version
  130  interrupted
Where several apply: 130 before 1 before 5 before 4 before 3.`

func newRoot(c *console) *cobra.Command {
	root := &cobra.Command{
		Use:           c.program + " COMMAND [flags] DB [ARG]",
		Short:         "Move Pod metadata between podstore databases and JSON directories",
		Long:          rootHelp + schemeHelp(c.schemes) + exitHelp,
		SilenceErrors: true,
		SilenceUsage:  true,
		Version:       version(),
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return unknownCommand(cmd, args[0])
		},
		RunE:              func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	root.SuggestionsMinimumDistance = 2
	root.SetOut(c.out)
	root.SetErr(c.err)
	root.SetHelpCommand(helpCmd(root, c))
	for _, g := range []struct {
		title    string
		commands []*cobra.Command
	}{
		{"Look inside:", []*cobra.Command{listCmd(c), showCmd(c), treeCmd(c), watchCmd(c), uiCmd(c), statsCmd(c)}},
		{"Change Pods:", []*cobra.Command{editCmd(c), removeCmd(c), pruneCmd(c)}},
		{"Move Pods:", []*cobra.Command{importCmd(c), exportCmd(c), verifyCmd(c), copyCmd(c)}},
		{"Care for the database:", []*cobra.Command{checkCmd(c), salvageCmd(c), snapshotCmd(c), compactCmd(c), serveCmd(c)}},
		{"About this program:", []*cobra.Command{versionCmd(c), completionCmd(c), manCmd(c)}},
	} {
		root.AddGroup(&cobra.Group{ID: g.title, Title: g.title})
		for _, cmd := range g.commands {
			cmd.GroupID = g.title
			root.AddCommand(cmd)
		}
	}
	root.SetHelpCommandGroupID("About this program:")
	for _, cmd := range append(root.Commands(), root) {
		cmd.DisableFlagsInUseLine = true
	}
	root.SetVersionTemplate(c.versionLine())
	return root
}

func schemeHelp(schemes []Scheme) (text string) {
	for _, s := range schemes {
		text += "\n" + s.Help + "\n"
	}
	return text
}

// unknownCommand names the command that may have been meant.
func unknownCommand(root *cobra.Command, name string) error {
	msg := fmt.Sprintf("unknown command %q", name)
	if near := root.SuggestionsFor(name); len(near) > 0 {
		msg += " (did you mean " + strings.Join(near, " or ") + "?)"
	}
	return errors.New(msg)
}

// helpCmd is the help of one command, or of all.
func helpCmd(root *cobra.Command, c *console) *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]",
		Short: "Help about a command",
		Args:  cobra.ArbitraryArgs,
		RunE: func(_ *cobra.Command, args []string) error {
			for _, cmd := range root.Commands() {
				if len(args) == 1 && cmd.Name() == args[0] {
					return cmd.Help()
				}
			}
			if len(args) > 0 {
				return unknownCommand(root, args[0])
			}
			return root.Help()
		},
	}
}

// command makes one of the commands. use is its name and arguments, whose names are in
// capital letters. It prints its own errors, so an error from cobra always means wrong
// usage.
func command(c *console, use, short, long, example string, run func(ctx context.Context, args []string) error) *cobra.Command {
	name, rest, _ := strings.Cut(use, " ")
	wanted := strings.Fields(strings.ReplaceAll(rest, "[flags]", ""))
	cmd := &cobra.Command{
		Use:     use,
		Short:   short,
		Long:    long,
		Example: example,
		Args:    takes(name, wanted...),
		RunE: func(cmd *cobra.Command, args []string) error {
			c.command = name
			c.hasLimit = cmd.Flags().Lookup("max-file-size") != nil
			err := run(cmd.Context(), args)
			if err != nil || c.code != exitDone {
				c.removeUnused()
			}
			c.finish(err)
			return nil
		},
	}
	cmd.Flags().BoolVar(&c.json, "json", false, "write JSON Lines on standard output and no text")
	return cmd
}

// takes checks the number of a command's arguments, and that none is empty, such as a
// script's variable that was never set. wanted are their names. One in brackets may be
// missing, and a last one with dots may be repeated.
func takes(name string, wanted ...string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		least := slices.IndexFunc(wanted, func(s string) bool { return s[0] == '[' })
		if least < 0 {
			least = len(wanted)
		}
		if len(args) >= least && (len(args) <= len(wanted) || repeats(wanted)) {
			if i := slices.Index(args, ""); i >= 0 {
				return fmt.Errorf("%s is empty", argName(wanted, i))
			}
			return nil
		}
		msg := fmt.Sprintf("%s takes %s, got %s", name, strings.Join(wanted, " "), plural(len(args), "argument"))
		if len(wanted) == 0 {
			msg = fmt.Sprintf("%s takes no arguments, got %d", name, len(args))
		}
		return errors.New(msg)
	}
}

// repeats reports whether the last of a command's arguments may be given several times.
func repeats(wanted []string) bool {
	return len(wanted) > 0 && strings.Contains(wanted[len(wanted)-1], "...")
}

// argName is the name of the i-th argument, or "" if the command takes none there.
func argName(wanted []string, i int) string {
	if repeats(wanted) {
		i = min(i, len(wanted)-1)
	}
	if i >= len(wanted) {
		return ""
	}
	return strings.Trim(wanted[i], "[].")
}

// commandFirst moves the command to the front, so that flags may come before it.
func commandFirst(root *cobra.Command, args []string) []string {
	for i := 0; i < len(args) && args[i] != "--"; i++ {
		if !strings.HasPrefix(args[i], "-") {
			return slices.Concat(args[i:i+1], args[:i], args[i+1:])
		}
		name, _, whole := strings.Cut(strings.TrimLeft(args[i], "-"), "=")
		if f := findFlag(root, nil, name); f != nil && !whole && f.NoOptDefVal == "" {
			i++ // its value
		}
	}
	return args
}

// usageError prints the error for a wrong command line, on one line.
func (c *console) usageError(root *cobra.Command, err error, args []string) {
	name := ""
	if len(args) > 0 && findCommand(root, args[0]) != nil {
		name = args[0]
	}
	for _, arg := range args {
		if arg == "--" {
			break
		}
		c.json = c.json || arg == "--json"
	}
	// pflag takes a word such as -dash for flags of one letter each.
	if flags := new(pflag.NotExistError); errors.As(err, &flags) && name != "" {
		err = fmt.Errorf("%w; an argument that begins with - must come after --", err)
	}
	c.command = name
	c.finish(&usageError{strings.TrimSpace(c.program + " " + name), err})
}

// usageError is wrong usage of a command.
type usageError struct {
	command string
	err     error
}

func (e *usageError) Error() string { return e.err.Error() + "; see " + e.command + " --help" }
