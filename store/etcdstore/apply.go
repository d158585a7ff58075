package etcdstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"podstore/store"
)

// outcome is the result of one attempt.
type outcome int

const (
	done     outcome = iota
	conflict         // others changed what was read; nothing was written
	busy             // the servers refused it for the moment
	unclear          // not known
)

// run makes the changes in one transaction. It tries again after a conflict, after a
// refusal for the moment, and, under the same ID, if the outcome is not known.
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
			// The transaction was sent, so find out what became of it.
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

// saysWhatBecame reports whether the error of an attempt also settles the earlier ones:
// it comes from what is stored now, and that does not have their changes.
func saysWhatBecame(err error) bool {
	for _, kind := range []error{store.ErrNotFound, store.ErrExists, store.ErrConflict, store.ErrCorrupt, store.ErrFormat, store.ErrInvalid, store.ErrNoSpace, store.ErrUnknown} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}

// unknown is the error for changes whose outcome is not known.
func (a *application) unknown(err error) error {
	return a.failure(store.ErrUnknown, fmt.Errorf("its answer was lost (%v), and its outcome could not be found out (%v); read, and decide whether to try again", plain(a.unclear), plain(err)))
}

// attempt reads what the changes need and makes them once.
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
	if a.unclear != nil && a.lost == nil { // etcd answered the earlier request, so it will not come later
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

// read reads the named Pods, and those that refer to the removed ones. It reports stale
// if others may refer to them by now.
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

// commit sends a transaction. The context does not interrupt it, because its outcome
// would then not be known.
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
		// A server also gives this error for the transaction that showed it that its
		// quota is used up. That transaction is made.
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
