package jsonlstore

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"sync"

	"podstore/store"
	"podstore/store/internal/osfs"
	"podstore/store/jsonvalue"
)

// encode appends an entry to dst as a line of a file, with its newline.
func (t target) encode(dst []byte, entry json.RawMessage) ([]byte, error) {
	start := len(dst)
	dst, err := jsonvalue.AppendCompact(dst, entry, jsonvalue.MaxDepth)
	if err != nil {
		return dst, t.invalid("the entry is not valid JSON: %w", err)
	}
	if dst[start] != '{' {
		return dst, t.invalid("expected an entry that is an object, found %s", jsonvalue.NewScanner(entry).Peek())
	}
	if size := len(dst) - start; size > t.store.max {
		return dst, t.invalid("the entry has %d bytes, the limit is %d (Options.MaxEntrySize)", size, t.store.max)
	}
	return append(dst, '\n'), nil
}

// buffers holds the lines that are about to be appended.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

const maxPooledBuffer = 256 << 10

func (s *Store) append(ctx context.Context, t target, entry json.RawMessage) error {
	if err := t.writable(ctx); err != nil {
		return err
	}
	buf := buffers.Get().(*[]byte)
	line, err := t.encode((*buf)[:0], entry)
	defer func() {
		if cap(line) <= maxPooledBuffer {
			*buf = line
			buffers.Put(buf)
		}
	}()
	if err != nil {
		return err
	}
	leave, err := s.gates.enter(ctx, t.gate())
	if err != nil {
		return t.fail(err)
	}
	defer leave()
	return t.fail(s.appendLocked(ctx, t, line))
}

// appendLocked adds a line to a file. It uses the one that was kept open, or opens it, and
// keeps it. The caller must hold the file's gate.
func (s *Store) appendLocked(ctx context.Context, t target, line []byte) error {
	f := s.kept.take(t.gate())
	if f != nil {
		current, err := lockCurrent(ctx, t.path(), f, true)
		if !current {
			f.Close()
			f = nil
		}
		if err != nil {
			return err
		}
	}
	if f == nil {
		d, opened, err := s.openLocked(ctx, t, true)
		if errors.Is(err, fs.ErrNotExist) {
			return s.appendFirst(ctx, t, line)
		}
		if err != nil {
			return err
		}
		defer d.Close()
		f = opened
		if err := s.syncName(t, d, f); err != nil {
			f.Close()
			return err
		}
	}
	if err := s.appendLine(t, f, line); err != nil {
		f.Close()
		return err
	}
	if osfs.Unlock(f) != nil {
		f.Close() // which unlocks it
		return nil
	}
	s.kept.put(t.gate(), f)
	return nil
}

func (t target) gate() gateKey { return gateKey{t.session, t.name} }

// appendFirst makes a file with one line, unless another process has made the file
// meanwhile. No file ever exists without a line.
func (s *Store) appendFirst(ctx context.Context, t target, line []byte) error {
	d, release, err := s.lockSession(ctx, t, true)
	if err != nil {
		return err
	}
	defer release()
	f, err := openLockedIn(ctx, d, t.name)
	if errors.Is(err, fs.ErrNotExist) {
		return s.put(t, d, func(w *os.File) error {
			_, err := w.Write(line)
			return err
		})
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if err := s.syncName(t, d, f); err != nil {
		return err
	}
	return s.appendLine(t, f, line)
}

// appendLine adds a line after the last complete one. The caller must hold the file's
// lock.
func (s *Store) appendLine(t target, f *os.File, line []byte) error {
	st, err := osfs.Stat(f)
	if err != nil {
		return err
	}
	size := st.Size
	if keep, ok := s.undone.of(t.gate(), st.ID, size); ok {
		if err := s.cut(f, keep); err != nil {
			return fmt.Errorf("an earlier append could not be completed or undone, and still cannot: %w; "+
				"the segment takes no entries until it can be", stripPath(err))
		}
		size = keep
	}
	s.undone.forget(t.gate())
	keep, err := committedLen(f, size)
	if err == nil && keep < size {
		err = f.Truncate(keep)
	}
	if err != nil {
		return fmt.Errorf("removing an unfinished entry at the end: %w", stripPath(err))
	}
	_, err = f.Write(line) // the file is open for appending
	if err == nil && s.sync {
		err = osfs.Datasync(f)
	}
	if err == nil {
		return nil
	}
	if undo := s.cut(f, keep); undo != nil {
		s.undone.remember(t.gate(), f, keep)
		return fmt.Errorf("%w; undoing it failed too: %w; the segment takes no more entries until that succeeds", stripPath(err), stripPath(undo))
	}
	return fmt.Errorf("%w; the entry was not added", stripPath(err))
}

// cut undoes an append: only the first keep bytes of the file stay.
func (s *Store) cut(f *os.File, keep int64) error {
	if err := f.Truncate(keep); err != nil || !s.sync {
		return err
	}
	return f.Sync()
}

// committedLen returns where the last complete line ends in the first size
// bytes of f.
func committedLen(f *os.File, size int64) (int64, error) {
	var last [1]byte
	if size == 0 {
		return 0, nil
	}
	if _, err := f.ReadAt(last[:], size-1); err != nil || last[0] == '\n' {
		return size, err
	}
	buf := make([]byte, bufferSize)
	for end := size - 1; end > 0; {
		part := buf[:min(end, bufferSize)]
		end -= int64(len(part))
		if _, err := f.ReadAt(part, end); err != nil {
			return 0, err
		}
		if i := bytes.LastIndexByte(part, '\n'); i >= 0 {
			return end + int64(i) + 1, nil
		}
	}
	return 0, nil
}

// undone holds the files with a failed append that could not be undone. The next append
// to such a file undoes it first.
type undone struct {
	mu    sync.Mutex
	files map[gateKey]undoneFile
}

type undoneFile struct {
	id         osfs.ID
	size, keep int64
}

// of returns the length to which the file must be cut. A file that was changed since
// needs no cut: the process that changed it has found its end.
func (u *undone) of(key gateKey, id osfs.ID, size int64) (keep int64, ok bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	at, ok := u.files[key]
	return at.keep, ok && at.id == id && at.size == size
}

func (u *undone) remember(key gateKey, f *os.File, keep int64) {
	st, err := osfs.Stat(f)
	if err != nil {
		return // nothing is known of the file any more
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.files == nil {
		u.files = make(map[gateKey]undoneFile)
	}
	u.files[key] = undoneFile{st.ID, st.Size, keep}
}

func (u *undone) forget(key gateKey) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.files, key)
}

func (u *undone) forgetSession(session store.SessionID) {
	u.mu.Lock()
	defer u.mu.Unlock()
	maps.DeleteFunc(u.files, func(key gateKey, _ undoneFile) bool { return key.session == session })
}
