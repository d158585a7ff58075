package socketstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"

	"podstore/store"
	"podstore/store/podjson"
)

// GET /v2/snapshot
//
// The server first copies the store to a temporary file and then sends that, so a slow
// client holds nothing of the store.
func (s *Server) snapshot(w http.ResponseWriter, r *http.Request, c *conn) error {
	ctx := r.Context()
	if err := noQuery(r); err != nil {
		return err
	}
	if err := s.authorizeRead(ctx, c); err != nil {
		return err
	}
	f := &flow{conn: c}
	if err := s.take(ctx, s.snapshots, f, 1); err != nil {
		return err
	}
	defer s.snapshots.give(f)
	contentType, copyTo := fileType, s.copyFile
	if _, ok := s.store.(io.WriterTo); !ok {
		contentType, copyTo = linesType, s.copyLines
	}
	spool, err := s.spool()
	if err != nil {
		return snapshotFailed(err)
	}
	defer spool.Close()
	if err = copyTo(ctx, spool); err != nil {
		return snapshotFailed(err)
	}
	size, err := spool.Seek(0, io.SeekCurrent)
	if err == nil {
		_, err = spool.Seek(0, io.SeekStart)
	}
	if err != nil {
		return snapshotFailed(err)
	}
	w.Header().Set("Content-Type", contentType)
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

func snapshotFailed(err error) error {
	if _, ok := errors.AsType[*store.Error](err); ok || errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	return &store.Error{Op: "snapshot", Err: err}
}

// spool creates a temporary file that vanishes by itself.
func (s *Server) spool() (*os.File, error) {
	dir := s.opts.TempDir
	if in, ok := s.store.(interface{ Path() string }); ok && dir == "" {
		dir = filepath.Dir(in.Path())
	}
	f, err := os.CreateTemp(dir, ".podstore-snapshot-")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// copyFile copies the store's file as it is at one moment.
func (s *Server) copyFile(_ context.Context, w io.Writer) error {
	_, err := s.store.(io.WriterTo).WriteTo(w)
	return err
}

// copyLines writes the Pods of one moment, one on each line.
func (s *Server) copyLines(ctx context.Context, w io.Writer) error {
	frozen, ok := s.store.(store.Snapshotter)
	if !ok {
		return fmt.Errorf("%w: this store gives no snapshots", errors.ErrUnsupported)
	}
	pods, closer, err := frozen.Snapshot(ctx)
	if err != nil {
		return err
	}
	var line []byte
	for m, err := range store.All(ctx, pods, store.ReadOptions{}) {
		if err != nil {
			d, _ := documentOf(err)
			line = appendError(line[:0], d)
		} else {
			line = append(podjson.AppendPod(line[:0], store.Applied{Pod: m.PodName, Version: m.Version, Metadata: m}), '\n')
		}
		if _, err := w.Write(line); err != nil {
			return errors.Join(err, closer.Close())
		}
	}
	return errors.Join(ctx.Err(), closer.Close())
}
