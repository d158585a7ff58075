package socketstore

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"strings"

	"podstore/store"
	"podstore/store/jsonvalue"
	"podstore/store/podjson"
)

// judge is ValidateName with the operation on the error.
func judge(op string, names ...string) error {
	for _, name := range names {
		if err := store.ValidateName(name); err != nil {
			return withOp(op, err)
		}
	}
	return nil
}

func withOp(op string, err error) error {
	if e, ok := errors.AsType[*store.Error](err); ok && e.Op == "" {
		e.Op = op
	}
	return err
}

// Read returns one Pod: see [store.MetadataStore].
func (c *Client) Read(ctx context.Context, name string) (*store.Metadata, error) {
	m, _, err := c.read(ctx, "read", name)
	return m, err
}

// read reads one Pod and its version.
func (c *Client) read(ctx context.Context, op, name string) (*store.Metadata, version, error) {
	if err := c.begin(ctx, op, name); err != nil {
		return nil, absent, err
	}
	if err := judge(op, name); err != nil {
		return nil, absent, err
	}
	a, err := c.ask(ctx, &call{op: op, pod: name, method: http.MethodGet, path: podPath(name)})
	if err != nil {
		return nil, absent, err
	}
	v := version(strings.Trim(a.header.Get("Etag"), `"`))
	m, err := podjson.Decode(a.body)
	if err == nil && (m.PodName != name || !v.valid()) {
		err = errors.New("the answer is about another Pod, or has no version")
	}
	if err != nil {
		return nil, absent, c.garbled(op, name, err)
	}
	return m, v, nil
}

// podPath is the path of one Pod. A name may hold anything but a slash.
func podPath(name string) string { return podsPath + "/" + url.PathEscape(name) }

// garbled is the error for an answer that is not as the protocol says.
func (c *Client) garbled(op, pod string, err error) error {
	return &store.Error{Op: op, Pod: pod, Path: c.conns.path, Err: fmt.Errorf("the server's answer is not understood: %w", err)}
}

// List returns the names of all Pods: see [store.MetadataStore].
func (c *Client) List(ctx context.Context) ([]string, error) {
	const op = "list"
	a, err := c.ask(ctx, &call{op: op, method: http.MethodGet, path: namesPath})
	if err != nil {
		return nil, err
	}
	var names []string
	for line := range lines(a.body) {
		if err := lineError(line); err != nil {
			return names, err
		}
		s := jsonvalue.NewScanner(line)
		names = append(names, s.ReadString())
		if err := s.End(); err != nil {
			return nil, c.garbled(op, "", err)
		}
	}
	return names, nil
}

// lineError is the error that a line of an answer describes, or nil where the
// line is something else: no document begins like it.
func lineError(line []byte) error {
	if !bytes.HasPrefix(line, []byte(`{"error":`)) {
		return nil
	}
	var e errorLine
	if err := json.Unmarshal(line, &e); err != nil || e.Error == nil {
		return fmt.Errorf("the server's answer is not understood: %.80q", line)
	}
	return e.Error.err()
}

// readNames is how many Pods one request of All asks for.
const readNames = 256

// All yields every Pod: see [store.Lister]. The names are those of one moment; the
// Pods are fetched some hundred at a time, and no connection is held while they
// are yielded.
func (c *Client) All(ctx context.Context, opts store.ReadOptions) iter.Seq2[*store.Metadata, error] {
	return func(yield func(*store.Metadata, error) bool) {
		names, listErr := c.List(ctx)
		for len(names) > 0 {
			pods, err := c.page(ctx, names[:min(readNames, len(names))], opts)
			if err != nil {
				yield(nil, err)
				return
			}
			names = names[len(pods):]
			for _, p := range pods {
				if !errors.Is(p.err, store.ErrNotFound) && !yield(p.m, p.err) {
					return
				}
			}
		}
		if listErr != nil {
			yield(nil, listErr)
		}
	}
}

// podOrError is what became of the reading of one Pod.
type podOrError struct {
	m   *store.Metadata
	err error
}

// page reads the first ones of some Pods, at least one.
func (c *Client) page(ctx context.Context, names []string, opts store.ReadOptions) ([]podOrError, error) {
	const op = "list"
	var body []byte
	for _, name := range names {
		body = append(jsonvalue.AppendString(body, name), '\n')
	}
	path := readPath
	if opts.OmitManifest {
		path += "?omit=manifest"
	}
	a, err := c.ask(ctx, &call{op: op, method: http.MethodPost, path: path, body: body})
	if err != nil {
		return nil, err
	}
	var pods []podOrError
	for line := range lines(a.body) {
		if len(pods) == len(names) {
			return nil, c.garbled(op, "", errors.New("it has more Pods than were asked for"))
		}
		p := podOrError{err: lineError(line)}
		if p.err == nil {
			p.m, err = podjson.Decode(line)
			if err != nil || p.m.PodName != names[len(pods)] {
				return nil, c.garbled(op, names[len(pods)], err)
			}
		}
		pods = append(pods, p)
	}
	if len(pods) == 0 {
		return nil, c.garbled(op, "", errors.New("it is empty"))
	}
	return pods, nil
}
