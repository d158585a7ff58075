package store

import (
	"maps"
)

// Evaluate does what [MetadataStore].Apply does, on Pods in memory, for backends.
// changes come from [Prepare]. before has the existing Pods that they name, each in normal
// form and with its revision; for a [Remove] it has every Pod. Evaluate does not change
// it.
//
// The result has each Pod that was named or changed, nil if it does not exist now. A Pod
// that no change touched is the same pointer as in before. Any other is a new value,
// which may equal the old one.
//
// damaged has the errors of the Pods that cannot be read. Evaluate returns such an error
// if a change needs what was stored. [Put], [Delete] and [Remove] need nothing that was
// stored.
func Evaluate(changes []Change, before map[string]*Metadata, damaged map[string]error) (after map[string]*Metadata, err error) {
	e := evaluation{before: before, damaged: damaged, after: make(map[string]*Metadata, len(changes)), own: make(map[string]bool, len(changes))}
	for _, c := range changes {
		if err := e.change(c); err != nil {
			return nil, withOpIfNone(opWords(c.Op), err)
		}
	}
	return e.after, nil
}

type evaluation struct {
	before, after map[string]*Metadata
	damaged       map[string]error // of Pods that no change has replaced yet
	own           map[string]bool  // Pods of after that may be changed in place
}

func (e *evaluation) pod(name string) *Metadata {
	if m, ok := e.after[name]; ok {
		return m
	}
	return e.before[name]
}

func (e *evaluation) change(c Change) error {
	e.after[c.Pod] = e.pod(c.Pod)
	damage := e.damaged[c.Pod]
	if damage != nil && !replaces(c) {
		return damage
	}
	var at Revision
	if m := e.before[c.Pod]; m != nil && damage == nil {
		at = m.Version.Revision
	}
	do, err := c.If.Check(c.Pod, e.after[c.Pod] != nil || damage != nil, at)
	if err != nil || !do {
		return err
	}
	switch op := c.Op.(type) {
	case nil:
	case Delete:
		e.forget(c.Pod)
	case Remove:
		e.forget(c.Pod)
		for name := range e.before {
			e.unlink(name, c.Pod)
		}
		for name := range e.after { // also what the changes before this one made
			e.unlink(name, c.Pod)
		}
	default:
		e.damaged = without(e.damaged, c.Pod)
		op.Apply(e.owned(c.Pod))
	}
	return nil
}

// unlink drops a Pod's references to one that is removed.
func (e *evaluation) unlink(name, removed string) {
	if m := e.pod(name); m != nil && e.damaged[name] == nil && m.RefersTo(removed) {
		m = e.owned(name)
		m.RemovePeer(removed)
		m.RemoveChild(removed)
	}
}

// replaces reports whether a change can be made without what was stored.
func replaces(c Change) bool {
	if c.If.NeedsRevision() {
		return false
	}
	switch c.Op.(type) {
	case Put, Delete, Remove:
		return true
	}
	return false
}

// forget deletes a Pod.
func (e *evaluation) forget(name string) {
	e.damaged = without(e.damaged, name)
	e.after[name] = nil
}

// owned returns a Pod that may be changed, and makes it where it is missing.
func (e *evaluation) owned(name string) *Metadata {
	m := e.pod(name)
	switch {
	case m == nil:
		m = &Metadata{PodName: name}
	case e.own[name]:
		return m
	default:
		m = m.Clone()
	}
	e.own[name] = true
	e.after[name] = m
	return m
}

func without(errs map[string]error, name string) map[string]error {
	if errs[name] == nil {
		return errs
	}
	errs = maps.Clone(errs)
	delete(errs, name)
	return errs
}
