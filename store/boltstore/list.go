package boltstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"

	bolt "go.etcd.io/bbolt"

	"podstore/store"
)

// List returns the names of all Pods: see [store.MetadataStore]. It compares them with
// the record of names. If Pods have vanished, or have appeared that nobody created, it
// returns the names it found together with an error that matches [store.ErrCorrupt].
func (s *Store) List(ctx context.Context) ([]string, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var names []string
	var damage error
	err := s.view("list", "", func(tx *bolt.Tx) error {
		names, damage = listNames(tx)
		return nil
	})
	if err == nil && damage != nil {
		err = &store.Error{Op: "list", Path: s.path, Kind: store.ErrCorrupt, Err: damage}
	}
	return names, s.listErr(err)
}

func (s *Store) listErr(err error) error {
	if err == nil || errors.As(err, new(*store.Error)) {
		return err
	}
	kind := kindOf(err)
	return &store.Error{Op: "list", Path: s.path, Kind: kind, Err: err}
}

// listNames reads all names. damage says how they differ from the record.
func listNames(tx *bolt.Tx) (names []string, damage error) {
	var found nameRecord
	var last []byte
	c := tx.Cursor()
	for k, _ := c.First(); k != nil; k, _ = c.Next() {
		if last != nil && bytes.Compare(k, last) <= 0 {
			return names, fmt.Errorf("the names are out of order at %.64q", k)
		}
		last = k
		switch {
		case string(k) == bookkeeping:
			continue
		case store.ValidateName(string(k)) != nil:
			damage = fmt.Errorf("%.64q is not a Pod name", k)
		default:
			names = append(names, string(k))
		}
		found.add(k)
	}
	record, err := readRecord(tx)
	switch {
	case damage != nil:
		return names, damage
	case err != nil:
		return names, err
	}
	return names, record.compare(found)
}

// One read transaction of All reads at most this much, so that it is short and uses
// little memory.
const (
	listPods  = 256
	listBytes = 4 << 20
)

// All yields every Pod: see [store.Lister]. The list of names is from one moment. All
// reads the Pods themselves in short transactions of some hundred. If the Store is closed
// meanwhile, the last element is an error that matches store.ErrClosed.
func (s *Store) All(ctx context.Context, opts store.ReadOptions) iter.Seq2[*store.Metadata, error] {
	return func(yield func(*store.Metadata, error) bool) {
		names, listErr := s.List(ctx)
		type item struct {
			m   *store.Metadata
			err error
		}
		chunk := make([]item, 0, listPods)
		for i := 0; i < len(names); {
			chunk = chunk[:0]
			if err := ctx.Err(); err != nil {
				yield(nil, err)
				return
			}
			size := 0
			for i < len(names) && len(chunk) < listPods && size < listBytes {
				// A panic in one Pod ends its transaction. The next transaction goes on
				// behind that Pod.
				start := i
				err := s.view("list", "", func(tx *bolt.Tx) error {
					for i < len(names) && len(chunk) < listPods && size < listBytes {
						name := names[i]
						start = i
						var p stored
						err := s.load(tx, name, &p)
						var m *store.Metadata
						if err == nil {
							m, err = p.metadata(tx, name, opts)
						}
						i++
						switch {
						case errors.Is(err, errMissing):
						case errors.Is(err, store.ErrFormat):
							chunk = append(chunk, item{nil, newer(name, withOp("read", err))})
						case err != nil:
							chunk = append(chunk, item{nil, damaged("read", name, err)})
						default:
							chunk = append(chunk, item{m, nil})
							size += len(m.Manifest)
						}
					}
					return nil
				})
				switch {
				case err == nil:
				case panicked(err):
					i = start + 1
					chunk = append(chunk, item{nil, damaged("read", names[start], err)})
				default:
					yield(nil, s.listErr(err))
					return
				}
			}
			s.stats.reads.Add(uint64(len(chunk)))
			for _, it := range chunk {
				if !yield(it.m, it.err) {
					return
				}
			}
		}
		if listErr != nil {
			yield(nil, listErr)
		}
	}
}
