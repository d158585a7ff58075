package socketstore

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"net/http"

	"podstore/store"
)

// Write creates or replaces one Pod: see [store.MetadataStore].
func (c *Client) Write(ctx context.Context, m *store.Metadata) error {
	const op = "write"
	if err := c.begin(ctx, op, m.PodName); err != nil {
		return err
	}
	m = m.Clone()
	if err := m.Normalize(); err != nil {
		return withOp(op, err)
	}
	return c.replace(ctx, op, m.PodName, m)
}

// Delete removes one Pod: see [store.MetadataStore].
func (c *Client) Delete(ctx context.Context, name string) error {
	const op = "delete"
	if err := c.begin(ctx, op, name); err != nil {
		return err
	}
	if err := judge(op, name); err != nil {
		return err
	}
	return c.replace(ctx, op, name, nil)
}

// replace makes a Pod m, or nothing, whatever it was.
func (c *Client) replace(ctx context.Context, op, name string, m *store.Metadata) error {
	it := item{name: name, then: thenDelete}
	if m != nil {
		it.then = thenPut
	}
	body := it.append(nil)
	if m != nil {
		body = appendMetadata(body, m, false)
	}
	c.seen.forget([]string{name})
	for p := c.conflictPauses(); ; {
		_, err := c.change(ctx, &call{op: op, pod: name, method: http.MethodPost, path: podsPath, body: body, id: rand.Text()})
		switch {
		case errors.Is(err, store.ErrConflict):
			// Sent again, it was refused, and that answer was lost; or the store behind
			// the server says so.
			if p.wait(ctx) {
				continue
			}
			return cmp.Or(ctx.Err(), err)
		case !errors.Is(err, store.ErrUnknown):
			return err
		}
		now, _, readErr := c.read(ctx, op, name)
		if m != nil && readErr == nil && now.Equal(m) || m == nil && errors.Is(readErr, store.ErrNotFound) {
			return nil
		}
		return err
	}
}
