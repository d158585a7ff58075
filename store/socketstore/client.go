package socketstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
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
	// socket, or the server has too much to do (default 10 s). Contexts shorten it.
	Patience time.Duration
	// AnswerTimeout is how long one answer may take (default 1 min).
	AnswerTimeout time.Duration
}

const (
	maxConns   = 64               // of one client; further requests wait
	idleConn   = 30 * time.Second // shorter than the server's
	maxAnswer  = 1 << 30
	graceTime  = 5 * time.Second // for the answer to a change whose context has ended
	largeBody  = 1 << 20         // is not sent before the server has agreed
	dialGiveUp = 5 * time.Second
)

// Client is a store that another process has open and serves at a Unix socket: see
// [Handler]. It implements [store.MetadataStore] and the optional abilities
// [store.Lister] and [store.PodUpdater]. All methods are safe for concurrent use.
//
// An edit runs in the goroutine of its caller, once for each time that another
// writer was quicker. An error that the server's store gave matches the same
// sentinels here. Beside those of package store there are [ErrUnknown],
// [ErrUnavailable], [ErrConflict], [ErrForbidden] and [ErrTooLarge]; the package
// comment says what becomes of a change whose answer is lost.
type Client struct {
	path      string
	opts      Options
	transport *http.Transport
	closed    atomic.Bool
	mark      atomic.Pointer[string] // the newest serverHeader
}

var (
	_ store.MetadataStore = (*Client)(nil)
	_ store.Lister        = (*Client)(nil)
	_ store.PodUpdater    = (*Client)(nil)
)

// Dial connects to the server at a Unix socket, which must belong to this
// process's user or to root (a client that runs as root trusts any). The client
// connects again by itself whenever it must; Close frees what it holds.
//
// Errors: [store.ErrNotFound] when nothing listens there, [ErrForbidden] when one
// side does not trust the other, [errors.ErrUnsupported] when what answers does
// not serve a store.
func Dial(socketPath string, opts *Options) (*Client, error) {
	c := &Client{path: socketPath}
	if opts != nil {
		c.opts = *opts
	}
	set(&c.opts.Patience, 10*time.Second)
	set(&c.opts.AnswerTimeout, time.Minute)
	c.transport = &http.Transport{
		DialContext:            c.dial,
		MaxConnsPerHost:        maxConns,
		MaxIdleConnsPerHost:    maxConns,
		IdleConnTimeout:        idleConn,
		DisableCompression:     true,
		ExpectContinueTimeout:  c.opts.AnswerTimeout,
		ResponseHeaderTimeout:  c.opts.AnswerTimeout,
		MaxResponseHeaderBytes: maxHeader,
	}
	ctx, cancel := context.WithTimeout(context.Background(), dialGiveUp)
	defer cancel()
	_, err := c.once(ctx, &call{op: "open", method: http.MethodHead, path: namesPath})
	if err != nil {
		c.transport.CloseIdleConnections()
		if errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ECONNREFUSED) {
			return nil, &store.Error{Op: "open", Path: socketPath, Kind: store.ErrNotFound,
				Err: errors.New("no supervisor serves a store there; start it")}
		}
		return nil, c.fail("open", "", err)
	}
	return c, nil
}

func (c *Client) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", c.path)
	if err == nil && syscall.Geteuid() != 0 {
		if err = checkPeer(conn); err != nil {
			conn.Close()
		}
	}
	return conn, err
}

// Path is the socket's path, as it was given to Dial.
func (c *Client) Path() string { return c.path }

// Close frees the client's connections. Operations that are under way are
// finished, later ones fail with [store.ErrClosed].
func (c *Client) Close() error {
	c.closed.Store(true)
	c.transport.CloseIdleConnections()
	return nil
}

// begin is what every operation does first.
func (c *Client) begin(ctx context.Context, op, pod string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if c.closed.Load() {
		return &store.Error{Op: op, Pod: pod, Path: c.path, Kind: store.ErrClosed}
	}
	return nil
}

// fail makes an error one that names the operation and the socket.
func (c *Client) fail(op, pod string, err error) error {
	if _, ok := errors.AsType[*store.Error](err); ok {
		return err
	}
	return &store.Error{Op: op, Pod: pod, Path: c.path, Err: err}
}

// answer is what the server says.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// check fails for an answer that is an error, or no answer of a [Handler].
func (a *answer) check() error {
	if a.header.Get(serverHeader) == "" && a.status != http.StatusForbidden && a.status != http.StatusServiceUnavailable {
		return fmt.Errorf("%w: what answers there does not serve a store's operations; mount socketstore.Handler in it", errors.ErrUnsupported)
	}
	if a.status < 300 {
		return nil
	}
	for line := range lines(a.body) {
		var e errorLine
		if json.Unmarshal(line, &e) == nil && e.Error != nil {
			return e.Error.err()
		}
		break
	}
	return fmt.Errorf("the server answered %d %s: %.200q", a.status, http.StatusText(a.status), a.body)
}
