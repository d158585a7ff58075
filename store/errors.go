package store

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"unicode/utf8"
)

// The kinds of errors, for errors.Is. The text around them says which Pod and file, and
// what to do. The comment of [MetadataStore] lists the errors after which nothing was
// changed.
var (
	// ErrNotFound: there is no such Pod, session or segment, or no file or socket to
	// open. Nothing was changed.
	ErrNotFound = errors.New("not found")
	// ErrInvalidName: a Pod name that [ValidateName] rejects. Nothing was written.
	ErrInvalidName = errors.New("invalid pod name")
	// ErrInvalid: data or an argument that breaks a rule of this package, such as
	// a manifest that is not JSON or a document that is not metadata. Nothing was
	// written.
	ErrInvalid = errors.New("invalid")
	// ErrExists: the Pod or file to create already exists, such as a Pod under the
	// condition [Missing]. It was not changed.
	ErrExists = errors.New("already exists")

	// ErrForbidden: the caller may not do that. Nothing was changed.
	ErrForbidden = errors.New("not permitted")

	// ErrReadOnly: a change was asked of a store opened for reading. Nothing was changed.
	ErrReadOnly = errors.New("store is read-only")
	// ErrLocked: another handle, in this process or another one, has the store open.
	// Nothing was changed.
	ErrLocked = errors.New("store is locked")
	// ErrClosed: the handle was closed. A change that fails with it was not made.
	ErrClosed = errors.New("store is closed")

	// ErrCorrupt: stored data is damaged. The error names what is damaged: a Pod, or what
	// all Pods share. The rest can still be read and changed. A change that fails with it
	// was not made, unless the error matches ErrUnusable too.
	ErrCorrupt = errors.New("damaged data")
	// ErrFormat: the store, or one Pod in it, was written in a format that this version
	// cannot read. Nothing was changed.
	ErrFormat = errors.New("unknown format")
	// ErrUnusable: the handle no longer knows what is on disk, because this change or an
	// earlier one failed. Close it, open the store again, and read whether the change was
	// made.
	ErrUnusable = errors.New("store handle is unusable")
	// ErrNoSpace: the disk or a quota is full. Free some space and try again. With
	// store/boltstore and store/etcdstore nothing was changed, unless the error matches
	// ErrUnusable too. With store/jsonexport the change may have been made: read the Pod.
	// A client of store/socketstore gets what the server's store says.
	ErrNoSpace = errors.New("no space left")

	// ErrUnavailable: no server of the store answers, or none can serve. Nothing was
	// changed.
	ErrUnavailable = errors.New("the store's servers are not available")
	// ErrConflict: a Pod is not at the revision that a change named, or other writers
	// changed the Pods during every attempt of an edit. Nothing was changed. Read, and
	// decide again.
	ErrConflict = errors.New("changed by others meanwhile")
	// ErrTooLarge: one Apply has more changes, Pods or bytes than the store takes. It
	// matches ErrInvalid too. A value above [MaxValueSize] is ErrInvalid alone. Nothing
	// was changed. Make several smaller changes.
	ErrTooLarge = fmt.Errorf("%w: too large", ErrInvalid)
	// ErrUnknown: the answer to a change was lost, and the store cannot tell whether the
	// change was made. It was made completely or not at all. It may even be made later,
	// while a server still has it. If you gave it an ID ([ApplyOptions]), send it again
	// under that ID, with Resent and Seen. If that fails with ErrUnknown as well, or
	// there is no ID, read the Pods and decide whether to make it again. If you do, make
	// it under the condition [AtRevision] with what you read: then it fails with
	// ErrConflict if the first one is made before it after all. The error matches no
	// other sentinel and no error of a context.
	ErrUnknown = errors.New("the change may or may not have been made")
)

// Error is an error with its operation, Pod, place and cause. Every error that a store
// returns about one Pod, session or file is or wraps one.
type Error struct {
	Op     string // the operation, such as "read" or "import"
	Pod    string // the Pod, or "" when none is concerned
	Path   string // the file, or ""
	Line   int    // 1-based line in Path, or 0
	Column int    // 1-based column in bytes, or 0
	Kind   error  // one of this package's sentinels, or nil
	Err    error  // the cause, or nil when Kind says it all
}

// Error returns operation, Pod, position and reason on one line.
func (e *Error) Error() string {
	var b strings.Builder
	if e.Op != "" {
		b.WriteString(e.Op)
	}
	if e.Pod != "" {
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		fmt.Fprintf(&b, "pod %q", e.Pod)
	}
	if pos := e.Position(); pos != "" {
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(pos)
	}
	if b.Len() > 0 {
		b.WriteString(": ")
	}
	if e.Kind != nil && e.Err != nil {
		b.WriteString(e.Kind.Error())
		b.WriteString(": ")
	}
	b.WriteString(e.Reason())
	return b.String()
}

// Position returns PATH, PATH:LINE or PATH:LINE:COLUMN, as far as known; without a
// path, "line LINE column COLUMN". It quotes a path that has control characters or is
// not UTF-8.
func (e *Error) Position() string {
	s := e.Path
	switch {
	case s == "" && e.Line > 0 && e.Column > 0:
		return fmt.Sprintf("line %d column %d", e.Line, e.Column)
	case s == "":
		return ""
	}
	if !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return !strconv.IsPrint(r) }) {
		s = strconv.Quote(s)
	}
	if e.Line > 0 {
		s += ":" + strconv.Itoa(e.Line)
		if e.Column > 0 {
			s += ":" + strconv.Itoa(e.Column)
		}
	}
	return s
}

// Reason returns the cause alone, without operation, Pod and position.
func (e *Error) Reason() string {
	// The system's errors name the operation and the file too.
	if sys, ok := e.Err.(*fs.PathError); ok && sys.Path == e.Path && e.Path != "" {
		if sys.Op == e.Op {
			return sys.Err.Error()
		}
		return sys.Op + ": " + sys.Err.Error()
	}
	switch {
	case e.Err != nil:
		return e.Err.Error()
	case e.Kind != nil:
		return e.Kind.Error()
	}
	return "unknown error"
}

// Unwrap returns Kind and Err, for errors.Is and errors.As.
func (e *Error) Unwrap() []error {
	var errs []error
	if e.Kind != nil {
		errs = append(errs, e.Kind)
	}
	if e.Err != nil {
		errs = append(errs, e.Err)
	}
	return errs
}

// inChange puts operation and Pod on an error.
func inChange(op, pod string, err error) error {
	if e, ok := err.(*Error); ok {
		c := *e
		c.Op, c.Pod = op, pod
		return &c
	}
	return &Error{Op: op, Pod: pod, Kind: ErrInvalid, Err: err}
}

// withOp returns an error of Apply under the name of the function that was called.
func withOp(op string, err error) error {
	if e, ok := err.(*Error); ok {
		c := *e
		c.Op = op
		return &c
	}
	return err
}

// withOpIfNone puts the operation on an error that has none.
func withOpIfNone(op string, err error) error {
	var e *Error
	if errors.As(err, &e) && e.Op == "" {
		return withOp(op, err)
	}
	return err
}
