package boltstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"

	"podstore/store"
)

// OpenLive fetches a snapshot from the supervisor that serves it at the Unix
// socket socketPath (see [Store.Handler]) and opens it for reading. The snapshot
// is one moment of the store, all its pages checked, in a temporary file in tempDir
// ("" for the system's), which Close of the returned closer removes. A damaged value
// is an error of its Pod when that is read.
//
// While the supervisor has as many clients as it serves at a time, OpenLive waits, up
// to 40 seconds.
//
// Errors: store.ErrNotFound when nothing listens there, errors.ErrUnsupported when
// what answers serves no snapshots, store.ErrCorrupt when what arrived is damaged.
func OpenLive(ctx context.Context, socketPath, tempDir string) (*Store, io.Closer, error) {
	f, err := newTempFile(tempDir, "podstore-live-*.db")
	if err != nil {
		what := "the directory for temporary files, which TMPDIR names"
		if tempDir != "" {
			what = "the directory for temporary files"
		}
		return nil, nil, &store.Error{Op: "open", Path: socketPath, Kind: noSpace(err), Err: fmt.Errorf("a copy cannot be kept in %s: %w", what, err)}
	}
	err = fetchSnapshot(ctx, socketPath, f.File)
	var s *Store
	if err == nil {
		s, err = openCopy(f.path, socketPath, &Options{ReadOnly: true, FullCheck: true})
	}
	if err != nil {
		return nil, nil, opError("open", socketPath, errors.Join(err, f.Close()))
	}
	return s, &snapshotFile{s, f}, nil
}

// noSpace is store.ErrNoSpace for an error that says so, or nil.
func noSpace(err error) error {
	if isNoSpace(err) {
		return store.ErrNoSpace
	}
	return nil
}

// A supervisor that is sending to as many clients as it serves at a time is asked
// again for a while: one that does not read is cut off after sendTimeout.
const (
	busyPause    = time.Second / 2
	busyPatience = sendTimeout + 10*time.Second
)

// fetchSnapshot writes the snapshot served at a socket to w.
func fetchSnapshot(ctx context.Context, socketPath string, w io.Writer) error {
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", socketPath)
		},
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://podstore"+SnapshotPath, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	for start := time.Now(); err == nil && resp.StatusCode == http.StatusServiceUnavailable && time.Since(start) < busyPatience; {
		resp.Body.Close()
		select {
		case <-time.After(busyPause):
		case <-ctx.Done():
			return ctx.Err()
		}
		resp, err = client.Do(req)
	}
	switch {
	case errors.Is(err, syscall.ENOENT), errors.Is(err, syscall.ECONNREFUSED):
		return &store.Error{Op: "open", Path: socketPath, Kind: store.ErrNotFound,
			Err: errors.New("no supervisor serves a store there; start it, or name the database file itself")}
	case err != nil:
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusNotFound {
		return fmt.Errorf("the supervisor answered %s: it serves no snapshots: %w", resp.Status, errors.ErrUnsupported)
	}
	if resp.StatusCode != http.StatusOK {
		reason, _ := io.ReadAll(io.LimitReader(resp.Body, 4096))
		return fmt.Errorf("the supervisor answered %s: %s", resp.Status, strings.TrimSpace(string(reason)))
	}
	if resp.ContentLength < 0 {
		return errors.New("the answer does not say how long it is: this is not a store's socket")
	}
	_, err = io.Copy(w, resp.Body) // io.ErrUnexpectedEOF when less arrives
	return err
}
