package main

import (
	"context"
	"errors"

	"podstore/store"
	"podstore/store/boltstore"
)

// openRead opens a database for reading. Nothing is created or changed.
func (c *console) openRead(ctx context.Context, db string) (*boltstore.Store, error) {
	return c.open(ctx, db, &boltstore.Options{ReadOnly: true})
}

// open opens a database. It may have to wait for a lock, and an interrupt ends
// that too.
func (c *console) open(ctx context.Context, db string, opts *boltstore.Options) (*boltstore.Store, error) {
	c.db = db
	type opened struct {
		s   *boltstore.Store
		err error
	}
	done := make(chan opened, 1)
	go func() {
		s, err := boltstore.Open(db, opts)
		done <- opened{s, err}
	}()
	select {
	case o := <-done:
		return o.s, o.err
	case <-ctx.Done():
		return nil, ctx.Err() // the program ends, and with it what it has open
	}
}

// planned is a database that an import is tried on: it is read, and nothing is
// written to it. The Store is nil where there is none yet.
type planned struct{ *boltstore.Store }

var errPlanned = errors.New("a dry run came to the point of writing")

// UpdatePods gives the edit what is there, and expects it to refuse.
func (p planned) UpdatePods(ctx context.Context, names []string, edit func([]*store.Metadata) error) ([]*store.Metadata, error) {
	pods := make([]*store.Metadata, len(names))
	if p.Store != nil {
		for i, name := range names {
			m, err := p.Read(ctx, name)
			if err != nil && !errors.Is(err, store.ErrNotFound) {
				return nil, err
			}
			pods[i] = m
		}
	}
	if err := edit(pods); err != nil {
		return nil, err
	}
	return nil, errPlanned
}
