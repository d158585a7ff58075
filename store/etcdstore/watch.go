package etcdstore

import (
	"context"
	"errors"
	"iter"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"podstore/store"
)

const opWatch = "watch"

// If more Pods than this differ, a watcher gets the whole list in pieces instead of the
// differences in one batch.
const maxDiff = 1 << 11

// Watch yields every Pod, then what changes: see [store.Watcher]. It is one watch of
// etcd, of all records. It reads the changed Pods as they were at one revision. If etcd
// has lost the place, because it was compacted, a member lost its leader, or someone
// restored an older backup, Watch compares names and revisions and yields the
// differences.
//
// Like any operation, Watch ends with [store.ErrUnavailable] if no server has answered
// for Options.RetryFor.
func (s *Store) Watch(ctx context.Context, opts store.WatchOptions) iter.Seq2[store.Batch, error] {
	return func(yield func(store.Batch, error) bool) {
		w := &watch{
			view:  view{s: s},
			opts:  opts,
			part:  store.ReadOptions{OmitManifest: opts.OmitManifest, OmitReclaimed: true},
			yield: func(b store.Batch) error { return left(yield(b, nil)) },
		}
		if err := w.run(ctx); err != errLeft {
			yield(store.Batch{}, err)
		}
	}
}

// errLeft: the caller has left the loop.
var errLeft = errors.New("left")

func left(goesOn bool) error {
	if goesOn {
		return nil
	}
	return errLeft
}

// watch is one loop over [Store.Watch].
type watch struct {
	view
	opts  store.WatchOptions
	part  store.ReadOptions
	yield func(store.Batch) error

	names  map[string]bool           // opts.Pods
	given  map[string]store.Revision // by yielded Pod; nil before the first batch
	number int64                     // of the last batch
	lost   bool                      // the caller got an error that names no Pod
}

func (w *watch) run(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if len(w.opts.Pods) > 0 {
		if err := store.ValidateNames(opWatch, w.opts.Pods); err != nil {
			return err
		}
	}
	if w.opts.Pods != nil {
		w.names = make(map[string]bool, len(w.opts.Pods))
		for _, name := range w.opts.Pods {
			w.names[name] = true
		}
	}
	for attempt := 1; ; attempt++ {
		if err := w.list(ctx); err != nil {
			return err
		}
		heard, err := w.follow(ctx)
		switch {
		case err != nil:
			return err
		case heard:
			attempt = 1
		}
		if err := pause(ctx, attempt); err != nil {
			return err
		}
	}
}

func (w *watch) wants(name string) bool { return w.names == nil || w.names[name] }

// list yields all Pods, or, later on, the differences.
func (w *watch) list(ctx context.Context) error {
	for again := false; ; again = true {
		l, err := w.listing(ctx)
		if err != nil {
			return err
		}
		if again || w.given == nil || w.lost || l.older(w) || len(l.names) > maxDiff {
			err = w.whole(ctx, l)
		} else {
			err = w.difference(ctx, l)
		}
		if !errors.Is(err, rpctypes.ErrCompacted) && err != errOlder {
			return err
		}
	}
}

// errOlder: the Pods are those of an older backup.
var errOlder = errors.New("older")

// listing is a list of Pods.
type listing struct {
	at        view
	all       []string                  // the names
	revisions map[string]store.Revision // of all records, if all Pods are watched
	names     []string                  // those that may differ from what the caller has
	lost      error
}

func (w *watch) listing(ctx context.Context) (*listing, error) {
	l := &listing{at: view{s: w.s}, all: w.opts.Pods, names: w.opts.Pods}
	if w.names != nil {
		m, _, err := l.at.txn(ctx, opWatch, "", nil)
		if err != nil {
			return nil, err
		}
		l.at.rev = m.rev
		return l, nil
	}
	records, rev, err := l.at.records(ctx, opWatch, w.given != nil)
	if err != nil && (records == nil || !errors.Is(err, store.ErrCorrupt)) {
		return nil, err
	}
	l.at.rev, l.lost, l.revisions = rev, err, make(map[string]store.Revision, len(records))
	for _, r := range records {
		l.all = append(l.all, r.name)
		l.revisions[r.name] = r.revision
		if was, ok := w.given[r.name]; !ok || was != r.revision {
			l.names = append(l.names, r.name)
		}
	}
	return l, nil
}

// older reports whether the list is older than what the caller has.
func (l *listing) older(w *watch) bool {
	older := l.at.rev < w.number
	for name, r := range l.revisions {
		older = older || r.Number < w.given[name].Number
	}
	return older
}

// whole yields all Pods of a list, in pieces.
func (w *watch) whole(ctx context.Context, l *listing) error {
	b := store.Batch{Resync: w.given != nil}
	w.given, w.lost, w.number = map[string]store.Revision{}, l.lost != nil, l.at.rev
	err := l.at.pieces(ctx, l.all, w.part, func(events []store.Event) error {
		if len(b.Events) > 0 || b.Resync {
			if err := w.yield(b); err != nil {
				return err
			}
			b = store.Batch{}
		}
		for _, e := range events {
			if e.Metadata != nil || e.Err != nil {
				w.remember(e)
				b.Events = append(b.Events, e)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if l.lost != nil {
		b.Events = append(b.Events, store.Event{Err: l.lost})
	}
	b.Synced, b.Number = true, uint64(w.number)
	return w.yield(b)
}

// difference yields the differences from what the caller has, as one batch.
func (w *watch) difference(ctx context.Context, l *listing) error {
	names := l.names
	if w.names == nil {
		for name := range w.given {
			if _, ok := l.revisions[name]; !ok {
				names = append(names, name)
			}
		}
	}
	if err := w.moment(ctx, l.at.rev, names); err != nil || l.lost == nil {
		return err
	}
	w.lost = true
	return w.yield(store.Batch{Events: []store.Event{{Err: l.lost}}, Synced: true, Number: uint64(w.number)})
}

// moment yields the changes of some Pods as they were at a revision, as one batch.
func (w *watch) moment(ctx context.Context, rev int64, names []string) error {
	var b store.Batch
	err := (view{s: w.s, rev: rev}).pieces(ctx, names, w.part, func(events []store.Event) error {
		for _, e := range events {
			was, ok := w.given[e.Pod]
			switch {
			case e.Metadata == nil && e.Err == nil && !ok, e.Metadata != nil && e.Metadata.Version.Revision == was:
				continue
			case e.Metadata != nil && e.Metadata.Version.Revision.Number < was.Number:
				return errOlder
			}
			b.Events = append(b.Events, e)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, e := range b.Events {
		w.remember(e)
	}
	w.number = rev
	b.Synced, b.Number = true, uint64(rev)
	return w.yield(b)
}

func (w *watch) remember(e store.Event) {
	switch {
	case e.Metadata != nil:
		w.given[e.Pod] = e.Metadata.Version.Revision
	case e.Err != nil:
		w.given[e.Pod] = store.Revision{}
	default:
		delete(w.given, e.Pod)
	}
}

// pieces reads Pods page by page and passes them on as events, missing Pods included.
func (v view) pieces(ctx context.Context, names []string, opts store.ReadOptions, give func([]store.Event) error) error {
	most := (&fetcher{view: v, opts: opts}).most()
	for page := min(firstPage, most); len(names) > 0; {
		part := names[:min(page, len(names))]
		m, err := v.fetch(ctx, opWatch, part, opts, false)
		if err != nil {
			return err
		}
		names = names[len(part):]
		size := 0
		events := make([]store.Event, len(part))
		for i, p := range m.pods {
			size += p.size()
			e := store.Event{Pod: p.name}
			e.Metadata, e.Err = p.metadata(opWatch)
			if p.promotes() {
				e.Metadata, e.Err = v.part(ctx, opWatch, p.name, opts)
			}
			switch {
			case errors.Is(e.Err, store.ErrNotFound):
				e.Err = nil
			case errors.Is(e.Err, rpctypes.ErrCompacted), ctx.Err() != nil:
				return e.Err
			}
			events[i] = e
		}
		if err := give(events); err != nil {
			return err
		}
		page = nextPage(page, most, size)
	}
	return nil
}

// follow yields changes until etcd's watch breaks. It reports whether etcd has sent
// anything. An error ends the loop.
func (w *watch) follow(ctx context.Context) (heard bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	n := &news{wake: make(chan struct{}, 1), names: map[string]struct{}{}, rev: w.number}
	go n.gather(ctx, w.s, w.wants)
	for {
		select {
		case <-n.wake:
		case <-ctx.Done():
			return heard, ctx.Err()
		}
		names, rev, told, over := n.take()
		switch heard = heard || told; {
		case over, rev < w.number:
			return heard, nil
		case len(names) == 0 && !told:
			continue
		}
		switch err := w.moment(ctx, rev, names); {
		case errors.Is(err, rpctypes.ErrCompacted), err == errOlder:
			return true, nil
		case err != nil:
			return true, err
		}
	}
}
