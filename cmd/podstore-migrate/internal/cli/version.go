package cli

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

func versionCmd(c *console) *cobra.Command {
	return command(c, "version", "Print the version of this program", "Version prints the version of this program and of Go.",
		`  podstore-migrate version`,
		func(context.Context, []string) error {
			c.print("%s", c.versionLine())
			c.emit(versionItem{c.head("version"), version(), runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH})
			return nil
		})
}

// versionItem is the version in JSON.
type versionItem struct {
	head
	Version  string `json:"version"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func (c *console) versionLine() string {
	return fmt.Sprintf("%s %s %s %s/%s\n", c.program, version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

// version is what the build recorded.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "(devel)"
	}
	return info.Main.Version
}
