package socketstore

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"

	"podstore/store"
	"podstore/store/jsonvalue"
	"podstore/store/podjson"
)

// Read returns one Pod: see [store.MetadataStore].
func (c *Client) Read(ctx context.Context, name string) (*store.Metadata, error) {
	return c.ReadPart(ctx, name, store.ReadOptions{})
}

// ReadPart reads a part of one Pod: see [store.PartReader].
func (c *Client) ReadPart(ctx context.Context, name string, opts store.ReadOptions) (*store.Metadata, error) {
	r := &request{op: "read", pod: name, method: http.MethodGet, target: podPath + url.PathEscape(name) + omit("?", opts)}
	if err := c.begin(ctx, r); err != nil {
		return nil, err
	}
	if err := store.ValidateNames(r.op, []string{name}); err != nil {
		return nil, err
	}
	a, err := c.ask(ctx, r)
	defer a.release()
	if err != nil {
		return nil, err
	}
	m, err := c.metadata(a.body, opts)
	if err == nil && m.PodName != name {
		err = fmt.Errorf("the server answers with Pod %.80q", m.PodName)
	}
	if err != nil {
		return nil, c.named(r, err)
	}
	return m, nil
}

func omit(separator string, opts store.ReadOptions) (query string) {
	if opts.OmitManifest {
		query, separator = separator+"omit=manifest", "&"
	}
	if opts.OmitReclaimed {
		query += separator + "omit=reclaimed"
	}
	return query
}

func (c *Client) metadata(line []byte, opts store.ReadOptions) (*store.Metadata, error) {
	p, err := podjson.DecodePod(line)
	if err != nil {
		return nil, err
	}
	if p.Metadata == nil {
		return nil, errors.New("the server answers without the Pod's document")
	}
	c.saw(p)
	p.Metadata.Omitted = opts
	return p.Metadata, nil
}

// saw keeps the highest revision number.
func (c *Client) saw(p store.Applied) {
	n := p.Version.Revision.Number
	for old := c.number.Load(); n > old && !c.number.CompareAndSwap(old, n); old = c.number.Load() {
	}
}

// List returns the names: see [store.MetadataStore].
func (c *Client) List(ctx context.Context) ([]string, error) {
	r := &request{op: "list", method: http.MethodGet, target: namesPath}
	a, err := c.ask(ctx, r)
	defer a.release()
	if err != nil {
		return nil, err
	}
	var names []string
	for line := range lines(a.body) {
		if err := errorIn(line); err != nil {
			return names, err // an error is the last line
		}
		s := jsonvalue.NewScanner(line)
		names = append(names, s.ReadString())
		if err := s.End(); err != nil {
			return nil, c.named(r, err)
		}
	}
	return names, nil
}

// All yields every Pod: see [store.Lister]. It reads a stream. If that breaks, the
// client opens another one and goes on after the last Pod. So a slow loop is fine.
func (c *Client) All(ctx context.Context, opts store.ReadOptions) iter.Seq2[*store.Metadata, error] {
	return func(yield func(*store.Metadata, error) bool) {
		r := &request{op: "list", method: http.MethodGet}
		after := ""
		err := c.retry(ctx, r, func() (further bool, err error) {
			before := after
			r.target = podsPath + "?after=" + url.QueryEscape(after) + omit("&", opts)
			err = c.stream(ctx, r, opts, &after, yield)
			return after != before, err
		})
		if err != nil {
			yield(nil, err)
		}
	}
}

// stream yields the Pods of one answer until the caller has enough or the answer
// breaks, which is the error.
func (c *Client) stream(ctx context.Context, r *request, opts store.ReadOptions, after *string, yield func(*store.Metadata, error) bool) error {
	answer, err := c.pool.open(ctx, r, c.opts.AnswerTimeout)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	reader := bufio.NewReaderSize(answer.Body, smallBytes)
	for {
		line, err := readLine(reader)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if err := errorIn(line); err != nil {
			if e, ok := errors.AsType[*store.Error](err); ok && e.Pod != "" {
				*after = e.Pod
			}
			if !yield(nil, err) {
				return nil
			}
			continue
		}
		m, err := c.metadata(line, opts)
		if err != nil {
			return &store.Error{Op: r.op, Err: err}
		}
		*after = m.PodName
		if !yield(m, nil) {
			return nil
		}
	}
}

// readLine reads a line of any length. A line without a line feed at the end is
// incomplete.
func readLine(r *bufio.Reader) ([]byte, error) {
	var long []byte
	for {
		line, err := r.ReadSlice('\n')
		switch {
		case err == nil && long == nil:
			return line, nil // valid until the next read
		case err == io.EOF && len(long)+len(line) > 0:
			err = io.ErrUnexpectedEOF
		}
		if long = append(long, line...); err != bufio.ErrBufferFull {
			return long, err
		}
		if len(long) > maxAnswer {
			return nil, fmt.Errorf("a line has more than %d bytes", maxAnswer)
		}
	}
}
