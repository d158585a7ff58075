package socketstore

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"net"
	"net/http"
	"strconv"
	"time"
)

const maxAnswer = 1 << 30

// request is one request of a client.
type request struct {
	op, pod        string // for errors
	method, target string
	body           []byte
	changes        int    // their number
	id             string // of changes that may go in a batch
}

// append appends the request, but not a body that the server must permit first.
func (r *request) append(b []byte) []byte {
	b = append(append(append(append(b, r.method...), ' '), r.target...), " HTTP/1.1\r\nHost: podstore\r\n"...)
	if r.method == http.MethodPost {
		b = strconv.AppendInt(append(b, "Content-Length: "...), int64(len(r.body)), 10)
		b = append(b, "\r\n"...)
		if r.asks() {
			b = append(b, "Expect: 100-continue\r\n"...)
		}
	}
	b = append(b, "\r\n"...)
	if !r.asks() {
		b = append(b, r.body...)
	}
	return b
}

// asks reports whether the body is so large that the client asks before it sends it.
func (r *request) asks() bool { return len(r.body) > smallBytes }

// answer is an answer of the server. Nobody may use body after release.
type answer struct {
	status int
	close  bool // the server closes the connection
	body   []byte
	in     *buffer // holds body, or nil
}

func (a *answer) release() {
	if a != nil && a.in != nil {
		a.in.release()
		a.in, a.body = nil, nil
	}
}

// err returns the error that an answer reports.
func (a *answer) err() error {
	line, _, _ := bytes.Cut(a.body, []byte("\n"))
	if err := errorIn(line); err != nil {
		return err
	}
	return fmt.Errorf("%w: what answers there does not serve a store of this version: it says %d %s", errors.ErrUnsupported, a.status, http.StatusText(a.status))
}

// lines yields the lines of a body without line breaks. It skips empty ones.
func lines(body []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for line := range bytes.SplitSeq(body, []byte("\n")) {
			if len(line) > 0 && !yield(line) {
				return
			}
		}
	}
}

type clientConn struct {
	net.Conn
	limited io.LimitedReader // of Conn, so that a head has an end
	r       *bufio.Reader    // of limited
	since   time.Time        // since when it has been idle
}

func newClientConn(nc net.Conn) *clientConn {
	c := &clientConn{Conn: nc, limited: io.LimitedReader{R: nc}}
	c.r = bufio.NewReader(&c.limited)
	return c
}

func (c *clientConn) answer() (*answer, error) {
	head, err := c.head()
	if err != nil {
		return nil, err
	}
	a := &answer{status: head.StatusCode, close: head.Close}
	if a.status < 200 || head.ContentLength == 0 {
		return a, nil
	}
	if n := head.ContentLength; n < 0 || n > maxAnswer {
		return nil, fmt.Errorf("the answer has %d bytes, the limit is %d", n, maxAnswer)
	}
	a.in = borrow()
	for all := int(head.ContentLength); len(a.in.bytes) < all; {
		if _, err := io.ReadFull(head.Body, a.in.more(all)); err != nil {
			return nil, err
		}
	}
	a.body = a.in.bytes
	return a, nil
}

// head reads the head of an answer, whose body then is read from the connection.
func (c *clientConn) head() (*http.Response, error) {
	c.limited.N = maxHeader
	head, err := http.ReadResponse(c.r, nil)
	c.limited.N = math.MaxInt64
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		err = fmt.Errorf("the server has closed the connection, or sent a head of more than %d bytes", maxHeader)
	case err == nil && head.ProtoMajor != 1:
		err = fmt.Errorf("what answers there speaks %.80q", head.Proto)
	}
	return head, err
}
