package jsonexport

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io/fs"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"podstore/store"
	"podstore/store/internal/osfs"
	"podstore/store/podjson"
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

// beginAll starts a change of any Pods: it takes all locks.
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

// begin starts a change of one Pod, if it may start.
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

// Apply implements [store.MetadataStore] for changes of one Pod. For several Pods, for
// [store.Remove] and for a request ID the error matches [errors.ErrUnsupported].
// Deleting removes the Pod's metadata.json, temporary files of this package, and then
// the directory if nothing else is in it.
func (d *Dir) Apply(ctx context.Context, changes []store.Change, opts *store.ApplyOptions) ([]store.Applied, error) {
	const op = "apply"
	changes, err := store.Prepare(changes)
	if err != nil {
		return nil, err
	}
	if opts == nil {
		opts = new(store.ApplyOptions)
	}
	if err := d.supports(changes, opts); err != nil {
		return nil, &store.Error{Op: op, Pod: changes[0].Pod, Path: d.root, Err: err}
	}
	name := changes[0].Pod
	p, end, err := d.begin(ctx, op, name)
	if err != nil {
		return nil, err
	}
	defer end()
	m, err := p.apply(op, name, changes)
	if err != nil {
		return nil, err
	}
	applied := make([]store.Applied, len(changes))
	for i := range applied {
		applied[i].Pod = name
		if m != nil {
			applied[i].Version = m.Version
		}
		if opts.Metadata {
			applied[i].Metadata = m
		}
	}
	return applied, nil
}

// supports refuses what a directory cannot do.
func (d *Dir) supports(changes []store.Change, opts *store.ApplyOptions) error {
	if opts.ID != (store.RequestID{}) {
		return fmt.Errorf("a directory keeps no request IDs: %w", errors.ErrUnsupported)
	}
	for _, c := range changes {
		if _, ok := c.Op.(store.Remove); ok {
			return fmt.Errorf("a directory cannot remove a Pod together with the references to it, use delete: %w", errors.ErrUnsupported)
		}
		if c.Pod != changes[0].Pod {
			return fmt.Errorf("a directory takes changes of one Pod at a time: %w", errors.ErrUnsupported)
		}
	}
	return nil
}

// apply makes changes of one Pod and returns the result, nil if the Pod does not exist
// then.
func (p *podFiles) apply(op, name string, changes []store.Change) (*store.Metadata, error) {
	b := newBuffers()
	defer b.release()
	before, damaged := map[string]*store.Metadata{}, map[string]error{}
	was, err := read(p, b, op, name)
	switch {
	case err == nil:
		before[name] = was
	case !errors.Is(err, store.ErrNotFound):
		damaged[name] = err
		p.naming, _ = p.namingOf(b, name)
	}
	after, err := store.Evaluate(changes, before, damaged)
	if err != nil {
		return nil, err
	}
	m := after[name]
	switch {
	case m == nil && !slices.ContainsFunc(changes, func(c store.Change) bool { return c.Op == store.Delete{} }):
		return nil, nil
	case m == nil:
		// Also where there was no Pod: a crash may have left something.
		if err := p.remove(name); err != nil {
			return nil, &store.Error{Op: op, Pod: name, Path: p.file(name), Kind: kindOf(err), Err: err}
		}
		return nil, nil
	case was != nil && m.Equal(was):
		return was, nil
	}
	m.Version = nextVersion(was, changes, name)
	if err := p.write(op, m); err != nil {
		return nil, err
	}
	return m, nil
}

// nextVersion returns the version of a Pod after changes, without its revision. A
// directory keeps only the changed time.
func nextVersion(was *store.Metadata, changes []store.Change, name string) store.Version {
	return store.Version{Changed: store.NextVersion(was, changes, name, time.Now()).Changed}
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
		m.Version = old.Version
		return m, nil
	}
	m.Version = nextVersion(old, nil, name)
	if err := p.write("update", m); err != nil {
		return nil, err
	}
	return m, nil
}

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
