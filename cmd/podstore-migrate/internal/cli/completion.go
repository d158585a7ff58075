package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"podstore/store/boltstore"
	"podstore/store/jsonexport"
)

const completionHelp = `Completion writes a script that lets a shell complete commands, flags and the
names of Pods. To load it:
  bash        source <(podstore-migrate completion bash)
  zsh         podstore-migrate completion zsh >"${fpath[1]}/_podstore-migrate"
  fish        podstore-migrate completion fish | source
  powershell  podstore-migrate completion powershell | Out-String | Invoke-Expression`

func completionCmd(c *console) *cobra.Command {
	return &cobra.Command{
		Use:       "completion SHELL",
		Short:     "Write a completion script for bash, zsh, fish or powershell",
		Long:      completionHelp,
		ValidArgs: []string{"bash", "zsh", "fish", "powershell"},
		Args: func(cmd *cobra.Command, args []string) error {
			err := takes("completion", "SHELL")(cmd, args)
			if err == nil && !slices.Contains(cmd.ValidArgs, args[0]) {
				err = fmt.Errorf("no script is known for %q", args[0])
			}
			if err != nil {
				err = fmt.Errorf("%w; SHELL is bash, zsh, fish or powershell", err)
			}
			return err
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			root := cmd.Root()
			switch args[0] {
			case "bash":
				c.wrote(root.GenBashCompletionV2(c.out, true))
			case "zsh":
				c.wrote(root.GenZshCompletion(c.out))
			case "fish":
				c.wrote(root.GenFishCompletion(c.out, true))
			case "powershell":
				c.wrote(root.GenPowerShellCompletionWithDesc(c.out))
			}
			c.command = "completion"
			c.finish(nil)
			return nil
		},
	}
}

// completeArgs completes the arguments of a command by their kind: files,
// directories, and the names of the Pods in the database before.
func completeArgs(wanted []string) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) >= len(wanted) {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		switch strings.Trim(wanted[len(args)], "[]") {
		case "DIR":
			return nil, cobra.ShellCompDirectiveFilterDirs
		case "POD":
			return podNames(cmd.Context(), args[0]), cobra.ShellCompDirectiveNoFileComp
		}
		return nil, cobra.ShellCompDirectiveDefault
	}
}

// completeFlag completes the value of a flag from a fixed set. A value that ends in
// "=" is to be continued.
func completeFlag(cmd *cobra.Command, flag string, values ...string) {
	err := cmd.RegisterFlagCompletionFunc(flag, func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
		directive := cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
		if strings.HasSuffix(values[0], "=") {
			directive |= cobra.ShellCompDirectiveNoSpace
		}
		return values, directive
	})
	if err != nil {
		panic(err) // there is no such flag
	}
}

// podNames lists Pods for completion, where it can do so at once. Names that a
// line cannot hold are left out.
func podNames(ctx context.Context, db string) []string {
	var names []string
	if path, ok := strings.CutPrefix(db, dirPrefix); ok {
		if d, err := jsonexport.OpenDir(path, &jsonexport.DirOptions{ReadOnly: true}); err == nil {
			names, _ = d.List(ctx)
		}
	} else if s, err := boltstore.Open(db, &boltstore.Options{ReadOnly: true, LockTimeout: 100 * time.Millisecond}); err == nil {
		defer s.Close()
		names, _ = s.List(ctx)
	}
	return slices.DeleteFunc(names, func(name string) bool { return strings.ContainsAny(name, "\n\t") })
}
