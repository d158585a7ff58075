package cli

import (
	"context"
	"errors"
	"os"

	"podstore/store"
	"podstore/store/boltstore"
	"podstore/store/jsonexport"
)

// openTarget opens a side to write to, which is created where it is a file or a
// directory that is missing. A dry run changes nothing, and does without what is
// missing.
func (c *console) openTarget(ctx context.Context, s side, dryRun bool, maxFileSize int64) (opened, error) {
	if err := ctx.Err(); err != nil {
		return opened{}, err
	}
	c.db = s
	switch s.kind {
	case inFile:
		if dryRun {
			return c.planFile(ctx, s)
		}
		return c.openFile(ctx, s.path)
	case inDirectory:
		if _, err := os.Lstat(s.path); dryRun && errors.Is(err, os.ErrNotExist) {
			return opened{planned{}, nothingToClose}, nil
		}
		if dryRun { // a directory that is refused for writing is refused here too
			if _, err := jsonexport.OpenDir(s.path, &jsonexport.DirOptions{MustExist: true}); err != nil {
				return opened{}, err
			}
		}
		d, err := jsonexport.OpenDir(s.path, &jsonexport.DirOptions{ReadOnly: dryRun, MaxFileSize: maxFileSize})
		return opened{d, nothingToClose}, err
	case behindSocket:
		return dial(ctx, s.path)
	}
	return c.openScheme(ctx, s, false)
}

// planFile opens a database file for a dry run.
func (c *console) planFile(ctx context.Context, s side) (opened, error) {
	db, err := c.open(ctx, s.path, &boltstore.Options{ReadOnly: true})
	switch {
	case errors.Is(err, store.ErrNotFound):
		return opened{planned{}, nothingToClose}, nil
	case err != nil:
		return opened{}, err
	}
	return opened{planned{db}, db.Close}, nil
}

// planned is a store that a copy is tried on: it is read, and nothing is written
// to it. The store is nil where there is none yet.
type planned struct{ store.MetadataStore }

var errPlanned = errors.New("a dry run came to the point of writing")

// UpdatePods gives the edit what is there, and expects it to refuse.
func (p planned) UpdatePods(ctx context.Context, names []string, edit func([]*store.Metadata) error) ([]*store.Metadata, error) {
	pods := make([]*store.Metadata, len(names))
	if p.MetadataStore != nil {
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
