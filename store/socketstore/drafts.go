package socketstore

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"podstore/store"
	"podstore/store/jsonexport"
)

// drafts are the Pods as the changes that are being made will leave them. Without
// them, of all clients that change one Pod only one would succeed with each
// commit, because what it wrote could be read, and so be edited, only after it.
//
// They are hints: what a change requires is compared once more when it is made. If
// one fails, those that were made on top of it fail too, and are tried again.
type drafts struct {
	mu   sync.Mutex
	pods map[string]*draft

	// settled are versions that Pods without a draft had when they were changed or
	// read last. The store may have been changed by others since.
	settled map[string]version
}

// maxSettled bounds how many versions are kept.
const maxSettled = 4096

// draft is one Pod as a change will leave it, or as it is. It is not changed.
type draft struct {
	version version
	lines   []byte // the item and the document, as an answer has them
}

func newDrafts() *drafts { return &drafts{pods: map[string]*draft{}, settled: map[string]version{}} }

// suspect reports whether a request requires something else than is drafted or
// settled.
func (d *drafts) suspect(items []item) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, it := range items {
		v, known := d.settled[it.name]
		if draft := d.pods[it.name]; draft != nil {
			v, known = draft.version, true
		}
		if it.compared && known && it.version != v {
			return true
		}
	}
	return false
}

// enter makes the drafts of a change. Call leave when it is made, or has failed.
func (d *drafts) enter(names []string, made []*draft) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i, name := range names {
		if made[i] != nil {
			d.pods[name] = made[i]
		}
	}
}

// leave takes the drafts of a change back, except where there is one on top.
func (d *drafts) leave(names []string, made []*draft, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i, name := range names {
		if made[i] == nil || d.pods[name] != made[i] {
			continue
		}
		delete(d.pods, name)
		if delete(d.settled, name); ok {
			d.settleLocked(name, made[i].version)
		}
	}
}

// settle notes versions that were read.
func (d *drafts) settle(names []string, read []*draft) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i, name := range names {
		d.settleLocked(name, read[i].version)
	}
}

func (d *drafts) settleLocked(name string, v version) {
	if _, ok := d.settled[name]; !ok && len(d.settled) >= maxSettled {
		for other := range d.settled {
			delete(d.settled, other)
			break
		}
	}
	d.settled[name] = v
}

// of gives the drafts of some Pods, nil for those that have none.
func (d *drafts) of(names []string) []*draft {
	d.mu.Lock()
	defer d.mu.Unlock()
	found := make([]*draft, len(names))
	for i, name := range names {
		found[i] = d.pods[name]
	}
	return found
}

// draftOf is the draft of a Pod that becomes m, or nothing.
func draftOf(name string, m *store.Metadata) *draft {
	it := item{name: name, compared: true}
	if m == nil {
		return &draft{absent, it.append(nil)}
	}
	canonical := jsonexport.Append(make([]byte, 0, 1024), m)
	it.version = versionOfDocument(canonical)
	return &draft{it.version, appendDocument(it.append(make([]byte, 0, len(canonical)+128)), canonical)}
}

// maxLooks is how often the Pods of one answer are read before they are read in a
// transaction.
const maxLooks = 5

// moment gives some Pods as they are at one moment, or are about to be. The error
// names a Pod that is damaged.
func (h *handler) moment(ctx context.Context, names []string) (found []*draft, err error) {
	// Pods that two looks find the same were that way, all of them, between the
	// two.
	var before []look
	for range maxLooks {
		now, err := h.look(ctx, names)
		if err != nil {
			return nil, err
		}
		if len(names) == 1 || before != nil && sameLooks(before, now) {
			found = make([]*draft, len(names))
			for i, l := range now {
				if found[i] = l.draft; l.draft == nil {
					found[i] = draftOf(names[i], l.m)
				}
			}
			return found, nil
		}
		before = now
	}
	_, err = h.s.UpdatePods(ctx, names, func(pods []*store.Metadata) error {
		found = draftsOf(names, pods)
		return nil
	})
	return found, err
}

// look is how one Pod was found: as a draft, or else as m, nil where it does not
// exist.
type look struct {
	draft *draft
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

func draftsOf(names []string, pods []*store.Metadata) []*draft {
	drafts := make([]*draft, len(names))
	for i, m := range pods {
		drafts[i] = draftOf(names[i], m)
	}
	return drafts
}

// join puts the lines of an answer together.
func (h *handler) join(names []string, drafts []*draft) ([]byte, error) {
	size := 0
	for i, d := range drafts {
		if size += len(d.lines); int64(size) > h.opts.MaxBody {
			return nil, &store.Error{Op: "read", Pod: names[i], Kind: store.ErrTooLarge,
				Err: fmt.Errorf("up to this Pod there are %d bytes, the limit is %d; name fewer Pods", size, h.opts.MaxBody)}
		}
	}
	answer := make([]byte, 0, size)
	for _, d := range drafts {
		answer = append(answer, d.lines...)
	}
	return answer, nil
}
