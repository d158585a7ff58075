package storetest

import (
	"errors"
	"fmt"
	"slices"

	"podstore/store"
)

// receiver keeps what a watcher got. It checks everything that can be checked without
// knowing what happened to the store.
type receiver struct {
	opts store.WatchOptions
	pods map[string]store.Event // the existing Pods; under "" an error that names no Pod

	listing bool            // the list is not complete yet
	named   map[string]bool // the names in the list so far
	listed  bool            // at least one list was complete
	number  uint64          // of the last batch
	numbers map[string]uint64
}

func newReceiver(opts store.WatchOptions) *receiver {
	return &receiver{opts: opts, pods: map[string]store.Event{}, listing: true, named: map[string]bool{}, numbers: map[string]uint64{}}
}

// take takes a batch and returns the faults in it.
func (r *receiver) take(b store.Batch) error {
	if b.Resync {
		r.listing, r.named = true, map[string]bool{}
		r.number, r.numbers = 0, map[string]uint64{}
	}
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if !b.Synced && !r.listing {
		wrong("a batch that is not synced is not part of a list")
	}
	if !b.Synced && b.Number != 0 {
		wrong("a batch that is not synced has number %d", b.Number)
	}
	seen := map[string]bool{}
	for _, e := range b.Events {
		if seen[e.Pod] {
			wrong("%.80q is there twice in a batch", e.Pod)
		}
		seen[e.Pod], r.named[e.Pod] = true, true
		if err := r.event(e); err != nil {
			errs = append(errs, err)
		}
		if r.pods[e.Pod] = e; e.Metadata == nil && e.Err == nil {
			delete(r.pods, e.Pod)
		}
	}
	if b.Synced {
		if b.Number < r.number {
			wrong("number %d after %d", b.Number, r.number)
		}
		r.number = b.Number
		for name := range r.pods {
			if r.listing && !r.named[name] {
				delete(r.pods, name)
			}
		}
		r.listing, r.listed = false, true
	}
	return errors.Join(errs...)
}

// event checks one event.
func (r *receiver) event(e store.Event) error {
	m := e.Metadata
	switch {
	case m == nil && e.Pod == "" && e.Err == nil:
		return errors.New("an event has neither a Pod nor an error")
	case r.opts.Pods != nil && e.Pod != "" && !slices.Contains(r.opts.Pods, e.Pod):
		return fmt.Errorf("%.80q is given, and is not watched", e.Pod)
	case m == nil:
		return nil
	case e.Err != nil:
		return fmt.Errorf("%.80q is given as metadata and as an error: %w", e.Pod, e.Err)
	case m.PodName != e.Pod:
		return fmt.Errorf("%.80q is given as %.80q", m.PodName, e.Pod)
	case m.Omitted != store.ReadOptions{OmitManifest: r.opts.OmitManifest, OmitReclaimed: true}:
		return fmt.Errorf("%.80q says that it omits %+v", e.Pod, m.Omitted)
	case m.Reclaimed != nil, r.opts.OmitManifest && m.Manifest != nil:
		return fmt.Errorf("%.80q has what it says is omitted: %.300s", e.Pod, show(m, ""))
	case m.Version.Revision.Number < r.numbers[e.Pod]:
		return fmt.Errorf("%.80q is at number %d after it was at %d", e.Pod, m.Version.Revision.Number, r.numbers[e.Pod])
	}
	r.numbers[e.Pod] = m.Version.Revision.Number
	return nil
}
