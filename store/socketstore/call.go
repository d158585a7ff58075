package socketstore

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"podstore/store"
)

// pauses are the times between attempts: longer each time, up to a limit, and
// shortened at random so that clients do not keep step.
type pauses struct {
	next, most time.Duration
	end        time.Time // after which there are none
}

// pauses are those of one request.
func (c *Client) pauses() *pauses {
	return &pauses{next: 2 * time.Millisecond, most: 250 * time.Millisecond, end: time.Now().Add(c.opts.Patience)}
}

// conflictPauses are those of an edit for which others were quicker. They are
// short: each time somebody has got on. The first time there is none, since the
// server keeps its turn for who comes back at once.
func (c *Client) conflictPauses() *pauses {
	return &pauses{next: 0, most: 5 * time.Millisecond, end: time.Now().Add(c.opts.Patience)}
}

// wait pauses. It returns false when ctx has ended, or the time is over.
func (p *pauses) wait(ctx context.Context) bool {
	d := time.Duration(rand.Int64N(int64(p.next) + 1))
	p.next = min(max(2*p.next, 100*time.Microsecond), p.most)
	if ctx.Err() != nil || time.Until(p.end) < d {
		return false
	}
	if d == 0 {
		return true
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

// ask sends a request that changes nothing until it is answered.
func (c *Client) ask(ctx context.Context, call *call) (*answer, error) {
	if err := c.begin(ctx, call.op, call.pod); err != nil {
		return nil, err
	}
	for p := c.pauses(); ; {
		a, _, err := c.send(ctx, call)
		switch {
		case err == nil:
			return a, nil
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case final(err):
			return a, c.fail(call, err)
		}
		if !p.wait(ctx) {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			return nil, c.fail(call, fmt.Errorf("%w: %v", store.ErrUnavailable, err))
		}
	}
}

// change sends a request that changes something until it is answered. The error
// matches store.ErrUnknown where it is not known whether the change was made, and
// otherwise it was not. An error of the server comes with its answer.
func (c *Client) change(ctx context.Context, call *call) (*answer, error) {
	if err := c.begin(ctx, call.op, call.pod); err != nil {
		return nil, err
	}
	mark := *c.mark.Load()
	for p := c.pauses(); ; {
		a, sent, err := c.send(ctx, call)
		switch {
		case err == nil:
			return a, nil
		case final(err):
			return a, c.fail(call, err)
		case sent && !refusal(err):
			call.retry = mark
		}
		if p.wait(ctx) {
			continue
		}
		switch {
		case call.retry != "":
			return nil, c.fail(call, fmt.Errorf("%w: %v", store.ErrUnknown, err))
		case ctx.Err() != nil:
			return nil, ctx.Err()
		}
		return nil, c.fail(call, fmt.Errorf("%w: %v", store.ErrUnavailable, err))
	}
}

// send sends a request once. An error that the server gave comes with its answer.
func (c *Client) send(ctx context.Context, call *call) (a *answer, sent bool, err error) {
	a, sent, err = c.conns.exchange(ctx, call, c.opts.AnswerTimeout)
	if err != nil {
		return nil, sent, err
	}
	if mark := a.header.Get(serverHeader); mark != "" {
		c.mark.Store(&mark)
	}
	return a, sent, a.check()
}

// check fails for an answer that is an error, or that no [Handler] gave.
func (a *answer) check() error {
	first, _, _ := bytes.Cut(a.body, []byte("\n"))
	var e errorLine
	switch {
	case a.status >= 300 && json.Unmarshal(first, &e) == nil && e.Error != nil:
		return e.Error.err()
	case a.header.Get(serverHeader) == "":
		return fmt.Errorf("%w: what answers there does not serve a store's operations; mount socketstore.Handler in it", errors.ErrUnsupported)
	case a.status >= 300:
		return fmt.Errorf("the server answered %d %s: %.200q", a.status, http.StatusText(a.status), a.body)
	}
	return nil
}

// refusal reports whether the server gave the error. Then it has not done what was
// asked.
func refusal(err error) bool {
	_, ok := errors.AsType[*store.Error](err)
	return ok
}

// final reports whether trying again cannot help.
func final(err error) bool {
	if errors.Is(err, errors.ErrUnsupported) || errors.Is(err, ErrForbidden) || errors.Is(err, store.ErrUnusable) {
		return true
	}
	for _, passing := range []error{errBusy, store.ErrClosed, context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, passing) {
			return false
		}
	}
	return refusal(err)
}

// fail makes an error one that names operation, Pod and socket.
func (c *Client) fail(call *call, err error) error {
	if refusal(err) {
		return err
	}
	return &store.Error{Op: call.op, Pod: call.pod, Path: c.conns.path, Err: err}
}
