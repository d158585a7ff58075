package cli

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"podstore/store"
)

// Addition is an optional part of a build: a [Scheme] or a [Viewer].
type Addition interface{ addTo(*console) }

func (s Scheme) addTo(c *console) { c.schemes = append(c.schemes, s) }

func (v Viewer) addTo(c *console) { c.viewer = v }

// Viewer is the command ui, which shows Pods in the terminal and which only some builds
// have.
type Viewer struct {
	// View shows a source on standard output, which is a terminal, until the operator
	// quits or the context ends. It returns with the terminal as it was.
	View func(ctx context.Context, from Source) error
}

// Source is what a [Viewer] shows.
type Source struct {
	Name string // the argument of the command line, without characters that a terminal acts upon
	// Live says to open the store once and watch it. Otherwise it is a file, which must
	// be opened for each look and closed at once: while it is open, its supervisor
	// cannot start.
	Live bool
	// Open opens the store for reading.
	Open func(ctx context.Context) (store.MetadataStore, io.Closer, error)
}

const uiHelp = `Ui shows the tree of Pods in the terminal, live: children below their parents, which Pods
are active, what changed just now. / filters, enter shows a Pod with parents, children,
peers and manifest, H its history, c what changed; ? lists all keys, q quits. It
changes nothing.

Ui shows changes of a supervisor's store as they happen. If a store cannot be watched, it
reads all Pods again, each second or less often. It shows a file as it was when it was
read, and r reads it again; the file is locked only while it is read.

podstore-migrate-ui is the build that has it: make build-ui.`

func uiCmd(c *console) *cobra.Command {
	return command(c, "ui [flags] DB", "Show the tree of Pods in the terminal, live", uiHelp,
		`  podstore-migrate-ui ui unix:/run/supervisor.sock
  podstore-migrate-ui ui pods.db`,
		func(ctx context.Context, args []string) error { return runUI(ctx, c, args[0]) })
}

func runUI(ctx context.Context, c *console, db string) error {
	c.resume = "ui changes nothing"
	s, err := c.parseLocation(db)
	switch {
	case err != nil:
		return err
	case c.viewer.View == nil:
		return c.misuse("this build has no ui; podstore-migrate-ui does: make build-ui")
	case c.json:
		return c.misuse("--json: ui is for a terminal; list and tree write JSON")
	case !c.terminal:
		return c.misuse("standard output is no terminal; list and tree write text")
	}
	from := Source{Name: s.name(), Live: s.kind != kindFile}
	from.Open = func(ctx context.Context) (store.MetadataStore, io.Closer, error) {
		o, err := c.openLive(ctx, s)
		if err != nil {
			return nil, nil, err
		}
		return o.MetadataStore, o, nil
	}
	return c.viewer.View(ctx, from)
}

// openLive opens a place for reading, like readLocation, but the store itself and not one moment
// of it.
func (c *console) openLive(ctx context.Context, s location) (opened, error) {
	c.db = s
	switch s.kind {
	case kindSocket:
		return dial(ctx, s.path)
	case kindServers:
		return c.openScheme(ctx, s, true)
	}
	return c.readLocation(ctx, s, 0)
}
