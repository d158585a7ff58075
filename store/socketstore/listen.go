package socketstore

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"podstore/store"
	"podstore/store/internal/osfs"
)

// Listen listens on a Unix socket at path. Only this user and root can connect: the
// socket has mode 0600 from the moment it appears. Listen replaces a socket that a dead
// process left there; of several callers that find one, one succeeds. Closing the
// listener removes its own socket, and no other that stands there.
//
// Errors: store.ErrLocked if a process serves there, or may do so, store.ErrExists if
// something other than a socket stands there, store.ErrNotFound if the directory does
// not exist, store.ErrInvalid if path is too long for a socket.
func Listen(path string) (net.Listener, error) {
	l, err := listen(path)
	if err != nil {
		if e, ok := err.(*store.Error); ok {
			e.Op, e.Path = "listen", path
			return nil, e
		}
		return nil, &store.Error{Op: "listen", Path: path, Err: err}
	}
	return l, nil
}

func listen(path string) (*listener, error) {
	if err := checkSocketPath(path); err != nil {
		return nil, err
	}
	unlock, err := lockDir(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := removeStale(path); err != nil {
		return nil, err
	}
	// Linux creates the socket's file with the mode that the socket has before bind.
	// Other systems go by the umask until the chmod below.
	private := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) { _ = unix.Fchmod(int(fd), 0o600) })
	}}
	l, err := private.Listen(context.Background(), "unix", path)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, &store.Error{Kind: store.ErrExists, Err: errors.New("something has been put there meanwhile")}
	}
	if err != nil {
		if e, ok := errors.AsType[*net.OpError](err); ok {
			err = e.Err // without the path
		}
		return nil, err
	}
	ul := l.(*net.UnixListener)
	ul.SetUnlinkOnClose(false)
	own, err := os.Lstat(path)
	if err == nil {
		err = os.Chmod(path, 0o600)
	}
	if err != nil {
		return nil, errors.Join(err, os.Remove(path), ul.Close())
	}
	return &listener{UnixListener: ul, path: path, own: own}, nil
}

// removeStale removes a socket whose process has died. It fails if anything else stands
// there. Only a refused connection proves that nobody listens: a server that is
// overloaded, stopped or another user's causes other errors.
func removeStale(path string) error {
	switch info, err := os.Lstat(path); {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != os.ModeSocket:
		return &store.Error{Kind: store.ErrExists, Err: errors.New("something other than a socket is there; give another path")}
	}
	conn, err := net.DialTimeout("unix", path, time.Second)
	switch {
	case err == nil:
		conn.Close()
		return &store.Error{Kind: store.ErrLocked, Err: errors.New("a process is serving on this socket; end it, or give another path")}
	case errors.Is(err, syscall.ECONNREFUSED):
		return os.Remove(path)
	case errors.Is(err, os.ErrNotExist): // its owner has just closed it
		return nil
	}
	return &store.Error{Kind: store.ErrLocked, Err: fmt.Errorf("a process may be serving on this socket, and connecting to it failed: %w; remove the socket if no process does", err)}
}

// lockWait is how long to wait for other processes that create or remove a socket in
// the same directory.
const lockWait = 5 * time.Second

// lockDir locks a directory against other processes that create or remove sockets in
// it. So nobody takes for stale, and removes, what another one has just created. The
// lock leaves no file behind.
func lockDir(dir string) (unlock func(), err error) {
	d, err := osfs.OpenRoot(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, &store.Error{Kind: store.ErrNotFound, Err: fmt.Errorf("the directory %s does not exist", dir)}
	}
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), lockWait)
	defer cancel()
	if err := d.Lock(ctx); err != nil {
		d.Close()
		if ctx.Err() != nil {
			return nil, &store.Error{Kind: store.ErrLocked, Err: fmt.Errorf("another process has locked %s for %v", dir, lockWait)}
		}
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	return d.Close, nil
}

// maxSocketPath is the longest path, in bytes, that the kernel accepts for a socket.
var maxSocketPath = len(unix.RawSockaddrUnix{}.Path) - 1

// checkSocketPath refuses a path that cannot be a socket's. The kernel would only say
// "invalid argument".
func checkSocketPath(path string) error {
	switch n := len(path); {
	case n == 0:
		return &store.Error{Kind: store.ErrInvalid, Err: errors.New("the socket's path is empty")}
	case n > maxSocketPath:
		return &store.Error{Kind: store.ErrInvalid, Err: fmt.Errorf("a socket's path has at most %d bytes and this one %d; give a shorter one, or one relative to the working directory", maxSocketPath, n)}
	case path[0] == '@':
		return &store.Error{Kind: store.ErrInvalid, Err: errors.New("a path that begins with @ is no file's; write ./@")}
	}
	return nil
}

// listener removes its socket when it is closed.
type listener struct {
	*net.UnixListener
	path string
	own  os.FileInfo
	once sync.Once
	err  error
}

// Close removes the socket and stops listening. A second call does nothing. The
// socket's file goes first: while the socket is open, no other file can have its inode.
func (l *listener) Close() error {
	l.once.Do(func() {
		var removed error
		unlock, err := lockDir(filepath.Dir(l.path))
		if err == nil {
			defer unlock()
		}
		if info, err := os.Lstat(l.path); err == nil && os.SameFile(info, l.own) {
			removed = os.Remove(l.path)
		}
		l.err = errors.Join(removed, l.UnixListener.Close())
	})
	return l.err
}
