package cli

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

const manHelp = `Man writes the manual to DIR, which it creates if it is missing: a page for this program
and one for each command. To install them:
  podstore-migrate man /usr/local/share/man/man1`

// manCmd writes the manual: one page for the program and one for each command,
// made from the help texts.
func manCmd(c *console) *cobra.Command {
	return &cobra.Command{
		Use:   "man DIR",
		Short: "Write the manual pages to a directory",
		Long:  manHelp,
		Args:  takes("man", "DIR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c.command = "man"
			c.finish(writeManual(args[0], cmd.Root()))
			return nil
		},
	}
}

func writeManual(dir string, root *cobra.Command) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, page := range append(root.Commands(), root) {
		if page.Hidden || page.Name() == "help" {
			continue
		}
		name := strings.ReplaceAll(page.CommandPath(), " ", "-")
		if err := writeManFile(filepath.Join(dir, name+".1"), name, page); err != nil {
			return err
		}
	}
	return nil
}

func writeManFile(path, name string, cmd *cobra.Command) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	writeManPage(f, name, cmd)
	return f.Close()
}

// roff escapes text; a line must not begin with a control character.
func roff(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(s)
	if strings.HasPrefix(s, ".") || strings.HasPrefix(s, "'") {
		s = `\&` + s
	}
	return s
}

// roffText writes paragraphs; lines that are indented stay as they are.
func roffText(w io.Writer, text string) {
	verbatim := false
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		indented := strings.HasPrefix(line, "  ")
		switch {
		case indented && !verbatim:
			fmt.Fprint(w, ".RS 4\n.nf\n")
		case !indented && verbatim:
			fmt.Fprint(w, ".fi\n.RE\n")
		}
		verbatim = indented
		switch {
		case line == "":
			fmt.Fprint(w, ".PP\n")
		case indented:
			fmt.Fprintln(w, roff(line[2:]))
		default:
			fmt.Fprintln(w, roff(line))
		}
	}
	if verbatim {
		fmt.Fprint(w, ".fi\n.RE\n")
	}
}

func writeManPage(w io.Writer, name string, cmd *cobra.Command) {
	fmt.Fprintf(w, ".TH %s 1 \"\" \"podstore %s\" \"podstore manual\"\n", strings.ToUpper(roff(name)), roff(version()))
	fmt.Fprintf(w, ".SH NAME\n%s \\- %s\n", roff(name), roff(cmd.Short))
	use := cmd.UseLine()
	fmt.Fprintf(w, ".SH SYNOPSIS\n%s\n.SH DESCRIPTION\n", roff(use))
	roffText(w, cmd.Long)
	if cmd.HasAvailableSubCommands() {
		fmt.Fprint(w, ".SH COMMANDS\n")
		for _, sub := range cmd.Commands() {
			if !sub.Hidden && sub.Name() != "help" {
				fmt.Fprintf(w, ".TP\n.BR podstore\\-migrate\\-%s (1)\n%s\n", roff(sub.Name()), roff(sub.Short))
			}
		}
	}
	if flags := cmd.NonInheritedFlags(); flags.HasAvailableFlags() {
		fmt.Fprint(w, ".SH OPTIONS\n")
		flags.VisitAll(func(f *pflag.Flag) {
			value, usage := pflag.UnquoteUsage(f)
			fmt.Fprintf(w, ".TP\n\\fB\\-\\-%s\\fR %s\n%s\n", roff(f.Name), roff(value), roff(usage))
		})
	}
	if cmd.Example != "" {
		fmt.Fprint(w, ".SH EXAMPLES\n")
		roffText(w, cmd.Example)
	}
	if cmd.HasParent() {
		fmt.Fprint(w, ".SH EXIT STATUS\nSee \n.BR podstore\\-migrate (1).\n")
	}
}
