package main

import (
	"maps"
	"slices"
	"strings"
	"time"

	"podstore/store"
)

// pods are the Pods as they last arrived, with their parents.
type pods struct {
	byName  map[string]*pod
	names   []string            // of byName, sorted
	parents map[string][]string // for each name that is a child, even of no Pod: its parents, sorted
	damaged int
	lost    error // Pods have vanished from a damaged store

	synced  bool // the first list is complete
	listing bool // a list is under way; Pods not named until its end are gone
	changes []change
	noted   int // the number of changes so far, including forgotten ones
}

// pod is a Pod. Once it is in pods, only listed changes.
type pod struct {
	name, label string
	search      string          // the text that a filter searches
	meta        *store.Metadata // without manifest and history; nil if the Pod is damaged
	err         error
	children    []string // each once
	listed      bool

	seen time.Time // when its last change arrived; zero: none since the first list
	what string    // what changed then
}

func newPods() *pods {
	return &pods{byName: map[string]*pod{}, parents: map[string][]string{}}
}

// apply applies a batch that arrived at now.
func (ps *pods) apply(b store.Batch, now time.Time) {
	if b.Resync || !ps.synced && !ps.listing {
		ps.listing, ps.lost = true, nil
		for _, p := range ps.byName {
			p.listed = false
		}
	}
	names := len(ps.byName)
	fresh := false
	for _, e := range b.Events {
		was := ps.byName[e.Pod]
		if e.Pod == "" {
			ps.lost = e.Err
			continue
		}
		if e.Metadata == nil && e.Err == nil {
			ps.remove(e.Pod, now)
			continue
		}
		fresh = fresh || was == nil
		ps.put(was, newPod(e), now)
	}
	if b.Synced && ps.listing {
		for name, p := range ps.byName {
			if !p.listed {
				ps.remove(name, now)
			}
		}
		ps.listing, ps.synced = false, true
	}
	if fresh || len(ps.byName) != names {
		ps.names = slices.Sorted(maps.Keys(ps.byName))
	}
}

func newPod(e store.Event) *pod {
	p := &pod{name: e.Pod, label: quoted(e.Pod), search: e.Pod, meta: e.Metadata, err: e.Err, listed: true}
	if e.Metadata != nil {
		for _, c := range e.Metadata.Children {
			if !slices.Contains(p.children, c.PodName) {
				p.children = append(p.children, c.PodName)
			}
		}
		if a := e.Metadata.Active; a != nil {
			p.search += "\n" + a.SessionID.String()
			if a.SegmentID != nil {
				p.search += "\n" + a.SegmentID.String()
			}
		}
	}
	p.search = strings.ToLower(p.search)
	return p
}

func (ps *pods) put(was, p *pod, now time.Time) {
	if was != nil {
		p.seen, p.what = was.seen, was.what
		ps.damaged -= btoi(was.err != nil)
	}
	ps.damaged += btoi(p.err != nil)
	if ps.synced {
		if what := difference(was, p); what != "" {
			p.seen, p.what = now, what
			ps.note(change{now, p.name, what})
		}
	}
	ps.byName[p.name] = p
	ps.relink(was, p)
}

func (ps *pods) remove(name string, now time.Time) {
	was := ps.byName[name]
	if was == nil {
		return
	}
	ps.damaged -= btoi(was.err != nil)
	delete(ps.byName, name)
	ps.relink(was, nil)
	if ps.synced {
		ps.note(change{now, name, "deleted"})
	}
}

// relink updates parents after a Pod's children changed. Either argument may be nil.
func (ps *pods) relink(was, is *pod) {
	if was != nil && is != nil && slices.Equal(was.children, is.children) {
		return
	}
	if was != nil {
		for _, child := range was.children {
			list := ps.parents[child]
			if i, ok := slices.BinarySearch(list, was.name); ok {
				list = slices.Delete(list, i, i+1)
			}
			if ps.parents[child] = list; len(list) == 0 {
				delete(ps.parents, child)
			}
		}
	}
	if is != nil {
		for _, child := range is.children {
			list := ps.parents[child]
			if i, ok := slices.BinarySearch(list, is.name); !ok {
				ps.parents[child] = slices.Insert(list, i, is.name)
			}
		}
	}
}

// hasPeer reports whether a Pod has another one as a peer. A damaged Pod may, and counts.
func (ps *pods) hasPeer(name, peer string) bool {
	p := ps.byName[name]
	return p != nil && (p.err != nil || slices.Contains(p.meta.Peers, store.Peer{PodName: peer}))
}
