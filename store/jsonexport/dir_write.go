package jsonexport

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io/fs"
	"math/rand/v2"
	"strings"

	"podstore/store"
)

// lock excludes other changes of a Pod until unlock is called.
func (d *Dir) lock(ctx context.Context, name string) (unlock func(), err error) {
	l := d.locks[maphash.String(d.seed, name)%uint64(len(d.locks))]
	select {
	case l <- struct{}{}:
		return func() { <-l }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// beginAll starts a change of any Pods.
func (d *Dir) beginAll(ctx context.Context, op string) (p *podFiles, end func(), err error) {
	if d.readOnly {
		return nil, nil, &store.Error{Op: op, Path: d.root, Kind: store.ErrReadOnly}
	}
	held := 0
	unlock := func() {
		for _, l := range d.locks[:held] {
			<-l
		}
	}
	for ; held < len(d.locks); held++ {
		select {
		case d.locks[held] <- struct{}{}:
		case <-ctx.Done():
			unlock()
			return nil, nil, ctx.Err()
		}
	}
	if p, err = d.open(op, ""); err != nil {
		unlock()
		return nil, nil, err
	}
	return p, func() { p.close(); unlock() }, nil
}

// begin judges whether a change may start, and starts it.
func (d *Dir) begin(ctx context.Context, op, name string) (p *podFiles, end func(), err error) {
	if err := check(ctx, op, name); err != nil {
		return nil, nil, err
	}
	if d.readOnly {
		return nil, nil, &store.Error{Op: op, Pod: name, Path: d.root, Kind: store.ErrReadOnly}
	}
	unlock, err := d.lock(ctx, name)
	if err != nil {
		return nil, nil, err
	}
	p, err = d.open(op, name)
	if err != nil {
		unlock()
		return nil, nil, err
	}
	return p, func() { p.close(); unlock() }, nil
}

// Write implements [store.MetadataStore].
func (d *Dir) Write(ctx context.Context, m *store.Metadata) error {
	p, end, err := d.begin(ctx, "write", m.PodName)
	if err != nil {
		return err
	}
	defer end()
	c := m.Clone()
	if err := c.Normalize(); err != nil {
		return named(err, "write")
	}
	return p.write("write", c)
}

// named sets the operation of a *store.Error that has none.
func named(err error, op string) error {
	var e *store.Error
	if errors.As(err, &e) && e.Op == "" {
		e.Op = op
	}
	return err
}

// Update implements [store.MetadataStore]. edit is called once.
func (d *Dir) Update(ctx context.Context, name string, edit func(*store.Metadata) error) (*store.Metadata, error) {
	p, end, err := d.begin(ctx, "update", name)
	if err != nil {
		return nil, err
	}
	defer end()
	b := newBuffers()
	defer b.release()
	old, err := read(p, b, "update", name)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, err
	}
	m := &store.Metadata{PodName: name}
	if old != nil {
		m = old.Clone()
	}
	if err := edit(m); err != nil {
		return nil, err
	}
	m.PodName = name
	if err := m.Normalize(); err != nil {
		return nil, named(err, "update")
	}
	if old != nil && m.Equal(old) {
		return m, nil
	}
	if err := p.write("update", m); err != nil {
		return nil, err
	}
	return m, nil
}

// Delete implements [store.MetadataStore]. It removes the Pod's metadata.json,
// temporary files of this package, and then the directory if nothing else is in
// it.
func (d *Dir) Delete(ctx context.Context, name string) error {
	p, end, err := d.begin(ctx, "delete", name)
	if err != nil {
		return err
	}
	defer end()
	if err := p.remove(name); err != nil {
		return &store.Error{Op: "delete", Pod: name, Path: p.file(name), Kind: kindOf(err), Err: err}
	}
	return nil
}

// remove removes a Pod durably.
func (p *podFiles) remove(name string) error {
	dir, err := p.root.sub(name)
	var other *notA
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.As(err, &other) && other.is.IsRegular():
		return nil
	case err != nil:
		return err
	}
	defer dir.close()
	if err := dir.remove(fileName); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := dir.removeTemps(p.dir(name)); err != nil {
		return err
	}
	if p.root.removeDir(name) == nil {
		return p.root.sync()
	}
	return dir.sync()
}

// tempPrefix starts the names of temporary files. Editors have theirs beside the
// file too, so it says whose they are.
const tempPrefix = "." + fileName + ".podstore-"

// removeTemps removes the temporary files that a crash left behind. Another
// process that is writing one fails to rename it and tries again.
func (f folder) removeTemps(path string) error {
	entries, err := f.entries(path)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), tempPrefix) {
			if err := f.remove(e.Name()); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	return nil
}

// write replaces a Pod's file by m, which is in normal form, durably.
func (p *podFiles) write(op string, m *store.Metadata) error {
	fail := func(err error) error { return p.writeError(op, m.PodName, err) }
	b := newBuffers()
	defer b.release()
	var err error
	if b.data, err = p.render(b.data[:0], m); err != nil {
		return fail(err)
	}
	// Another process may remove the directory or the temporary file meanwhile.
	for range attempts {
		var s staged
		if s, err = p.stage(nil, m.PodName, b.data, true); err == nil {
			if s.newFile {
				err = p.root.sync()
			}
			if err = p.finish(s, err, true); err == nil {
				return nil
			}
		}
		if !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	return fail(err)
}

// writeError says that a Pod could not be written.
func (p *podFiles) writeError(op, pod string, err error) error {
	kind := kindOf(err)
	var other *notA
	if errors.As(err, &other) {
		kind = store.ErrExists
	}
	return &store.Error{Op: op, Pod: pod, Path: p.file(pod), Kind: kind, Err: err}
}

// render is Append, but refuses what would be too large to be read again. A
// value of many nested containers grows by two orders of magnitude when it is
// indented, so that is found out before memory is taken for it.
func (p *podFiles) render(dst []byte, m *store.Metadata) ([]byte, error) {
	size := valuesSize(m, p.max)
	if size <= p.max {
		start := len(dst)
		dst = Append(dst, m)
		size = int64(len(dst) - start)
	}
	if size > p.max {
		return dst, tooLarge(fmt.Sprintf("its file would have %d bytes or more, the limit is %d", size, p.max))
	}
	return dst, nil
}

// staged is a Pod whose new file is written, under a temporary name.
type staged struct {
	pod     string
	temp    string // "" where the file has the new content already
	newFile bool   // the Pod had no file, and may have had no directory
	newDir  bool   // its directory was created
}

// stage writes a Pod's new file under a temporary name, and syncs it if asked
// to. With b, a file that has this content already stays.
func (p *podFiles) stage(b *buffers, pod string, data []byte, sync bool) (s staged, err error) {
	s = staged{pod: pod}
	dir, err := p.root.makeDir(pod)
	if err == nil {
		s.newDir, s.newFile = true, true
	} else if errors.Is(err, fs.ErrExist) {
		dir, err = p.root.sub(pod)
	}
	if err != nil {
		return s, err
	}
	defer dir.close()
	var old *fileState
	if !s.newDir {
		var same bool
		old, same, err = b.look(dir, data)
		s.newFile = err == nil && old == nil
		if same && sync {
			err = dir.syncFile(fileName)
		}
		if err != nil || same {
			return s, err
		}
		if err := dir.removeTemps(p.dir(pod)); err != nil {
			return s, err
		}
	}
	s.temp = fmt.Sprintf("%s%016x", tempPrefix, rand.Uint64())
	if err := dir.writeFile(s.temp, data, sync, old); err != nil {
		_ = dir.remove(s.temp)
		if s.newDir {
			_ = p.root.removeDir(pod)
		}
		return s, err
	}
	return s, nil
}

// look finds a Pod's file, nil where it has none yet, and tells, where b is not nil,
// whether it is exactly data. The error is why the file cannot be replaced.
func (b *buffers) look(dir folder, data []byte) (old *fileState, same bool, err error) {
	st, err := dir.stat(fileName)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, false, nil
	case err != nil:
		return nil, false, err
	case !st.mode.IsRegular():
		return nil, false, &notA{"a regular file", st.mode}
	}
	return &st, b != nil && st.size == int64(len(data)) && b.holds(dir, data), nil
}

// holds reports whether a Pod's file is exactly data.
func (b *buffers) holds(dir folder, data []byte) bool {
	f, err := dir.open(fileName)
	if err != nil {
		return false
	}
	defer f.close()
	b.again, err = readWhole(b.again, f, int64(len(data)))
	return err == nil && bytes.Equal(b.again, data)
}

// syncFile makes an existing file durable, and its name.
func (f folder) syncFile(name string) error {
	r, err := f.open(name)
	if err != nil {
		return err
	}
	defer r.close()
	return errors.Join(r.sync(), f.sync())
}

// writeFile creates a file: with mode and owner of the old one, which it is to replace,
// or where that is nil, with mode 0600, and where root creates it, the owner of f.
func (f folder) writeFile(name string, data []byte, sync bool, old *fileState) error {
	w, err := f.create(name)
	if err != nil {
		return err
	}
	if old != nil {
		err = setOwner(int(w.Fd()), old.perm, *old, true)
	} else {
		owner, ok := f.ownerOfNew()
		err = setOwner(int(w.Fd()), 0o600, owner, ok)
	}
	if err == nil {
		_, err = w.Write(data)
	}
	if err == nil && sync {
		err = w.Sync()
	}
	return errors.Join(err, w.Close())
}

// finish gives a staged file its name, and syncs the directory if asked to. An
// earlier failure is passed through, and the temporary file removed.
func (p *podFiles) finish(s staged, failed error, sync bool) error {
	dir, err := p.root.sub(s.pod)
	if err != nil {
		return errors.Join(failed, err)
	}
	defer dir.close()
	if failed == nil {
		failed = dir.rename(s.temp, fileName)
	}
	if failed != nil {
		_ = dir.remove(s.temp)
		if s.newDir {
			_ = p.root.removeDir(s.pod)
		}
		return failed
	}
	if sync {
		return dir.sync()
	}
	return nil
}
