package cli

import (
	"context"
	"errors"
	"io"
	"os"

	"podstore/store"
	"podstore/store/boltstore"
	"podstore/store/jsonexport"
	"podstore/store/socketstore"
)

// database is a database file that is open for reading, or a copy of the one that a
// supervisor serves.
type database struct {
	*boltstore.Store
	closer io.Closer
}

// Close closes the database and removes the copy, if it is one.
func (d *database) Close() error { return d.closer.Close() }

// openDatabase opens a database for reading: the file, which it neither creates nor
// changes, or a copy of what a supervisor serves at this moment.
func (c *console) openDatabase(ctx context.Context, arg string) (*database, error) {
	s, err := c.fileLocation(arg)
	if err != nil {
		return nil, err
	}
	return c.openLocation(ctx, s)
}

func (c *console) openLocation(ctx context.Context, s location) (*database, error) {
	c.db = s
	if s.kind == kindFile {
		db, err := c.open(ctx, s.path, &boltstore.Options{ReadOnly: true})
		if err != nil {
			return nil, err
		}
		return &database{db, db}, nil
	}
	db, closer, err := boltstore.OpenCopy(s.path, "", func(w io.Writer) error { return socketstore.FetchSnapshot(ctx, s.path, w) })
	if err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return nil, err
	}
	return &database{db, closer}, nil
}

// opened is a store of any kind, with its close function.
type opened struct {
	store.MetadataStore
	close func() error
}

// Close frees the store.
func (o opened) Close() error { return o.close() }

func nothingToClose() error { return nil }

// openRead opens any place for reading, as it is at one moment. A directory, and a socket
// that serves no snapshots, are read as they are meanwhile.
func (c *console) openRead(ctx context.Context, arg string, maxFileSize int64) (opened, error) {
	s, err := c.parseLocation(arg)
	if err != nil {
		return opened{}, err
	}
	return c.readLocation(ctx, s, maxFileSize)
}

func (c *console) readLocation(ctx context.Context, s location, maxFileSize int64) (opened, error) {
	c.db = s
	switch s.kind {
	case kindDirectory:
		if err := ctx.Err(); err != nil {
			return opened{}, err
		}
		d, err := jsonexport.OpenDir(s.path, &jsonexport.DirOptions{ReadOnly: true, MaxFileSize: maxFileSize})
		return opened{d, nothingToClose}, err
	case kindServers:
		all, err := c.openScheme(ctx, s, true)
		if err != nil {
			return opened{}, err
		}
		frozen, ok := all.MetadataStore.(store.Snapshotter)
		if !ok {
			return all, nil
		}
		moment, closer, err := frozen.Snapshot(ctx)
		if err != nil {
			return opened{}, errors.Join(err, all.Close())
		}
		return opened{moment, func() error { return errors.Join(closer.Close(), all.Close()) }}, nil
	}
	db, err := c.openLocation(ctx, s)
	if s.kind == kindSocket && errors.Is(err, errors.ErrUnsupported) {
		// A store without snapshots, such as one that the supervisor has in etcd.
		return dial(ctx, s.path)
	}
	if err != nil {
		return opened{}, err
	}
	return opened{db.Store, db.Close}, nil
}

// dial connects to the store that is served at a socket. It waits for a supervisor that is
// restarting, but fails at once if there is no socket.
func dial(ctx context.Context, path string) (opened, error) {
	if _, err := os.Lstat(path); errors.Is(err, os.ErrNotExist) {
		return opened{}, &store.Error{Op: "open", Path: path, Kind: store.ErrNotFound, Err: errors.New("no supervisor serves a store there; start it")}
	}
	client, err := socketstore.Dial(ctx, path, nil)
	if err != nil {
		return opened{}, err
	}
	return opened{client, client.Close}, nil
}

// openScheme connects to a store that this build has a scheme for.
func (c *console) openScheme(ctx context.Context, s location, reading bool) (opened, error) {
	if err := ctx.Err(); err != nil {
		return opened{}, err
	}
	all, closer, err := s.scheme.Open(ctx, s.arg, reading)
	switch {
	case err == nil:
		return opened{all, closer.Close}, nil
	case ctx.Err() != nil:
		return opened{}, ctx.Err()
	case errors.Is(err, store.ErrInvalid):
		return opened{}, c.misuse("%s", reason(err)) // an address may hold a password by mistake
	}
	return opened{}, err
}

// readFile returns the path of a database file, for commands that work on whole files: of
// the database itself, or of a copy of what a supervisor serves.
func (c *console) readFile(ctx context.Context, arg string) (string, io.Closer, error) {
	s, err := c.fileLocation(arg)
	if err != nil {
		return "", nil, err
	}
	if c.db = s; s.kind == kindFile {
		return s.path, io.NopCloser(nil), nil
	}
	db, err := c.openLocation(ctx, s)
	if err != nil {
		return "", nil, err
	}
	return db.Path(), db, nil
}

// open opens a database file. It may wait for a lock; an interrupt ends that.
func (c *console) open(ctx context.Context, path string, opts *boltstore.Options) (*boltstore.Store, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	type result struct {
		s   *boltstore.Store
		err error
	}
	done := make(chan result, 1)
	go func() {
		s, err := boltstore.Open(path, opts)
		done <- result{s, err}
	}()
	select {
	case o := <-done:
		return o.s, o.err
	case <-ctx.Done():
		go func() {
			if o := <-done; o.s != nil {
				_ = o.s.Close()
			}
		}()
		return nil, ctx.Err()
	}
}
