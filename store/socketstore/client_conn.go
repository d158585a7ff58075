package socketstore

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"sync"
	"time"
)

const (
	maxConns = 64               // connections of one client; further requests wait
	maxIdle  = 30 * time.Second // shorter than the server's idleTimeout
)

// pool holds the connections of a client. Unlike [http.Transport] it reports how much
// of a request was sent, it can close one half of a connection, and it costs a
// fraction.
type pool struct {
	dial  func(context.Context) (net.Conn, error)
	slots chan struct{} // one element for each connection in use

	mu     sync.Mutex // guards the fields below
	idle   []*clientConn
	closed bool
}

// get returns a connection, if possible one that was used before.
func (p *pool) get(ctx context.Context) (c *clientConn, used bool, err error) {
	select {
	case p.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, false, ctx.Err()
	}
	p.mu.Lock()
	if n := len(p.idle); n > 0 {
		c, p.idle = p.idle[n-1], p.idle[:n-1]
	}
	var stale []*clientConn
	if c != nil && time.Since(c.since) > maxIdle {
		stale = append(p.idle, c) // the others have been idle for longer
		c, p.idle = nil, nil
	}
	p.mu.Unlock()
	for _, s := range stale {
		s.Close()
	}
	if c != nil {
		return c, true, nil
	}
	nc, err := p.dial(ctx)
	if err != nil {
		<-p.slots
		return nil, false, err
	}
	return &clientConn{Conn: nc, r: bufio.NewReader(nc)}, false, nil
}

func (p *pool) put(c *clientConn, usable bool) {
	<-p.slots
	p.mu.Lock()
	keep := usable && !p.closed
	if keep {
		c.since = time.Now()
		p.idle = append(p.idle, c)
	}
	p.mu.Unlock()
	if !keep {
		c.Close()
	}
}

// close closes the idle connections at once, and the others when they are put back.
func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for _, c := range p.idle {
		c.Close()
	}
	p.idle = nil
}

// exchange sends a request and reads its answer. sent reports whether the server may
// have received the whole request. If the context ends first, exchange breaks off. With
// a grace it withdraws the request instead and waits that long for the answer.
func (p *pool) exchange(ctx context.Context, r *request, timeout, grace time.Duration) (a *answer, sent bool, err error) {
	for {
		c, used, err := p.get(ctx)
		if err != nil {
			return nil, false, err
		}
		a, sent, err := c.exchange(ctx, r, timeout, grace)
		p.put(c, err == nil && !a.close)
		if err != nil && used && !sent && ctx.Err() == nil {
			continue // the server closed this connection or was restarted
		}
		return a, sent, err
	}
}

func (c *clientConn) exchange(ctx context.Context, r *request, timeout, grace time.Duration) (a *answer, sent bool, err error) {
	if err := c.SetDeadline(time.Now().Add(timeout)); err != nil {
		return nil, false, err
	}
	if ctx.Done() != nil {
		stop := context.AfterFunc(ctx, func() {
			half, ok := c.Conn.(interface{ CloseWrite() error })
			if !ok || grace == 0 {
				_ = c.SetDeadline(time.Unix(1, 0))
				return
			}
			// The server sees that nothing more will come, and still answers.
			_ = half.CloseWrite()
			_ = c.SetDeadline(time.Now().Add(grace))
		})
		defer func() {
			if !stop() && err == nil {
				a.close = true // the connection is half closed, or about to be
			}
		}()
	}
	b := borrow()
	defer b.release()
	b.bytes = r.append(b.bytes)
	if _, err := c.Write(b.bytes); err != nil {
		return nil, false, err
	}
	if r.asks() {
		// Any other answer than the permission to send the body says why not.
		if a, err := c.answer(); err != nil || a.status != http.StatusContinue {
			return a, false, err
		}
		if _, err := c.Write(r.body); err != nil {
			// The server may have said why it does not take the body.
			if a, err := c.answer(); err == nil {
				a.close = true
				return a, false, nil
			}
			return nil, false, err
		}
	}
	a, err = c.answer()
	return a, true, err
}

// open sends a request on a connection of its own and returns the body of the answer.
// Each read must succeed within timeout. The body ends with the context.
func (p *pool) open(ctx context.Context, r *request, timeout time.Duration) (*answerBody, error) {
	nc, err := p.dial(ctx)
	if err != nil {
		return nil, err
	}
	c := &clientConn{Conn: nc, r: bufio.NewReader(nc)}
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	in := &answerBody{conn: c, timeout: timeout, stop: stop, ctx: ctx}
	if err := in.deadline(); err != nil {
		in.Close()
		return nil, err
	}
	if _, err := c.Write(r.append(nil)); err != nil {
		in.Close()
		return nil, err
	}
	a, err := c.head()
	if err != nil {
		in.Close()
		return nil, err
	}
	if in.answer, in.Reader = a, c.r; a.chunked {
		in.Reader = httputil.NewChunkedReader(c.r)
	} else if a.length >= 0 {
		in.Reader, in.left = io.LimitReader(c.r, a.length), a.length
	}
	if a.status != http.StatusOK {
		defer in.Close()
		if a.body, err = io.ReadAll(io.LimitReader(in, smallBytes)); err != nil {
			return nil, err
		}
		return nil, a.err()
	}
	return in, nil
}

// answerBody is the body of an answer that the caller reads as it arrives.
type answerBody struct {
	*answer
	io.Reader
	conn    *clientConn
	timeout time.Duration
	stop    func() bool
	ctx     context.Context
	left    int64 // bytes still to come, if the server told the length
}

func (in *answerBody) deadline() error {
	if err := in.ctx.Err(); err != nil {
		return err
	}
	if err := in.conn.SetDeadline(time.Now().Add(in.timeout)); err != nil {
		return err
	}
	return in.ctx.Err() // the context may have ended before SetDeadline undid its deadline
}

// Read reads the next bytes. An answer that breaks off gives io.ErrUnexpectedEOF.
func (in *answerBody) Read(p []byte) (int, error) {
	if err := in.deadline(); err != nil {
		return 0, err
	}
	n, err := in.Reader.Read(p)
	if in.left -= int64(n); err == io.EOF && in.left > 0 {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

func (in *answerBody) Close() error {
	in.stop()
	return in.conn.Close()
}
