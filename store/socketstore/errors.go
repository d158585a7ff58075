package socketstore

import (
	"context"
	"errors"
	"net/http"

	"podstore/store"
)

// ErrForbidden: the other side of the socket belongs to another user, or the system
// does not tell whose it is. Nothing was changed.
var ErrForbidden = errors.New("not allowed")

// errBusy is store.ErrUnavailable as the server says it of itself.
var errBusy = errors.New("too many requests at a time")

// kinds are the errors that cross the socket. Of several that match, the first
// decides the status.
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
	{"forbidden", ErrForbidden, http.StatusForbidden},
	{"unknown", store.ErrUnknown, http.StatusConflict},
	{"conflict", store.ErrConflict, http.StatusConflict},
	{"too_large", store.ErrTooLarge, http.StatusRequestEntityTooLarge},
	{"invalid_name", store.ErrInvalidName, http.StatusBadRequest},
	{"invalid", store.ErrInvalid, http.StatusBadRequest},
	{"not_found", store.ErrNotFound, http.StatusNotFound},
	{"exists", store.ErrExists, http.StatusConflict},
	{"read_only", store.ErrReadOnly, http.StatusForbidden},
	{"locked", store.ErrLocked, http.StatusServiceUnavailable},
	{"corrupt", store.ErrCorrupt, http.StatusInternalServerError},
	{"format", store.ErrFormat, http.StatusInternalServerError},
	{"no_space", store.ErrNoSpace, http.StatusInsufficientStorage},
	{"unsupported", errors.ErrUnsupported, http.StatusNotImplemented},
}

// errorDocument is an error on the wire. Kind is "" for one without a sentinel.
type errorDocument struct {
	Kind   string   `json:"kind"`
	Also   []string `json:"also,omitempty"`
	Op     string   `json:"op,omitempty"`
	Pod    string   `json:"pod,omitempty"`
	Path   string   `json:"path,omitempty"`
	Line   int      `json:"line,omitempty"`
	Column int      `json:"column,omitempty"`
	Reason string   `json:"reason"`
}

// errorLine is an errorDocument among other lines.
type errorLine struct {
	Error *errorDocument `json:"error"`
}

// documentOf describes an error, and gives the status that goes with it.
func documentOf(err error) (*errorDocument, int) {
	d := &errorDocument{Reason: err.Error()}
	var own error // its kind, whatever else it matches
	if e, ok := errors.AsType[*store.Error](err); ok {
		d.Op, d.Pod, d.Path, d.Line, d.Column, d.Reason = e.Op, e.Pod, e.Path, e.Line, e.Column, e.Reason()
		own = e.Kind
	}
	status := 0
	for _, k := range kinds {
		switch {
		case !errors.Is(err, k.err):
			continue
		case d.Kind == "" || k.err == own:
			if d.Kind != "" {
				d.Also = append(d.Also, d.Kind)
			}
			d.Kind = k.name
		default:
			d.Also = append(d.Also, k.name)
		}
		if status == 0 {
			status = k.status
		}
	}
	if status == 0 {
		status = http.StatusInternalServerError
	}
	return d, status
}

// remote is the cause of an error that came over the socket.
type remote struct {
	reason string
	also   []error
}

func (e *remote) Error() string   { return e.reason }
func (e *remote) Unwrap() []error { return e.also }

// err is the error that a document describes.
func (d *errorDocument) err() *store.Error {
	cause := &remote{reason: d.Reason}
	for _, name := range d.Also {
		if err := kindNamed(name); err != nil {
			cause.also = append(cause.also, err)
		}
	}
	e := &store.Error{Op: d.Op, Pod: d.Pod, Path: d.Path, Line: d.Line, Column: d.Column, Kind: kindNamed(d.Kind), Err: cause}
	if e.Kind != nil && e.Kind.Error() == d.Reason && cause.also == nil {
		e.Err = nil
	}
	return e
}

// kindNamed is nil for a kind that this version does not know.
func kindNamed(name string) error {
	for _, k := range kinds {
		if k.name == name {
			return k.err
		}
	}
	return nil
}
