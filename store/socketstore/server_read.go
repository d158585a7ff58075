package socketstore

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"podstore/store"
	"podstore/store/jsonvalue"
)

// GET /v2/names
func (s *Server) names(w http.ResponseWriter, r *http.Request, c *conn) error {
	ctx := r.Context()
	if err := noQuery(r); err != nil {
		return err
	}
	if err := s.authorizeRead(ctx, c); err != nil {
		return err
	}
	f := &flow{conn: c}
	defer s.memory.give(f)
	lines, err := s.line(ctx, f, lineOf{})
	if err != nil && lines == nil {
		return err
	}
	if err != nil {
		d, _ := documentOf(err)
		lines = appendError(lines, d)
	}
	return s.send(w, f, linesType, http.StatusOK, lines)
}

// GET /v2/pods/NAME
func (s *Server) pod(w http.ResponseWriter, r *http.Request, c *conn) error {
	key := lineOf{pod: strings.TrimPrefix(r.URL.Path, podPath)}
	var err error
	if key.part, _, err = readOptions(r, false); err != nil {
		return err
	}
	if err := store.ValidateNames("read", []string{key.pod}); err != nil {
		return err
	}
	if err := s.authorizeRead(r.Context(), c, key.pod); err != nil {
		return err
	}
	f := &flow{conn: c}
	defer s.memory.give(f)
	line, err := s.line(r.Context(), f, key)
	if err != nil {
		return err
	}
	return s.send(w, f, linesType, http.StatusOK, line)
}

// GET /v2/pods
func (s *Server) pods(w http.ResponseWriter, r *http.Request, c *conn) error {
	part, after, err := readOptions(r, true)
	if err != nil {
		return err
	}
	ctx := r.Context()
	if err := s.authorizeRead(ctx, c); err != nil {
		return err
	}
	f := &flow{conn: c}
	if err := s.take(ctx, s.streams, f, 1); err != nil {
		return err
	}
	defer s.streams.give(f)
	defer s.memory.give(f) // if the client is cut off
	names, listErr := s.store.List(ctx)
	if listErr != nil && names == nil {
		return listErr
	}
	w.Header().Set("Content-Type", linesType)
	st := &stream{server: s, flow: f, chunk: writer(w)}
	for _, name := range names {
		if name <= after {
			continue
		}
		line, err := s.line(ctx, f, lineOf{name, part})
		if !errors.Is(err, store.ErrNotFound) {
			st.add(line, err)
		}
		s.memory.give(f)
		if ctx.Err() != nil {
			panic(http.ErrAbortHandler) // so that the answer does not look whole
		}
	}
	if listErr != nil {
		st.add(nil, listErr)
	}
	st.flush()
	return nil
}

func readOptions(r *http.Request, many bool) (part store.ReadOptions, after string, err error) {
	err = eachParameter(r, func(key, value string) error {
		switch {
		case key == "omit" && value == "manifest":
			part.OmitManifest = true
		case key == "omit" && value == "reclaimed":
			part.OmitReclaimed = true
		case key == "after" && many && after == "":
			after = value
		default:
			return errors.New("expected omit=manifest or omit=reclaimed")
		}
		return nil
	})
	return part, after, err
}

// eachParameter calls take with each parameter of the query, until one is refused.
func eachParameter(r *http.Request, take func(key, value string) error) error {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return invalid("query: %v", err)
	}
	for key, values := range query {
		for _, value := range values {
			if err := take(key, value); err != nil {
				return invalid("query %.80q: %v", key+"="+value, err)
			}
		}
	}
	return nil
}

func noQuery(r *http.Request) error {
	return eachParameter(r, func(string, string) error { return errors.New("expected none") })
}

// lineOf is what is answered with a line: a Pod, or the names of all if pod is "".
type lineOf struct {
	pod  string
	part store.ReadOptions
}

// line reads a Pod, or all names, and returns the lines of the answer. If they are
// large, line reserves memory, which the caller must give back. If a line turns out
// large without a reservation, line drops it and reads it again when there is room. So
// slow clients cannot make the server hold more than it counts.
func (s *Server) line(ctx context.Context, f *flow, key lineOf) ([]byte, error) {
	for {
		size, _ := s.sizes.get(key)
		turns := s.small
		if size > smallBytes {
			turns = s.large
			if err := s.take(ctx, s.memory, f, 2*size); err != nil {
				return nil, err
			}
		}
		if err := s.take(ctx, turns, f, 1); err != nil {
			return nil, err
		}
		line, err := s.read(ctx, key)
		turns.give(f)
		n := int64(len(line))
		s.sizes.put(key, n, 1)
		if n <= smallBytes || s.memory.has(f, n) {
			return line, err
		}
		s.memory.give(f)
	}
}

func (s *Server) read(ctx context.Context, key lineOf) ([]byte, error) {
	if key.pod == "" {
		names, err := s.store.List(ctx)
		var lines []byte
		for _, name := range names {
			lines = append(jsonvalue.AppendString(lines, name), '\n')
		}
		return lines, err
	}
	m, err := store.ReadPart(ctx, s.store, key.pod, key.part)
	if err != nil {
		return nil, err
	}
	return podLine(m), nil
}
