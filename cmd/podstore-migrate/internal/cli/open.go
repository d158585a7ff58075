package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"podstore/store"
	"podstore/store/boltstore"
)

// socketPrefix begins what stands in place of a database that a supervisor serves
// on a Unix socket.
const socketPrefix = "unix:"

// database is a database that is open for reading.
type database struct {
	*boltstore.Store
	closer io.Closer
}

// Close closes the database and removes what was fetched.
func (d *database) Close() error { return d.closer.Close() }

// openRead opens a database for reading: the file, which is neither created nor
// changed, or what a supervisor serves, as it is at this moment.
func (c *console) openRead(ctx context.Context, db string) (*database, error) {
	c.db = db
	socket, live := strings.CutPrefix(db, socketPrefix)
	if !live {
		s, err := c.open(ctx, db, &boltstore.Options{ReadOnly: true})
		if err != nil {
			return nil, err
		}
		return &database{s, s}, nil
	}
	s, closer, err := boltstore.OpenLive(ctx, socket, "")
	if err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return nil, err
	}
	return &database{s, closer}, nil
}

// readFile gives the path of a database file, for what works on whole files:
// the database itself, or a copy of what a supervisor serves.
func (c *console) readFile(ctx context.Context, db string) (string, io.Closer, error) {
	c.db = db
	if !strings.HasPrefix(db, socketPrefix) {
		return db, io.NopCloser(nil), nil
	}
	s, err := c.openRead(ctx, db)
	if err != nil {
		return "", nil, err
	}
	return s.Path(), s, nil
}

// writable refuses a socket where a file is to be written.
func (c *console) writable(path string) error {
	if strings.HasPrefix(path, socketPrefix) {
		return &usageError{"podstore-migrate " + c.command, fmt.Errorf("%s writes to %s, but a socket serves reading only", c.command, path)}
	}
	return nil
}

// open opens a database. It may have to wait for a lock, and an interrupt ends
// that too.
func (c *console) open(ctx context.Context, db string, opts *boltstore.Options) (*boltstore.Store, error) {
	c.db = db
	if err := ctx.Err(); err != nil {
		return nil, err
	}
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
		go func() {
			if o := <-done; o.s != nil {
				_ = o.s.Close()
			}
		}()
		return nil, ctx.Err()
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
