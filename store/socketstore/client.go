package socketstore

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"podstore/store"
	"podstore/store/jsonvalue"
	"podstore/store/podjson"
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

// Read returns one Pod: see [store.MetadataStore].
func (c *Client) Read(ctx context.Context, name string) (*store.Metadata, error) {
	return c.ReadPart(ctx, name, store.ReadOptions{})
}

// ReadPart reads a part of one Pod: see [store.PartReader].
func (c *Client) ReadPart(ctx context.Context, name string, opts store.ReadOptions) (*store.Metadata, error) {
	r := &request{op: "read", pod: name, method: http.MethodGet, target: podPath + url.PathEscape(name) + omit("?", opts)}
	if err := c.begin(ctx, r); err != nil {
		return nil, err
	}
	if err := store.ValidateNames(r.op, []string{name}); err != nil {
		return nil, err
	}
	a, err := c.ask(ctx, r)
	defer a.release()
	if err != nil {
		return nil, c.named(r, err)
	}
	m, err := c.metadata(a.body, opts)
	if err == nil && m.PodName != name {
		err = fmt.Errorf("the server answers with Pod %.80q", m.PodName)
	}
	if err != nil {
		return nil, c.named(r, err)
	}
	return m, nil
}

func omit(separator string, opts store.ReadOptions) (query string) {
	if opts.OmitManifest {
		query, separator = separator+"omit=manifest", "&"
	}
	if opts.OmitReclaimed {
		query += separator + "omit=reclaimed"
	}
	return query
}

// metadata reads a Pod's line.
func (c *Client) metadata(line []byte, opts store.ReadOptions) (*store.Metadata, error) {
	p, err := podjson.DecodePod(line)
	if err != nil {
		return nil, err
	}
	if p.Metadata == nil {
		return nil, errors.New("the server answers without the Pod's document")
	}
	c.saw(p)
	p.Metadata.Omitted = opts
	return p.Metadata, nil
}

// saw remembers the highest number of a revision.
func (c *Client) saw(p store.Applied) {
	n := p.Version.Revision.Number
	for old := c.number.Load(); n > old && !c.number.CompareAndSwap(old, n); old = c.number.Load() {
	}
}

// List returns the names: see [store.MetadataStore].
func (c *Client) List(ctx context.Context) ([]string, error) {
	r := &request{op: "list", method: http.MethodGet, target: namesPath}
	if err := c.begin(ctx, r); err != nil {
		return nil, err
	}
	a, err := c.ask(ctx, r)
	defer a.release()
	if err != nil {
		return nil, c.named(r, err)
	}
	var names []string
	for line := range lines(a.body) {
		if err := errorIn(line); err != nil {
			return names, err // comes last
		}
		s := jsonvalue.NewScanner(line)
		names = append(names, s.ReadString())
		if err := s.End(); err != nil {
			return nil, c.named(r, err)
		}
	}
	return names, nil
}

// All yields every Pod: see [store.Lister]. It reads a stream, and goes on in
// another one behind the last Pod where that breaks, so the loop may take its time.
func (c *Client) All(ctx context.Context, opts store.ReadOptions) iter.Seq2[*store.Metadata, error] {
	return func(yield func(*store.Metadata, error) bool) {
		r := &request{op: "list", method: http.MethodGet}
		after := ""
		for p := c.pauses(); ; {
			r.target = podsPath + "?after=" + url.QueryEscape(after) + omit("&", opts)
			before := after
			done, err := c.stream(ctx, r, opts, &after, yield)
			switch {
			case done:
				return
			case ctx.Err() != nil:
				yield(nil, ctx.Err())
				return
			case final(err):
				yield(nil, c.named(r, err))
				return
			}
			if after != before {
				p = c.pauses()
			}
			if !p.wait(ctx) {
				yield(nil, c.given(ctx, r, err))
				return
			}
		}
	}
}

// stream yields the Pods of one answer, until it breaks, which is the error, or is
// done.
func (c *Client) stream(ctx context.Context, r *request, opts store.ReadOptions, after *string, yield func(*store.Metadata, error) bool) (done bool, err error) {
	if err := c.begin(ctx, r); err != nil {
		return false, err
	}
	in, err := c.pool.open(ctx, r, c.opts.AnswerTimeout)
	if err != nil {
		return false, err
	}
	defer in.Close()
	reader := bufio.NewReaderSize(in, smallBytes)
	for {
		line, err := readLine(reader)
		if err != nil {
			return err == io.EOF, err
		}
		if err := errorIn(line); err != nil {
			if e, ok := errors.AsType[*store.Error](err); ok && e.Pod != "" {
				*after = e.Pod
			}
			if !yield(nil, err) {
				return true, nil
			}
			continue
		}
		m, err := c.metadata(line, opts)
		if err != nil {
			return false, &store.Error{Op: r.op, Err: err}
		}
		*after = m.PodName
		if !yield(m, nil) {
			return true, nil
		}
	}
}

// readLine reads a line of any length. It ends with a line feed, otherwise it is not
// whole.
func readLine(r *bufio.Reader) ([]byte, error) {
	line, err := r.ReadSlice('\n')
	if err != bufio.ErrBufferFull {
		if err == io.EOF && len(line) > 0 {
			err = io.ErrUnexpectedEOF
		}
		return line, err
	}
	long := append([]byte(nil), line...)
	for err == bufio.ErrBufferFull {
		line, err = r.ReadSlice('\n')
		if long = append(long, line...); len(long) > maxAnswer {
			return nil, fmt.Errorf("a line has more than %d bytes", maxAnswer)
		}
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return long, err
}

// Apply makes changes: see [store.MetadataStore].
func (c *Client) Apply(ctx context.Context, changes []store.Change, opts *store.ApplyOptions) ([]store.Applied, error) {
	r := &request{op: "apply", method: http.MethodPost, changes: true}
	if err := c.begin(ctx, r); err != nil {
		return nil, err
	}
	changes, err := store.Prepare(changes)
	if err != nil {
		return nil, err
	}
	r.pod = changes[0].Pod
	if len(changes) == 1 && changes[0].Op != nil {
		r.op = strings.ReplaceAll(changes[0].Op.Name(), "_", " ")
	}
	body := borrow()
	defer body.release()
	body.bytes = podjson.AppendChanges(body.bytes, changes)
	r.body = body.bytes
	var o store.ApplyOptions
	if opts != nil {
		o = *opts
	}
	own := o.ID == (store.RequestID{}) && !c.noIDs.Load()
	if own {
		o.ID = store.NewRequestID()
	}
	a, err := c.change(ctx, r, o)
	if own && errors.Is(err, errors.ErrUnsupported) {
		// Perhaps for the id's sake. Nothing was changed.
		a.release()
		o.ID = store.RequestID{}
		if a, err = c.change(ctx, r, o); err == nil {
			c.noIDs.Store(true)
		}
	}
	defer a.release()
	if err != nil {
		return nil, c.named(r, err)
	}
	return c.applied(a.body, changes, r)
}

// applied reads the answer to changes, which were made.
func (c *Client) applied(body []byte, changes []store.Change, r *request) ([]store.Applied, error) {
	result := make([]store.Applied, 0, len(changes))
	for line := range lines(body) {
		p, err := podjson.DecodePod(line)
		if err == nil && (len(result) == len(changes) || p.Pod != changes[len(result)].Pod) {
			err = errors.New("it is another Pod's")
		}
		if err != nil {
			return nil, c.named(r, fmt.Errorf("the change was made, and line %d of the answer is not understood: %w", len(result)+1, err))
		}
		c.saw(p)
		result = append(result, p)
	}
	if len(result) < len(changes) {
		return nil, c.named(r, fmt.Errorf("the change was made, and the answer has %d lines for %d changes", len(result), len(changes)))
	}
	return result, nil
}

// Update edits one Pod: see [store.MetadataStore].
func (c *Client) Update(ctx context.Context, name string, edit func(*store.Metadata) error) (*store.Metadata, error) {
	return store.UpdateByPods(ctx, c, name, edit)
}

// UpdatePods edits several Pods: see [store.PodUpdater].
func (c *Client) UpdatePods(ctx context.Context, names []string, edit func(pods []*store.Metadata) error) ([]*store.Metadata, error) {
	return store.EditByRevision(ctx, c, names, edit)
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

// pauses are the times between attempts: longer each time, up to a limit, and
// shortened at random so that clients do not keep step.
type pauses struct {
	next time.Duration
	end  time.Time // after which there are none
}

const (
	firstPause = 2 * time.Millisecond
	maxPause   = 250 * time.Millisecond
)

func (c *Client) pauses() *pauses {
	return &pauses{next: firstPause, end: time.Now().Add(c.opts.Patience)}
}

// wait pauses. It returns false when ctx has ended, or the time is over.
func (p *pauses) wait(ctx context.Context) bool {
	d := p.next/2 + rand.N(p.next/2)
	p.next = min(2*p.next, maxPause)
	if ctx.Err() != nil || time.Until(p.end) < d {
		return false
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// ask sends a request that changes nothing until it is answered.
func (c *Client) ask(ctx context.Context, r *request) (*answer, error) {
	for p := c.pauses(); ; {
		a, _, err := c.send(ctx, r)
		switch {
		case err == nil:
			return a, nil
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case final(err):
			return nil, err
		}
		if !p.wait(ctx) {
			return nil, c.given(ctx, r, err)
		}
	}
}

// given is the error of a request that was given up, and changes nothing.
func (c *Client) given(ctx context.Context, r *request, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return &store.Error{Op: r.op, Pod: r.pod, Path: c.path, Kind: store.ErrUnavailable, Err: err}
}

// change sends changes until they are answered. The error matches store.ErrUnknown
// where it is not known whether they were made, and otherwise they were not.
func (c *Client) change(ctx context.Context, r *request, o store.ApplyOptions) (*answer, error) {
	r.target = changesTarget(o)
	resent, lost := o.Resent, false
	seen := c.number.Load() // before it is sent first
	for p := c.pauses(); ; {
		a, sent, err := c.send(ctx, r)
		switch {
		case err == nil:
			return a, nil
		case final(err) && lost && !looked(err):
			return nil, c.lost(r, err)
		case final(err):
			return nil, err
		case sent && !answered(err):
			lost = true
			if o.ID == (store.RequestID{}) {
				return nil, c.lost(r, err)
			}
			if !resent {
				resent, o.Resent, o.Seen = true, true, seen
				r.target = changesTarget(o)
			}
		}
		if p.wait(ctx) {
			continue
		}
		if resent {
			return nil, c.lost(r, err)
		}
		return nil, c.given(ctx, r, err)
	}
}

// looked reports whether a store gives the error only where it has looked whether the
// change was made before. Any other refusal says nothing of a change that was sent
// before and not answered.
func looked(err error) bool {
	for _, kind := range []error{store.ErrNotFound, store.ErrExists, store.ErrConflict, store.ErrUnknown, store.ErrNoSpace} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}

// lost is the error of a change whose answer was lost. It matches no error of a
// context: with those, nothing was changed.
func (c *Client) lost(r *request, err error) error {
	return &store.Error{Op: r.op, Pod: r.pod, Path: c.path, Kind: store.ErrUnknown, Err: fmt.Errorf("the answer was lost: %v", err)}
}

// changesTarget is what changes are posted to.
func changesTarget(o store.ApplyOptions) string {
	target, separator := changesPath, "?"
	add := func(s string) { target, separator = target+separator+s, "&" }
	if o.ID != (store.RequestID{}) {
		add("id=" + o.ID.String())
	}
	if o.Resent {
		add("seen=" + strconv.FormatUint(o.Seen, 10))
	}
	if o.Metadata {
		add("return=metadata")
	}
	return target
}

// send sends a request once. An error that the server gave is answered.
func (c *Client) send(ctx context.Context, r *request) (a *answer, sent bool, err error) {
	grace := time.Duration(0)
	if r.changes {
		grace = c.opts.Grace
	}
	a, sent, err = c.pool.exchange(ctx, r, c.opts.AnswerTimeout, grace)
	if err == nil && a.status != http.StatusOK {
		err = a.err()
		a.release()
		a = nil
	}
	return a, sent, err
}

// err is the error of an answer that is one.
func (a *answer) err() error {
	line := a.body
	for first := range lines(a.body) {
		line = first
		break
	}
	if err := errorIn(line); err != nil {
		return err
	}
	return fmt.Errorf("%w: what answers there does not serve a store of this version: it says %d %s", errors.ErrUnsupported, a.status, http.StatusText(a.status))
}

// answered reports whether the server gave the error. Then it has not done what was
// asked.
func answered(err error) bool {
	_, ok := errors.AsType[*store.Error](err)
	return ok
}

// final reports whether trying again cannot help.
func final(err error) bool {
	if errors.Is(err, errors.ErrUnsupported) || errors.Is(err, store.ErrUnusable) {
		return true
	}
	for _, passing := range []error{errBusy, store.ErrClosed, context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, passing) {
			return false
		}
	}
	return answered(err)
}

// named makes an error one that names operation and Pod, and the socket where it is
// not the server's store that gave it.
func (c *Client) named(r *request, err error) error {
	e, ok := err.(*store.Error)
	switch {
	case errors.Is(err, context.Canceled) && !ok, errors.Is(err, context.DeadlineExceeded) && !ok:
		return err
	case !ok:
		return &store.Error{Op: r.op, Pod: r.pod, Path: c.path, Err: err}
	case e.Op != "":
		return err
	}
	n := *e
	n.Op = r.op
	if n.Pod == "" {
		n.Pod = r.pod
	}
	if n.Pod == "" && n.Path == "" {
		n.Path = c.path
	}
	return &n
}
