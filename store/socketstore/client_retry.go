package socketstore

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"podstore/store"
)

// pauses are the times between attempts. Each is longer than the one before, up to a
// limit, and partly random, so that clients do not keep step.
type pauses struct {
	next time.Duration
	end  time.Time // no pause goes beyond it
}

const (
	firstPause = 2 * time.Millisecond
	maxPause   = 250 * time.Millisecond
)

func (c *Client) pauses() *pauses {
	return &pauses{next: firstPause, end: time.Now().Add(c.opts.Patience)}
}

// wait pauses. It returns false if ctx has ended or the time is over.
func (p *pauses) wait(ctx context.Context) bool {
	d := p.next/2 + rand.N(p.next/2)
	p.next = min(2*p.next, maxPause)
	if ctx.Err() != nil || time.Until(p.end) < d {
		return false
	}
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

// retry makes attempts at what changes nothing until one succeeds or another cannot
// help. After an attempt that came further than those before it, its patience starts
// anew.
func (c *Client) retry(ctx context.Context, r *request, attempt func() (further bool, err error)) error {
	for p := c.pauses(); ; {
		if err := c.begin(ctx, r); err != nil {
			return err
		}
		further, err := attempt()
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case final(err):
			return c.named(r, err)
		case further:
			p = c.pauses()
		}
		if !p.wait(ctx) {
			return c.givenUp(ctx, r, err)
		}
	}
}

// ask sends a request that only reads, again and again until the server answers.
func (c *Client) ask(ctx context.Context, r *request) (a *answer, err error) {
	err = c.retry(ctx, r, func() (_ bool, err error) {
		a, _, err = c.send(ctx, r)
		return false, err
	})
	return a, err
}

// change sends changes until the server answers. If the error matches store.ErrUnknown,
// the server may have made them; after any other error it has not.
func (c *Client) change(ctx context.Context, r *request, o store.ApplyOptions) (*answer, error) {
	r.target, r.id = changesTarget(o), ""
	if o.ID != (store.RequestID{}) && !o.Resent && !o.Metadata && len(r.body) < smallBytes/maxBatch {
		r.id = o.ID.String()
	}
	resent, lost := o.Resent, false
	seen := c.number.Load() // before the first attempt
	for p := c.pauses(); ; {
		a, sent, err := c.send(ctx, r)
		switch {
		case err == nil:
			return a, nil
		case final(err) && lost && !looked(err):
			return nil, c.lost(r, err)
		case final(err):
			return nil, err
		case sent && !answered(err):
			lost = true
			if o.ID == (store.RequestID{}) {
				return nil, c.lost(r, err)
			}
			if !resent {
				resent, o.Resent, o.Seen = true, true, seen
				r.id = ""
				r.target = changesTarget(o)
			}
		}
		if err == errGivenUp {
			p = c.pauses() // the server may be well
		}
		if p.wait(ctx) {
			continue
		}
		if resent {
			return nil, c.lost(r, err)
		}
		return nil, c.givenUp(ctx, r, err)
	}
}

// looked reports whether the error shows that the store looked for an earlier attempt
// of the change and did not find it. Any other refusal says nothing about an earlier
// attempt whose answer was lost.
func looked(err error) bool { return store.Unmet(err) || errors.Is(err, store.ErrUnknown) }

// lost is the error for a change whose answer was lost. It does not match the context's
// errors: those promise that nothing was changed.
func (c *Client) lost(r *request, err error) error {
	return &store.Error{Op: r.op, Pod: r.pod, Path: c.path, Kind: store.ErrUnknown, Err: fmt.Errorf("the answer was lost: %v", err)}
}

// givenUp is the error of a reading request, or of a change that was never sent, that
// the client has given up.
func (c *Client) givenUp(ctx context.Context, r *request, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return &store.Error{Op: r.op, Pod: r.pod, Path: c.path, Kind: store.ErrUnavailable, Err: err}
}

// send sends a request once. answered recognizes an error that the server reported.
func (c *Client) send(ctx context.Context, r *request) (a *answer, sent bool, err error) {
	grace := time.Duration(0)
	if r.changes > 0 {
		grace = c.opts.Grace
	}
	if r.id != "" {
		a, sent, err = c.batch.exchange(ctx, r)
	}
	if r.id == "" || err == errAlone {
		r.id = ""
		a, sent, err = c.pool.exchange(ctx, r, c.opts.AnswerTimeout, grace)
	}
	if err == nil && a.status != http.StatusOK {
		err = a.err()
		a.release()
		a = nil
	}
	return a, sent, err
}

// answered reports whether the server itself reported the error. It then has not done
// what the client asked.
func answered(err error) bool {
	_, ok := errors.AsType[*store.Error](err)
	return ok
}

// final reports whether another attempt cannot help.
func final(err error) bool {
	if errors.Is(err, errors.ErrUnsupported) || errors.Is(err, store.ErrUnusable) {
		return true
	}
	for _, passing := range []error{errBusy, store.ErrClosed, context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, passing) {
			return false
		}
	}
	return answered(err)
}

// named adds operation and Pod to an error, and the socket unless the error comes from
// the server's store.
func (c *Client) named(r *request, err error) error {
	e, ok := err.(*store.Error)
	switch {
	case errors.Is(err, context.Canceled) && !ok, errors.Is(err, context.DeadlineExceeded) && !ok:
		return err
	case !ok:
		return &store.Error{Op: r.op, Pod: r.pod, Path: c.path, Err: err}
	case e.Op != "":
		return err
	}
	n := *e
	n.Op = r.op
	if n.Pod == "" {
		n.Pod = r.pod
	}
	if n.Pod == "" && n.Path == "" {
		n.Path = c.path
	}
	return &n
}
