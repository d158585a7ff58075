package socketstore

import (
	"context"
	"io"
	"net"
	"net/http"
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
	if c != nil && time.Since(c.since) > maxIdle {
		for _, stale := range append(p.idle, c) { // the others have been idle for longer
			stale.Close()
		}
		c, p.idle = nil, nil
	}
	p.mu.Unlock()
	if c != nil {
		return c, true, nil
	}
	nc, err := p.dial(ctx)
	if err != nil {
		<-p.slots
		return nil, false, err
	}
	return newClientConn(nc), false, nil
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

// open sends a request on a connection of its own and returns the answer, whose body
// the caller reads as it arrives. Each read must succeed within timeout. The body ends
// with the context.
func (p *pool) open(ctx context.Context, r *request, timeout time.Duration) (*http.Response, error) {
	nc, err := p.dial(ctx)
	if err != nil {
		return nil, err
	}
	c := newClientConn(nc)
	body := &openBody{conn: c, timeout: timeout, ctx: ctx}
	body.stop = context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	head, err := body.begin(r)
	if err != nil {
		body.Close()
		return nil, err
	}
	body.Reader, head.Body = head.Body, body
	return head, nil
}

// openBody is the body of an answer that arrives bit by bit.
type openBody struct {
	io.Reader
	conn    *clientConn
	timeout time.Duration
	stop    func() bool
	ctx     context.Context
}

// begin sends the request and reads the head of its answer, or the whole of an error.
func (b *openBody) begin(r *request) (*http.Response, error) {
	if err := b.deadline(); err != nil {
		return nil, err
	}
	if _, err := b.conn.Write(r.append(nil)); err != nil {
		return nil, err
	}
	head, err := b.conn.head()
	if err == nil && head.StatusCode != http.StatusOK {
		a := &answer{status: head.StatusCode}
		if a.body, err = io.ReadAll(io.LimitReader(head.Body, smallBytes)); err == nil {
			err = a.err()
		}
	}
	return head, err
}

func (b *openBody) deadline() error {
	if err := b.ctx.Err(); err != nil {
		return err
	}
	if err := b.conn.SetDeadline(time.Now().Add(b.timeout)); err != nil {
		return err
	}
	return b.ctx.Err() // the context may have ended before SetDeadline undid its deadline
}

func (b *openBody) Read(p []byte) (int, error) {
	if err := b.deadline(); err != nil {
		return 0, err
	}
	return b.Reader.Read(p)
}

func (b *openBody) Close() error {
	b.stop()
	return b.conn.Close()
}
