package jsonlstore

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"os"

	"podstore/store"
	"podstore/store/internal/osfs"
	"podstore/store/jsonvalue"
)

// bufferSize is how much of a file is read at once.
const bufferSize = 64 << 10

// ReadAll implements [store.SessionLog]. It holds one buffer and the longest
// line in memory, whatever the size of the segment. A line longer than
// Options.MaxEntrySize is yielded as an error that matches store.ErrInvalid.
func (s *Store) ReadAll(ctx context.Context, session store.SessionID, segment store.SegmentID) iter.Seq2[json.RawMessage, error] {
	return s.read(ctx, s.target("read", session, logName(segment)), 0)
}

// ReadFrom implements [store.SessionLog]. It skips the first n lines without checking
// them.
func (s *Store) ReadFrom(ctx context.Context, session store.SessionID, segment store.SegmentID, n int) iter.Seq2[json.RawMessage, error] {
	return s.read(ctx, s.target("read", session, logName(segment)), n)
}

// ReadTraces yields the traces beside a segment, as ReadAll yields entries.
// Where no trace was ever added the error matches store.ErrNotFound.
func (s *Store) ReadTraces(ctx context.Context, session store.SessionID, segment store.SegmentID) iter.Seq2[json.RawMessage, error] {
	return s.read(ctx, s.target("read traces", session, traceName(segment)), 0)
}

func (s *Store) read(ctx context.Context, t target, skip int) iter.Seq2[json.RawMessage, error] {
	return func(yield func(json.RawMessage, error) bool) {
		if skip < 0 {
			yield(nil, t.invalid("cannot leave out %d entries", skip))
			return
		}
		f, committed, err := s.openCommitted(ctx, t)
		if err != nil {
			yield(nil, t.fail(err))
			return
		}
		defer f.Close()
		lines := &lineReader{r: bufio.NewReaderSize(io.NewSectionReader(f, 0, committed), bufferSize), max: s.max}
		t.yieldLines(ctx, lines, skip, yield)
	}
}

// yieldLines yields the entries of lines, without the first skip of them. left is the
// part of skip that was not used up. more is false if the loop ended or an error ended
// the sequence.
func (t target) yieldLines(ctx context.Context, lines *lineReader, skip int, yield func(json.RawMessage, error) bool) (left int, more bool) {
	for {
		line, err := lines.next()
		if err == io.EOF {
			return skip, true
		}
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		tooLong := errors.Is(err, errTooLong)
		if err != nil && !tooLong {
			yield(nil, t.fail(err))
			return skip, false
		}
		if skip > 0 {
			skip--
			continue
		}
		var entry json.RawMessage
		if tooLong {
			err = &store.Error{Op: t.op, Path: t.path(), Line: lines.number, Kind: store.ErrInvalid,
				Err: fmt.Errorf("the line is longer than %d bytes; open the logs with a larger Options.MaxEntrySize", t.store.max)}
		} else {
			entry, err = t.decode(line, lines.number)
		}
		if !yield(entry, err) {
			return skip, false
		}
	}
}

// decode checks one line and returns a copy of it in compact form.
func (t target) decode(line []byte, number int) (json.RawMessage, error) {
	corrupt := func(column int, why string) error {
		return &store.Error{Op: t.op, Path: t.path(), Line: number, Column: column, Kind: store.ErrCorrupt, Err: errors.New(why)}
	}
	entry, err := jsonvalue.AppendCompact(make([]byte, 0, len(line)), line, jsonvalue.MaxDepth)
	if err != nil {
		var bad *jsonvalue.SyntaxError
		if errors.As(err, &bad) {
			return nil, corrupt(bad.Column, bad.Msg)
		}
		return nil, corrupt(0, err.Error())
	}
	if entry[0] != '{' {
		s := jsonvalue.NewScanner(line)
		return nil, corrupt(s.Offset()+1, fmt.Sprintf("expected an object, found %s", s.Peek()))
	}
	return entry, nil
}

// EntryCount implements [store.SessionLog]. It reads the segment through one
// buffer of 64 KiB and does not check the lines.
func (s *Store) EntryCount(ctx context.Context, session store.SessionID, segment store.SegmentID) (int, error) {
	t := s.target("count entries", session, logName(segment))
	f, committed, err := s.openCommitted(ctx, t)
	if err != nil {
		return 0, t.fail(err)
	}
	defer f.Close()
	n, _, _, err := scanEntries(ctx, io.NewSectionReader(f, 0, committed), math.MaxInt)
	return n, t.fail(err)
}

// openCommitted opens a file for reading and returns the end of its last complete line.
// The bytes before that never change: appends add after it, and every other change makes
// a new file.
func (s *Store) openCommitted(ctx context.Context, t target) (*os.File, int64, error) {
	if err := ctx.Err(); err != nil {
		return nil, 0, err
	}
	leave, err := s.gates.enter(ctx, t.gate())
	if err != nil {
		return nil, 0, err
	}
	defer leave()
	d, f, err := s.openLocked(ctx, t, false)
	if err != nil {
		return nil, 0, err
	}
	d.Close()
	committed, err := s.committedOf(t, f)
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, committed, nil
}

// committedOf returns the end of the last complete line of a locked file, and unlocks
// it. It leaves out a line of this Store that could neither be made durable nor undone:
// the next append undoes it.
func (s *Store) committedOf(t target, f *os.File) (int64, error) {
	st, err := osfs.Stat(f)
	if err != nil {
		return 0, err
	}
	size := st.Size
	if keep, ok := s.undone.of(t.gate(), st.ID, size); ok {
		size = keep
	}
	committed, err := committedLen(f, size)
	if err == nil {
		err = osfs.Unlock(f)
	}
	return committed, err
}

// scanEntries counts entries up to a limit. end is the end of the last one counted, and
// more is true if there is another.
func scanEntries(ctx context.Context, r io.Reader, limit int) (n int, end int64, more bool, err error) {
	buf := make([]byte, bufferSize)
	blank := true // the current line, so far
	for pos := int64(0); ; {
		if err := ctx.Err(); err != nil {
			return 0, 0, false, err
		}
		got, err := r.Read(buf)
		for start := 0; start < got; {
			i := bytes.IndexByte(buf[start:got], '\n')
			if i < 0 {
				blank = blank && isBlank(buf[start:got])
				break
			}
			if !blank || !isBlank(buf[start:start+i]) {
				if n == limit {
					return n, end, true, nil
				}
				n++
				end = pos + int64(start+i+1)
			}
			start += i + 1
			blank = true
		}
		pos += int64(got)
		if err == io.EOF {
			return n, end, false, nil
		}
		if err != nil {
			return 0, 0, false, err
		}
	}
}

// isBlank reports whether a line holds nothing but JSON's whitespace.
func isBlank(line []byte) bool {
	for _, c := range line {
		if c != ' ' && c != '\t' && c != '\r' {
			return false
		}
	}
	return true
}

// lineReader reads the lines of a file that are not blank.
type lineReader struct {
	r      *bufio.Reader
	max    int
	number int    // of the line that next returned
	long   []byte // a line that does not fit the buffer of r
}

var errTooLong = errors.New("line too long")

// next returns a line without its newline, valid until the next call. It may be called
// again after errTooLong. It does not return a line without a newline.
func (l *lineReader) next() ([]byte, error) {
	for {
		l.number++
		line, err := l.line()
		if err != nil || len(line) > 0 {
			return line, err
		}
	}
}

// line returns one line, empty if it is blank.
func (l *lineReader) line() ([]byte, error) {
	line, err := l.r.ReadSlice('\n')
	if err == nil && len(line)-1 <= l.max {
		if line = line[:len(line)-1]; isBlank(line) {
			return nil, nil
		}
		return line, nil
	}
	l.long = l.long[:0]
	blank, tooLong := true, false
	for {
		if err != nil && err != bufio.ErrBufferFull {
			return nil, err
		}
		if err == nil {
			line = line[:len(line)-1]
		}
		blank = blank && isBlank(line)
		if tooLong = tooLong || len(l.long)+len(line) > l.max; !tooLong {
			l.long = append(l.long, line...)
		}
		if err == nil {
			break
		}
		line, err = l.r.ReadSlice('\n')
	}
	switch {
	case blank:
		return nil, nil
	case tooLong:
		return nil, errTooLong
	}
	return l.long, nil
}
