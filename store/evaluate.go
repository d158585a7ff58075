package store

import (
	"errors"
	"maps"
)

// Evaluate is [MetadataStore] Apply without a store, for backends that hold whole
// Pods. changes come from [Prepare]. before has the Pods that they name, where they
// exist, each in normal form and with its revision; for a [Remove] it has every
// Pod. It is not changed. The result has each Pod that was named or changed, nil
// where it does not exist now: an element of before where nothing was done to it,
// otherwise metadata in memory of its own, which may be equal to what was.
//
// Pods that cannot be read are in damaged instead, with why: that is returned where
// a change needs what was stored, which [Put], [Delete] and [Remove] do not.
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
	damaged       map[string]error // those that are still as they were
	own           map[string]bool  // what after has of them was made here
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

// unlink drops what a Pod has of references to one that is removed.
func (e *evaluation) unlink(name, removed string) {
	if m := e.pod(name); m != nil && e.damaged[name] == nil && m.RefersTo(removed) {
		m = e.owned(name)
		m.RemovePeer(removed)
		m.RemoveChild(removed)
	}
}

// replaces reports whether a change needs nothing of what was there.
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

// withOpIfNone puts the operation on an error that has none.
func withOpIfNone(op string, err error) error {
	var e *Error
	if errors.As(err, &e) && e.Op == "" {
		return withOp(op, err)
	}
	return err
}
