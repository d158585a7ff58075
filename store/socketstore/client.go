package socketstore

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"podstore/store"
)

// Options say how long a client waits. Zero fields, and a nil pointer, take the
// defaults.
type Options struct {
	// Patience is how long an operation, Dial included, goes on trying while nobody
	// answers at the socket or the server has too much to do (default 10 s). Contexts
	// shorten it.
	Patience time.Duration
	// AnswerTimeout is how long sending one request and reading its answer may take
	// (default 1 min).
	AnswerTimeout time.Duration
	// Grace is how long the answer to a change is awaited whose context has ended
	// after it was sent (default 250 ms). The change is withdrawn then, and the answer
	// says whether it was made. Without one the error matches store.ErrUnknown.
	Grace time.Duration
}

// Client is a store that another process has open and serves at a Unix socket: see
// [Server]. It implements [store.MetadataStore] and the optional abilities
// [store.PartReader], [store.Lister], [store.PodUpdater] and [store.Watcher]. All methods
// are safe for concurrent use.
//
// An edit runs in the client, on the Pods as they are when it is called, and is
// written under the condition of their revisions: see [store.EditByRevision].
//
// A change is sent with an id of its own. Where its answer is lost it is sent again
// under the same id, to a server that was started meanwhile too, and the store makes
// it once. An error that the server's store gave matches the same sentinels here.
// Those of the way there are [store.ErrUnavailable] when nobody answers or the server
// has too much to do: nothing was changed; [store.ErrUnknown] when the answer to a
// change was lost and cannot be had; [store.ErrForbidden] where the server does not
// permit it, or one side does not trust the other; [store.ErrTooLarge] for more than
// the server takes.
type Client struct {
	opts  Options
	path  string
	pool  pool
	alive context.Context // until Close
	end   context.CancelFunc
	// number is the highest number of a revision that the server has given.
	number atomic.Uint64
	// noIDs says that the server's store keeps no ids of requests.
	noIDs atomic.Bool
}

var (
	_ store.MetadataStore = (*Client)(nil)
	_ store.PartReader    = (*Client)(nil)
	_ store.Lister        = (*Client)(nil)
	_ store.PodUpdater    = (*Client)(nil)
	_ store.Watcher       = (*Client)(nil)
)

// Dial returns a client of the server at a Unix socket, which must belong to this
// process's user or to root (a client that runs as root trusts any). It waits for one
// that is not there yet. The client connects again by itself whenever it must;
// [Client.Close] frees what it holds.
//
// Errors: [store.ErrNotFound] when nothing listens there in time, [store.ErrInvalid]
// for a path that is too long for a socket or that is something else,
// [store.ErrForbidden] when one side does not trust the other,
// [errors.ErrUnsupported] when what answers does not serve a store.
func Dial(ctx context.Context, socketPath string, opts *Options) (*Client, error) {
	c := newClient(socketPath, opts, func(ctx context.Context) (net.Conn, error) { return dialServer(ctx, socketPath) })
	ping := &request{op: "open", method: http.MethodGet, target: prefix}
	err := checkSocketPath(socketPath)
	if err == nil {
		var a *answer
		a, err = c.ask(ctx, ping)
		a.release()
	}
	switch {
	case err == nil:
		return c, nil
	case nobody(err):
		err = &store.Error{Path: socketPath, Kind: store.ErrNotFound, Err: errors.New("no supervisor serves a store there; start it")}
	}
	return nil, c.named(ping, err)
}

// nobody reports whether nobody listens.
func nobody(err error) bool {
	return errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ECONNREFUSED)
}

func newClient(path string, opts *Options, dial func(context.Context) (net.Conn, error)) *Client {
	c := &Client{path: path}
	c.alive, c.end = context.WithCancel(context.Background())
	if opts != nil {
		c.opts = *opts
	}
	set(&c.opts.Patience, 10*time.Second)
	set(&c.opts.AnswerTimeout, time.Minute)
	set(&c.opts.Grace, 250*time.Millisecond)
	c.pool.dial, c.pool.slots = dial, make(chan struct{}, maxConns)
	return c
}

// dialServer connects to a server that is trusted.
func dialServer(ctx context.Context, path string) (net.Conn, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", path)
	if err != nil {
		if info, statErr := os.Lstat(path); statErr == nil && info.Mode()&(os.ModeSocket|os.ModeSymlink) == 0 {
			return nil, &store.Error{Path: path, Kind: store.ErrInvalid, Err: errors.New("this is not a socket")}
		}
		if errors.Is(err, os.ErrPermission) {
			return nil, &store.Error{Path: path, Kind: store.ErrForbidden, Err: err}
		}
		return nil, err
	}
	if syscall.Geteuid() != 0 {
		if err := trusted(peerOf(c, false)); err != nil {
			c.Close()
			return nil, err
		}
	}
	return c, nil
}

// Path is the socket's path, as it was given to Dial.
func (c *Client) Path() string { return c.path }

// Close frees the client's connections. Operations that are under way are
// finished, later ones fail with [store.ErrClosed], and watches end with it.
func (c *Client) Close() error {
	c.end()
	c.pool.close()
	return nil
}

// begin is what every operation does first.
func (c *Client) begin(ctx context.Context, r *request) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if c.alive.Err() != nil {
		return &store.Error{Op: r.op, Pod: r.pod, Path: c.path, Kind: store.ErrClosed}
	}
	return nil
}
