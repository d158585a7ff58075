package socketstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"podstore/store"
	"podstore/store/jsonvalue"
	"podstore/store/podjson"
)

// ServerOptions say who may do what, and bound what clients can make the server hold.
// Zero fields, and a nil pointer, take the defaults.
type ServerOptions struct {
	// Authorize is asked before changes are made, all of one request together. An
	// error refuses them: the client's error matches store.ErrForbidden and has its
	// text. Nil permits everything. It is called at the same time for several
	// requests, and must neither change nor keep the changes.
	//
	// Before it is asked, whoever connects must run as this process's user or as root.
	Authorize func(ctx context.Context, who Caller, changes []store.Change) error
	// AuthorizeRead is the same for reading, and for a watch when it begins: of the Pods that are named, or where none
	// is, of everything, snapshots included. Changes that are conditions alone are
	// reading too.
	AuthorizeRead func(ctx context.Context, who Caller, pods []string) error
	// Handlers answer requests for further paths, such as "/debug/vars", of callers that
	// are let in. They are not asked for paths that begin with /v1/ or /v2/.
	Handlers map[string]http.Handler
	// Logger takes what the server has to say. Nil is slog.Default.
	Logger *slog.Logger
	// TempDir is where snapshots are kept until they are sent. Empty is the directory
	// of the store's file, or the system's.
	TempDir string

	// MaxConns is how many connections may be open (default 512). For a further one the
	// process pays that has most of them: its connection is closed that has waited
	// longest for a request. Where all of these have one, a further one of that process
	// is answered 503, and others are let in up to twice as many.
	MaxConns int
	// MaxWatches is how many watches may be under way (default 256). A further one is
	// answered 503. Each takes a connection for as long as it goes on, so it should be
	// less than MaxConns.
	MaxWatches int
	// MaxStreams is how many answers with many Pods may be sent at a time (default 64),
	// and MaxSnapshots how many snapshots (default 4). Others wait for their turn.
	MaxStreams, MaxSnapshots int
	// MaxBody is how many bytes the body of one request may have (default 96 MiB,
	// enough for a Pod with the largest manifest).
	MaxBody int64
	// MaxHeld is how many bytes may be held for clients at a time, requests and
	// answers of more than 64 KiB together (default 192 MiB). Others wait for their
	// turn. One that would need more than all is served alone.
	MaxHeld int64
	// MaxChanges is how many changes one request may have (default 4096).
	MaxChanges int
	// Stall is how long a client may take to send or take 256 KiB (default 10 s). One
	// that takes longer is cut off, and one that takes more than half a second if
	// others wait for what it holds.
	Stall time.Duration
	// Wait is how long a request waits for its turn before it is answered 503 (default
	// 30 s).
	Wait time.Duration
}

func (o *ServerOptions) withDefaults() ServerOptions {
	var d ServerOptions
	if o != nil {
		d = *o
	}
	if d.Logger == nil {
		d.Logger = slog.Default()
	}
	set(&d.MaxConns, 512)
	set(&d.MaxWatches, 256)
	set(&d.MaxStreams, 64)
	set(&d.MaxSnapshots, 4)
	set(&d.MaxBody, 96<<20)
	set(&d.MaxHeld, 192<<20)
	set(&d.MaxChanges, 4096)
	set(&d.Stall, 10*time.Second)
	set(&d.Wait, 30*time.Second)
	return d
}

func set[T int | int64 | time.Duration](field *T, value T) {
	if *field <= 0 {
		*field = value
	}
}

const (
	idleTimeout = time.Minute // longer than a client keeps an idle connection
	maxHeader   = 16 << 10

	// smallBytes is up to which size bytes are not counted: each connection has at
	// most that.
	smallBytes = 64 << 10
	// maxReads is how many Pods are read at a time whose size is not known to be
	// large, and so was not counted before.
	maxReads = 16
)

// Server serves one store to other processes. Its methods are safe for concurrent
// use.
type Server struct {
	store store.MetadataStore
	opts  ServerOptions
	log   *slog.Logger
	http  http.Server

	memory, watches, streams, snapshots *budget
	encoded                             encoded
	alive                               context.Context // until Shutdown

	sizes    sizes
	heaviest atomic.Int64 // of the batches that watches were told
	reads    chan struct{}
	counters counters
	peerOf   func(net.Conn) (peer, error)

	mu    sync.Mutex // guards conns and of
	conns map[*conn]bool
	of    map[int]int // how many of them each process has
}

// NewServer returns a server of s. Every change runs in a goroutine of its own, so
// changes of all clients share the commits of a store that has group commit. A
// request is read whole before anything is changed. A client that goes away before
// its change has begun has changed nothing. Closing s is the caller's, after
// [Server.Shutdown].
func NewServer(s store.MetadataStore, opts *ServerOptions) *Server {
	server := &Server{store: s, opts: opts.withDefaults(), reads: make(chan struct{}, maxReads), conns: map[*conn]bool{}, of: map[int]int{}}
	o := &server.opts
	server.log = o.Logger
	server.memory = newBudget("memory", o.MaxHeld)
	server.watches = newBudget("places for watches", int64(o.MaxWatches))
	server.streams = newBudget("places for answers with many Pods", int64(o.MaxStreams))
	server.snapshots = newBudget("places for snapshots", int64(o.MaxSnapshots))
	held := o.Authorize != nil || o.AuthorizeRead != nil
	server.peerOf = func(c net.Conn) (peer, error) { return peerOf(c, held) }
	server.http = http.Server{
		Handler:                      http.HandlerFunc(server.serve),
		ReadTimeout:                  o.Stall, // of a request and the first piece of its body
		WriteTimeout:                 o.Stall,
		IdleTimeout:                  idleTimeout,
		MaxHeaderBytes:               maxHeader,
		DisableGeneralOptionsHandler: true,
		ConnContext:                  withConn,
		ConnState:                    server.state,
		ErrorLog:                     slog.NewLogLogger(o.Logger.Handler(), slog.LevelDebug),
	}
	alive, end := context.WithCancel(context.Background())
	server.alive = alive
	server.http.RegisterOnShutdown(end)
	return server
}

// Serve answers on the connections of l, such as [Listen] gives, until
// [Server.Shutdown] or [Server.Close], and then returns [http.ErrServerClosed]. It
// closes l.
func (s *Server) Serve(l net.Listener) error { return s.http.Serve(&gate{l, s}) }

// Shutdown stops listening, ends the watches, and waits until all requests are
// answered, or ctx ends.
func (s *Server) Shutdown(ctx context.Context) error { return s.http.Shutdown(ctx) }

// Close stops at once. Changes that have begun are made, and not answered.
func (s *Server) Close() error { return s.http.Close() }

// ServerStats count since the server was made, but for the first three, which are how
// it is now.
type ServerStats struct {
	Connections int   // that are open
	Watches     int   // that are under way
	HeldBytes   int64 // for clients, of MaxHeld
	Requests    int64
	Changes     int64 // that were made, and unmade ones answered as made
	Refused     int64 // by Authorize or AuthorizeRead
	Busy        int64 // answered 503
	CutOff      int64 // clients that were too slow, or idle while others came
}

type counters struct{ requests, changes, refused, busy, cut atomic.Int64 }

// Stats returns the server's figures.
func (s *Server) Stats() ServerStats {
	s.mu.Lock()
	open := len(s.conns)
	s.mu.Unlock()
	c := &s.counters
	return ServerStats{open, int(s.watches.used()), s.memory.used(), c.requests.Load(), c.changes.Load(), c.refused.Load(), c.busy.Load(), c.cut.Load()}
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	c := connOf(r)
	s.counters.requests.Add(1)
	err := c.refused
	if err != nil {
		w.Header().Set("Connection", "close")
	} else {
		err = s.route(w, r, c)
	}
	if err != nil {
		s.fail(w, c, err)
	}
}

// route answers a request, or returns the error to answer with.
func (s *Server) route(w http.ResponseWriter, r *http.Request, c *conn) error {
	method := http.MethodGet
	var handle func(http.ResponseWriter, *http.Request, *conn) error
	switch path := r.URL.Path; {
	case path == changesPath:
		method, handle = http.MethodPost, s.changes
	case path == prefix:
		handle = s.about
	case path == namesPath:
		handle = s.names
	case path == podsPath:
		handle = s.pods
	case path == watchPath:
		if handle = s.watch; r.Method == http.MethodPost {
			method = r.Method
		}
	case strings.HasPrefix(path, podPath):
		handle = s.pod
	case path == snapshotPath:
		handle = s.snapshot
	case strings.HasPrefix(path, formerPrefix):
		return withStatus{fmt.Errorf("%w: this server speaks version 2 of the protocol, below %s", errors.ErrUnsupported, prefix), http.StatusGone}
	case s.opts.Handlers[path] != nil && !strings.HasPrefix(path, prefix):
		s.opts.Handlers[path].ServeHTTP(w, r)
		return nil
	default:
		return withStatus{fmt.Errorf("%w: nothing is served at %.200q", errors.ErrUnsupported, path), http.StatusNotFound}
	}
	if r.Method != method {
		w.Header().Set("Allow", method)
		return withStatus{fmt.Errorf("%w: %s takes %s", errors.ErrUnsupported, r.URL.Path, method), http.StatusMethodNotAllowed}
	}
	return handle(w, r, c)
}

// GET /v2/
func (s *Server) about(w http.ResponseWriter, _ *http.Request, c *conn) error {
	return s.send(w, &flow{conn: c}, jsonType, http.StatusOK, []byte("{\"protocol\":2}\n"))
}

// POST /v2/changes
func (s *Server) changes(w http.ResponseWriter, r *http.Request, c *conn) error {
	opts, err := changeOptions(r.URL.RawQuery)
	if err != nil {
		return err
	}
	f := &flow{conn: c}
	defer s.memory.give(f)
	body, err := s.body(w, r, f)
	if err != nil {
		return err
	}
	changes, err := podjson.DecodeChanges(body.bytes, s.opts.MaxChanges)
	body.release()
	if err != nil {
		return err
	}
	if len(changes) == 0 {
		return invalid("the body has no change")
	}
	ctx := r.Context()
	reads := !slices.ContainsFunc(changes, func(ch store.Change) bool { return ch.Op != nil })
	if !reads {
		if err := s.authorize(ctx, c, changes); err != nil {
			return err
		}
	}
	if reads || opts.Metadata {
		names := namesOf(changes)
		err := s.authorizeRead(ctx, c, names...)
		if err == nil && opts.Metadata {
			err = s.reserve(ctx, f, names)
		}
		if err != nil {
			return err
		}
	}
	applied, err := s.store.Apply(ctx, changes, opts)
	if err != nil {
		return err
	}
	s.counters.changes.Add(int64(len(changes)))
	out := borrow()
	defer out.release()
	for _, a := range applied {
		out.bytes = append(podjson.AppendPod(out.bytes, a), '\n')
	}
	return s.send(w, f, linesType, http.StatusOK, out.bytes)
}

// changeOptions reads the query of changes.
func changeOptions(query string) (*store.ApplyOptions, error) {
	opts := new(store.ApplyOptions)
	for query != "" {
		var pair string
		pair, query, _ = strings.Cut(query, "&")
		key, value, _ := strings.Cut(pair, "=")
		var err error
		switch key {
		case "id":
			if opts.ID, err = store.ParseRequestID(value); err == nil && opts.ID == (store.RequestID{}) {
				err = errors.New("expected a UUID that is not zero")
			}
		case "seen":
			opts.Resent = true
			opts.Seen, err = strconv.ParseUint(value, 10, 64)
		case "return":
			if opts.Metadata = true; value != "metadata" {
				err = errors.New(`expected "metadata"`)
			}
		default:
			err = errors.New(`expected id, seen or return`)
		}
		if err != nil {
			return nil, invalid("query %.80q: %v", pair, reason(err))
		}
	}
	return opts, nil
}

// namesOf are the Pods that changes name, each once.
func namesOf(changes []store.Change) []string {
	names := make([]string, len(changes))
	for i, c := range changes {
		names[i] = c.Pod
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// reserve has what changes will return counted before they are made. A Pod whose
// size is not known is read for that.
func (s *Server) reserve(ctx context.Context, f *flow, names []string) error {
	total := int64(0)
	for _, name := range names {
		key := sizeKey{pod: name}
		size, known := s.sizes.get(key)
		if !known {
			line, err := s.line(ctx, f, key)
			s.memory.give(f)
			if err != nil && !errors.Is(err, store.ErrNotFound) && !errors.Is(err, store.ErrCorrupt) && !errors.Is(err, store.ErrInvalidName) {
				return err
			}
			size = int64(len(line))
		}
		total += size
	}
	if total > smallBytes {
		return s.takeMemory(ctx, f, 2*total)
	}
	return nil
}

// takeMemory waits for memory.
func (s *Server) takeMemory(ctx context.Context, f *flow, n int64) error {
	return s.take(ctx, s.memory, f, n)
}

func (s *Server) take(ctx context.Context, b *budget, f *flow, n int64) error {
	ctx, cancel := context.WithTimeout(ctx, s.opts.Wait)
	defer cancel()
	return b.take(ctx, f, n)
}

// line reads a Pod, or all names, and returns what is answered with it. Where that is
// large it is counted: memory must be given back. So that slow clients cannot make
// the server hold more than it counts, what turns out to be large without having
// been counted is dropped, and read again when there is room.
func (s *Server) line(ctx context.Context, f *flow, key sizeKey) ([]byte, error) {
	for {
		size, _ := s.sizes.get(key)
		if size > smallBytes {
			if err := s.takeMemory(ctx, f, 2*size); err != nil {
				return nil, err
			}
		} else {
			select {
			case s.reads <- struct{}{}:
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		line, err := s.read(ctx, key)
		if size <= smallBytes {
			<-s.reads
		}
		n := int64(len(line))
		s.sizes.put(key, n)
		if n <= smallBytes || s.memory.has(f, n) {
			return line, err
		}
		s.memory.give(f)
	}
}

func (s *Server) read(ctx context.Context, key sizeKey) ([]byte, error) {
	if key.pod == "" {
		names, err := s.store.List(ctx)
		var lines []byte
		for _, name := range names {
			lines = append(jsonvalue.AppendString(lines, name), '\n')
		}
		return lines, err
	}
	m, err := store.ReadPart(ctx, s.store, key.pod, key.part)
	if err != nil {
		return nil, err
	}
	return append(podjson.AppendPod(nil, store.Applied{Pod: m.PodName, Version: m.Version, Metadata: m}), '\n'), nil
}

// GET /v2/names
func (s *Server) names(w http.ResponseWriter, r *http.Request, c *conn) error {
	ctx := r.Context()
	if err := noQuery(r); err != nil {
		return err
	}
	if err := s.authorizeRead(ctx, c); err != nil {
		return err
	}
	f := &flow{conn: c}
	defer s.memory.give(f)
	lines, err := s.line(ctx, f, sizeKey{})
	if err != nil && lines == nil {
		return err
	}
	if err != nil {
		d, _ := documentOf(err)
		lines = appendError(lines, d)
	}
	return s.send(w, f, linesType, http.StatusOK, lines)
}

// GET /v2/pods/NAME
func (s *Server) pod(w http.ResponseWriter, r *http.Request, c *conn) error {
	key := sizeKey{pod: strings.TrimPrefix(r.URL.Path, podPath)}
	var err error
	if key.part, _, err = readOptions(r, false); err != nil {
		return err
	}
	if err := store.ValidateNames("read", []string{key.pod}); err != nil {
		return err
	}
	if err := s.authorizeRead(r.Context(), c, key.pod); err != nil {
		return err
	}
	f := &flow{conn: c}
	defer s.memory.give(f)
	line, err := s.line(r.Context(), f, key)
	if err != nil {
		return err
	}
	return s.send(w, f, linesType, http.StatusOK, line)
}

// GET /v2/pods
func (s *Server) pods(w http.ResponseWriter, r *http.Request, c *conn) error {
	part, after, err := readOptions(r, true)
	if err != nil {
		return err
	}
	ctx := r.Context()
	if err := s.authorizeRead(ctx, c); err != nil {
		return err
	}
	f := &flow{conn: c}
	if err := s.take(ctx, s.streams, f, 1); err != nil {
		return err
	}
	defer s.streams.give(f)
	defer s.memory.give(f) // where the client is cut off
	names, listErr := s.store.List(ctx)
	if listErr != nil && names == nil {
		return listErr
	}
	w.Header().Set("Content-Type", linesType)
	st := &stream{server: s, flow: f, chunk: writer(w)}
	for _, name := range names {
		if name <= after {
			continue
		}
		line, err := s.line(ctx, f, sizeKey{name, part})
		if !errors.Is(err, store.ErrNotFound) {
			st.add(line, err)
		}
		s.memory.give(f)
		if ctx.Err() != nil {
			panic(http.ErrAbortHandler) // so that the answer does not look whole
		}
	}
	if listErr != nil {
		st.add(nil, listErr)
	}
	st.flush()
	return nil
}

// readOptions reads the query of requests that read.
func readOptions(r *http.Request, many bool) (part store.ReadOptions, after string, err error) {
	if r.URL.RawQuery == "" {
		return part, "", nil
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	for key, values := range query {
		for _, value := range values {
			switch {
			case key == "omit" && value == "manifest":
				part.OmitManifest = true
			case key == "omit" && value == "reclaimed":
				part.OmitReclaimed = true
			case key == "after" && many && len(values) == 1:
				after = value
			default:
				err = fmt.Errorf("%.80q has no meaning here; expected omit=manifest or omit=reclaimed", key+"="+value)
			}
		}
	}
	if err != nil {
		return part, "", invalid("query: %v", err)
	}
	return part, after, nil
}

func noQuery(r *http.Request) error {
	if r.URL.RawQuery != "" {
		return invalid("query %.80q: expected none", r.URL.RawQuery)
	}
	return nil
}

func invalid(format string, args ...any) error {
	return &store.Error{Op: "request", Kind: store.ErrInvalid, Err: fmt.Errorf(format, args...)}
}

// reason is an error's text without the kind.
func reason(err error) string {
	if e, ok := errors.AsType[*store.Error](err); ok {
		return e.Reason()
	}
	return err.Error()
}

// body reads the whole body of a request. One that is large is counted: the request
// itself, what is decoded, and the copy that the store makes.
func (s *Server) body(w http.ResponseWriter, r *http.Request, f *flow) (_ *buffer, err error) {
	defer func() {
		if err != nil {
			// Otherwise net/http waits for the rest before it sends the answer.
			w.Header().Set("Connection", "close")
		}
	}()
	n := r.ContentLength
	switch {
	case n < 0:
		return nil, withStatus{invalid("a request with a body needs a Content-Length"), http.StatusLengthRequired}
	case n > s.opts.MaxBody:
		return nil, &store.Error{Op: "request", Kind: store.ErrTooLarge, Err: fmt.Errorf("the body has %d bytes, the limit is %d", n, s.opts.MaxBody)}
	}
	read := func(p []byte) error {
		_, err := io.ReadFull(r.Body, p)
		return err
	}
	b := borrow()
	b.grow(int(min(n, smallBytes)))
	err = read(b.bytes)
	if err == nil && n > smallBytes {
		if err := s.takeMemory(r.Context(), f, 3*n); err != nil {
			return nil, err
		}
		_ = f.conn.SetWriteDeadline(time.Time{}) // net/http says "100 Continue" when it is read
		// It grows with what arrives: clients that only announce much would keep the
		// garbage collector busy.
		for err == nil && len(b.bytes) < int(n) {
			have := len(b.bytes)
			b.grow(min(2*have, int(n)))
			err = f.move(b.bytes[have:], f.conn.SetReadDeadline, read)
		}
	}
	switch {
	case err == nil:
		return b, nil
	case f.gone.Load():
		return nil, errCut
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, invalid("the body did not arrive: %v", err)
	}
	// The client has gone. Whatever is answered, net/http keeps the connection for half
	// a second after it, and clients that come and go would take the places of others.
	b.release()
	panic(http.ErrAbortHandler)
}

// send sends an answer with its length.
func (s *Server) send(w http.ResponseWriter, f *flow, contentType string, status int, body []byte) error {
	h := w.Header()
	h["Content-Type"] = []string{contentType}
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	if len(body) <= smallBytes {
		_ = f.conn.SetWriteDeadline(time.Now().Add(s.opts.Stall))
		w.WriteHeader(status)
		_, _ = w.Write(body) // a client that is gone is told nothing
		return nil
	}
	w.WriteHeader(status)
	if err := f.move(body, f.conn.SetWriteDeadline, writer(w)); err != nil {
		panic(http.ErrAbortHandler)
	}
	return nil
}

func writer(w io.Writer) func([]byte) error {
	return func(p []byte) error {
		_, err := w.Write(p)
		return err
	}
}

// fail answers with an error.
func (s *Server) fail(w http.ResponseWriter, c *conn, err error) {
	defer func() {
		if w.Header().Get("Connection") == "close" {
			c.ends()
		}
	}()
	d, status := documentOf(err)
	if _, ok := errors.AsType[withStatus](err); ok {
		w.Header().Set("Connection", "close") // its body was not read
	}
	if status == http.StatusServiceUnavailable {
		s.counters.busy.Add(1)
		w.Header().Set("Retry-After", "1")
	}
	_ = s.send(w, &flow{conn: c}, jsonType, status, appendError(nil, d))
}

// stream sends lines, errors among them, in pieces. A client that takes too long for
// one is cut off, and so sees that the answer is not whole.
type stream struct {
	server *Server
	flow   *flow
	chunk  func([]byte) error
	buf    []byte
}

// add sends a line, or an error in its place, now or later.
func (st *stream) add(line []byte, err error) {
	if err != nil {
		d, _ := documentOf(err)
		st.buf = appendError(st.buf, d)
		return
	}
	if len(st.buf)+len(line) > smallBytes {
		st.flush()
	}
	if len(line) > smallBytes {
		st.write(line)
		return
	}
	st.buf = append(st.buf, line...)
}

func (st *stream) flush() {
	st.write(st.buf)
	st.buf = st.buf[:0]
}

func (st *stream) write(p []byte) {
	if err := st.flow.move(p, st.flow.conn.SetWriteDeadline, st.chunk); err != nil {
		panic(http.ErrAbortHandler)
	}
}

// buffer is memory for the bytes of one request or answer, which is used again
// after it.
type buffer struct{ bytes []byte }

var buffers = sync.Pool{New: func() any { return new(buffer) }}

// borrow gives an empty buffer.
func borrow() *buffer { return buffers.Get().(*buffer) }

// grow makes the buffer n bytes long and keeps what is in it.
func (b *buffer) grow(n int) {
	if n > cap(b.bytes) {
		b.bytes = append(make([]byte, 0, n), b.bytes...)
	}
	b.bytes = b.bytes[:n]
}

// release ends the use of a buffer, and of its bytes. What is large is not kept.
func (b *buffer) release() {
	if cap(b.bytes) <= smallBytes {
		b.bytes = b.bytes[:0]
		buffers.Put(b)
	}
}
