package socketstore

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// gate lets connections in and bounds them.
type gate struct {
	net.Listener
	server *Server
}

// Accept gives the next connection. One that is refused is given too, and answered
// with the reason.
func (g *gate) Accept() (net.Conn, error) {
	nc, err := g.Listener.Accept()
	if err != nil {
		return nil, err
	}
	s := g.server
	c := &conn{Conn: nc, server: s}
	c.peer, err = s.peerOf(nc)
	c.refused = trusted(c.peer, err)
	c.quiet.Store(time.Now().UnixNano())
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.conns) >= s.opts.MaxConns {
		switch old := s.quietest(); {
		case old != nil:
			old.quiet.Store(0) // so that it is chosen once
			go old.Close()     // it takes the lock
			s.counters.cut.Add(1)
		case len(s.conns) < 2*s.opts.MaxConns:
			c.refused = fmt.Errorf("%w: %d connections are open", errBusy, len(s.conns))
		default: // not even the reading of a request can be afforded
			nc.Close()
		}
	}
	s.conns[c] = true
	return c, nil
}

// quietest is the connection that has waited longest for a request, or nil where
// all have one. Clients connect again by themselves.
func (s *Server) quietest() (old *conn) {
	least := int64(0)
	for c := range s.conns {
		if since := c.quiet.Load(); since != 0 && (old == nil || since < least) {
			old, least = c, since
		}
	}
	return old
}

// conn is one connection of the server.
type conn struct {
	net.Conn
	server  *Server
	refused error        // why it is not let in, or nil
	quiet   atomic.Int64 // since when it has had no request, in Unix nanoseconds, or 0

	mu     sync.Mutex
	peer   peer // the descriptor in it is guarded by mu
	closed bool
}

// Close frees the connection's place.
func (c *conn) Close() error {
	c.mu.Lock()
	if !c.closed {
		c.closed = true
		c.peer.close()
	}
	c.mu.Unlock()
	c.server.mu.Lock()
	delete(c.server.conns, c)
	c.server.mu.Unlock()
	return c.Conn.Close()
}

func (c *conn) peerEnded() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed || c.peer.ended()
}

// state is what net/http tells of a connection.
func (s *Server) state(nc net.Conn, state http.ConnState) {
	c := nc.(*conn)
	switch state {
	case http.StateActive:
		c.quiet.Store(0)
	case http.StateIdle:
		c.quiet.Store(time.Now().UnixNano())
	}
}

// plain is how an answer ends that net/http gives itself, to what is no request.
var plain = []byte("\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n")

// Write writes to the client. What net/http says itself becomes JSON as well.
func (c *conn) Write(p []byte) (int, error) {
	if bytes.HasPrefix(p, []byte("HTTP/1.1 4")) || bytes.HasPrefix(p, []byte("HTTP/1.1 5")) {
		if head, text, ok := bytes.Cut(p, plain); ok {
			b := append(head, "\r\nContent-Type: "+jsonType+"\r\nConnection: close\r\n\r\n"...)
			b = appendError(b, &errorDocument{Kind: "invalid", Op: "request", Reason: string(text)})
			if _, err := c.Conn.Write(b); err != nil {
				return 0, err
			}
			return len(p), nil
		}
	}
	return c.Conn.Write(p)
}

type connKey struct{}

func withConn(ctx context.Context, nc net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, nc)
}

func connOf(r *http.Request) *conn { return r.Context().Value(connKey{}).(*conn) }
