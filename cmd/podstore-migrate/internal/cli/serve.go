package cli

import (
	"context"
	"errors"
	"expvar"
	"log/slog"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"podstore/store"
	"podstore/store/boltstore"
	"podstore/store/socketstore"
)

const serveHelp = `Serve opens a database, or creates it, and serves it on a Unix socket until it is
interrupted or terminated. Use it for a supervisor that is not written in Go, and for a
store that outlives its supervisor. Processes of the same user and of root may read and
change everything: in Go with store/socketstore, elsewhere by HTTP, as with curl.
docs/socket.md has the protocol.

The socket has mode 0600. A socket that a dead process left there is replaced. A program
that connects before the database is open waits until it is. When serve is told to stop,
it answers the requests that have begun, for up to ten seconds, removes the socket and
closes the database. If the database becomes unusable, as when the disk fails in the
middle of a commit, serve ends with exit code 1, so that a service manager starts it
again.

Figures are at http://podstore/debug/vars. The log goes to standard error, as JSON with
--json.`

func serveCmd(c *console) *cobra.Command {
	return command(c, "serve [flags] DB SOCKET", "Serve a database on a Unix socket", serveHelp,
		`  podstore-migrate serve pods.db /run/pods.sock
  curl --unix-socket /run/pods.sock http://podstore/v2/pods`,
		func(ctx context.Context, args []string) error { return runServe(ctx, c, args[0], args[1]) })
}

// serveSummary is the summary of serve in JSON.
type serveSummary struct {
	Requests int64 `json:"requests"`
	Changes  int64 `json:"changes"`
}

// untilStopped returns nil when serve is told to stop or the server has ended, and an
// error if the database cannot be served any more.
func untilStopped(ctx context.Context, pods *boltstore.Store, ended <-chan struct{}) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ended:
			return nil
		case <-tick.C:
			if pods.Stats().Unusable {
				return &store.Error{Op: "serve", Path: pods.Path(), Kind: store.ErrUnusable, Err: errors.New("the log says why; see that the disk has room, then start serve again")}
			}
		}
	}
}

// stopTime bounds the time for requests that have begun when serve is told to stop.
const stopTime = 10 * time.Second

func runServe(ctx context.Context, c *console, db, socket string) error {
	if err := c.writable(db); err != nil {
		return err
	}
	c.resume = "nothing was served; run the same command again"
	logger := slog.New(slog.NewTextHandler(c.err, nil))
	if c.json {
		logger = slog.New(slog.NewJSONHandler(c.err, nil))
	}
	// Before the database, so that none is created if the socket cannot be.
	listener, err := socketstore.Listen(socket)
	if err != nil {
		return err
	}
	pods, err := c.open(ctx, db, &boltstore.Options{Logger: logger})
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	vars := map[string]http.Handler{"/debug/vars": expvar.Handler()}
	server := socketstore.NewServer(pods, &socketstore.ServerOptions{Logger: logger, Handlers: vars})
	expvar.Publish("podstore", expvar.Func(func() any { return pods.Stats() }))
	expvar.Publish("socket", expvar.Func(func() any { return server.Stats() }))
	var served error
	ended := make(chan struct{})
	go func() {
		served = server.Serve(listener)
		close(ended)
	}()
	c.say("serving %s on %s", place(nil, db), place(nil, socket))
	if err = untilStopped(ctx, pods, ended); err == nil {
		shut, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
		err = server.Shutdown(shut)
		cancel()
	}
	if err != nil { // a client that does not read, or nothing more can be served
		if errors.Is(err, context.DeadlineExceeded) {
			logger.Warn("podstore: requests were broken off", "after", stopTime)
			err = nil
		}
		err = errors.Join(err, server.Close())
	}
	if <-ended; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	err = errors.Join(err, pods.Close())
	stats := server.Stats()
	c.summary = serveSummary{stats.Requests, stats.Changes}
	if err == nil {
		c.say("stopped; %s, %s", plural(int(stats.Requests), "request"), plural(int(stats.Changes), "change"))
	}
	return err
}
