package cli

import (
	_ "embed"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

const completionHelp = `Completion writes a script that completes commands, flags and names of Pods in a shell.
The shell evaluates no part of a name. To load it:
  bash  source <(podstore-migrate completion bash)
  zsh   podstore-migrate completion zsh >"${fpath[1]}/_podstore-migrate"
  fish  podstore-migrate completion fish | source`

func completionCmd(c *console) *cobra.Command {
	return &cobra.Command{
		Use:   "completion SHELL",
		Short: "Write a completion script for bash, zsh or fish",
		Long:  completionHelp,
		Args: func(cmd *cobra.Command, args []string) error {
			err := takes("completion", "SHELL")(cmd, args)
			if err == nil && completionScripts[args[0]] == "" {
				err = fmt.Errorf("no script is known for %q", args[0])
			}
			if err != nil {
				err = fmt.Errorf("%w; SHELL is %s", err, strings.Join(slices.Sorted(maps.Keys(completionScripts)), ", "))
			}
			return err
		},
		RunE: func(_ *cobra.Command, args []string) error {
			c.command = "completion"
			c.print("%s", strings.ReplaceAll(completionScripts[args[0]], "podstore-migrate", c.program))
			c.finish(nil)
			return nil
		},
	}
}

//go:embed completion.bash
var bashScript string

//go:embed completion.zsh
var zshScript string

//go:embed completion.fish
var fishScript string

var completionScripts = map[string]string{"bash": bashScript, "zsh": zshScript, "fish": fishScript}
