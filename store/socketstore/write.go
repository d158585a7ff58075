package socketstore

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"podstore/store"
	"podstore/store/jsonexport"
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
	ch := newChange(op)
	ch.add(item{name: name}, m)
	for {
		_, err := c.commit(ctx, ch)
		switch {
		case errors.Is(err, ErrConflict):
			// A repeated request was refused, and its answer lost.
			ch.id = rand.Text()
			continue
		case !errors.Is(err, ErrUnknown):
			return err
		}
		now, _, readErr := c.read(ctx, op, name)
		if m != nil && readErr == nil && now.Equal(m) || m == nil && errors.Is(readErr, store.ErrNotFound) {
			return nil
		}
		return err
	}
}

// Update edits one Pod: see [store.MetadataStore].
func (c *Client) Update(ctx context.Context, name string, edit func(*store.Metadata) error) (*store.Metadata, error) {
	pods, err := c.update(ctx, "update", []string{name}, func(pods []*store.Metadata) error {
		if pods[0] == nil {
			pods[0] = &store.Metadata{PodName: name}
		}
		return edit(pods[0])
	})
	if err != nil {
		return nil, err
	}
	return pods[0], nil
}

// UpdatePods edits several Pods in one transaction of the server: see
// [store.PodUpdater].
func (c *Client) UpdatePods(ctx context.Context, names []string, edit func(pods []*store.Metadata) error) ([]*store.Metadata, error) {
	return c.update(ctx, "update", slices.Clone(names), edit)
}

// maxConflicts is how often an edit is run again because others were quicker.
const maxConflicts = 1000

// state is some Pods at one moment. They are not changed.
type state struct {
	pods     []*store.Metadata
	versions []version
}

func (c *Client) update(ctx context.Context, op string, names []string, edit func([]*store.Metadata) error) ([]*store.Metadata, error) {
	if err := c.begin(ctx, op, ""); err != nil {
		return nil, err
	}
	if err := judgeAll(op, names); err != nil {
		return nil, err
	}
	before, err := c.moment(ctx, op, names)
	if err != nil {
		return nil, err
	}
	p := pauses{conflictPause, mostConflictPause}
	end := time.Now().Add(c.opts.Patience)
	for range maxConflicts {
		after, ch, err := prepare(op, names, before, edit)
		if err != nil || len(ch.body) == 0 {
			return after, err
		}
		now, err := c.commit(ctx, ch)
		switch {
		case err == nil:
			return after, nil
		case errors.Is(err, ErrUnknown):
			var readErr error
			if now, readErr = c.moment(ctx, op, names); readErr != nil {
				return nil, err
			}
			if after, ch, editErr := prepare(op, names, now, edit); editErr == nil && len(ch.body) == 0 {
				return after, nil
			}
			if !slices.Equal(now.versions, before.versions) {
				return nil, err
			}
		case !errors.Is(err, ErrConflict):
			return nil, err
		}
		if !p.wait(ctx, end) {
			break
		}
		if before = now; before == nil {
			if before, err = c.moment(ctx, op, names); err != nil {
				return nil, err
			}
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return nil, &store.Error{Op: op, Pod: names[0], Path: c.path, Kind: ErrConflict, Err: errors.New("other writers were quicker each time; try again")}
}

const (
	conflictPause     = 100 * time.Microsecond
	mostConflictPause = 10 * time.Millisecond
)

func judgeAll(op string, names []string) error {
	if err := judge(op, names...); err != nil {
		return err
	}
	if len(names) == 0 {
		return &store.Error{Op: op, Kind: store.ErrInvalid, Err: errors.New("no Pod is named")}
	}
	sorted := slices.Sorted(slices.Values(names))
	for i := 1; i < len(sorted); i++ {
		if sorted[i] == sorted[i-1] {
			return &store.Error{Op: op, Pod: sorted[i], Kind: store.ErrInvalid, Err: errors.New("the Pod is named twice")}
		}
	}
	return nil
}

// moment reads Pods as they are at one moment.
func (c *Client) moment(ctx context.Context, op string, names []string) (*state, error) {
	if len(names) == 1 {
		m, v, err := c.read(ctx, op, names[0])
		if errors.Is(err, store.ErrNotFound) && !errors.Is(err, store.ErrCorrupt) {
			err = nil
		}
		if err != nil {
			return nil, err
		}
		return &state{[]*store.Metadata{m}, []version{v}}, nil
	}
	var body []byte
	for _, name := range names {
		it := item{name: name}
		body = it.append(body)
	}
	a, err := c.ask(ctx, &call{op: op, method: http.MethodPost, path: podsPath, body: body})
	if err != nil {
		return nil, err
	}
	st, err := parseState(names, a.body)
	if err != nil {
		return nil, c.garbled(op, "", err)
	}
	return st, nil
}

// parseState reads items and documents of an answer.
func parseState(names []string, body []byte) (*state, error) {
	st := &state{}
	wanted := false
	for line := range lines(body) {
		i := len(st.pods) - 1
		if wanted {
			m, err := jsonexport.Decode(line)
			if err != nil || m.PodName != names[i] {
				return nil, fmt.Errorf("document of %q: %w", names[i], err)
			}
			st.pods[i] = m
			wanted = false
			continue
		}
		it, err := parseItem(line)
		if err != nil {
			return nil, err
		}
		if i++; i == len(names) || it.name != names[i] || !it.compared {
			return nil, fmt.Errorf("item %q was not asked for", it.name)
		}
		st.pods = append(st.pods, nil)
		st.versions = append(st.versions, it.version)
		wanted = it.version != absent
	}
	if wanted || len(st.pods) != len(names) {
		return nil, errors.New("items are missing")
	}
	return st, nil
}

// prepare runs an edit on a state, which it leaves alone. The change has no body
// where the edit changes nothing.
func prepare(op string, names []string, before *state, edit func([]*store.Metadata) error) ([]*store.Metadata, *change, error) {
	pods := make([]*store.Metadata, len(names))
	for i, m := range before.pods {
		if m != nil {
			pods[i] = m.Clone()
		}
	}
	if err := edit(pods); err != nil {
		return nil, nil, err
	}
	changed := false
	for i, m := range pods {
		if m != nil {
			m = m.Clone() // it may stand in another place too
			m.PodName = names[i]
			if err := m.Normalize(); err != nil {
				return nil, nil, withOp(op, err)
			}
			pods[i] = m
		}
		changed = changed || !same(before.pods[i], m)
	}
	ch := newChange(op)
	if !changed {
		return pods, ch, nil
	}
	for i, m := range pods {
		it := item{name: names[i], compared: true, version: before.versions[i]}
		if same(before.pods[i], m) {
			ch.keep(it)
		} else {
			ch.add(it, m)
		}
	}
	return pods, ch, nil
}

func same(a, b *store.Metadata) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Equal(b)
}

// change is one request that changes Pods.
type change struct {
	op    string
	id    string
	names []string
	body  []byte
}

func newChange(op string) *change { return &change{op: op, id: rand.Text()} }

// keep adds a Pod that is only compared.
func (ch *change) keep(it item) {
	ch.names = append(ch.names, it.name)
	ch.body = it.append(ch.body)
}

// add adds a Pod that becomes m, in normal form, or nothing.
func (ch *change) add(it item, m *store.Metadata) {
	it.then = thenDelete
	if m != nil {
		it.then = thenPut
	}
	ch.keep(it)
	if m != nil {
		ch.body = appendDocument(ch.body, jsonexport.Append(nil, m))
	}
}

// commit sends a change until it is answered. The error matches ErrUnknown where
// it is not known whether the change was made, and otherwise it was not. With
// ErrConflict come the Pods as they are, if the server has said so.
func (c *Client) commit(ctx context.Context, ch *change) (now *state, err error) {
	call := &call{op: ch.op, pod: ch.names[0], method: http.MethodPost, path: podsPath, body: ch.body, id: ch.id}
	mark := *c.mark.Load()
	end := time.Now().Add(c.opts.Patience)
	p := pauses{firstPause, mostPause}
	for {
		if ctx.Err() == nil {
			var a *answer
			var sent bool
			a, sent, err = c.sendChange(ctx, call)
			switch {
			case err == nil:
				return nil, nil
			case errors.Is(err, ErrConflict):
				_, items, _ := bytes.Cut(a.body, []byte("\n"))
				now, _ = parseState(ch.names, items)
				return now, err
			case final(err):
				return nil, c.fail(call.op, call.pod, err)
			case sent && !refusal(err):
				call.retry = mark
			}
			if ctx.Err() == nil && p.wait(ctx, end) {
				continue
			}
		}
		switch {
		case call.retry != "":
			return nil, c.fail(call.op, call.pod, fmt.Errorf("%w: %v", ErrUnknown, err))
		case ctx.Err() != nil:
			return nil, ctx.Err()
		}
		return nil, c.fail(call.op, call.pod, fmt.Errorf("%w: %v", ErrUnavailable, err))
	}
}
