// Package cli is the command podstore-migrate. Its binaries differ in the kinds of
// stores that they are built with, and in whether they have ui.
package cli

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// Main runs the command line of this process and returns the exit code. program is
// what the program calls itself.
func Main(program string, additions ...Addition) int {
	// A reader that closes its pipe early is an error to writes, not a signal that
	// ends the program in the middle of its work.
	signal.Ignore(syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the program at once
	c := newConsole(os.Stdout, os.Stderr)
	c.program = program
	for _, a := range additions {
		a.addTo(c)
	}
	return c.execute(ctx, os.Args[1:])
}

// execute runs one command line and returns the exit code.
func (c *console) execute(ctx context.Context, args []string) int {
	root := newRoot(c)
	root.SetArgs(args)
	if err := root.ExecuteContext(ctx); err != nil {
		c.usageError(root, err, args)
	}
	c.wrote(c.out.Flush()) // --version
	return c.code
}
