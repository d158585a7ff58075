package jsonlstore

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"

	"podstore/store"
	"podstore/store/internal/osfs"
)

// The names of the aggregate layout. A later version of the same program keeps each
// session below its worker. The worker's directory is named by a UUID too, and would
// look like a session without segments:
//
//	{root}/{worker}/worker.json
//	{root}/{worker}/metadata.json
//	{root}/{worker}/session/session.json
//	{root}/{worker}/session/segments/{segment}.jsonl
const (
	aggregateSession  = "session"
	aggregateSegments = "segments"
	aggregateMark     = "session.json"
	aggregateWorker   = "worker.json"
	podMetadata       = "metadata.json"
)

// layoutError is the error for a directory in another layout.
type layoutError struct {
	kind error // one of the store's sentinels
	what string
}

func (e *layoutError) Error() string { return e.what }

var errAggregate = &layoutError{store.ErrFormat, "this is the aggregate layout, in which a worker's session lies below the worker " +
	"({worker}/session/segments/{segment}.jsonl); it was not touched, and only {session}/{segment}.jsonl is read: name the directory of such sessions"}

// openSession opens a session's directory. It refuses a worker of the aggregate layout.
func openSession(path string) (osfs.Dir, error) {
	d, err := osfs.OpenDir(path)
	if err != nil {
		return d, err
	}
	aggregate, err := isDir(d, aggregateSession)
	if err == nil && aggregate {
		err = errAggregate
	}
	if err != nil {
		d.Close()
	}
	return d, err
}

// checkLayout refuses a root that holds something other than sessions: the aggregate
// layout, Pods, or the segments of one session. It stops at the first session that it
// finds. An empty root is a new one.
func checkLayout(root string) error {
	d, err := osfs.OpenRoot(root)
	if err != nil {
		return err
	}
	defer d.Close()
	f, err := d.List(root)
	if err != nil {
		return err
	}
	defer f.Close()
	var found error
	for {
		entries, err := f.ReadDir(256)
		for _, e := range entries {
			name := e.Name()
			_, isID := sessionNamed(name)
			switch {
			case name == aggregateMark && e.Type().IsRegular(), name == aggregateSegments && e.IsDir(), name == aggregateSession && e.IsDir():
				return errAggregate
			case isLogName(name) && e.Type().IsRegular():
				found = &layoutError{store.ErrInvalid, "this is one session, with its segments in it: name the directory above it"}
			case isID && e.IsDir():
				session, err := openSession(filepath.Join(root, name))
				if err != nil {
					return err
				}
				holds, err := holdsSegment(session)
				session.Close()
				if err != nil || holds {
					return err
				}
			}
			if e.IsDir() {
				worker, err := isFile(d, name+"/"+aggregateWorker)
				if err != nil {
					return err
				}
				if worker {
					return errAggregate
				}
			}
			if found == nil && e.IsDir() {
				pod, err := isFile(d, name+"/"+podMetadata)
				if err != nil {
					return err
				}
				if pod {
					found = &layoutError{store.ErrInvalid, fmt.Sprintf("this is a tree of Pods, with %s and without sessions: name the directory of the sessions", filepath.Join(name, podMetadata))}
				}
			}
		}
		if err == io.EOF {
			return found
		}
		if err != nil {
			return err
		}
	}
}

// holdsSegment reports whether a session has a segment or traces.
func holdsSegment(d osfs.Dir) (bool, error) {
	f, err := d.List(".")
	if err != nil {
		return false, err
	}
	defer f.Close()
	for {
		names, err := f.Readdirnames(64)
		for _, name := range names {
			if isLogName(name) {
				return true, nil
			}
		}
		if err == io.EOF {
			return false, nil
		}
		if err != nil {
			return false, err
		}
	}
}

// isFile reports whether a name, which may have directories in it, is a regular file, and
// isDir whether it is a directory. A link is neither.
func isFile(d osfs.Dir, name string) (bool, error) { return is(d, name, 0) }

func isDir(d osfs.Dir, name string) (bool, error) { return is(d, name, fs.ModeDir) }

func is(d osfs.Dir, name string, mode fs.FileMode) (bool, error) {
	st, err := d.Stat(name)
	if errors.Is(err, fs.ErrNotExist) || osfs.IsNotDir(err) {
		return false, nil
	}
	return err == nil && st.Mode == mode, err
}

// isLogName reports whether name is that of a segment or of traces.
func isLogName(name string) bool {
	id, ok := strings.CutSuffix(name, traceSuffix)
	if !ok {
		id, ok = strings.CutSuffix(name, logSuffix)
	}
	_, isID := sessionNamed(id)
	return ok && isID
}

// isTempName reports whether name is that of a replacement being written.
func isTempName(name string) bool {
	name, dot := strings.CutPrefix(name, ".")
	name, temp := strings.CutSuffix(name, tempSuffix)
	return dot && temp && isLogName(name)
}
