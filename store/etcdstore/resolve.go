package etcdstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"podstore/store"
)

// errCompacted: the changes since the transaction was sent are no longer kept.
var errCompacted = errors.New("the history that would tell has been compacted")

// resolve finds out what became of a transaction whose answer was lost. That
// nothing is to be seen of it would prove nothing: it may still be on its way. So
// first it is made impossible, and then its mark is looked for.
func (t *transaction) resolve(ctx context.Context, lost error) (outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, t.s.opts.RetryFor)
	defer cancel()
	var err error
	for attempt := 1; ; attempt++ {
		var was bool
		was, err = t.wasMade(ctx)
		switch {
		case err == nil && was:
			return made, nil
		case err == nil:
			return notMade, plain(lost)
		}
		if errors.Is(err, errCompacted) || isRefusal(err) && !isBusy(err) || t.s.client.Ctx().Err() != nil || pause(ctx, attempt) != nil {
			break
		}
	}
	return failed, t.failure(store.ErrUnknown,
		fmt.Errorf("no answer to it came (%v), and what became of it could not be found out (%v); read, and decide whether to try again", plain(lost), plain(err)))
}

// wasMade makes the transaction impossible from now on and reports whether it was
// made before.
func (t *transaction) wasMade(ctx context.Context) (bool, error) {
	sent, cancel := context.WithTimeout(ctx, t.s.opts.RequestTimeout)
	defer cancel()
	// The transaction compares the revision of format. Where that is another one
	// already, somebody has been here.
	look := clientv3.OpGet(t.mark())
	resp, err := t.s.client.Txn(sent).
		If(clientv3.Compare(clientv3.ModRevision(t.s.formatKey()), "=", t.read.epoch)).
		Then(clientv3.OpPut(t.s.formatKey(), string(formatValue())), look).
		Else(look).
		Commit()
	if err != nil {
		return false, err
	}
	last := resp.Responses[len(resp.Responses)-1].GetResponseRange().GetKvs()
	if len(last) > 0 {
		if writer, ok := t.writerOf(last[0].Value); ok && writer == t.writer {
			return true, nil
		}
		if last[0].ModRevision <= t.read.rev {
			return false, nil
		}
	} else if t.markPod == "" {
		return false, nil // the key deleted is never deleted
	}
	return t.searchHistory(ctx, resp.Header.Revision)
}

// progressEvery is how often the server is asked how far a watch has come.
const progressEvery = 50 * time.Millisecond

// searchHistory looks for the transaction's mark in the changes of its key since
// what it read, up to a revision.
func (t *transaction) searchHistory(ctx context.Context, until int64) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, t.s.opts.RequestTimeout)
	defer cancel()
	w := clientv3.NewWatcher(t.s.client)
	defer w.Close()
	changes := w.Watch(ctx, t.mark(), clientv3.WithRev(t.read.rev+1), clientv3.WithCreatedNotify())
	tick := time.NewTicker(progressEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if err := w.RequestProgress(ctx); err != nil {
				return false, err
			}
		case r, ok := <-changes:
			switch {
			case r.CompactRevision > 0:
				return false, errCompacted
			case r.Err() != nil:
				return false, r.Err()
			case !ok:
				return false, context.DeadlineExceeded
			}
			for _, e := range r.Events {
				if e.Kv.ModRevision > until {
					return false, nil
				}
				if e.Type != clientv3.EventTypePut {
					continue
				}
				if writer, ok := t.writerOf(e.Kv.Value); ok && writer == t.writer {
					return true, nil
				}
			}
			if r.IsProgressNotify() && r.Header.Revision >= until {
				return false, nil
			}
		}
	}
}
