package socketstore

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"podstore/store"
)

// The protocol, version 2: docs/socket.md describes it.
const (
	prefix       = "/v2/"
	namesPath    = prefix + "names"
	podsPath     = prefix + "pods"
	podPath      = prefix + "pods/"
	changesPath  = prefix + "changes"
	watchPath    = prefix + "watch"
	snapshotPath = prefix + "snapshot"
	formerPrefix = "/v1/"

	jsonType  = "application/json"
	linesType = "application/x-ndjson"
	fileType  = "application/octet-stream"

	// maxBatch limits the requests that go together as one.
	maxBatch = 16
)

// errBusy is what store.ErrUnavailable is on the server's side: nothing was changed,
// and the same request may succeed later.
var errBusy = errors.New("the server has too much to do")

// kinds are the errors that cross the socket. If several match, the first decides the
// status.
var kinds = []struct {
	name   string
	err    error
	status int
}{
	{"unusable", store.ErrUnusable, http.StatusInternalServerError},
	{"closed", store.ErrClosed, http.StatusServiceUnavailable},
	{"busy", errBusy, http.StatusServiceUnavailable},
	{"unavailable", store.ErrUnavailable, http.StatusServiceUnavailable},
	{"canceled", context.Canceled, http.StatusServiceUnavailable},
	{"timeout", context.DeadlineExceeded, http.StatusServiceUnavailable},
	{"forbidden", store.ErrForbidden, http.StatusForbidden},
	{"unknown", store.ErrUnknown, http.StatusConflict},
	{"conflict", store.ErrConflict, http.StatusConflict},
	{"exists", store.ErrExists, http.StatusConflict},
	{"too_large", store.ErrTooLarge, http.StatusRequestEntityTooLarge},
	{"invalid_name", store.ErrInvalidName, http.StatusBadRequest},
	{"invalid", store.ErrInvalid, http.StatusBadRequest},
	{"not_found", store.ErrNotFound, http.StatusNotFound},
	{"read_only", store.ErrReadOnly, http.StatusForbidden},
	{"locked", store.ErrLocked, http.StatusServiceUnavailable},
	{"corrupt", store.ErrCorrupt, http.StatusInternalServerError},
	{"format", store.ErrFormat, http.StatusInternalServerError},
	{"no_space", store.ErrNoSpace, http.StatusInsufficientStorage},
	{"unsupported", errors.ErrUnsupported, http.StatusNotImplemented},
}

// errorDocument is an error on the wire. Kind is "" for an error without a sentinel.
// Reason does not repeat the kind.
type errorDocument struct {
	Kind   string   `json:"kind"`
	Also   []string `json:"also,omitempty"`
	Op     string   `json:"op,omitempty"`
	Pod    string   `json:"pod,omitempty"`
	Path   string   `json:"path,omitempty"`
	Line   int      `json:"line,omitempty"`
	Column int      `json:"column,omitempty"`
	Reason string   `json:"reason,omitempty"`
}

// errorLine is an errorDocument among other lines.
type errorLine struct {
	Error *errorDocument `json:"error"`
}

// withStatus is an error with another status than that of its kind.
type withStatus struct {
	error
	status int
}

func (e withStatus) Unwrap() error { return e.error }

// documentOf returns the document and the status for an error.
func documentOf(err error) (*errorDocument, int) {
	e, ok := errors.AsType[*store.Error](err)
	if !ok {
		e = &store.Error{Err: err}
	}
	d := &errorDocument{Op: e.Op, Pod: e.Pod, Path: e.Path, Line: e.Line, Column: e.Column}
	kind, status := e.Kind, 0
	for _, k := range kinds {
		if !errors.Is(err, k.err) {
			continue
		}
		if status == 0 {
			status = k.status
		}
		switch {
		case kind == nil || kind == k.err:
			d.Kind, kind = k.name, k.err
		case !errors.Is(kind, k.err):
			d.Also = append(d.Also, k.name)
		}
	}
	if e.Err != nil {
		d.Reason = e.Err.Error()
	}
	if kind != nil {
		rest, _ := strings.CutPrefix(d.Reason, kind.Error())
		if rest == "" || strings.HasPrefix(rest, ": ") {
			d.Reason = strings.TrimPrefix(rest, ": ")
		}
	}
	if s, ok := errors.AsType[withStatus](err); ok {
		status = s.status
	}
	return d, cmp.Or(status, http.StatusInternalServerError)
}

// err returns the error that a document describes.
func (d *errorDocument) err() *store.Error {
	e := &store.Error{Op: d.Op, Pod: d.Pod, Path: d.Path, Line: d.Line, Column: d.Column, Kind: kindNamed(d.Kind)}
	cause := &remote{reason: d.Reason}
	for _, name := range d.Also {
		if err := kindNamed(name); err != nil {
			cause.also = append(cause.also, err)
		}
	}
	if cause.reason == "" && e.Kind == nil {
		cause.reason = "the server gives no reason"
	}
	if cause.reason == "" && cause.also != nil {
		cause.reason = cause.also[0].Error()
	}
	if cause.reason != "" {
		e.Err = cause
	}
	return e
}

// remote is the cause of an error that came over the socket.
type remote struct {
	reason string
	also   []error
}

func (e *remote) Error() string { return e.reason }

func (e *remote) Unwrap() []error { return e.also }

// kindNamed returns the sentinel, or nil for a kind that this version does not know.
func kindNamed(name string) error {
	for _, k := range kinds {
		if k.name == name {
			return k.err
		}
	}
	return nil
}

func appendError(dst []byte, d *errorDocument) []byte {
	b := bytes.NewBuffer(dst)
	enc := json.NewEncoder(b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(errorLine{d}) // strings and numbers always encode
	return b.Bytes()
}

// errorIn returns the error on a line, or nil if the line is something else.
func errorIn(line []byte) error {
	if !bytes.HasPrefix(line, []byte(`{"error":`)) {
		return nil
	}
	var e errorLine
	if err := json.Unmarshal(line, &e); err != nil || e.Error == nil {
		return nil
	}
	return e.Error.err()
}

func set[T int | int64 | time.Duration](field *T, value T) {
	if *field <= 0 {
		*field = value
	}
}

func invalid(format string, args ...any) error {
	return &store.Error{Op: "request", Kind: store.ErrInvalid, Err: fmt.Errorf(format, args...)}
}
