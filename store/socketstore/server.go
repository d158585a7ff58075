package socketstore

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// ServerOptions bound what clients can make the server hold and wait for. Zero
// fields, and a nil pointer, take the defaults.
type ServerOptions struct {
	// MaxConns is how many connections may be open at a time (default 512).
	// Requests on further ones are answered 503.
	MaxConns int
	// MaxRequests is how many requests may be worked on at a time (default 256).
	// Further ones are answered 503.
	MaxRequests int
	// MaxBody is how many bytes the body of one request may have, and the answer
	// with several Pods at one moment (default 96 MiB, enough for a Pod with the
	// largest manifest).
	MaxBody int64
	// MaxHeld is how many bytes of bodies may be held at a time (default 256 MiB,
	// at least MaxBody). Further requests are answered 503.
	MaxHeld int64
	// MaxPods is how many Pods one request may name (default 4096).
	MaxPods int
	// Timeout is how long a change may wait for a commit to begin, and how long a
	// client may take to send or take 256 KiB (default 30 s).
	Timeout time.Duration
}

func (o *ServerOptions) withDefaults() ServerOptions {
	var d ServerOptions
	if o != nil {
		d = *o
	}
	set(&d.MaxConns, 512)
	set(&d.MaxRequests, 256)
	set(&d.MaxBody, 96<<20)
	set(&d.MaxHeld, 256<<20)
	d.MaxHeld = max(d.MaxHeld, d.MaxBody)
	set(&d.MaxPods, 4096)
	set(&d.Timeout, 30*time.Second)
	return d
}

func set[T int | int64 | time.Duration](field *T, value T) {
	if *field <= 0 {
		*field = value
	}
}

const (
	headerTimeout = 10 * time.Second
	idleTimeout   = time.Minute // longer than a client keeps an idle connection
	maxHeader     = 16 << 10
)

// NewServer returns an HTTP server for h, on which [Handler] is mounted. It
// answers only processes that run as this process's user or as root, judged by
// what the system says of each connection; on a system that does not say it
// answers nobody. It bounds the number of connections and how long one may say
// nothing. Serve it on a Unix socket, such as boltstore.ListenUnix gives, and stop
// it with Shutdown, which lets changes that have begun be answered.
func NewServer(h http.Handler, opts *ServerOptions) *http.Server {
	g := &gate{next: h, max: int64(opts.withDefaults().MaxConns)}
	return &http.Server{
		Handler:           g,
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ConnContext:       g.connected,
		ConnState:         g.changed,
	}
}

// gate judges connections.
type gate struct {
	next http.Handler
	max  int64
	open atomic.Int64
}

// verdict is what the gate found of a connection: nil to let it in. A request
// whose context has none did not come through a gate.
type verdict struct{ err error }

type verdictKey struct{}

func (g *gate) connected(ctx context.Context, c net.Conn) context.Context {
	n := g.open.Add(1)
	err := checkPeer(c)
	switch {
	case err != nil:
	case n > 2*g.max:
		// Not even the reading of a request can be afforded.
		c.Close()
		err = errBusy
	case n > g.max:
		err = fmt.Errorf("%w: %d connections are open", errBusy, n)
	}
	return context.WithValue(ctx, verdictKey{}, verdict{err})
}

func (g *gate) changed(_ net.Conn, state http.ConnState) {
	if state == http.StateClosed || state == http.StateHijacked {
		g.open.Add(-1)
	}
}

func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := admitted(r.Context()); err != nil {
		w.Header().Set("Connection", "close")
		sendError(w, err)
		return
	}
	g.next.ServeHTTP(w, r)
}

var errNoGate = errors.New("the handler is not served by socketstore.NewServer, which checks who connects")

// admitted fails for a request of a connection that is not let in.
func admitted(ctx context.Context) error {
	v, ok := ctx.Value(verdictKey{}).(verdict)
	if !ok {
		return fmt.Errorf("%w: %w", ErrForbidden, errNoGate)
	}
	return v.err
}
