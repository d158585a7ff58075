package main

import (
	"errors"
	"iter"

	"github.com/dgraph-io/badger/v4"

	"podstore/store"
)

func badgerCandidate() *candidate {
	return &candidate{
		name: "badger", inMemory: true,
		what:    "Badger, two keys a Pod, transactions run again on conflict",
		promise: "durable (SyncWrites)",
		open: func(dir string) (pods, error) {
			db, err := badger.Open(badger.DefaultOptions(dir).WithSyncWrites(true).WithLogger(nil))
			return &badgerPods{db}, err
		},
	}
}

type badgerPods struct{ db *badger.DB }

func (p *badgerPods) load(all iter.Seq[*store.Metadata]) error {
	batch := p.db.NewWriteBatch()
	defer batch.Cancel()
	for m := range all {
		if err := batch.Set(smallKey(m.PodName), appendSmall(nil, m)); err != nil {
			return err
		}
		if err := batch.Set(manifestKey(m.PodName), m.Manifest); err != nil {
			return err
		}
	}
	if err := batch.Flush(); err != nil {
		return err
	}
	return p.db.Sync()
}

func (p *badgerPods) setPeer(pod, peer string, there bool) error {
	for {
		err := p.db.Update(func(tx *badger.Txn) error {
			m, err := badgerSmall(tx, pod)
			if err != nil {
				return err
			}
			if err := setPeer(m, peer, there); err != nil {
				return err
			}
			return tx.Set(smallKey(pod), appendSmall(nil, m))
		})
		if !errors.Is(err, badger.ErrConflict) {
			return err
		}
	}
}

func badgerSmall(tx *badger.Txn, pod string) (m *store.Metadata, err error) {
	item, err := tx.Get(smallKey(pod))
	if err != nil {
		return nil, err
	}
	err = item.Value(func(value []byte) (err error) {
		m, err = decodeSmall(pod, value)
		return err
	})
	return m, err
}

func (p *badgerPods) read(pod string) (any, error) {
	var m *store.Metadata
	err := p.db.View(func(tx *badger.Txn) (err error) {
		if m, err = badgerSmall(tx, pod); err != nil {
			return err
		}
		item, err := tx.Get(manifestKey(pod))
		if err == nil {
			m.Manifest, err = item.ValueCopy(nil)
		}
		return err
	})
	return m, err
}

// each visits the items whose keys begin with prefix.
func badgerEach(tx *badger.Txn, prefix string, values bool, visit func(pod string, item *badger.Item) error) error {
	opts := badger.DefaultIteratorOptions
	opts.Prefix, opts.PrefetchValues = []byte(prefix), values
	it := tx.NewIterator(opts)
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		if err := visit(string(it.Item().Key()[len(prefix):]), it.Item()); err != nil {
			return err
		}
	}
	return nil
}

func (p *badgerPods) list() ([]string, error) {
	var names []string
	err := p.db.View(func(tx *badger.Txn) error {
		return badgerEach(tx, "d/", false, func(pod string, _ *badger.Item) error {
			names = append(names, pod)
			return nil
		})
	})
	return names, err
}

func (p *badgerPods) all(visit func(any) error) error {
	return p.db.View(func(tx *badger.Txn) error {
		opts := badger.DefaultIteratorOptions
		opts.Prefix = []byte("m/")
		manifests := tx.NewIterator(opts)
		defer manifests.Close()
		manifests.Rewind()
		return badgerEach(tx, "d/", true, func(pod string, item *badger.Item) error {
			var m *store.Metadata
			err := item.Value(func(value []byte) (err error) {
				m, err = decodeSmall(pod, value)
				return err
			})
			if err == nil && manifests.Valid() && string(manifests.Item().Key()[2:]) == pod {
				m.Manifest, err = manifests.Item().ValueCopy(nil)
				manifests.Next()
			}
			if err != nil {
				return err
			}
			return visit(m)
		})
	})
}

func (p *badgerPods) close() error { return p.db.Close() }
