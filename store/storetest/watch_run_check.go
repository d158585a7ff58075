package storetest

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"podstore/store"
)

// replay puts the changes since the last call in order and adds the moments.
func (w *WatchRun) replay() {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	slices.SortFunc(w.made, func(a, b madeChange) int { return cmp.Compare(a.number, b.number) })
	for _, c := range w.made {
		was := w.moments[len(w.moments)-1]
		if c.number <= was.number {
			w.t.Errorf("%s has number %d, after %d", described(c.changes), c.number, was.number)
		}
		after, err := store.Evaluate(c.changes, was.pods, nil)
		if err != nil {
			w.t.Fatalf("what was made cannot be made: %v", err)
		}
		now := moment{epoch: was.epoch, number: c.number, pods: maps.Clone(was.pods)}
		for name, m := range after {
			switch {
			case m == nil:
				delete(now.pods, name)
			case was.pods[name] == nil || !m.Equal(was.pods[name]):
				m.Version.Revision = store.Revision{Number: c.number, Digest: c.revisions[name].Digest}
				now.pods[name] = m
			}
			if r := c.revisions[name]; m != nil && !r.IsZero() && r.Number != now.pods[name].Version.Revision.Number {
				w.t.Errorf("%s gave %q revision %v, want number %d", described(c.changes), name, r, now.pods[name].Version.Revision.Number)
			}
		}
		w.moments = append(w.moments, now)
	}
	w.made = nil
}

// check compares what a watch got with the history.
func (w *WatchRun) check(rw *runWatcher) error {
	r := newReceiver(rw.opts)
	at := slices.IndexFunc(w.moments, func(m moment) bool { return m.epoch == rw.epoch })
	at = w.behind(at, rw.acked)
	for i, b := range rw.batches {
		_ = r.take(b) // its faults were reported when the batch came
		for _, e := range b.Events {
			if err := w.wasSo(e, rw.opts); err != nil {
				return fmt.Errorf("batch %d: %w", i, err)
			}
		}
		if !b.Synced {
			continue
		}
		found := at
		for ; found < len(w.moments); found++ {
			if w.behind(found, b.Number) == found && difference(r, w.moments[found]) == "" {
				break
			}
		}
		if found == len(w.moments) {
			next := w.behind(at, b.Number)
			return fmt.Errorf("batch %d, %s, is synced at no moment from %d on, at which it was, with number %d and all before it.\nBeside moment %d: %s",
				i, describedBatch(b), at, b.Number, next, difference(r, w.moments[next]))
		}
		at = found
	}
	return nil
}

// behind returns the last moment, from at on and in its epoch, that number covers.
func (w *WatchRun) behind(at int, number uint64) int {
	for at+1 < len(w.moments) && w.moments[at+1].epoch == w.moments[at].epoch && w.moments[at+1].number <= number {
		at++
	}
	return at
}

// wasSo checks that a Pod was at some moment as an event has it. If another state has
// the event's number, this one never existed.
func (w *WatchRun) wasSo(e store.Event, opts store.WatchOptions) error {
	if e.Err != nil {
		return e.Err
	}
	if e.Metadata == nil {
		return nil
	}
	var near *store.Metadata
	for _, m := range w.moments {
		was := m.pods[e.Pod]
		if was == nil || was.Version.Revision.Number != e.Metadata.Version.Revision.Number {
			continue
		}
		near = was
		digest := was.Version.Revision.Digest
		if samePart(e.Metadata, was, opts) && (digest == 0 || digest == e.Metadata.Version.Revision.Digest) {
			return nil
		}
	}
	if near == nil {
		return fmt.Errorf("%q at revision %v was never made", e.Pod, e.Metadata.Version.Revision)
	}
	return fmt.Errorf("%q at revision %v is given as %s, and was made %s", e.Pod, e.Metadata.Version.Revision, show(e.Metadata, ""), show(near, ""))
}

// samePart compares a part of a Pod with the whole.
func samePart(given, whole *store.Metadata, opts store.WatchOptions) bool {
	part := *whole
	part.Reclaimed = nil
	if opts.OmitManifest {
		part.Manifest = nil
	}
	return given.Equal(&part)
}

// difference describes how a watcher differs from a moment. It is "" if it does not.
func difference(r *receiver, m moment) string {
	for name, e := range r.pods {
		switch was := m.pods[name]; {
		case e.Metadata == nil:
			return fmt.Sprintf("%q is %v", name, e.Err)
		case was == nil:
			return fmt.Sprintf("%q is there", name)
		case was.Version.Revision.Number != e.Metadata.Version.Revision.Number:
			return fmt.Sprintf("%q is at number %d instead of %d", name, e.Metadata.Version.Revision.Number, was.Version.Revision.Number)
		}
	}
	for name := range m.pods {
		if _, ok := r.pods[name]; !ok && (r.opts.Pods == nil || slices.Contains(r.opts.Pods, name)) {
			return fmt.Sprintf("%q is not there", name)
		}
	}
	return ""
}

func describedBatch(b store.Batch) string {
	var events []string
	for _, e := range b.Events {
		if e.Metadata == nil {
			events = append(events, fmt.Sprintf("%q gone", e.Pod))
		} else {
			events = append(events, fmt.Sprintf("%q at %d", e.Pod, e.Metadata.Version.Revision.Number))
		}
	}
	return strings.Join(events, ", ")
}

// has reports whether the watch is at a state, has ended, or claims to be at the state;
// check then decides.
func (rw *runWatcher) has(m moment) bool {
	rw.mu.Lock()
	defer rw.mu.Unlock()
	r := rw.current
	return rw.over || !r.listing && (difference(r, m) == "" || m.epoch == 0 && r.number >= m.number)
}
