package socketstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"sync"

	"podstore/store"
	"podstore/store/podjson"
)

// takesBatch checks a batch before its body is read.
func (s *Server) takesBatch(requests int, size int64) error {
	switch {
	case s.opts.Authorize != nil || s.opts.AuthorizeRead != nil:
		// A hook that takes long would hold up the others.
		return withStatus{fmt.Errorf("%w: a server with rights to check takes no batches", errors.ErrUnsupported), http.StatusNotImplemented}
	case requests > maxBatch || size > smallBytes:
		return withStatus{invalid("a batch has at most %d ids and %d bytes", maxBatch, smallBytes), http.StatusBadRequest}
	}
	return nil
}

// batch makes the changes of several requests, each for itself and all at the same time,
// so that they share a commit. It appends the answer to each, or its error line.
func (s *Server) batch(ctx context.Context, dst []byte, c *conn, ids []store.RequestID, body []byte) ([]byte, error) {
	parts := bytes.SplitN(bytes.TrimRight(body, "\n"), []byte("\n\n"), len(ids)+1)
	if len(parts) != len(ids) {
		return dst, invalid("the query has %d ids; the body needs as many groups of changes, with an empty line between them", len(ids))
	}
	answers := make([][]byte, len(parts))
	var all sync.WaitGroup
	for i, part := range parts {
		all.Go(func() {
			defer func() {
				if p := recover(); p != nil {
					s.log.Error("podstore: a change panicked", "panic", p, "stack", string(debug.Stack()))
				}
			}()
			changes, err := podjson.DecodeChanges(part, s.opts.MaxChanges)
			var answer []byte
			if err == nil {
				answer, err = s.apply(ctx, nil, &flow{conn: c}, changes, &store.ApplyOptions{ID: ids[i]})
			}
			if err != nil {
				d, status := documentOf(err)
				if status == http.StatusServiceUnavailable {
					s.counters.busy.Add(1)
				}
				answer = appendError(nil, d)
			}
			answers[i] = answer
		})
	}
	all.Wait()
	for _, answer := range answers {
		if answer == nil { // it panicked or ended its goroutine, and nobody knows the outcome
			panic(http.ErrAbortHandler)
		}
		dst = append(dst, answer...)
	}
	return dst, nil
}
