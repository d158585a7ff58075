package socketstore

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"

	"podstore/store"
)

// drafts are the Pods as the changes that are being made will leave them. Without
// them, of all clients that change one Pod only one would succeed with each
// commit, because what it wrote could be read, and so be edited, only after it.
//
// They are hints: what a change requires is compared once more when it is made. If
// one fails, those that were made on top of it fail too, and are tried again.
type drafts struct {
	mu   sync.Mutex
	pods map[string]*pod

	// settled are Pods as they were when they were changed or read last. The store
	// may have been changed by others since.
	settled seen
}

func newDrafts() *drafts { return &drafts{pods: map[string]*pod{}} }

// enter makes the drafts of a change. Call leave when it is made, or has failed.
func (d *drafts) enter(names []string, made []*pod) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i, name := range names {
		if made[i] != nil {
			d.pods[name] = made[i]
		}
	}
}

// leave takes the drafts of a change back, except where there is one on top.
func (d *drafts) leave(names []string, made []*pod, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i, name := range names {
		if made[i] == nil || d.pods[name] != made[i] {
			continue
		}
		delete(d.pods, name)
		if ok {
			d.settled.put(name, made[i], false)
		} else {
			d.settled.forget([]string{name})
		}
	}
}

// settle notes Pods that were read.
func (d *drafts) settle(names []string, read []*pod) {
	for i, name := range names {
		d.settled.put(name, read[i], false)
	}
}

// of gives the drafts of some Pods, nil for those that have none.
func (d *drafts) of(names []string) []*pod {
	d.mu.Lock()
	defer d.mu.Unlock()
	found := make([]*pod, len(names))
	for i, name := range names {
		found[i] = d.pods[name]
	}
	return found
}

// last gives some Pods as they are drafted or settled, nil for those that are
// neither.
func (d *drafts) last(names []string) []*pod {
	found := d.of(names)
	for i, name := range names {
		if found[i] == nil {
			found[i] = d.settled.of(name)
		}
	}
	return found
}

// maxLooks is how often the Pods of one answer are read before they are read in a
// transaction.
const maxLooks = 5

// moment gives some Pods as they are at one moment, or are about to be. The error
// names a Pod that is damaged.
func (h *handler) moment(ctx context.Context, names []string) (found []*pod, err error) {
	// Pods that two looks find the same were that way, all of them, between the
	// two.
	var before []look
	last := h.drafts.last(names)
	for range maxLooks {
		now, err := h.look(ctx, names)
		if err != nil {
			return nil, err
		}
		if len(names) == 1 || before != nil && sameLooks(before, now) {
			found = make([]*pod, len(names))
			for i, l := range now {
				if found[i] = l.draft; l.draft == nil {
					found[i] = podOf(l.m, last[i])
				}
			}
			return found, nil
		}
		before = now
	}
	_, err = h.s.UpdatePods(ctx, names, func(pods []*store.Metadata) error {
		found = podsOf(pods, last)
		return nil
	})
	return found, err
}

// look is how one Pod was found: as a draft, or else as m, nil where it does not
// exist.
type look struct {
	draft *pod
	m     *store.Metadata
}

func sameLooks(a, b []look) bool {
	for i := range a {
		if a[i].draft != b[i].draft || !same(a[i].m, b[i].m) {
			return false
		}
	}
	return true
}

// look finds some Pods one after the other.
func (h *handler) look(ctx context.Context, names []string) ([]look, error) {
	looks := make([]look, len(names))
	for i, d := range h.drafts.of(names) {
		if looks[i].draft = d; d != nil {
			continue
		}
		m, err := h.s.Read(ctx, names[i])
		if err != nil && (!errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrCorrupt)) {
			return nil, err
		}
		looks[i].m = m
	}
	return looks, nil
}

func podsOf(pods []*store.Metadata, like []*pod) []*pod {
	found := make([]*pod, len(pods))
	for i, m := range pods {
		found[i] = podOf(m, like[i])
	}
	return found
}

// sendPods sends Pods as an answer, after the error if there is one.
func (h *handler) sendPods(w http.ResponseWriter, err error, items []item, pods []*pod) error {
	b := borrow()
	defer b.giveBack()
	status := http.StatusOK
	if err != nil {
		var d *errorDocument
		d, status = documentOf(err)
		b.bytes = appendJSON(b.bytes, errorLine{d})
	}
	for i, p := range pods {
		b.bytes = p.append(b.bytes, items[i].name, items[i].manifest)
		if int64(len(b.bytes)) > h.opts.MaxBody {
			return &store.Error{Op: "read", Pod: items[i].name, Kind: store.ErrTooLarge,
				Err: fmt.Errorf("up to this Pod there are %d bytes, the limit is %d; name fewer Pods", len(b.bytes), h.opts.MaxBody)}
		}
	}
	h.send(w, status, linesType, b.bytes)
	return nil
}
