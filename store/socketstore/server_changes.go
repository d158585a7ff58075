package socketstore

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"

	"podstore/store"
	"podstore/store/podjson"
)

// POST /v2/changes
func (s *Server) changes(w http.ResponseWriter, r *http.Request, c *conn) error {
	ids, opts, err := changeOptions(r)
	if err != nil {
		return err
	}
	if len(ids) > 1 {
		if err := s.takesBatch(len(ids), r.ContentLength); err != nil {
			return err
		}
	}
	f := &flow{conn: c}
	defer s.memory.give(f)
	body, err := s.body(w, r, f)
	if err != nil {
		return err
	}
	out := borrow()
	defer out.release()
	if len(ids) > 1 {
		out.bytes, err = s.batch(r.Context(), out.bytes, c, ids, body.bytes)
		body.release()
	} else {
		out.bytes, err = s.together(r.Context(), out.bytes, f, body, opts)
	}
	if err != nil {
		return err
	}
	return s.send(w, f, linesType, http.StatusOK, out.bytes)
}

// together makes the changes of a body, all or none, and appends the answer. It releases
// the body.
func (s *Server) together(ctx context.Context, dst []byte, f *flow, body *buffer, opts *store.ApplyOptions) ([]byte, error) {
	if len(body.bytes) > smallBytes {
		if err := s.take(ctx, s.large, f, 1); err != nil {
			return dst, err
		}
	}
	changes, err := podjson.DecodeChanges(body.bytes, s.opts.MaxChanges)
	s.large.give(f)
	body.release()
	if err != nil {
		return dst, err
	}
	return s.apply(ctx, dst, f, changes, opts)
}

// apply makes changes that the caller may make, all or none, and appends the answer.
func (s *Server) apply(ctx context.Context, dst []byte, f *flow, changes []store.Change, opts *store.ApplyOptions) ([]byte, error) {
	if len(changes) == 0 {
		return dst, invalid("the body has no change")
	}
	reads := !slices.ContainsFunc(changes, func(ch store.Change) bool { return ch.Op != nil })
	if !reads {
		if err := s.authorize(ctx, f.conn, changes); err != nil {
			return dst, err
		}
	}
	if reads || opts.Metadata {
		names := namesOf(changes)
		err := s.authorizeRead(ctx, f.conn, names...)
		if err == nil && opts.Metadata {
			err = s.reserve(ctx, f, names)
		}
		if err != nil {
			return dst, err
		}
	}
	applied, err := s.store.Apply(ctx, changes, opts)
	if err != nil {
		return dst, err
	}
	s.counters.changes.Add(int64(len(changes)))
	for _, a := range applied {
		dst = append(podjson.AppendPod(dst, a), '\n')
	}
	return dst, nil
}

// changeOptions returns the IDs of the requests in one, and the options if it is only
// one.
func changeOptions(r *http.Request) (ids []store.RequestID, opts *store.ApplyOptions, err error) {
	opts = new(store.ApplyOptions)
	err = eachParameter(r, func(key, value string) (err error) {
		switch key {
		case "id":
			if opts.ID, err = store.ParseRequestID(value); err == nil && opts.ID == (store.RequestID{}) {
				err = errors.New("expected a UUID that is not zero")
			}
			ids = append(ids, opts.ID)
		case "seen":
			opts.Resent = true
			opts.Seen, err = strconv.ParseUint(value, 10, 64)
		case "return":
			if opts.Metadata = true; value != "metadata" {
				err = errors.New(`expected "metadata"`)
			}
		default:
			err = errors.New("expected id, seen or return")
		}
		return err
	})
	if err == nil && len(ids) > 1 && (opts.Resent || opts.Metadata) {
		err = invalid("seen and return go with one id")
	}
	return ids, opts, err
}

// namesOf returns the Pods that changes name, each once.
func namesOf(changes []store.Change) []string {
	names := make([]string, len(changes))
	for i, c := range changes {
		names[i] = c.Pod
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// reserve reserves memory for the answer to changes before they are made. It reads a
// Pod whose size is not known.
func (s *Server) reserve(ctx context.Context, f *flow, names []string) error {
	total := int64(0)
	for _, name := range names {
		key := lineOf{pod: name}
		size, known := s.sizes.get(key)
		if !known {
			line, err := s.line(ctx, f, key)
			s.memory.give(f)
			if err != nil && !errors.Is(err, store.ErrNotFound) && !errors.Is(err, store.ErrCorrupt) && !errors.Is(err, store.ErrInvalidName) {
				return err
			}
			size = int64(len(line))
		}
		total += size
	}
	if total > smallBytes {
		return s.take(ctx, s.memory, f, 2*total)
	}
	return nil
}
