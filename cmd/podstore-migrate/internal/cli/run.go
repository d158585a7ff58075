// Package cli is the command podstore-migrate. The builds of the command differ in the
// kinds of stores that they know, and in whether they have ui.
package cli

import (
	"context"
	"os"
	"os/signal"
	"slices"
	"syscall"
)

// Main runs the command line of this process and returns the exit code. program is the
// program's name in its messages.
func Main(program string, additions ...Addition) int {
	// A reader that closes its pipe early is an error to writes, not a signal that
	// ends the program in the middle of its work.
	signal.Ignore(syscall.SIGPIPE)
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	// A signal that was ignored when the program began stays ignored, as under nohup or in
	// the background of a script. Go cannot tell that of SIGTERM.
	ends := slices.DeleteFunc([]os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP}, signal.Ignored)
	if len(ends) > 0 { // to wait for none would be to wait for all
		ctx, stop = signal.NotifyContext(ctx, ends...)
		defer stop()
		context.AfterFunc(ctx, stop) // a second Ctrl-C ends the program at once
	}
	c := newConsole(os.Stdout, os.Stderr)
	c.program = program
	for _, a := range additions {
		a.addTo(c)
	}
	return c.execute(ctx, os.Args[1:])
}

// execute runs one command line and returns the exit code.
func (c *console) execute(ctx context.Context, args []string) int {
	c.ctx = ctx
	root := newRoot(c)
	if len(args) > 0 && args[0] == askName { // before cobra, which has a command of that name
		c.answer(ctx, root, args[1:])
		c.flush()
		return c.code
	}
	args = commandFirst(root, args)
	root.SetArgs(args)
	if err := root.ExecuteContext(ctx); err != nil {
		c.usageError(root, err, args)
	}
	c.flush() // help
	return c.code
}
