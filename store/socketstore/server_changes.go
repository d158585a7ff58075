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
	opts, err := changeOptions(r)
	if err != nil {
		return err
	}
	f := &flow{conn: c}
	defer s.memory.give(f)
	body, err := s.body(w, r, f)
	if err != nil {
		return err
	}
	if len(body.bytes) > smallBytes {
		if err := s.take(r.Context(), s.large, f, 1); err != nil {
			return err
		}
	}
	changes, err := podjson.DecodeChanges(body.bytes, s.opts.MaxChanges)
	s.large.give(f)
	body.release()
	if err != nil {
		return err
	}
	if len(changes) == 0 {
		return invalid("the body has no change")
	}
	ctx := r.Context()
	reads := !slices.ContainsFunc(changes, func(ch store.Change) bool { return ch.Op != nil })
	if !reads {
		if err := s.authorize(ctx, c, changes); err != nil {
			return err
		}
	}
	if reads || opts.Metadata {
		names := namesOf(changes)
		err := s.authorizeRead(ctx, c, names...)
		if err == nil && opts.Metadata {
			err = s.reserve(ctx, f, names)
		}
		if err != nil {
			return err
		}
	}
	applied, err := s.store.Apply(ctx, changes, opts)
	if err != nil {
		return err
	}
	s.counters.changes.Add(int64(len(changes)))
	out := borrow()
	defer out.release()
	for _, a := range applied {
		out.bytes = append(podjson.AppendPod(out.bytes, a), '\n')
	}
	return s.send(w, f, linesType, http.StatusOK, out.bytes)
}

func changeOptions(r *http.Request) (*store.ApplyOptions, error) {
	opts := new(store.ApplyOptions)
	return opts, eachParameter(r, func(key, value string) (err error) {
		switch key {
		case "id":
			if opts.ID, err = store.ParseRequestID(value); err == nil && opts.ID == (store.RequestID{}) {
				err = errors.New("expected a UUID that is not zero")
			}
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
