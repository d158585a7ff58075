package socketstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"podstore/store"
	"podstore/store/jsonvalue"
	"podstore/store/podjson"
)

// Store is what can be served: any backend that can edit several Pods at once,
// such as *boltstore.Store.
type Store interface {
	store.MetadataStore
	store.PodUpdater
}

// Handler serves a store, changes included, below [Prefix]. It is meant for a mux
// that [NewServer] serves, and refuses whatever did not come through that.
//
// Every change runs in a goroutine of its own, so changes of all clients share the
// commits of a store that has group commit. A request is read whole before
// anything is changed, and no transaction is open while an answer is sent. A
// client that goes away before its change has begun has changed nothing. Where s
// is closed, requests are answered 503; closing it is the caller's.
func Handler(s Store, opts *ServerOptions) http.Handler {
	h := &handler{s: s, opts: opts.withDefaults(), results: newResults(), drafts: newDrafts(), turns: newTurns()}
	h.slots = make(chan struct{}, h.opts.MaxRequests)
	h.mux = http.NewServeMux()
	for pattern, serve := range map[string]func(http.ResponseWriter, *http.Request) error{
		"GET " + namesPath:               h.names,
		"POST " + readPath:               h.read,
		"GET " + podsPath:                h.all,
		"POST " + podsPath:               h.several,
		"GET " + podsPath + "/{name}":    h.one,
		"PUT " + podsPath + "/{name}":    h.put,
		"DELETE " + podsPath + "/{name}": h.delete,
	} {
		h.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			if err := serve(w, r); err != nil {
				h.sendError(w, r, err)
			}
		})
	}
	return h
}

type handler struct {
	s       Store
	opts    ServerOptions
	mux     *http.ServeMux
	slots   chan struct{}
	held    atomic.Int64 // bytes of bodies
	results *results
	drafts  *drafts
	turns   *turns
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set(serverHeader, h.results.mark())
	if r.ContentLength != 0 {
		// net/http reads what is left of a body before it sends an answer. Without
		// this, it would wait for a client that says no more.
		_ = http.NewResponseController(w).SetReadDeadline(h.deadline(0))
	}
	if err := admitted(r.Context()); err != nil {
		h.sendError(w, r, err)
		return
	}
	select {
	case h.slots <- struct{}{}:
		defer func() { <-h.slots }()
	default:
		h.sendError(w, r, fmt.Errorf("%w: %d are being worked on", errBusy, h.opts.MaxRequests))
		return
	}
	h.mux.ServeHTTP(w, r)
}

// GET /v1/names
func (h *handler) names(w http.ResponseWriter, r *http.Request) error {
	names, err := h.s.List(r.Context())
	if err != nil && names == nil {
		return err
	}
	return h.stream(w, func(yield func([]byte, error) bool) {
		var line []byte
		for _, name := range names {
			line = append(jsonvalue.AppendString(line[:0], name), '\n')
			if !yield(line, nil) {
				return
			}
		}
		if err != nil {
			yield(nil, err)
		}
	})
}

// GET /v1/pods
func (h *handler) all(w http.ResponseWriter, r *http.Request) error {
	opts, err := readOptions(r)
	if err != nil {
		return err
	}
	return h.stream(w, documents(store.All(r.Context(), h.s, opts)))
}

// documents are the lines of Pods.
func documents(pods iter.Seq2[*store.Metadata, error]) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		var line []byte
		for m, err := range pods {
			if err == nil {
				line = appendMetadata(line[:0], m, false)
			}
			if !yield(line, err) {
				return
			}
		}
	}
}

// POST /v1/read
func (h *handler) read(w http.ResponseWriter, r *http.Request) error {
	opts, err := readOptions(r)
	if err != nil {
		return err
	}
	body, free, err := h.body(w, r)
	if err != nil {
		return err
	}
	defer free()
	var names []string
	for line := range lines(body) {
		s := jsonvalue.NewScanner(line)
		name := s.ReadString()
		if err := s.End(); err != nil {
			return badLine(len(names)+1, err)
		}
		if len(names) == h.opts.MaxPods {
			return fmt.Errorf("%w: more than %d names", store.ErrTooLarge, h.opts.MaxPods)
		}
		names = append(names, name)
	}
	return h.stream(w, h.page(documents(h.each(r.Context(), names, opts))))
}

// pageBytes is after how much one answer at readPath ends.
const pageBytes = 4 << 20

// page ends a sequence of lines after pageBytes.
func (h *handler) page(seq iter.Seq2[[]byte, error]) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		size := 0
		for line, err := range seq {
			if !yield(line, err) {
				return
			}
			if size += len(line); size >= pageBytes {
				return
			}
		}
	}
}

// each reads Pods one by one.
func (h *handler) each(ctx context.Context, names []string, opts store.ReadOptions) iter.Seq2[*store.Metadata, error] {
	return func(yield func(*store.Metadata, error) bool) {
		for _, name := range names {
			m, err := h.s.Read(ctx, name)
			if err == nil && opts.OmitManifest {
				m.Manifest = nil
			}
			if !yield(m, err) || ctx.Err() != nil {
				return
			}
		}
	}
}

// GET /v1/pods/{name}
func (h *handler) one(w http.ResponseWriter, r *http.Request) error {
	m, err := h.s.Read(r.Context(), r.PathValue("name"))
	if err != nil {
		return err
	}
	document := podjson.Append(nil, m)
	w.Header().Set("ETag", `"`+string(hashOf(document))+`"`)
	h.send(w, http.StatusOK, jsonType, document)
	return nil
}

func readOptions(r *http.Request) (opts store.ReadOptions, err error) {
	for key, values := range r.URL.Query() {
		if key != "omit" || len(values) != 1 || values[0] != "manifest" {
			return opts, fmt.Errorf("%w query %q: expected nothing, or omit=manifest", store.ErrInvalid, r.URL.RawQuery)
		}
		opts.OmitManifest = true
	}
	return opts, nil
}

// lines are the lines of a body, without the line breaks and without empty ones.
func lines(body []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for line := range bytes.SplitSeq(body, []byte("\n")) {
			if len(line) > 0 && !yield(line) {
				return
			}
		}
	}
}

// badLine is the error for a line of a request.
func badLine(line int, err error) error {
	e := &store.Error{Op: "request", Line: line, Kind: store.ErrInvalid, Err: err}
	if se, ok := errors.AsType[*jsonvalue.SyntaxError](err); ok {
		e.Column, e.Err = se.Column, errors.New(se.Msg)
	}
	return e
}

// body reads the whole body of a request. Call free when it is no longer needed.
func (h *handler) body(w http.ResponseWriter, r *http.Request) (body []byte, free func(), err error) {
	n := r.ContentLength
	switch {
	case n < 0:
		return nil, nil, fmt.Errorf("%w: a request with a body needs a Content-Length", store.ErrInvalid)
	case n > h.opts.MaxBody:
		return nil, nil, fmt.Errorf("%w: the body has %d bytes, the limit is %d", store.ErrTooLarge, n, h.opts.MaxBody)
	}
	if h.held.Add(n) > h.opts.MaxHeld {
		h.held.Add(-n)
		return nil, nil, fmt.Errorf("%w: their bodies have more than %d bytes", errBusy, h.opts.MaxHeld)
	}
	b := borrow()
	b.bytes = slices.Grow(b.bytes, int(n))[:n]
	body = b.bytes
	free = func() {
		b.giveBack()
		h.held.Add(-n)
	}
	out := http.NewResponseController(w)
	err = out.SetReadDeadline(h.deadline(n))
	if err == nil {
		_, err = io.ReadFull(r.Body, body)
	}
	if err == nil {
		// The connection is read on, to see it break.
		err = out.SetReadDeadline(time.Time{})
	}
	if err != nil {
		free()
		return nil, nil, fmt.Errorf("%w: the body did not arrive: %w", store.ErrInvalid, err)
	}
	return body, free, nil
}

// chunk is how many bytes a client must send or take within the time limit.
const chunk = 256 << 10

// deadline is when n bytes must have been sent or taken.
func (h *handler) deadline(n int64) time.Time {
	return time.Now().Add(h.opts.Timeout * time.Duration(1+n/chunk))
}

// send sends an answer.
func (h *handler) send(w http.ResponseWriter, status int, contentType string, body []byte) {
	// Without a deadline the answer is sent all the same.
	_ = http.NewResponseController(w).SetWriteDeadline(h.deadline(int64(len(body))))
	sendBody(w, status, contentType, body)
}

func sendBody(w http.ResponseWriter, status int, contentType string, body []byte) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // a client that is gone is told nothing
}

// sendError sends an error as the answer.
func (h *handler) sendError(w http.ResponseWriter, r *http.Request, err error) {
	_ = http.NewResponseController(w).SetWriteDeadline(h.deadline(0))
	if r.Context().Err() != nil {
		// The client has said that it sends nothing more.
		w.Header().Set("Connection", "close")
	}
	sendError(w, err)
}

func sendError(w http.ResponseWriter, err error) {
	d, status := documentOf(err)
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	sendBody(w, status, jsonType, appendJSON(nil, errorLine{d}))
}

// stream sends lines, errors among them, in chunks. A client that takes too long
// for one is cut off, and so sees that the answer is not whole.
func (h *handler) stream(w http.ResponseWriter, seq iter.Seq2[[]byte, error]) error {
	w.Header().Set("Content-Type", linesType)
	out := http.NewResponseController(w)
	var buf []byte
	flush := func() {
		err := out.SetWriteDeadline(h.deadline(int64(len(buf))))
		if err == nil {
			_, err = w.Write(buf)
		}
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		buf = buf[:0]
	}
	for line, err := range seq {
		if err != nil {
			d, _ := documentOf(err)
			buf = appendJSON(buf, errorLine{d})
		} else {
			buf = append(buf, line...)
		}
		if len(buf) >= chunk {
			flush()
		}
	}
	flush()
	return nil
}
