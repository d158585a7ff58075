package socketstore

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"podstore/store"
)

// This is a network in memory, for tests with synctest: minutes of time limits take
// milliseconds. Its connections have buffers, deadlines and ends that close separately,
// like those of Unix sockets.

const fakeBuffer = 64 << 10

// oneWay carries bytes from one end to the other.
type oneWay struct {
	mu       sync.Mutex
	changed  *sync.Cond
	buf      []byte
	ended    bool // the writer sends nothing more
	broken   bool // the reader takes nothing more
	deadline [2]time.Time
	timers   [2]*time.Timer
}

const reading, writing = 0, 1

func newOneWay() *oneWay {
	w := &oneWay{}
	w.changed = sync.NewCond(&w.mu)
	return w
}

func (w *oneWay) late(side int) bool {
	d := w.deadline[side]
	return !d.IsZero() && !time.Now().Before(d)
}

func (w *oneWay) setDeadline(side int, t time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.deadline[side] = t
	if w.timers[side] != nil {
		w.timers[side].Stop()
	}
	if d := time.Until(t); !t.IsZero() && d > 0 {
		w.timers[side] = time.AfterFunc(d, w.changed.Broadcast)
	}
	w.changed.Broadcast()
}

func (w *oneWay) read(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		switch {
		case w.broken:
			return 0, net.ErrClosed
		case w.late(reading):
			return 0, os.ErrDeadlineExceeded
		case len(w.buf) > 0:
			n := copy(p, w.buf)
			w.buf = append(w.buf[:0], w.buf[n:]...)
			w.changed.Broadcast()
			return n, nil
		case w.ended:
			return 0, io.EOF
		}
		w.changed.Wait()
	}
}

func (w *oneWay) write(p []byte) (n int, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(p) > 0 {
		switch room := fakeBuffer - len(w.buf); {
		case w.ended:
			return n, net.ErrClosed
		case w.broken:
			return n, syscall.EPIPE
		case w.late(writing):
			return n, os.ErrDeadlineExceeded
		case room > 0:
			k := min(room, len(p))
			w.buf = append(w.buf, p[:k]...)
			n, p = n+k, p[k:]
			w.changed.Broadcast()
			continue
		}
		w.changed.Wait()
	}
	return n, nil
}

func (w *oneWay) end(side int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if side == reading {
		w.broken = true
	} else {
		w.ended = true
	}
	w.changed.Broadcast()
}

// fakeConn is one end of a connection.
type fakeConn struct{ in, out *oneWay }

func fakePair() (a, b *fakeConn) {
	x, y := newOneWay(), newOneWay()
	return &fakeConn{x, y}, &fakeConn{y, x}
}

func (c *fakeConn) Read(p []byte) (int, error)  { return c.in.read(p) }
func (c *fakeConn) Write(p []byte) (int, error) { return c.out.write(p) }
func (c *fakeConn) CloseWrite() error           { c.out.end(writing); return nil }
func (c *fakeConn) Close() error                { c.out.end(writing); c.in.end(reading); return nil }
func (c *fakeConn) LocalAddr() net.Addr         { return &net.UnixAddr{Name: "fake", Net: "unix"} }
func (c *fakeConn) RemoteAddr() net.Addr        { return c.LocalAddr() }
func (c *fakeConn) SetReadDeadline(t time.Time) error {
	c.in.setDeadline(reading, t)
	return nil
}
func (c *fakeConn) SetWriteDeadline(t time.Time) error {
	c.out.setDeadline(writing, t)
	return nil
}
func (c *fakeConn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// fakeNet is a place for a server to listen. Its fields decide what happens to
// connections.
type fakeNet struct {
	t  *testing.T
	mu sync.Mutex
	l  *fakeListener
	// between gets both ends of each connection instead of joining them.
	between func(client, server net.Conn)
	dialled int
	made    int // changes that a test has counted
}

type fakeListener struct {
	at     *fakeNet
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (l *fakeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *fakeListener) Close() error {
	l.once.Do(func() {
		close(l.closed)
		l.at.mu.Lock()
		if l.at.l == l {
			l.at.l = nil
		}
		l.at.mu.Unlock()
		for { // the system resets what nobody has accepted
			select {
			case c := <-l.conns:
				c.Close()
			default:
				return
			}
		}
	})
	return nil
}

func (l *fakeListener) Addr() net.Addr { return &net.UnixAddr{Name: "fake", Net: "unix"} }

// listen listens. Nobody answers until a server serves the listener.
func (n *fakeNet) listen() *fakeListener {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.l = &fakeListener{at: n, conns: make(chan net.Conn, 1000), closed: make(chan struct{})}
	return n.l
}

func (n *fakeNet) dial(ctx context.Context) (net.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.dialled++
	if n.l == nil {
		return nil, syscall.ECONNREFUSED
	}
	client, server := fakePair()
	if n.between == nil {
		n.l.conns <- server
		return client, nil
	}
	middleClient, middleServer := fakePair()
	n.l.conns <- middleServer
	go n.between(server, middleClient)
	return client, nil
}

// fakeServer is a server on a fakeNet.
type fakeServer struct {
	*Server
	done chan error
	pid  atomic.Int64 // of whoever connects
}

func (n *fakeNet) serve(s store.MetadataStore, opts *ServerOptions) *fakeServer {
	var o ServerOptions
	if opts != nil {
		o = *opts
	}
	o.Logger = slog.New(slog.DiscardHandler)
	server := &fakeServer{Server: NewServer(s, &o), done: make(chan error, 1)}
	server.pid.Store(1)
	server.peerOf = func(net.Conn) (peer, error) {
		return peer{Caller{UID: uint32(os.Geteuid()), PID: int(server.pid.Load())}, -1}, nil
	}
	l := n.listen()
	go func() { server.done <- server.Serve(l) }()
	n.t.Cleanup(func() { server.Close() })
	return server
}

// stop ends a server at once, as a kill does.
func (s *fakeServer) stop(t *testing.T) {
	t.Helper()
	_ = s.Close()
	if err := <-s.done; !errors.Is(err, http.ErrServerClosed) {
		t.Error(err)
	}
}

func (n *fakeNet) client(opts *Options) *Client {
	c := newClient("fake", opts, n.dial)
	n.t.Cleanup(func() { c.Close() })
	return c
}

// fake runs a test in a bubble of time with a network.
func fake(t *testing.T, f func(t *testing.T, n *fakeNet)) {
	synctest.Test(t, func(t *testing.T) {
		// net/http waits half a second before it closes some connections.
		t.Cleanup(func() { time.Sleep(time.Second) })
		f(t, &fakeNet{t: t})
	})
}
