package socketstore

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"syscall"
	"time"

	"podstore/store"
)

const (
	maxConns  = 64               // of one client; further requests wait
	maxIdle   = 30 * time.Second // shorter than the server's idleTimeout
	maxAnswer = 1 << 30
	// largeBody is what is not sent before the server has agreed to take it.
	largeBody = 128 << 10
	// graceTime is how long the answer to a change may take whose context has ended.
	graceTime = 5 * time.Second
)

// call is one request.
type call struct {
	op, pod      string // for errors
	method, path string
	body         []byte
	edit         string // the edit that it is part of
	id, retry    string // of a change
}

// head appends the request without its body.
func (c *call) head(b []byte) []byte {
	b = append(append(append(append(b, c.method...), ' '), c.path...), " HTTP/1.1\r\nHost: podstore\r\n"...)
	if c.method == http.MethodPost {
		b = strconv.AppendInt(append(b, "Content-Length: "...), int64(len(c.body)), 10)
		b = append(b, "\r\n"...)
	}
	for _, h := range [...]struct{ name, value string }{{editHeader, c.edit}, {idHeader, c.id}, {retryHeader, c.retry}, {"Expect", c.expect()}} {
		if h.value != "" {
			b = append(append(append(append(b, h.name...), ": "...), h.value...), "\r\n"...)
		}
	}
	return append(b, "\r\n"...)
}

func (c *call) expect() string {
	if len(c.body) < largeBody {
		return ""
	}
	return "100-continue"
}

// answer is what the server says. Whoever calls release must not use the body after
// that.
type answer struct {
	status int
	header http.Header
	body   []byte
	in     *buffer // nil, or where the body is
}

func (a *answer) release() {
	if a != nil && a.in != nil {
		a.in.giveBack()
		a.in, a.body = nil, nil
	}
}

// conns are the connections of a client. Unlike [http.Transport] they tell how
// much of a request was sent, and can end one half of a connection.
type conns struct {
	path  string
	slots chan struct{} // one for each connection that is in use

	mu     sync.Mutex
	idle   []*conn
	closed bool
}

type conn struct {
	*net.UnixConn
	r     *bufio.Reader
	since time.Time // since when it has been idle
}

// get gives a connection, a used one if there is one.
func (cs *conns) get(ctx context.Context) (c *conn, used bool, err error) {
	select {
	case cs.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, false, ctx.Err()
	}
	cs.mu.Lock()
	var stale []*conn
	for i, idle := range cs.idle {
		if time.Since(idle.since) < maxIdle {
			stale, cs.idle = cs.idle[:i], cs.idle[i:]
			break
		}
	}
	if n := len(cs.idle); n > 0 {
		c, cs.idle = cs.idle[n-1], cs.idle[:n-1]
	}
	cs.mu.Unlock()
	for _, s := range stale {
		s.Close()
	}
	if c != nil {
		return c, true, nil
	}
	var d net.Dialer
	plain, err := d.DialContext(ctx, "unix", cs.path)
	if err == nil && syscall.Geteuid() != 0 {
		if err = checkPeer(plain); err != nil {
			plain.Close()
		}
	}
	if err != nil {
		<-cs.slots
		return nil, false, err
	}
	return &conn{UnixConn: plain.(*net.UnixConn), r: bufio.NewReader(plain)}, false, nil
}

// put takes a connection back.
func (cs *conns) put(c *conn, usable bool) {
	<-cs.slots
	cs.mu.Lock()
	keep := usable && !cs.closed
	if keep {
		c.since = time.Now()
		cs.idle = append(cs.idle, c)
	}
	cs.mu.Unlock()
	if !keep {
		c.Close()
	}
}

// close closes the idle connections, and every other one when it is put back.
func (cs *conns) close() {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.closed = true
	for _, c := range cs.idle {
		c.Close()
	}
	cs.idle = nil
}

// exchange sends a request and reads its answer. sent is whether the server may
// have got the whole request. Where the context ends meanwhile, a change is
// withdrawn, so that its answer says whether it was made; anything else is broken
// off.
func (cs *conns) exchange(ctx context.Context, call *call, timeout time.Duration) (a *answer, sent bool, err error) {
	for {
		c, used, err := cs.get(ctx)
		if err != nil {
			return nil, false, err
		}
		a, sent, err := c.exchange(ctx, call, timeout)
		cs.put(c, err == nil && a.header.Get("Connection") != "close")
		if err != nil && used && !sent && ctx.Err() == nil {
			continue // the server has closed it, or was started again
		}
		return a, sent, err
	}
}

func (c *conn) exchange(ctx context.Context, call *call, timeout time.Duration) (a *answer, sent bool, err error) {
	if err := c.SetDeadline(time.Now().Add(timeout)); err != nil {
		return nil, false, err
	}
	stop := context.AfterFunc(ctx, func() {
		if call.id == "" {
			_ = c.SetDeadline(time.Unix(0, 0))
			return
		}
		// The server sees that nothing more is to come, and answers all the same.
		_ = c.CloseWrite()
		_ = c.SetReadDeadline(time.Now().Add(graceTime))
	})
	defer func() {
		if !stop() && err == nil {
			a.header.Set("Connection", "close") // it is half closed, or about to be
		}
	}()
	b := borrow()
	defer b.giveBack()
	b.bytes = call.head(b.bytes)
	if call.expect() == "" {
		b.bytes = append(b.bytes, call.body...)
		_, err = c.Write(b.bytes)
	} else {
		if _, err = c.Write(b.bytes); err != nil {
			return nil, false, err
		}
		a, err = c.answer(call)
		if err == nil && a.status != http.StatusContinue {
			return a, false, nil
		}
		if err == nil {
			_, err = c.Write(call.body)
		}
	}
	if err != nil {
		return nil, false, err
	}
	a, err = c.answer(call)
	return a, true, err
}

// answer reads one answer.
func (c *conn) answer(call *call) (*answer, error) {
	resp, err := http.ReadResponse(c.r, nil)
	if err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			err = errors.New("the server has closed the connection")
		}
		return nil, err
	}
	a := &answer{status: resp.StatusCode, header: resp.Header}
	if resp.Close {
		a.header.Set("Connection", "close")
	}
	if a.status < 200 {
		return a, nil
	}
	defer resp.Body.Close()
	if resp.ContentLength == 0 {
		return a, nil
	}
	a.in = borrow()
	b := bytes.NewBuffer(a.in.bytes)
	if n := resp.ContentLength; n > 0 && n <= maxAnswer {
		b.Grow(int(n) + bytes.MinRead)
	}
	n, err := b.ReadFrom(io.LimitReader(resp.Body, maxAnswer+1))
	if err == nil && n > maxAnswer {
		err = &store.Error{Op: call.op, Pod: call.pod, Kind: store.ErrTooLarge, Err: fmt.Errorf("the answer has more than %d bytes", maxAnswer)}
	}
	a.in.bytes = b.Bytes()
	a.body = a.in.bytes
	return a, err
}
