package mirror

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"podstore/store"
	"podstore/store/podjson"
)

// Pauses between two tries to watch.
const (
	firstPause = 50 * time.Millisecond
	maxPause   = 5 * time.Second
)

// final are the errors after which another try cannot help.
var final = []error{store.ErrClosed, store.ErrUnusable, store.ErrForbidden, store.ErrFormat, store.ErrInvalid, store.ErrInvalidName, errors.ErrUnsupported}

func isFinal(err error) bool {
	for _, f := range final {
		if errors.Is(err, f) {
			return true
		}
	}
	return false
}

// run watches again and again until the mirror is closed or gives up.
func (m *Mirror) run(ctx context.Context) {
	defer close(m.ended)
	defer m.cancel()
	for pause := firstPause; ; pause = min(2*pause, maxPause) {
		synced, err := m.follow(ctx)
		if ctx.Err() != nil {
			err = &store.Error{Op: "mirror", Kind: store.ErrClosed}
		}
		m.mu.Lock()
		m.current, m.err = false, err
		m.mu.Unlock()
		if isFinal(err) {
			return
		}
		if synced {
			pause = firstPause
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// follow is one watch. It reports whether the watch was synced.
func (m *Mirror) follow(ctx context.Context) (synced bool, err error) {
	list := map[string]store.Event{} // nil once it is complete
	for b, err := range store.Watch(ctx, m.pods, m.opts) {
		if err != nil {
			return synced, err
		}
		if b.Resync {
			list = map[string]store.Event{}
			m.mu.Lock()
			m.current = false
			m.mu.Unlock()
		}
		for _, e := range b.Events {
			if list != nil {
				list[e.Pod] = e
			}
		}
		if !b.Synced {
			continue
		}
		m.take(b, list)
		if !synced {
			synced = true
			m.openedOnce()
		}
		list = nil
	}
	return synced, errors.New("the store's watch ended without an error")
}

// openedOnce makes New return.
func (m *Mirror) openedOnce() {
	select {
	case <-m.opening:
	default:
		close(m.opening)
	}
}

// take moves the mirror to the next moment. list has all Pods; if it is nil, b has the
// changes.
func (m *Mirror) take(b store.Batch, list map[string]store.Event) {
	m.mu.Lock()
	defer m.mu.Unlock()
	changed := false
	if list == nil {
		for _, e := range b.Events {
			changed = m.set(e) || changed
		}
	} else {
		m.lost = nil
		for name := range m.have {
			if e := list[name]; e.Metadata == nil && e.Err == nil {
				changed = m.set(store.Event{Pod: name}) || changed
			}
		}
		for _, name := range slices.Sorted(maps.Keys(list)) { // in order, so that new names go to the end of the sorted list
			changed = m.set(list[name]) || changed
		}
	}
	m.number, m.current, m.heard, m.err = b.Number, true, time.Now(), nil
	close(m.advanced)
	m.advanced = make(chan struct{})
	if changed {
		close(m.changed)
		m.changed = make(chan struct{})
	}
}

// set keeps a Pod as it is now and reports whether it changed.
func (m *Mirror) set(e store.Event) bool {
	if e.Pod == "" {
		m.lost = e.Err
		return true
	}
	was, had := m.have[e.Pod]
	exists := e.Metadata != nil || e.Err != nil
	if !had && !exists || was.Metadata != nil && e.Metadata != nil && was.Metadata.Version.Revision == e.Metadata.Version.Revision {
		return false
	}
	m.index(was, removeFrom, removeFrom)
	m.index(e, insertInto, insertInto)
	switch {
	case !exists:
		delete(m.have, e.Pod)
		m.names = remove(m.names, e.Pod)
	case had:
		m.have[e.Pod] = e
	default:
		m.have[e.Pod] = e
		m.names = insert(m.names, e.Pod)
	}
	return true
}

// index adds a Pod to the indices, or removes it from them.
func (m *Mirror) index(e store.Event, names func(map[string][]string, string, string), sessions func(map[store.SessionID][]string, store.SessionID, string)) {
	for _, child := range childrenOf(e.Metadata) {
		names(m.parents, child, e.Pod)
	}
	if md := e.Metadata; md != nil {
		if root, ok := podjson.Workspace(md); ok {
			names(m.places, root, e.Pod)
		}
	}
	if md := e.Metadata; md != nil && md.Active != nil {
		sessions(m.sessions, md.Active.SessionID, e.Pod)
	}
}
