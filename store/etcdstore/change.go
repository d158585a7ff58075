package etcdstore

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"podstore/store"
)

// outcome is what became of a transaction that was sent.
type outcome int

const (
	made     outcome = iota
	conflict         // what was read had changed; nothing was written
	notMade          // it failed on its way, and cannot happen any more
	failed           // it was refused, or its outcome is not known
)

// change reads Pods, has plan say what shall be done to them, and does it as one
// transaction; again after a conflict, and after a failure of which it is known
// that nothing was written.
func (s *Store) change(ctx context.Context, op string, names []string, plan func(t *transaction, pods []*pod) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := judge(op, names); err != nil {
		return err
	}
	if err := s.judgeCount(op, names); err != nil {
		return err
	}
	release, err := s.turns.take(ctx, names)
	if err != nil {
		return err
	}
	defer release()
	started := time.Now()
	for attempt := 1; ; attempt++ {
		read, err := s.now().fetch(ctx, op, names, store.ReadOptions{})
		if err != nil {
			return err
		}
		t := s.newTransaction(op, read)
		if err := plan(t, read.pods); err != nil {
			return err
		}
		if len(t.ops) == 0 {
			return nil
		}
		if err := t.finish(); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		result, err := t.commit(ctx)
		switch {
		case result == made:
			return nil
		case result == failed:
			return err
		case time.Since(started) < s.opts.RetryFor:
		case result == conflict:
			return t.failure(store.ErrConflict, fmt.Errorf("%d times in %v; nothing was changed, try again", attempt, s.opts.RetryFor))
		default:
			return t.failure(store.ErrUnavailable, fmt.Errorf("%d times in %v, nothing was changed: %w", attempt, s.opts.RetryFor, err))
		}
		if err := pause(ctx, attempt); err != nil {
			return err
		}
	}
}

// failure is an error about the Pod, where it is one.
func (t *transaction) failure(kind, err error) error {
	e := &store.Error{Op: t.op, Kind: kind, Err: err}
	if len(t.read.pods) == 1 {
		e.Pod = t.read.pods[0].name
	}
	return e
}

// request is the context of one request. A server that has no leader refuses it at
// once then, instead of keeping it until its time is over.
func (s *Store) request(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(clientv3.WithRequireLeader(ctx), s.opts.RequestTimeout)
}

// commit sends the transaction. The context's end does not interrupt it: what
// became of it would not be known then.
func (t *transaction) commit(ctx context.Context) (outcome, error) {
	sent, cancel := t.s.request(context.WithoutCancel(ctx))
	defer cancel()
	resp, err := t.s.client.Txn(sent).If(t.compares...).Then(t.ops...).Commit()
	switch {
	case err == nil && resp.Succeeded:
		return made, nil
	case err == nil:
		return conflict, nil
	case isBusy(err):
		return notMade, plain(err)
	case errors.Is(err, rpctypes.ErrNoSpace):
		// A server says this also of the transaction that it made when it saw that its
		// quota is used up.
		if result, unknown := t.resolve(ctx, err); result != notMade {
			return result, unknown
		}
		return failed, withPod(t.s.failure(t.op, err), t)
	case isRefusal(err):
		return failed, withPod(t.s.failure(t.op, err), t)
	}
	return t.resolve(ctx, err)
}

// withPod names the Pod, where the transaction concerns one.
func withPod(err error, t *transaction) error {
	if e, ok := errors.AsType[*store.Error](err); ok && len(t.read.pods) == 1 {
		e.Pod = t.read.pods[0].name
	}
	return err
}

// Back-off doubles from the first to the longest pause; each is a random part of
// that.
const (
	firstPause   = 2 * time.Millisecond
	longestPause = 250 * time.Millisecond
)

// pause waits before another attempt, or until the context ends.
func pause(ctx context.Context, attempt int) error {
	limit := min(longestPause, firstPause<<min(attempt, 16))
	timer := time.NewTimer(rand.N(limit) + time.Millisecond/4)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// ask sends a request that reads, again when it failed on its way.
func (s *Store) ask(ctx context.Context, op, pod string, ops []clientv3.Op) (*clientv3.TxnResponse, error) {
	started := time.Now()
	for attempt := 1; ; attempt++ {
		sent, cancel := s.request(ctx)
		resp, err := s.client.Txn(sent).Then(ops...).Commit()
		cancel()
		switch {
		case err == nil:
			return resp, nil
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case s.client.Ctx().Err() != nil:
			return nil, &store.Error{Op: op, Pod: pod, Kind: store.ErrClosed, Err: errors.New("the client of etcd was closed")}
		case isRefusal(err) && !isBusy(err):
			err := s.failure(op, err)
			err.Pod = pod
			return nil, err
		case time.Since(started) >= s.opts.RetryFor:
			return nil, &store.Error{Op: op, Pod: pod, Kind: store.ErrUnavailable,
				Err: fmt.Errorf("no answer in %v and %d attempts: %w", s.opts.RetryFor, attempt, plain(err))}
		}
		if err := pause(ctx, attempt); err != nil {
			return nil, err
		}
	}
}
