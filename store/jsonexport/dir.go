package jsonexport

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"hash/maphash"
	"iter"
	"slices"
	"sync"

	"podstore/store"
	"podstore/store/internal/osfs"
)

// DefaultMaxFileSize is the default size limit of one metadata.json, in bytes.
const DefaultMaxFileSize = 64 << 20

// DirOptions are the options of [OpenDir]. The zero value is a good default.
type DirOptions struct {
	// MustExist makes a missing root an error that matches [store.ErrNotFound];
	// otherwise it is created, with mode 0700.
	MustExist bool
	// ReadOnly refuses every change with [store.ErrReadOnly]. It implies MustExist.
	ReadOnly bool
	// MaxFileSize is the size limit of one metadata.json in bytes, for reading and for
	// writing. 0 means [DefaultMaxFileSize].
	MaxFileSize int64
}

// Dir is the directory layout {root}/{pod}/metadata.json as a
// [store.MetadataStore]. It keeps nothing open and needs no closing.
//
// A file is replaced as a whole: temporary file, sync, rename, sync of the
// directory. So a change that returned nil is durable, and a crash leaves the old file
// or the new one. New files get mode 0600, new directories 0700, whatever the umask. A
// file that is replaced keeps mode and owner, and what root creates gets the owner of the
// directory it is in. A temporary file that a crash left is never read; the next change
// of its Pod removes it. Other files are left alone.
//
// A Pod is a directory with a valid name that has an entry named metadata.json.
// A document keeps its naming, pod_name or worker_name; a new one has pod_name.
// Links are not followed. Read reports a link, pipe, socket, device or directory in place
// of metadata.json as damaged. No method reads or replaces one.
//
// A Pod's revision is a hash of its file's bytes, without a number: a Pod that is
// changed and changed back has its former revision again. Its changed time is the
// file's modification time. Its created time is unknown.
//
// Within one Dir, changes of the same Pod wait for each other, and List has the names of
// one moment. Between two Dirs on the same root, or between processes, that is not so: a
// file is always one of the versions that were written, but one of two concurrent changes
// may be lost, and a condition may be tested on a version that another process is
// replacing. List then tells of each name whether it was there at some moment. Read does
// not trust a file that another program is rewriting in place: it returns one version
// whole, or an error.
//
// On a file system that takes two names for the same one, as macOS does with case,
// such Pods overwrite each other.
type Dir struct {
	root     string
	max      int64
	readOnly bool
	seed     maphash.Seed
	locks    [32]chan struct{} // the hash of a Pod's name selects its lock
	names    sync.RWMutex      // podFiles.names
}

var (
	_ store.MetadataStore = (*Dir)(nil)
	_ store.Lister        = (*Dir)(nil)
	_ store.PartReader    = (*Dir)(nil)
	_ store.BatchWriter   = (*Dir)(nil)
	_ store.Rooted        = (*Dir)(nil)
)

// OpenDir opens the directory of Pods at root. If root is missing and the options allow,
// it creates it durably, with missing directories above it. nil options are the zero
// value. The error matches [store.ErrNotFound] if root must exist and does not,
// [store.ErrInvalid] if it is not a directory, and [store.ErrFormat] if it has workers of
// the aggregate layout (docs/json.md). With ReadOnly such a directory is opened, for the
// Pods beside the workers.
func OpenDir(root string, opts *DirOptions) (*Dir, error) {
	if opts == nil {
		opts = new(DirOptions)
	}
	if !opts.MustExist && !opts.ReadOnly {
		if err := osfs.MkdirAll(root, true); err != nil {
			return nil, &store.Error{Op: "open", Path: root, Kind: osfs.Kind(err), Err: err}
		}
	}
	d := &Dir{root: root, max: opts.MaxFileSize, readOnly: opts.ReadOnly, seed: maphash.MakeSeed()}
	for i := range d.locks {
		d.locks[i] = make(chan struct{}, 1)
	}
	p, err := d.open("open", "")
	if err != nil {
		return nil, err
	}
	defer p.close()
	if !d.readOnly {
		if err := p.refuseAggregate(); err != nil {
			return nil, named(err, "open")
		}
	}
	return d, nil
}

// open opens the root for one operation on a Pod.
func (d *Dir) open(op, pod string) (*podFiles, error) {
	p, err := openPodFiles(d.root, d.max)
	if err == nil {
		p.names = &d.names
	}
	var e *store.Error
	if errors.As(err, &e) {
		e.Op, e.Pod = op, pod
		if pod != "" {
			e.Kind = nil // ErrNotFound would say that this Pod is missing; the root is
		}
	}
	return p, err
}

// RootDir is the directory as it was given to [OpenDir].
func (d *Dir) RootDir() string { return d.root }

// Read implements [store.MetadataStore]. The error for a file that is not metadata
// matches [store.ErrCorrupt] and [store.ErrInvalid] and has path, line and column. The
// error for a file that is larger than the limit matches [store.ErrTooLarge].
func (d *Dir) Read(ctx context.Context, name string) (*store.Metadata, error) {
	return d.ReadPart(ctx, name, store.ReadOptions{})
}

// ReadPart implements [store.PartReader]. It reads and checks the whole file.
func (d *Dir) ReadPart(ctx context.Context, name string, opts store.ReadOptions) (*store.Metadata, error) {
	if err := check(ctx, "read", name); err != nil {
		return nil, err
	}
	p, err := d.open("read", name)
	if err != nil {
		return nil, err
	}
	defer p.close()
	b := newBuffers()
	defer b.release()
	m, err := read(p, b, "read", name)
	return part(m, opts), err
}

// part leaves out of a Pod what opts leave out.
func part(m *store.Metadata, opts store.ReadOptions) *store.Metadata {
	if m == nil {
		return nil
	}
	if opts.OmitManifest {
		m.Manifest = nil
	}
	if opts.OmitReclaimed {
		m.Reclaimed = nil
	}
	m.Omitted = opts
	return m
}

// check checks a Pod's name and the context before work starts.
func check(ctx context.Context, op, name string) error {
	if err := store.ValidateName(name); err != nil {
		var e *store.Error
		if errors.As(err, &e) {
			e.Op = op
		}
		return err
	}
	return ctx.Err()
}

// read loads one Pod and words its errors as a store does. It sets p.naming, so that a
// later write keeps the document's naming.
func read(p *podFiles, b *buffers, op, name string) (*store.Metadata, error) {
	l, err := p.load(b, name)
	if err == nil {
		p.naming = l.naming
		l.m.Version.Revision = revisionOf(l.data)
		return l.m, nil
	}
	var e *store.Error
	if !errors.As(err, &e) {
		return nil, &store.Error{Op: op, Pod: name, Path: p.file(name), Kind: store.ErrNotFound}
	}
	e.Op = op
	if errors.Is(e, store.ErrTooLarge) { // with this limit; it may be undamaged
		e.Kind = store.ErrTooLarge
	} else if e.Kind == store.ErrInvalid {
		e.Kind, e.Err = store.ErrCorrupt, unreadable(e.Reason())
	}
	return nil, e
}

// revisionOf is the revision of a Pod whose file has these bytes.
func revisionOf(data []byte) store.Revision {
	sum := sha256.Sum256(data)
	return store.Revision{Digest: binary.BigEndian.Uint64(sum[:])}
}

// List implements [store.MetadataStore]. It leaves out files, directories without an
// entry named metadata.json, and names that are not valid: see [Dir.Besides]. It lists a
// directory that it may not search, since that may be a Pod.
func (d *Dir) List(ctx context.Context) ([]string, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	p, err := d.open("list", "")
	if err != nil {
		return nil, err
	}
	defer p.close()
	return p.list(ctx)
}

func (p *podFiles) list(ctx context.Context) ([]string, error) {
	p.names.Lock() // else a Pod that is created meanwhile may be missing beside a later one
	defer p.names.Unlock()
	entries, err := p.root.Entries(p.path)
	if err != nil {
		return nil, &store.Error{Op: "list", Path: p.path, Err: err}
	}
	names := make([]string, 0, len(entries))
	for i, e := range entries {
		if i%1000 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if name := e.Name(); e.IsDir() && store.ValidateName(name) == nil && (p.root.Has(name, fileName) || p.aggregate(name) != nil) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// All implements [store.Lister].
func (d *Dir) All(ctx context.Context, opts store.ReadOptions) iter.Seq2[*store.Metadata, error] {
	return func(yield func(*store.Metadata, error) bool) {
		if err := ctx.Err(); err != nil {
			yield(nil, err)
			return
		}
		p, err := d.open("list", "")
		if err != nil {
			yield(nil, err)
			return
		}
		defer p.close()
		names, err := p.list(ctx)
		if err != nil {
			yield(nil, err)
			return
		}
		b := newBuffers()
		defer b.release()
		for _, name := range names {
			if err := ctx.Err(); err != nil {
				yield(nil, err)
				return
			}
			m, err := read(p, b, "read", name)
			if errors.Is(err, store.ErrNotFound) {
				continue // deleted meanwhile
			}
			if short(err) {
				yield(nil, p.unreadRest("list", err))
				return
			}
			if !yield(part(m, opts), err) {
				return
			}
		}
	}
}
