package jsonexport

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"strings"

	"podstore/store"
	"podstore/store/internal/osfs"
	"podstore/store/podjson"
)

// remove removes a Pod durably.
func (p *podFiles) remove(name string) error {
	dir, err := p.root.Sub(name)
	var other *osfs.NotA
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.As(err, &other) && other.Found.IsRegular():
		return nil
	case err != nil:
		return err
	}
	defer dir.Close()
	p.names.RLock()
	err = dir.Remove(fileName)
	p.names.RUnlock()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := removeTemps(dir); err != nil {
		return err
	}
	if p.root.RemoveDir(name) == nil {
		return p.root.Sync()
	}
	return dir.Sync()
}

// tempPrefix starts the names of temporary files. It names podstore because editors put
// their own temporary files there, which must stay.
const tempPrefix = "." + fileName + ".podstore-"

// removeTemps removes the temporary files that a crash left in a Pod's directory. A
// process that is still writing one fails to rename it and tries again.
func removeTemps(dir osfs.Dir) error {
	names, err := dir.Names()
	if err != nil {
		return err
	}
	for _, name := range names {
		if strings.HasPrefix(name, tempPrefix) {
			if err := dir.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	return nil
}

// write replaces a Pod's file by m durably, with m's changed time as the file's, and sets
// m's revision. m must be in normal form.
func (p *podFiles) write(op string, m *store.Metadata) error {
	fail := func(err error) error { return p.writeError(op, m.PodName, err) }
	b := newBuffers()
	defer b.release()
	var err error
	if b.data, err = p.render(b.data[:0], m, p.naming); err != nil {
		return fail(err)
	}
	// Another process may remove the directory or the temporary file meanwhile.
	for range attempts {
		var s staged
		if s, err = p.stage(nil, m, b.data, true); err == nil {
			if s.newFile {
				err = p.root.Sync()
			}
			if err = p.finish(s, err, true); err == nil {
				m.Version.Revision = revisionOf(b.data)
				return nil
			}
		}
		if !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	return fail(err)
}

// writeError is the error for a Pod that could not be written.
func (p *podFiles) writeError(op, pod string, err error) error {
	kind := kindOf(err)
	var other *osfs.NotA
	if errors.As(err, &other) {
		kind = store.ErrExists
	}
	return &store.Error{Op: op, Pod: pod, Path: p.file(pod), Kind: kind, Err: err}
}

// render appends a Pod's file. It refuses what could not be read again: a document that
// is too large, and one with worker_name among its unknown fields, where an earlier
// version stored it.
func (p *podFiles) render(dst []byte, m *store.Metadata, n podjson.Naming) ([]byte, error) {
	if _, ok := m.Extra[podjson.Workers.Key()]; ok {
		return dst, unreadable(fmt.Sprintf("it has a field %q beside %q, which no file may have", podjson.Workers.Key(), podjson.Pods.Key()))
	}
	out, size := n.AppendMax(dst, m, p.max)
	if size > p.max {
		return dst, tooLarge(fmt.Sprintf("its file would have %d bytes or more, the limit is %d", size, p.max))
	}
	return out, nil
}

// staged is a Pod whose new file is written under a temporary name.
type staged struct {
	pod     string
	temp    string // "" where the file has the new content already
	newFile bool   // the Pod had no file, and may have had no directory
	newDir  bool   // its directory was created
}

// stage writes data under a temporary name, as the new file of m, with m's changed time,
// and syncs it if sync is set. If b is not nil, a file that already has this content
// stays.
func (p *podFiles) stage(b *buffers, m *store.Metadata, data []byte, sync bool) (s staged, err error) {
	pod := m.PodName
	s = staged{pod: pod}
	owner, err := p.root.OwnerOfNew()
	if err != nil {
		return s, err
	}
	dir, err := p.root.MakeDir(pod, owner)
	if err == nil {
		s.newDir, s.newFile = true, true
	} else if errors.Is(err, fs.ErrExist) {
		dir, err = p.root.Sub(pod)
	}
	if err != nil {
		return s, err
	}
	defer dir.Close()
	if !s.newDir {
		old, same, err := b.look(dir, data)
		if s.newFile = err == nil && old == nil; old != nil {
			owner = old.Owner // the file keeps it
		}
		if same && sync {
			err = syncFile(dir, fileName)
		}
		if err != nil || same {
			return s, err
		}
		if err := removeTemps(dir); err != nil {
			return s, err
		}
	}
	s.temp = fmt.Sprintf("%s%016x", tempPrefix, rand.Uint64())
	if err := dir.WriteFile(s.temp, owner, data, m.Version.Changed, sync); err != nil {
		_ = dir.Remove(s.temp)
		if s.newDir {
			_ = p.root.RemoveDir(pod)
		}
		return s, err
	}
	return s, nil
}

// look finds a Pod's file, nil if it has none yet. If b is not nil, same reports whether
// the file is exactly data. The error says why the file cannot be replaced.
func (b *buffers) look(dir osfs.Dir, data []byte) (old *osfs.State, same bool, err error) {
	st, err := dir.Stat(fileName)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, false, nil
	case err != nil:
		return nil, false, err
	case !st.Mode.IsRegular():
		return nil, false, &osfs.NotA{Want: "a regular file", Found: st.Mode}
	}
	return &st, b != nil && st.Size == int64(len(data)) && b.holds(dir, data), nil
}

// holds reports whether a Pod's file is exactly data.
func (b *buffers) holds(dir osfs.Dir, data []byte) bool {
	f, err := dir.Open(fileName)
	if err != nil {
		return false
	}
	defer f.Close()
	b.again, err = readWhole(b.again, f, int64(len(data)))
	return err == nil && bytes.Equal(b.again, data)
}

// syncFile makes an existing file and its name durable.
func syncFile(dir osfs.Dir, name string) error {
	f, err := dir.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	return errors.Join(f.Sync(), dir.Sync())
}

// finish renames a staged file to its final name, and syncs the directory if sync is set.
// If failed is not nil, it removes the temporary file and returns failed.
func (p *podFiles) finish(s staged, failed error, sync bool) error {
	dir, err := p.root.Sub(s.pod)
	if err != nil {
		return errors.Join(failed, err)
	}
	defer dir.Close()
	if failed == nil {
		p.names.RLock()
		failed = dir.Rename(s.temp, fileName)
		p.names.RUnlock()
	}
	if failed != nil {
		_ = dir.Remove(s.temp)
		if s.newDir {
			_ = p.root.RemoveDir(s.pod)
		}
		return failed
	}
	if sync {
		return dir.Sync()
	}
	return nil
}
