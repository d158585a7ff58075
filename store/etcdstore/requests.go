package etcdstore

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"podstore/store"
)

// request returns the context of one request. With it, a server without a leader
// refuses the request at once instead of keeping it until the timeout.
func (s *Store) request(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(clientv3.WithRequireLeader(ctx), s.opts.RequestTimeout)
}

// ask sends a request that only reads. It sends it again if it failed on its way.
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

// patience returns a context for finding out what became of a request. It lasts as long
// as Options.RetryFor, or, once the caller's context has ended, as long as one request.
func (s *Store) patience(ctx context.Context) (context.Context, context.CancelFunc) {
	patient, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.opts.RetryFor)
	stop := context.AfterFunc(ctx, func() {
		timer := time.NewTimer(s.opts.RequestTimeout)
		defer timer.Stop()
		select {
		case <-timer.C:
			cancel()
		case <-patient.Done():
		}
	})
	return patient, func() { stop(); cancel() }
}

// Back-off doubles from the first to the longest pause. Each pause is a random part of
// it.
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
