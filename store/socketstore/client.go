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

// Options set how long a client waits. Zero fields, and a nil pointer, mean the
// defaults.
type Options struct {
	// Patience is how long an operation, Dial included, keeps trying while nobody
	// answers at the socket or the server is too busy (default 10 s). A request that was
	// sent in that time still has AnswerTimeout for its answer. A context can end both
	// earlier.
	Patience time.Duration
	// AnswerTimeout limits the time to send one request and to read its answer (default
	// 1 min).
	AnswerTimeout time.Duration
	// Grace is how long the client waits for the answer to a change after the context
	// has ended (default 250 ms). In that time the client withdraws a change that it
	// sent alone and that has not begun; the call then returns the context's error. It
	// does not withdraw a change that it sent together with those of other callers. If
	// the answer comes in time, the call returns that, result or error. Otherwise the
	// error matches store.ErrUnknown.
	Grace time.Duration
}

// Client is a store that another process has open and serves at a Unix socket: see
// [Server]. It implements [store.MetadataStore] and the optional abilities
// [store.PartReader], [store.Lister], [store.PodUpdater] and [store.Watcher]. All
// methods are safe for concurrent use.
//
// An edit runs in the client, on the Pods as it reads them. The client then writes them
// under the condition that their revisions have not changed: see
// [store.EditByRevision].
//
// The client sends each change with an ID, if the server's store keeps IDs. If the
// answer is lost, it sends the change again under the same ID, also to a server that was
// restarted, and the store makes the change once. An error of the server's store matches
// the same sentinels here. Errors of the connection are [store.ErrUnavailable] if the
// change could not be sent, or the server is too busy (nothing was changed),
// [store.ErrUnknown] if the answer to a change is lost for good, [store.ErrForbidden] if
// the server does not permit the request or one side does not trust the other, and
// [store.ErrTooLarge] if the request is larger than the server accepts.
type Client struct {
	opts  Options
	path  string
	pool  pool
	batch *batcher
	alive context.Context // until Close
	end   context.CancelFunc
	// number is the highest revision number that the server has sent.
	number atomic.Uint64
	// noIDs: the server's store keeps no request IDs.
	noIDs atomic.Bool
}

var (
	_ store.MetadataStore = (*Client)(nil)
	_ store.PartReader    = (*Client)(nil)
	_ store.Lister        = (*Client)(nil)
	_ store.PodUpdater    = (*Client)(nil)
	_ store.Watcher       = (*Client)(nil)
)

// Dial returns a client of the server at a Unix socket. The socket must belong to this
// process's user or to root; a client that runs as root trusts any. Dial waits for a
// server that is not there yet. The client reconnects by itself. [Client.Close] frees
// its connections.
//
// Errors: [store.ErrNotFound] if nothing listens there in time, [store.ErrInvalid] if
// the path is too long for a socket or names something else, [store.ErrForbidden] if
// one side does not trust the other, [errors.ErrUnsupported] if what answers there does
// not serve a store.
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
	case noListener(err):
		err = &store.Error{Path: socketPath, Kind: store.ErrNotFound, Err: errors.New("no supervisor serves a store there; start it")}
	}
	return nil, c.named(ping, err)
}

// noListener reports whether err says that nothing listens at the socket.
func noListener(err error) bool {
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
	c.batch = &batcher{pool: &c.pool, timeout: c.opts.AnswerTimeout, grace: c.opts.Grace, turn: make(chan struct{}, 1), waiting: make(chan *member)}
	return c
}

// dialServer connects to a server that this process trusts.
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

// Path returns the socket's path, as it was given to Dial.
func (c *Client) Path() string { return c.path }

// Close frees the client's connections and ends its watches. Operations under way
// finish; later ones fail with [store.ErrClosed].
func (c *Client) Close() error {
	c.end()
	c.pool.close()
	return nil
}

// begin checks what every operation checks first.
func (c *Client) begin(ctx context.Context, r *request) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if c.alive.Err() != nil {
		return &store.Error{Op: r.op, Pod: r.pod, Path: c.path, Kind: store.ErrClosed}
	}
	return nil
}
