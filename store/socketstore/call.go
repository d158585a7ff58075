package socketstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync"
	"time"

	"podstore/store"
)

// call is one request, sent as often as it takes.
type call struct {
	op, pod      string // for errors
	method, path string
	body         []byte
	id, retry    string // of a change
}

// errWithdrawn is that a request was given up before the server had all of it.
var errWithdrawn = errors.New("the request was not sent")

// sending follows one request of which it must be known whether the server can
// have got all of it.
type sending struct {
	call   *call
	cancel context.CancelFunc

	mu    sync.Mutex
	ended bool     // the caller's context has
	sent  bool     // the server may have got all of it
	conn  net.Conn // nil until there is one
}

// Read gives the body to the transport, if the caller's context allows it.
type bodyReader struct {
	s    *sending
	left bytes.Reader
}

func (b *bodyReader) Read(p []byte) (int, error) {
	b.s.mu.Lock()
	defer b.s.mu.Unlock()
	if b.s.ended && !b.s.sent {
		return 0, errWithdrawn
	}
	n, err := b.left.Read(p)
	b.s.sent = b.s.sent || b.left.Len() == 0
	return n, err
}

func (*bodyReader) Close() error { return nil }

// end withdraws the request. Where the server may have it already, it is told that
// nothing more is to come, and its answer says whether it had begun.
func (s *sending) end(timeLeft time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	if !s.sent {
		s.cancel()
		return
	}
	if half, ok := s.conn.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite() // a connection that is broken needs none
	}
	time.AfterFunc(timeLeft, s.cancel)
}

// once sends a request and reads the answer. sent is whether the server may have
// got all of it. The end of ctx withdraws a change, and breaks anything else off.
func (c *Client) once(ctx context.Context, call *call) (*answer, error) {
	return c.exchange(ctx, call, nil)
}

func (c *Client) exchange(ctx context.Context, call *call, s *sending) (*answer, error) {
	req, err := http.NewRequestWithContext(ctx, call.method, "http://podstore"+call.path, nil)
	if err != nil {
		return nil, err
	}
	if call.body != nil {
		req.ContentLength = int64(len(call.body))
		req.GetBody = func() (io.ReadCloser, error) {
			if s == nil {
				return io.NopCloser(bytes.NewReader(call.body)), nil
			}
			b := &bodyReader{s: s}
			b.left.Reset(call.body)
			return b, nil
		}
		req.Body, _ = req.GetBody()
		if len(call.body) >= largeBody {
			req.Header.Set("Expect", "100-continue")
		}
	}
	if call.id != "" {
		req.Header.Set(idHeader, call.id)
	}
	if call.retry != "" {
		req.Header.Set(retryHeader, call.retry)
	}
	resp, err := c.transport.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	a := &answer{status: resp.StatusCode, header: resp.Header}
	var b bytes.Buffer
	if n := resp.ContentLength; n > 0 && n <= maxAnswer && call.method != http.MethodHead {
		b.Grow(int(n) + bytes.MinRead)
	}
	n, err := b.ReadFrom(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, err
	case n > maxAnswer:
		return nil, fmt.Errorf("the answer has more than %d bytes", maxAnswer)
	}
	a.body = b.Bytes()
	if mark := resp.Header.Get(serverHeader); mark != "" {
		c.mark.Store(&mark)
	}
	return a, a.check()
}

// sendChange sends a change once. sent tells, of an error that is not the
// server's, whether the server may have got it. A refusal comes with the answer.
func (c *Client) sendChange(ctx context.Context, call *call) (a *answer, sent bool, err error) {
	inner, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.opts.AnswerTimeout)
	defer cancel()
	s := &sending{call: call, cancel: cancel}
	stop := context.AfterFunc(ctx, func() { s.end(graceTime) })
	defer stop()
	inner = httptrace.WithClientTrace(inner, &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
		s.mu.Lock()
		s.conn = info.Conn
		s.mu.Unlock()
	}})
	a, err = c.exchange(inner, call, s)
	s.mu.Lock()
	defer s.mu.Unlock()
	return a, s.sent, err
}

// pauses are the times between attempts: longer each time, up to a limit, and
// shortened at random so that clients do not keep step.
type pauses struct {
	next, most time.Duration
}

// wait pauses. It returns false when ctx or the time until end has run out.
func (p *pauses) wait(ctx context.Context, end time.Time) bool {
	d := time.Duration(rand.Int64N(int64(p.next)) + 1)
	p.next = min(2*p.next, p.most)
	if time.Until(end) < d {
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

const (
	firstPause = 2 * time.Millisecond
	mostPause  = 250 * time.Millisecond
)

// refusal is an error that the server gave: it has not done what was asked.
func refusal(err error) bool {
	_, ok := errors.AsType[*store.Error](err)
	return ok
}

// again reports whether a refusal is one that may pass.
func again(err error) bool {
	for _, kind := range []error{errBusy, store.ErrClosed, context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, kind) && !errors.Is(err, store.ErrUnusable) {
			return true
		}
	}
	return false
}

// ask sends a request that changes nothing until it is answered.
func (c *Client) ask(ctx context.Context, call *call) (*answer, error) {
	if err := c.begin(ctx, call.op, call.pod); err != nil {
		return nil, err
	}
	end := time.Now().Add(c.opts.Patience)
	p := pauses{firstPause, mostPause}
	for {
		a, err := c.once(ctx, call)
		switch {
		case err == nil:
			return a, nil
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case final(err):
			return nil, c.fail(call.op, call.pod, err)
		}
		if !p.wait(ctx, end) {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			return nil, c.fail(call.op, call.pod, fmt.Errorf("%w: %v", ErrUnavailable, err))
		}
	}
}

// final reports whether trying again cannot help.
func final(err error) bool {
	return refusal(err) && !again(err) || errors.Is(err, errors.ErrUnsupported) || errors.Is(err, ErrForbidden)
}
