package socketstore

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// gate accepts connections and limits their number.
type gate struct {
	net.Listener
	server *Server
}

// Accept returns the next connection. It also returns one that it refuses, and the
// server answers that with the reason.
func (g *gate) Accept() (net.Conn, error) {
	nc, err := g.Listener.Accept()
	if err != nil {
		return nil, err
	}
	s := g.server
	c := &conn{Conn: nc, server: s}
	c.peer, err = s.peerOf(nc)
	c.pid = c.peer.PID
	c.refused = trusted(c.peer, err)
	c.quiet.Store(time.Now().UnixNano())
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.conns) >= s.opts.MaxConns {
		crowd := s.crowd(c.pid)
		switch old := s.quietest(crowd); {
		case old != nil:
			old.quiet.Store(0) // so that nobody chooses it again
			go old.Close()     // Close takes the lock
			s.counters.cut.Add(1)
		case len(s.conns) >= 2*s.opts.MaxConns: // too many even to read a request and refuse it
			nc.Close()
		case crowd == c.pid:
			c.refused = fmt.Errorf("%w: %d connections are open", errBusy, len(s.conns))
		}
	}
	s.conns[c] = true
	s.of[c.pid]++
	return c, nil
}

// crowd returns the process with the most connections, counting the new one. That
// process pays for there being too many. Otherwise a client that connects again and
// again would take the places of others.
func (s *Server) crowd(newcomer int) int {
	pid, most := newcomer, s.of[newcomer]+1
	for p, n := range s.of {
		if n > most {
			pid, most = p, n
		}
	}
	return pid
}

// quietest returns that connection of a process which has waited longest for a request,
// or nil if all have one. Its client reconnects by itself.
func (s *Server) quietest(pid int) (old *conn) {
	least := int64(0)
	for c := range s.conns {
		if c.pid != pid {
			continue
		}
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
	pid     int          // of the process that connected
	refused error        // why the server refuses it, or nil
	quiet   atomic.Int64 // it has had no request since then (Unix nanoseconds), or 0

	mu     sync.Mutex
	peer   peer // mu guards its descriptor
	closed bool
}

// Close closes the connection and frees its place.
func (c *conn) Close() error {
	c.mu.Lock()
	if !c.closed {
		c.closed = true
		c.peer.close()
	}
	c.mu.Unlock()
	c.server.mu.Lock()
	if c.server.conns[c] {
		delete(c.server.conns, c)
		if c.server.of[c.pid]--; c.server.of[c.pid] == 0 {
			delete(c.server.of, c.pid)
		}
	}
	c.server.mu.Unlock()
	return c.Conn.Close()
}

func (c *conn) peerEnded() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed || c.peer.ended()
}

// ends makes the connection the first to be closed if there are too many: it stays only
// until its client has read the answer.
func (c *conn) ends() { c.quiet.Store(1) }

// state keeps quiet up to date.
func (s *Server) state(nc net.Conn, state http.ConnState) {
	c := nc.(*conn)
	switch state {
	case http.StateActive:
		c.quiet.Store(0)
	case http.StateIdle:
		c.quiet.Store(time.Now().UnixNano())
	}
}

// plain is the end of the head of an answer that net/http itself gives to what is no
// request.
var plain = []byte("\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n")

// Write writes to the client. It turns the answers of net/http itself into JSON.
func (c *conn) Write(p []byte) (int, error) {
	if bytes.HasPrefix(p, []byte("HTTP/1.1 4")) || bytes.HasPrefix(p, []byte("HTTP/1.1 5")) {
		if head, text, ok := bytes.Cut(p, plain); ok {
			b := append(head, "\r\nContent-Type: "+jsonType+"\r\nConnection: close\r\n\r\n"...)
			b = appendError(b, &errorDocument{Kind: "invalid", Op: "request", Reason: string(text)})
			c.ends()
			if _, err := c.Conn.Write(b); err != nil {
				return 0, err
			}
			return len(p), nil
		}
	}
	return c.Conn.Write(p)
}

type connKey struct{}

func connOf(r *http.Request) *conn { return r.Context().Value(connKey{}).(*conn) }
