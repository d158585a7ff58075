package cli

import (
	"context"
	"errors"
	"os"

	"podstore/store"
	"podstore/store/boltstore"
	"podstore/store/jsonexport"
	"podstore/store/memstore"
)

// openTarget opens a place to write to. It creates a file or directory that is missing. For
// a dry run it opens the place for reading, or an empty store in memory if it is missing.
func (c *console) openTarget(ctx context.Context, s location, dryRun bool, maxFileSize int64) (opened, error) {
	if err := ctx.Err(); err != nil {
		return opened{}, err
	}
	c.db = s
	switch s.kind {
	case kindFile:
		if dryRun {
			return c.planFile(ctx, s)
		}
		return c.openFile(ctx, s.path)
	case kindDirectory:
		if _, err := os.Lstat(s.path); dryRun && errors.Is(err, os.ErrNotExist) {
			return opened{memstore.New(), nothingToClose}, nil
		}
		if dryRun { // refuse what the real run would refuse
			if _, err := jsonexport.OpenDir(s.path, &jsonexport.DirOptions{MustExist: true}); err != nil {
				return opened{}, err
			}
		}
		d, err := jsonexport.OpenDir(s.path, &jsonexport.DirOptions{ReadOnly: dryRun, MaxFileSize: maxFileSize})
		return opened{d, nothingToClose}, err
	case kindSocket:
		return dial(ctx, s.path)
	}
	return c.openScheme(ctx, s, false)
}

// planFile opens a database file for a dry run.
func (c *console) planFile(ctx context.Context, s location) (opened, error) {
	db, err := c.open(ctx, s.path, &boltstore.Options{ReadOnly: true})
	switch {
	case errors.Is(err, store.ErrNotFound):
		return opened{memstore.New(), nothingToClose}, nil
	case err != nil:
		return opened{}, err
	}
	return opened{db, db.Close}, nil
}
