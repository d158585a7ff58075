package etcdstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"podstore/store"
)

// outcome is what became of an attempt.
type outcome int

const (
	done     outcome = iota
	conflict         // what was read had changed; nothing was written
	busy             // the servers refused it for now
	unclear          // nobody has said
)

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
