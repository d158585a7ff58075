package socketstore

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
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
	changes        bool
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
	status  int
	length  int64 // of the body, or -1 if the server does not say
	chunked bool
	close   bool // the server closes the connection
	file    bool // the body is a file's
	body    []byte
	in      *buffer // holds body, or nil
}

func (a *answer) release() {
	if a != nil && a.in != nil {
		a.in.release()
		a.in, a.body = nil, nil
	}
}

// err returns the error that an answer reports.
func (a *answer) err() error {
	line := a.body
	for first := range lines(a.body) {
		line = first
		break
	}
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
	r     *bufio.Reader
	since time.Time // since when it has been idle
}

func (c *clientConn) answer() (*answer, error) {
	a, err := c.head()
	if err != nil || a.status < 200 || a.length == 0 {
		return a, err
	}
	if a.length < 0 || a.length > maxAnswer {
		return nil, fmt.Errorf("the answer has %d bytes, the limit is %d", a.length, maxAnswer)
	}
	a.in = borrow()
	a.in.grow(int(a.length))
	if _, err := io.ReadFull(c.r, a.in.bytes); err != nil {
		return nil, err
	}
	a.body = a.in.bytes
	return a, nil
}

// head reads the part of an answer's head that matters here. Only a stream has no
// length.
func (c *clientConn) head() (*answer, error) {
	line, err := c.headLine()
	if err != nil {
		return nil, err
	}
	version, rest, _ := bytes.Cut(line, []byte(" "))
	code, _, _ := bytes.Cut(rest, []byte(" "))
	status, err := strconv.Atoi(string(code))
	if !bytes.HasPrefix(version, []byte("HTTP/1.")) || err != nil || status < 100 {
		return nil, fmt.Errorf("this is not HTTP: %.80q", line)
	}
	a := &answer{status: status, length: -1}
	for {
		if line, err = c.headLine(); err != nil {
			return nil, err
		}
		if len(line) == 0 {
			return a, nil
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimSpace(value)
		switch {
		case isHeader(name, "content-length"):
			if a.length, err = strconv.ParseInt(string(value), 10, 64); err != nil || a.length < 0 {
				return nil, fmt.Errorf("the answer's Content-Length is %.80q", value)
			}
		case isHeader(name, "connection"):
			a.close = isHeader(value, "close")
		case isHeader(name, "transfer-encoding"):
			a.chunked = isHeader(value, "chunked")
		case isHeader(name, "content-type"):
			a.file = isHeader(value, fileType)
		}
	}
}

// headLine reads a line of an answer's head. The line is valid until the next read.
func (c *clientConn) headLine() ([]byte, error) {
	line, err := c.r.ReadSlice('\n')
	switch {
	case err == bufio.ErrBufferFull:
		return nil, errors.New("a line of the answer's head is too long")
	case err == io.EOF:
		return nil, errors.New("the server has closed the connection")
	case err != nil:
		return nil, err
	}
	return bytes.TrimRight(line, "\r\n"), nil
}

// isHeader compares a header, whatever its case, with one in lower case.
func isHeader(name []byte, lower string) bool {
	if len(name) != len(lower) {
		return false
	}
	for i, c := range name {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}
