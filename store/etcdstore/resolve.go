package etcdstore

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/metadata"

	"podstore/store"
)

// errCompacted: the changes since the transaction was sent are no longer kept.
var errCompacted = errors.New("the history that would tell has been compacted")

// resolve finds out what became of a transaction whose answer was lost. That
// nothing is to be seen of it would prove nothing: it may still be on its way. So
// first it is made impossible, and then its mark is looked for. Where a server did
// answer, it is not on its way, and the mark alone tells.
//
// When the context has ended, the time of one request is left for that.
func (t *transaction) resolve(ctx context.Context, lost error) (outcome, error) {
	search, cancel := context.WithTimeout(context.WithoutCancel(ctx), t.s.opts.RetryFor)
	defer cancel()
	defer context.AfterFunc(ctx, func() {
		timer := time.NewTimer(t.s.opts.RequestTimeout)
		defer timer.Stop()
		select {
		case <-timer.C:
			cancel()
		case <-search.Done():
		}
	})()
	answered := errors.Is(lost, rpctypes.ErrNoSpace)
	var err error
	for attempt := 1; ; attempt++ {
		var was bool
		was, err = t.wasMade(search, !answered)
		if !answered && errors.Is(err, rpctypes.ErrNoSpace) {
			// It cannot be made impossible, but may be seen to have been made.
			if was, lookErr := t.wasMade(search, false); lookErr == nil && was {
				return made, nil
			}
		}
		switch {
		case err == nil && was:
			return made, nil
		case err == nil:
			return notMade, plain(lost)
		}
		if errors.Is(err, errCompacted) || isRefusal(err) && !isBusy(err) || t.s.client.Ctx().Err() != nil || pause(search, attempt) != nil {
			break
		}
	}
	return failed, t.failure(store.ErrUnknown,
		fmt.Errorf("no answer to it came (%v), and what became of it could not be found out (%v); read, and decide whether to try again", plain(lost), plain(err)))
}

// wasMade reports whether the transaction was made, and with exclude makes it
// impossible first.
func (t *transaction) wasMade(ctx context.Context, exclude bool) (bool, error) {
	sent, cancel := t.s.request(ctx)
	defer cancel()
	look := clientv3.OpGet(t.mark())
	txn := t.s.client.Txn(sent)
	if exclude {
		// The transaction compares the revision of format. Where that is another one
		// already, somebody has been here.
		txn = txn.If(clientv3.Compare(clientv3.ModRevision(t.s.formatKey()), "=", t.read.epoch)).
			Then(clientv3.OpPut(t.s.formatKey(), string(formatValue())), look).
			Else(look)
	} else {
		txn = txn.Then(look)
	}
	resp, err := txn.Commit()
	if err != nil {
		return false, err
	}
	if resp.Header.Revision <= t.read.rev {
		return false, nil // nothing at all has changed since
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
	ctx, cancel := t.s.request(ctx)
	defer cancel()
	// The client's own watcher, since it may be one that puts keys elsewhere; and a
	// stream of its own, since all that are on one are told of the progress.
	ctx = metadata.AppendToOutgoingContext(ctx, "podstore-writer", strconv.FormatUint(t.writer, 16))
	w := t.s.client
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
