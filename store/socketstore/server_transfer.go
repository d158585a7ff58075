package socketstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"time"

	"podstore/store"
)

func (s *Server) take(ctx context.Context, b *budget, f *flow, n int64) error {
	ctx, cancel := context.WithTimeout(ctx, s.opts.Wait)
	defer cancel()
	return b.take(ctx, f, n)
}

// body reads the whole body of a request. For a large one it reserves memory for the
// request itself, for what it decodes to, and for the copy that the store makes.
func (s *Server) body(w http.ResponseWriter, r *http.Request, f *flow) (_ *buffer, err error) {
	defer func() {
		if err != nil {
			// Otherwise net/http reads the rest before it sends the answer.
			w.Header().Set("Connection", "close")
		}
	}()
	n := r.ContentLength
	switch {
	case n < 0:
		return nil, withStatus{invalid("a request with a body needs a Content-Length"), http.StatusLengthRequired}
	case n > s.opts.MaxBody:
		return nil, &store.Error{Op: "request", Kind: store.ErrTooLarge, Err: fmt.Errorf("the body has %d bytes, the limit is %d", n, s.opts.MaxBody)}
	}
	read := func(p []byte) error {
		_, err := io.ReadFull(r.Body, p)
		return err
	}
	b := borrow()
	err = read(b.more(int(n)))
	if err == nil && n > smallBytes {
		if err := s.take(r.Context(), s.memory, f, 3*n); err != nil {
			return nil, err
		}
		_ = f.conn.SetWriteDeadline(time.Time{}) // the next read makes net/http write "100 Continue"
		for err == nil && len(b.bytes) < int(n) {
			err = f.move(b.more(int(n)), f.conn.SetReadDeadline, read)
		}
	}
	switch {
	case err == nil:
		return b, nil
	case f.gone.Load():
		return nil, errCut
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, invalid("the body did not arrive: %v", err)
	}
	// The client has gone. After any answer net/http keeps the connection for half a
	// second. Clients that come and go would then take the places of others.
	b.release()
	panic(http.ErrAbortHandler)
}

// send sends an answer together with its length.
func (s *Server) send(w http.ResponseWriter, f *flow, contentType string, status int, body []byte) error {
	h := w.Header()
	h["Date"] = nil // both sides have the same clock
	h["Content-Type"] = []string{contentType}
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	if len(body) <= smallBytes {
		_ = f.conn.SetWriteDeadline(time.Now().Add(s.opts.Stall))
		w.WriteHeader(status)
		_, _ = w.Write(body) // an error means that the client is gone
		return nil
	}
	w.WriteHeader(status)
	if err := f.move(body, f.conn.SetWriteDeadline, writer(w)); err != nil {
		panic(http.ErrAbortHandler)
	}
	return nil
}

func writer(w io.Writer) func([]byte) error {
	return func(p []byte) error {
		_, err := w.Write(p)
		return err
	}
}

// stream sends lines, including errors, in pieces. It cuts off a client that takes too
// long for a piece, so that the client sees that the answer is incomplete.
type stream struct {
	server *Server
	flow   *flow
	chunk  func([]byte) error
	buf    []byte
}

// add sends, now or later, a line or the error in its place.
func (st *stream) add(line []byte, err error) {
	if err != nil {
		d, _ := documentOf(err)
		st.buf = appendError(st.buf, d)
		return
	}
	if len(st.buf)+len(line) > smallBytes {
		st.flush()
	}
	if len(line) > smallBytes {
		st.write(line)
		return
	}
	st.buf = append(st.buf, line...)
}

func (st *stream) flush() {
	st.write(st.buf)
	st.buf = st.buf[:0]
}

func (st *stream) write(p []byte) {
	if err := st.flow.move(p, st.flow.conn.SetWriteDeadline, st.chunk); err != nil {
		panic(http.ErrAbortHandler)
	}
}
