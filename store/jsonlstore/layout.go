package jsonlstore

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"podstore/store"
)

// Where another layout of the same program keeps things. A later version of it
// keeps each session below the worker that has it, in a directory that is also
// named by a UUID, and so would look like a session without segments:
//
//	{root}/{worker}/metadata.json
//	{root}/{worker}/session/session.json
//	{root}/{worker}/session/segments/{segment}.jsonl
const (
	aggregateSession  = "session"
	aggregateSegments = "segments"
	aggregateMark     = "session.json"
	podMetadata       = "metadata.json"
)

// layoutError says that a directory is in another layout.
type layoutError struct {
	kind error // one of the store's sentinels
	what string
}

func (e *layoutError) Error() string { return e.what }

var errAggregate = &layoutError{store.ErrFormat, "this is the aggregate layout, in which a worker's session lies below the worker " +
	"({worker}/session/segments/{segment}.jsonl); it was not touched, and only {session}/{segment}.jsonl is read: name the directory of such sessions"}

// openSession opens a session's directory, unless it is a worker's of the
// aggregate layout.
func openSession(path string) (*dir, error) {
	d, err := openDir(path)
	if err != nil {
		return nil, err
	}
	aggregate, err := d.hasDir(aggregateSession)
	if err == nil && aggregate {
		err = errAggregate
	}
	if err != nil {
		d.close()
		return nil, err
	}
	return d, nil
}

// checkLayout refuses a root that holds something else than sessions: the
// aggregate layout, Pods, or the segments of one session. It looks until it has
// found one session, and takes a root without anything for a new one.
func checkLayout(root string) error {
	d, err := openRoot(root)
	if err != nil {
		return err
	}
	defer d.close()
	f, err := d.duplicate()
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
				holds, err := session.holdsSegment()
				session.close()
				if err != nil || holds {
					return err
				}
			}
			if found == nil && e.IsDir() {
				pod, err := d.hasFile(name + "/" + podMetadata)
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
func (d *dir) holdsSegment() (bool, error) {
	f, err := d.duplicate()
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

// isLogName reports whether the layout has a file of that name.
func isLogName(name string) bool {
	id, ok := strings.CutSuffix(name, traceSuffix)
	if !ok {
		id, ok = strings.CutSuffix(name, logSuffix)
	}
	_, isID := sessionNamed(id)
	return ok && isID
}

// isTempName reports whether the layout has a replacement of that name.
func isTempName(name string) bool {
	name, dot := strings.CutPrefix(name, ".")
	name, temp := strings.CutSuffix(name, tempSuffix)
	return dot && temp && isLogName(name)
}
