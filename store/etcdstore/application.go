package etcdstore

import (
	"podstore/store"
	"podstore/store/internal/codec"
)

const opApply = "apply"

// application is one Apply.
type application struct {
	s       *Store
	changes []store.Change
	opts    store.ApplyOptions
	names   []string          // the Pods that the changes name, each once
	removes []string          // those of names that the changes remove
	omit    store.ReadOptions // parts of a Pod that the changes do not need
	id      codec.MadeID      // kept with the changed Pods

	refs *references // to removes

	since int64 // at this revision the changes were not yet made
	// unclear is set when a request was sent and its outcome is not known. lost is set
	// too if there was no answer: then etcd may still make it later.
	unclear, lost error
}

func (s *Store) newApplication(changes []store.Change, opts *store.ApplyOptions) (*application, error) {
	a := &application{s: s}
	if opts != nil {
		a.opts = *opts
	}
	needs := store.FieldSet(0)
	if a.opts.Metadata {
		needs = store.AllFields
	}
	named := make(map[string]bool, len(changes))
	gone := make(map[string]bool) // the changes so far delete these
	for _, c := range changes {
		if !named[c.Pod] {
			named[c.Pod] = true
			a.names = append(a.names, c.Pod)
		}
		switch c.Op.(type) {
		case nil:
			continue
		case store.Remove:
			a.removes = append(a.removes, c.Pod)
			gone[c.Pod] = true
			continue
		case store.Delete:
			gone[c.Pod] = true
			continue
		case store.Reclaim, store.TrimReclaimed:
			needs |= store.Fields(store.FieldReclaimed, store.FieldChildren)
		default:
			needs |= c.Op.Touches()
		}
		if gone[c.Pod] { // created again, perhaps with the same content
			needs = store.AllFields
		}
	}
	if err := s.checkCount(opApply, a.names); err != nil {
		return nil, err
	}
	a.omit.OmitManifest = !needs.Has(store.FieldManifest)
	a.omit.OmitReclaimed = !needs.Has(store.FieldReclaimed)
	var err error
	if a.changes, err = store.Prepare(changes); err != nil {
		return nil, err
	}
	a.id.ID = a.opts.ID
	if a.id.ID == (store.RequestID{}) {
		a.id.ID = store.NewRequestID()
		return a, nil
	}
	a.id.Changes = codec.ChangesSum(a.changes)
	return a, nil
}

// failure returns an error. It names the Pod if there is only one.
func (a *application) failure(kind, err error) *store.Error {
	e := &store.Error{Op: opApply, Kind: kind, Err: err}
	if len(a.names) == 1 {
		e.Pod = a.names[0]
	}
	return e
}
