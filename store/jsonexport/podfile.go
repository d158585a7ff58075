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
)

// fileName is the name of every Pod's file.
const fileName = "metadata.json"

// settled is how long ago a file must have been modified to be trusted at the
// first read. Younger ones may be in the middle of being written.
const settled = 2 * time.Second

// fileState is what tells one state of a file from another.
type fileState struct {
	mode              fs.FileMode // type bits
	perm              uint32      // permission bits
	uid, gid          uint32
	dev, ino          uint64
	size              int64
	modified, changed time.Time
}

// same reports whether nobody wrote the file between the two.
func (s fileState) same(o fileState) bool {
	return s.dev == o.dev && s.ino == o.ino && s.size == o.size &&
		s.modified.Equal(o.modified) && s.changed.Equal(o.changed)
}

// fresh reports whether the file was modified just now, or by a clock that is
// ahead of ours.
func (s fileState) fresh() bool { return time.Since(s.modified) < settled }

// notA says that an entry is of another type than is needed.
type notA struct {
	want string
	is   fs.FileMode
}

func (e *notA) Error() string {
	is := "a device"
	switch {
	case e.is.IsRegular():
		is = "a file"
	case e.is.IsDir():
		is = "a directory"
	case e.is&fs.ModeSymlink != 0:
		return "is a symbolic link, which is not followed; put " + e.want + " in its place"
	case e.is&fs.ModeNamedPipe != 0:
		is = "a named pipe"
	case e.is&fs.ModeSocket != 0:
		is = "a socket"
	}
	return "is " + is + "; expected " + e.want
}

// Is makes it match [store.ErrInvalid].
func (e *notA) Is(target error) bool { return target == store.ErrInvalid }

// errNoPod: there is no directory of that name, or no metadata.json in it.
var errNoPod = errors.New("no metadata.json")

// podFiles reads the Pods below one open root.
type podFiles struct {
	root folder
	path string // of root, for messages
	max  int64  // size limit of one file

	missing bool // there is no root, and it must not be used; in a dry run
}

// newPodFiles is for a dry run on a root that is missing.
func newPodFiles(path string, limit int64) *podFiles {
	if limit <= 0 {
		limit = DefaultMaxFileSize
	}
	return &podFiles{path: path, max: limit, missing: true}
}

// openPodFiles opens a root. The error is a *store.Error without Op; it matches
// store.ErrNotFound where there is nothing, store.ErrInvalid where there is no
// directory.
func openPodFiles(path string, limit int64) (*podFiles, error) {
	if limit <= 0 {
		limit = DefaultMaxFileSize
	}
	root, err := openRoot(path)
	switch {
	case err == nil:
		return &podFiles{root: root, path: path, max: limit}, nil
	case errors.Is(err, fs.ErrNotExist):
		return nil, &store.Error{Path: path, Kind: store.ErrNotFound, Err: errors.New("there is no such directory")}
	case isNotDir(err):
		return nil, &store.Error{Path: path, Kind: store.ErrInvalid, Err: errors.New("expected a directory")}
	}
	return nil, &store.Error{Path: path, Err: err}
}

func (p *podFiles) close() { p.root.close() }

// file is the path of a Pod's file, dir that of its directory.
func (p *podFiles) file(pod string) string { return filepath.Join(p.path, pod, fileName) }
func (p *podFiles) dir(pod string) string  { return filepath.Join(p.path, pod) }

// buffers are what one goroutine reads into.
type buffers struct{ data, again []byte }

var allBuffers = sync.Pool{New: func() any { return new(buffers) }}

func newBuffers() *buffers { return allBuffers.Get().(*buffers) }

// release gives the buffers back, but not memory that one large file took.
func (b *buffers) release() {
	if cap(b.data) <= keepBytes && cap(b.again) <= keepBytes {
		allBuffers.Put(b)
	}
}

// load reads and decodes a Pod's file. name must be valid. young says that it
// failed and may not when the file is read again, because it was modified just
// now. data are the file's bytes, valid until the
// buffers are used again. The error is errNoPod or a *store.Error without Op.
func (p *podFiles) load(b *buffers, name string) (m *store.Metadata, data []byte, young bool, err error) {
	data, fresh, err := p.read(b, name)
	if err != nil {
		return nil, nil, fresh, err
	}
	m, bad := decode(data, name)
	if bad != nil {
		bad.Pod, bad.Path = name, p.file(name)
		_, whole := bad.Err.(wrongName)
		return nil, nil, fresh && !whole, bad
	}
	return m, data, false, nil
}

// read reads a Pod's file whole, as it was at one moment.
func (p *podFiles) read(b *buffers, name string) (data []byte, fresh bool, err error) {
	dir, err := p.root.sub(name)
	if err != nil {
		var other *notA
		if errors.Is(err, fs.ErrNotExist) || errors.As(err, &other) && other.is.IsRegular() {
			return nil, false, errNoPod
		}
		return nil, false, &store.Error{Pod: name, Path: p.dir(name), Kind: kindOf(err), Err: err}
	}
	defer dir.close()
	f, err := dir.open(fileName)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, errNoPod
	}
	if err == nil {
		data, fresh, err = b.readStable(f, p.max)
		f.close()
	}
	if err != nil {
		return nil, fresh, &store.Error{Pod: name, Path: p.file(name), Kind: kindOf(err), Err: err}
	}
	return data, fresh, nil
}

// kindOf is the sentinel for what was found in place of a Pod.
func kindOf(err error) error {
	if errors.Is(err, store.ErrInvalid) {
		return store.ErrInvalid
	}
	return systemKind(err)
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

// short reports whether the process or the system is short of descriptors: then the
// next Pod cannot be read either, and none of them is to blame.
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

// attempts bounds how often a file that changes is read.
const attempts = 8

// readStable reads a file whole. Another program may truncate and rewrite it at
// any moment, so the file must look the same before and after; where it was
// modified just now, within the clock's resolution, two reads must also be
// equal.
func (b *buffers) readStable(f file, limit int64) (data []byte, fresh bool, err error) {
	for range attempts {
		before, err := f.stat()
		if err != nil {
			return nil, false, err
		}
		if !before.mode.IsRegular() {
			return nil, false, &notA{"a regular file", before.mode}
		}
		if before.size > limit {
			return nil, false, tooLarge(fmt.Sprintf("it has %d bytes, the limit is %d", before.size, limit))
		}
		if err := needMemory(before.size); err != nil {
			return nil, false, err
		}
		fresh = before.fresh()
		if b.data, err = readWhole(b.data, f, before.size); err != nil {
			return nil, fresh, err
		}
		if fresh {
			if b.again, err = readWhole(b.again, f, before.size); err != nil {
				return nil, fresh, err
			}
		}
		after, err := f.stat()
		if err != nil {
			return nil, fresh, err
		}
		if after.same(before) && int64(len(b.data)) == before.size && (!fresh || bytes.Equal(b.data, b.again)) {
			return b.data, fresh, nil
		}
		fresh = true
	}
	return nil, fresh, errUnstable
}

// readWhole reads size bytes, fewer where the file ends before.
func readWhole(buf []byte, f file, size int64) ([]byte, error) {
	if int64(cap(buf)) < size {
		buf = make([]byte, max(size+size/4, 16<<10))
	}
	n, err := f.readAt(buf[:size], 0)
	if err == io.EOF {
		err = nil
	}
	return buf[:n], err
}
