package store

import (
	"context"
	"errors"
	"iter"
	"maps"
	"slices"
)

// Reference is a broken reference of one Pod to another: the other does not exist, or
// does not refer back.
type Reference struct {
	Pod string // the Pod that has the reference
	To  string // the name that it refers to, perhaps not a valid one
	// Child says that To is among Pod's children. Otherwise it is among its peers.
	Child bool
	// Missing says that there is no such Pod. Otherwise To is a Pod that does not
	// have Pod among its peers: the link is one-sided.
	Missing bool
}

// BrokenReferences yields the children that do not exist and the links that have
// one side only, sorted by Pod, peers before children, each once. Reclaimed
// children are history and may be gone. It changes nothing, reads all Pods in
// one pass, and holds in memory only the names of Pods, peers and children. If others
// change the store during the pass, a reference may be reported that was never broken,
// because [All] reads different Pods at different moments: use a [Snapshotter] then.
//
// If a Pod cannot be read, an error that names it is yielded before the references. Such
// a Pod exists, and neither its own references nor links to it are reported. An error
// that concerns no single Pod is yielded too. Then some Pods may not have been seen, and
// no references follow.
func BrokenReferences(ctx context.Context, pods MetadataStore) iter.Seq2[Reference, error] {
	type lists struct{ peers, children []string }
	return func(yield func(Reference, error) bool) {
		read := make(map[string]lists)
		unread := make(map[string]bool)
		whole := true
		for m, err := range All(ctx, pods, ReadOptions{OmitManifest: true}) {
			if err != nil {
				var e *Error
				if errors.As(err, &e) && e.Pod != "" {
					unread[e.Pod] = true
				} else {
					whole = false
				}
				if !yield(Reference{}, err) {
					return
				}
				continue
			}
			var l lists
			for _, p := range m.Peers {
				l.peers = append(l.peers, p.PodName)
			}
			for _, c := range m.Children {
				l.children = append(l.children, c.PodName)
			}
			read[m.PodName] = l
		}
		if !whole || ctx.Err() != nil {
			return
		}
		exists := func(name string) bool {
			_, ok := read[name]
			return ok || unread[name]
		}
		for _, name := range slices.Sorted(maps.Keys(read)) {
			l := read[name]
			for i, to := range l.peers {
				if unread[to] || slices.Contains(l.peers[:i], to) || slices.Contains(read[to].peers, name) {
					continue
				}
				if !yield(Reference{Pod: name, To: to, Missing: !exists(to)}, nil) {
					return
				}
			}
			for i, to := range l.children {
				if exists(to) || slices.Contains(l.children[:i], to) {
					continue
				}
				if !yield(Reference{Pod: name, To: to, Child: true, Missing: true}, nil) {
					return
				}
			}
		}
	}
}
