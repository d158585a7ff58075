package boltfile

import (
	"errors"
	"fmt"
)

// Errors of Open and OpenDamaged match ErrNotBolt if neither meta page starts with
// bbolt's magic number.
var ErrNotBolt = errors.New("not a bbolt file")

// NoPage is Problem.Page if no page is at fault.
const NoPage = ^uint64(0)

// Problem is one finding: a rule that the file breaks.
type Problem struct {
	Page   uint64 // page with the fault, or NoPage
	Bucket []byte // top-level bucket with the fault, nil if none or not known
	Msg    string // what is there and what should be
	Err    error  // the read error, if that is the cause; or ErrNotBolt
}

// Error names page and bucket and says what is there and what should be.
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

// bucketError is Bucket.Err: the first problem inside the bucket, and the number of
// further ones.
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
