package socketstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"podstore/store"
)

const (
	idleTimeout = time.Minute // longer than a client keeps an idle connection
	maxHeader   = 16 << 10

	// maxReads limits the Pods that the server reads at a time without counting their
	// memory, because it does not know yet that they are large. It reads no more than two
	// for each processor, so that few are half done.
	maxReads = 16

	// maxSizes is how many sizes of lines the server remembers at least.
	maxSizes = 4096
)

// Server serves one store to other processes. All methods are safe for concurrent use.
type Server struct {
	store store.MetadataStore
	opts  ServerOptions
	log   *slog.Logger
	http  http.Server

	memory, small, large, watches, streams, snapshots *budget
	encoded                                           *recent[lineKey, []byte] // so that each change is encoded once for all watches
	alive                                             context.Context          // ends with Shutdown

	sizes    *recent[lineOf, int64] // so that a large line is counted before it is read
	counters counters
	peerOf   func(net.Conn) (peer, error)

	mu    sync.Mutex // guards conns and of
	conns map[*conn]bool
	of    map[int]int // number of connections by process
}

// NewServer returns a server of s. Each request runs in a goroutine of its own, so the
// changes of all clients share the commits of a store that groups them. The server
// reads a whole request before it changes anything. If a client goes away before its
// change has begun, nothing is changed. The caller closes s after [Server.Shutdown].
func NewServer(s store.MetadataStore, opts *ServerOptions) *Server {
	server := &Server{store: s, opts: opts.withDefaults(), encoded: newRecent[lineKey, []byte](cacheBytes), sizes: newRecent[lineOf, int64](maxSizes), conns: map[*conn]bool{}, of: map[int]int{}}
	o := &server.opts
	server.log = o.Logger
	server.memory = newBudget("memory", o.MaxHeld)
	server.small = newBudget("turns for reads", int64(min(2*runtime.GOMAXPROCS(0), maxReads)))
	// The other half of the processors is for what is small.
	server.large = newBudget("turns for what is large", int64(max(1, runtime.GOMAXPROCS(0)/2)))
	server.watches = newBudget("places for watches", int64(o.MaxWatches))
	server.streams = newBudget("places for answers with many Pods", int64(o.MaxStreams))
	server.snapshots = newBudget("places for snapshots", int64(o.MaxSnapshots))
	held := o.Authorize != nil || o.AuthorizeRead != nil
	server.peerOf = func(c net.Conn) (peer, error) { return peerOf(c, held) }
	server.http = http.Server{
		Handler:                      http.HandlerFunc(server.serve),
		ReadTimeout:                  o.Stall, // for a request and the first piece of its body
		WriteTimeout:                 o.Stall,
		IdleTimeout:                  idleTimeout,
		MaxHeaderBytes:               maxHeader,
		DisableGeneralOptionsHandler: true,
		ConnContext:                  func(ctx context.Context, nc net.Conn) context.Context { return context.WithValue(ctx, connKey{}, nc) },
		ConnState:                    server.state,
		ErrorLog:                     slog.NewLogLogger(o.Logger.Handler(), slog.LevelDebug),
	}
	alive, end := context.WithCancel(context.Background())
	server.alive = alive
	server.http.RegisterOnShutdown(end)
	return server
}

// Serve answers requests on the connections of l, such as a listener of [Listen], until
// [Server.Shutdown] or [Server.Close]. It then returns [http.ErrServerClosed]. It
// closes l.
func (s *Server) Serve(l net.Listener) error { return s.http.Serve(&gate{l, s}) }

// Shutdown stops listening, ends the watches, and waits until all requests are answered
// or ctx ends.
func (s *Server) Shutdown(ctx context.Context) error { return s.http.Shutdown(ctx) }

// Close stops at once. Changes that have begun are still made; their clients get no
// answer. Close does not wait for them: Close of the store does.
func (s *Server) Close() error { return s.http.Close() }

// ServerStats are figures of a server. The first three are as of now; the others count
// since NewServer.
type ServerStats struct {
	Connections int   // open connections
	Watches     int   // watches under way
	HeldBytes   int64 // bytes held for clients, of MaxHeld
	Requests    int64
	Changes     int64 // changes answered as made, including those that changed nothing
	Refused     int64 // requests that Authorize or AuthorizeRead refused
	Busy        int64 // requests answered 503
	CutOff      int64 // clients cut off: too slow, or idle while others came
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

// route answers a request, or returns the error for the answer.
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

func (s *Server) fail(w http.ResponseWriter, c *conn, err error) {
	d, status := documentOf(err)
	if _, ok := errors.AsType[withStatus](err); ok {
		w.Header().Set("Connection", "close") // nobody has read its body
	}
	if status == http.StatusServiceUnavailable {
		s.counters.busy.Add(1)
		w.Header().Set("Retry-After", "1")
	}
	_ = s.send(w, &flow{conn: c}, jsonType, status, appendError(nil, d))
	if w.Header().Get("Connection") == "close" {
		c.ends()
	}
}
