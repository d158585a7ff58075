package boltstore

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"podstore/store"
)

// Looking inside a store while its supervisor runs: bbolt lets one process open
// the file, so the supervisor itself serves copies of it. docs/operations.md
// describes the protocol.

const (
	// SnapshotPath is where [Store.Handler] serves snapshots.
	SnapshotPath = "/v1/snapshot"

	maxSnapshots  = 4                // served at a time
	sendChunk     = restEvery        // bytes that must be taken within sendTimeout
	sendTimeout   = 30 * time.Second // a client slower than this is cut off
	headerTimeout = 10 * time.Second
)

// Handler serves the store for reading over HTTP, meant for a Unix socket that
// only the supervisor's user can reach (see [ListenUnix]). GET /v1/snapshot is
// answered with the database file as it is at one moment, which [OpenLive] opens.
//
// The copy is made first, into a temporary file beside the database, and sent
// after that, so a slow client holds neither a transaction nor a writer, and one
// that stops reading is cut off. More than four clients at a time are told to
// come again (503).
func (s *Store) Handler() http.Handler {
	mux := http.NewServeMux()
	slots := make(chan struct{}, maxSnapshots)
	mux.HandleFunc("GET "+SnapshotPath, func(w http.ResponseWriter, r *http.Request) {
		select {
		case slots <- struct{}{}:
			defer func() { <-slots }()
		default:
			w.Header().Set("Retry-After", "1")
			http.Error(w, "too many snapshots are being sent, try again", http.StatusServiceUnavailable)
			return
		}
		if err := s.sendSnapshot(w, r); err != nil {
			s.log.Warn("podstore: a snapshot was not sent", "path", s.path, "cause", err)
		}
	})
	return mux
}

// sendSnapshot spools a snapshot and sends it.
func (s *Store) sendSnapshot(w http.ResponseWriter, r *http.Request) error {
	f, err := s.newCopy()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return err
	}
	defer f.Close()
	size, err := s.WriteTo(f)
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return err
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
	out := http.NewResponseController(w)
	for sent := int64(0); sent < size; {
		if err := out.SetWriteDeadline(time.Now().Add(sendTimeout)); err != nil {
			return err
		}
		n, err := io.CopyN(w, f, min(sendChunk, size-sent))
		if err != nil {
			return err
		}
		sent += n
		time.Sleep(rest)
	}
	return out.Flush()
}

// NewServer returns an HTTP server with time limits fit for the handler h: a
// client that connects and says nothing is dropped. Stop it with Shutdown.
func NewServer(h http.Handler) *http.Server {
	return &http.Server{Handler: h, ReadHeaderTimeout: headerTimeout, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10}
}

// ListenUnix listens on a Unix socket at path that only this user can connect to
// (mode 0600 from the moment it appears). A socket left there by a process that
// died is replaced; one that answers gives store.ErrLocked, and anything else
// store.ErrExists. Closing the listener removes the socket.
func ListenUnix(path string) (net.Listener, error) {
	fail := func(kind error, err error) (net.Listener, error) {
		return nil, &store.Error{Op: "listen", Path: path, Kind: kind, Err: err}
	}
	if longest := len(syscall.RawSockaddrUnix{}.Path) - 1; len(path) > longest {
		return fail(store.ErrInvalid, fmt.Errorf("a socket's path may have %d bytes, and this one has %d; give a shorter one", longest, len(path)))
	}
	switch info, err := os.Lstat(path); {
	case errors.Is(err, os.ErrNotExist):
	case err != nil:
		return fail(nil, err)
	case info.Mode().Type() != os.ModeSocket:
		return fail(store.ErrExists, errors.New("this is not a socket; give another path, or remove it"))
	default:
		conn, err := net.DialTimeout("unix", path, time.Second)
		switch {
		case err == nil:
			conn.Close()
			return fail(store.ErrLocked, errors.New("a process is serving on this socket"))
		case errors.Is(err, syscall.EAGAIN):
			return fail(store.ErrLocked, errors.New("a process is serving on this socket, and has more connections than it takes"))
		case !errors.Is(err, syscall.ECONNREFUSED):
			return fail(nil, fmt.Errorf("whether a process is serving on this socket cannot be told: %w", withoutPath(err)))
		}
		if err := os.Remove(path); err != nil {
			return fail(nil, err)
		}
	}
	// A socket gets the permissions of the moment it is bound. In a directory of
	// its own nobody sees it before it has the right ones.
	dir, err := os.MkdirTemp(filepath.Dir(path), ".sock-*")
	if err != nil {
		return fail(nil, err)
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o700); err != nil { // the umask may have taken of it
		return fail(nil, err)
	}
	tmp := filepath.Join(dir, "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: tmp, Net: "unix"})
	if err != nil {
		return fail(nil, fmt.Errorf("%w (with what stands before its last name, a socket's path may have about 90 bytes)", withoutPath(err)))
	}
	l.SetUnlinkOnClose(false)
	err = os.Chmod(tmp, 0o600)
	if err == nil {
		err = renameNoReplace(tmp, path)
	}
	if err != nil {
		return fail(nil, errors.Join(err, l.Close()))
	}
	return &unixListener{l, path}, nil
}

// withoutPath takes a path that the caller did not give out of an error.
func withoutPath(err error) error {
	if e, ok := errors.AsType[*net.OpError](err); ok {
		return e.Err
	}
	return err
}

// unixListener removes its socket when it is closed.
type unixListener struct {
	*net.UnixListener
	path string
}

func (l *unixListener) Close() error {
	err := l.UnixListener.Close()
	if err == nil {
		err = os.Remove(l.path)
	}
	return err
}
