package socketstore

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"podstore/store"
	"podstore/store/podjson"
)

// Apply makes changes: see [store.MetadataStore].
func (c *Client) Apply(ctx context.Context, changes []store.Change, opts *store.ApplyOptions) ([]store.Applied, error) {
	r := &request{op: "apply", method: http.MethodPost}
	if err := c.begin(ctx, r); err != nil {
		return nil, err
	}
	changes, err := store.Prepare(changes)
	if err != nil {
		return nil, err
	}
	r.pod = changes[0].Pod
	if len(changes) == 1 && changes[0].Op != nil {
		r.op = strings.ReplaceAll(changes[0].Op.Name(), "_", " ")
	}
	body := borrow()
	defer body.release()
	body.bytes = podjson.AppendChanges(body.bytes, changes)
	r.body, r.changes = body.bytes, len(changes)
	var o store.ApplyOptions
	if opts != nil {
		o = *opts
	}
	own := o.ID == (store.RequestID{}) && !c.noIDs.Load()
	if own {
		o.ID = store.NewRequestID()
	}
	a, err := c.change(ctx, r, o)
	if own && errors.Is(err, errors.ErrUnsupported) {
		// Perhaps the store keeps no IDs. Nothing was changed: try without one.
		a.release()
		o.ID = store.RequestID{}
		if a, err = c.change(ctx, r, o); err == nil {
			c.noIDs.Store(true)
		}
	}
	defer a.release()
	if err != nil {
		return nil, c.named(r, err)
	}
	return c.applied(a.body, changes, r)
}

// applied reads the answer to changes that the server has made.
func (c *Client) applied(body []byte, changes []store.Change, r *request) ([]store.Applied, error) {
	result := make([]store.Applied, 0, len(changes))
	for line := range lines(body) {
		p, err := podjson.DecodePod(line)
		if err == nil && (len(result) == len(changes) || p.Pod != changes[len(result)].Pod) {
			err = errors.New("it is about another Pod")
		}
		if err != nil {
			return nil, c.named(r, fmt.Errorf("the change was made, and line %d of the answer is not understood: %w", len(result)+1, err))
		}
		c.saw(p)
		result = append(result, p)
	}
	if len(result) < len(changes) {
		return nil, c.named(r, fmt.Errorf("the change was made, and the answer has %d lines for %d changes", len(result), len(changes)))
	}
	return result, nil
}

// Update edits one Pod: see [store.MetadataStore].
func (c *Client) Update(ctx context.Context, name string, edit func(*store.Metadata) error) (*store.Metadata, error) {
	return store.UpdateByPods(ctx, c, name, edit)
}

// UpdatePods edits several Pods: see [store.PodUpdater].
func (c *Client) UpdatePods(ctx context.Context, names []string, edit func(pods []*store.Metadata) error) ([]*store.Metadata, error) {
	return store.EditByRevision(ctx, c, names, edit)
}

// changesTarget returns the path and query for changes.
func changesTarget(o store.ApplyOptions) string {
	var query []string
	if o.ID != (store.RequestID{}) {
		query = append(query, "id="+o.ID.String())
	}
	if o.Resent {
		query = append(query, "seen="+strconv.FormatUint(o.Seen, 10))
	}
	if o.Metadata {
		query = append(query, "return=metadata")
	}
	return changesPath + "?" + strings.Join(query, "&")
}
