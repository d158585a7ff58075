package socketstore

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"

	"podstore/store"
)

// GET /v2/snapshot
//
// The server first copies the store's file to a temporary file and then sends
// that, so a slow client holds nothing of the store.
func (s *Server) snapshot(w http.ResponseWriter, r *http.Request, c *conn) error {
	ctx := r.Context()
	if err := noQuery(r); err != nil {
		return err
	}
	if err := s.authorizeRead(ctx, c); err != nil {
		return err
	}
	file, ok := s.store.(io.WriterTo)
	if !ok {
		return fmt.Errorf("%w: the store that is served here is not kept in a file", errors.ErrUnsupported)
	}
	f := &flow{conn: c}
	if err := s.take(ctx, s.snapshots, f, 1); err != nil {
		return err
	}
	defer s.snapshots.give(f)
	spool, size, err := s.spool(file)
	if err != nil {
		if _, ok := errors.AsType[*store.Error](err); !ok {
			err = &store.Error{Op: "snapshot", Err: err}
		}
		return err
	}
	defer spool.Close()
	w.Header().Set("Content-Type", fileType)
	w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
	b := make([]byte, chunkBytes)
	for size > 0 {
		n, err := spool.Read(b)
		if err == nil {
			err = f.move(b[:n], c.SetWriteDeadline, writer(w))
		}
		if err != nil {
			s.log.Warn("podstore: a snapshot was not sent whole", "pid", c.peer.PID, "cause", err)
			panic(http.ErrAbortHandler)
		}
		size -= int64(n)
	}
	return nil
}

// spool copies the store's file to a temporary file that vanishes by itself.
func (s *Server) spool(file io.WriterTo) (f *os.File, size int64, err error) {
	dir := s.opts.TempDir
	if in, ok := s.store.(interface{ Path() string }); ok && dir == "" {
		dir = filepath.Dir(in.Path())
	}
	if f, err = os.CreateTemp(dir, ".podstore-snapshot-"); err != nil {
		return nil, 0, err
	}
	if err = os.Remove(f.Name()); err == nil {
		size, err = file.WriteTo(f)
	}
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		return nil, 0, errors.Join(err, f.Close())
	}
	return f, size, nil
}
