package cli

import (
	"context"

	"podstore/store/boltstore"
	"podstore/store/jsonexport"
)

// openChange opens a place for edit, remove and prune, which change Pods that exist. It
// creates nothing. Only edit, which changes one Pod, takes a directory.
func (c *console) openChange(ctx context.Context, s location, maxFileSize int64) (opened, error) {
	if err := ctx.Err(); err != nil {
		return opened{}, err
	}
	c.db = s
	switch s.kind {
	case kindFile:
		db, err := c.open(ctx, s.path, &boltstore.Options{MustExist: true, AllowNetworkFS: c.allowNetwork, Logger: c.logger()})
		if err != nil {
			return opened{}, err
		}
		return opened{db, db.Close}, nil
	case kindDirectory:
		d, err := jsonexport.OpenDir(s.path, &jsonexport.DirOptions{MustExist: true, MaxFileSize: maxFileSize})
		return opened{d, nothingToClose}, err
	case kindSocket:
		return dial(ctx, s.path)
	}
	return c.openScheme(ctx, s, false)
}

// several parses the place of a command that changes several Pods at once, and refuses a
// directory.
func (c *console) several(arg string) (location, error) {
	s, err := c.parseLocation(arg)
	if err == nil && s.kind == kindDirectory {
		err = c.misuse("%s changes several Pods at once, which a directory cannot; import %s into a database first", c.command, s.name())
	}
	return s, err
}
