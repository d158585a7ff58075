package jsonexport

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"podstore/store"
	"podstore/store/internal/osfs"
	"podstore/store/podjson"
)

// fileName is the name of every Pod's file.
const fileName = "metadata.json"

// A file that was modified less than settled ago is not trusted at the first read: it
// may be in the middle of being written.
const settled = 2 * time.Second

// isFresh reports whether the file was modified less than settled ago, or by a clock that
// is ahead of ours.
func isFresh(s osfs.State) bool { return time.Since(s.Modified) < settled }

// errNoPod: there is no directory of that name, or no metadata.json in it.
var errNoPod = errors.New("no metadata.json")

// podFiles reads the Pods below one open root.
type podFiles struct {
	root   osfs.Dir
	path   string         // of root, for messages
	max    int64          // size limit of one file
	naming podjson.Naming // of files to write
	names  *sync.RWMutex  // held for reading while a name may come or go, for writing by list

	missing bool // in a dry run: there is no root, so do not use it
}

// newPodFiles returns a podFiles without a root, for a dry run on one that is missing.
func newPodFiles(path string, limit int64) *podFiles {
	if limit <= 0 {
		limit = DefaultMaxFileSize
	}
	return &podFiles{path: path, max: limit, missing: true, names: new(sync.RWMutex)}
}

// openPodFiles opens a root. The error is a *store.Error without Op; it matches
// store.ErrNotFound where there is nothing, store.ErrInvalid where there is no
// directory.
func openPodFiles(path string, limit int64) (*podFiles, error) {
	if limit <= 0 {
		limit = DefaultMaxFileSize
	}
	root, err := osfs.OpenRoot(path)
	switch {
	case err == nil:
		return &podFiles{root: root, path: path, max: limit, names: new(sync.RWMutex)}, nil
	case errors.Is(err, fs.ErrNotExist):
		return nil, &store.Error{Path: path, Kind: store.ErrNotFound, Err: errors.New("there is no such directory")}
	case osfs.IsNotDir(err):
		return nil, &store.Error{Path: path, Kind: store.ErrInvalid, Err: errors.New("expected a directory")}
	}
	return nil, &store.Error{Path: path, Err: err}
}

func (p *podFiles) close() { p.root.Close() }

// file is the path of a Pod's file, dir that of its directory.
func (p *podFiles) file(pod string) string { return filepath.Join(p.path, pod, fileName) }
func (p *podFiles) dir(pod string) string  { return filepath.Join(p.path, pod) }

// buffers are the buffers of one goroutine.
type buffers struct {
	data, again []byte
	modified    time.Time // when the file in data was modified
}

// keepBytes bounds a buffer that is kept for the next use.
const keepBytes = 256 << 10

var allBuffers = sync.Pool{New: func() any { return new(buffers) }}

func newBuffers() *buffers { return allBuffers.Get().(*buffers) }

// release puts the buffers back into the pool, unless one large file has swollen them.
func (b *buffers) release() {
	if cap(b.data) <= keepBytes && cap(b.again) <= keepBytes {
		allBuffers.Put(b)
	}
}

// loaded is a Pod that was read from its file.
type loaded struct {
	m      *store.Metadata
	naming podjson.Naming
	data   []byte // the file's bytes, valid until the buffers are used again
	young  bool   // it failed, but was modified just now: another read may succeed
	torn   *torn  // the whole document of a file that several writers left torn
}

// torn is the whole document at the start of such a file.
type torn struct {
	m    *store.Metadata
	left int // bytes of older documents after it
}

// load reads and decodes a Pod's file. name must be valid. The error is errNoPod or
// a *store.Error without Op.
func (p *podFiles) load(b *buffers, name string) (l loaded, err error) {
	l.data, l.young, err = p.read(b, name)
	if err != nil {
		return l, err
	}
	l.m, l.naming, err = podjson.Read(l.data, name)
	if err == nil {
		l.young = false
		l.m.Version.Changed = changedTime(b.modified)
		return l, nil
	}
	var other *podjson.NameError
	if errors.As(err, &other) {
		l.young = false // it is whole
		if other.Found == aggregatePrefix+name {
			return l, p.aggregateError(name)
		}
	}
	var bad *store.Error
	if errors.As(err, &bad) {
		bad.Pod, bad.Path = name, p.file(name)
		if m, _, size, ok := podjson.Mend(l.data); ok && m.PodName == name {
			l.torn = &torn{m, len(l.data) - size}
			bad.Err = fmt.Errorf("%d bytes of the tail of an older, longer document are left after a whole one, as two writers at once leave them; import --repair takes the whole one", l.torn.left)
		}
	}
	return l, err
}

// namingOf returns the naming of a Pod's file, if it has one.
func (p *podFiles) namingOf(b *buffers, name string) (n podjson.Naming, ok bool) {
	data, _, err := p.read(b, name)
	if err != nil {
		return n, false
	}
	return podjson.NamingOf(data)
}

// changedTime turns a file's modification time into a Pod's changed time. It is unknown
// at the beginning of 1970 or before, which tools write that do not know a time.
func changedTime(modified time.Time) time.Time {
	if modified.Unix() <= 0 {
		return time.Time{}
	}
	return modified.UTC().Truncate(time.Millisecond)
}

// read reads a Pod's file whole, as it was at one moment.
func (p *podFiles) read(b *buffers, name string) (data []byte, fresh bool, err error) {
	dir, err := p.root.Sub(name)
	if err != nil {
		var other *osfs.NotA
		if errors.Is(err, fs.ErrNotExist) || errors.As(err, &other) && other.Found.IsRegular() {
			return nil, false, errNoPod
		}
		return nil, false, &store.Error{Pod: name, Path: p.dir(name), Kind: kindOf(err), Err: err}
	}
	defer dir.Close()
	if err := p.aggregate(name); err != nil {
		return nil, false, err
	}
	f, err := dir.Open(fileName)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, errNoPod
	}
	if err == nil {
		data, fresh, err = b.readStable(f, p.max)
		f.Close()
	}
	if err != nil {
		return nil, fresh, &store.Error{Pod: name, Path: p.file(name), Kind: kindOf(err), Err: err}
	}
	return data, fresh, nil
}

// kindOf returns the sentinel of an error of the system.
func kindOf(err error) error {
	return osfs.Kind(err)
}

// unreadable is an error that matches store.ErrInvalid by itself.
type unreadable string

func (e unreadable) Error() string        { return string(e) }
func (e unreadable) Is(target error) bool { return target == store.ErrInvalid }

// tooLarge matches [store.ErrTooLarge] by itself, and so store.ErrInvalid.
type tooLarge string

func (e tooLarge) Error() string { return string(e) }
func (e tooLarge) Is(target error) bool {
	return target == store.ErrTooLarge || target == store.ErrInvalid
}

// short reports whether the process or the system has run out of descriptors. Then the
// next Pod cannot be read either, and no Pod is at fault.
func short(err error) bool { return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) }

// unreadRest is the error for Pods that could not be read for want of descriptors.
func (p *podFiles) unreadRest(op string, err error) error {
	var e *store.Error
	if errors.As(err, &e) {
		err = e.Err
	}
	return &store.Error{Op: op, Path: p.path, Err: err}
}

const errUnstable = unreadable("it kept changing while it was read; another program is writing it, try again")

// attempts bounds how often a file that keeps changing is read.
const attempts = 8

// readStable reads a file whole. Another program may truncate and rewrite it at
// any moment, so the file must look the same before and after. If it was modified just
// now, its time may not show another change, so two reads must also be equal.
func (b *buffers) readStable(f osfs.File, limit int64) (data []byte, fresh bool, err error) {
	for range attempts {
		before, err := f.Stat()
		if err != nil {
			return nil, false, err
		}
		if !before.Mode.IsRegular() {
			return nil, false, &osfs.NotA{Want: "a regular file", Found: before.Mode}
		}
		if before.Size > limit {
			return nil, false, tooLarge(fmt.Sprintf("it has %d bytes, the limit is %d", before.Size, limit))
		}
		if err := needMemory(before.Size); err != nil {
			return nil, false, err
		}
		// Linux empties a file before it sets its time: a writer may be in between.
		fresh = isFresh(before) || before.Size == 0
		if b.data, err = readWhole(b.data, f, before.Size); err != nil {
			return nil, fresh, err
		}
		if fresh {
			if b.again, err = readWhole(b.again, f, before.Size); err != nil {
				return nil, fresh, err
			}
		}
		after, err := f.Stat()
		if err != nil {
			return nil, fresh, err
		}
		if after.Same(before) && int64(len(b.data)) == before.Size && (!fresh || bytes.Equal(b.data, b.again)) {
			b.modified = before.Modified
			return b.data, fresh, nil
		}
		fresh = true
	}
	return nil, fresh, errUnstable
}

// readWhole reads size bytes, fewer where the file ends before.
func readWhole(buf []byte, f osfs.File, size int64) ([]byte, error) {
	if int64(cap(buf)) < size {
		buf = make([]byte, max(size+size/4, 16<<10))
	}
	n, err := f.ReadAt(buf[:size], 0)
	if err == io.EOF {
		err = nil
	}
	return buf[:n], err
}
