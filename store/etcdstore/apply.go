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
	"podstore/store/internal/codec"
)

const opApply = "apply"

// application is one Apply.
type application struct {
	s       *Store
	changes []store.Change
	opts    store.ApplyOptions
	names   []string          // the Pods that the changes name, each once
	removes []string          // those of them that are to be removed
	omit    store.ReadOptions // what need not be read of a Pod
	id      codec.MadeID      // what is noted of it

	refs *references // to removes

	since int64 // a revision at which nothing of it was made
	// unclear says, of a request that was sent, why it is not known what became of it.
	// lost says so too where there was no answer: then it may even happen later.
	unclear, lost error
}

// outcome is what became of an attempt.
type outcome int

const (
	done     outcome = iota
	conflict         // what was read had changed; nothing was written
	busy             // the servers refused it for now
	unclear          // nobody has said
)

func (s *Store) newApplication(changes []store.Change, opts *store.ApplyOptions) (*application, error) {
	a := &application{s: s}
	if opts != nil {
		a.opts = *opts
	}
	needs := store.FieldSet(0)
	if a.opts.Metadata {
		needs = store.AllFields
	}
	named := make(map[string]bool, len(changes))
	gone := make(map[string]bool) // deleted by the changes so far
	for _, c := range changes {
		if !named[c.Pod] {
			named[c.Pod] = true
			a.names = append(a.names, c.Pod)
		}
		switch c.Op.(type) {
		case nil:
			continue
		case store.Remove:
			a.removes = append(a.removes, c.Pod)
			gone[c.Pod] = true
			continue
		case store.Delete:
			gone[c.Pod] = true
			continue
		case store.Reclaim, store.TrimReclaimed:
			needs |= store.Fields(store.FieldReclaimed, store.FieldChildren)
		default:
			needs |= c.Op.Touches()
		}
		if gone[c.Pod] { // it is made anew, and perhaps as it was
			needs = store.AllFields
		}
	}
	if err := s.judgeCount(opApply, a.names); err != nil {
		return nil, err
	}
	a.omit.OmitManifest = !needs.Has(store.FieldManifest)
	a.omit.OmitReclaimed = !needs.Has(store.FieldReclaimed)
	var err error
	if a.changes, err = store.Prepare(changes); err != nil {
		return nil, err
	}
	a.id.ID = a.opts.ID
	if a.id.ID == (store.RequestID{}) {
		a.id.ID = store.NewRequestID()
		return a, nil
	}
	a.id.Changes = codec.ChangesSum(a.changes)
	return a, nil
}

// run makes the changes as one transaction: again after a conflict, after a refusal
// for now, and, under the same ID, when it is not known what became of it.
func (a *application) run(ctx context.Context) ([]store.Applied, error) {
	started, patient := time.Now(), false
	for attempt := 1; ; attempt++ {
		applied, result, err := a.attempt(ctx)
		switch {
		case result == done && err != nil && a.unclear != nil && !saysWhatBecame(err):
			return nil, a.unknown(err)
		case result == done:
			return applied, err
		case result == unclear && !patient:
			// It has begun, so it is finished.
			var cancel context.CancelFunc
			ctx, cancel = a.s.patience(ctx)
			defer cancel()
			patient = true
		case patient, time.Since(started) < a.s.opts.RetryFor:
		case result == conflict:
			return nil, a.failure(store.ErrConflict, fmt.Errorf("%d times in %v; nothing was changed, try again", attempt, a.s.opts.RetryFor))
		default:
			return nil, a.failure(store.ErrUnavailable, fmt.Errorf("%d times in %v, nothing was changed: %w", attempt, a.s.opts.RetryFor, err))
		}
		if err := pause(ctx, attempt); err != nil {
			if a.unclear != nil {
				return nil, a.unknown(err)
			}
			return nil, err
		}
	}
}

// patience is a context for finding out what became of a request: the time in
// Options, or when the caller's context has ended, the time of one request.
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

// saysWhatBecame reports whether an error that an attempt ended with tells what became
// of those before: it judged what is stored now, and that is not what they were for.
func saysWhatBecame(err error) bool {
	for _, kind := range []error{store.ErrNotFound, store.ErrExists, store.ErrConflict, store.ErrCorrupt, store.ErrFormat, store.ErrInvalid, store.ErrNoSpace, store.ErrUnknown} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}

// unknown is the error where it is not known what became of a request.
func (a *application) unknown(err error) error {
	return a.failure(store.ErrUnknown, fmt.Errorf("no answer to it came (%v), and what became of it could not be found out (%v); read, and decide whether to try again", plain(a.unclear), plain(err)))
}

// failure is an error about the Pod, where it is one.
func (a *application) failure(kind, err error) *store.Error {
	e := &store.Error{Op: opApply, Kind: kind, Err: err}
	if len(a.names) == 1 {
		e.Pod = a.names[0]
	}
	return e
}

// attempt reads what the changes need, and makes them of that.
func (a *application) attempt(ctx context.Context) ([]store.Applied, outcome, error) {
	read, stale, err := a.read(ctx)
	if err != nil || stale {
		return nil, conflictIf(stale), err
	}
	if made, err := a.madeBefore(ctx, read); made != nil || err != nil {
		if err != nil {
			return nil, done, err
		}
		applied, err := a.again(ctx, read, made)
		return applied, done, err
	}
	if a.unclear != nil && a.lost == nil { // it was answered, so it will not happen any more
		return nil, done, a.unclear
	}
	t := a.s.newTransaction(a, read)
	if err := t.evaluate(); err != nil {
		return nil, done, err
	}
	if len(t.ops) == 0 {
		return t.applied(0), done, nil
	}
	if err := t.finish(); err != nil {
		return nil, done, err
	}
	if err := ctx.Err(); err != nil {
		return nil, done, err
	}
	return a.commit(ctx, t)
}

func conflictIf(stale bool) outcome {
	if stale {
		return conflict
	}
	return done
}

// read reads the Pods that are named, and those that refer to the ones to remove. It
// reports stale where others may refer to them by now.
func (a *application) read(ctx context.Context) (read *moment, stale bool, err error) {
	names := a.names
	if len(a.removes) > 0 {
		if a.refs == nil {
			if a.refs, err = a.s.referrers(ctx, a.removes); err != nil {
				return nil, false, err
			}
		}
		names = a.refs.with(names)
	}
	if read, err = a.s.now().fetch(ctx, opApply, names, a.omit, true); err != nil {
		return nil, false, err
	}
	for _, p := range read.pods {
		if p.promotes() {
			a.omit = store.ReadOptions{}
			return a.read(ctx)
		}
	}
	if a.since == 0 {
		a.since = read.rev
	}
	if len(a.removes) > 0 && a.refs.older(read, a.removes) {
		a.refs = nil
		return read, true, nil
	}
	return read, false, nil
}

// commit sends a transaction. The context's end does not interrupt it: what became of
// it would not be known then.
func (a *application) commit(ctx context.Context, t *transaction) ([]store.Applied, outcome, error) {
	sent, cancel := a.s.request(context.WithoutCancel(ctx))
	defer cancel()
	resp, err := a.s.client.Txn(sent).If(t.compares...).Then(t.ops...).Commit()
	switch {
	case err == nil && resp.Succeeded:
		return t.applied(resp.Header.Revision), done, nil
	case err == nil:
		return nil, conflict, nil
	case isBusy(err):
		return nil, busy, plain(err)
	case errors.Is(err, rpctypes.ErrNoSpace):
		// A server says this also of the transaction that it made when it saw that its
		// quota is used up.
		a.unclear = a.refused(err)
		return nil, unclear, nil
	case isRefusal(err):
		return nil, done, a.refused(err)
	}
	a.unclear, a.lost = err, err
	return nil, unclear, nil
}

// refused is the error for a request that the servers refused.
func (a *application) refused(err error) error {
	e := a.s.failure(opApply, err)
	if len(a.names) == 1 {
		e.Pod = a.names[0]
	}
	return e
}

// request is the context of one request. A server that has no leader refuses it at
// once then, instead of keeping it until its time is over.
func (s *Store) request(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(clientv3.WithRequireLeader(ctx), s.opts.RequestTimeout)
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
