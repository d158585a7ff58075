package socketstore

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"net/http"
	"slices"

	"podstore/store"
	"podstore/store/jsonvalue"
)

// Watch yields every Pod, then what changes: see [store.Watcher]. If the connection
// breaks, the server restarts or has lost the client's place, the client lists again and
// yields the differences as one batch. If the server now has an older file, that batch
// has Resync set and every Pod instead. The client collects a whole list in memory
// before it yields any of it. It keeps the name and revision of each watched Pod.
//
// Watch ends with [store.ErrUnavailable] if nobody has answered for Options.Patience.
// [Client.Close] ends it with [store.ErrClosed].
func (c *Client) Watch(ctx context.Context, opts store.WatchOptions) iter.Seq2[store.Batch, error] {
	return func(yield func(store.Batch, error) bool) {
		w := &watch{client: c, part: store.ReadOptions{OmitManifest: opts.OmitManifest, OmitReclaimed: true}, yield: func(b store.Batch) bool { return yield(b, nil) }}
		if err := w.run(ctx, opts); err != nil {
			yield(store.Batch{}, err)
		}
	}
}

// watch is one loop over [Client.Watch].
type watch struct {
	client *Client
	part   store.ReadOptions
	names  map[string]bool // the wanted names if the client asks the server for all; nil: all
	yield  func(store.Batch) bool

	given  map[string]store.Revision // by yielded Pod; nil before the first batch
	number uint64                    // of the last batch
	lost   bool                      // the caller got an error that names no Pod
}

func (w *watch) run(ctx context.Context, opts store.WatchOptions) error {
	c := w.client
	r := &request{op: "watch", method: http.MethodGet, target: watchPath}
	if w.part.OmitManifest {
		r.target += "?omit=manifest"
	}
	if len(opts.Pods) > 0 {
		if err := store.ValidateNames(r.op, opts.Pods); err != nil {
			return err
		}
	}
	if opts.Pods != nil {
		var body []byte
		for _, name := range opts.Pods {
			body = append(jsonvalue.AppendString(body, name), '\n')
		}
		if r.method, r.body = http.MethodPost, body; len(body) > smallBytes || len(opts.Pods) > maxNames {
			r.method, r.body, w.names = http.MethodGet, nil, map[string]bool{}
			for _, name := range opts.Pods {
				w.names[name] = true
			}
		}
	}
	alive, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.alive, cancel)()
	err := c.retry(alive, r, func() (bool, error) { return w.stream(alive, r) })
	if err != nil && alive.Err() != nil {
		return c.begin(ctx, r) // the caller's context ended, or the client was closed
	}
	return err
}

// stream yields the batches of one answer until the caller has enough or the answer
// breaks, which is the error. It reports whether the answer was synced.
func (w *watch) stream(ctx context.Context, r *request) (synced bool, err error) {
	answer, err := w.client.pool.open(ctx, r, max(w.client.opts.AnswerTimeout, 2*store.WatchQuiet))
	if err != nil {
		return false, err
	}
	defer answer.Body.Close()
	reader := bufio.NewReaderSize(answer.Body, 4<<10)
	listing := true
	events := map[string]store.Event{}
	for {
		line, err := readLine(reader)
		if err == io.EOF {
			err = errors.New("the server has ended the watch")
		}
		if err != nil {
			return synced, err
		}
		e, other, err := w.line(line)
		switch {
		case err != nil:
			return synced, &store.Error{Op: r.op, Err: err}
		case other == nil:
			if w.names == nil || e.Pod == "" || w.names[e.Pod] {
				events[e.Pod] = e
			}
		case other.Ended != nil:
			return synced, other.Ended.err()
		case other.Resync:
			listing = true
			clear(events)
		case other.Synced != nil:
			b := store.Batch{Synced: true, Number: *other.Synced}
			if listing {
				w.list(&b, events)
			} else {
				b.Events = slices.Collect(maps.Values(events))
			}
			w.remember(b)
			events = map[string]store.Event{}
			synced, listing = true, false
			if !w.yield(b) {
				return true, nil
			}
		}
	}
}

// line decodes a line: an event, or something else.
func (w *watch) line(line []byte) (e store.Event, other *watchLine, err error) {
	if err := errorIn(line); err != nil {
		if bad, ok := errors.AsType[*store.Error](err); ok {
			e.Pod = bad.Pod
		}
		e.Err = err
		return e, nil, nil
	}
	if len(line) > 6 && string(line[:6]) == `{"pod"` {
		m, err := w.client.metadata(line, w.part)
		if err != nil {
			return e, nil, err
		}
		return store.Event{Pod: m.PodName, Metadata: m}, nil, nil
	}
	other = new(watchLine)
	if err := json.Unmarshal(line, other); err != nil {
		return e, nil, fmt.Errorf("line %.80q of a watch is not understood: %w", line, err)
	}
	if other.Gone != nil {
		return store.Event{Pod: *other.Gone}, nil, nil
	}
	if *other == (watchLine{}) {
		return e, nil, fmt.Errorf("line %.80q of a watch is not understood", line)
	}
	return e, other, nil
}

// list makes a batch of a list. The batch has the differences from what was yielded
// before, or everything if the list is of a file in which that did not happen.
func (w *watch) list(b *store.Batch, list map[string]store.Event) {
	maps.DeleteFunc(list, func(_ string, e store.Event) bool { return e.Metadata == nil && e.Err == nil })
	older := b.Number < w.number || w.lost
	for name, e := range list {
		older = older || w.given != nil && w.otherwise(name, e.Metadata)
	}
	b.Resync = w.given != nil && older
	for name, e := range list {
		if was, ok := w.given[name]; b.Resync || !ok || e.Metadata == nil || was != e.Metadata.Version.Revision {
			b.Events = append(b.Events, e)
		}
	}
	for name := range w.given {
		if _, ok := list[name]; !ok && !b.Resync {
			b.Events = append(b.Events, store.Event{Pod: name})
		}
	}
	if b.Resync || w.given == nil {
		w.given, w.lost = make(map[string]store.Revision, len(list)), false
	}
}

// otherwise reports whether a Pod's revision contradicts what was yielded, which was all
// changes up to w.number. An older file may have come to higher numbers again meanwhile.
func (w *watch) otherwise(name string, m *store.Metadata) bool {
	if m == nil || m.Version.Revision.Number == 0 || m.Version.Revision.Number > w.number {
		return false
	}
	was, ok := w.given[name]
	return !ok || was != m.Version.Revision && !was.IsZero() // zero: it could not be read
}

// remember keeps names and revisions of a batch.
func (w *watch) remember(b store.Batch) {
	w.number = b.Number
	for _, e := range b.Events {
		switch {
		case e.Pod == "":
			w.lost = true
		case e.Metadata != nil:
			w.given[e.Pod] = e.Metadata.Version.Revision
		case e.Err != nil:
			w.given[e.Pod] = store.Revision{}
		default:
			delete(w.given, e.Pod)
		}
	}
}
