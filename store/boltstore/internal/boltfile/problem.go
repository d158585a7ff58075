package boltfile

import (
	"errors"
	"fmt"
)

// ErrNotBolt is matched by the error of Open and OpenDamaged when neither meta
// page starts with bbolt's magic number.
var ErrNotBolt = errors.New("not a bbolt file")

// NoPage is Problem.Page where no page is at fault.
const NoPage = ^uint64(0)

// Problem is one finding: one rule that the file breaks.
type Problem struct {
	Page   uint64 // page where it was found, or NoPage
	Bucket []byte // name of the top-level bucket it is in, nil where none or not known
	Msg    string // what was found and what was expected
	Err    error  // the read error, where that is the cause; or ErrNotBolt
}

// Error names page and bucket and says what was found and what was expected.
func (p *Problem) Error() string {
	s := p.Msg
	if p.Bucket != nil {
		s = fmt.Sprintf("bucket %q: %s", p.Bucket, s)
	}
	if p.Page != NoPage {
		s = fmt.Sprintf("page %d: %s", p.Page, s)
	}
	if p.Err != nil {
		s = fmt.Sprintf("%s: %v", s, p.Err)
	}
	return s
}

// Unwrap returns Err.
func (p *Problem) Unwrap() error { return p.Err }

func problem(page uint64, bucket []byte, format string, args ...any) Problem {
	return Problem{Page: page, Bucket: bucket, Msg: fmt.Sprintf(format, args...)}
}

func unreadable(page uint64, err error) Problem {
	return Problem{Page: page, Msg: "cannot be read", Err: err}
}

// bucketError is Bucket.Err: the first problem found inside and how many more.
type bucketError struct {
	first Problem
	more  int
}

func (e *bucketError) Error() string {
	if e.more == 0 {
		return e.first.Error()
	}
	return fmt.Sprintf("%s (and %d more)", e.first.Error(), e.more)
}

// Unwrap returns the first problem.
func (e *bucketError) Unwrap() error { return &e.first }
