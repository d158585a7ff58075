package socketstore

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"syscall"
	"time"

	"podstore/store"
)

// Options say how long a client waits. Zero fields, and a nil pointer, take the
// defaults.
type Options struct {
	// Patience is how long an operation goes on trying while nobody answers at the
	// socket, the server has too much to do, or other writers are quicker (default
	// 10 s). Contexts shorten it.
	Patience time.Duration
	// AnswerTimeout is how long sending one request and reading its answer may take
	// (default 1 min).
	AnswerTimeout time.Duration
}

// Client is a store that another process has open and serves at a Unix socket: see
// [Handler]. It implements [store.MetadataStore] and the optional abilities
// [store.Lister] and [store.PodUpdater]. All methods are safe for concurrent use.
//
// An edit runs in the goroutine of its caller, on the Pods as they were when this
// client saw them last, or as they are where others had changed them before, and
// again on what is there now where that has changed.
//
// An error that the server's store gave matches the same sentinels here. Those of
// the way there are [store.ErrUnavailable] when nobody answers or the server has too
// much to do, [store.ErrConflict] when others were quicker each time,
// [store.ErrTooLarge] for more bytes or Pods than the server takes,
// [store.ErrUnknown] when the answer to a change was lost, of which the package
// comment says more, and [ErrForbidden].
type Client struct {
	opts   Options
	conns  *conns
	seen   seen
	closed atomic.Bool
	mark   atomic.Pointer[string] // the newest serverHeader
}

var (
	_ store.MetadataStore = (*Client)(nil)
	_ store.Lister        = (*Client)(nil)
	_ store.PodUpdater    = (*Client)(nil)
)

// dialTimeout bounds what Dial asks.
const dialTimeout = 5 * time.Second

// Dial connects to the server at a Unix socket, which must belong to this
// process's user or to root (a client that runs as root trusts any). The client
// connects again by itself whenever it must; Close frees what it holds.
//
// Errors: [store.ErrNotFound] when nothing listens there, [ErrForbidden] when one
// side does not trust the other, [errors.ErrUnsupported] when what answers does
// not serve a store.
func Dial(socketPath string, opts *Options) (*Client, error) {
	c := &Client{conns: &conns{path: socketPath, slots: make(chan struct{}, maxConns)}}
	if opts != nil {
		c.opts = *opts
	}
	set(&c.opts.Patience, 10*time.Second)
	set(&c.opts.AnswerTimeout, time.Minute)
	ctx, cancel := context.WithTimeout(context.Background(), dialTimeout)
	defer cancel()
	ping := &call{op: "open", method: http.MethodPost, path: readPath}
	_, _, err := c.send(ctx, ping)
	switch {
	case err == nil:
		return c, nil
	case errors.Is(err, syscall.ENOENT), errors.Is(err, syscall.ECONNREFUSED):
		err = &store.Error{Op: "open", Path: socketPath, Kind: store.ErrNotFound, Err: errors.New("no supervisor serves a store there; start it")}
	default:
		err = c.fail(ping, err)
	}
	c.conns.close()
	return nil, err
}

// Path is the socket's path, as it was given to Dial.
func (c *Client) Path() string { return c.conns.path }

// Close frees the client's connections. Operations that are under way are
// finished, later ones fail with [store.ErrClosed].
func (c *Client) Close() error {
	c.closed.Store(true)
	c.conns.close()
	return nil
}

// begin is what every operation does first.
func (c *Client) begin(ctx context.Context, op, pod string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if c.closed.Load() {
		return &store.Error{Op: op, Pod: pod, Path: c.conns.path, Kind: store.ErrClosed}
	}
	return nil
}
