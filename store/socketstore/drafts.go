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
}

// draft is one Pod as a change will leave it. It is not changed.
type draft struct {
	version version
	lines   []byte // the item and the document, as an answer has them
}

// stale is the first item of a request that requires something else than is
// drafted, or -1.
func (d *drafts) stale(items []item) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.staleLocked(items)
}

func (d *drafts) staleLocked(items []item) int {
	for i, it := range items {
		if draft := d.pods[it.name]; draft != nil && it.compared && it.version != draft.version {
			return i
		}
	}
	return -1
}

// enter makes the drafts of a request, unless it is stale. Call leave when it is
// made, or has failed.
func (d *drafts) enter(items []item, made []*draft) (stale int, leave func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if i := d.staleLocked(items); i >= 0 {
		return i, nil
	}
	for i, it := range items {
		if made[i] != nil {
			d.pods[it.name] = made[i]
		}
	}
	return -1, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		for i, it := range items {
			if made[i] != nil && d.pods[it.name] == made[i] {
				delete(d.pods, it.name)
			}
		}
	}
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

// moment gives the items and documents of some Pods as they are at one moment, or
// are about to be. The error names a Pod that is damaged.
func (h *handler) moment(ctx context.Context, names []string) ([]byte, error) {
	// Pods that two looks find the same were that way, all of them, between the
	// two.
	var before []look
	for range maxLooks {
		now, err := h.look(ctx, names)
		if err != nil {
			return nil, err
		}
		if len(names) == 1 || before != nil && sameLooks(before, now) {
			drafts := make([]*draft, len(names))
			for i, l := range now {
				if drafts[i] = l.draft; l.draft == nil {
					drafts[i] = draftOf(names[i], l.m)
				}
			}
			return h.join(names, drafts)
		}
		before = now
	}
	var answer []byte
	_, err := h.s.UpdatePods(ctx, names, func(pods []*store.Metadata) (err error) {
		answer, err = h.contents(names, pods)
		return err
	})
	return answer, err
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

// contents gives the items and documents of Pods.
func (h *handler) contents(names []string, pods []*store.Metadata) ([]byte, error) {
	drafts := make([]*draft, len(names))
	for i, m := range pods {
		drafts[i] = draftOf(names[i], m)
	}
	return h.join(names, drafts)
}

// join puts the lines of an answer together.
func (h *handler) join(names []string, drafts []*draft) ([]byte, error) {
	size := 0
	for i, d := range drafts {
		if size += len(d.lines); int64(size) > h.opts.MaxBody {
			return nil, &store.Error{Op: "read", Pod: names[i], Kind: ErrTooLarge,
				Err: fmt.Errorf("up to this Pod there are %d bytes, the limit is %d; name fewer Pods", size, h.opts.MaxBody)}
		}
	}
	answer := make([]byte, 0, size)
	for _, d := range drafts {
		answer = append(answer, d.lines...)
	}
	return answer, nil
}
