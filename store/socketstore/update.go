package socketstore

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"podstore/store"
	"podstore/store/podjson"
)

// Update edits one Pod: see [store.MetadataStore].
func (c *Client) Update(ctx context.Context, name string, edit func(*store.Metadata) error) (*store.Metadata, error) {
	pods, err := c.UpdatePods(ctx, []string{name}, func(pods []*store.Metadata) error {
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
	const op = "update"
	if err := c.begin(ctx, op, ""); err != nil {
		return nil, err
	}
	if err := judgeAll(op, names); err != nil {
		return nil, err
	}
	u := &update{c: c, op: op, id: rand.Text(), names: slices.Clone(names), edit: edit, others: make([]bool, len(names))}
	return u.run(ctx)
}

func judgeAll(op string, names []string) error {
	if err := judge(op, names...); err != nil {
		return err
	}
	if len(names) == 0 {
		return &store.Error{Op: op, Kind: store.ErrInvalid, Err: errors.New("no Pod is named")}
	}
	seen := make(map[string]bool, len(names))
	for _, name := range names {
		if seen[name] {
			return &store.Error{Op: op, Pod: name, Kind: store.ErrInvalid, Err: errors.New("the Pod is named twice")}
		}
		seen[name] = true
	}
	return nil
}

// update is one edit, run as often as it takes.
type update struct {
	c     *Client
	op    string
	id    string
	names []string
	edit  func([]*store.Metadata) error

	before []*pod // what the edit runs on: the Pods at one moment
	others []bool // of which Pods others had changed what this client saw last
	lost   []*pod // what it ran on when an answer was lost
	unsure error  // while it is not known whether that change was made
}

// attempt is what an edit made of a state.
type attempt struct {
	pods    []*store.Metadata
	changed bool
	err     error
	thrown  any // what it panicked with
}

// run returns nothing that one answer of the server has not confirmed: that the
// Pods were what the edit ran on, all of them at one moment.
func (u *update) run(ctx context.Context) (pods []*store.Metadata, err error) {
	defer func() {
		if err != nil && u.unsure != nil {
			err = u.unsure
		}
	}()
	c := u.c
	before, contended := c.seen.get(u.names)
	if u.before = before; contended {
		// What was seen is old by now. It is better to wait for the turn first.
		if u.before, err = u.read(ctx); err != nil {
			return nil, err
		}
	}
	for p := c.conflictPauses(); ; {
		if u.before == nil {
			if u.before, err = u.read(ctx); err != nil {
				return nil, err
			}
		}
		a := u.attempt()
		if u.unsure != nil && (a.changed || a.err != nil || a.thrown != nil) {
			if !slices.EqualFunc(u.before, u.lost, func(a, b *pod) bool { return a.version == b.version }) {
				return nil, u.unsure
			}
			u.unsure = nil // it was not made
		}
		now, err := u.commit(ctx, a)
		switch {
		case err == nil && a.thrown != nil:
			panic(a.thrown)
		case err == nil && a.err != nil:
			return nil, a.err
		case err == nil:
			return a.pods, nil
		case errors.Is(err, store.ErrUnknown):
			u.unsure, u.lost = err, u.before
		case !errors.Is(err, store.ErrConflict):
			return nil, err
		}
		u.before = now
		if !p.wait(ctx) {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			return nil, &store.Error{Op: u.op, Pod: u.names[0], Path: c.conns.path, Kind: store.ErrConflict,
				Err: errors.New("other writers were quicker each time; try again")}
		}
	}
}

// attempt runs the edit on a copy of the state.
func (u *update) attempt() *attempt {
	a := &attempt{pods: make([]*store.Metadata, len(u.names))}
	for i, p := range u.before {
		if p.m != nil {
			a.pods[i] = p.m.Clone()
		}
	}
	given := slices.Clone(a.pods)
	if a.thrown, a.err = u.call(a.pods); a.err != nil || a.thrown != nil {
		return a
	}
	for i, m := range a.pods {
		if m != nil {
			if m != given[i] {
				m = m.Clone() // it may stand in another place too
			}
			m.PodName = u.names[i]
			if err := normalize(m, u.before[i].m); err != nil {
				return &attempt{err: withOp(u.op, err)}
			}
			a.pods[i] = m
		}
		a.changed = a.changed || !same(u.before[i].m, m)
	}
	return a
}

// normalize is Metadata.Normalize, which leaves out the manifest when it is the one
// that was read.
func normalize(m, before *store.Metadata) error {
	if before == nil || !bytes.Equal(m.Manifest, before.Manifest) {
		return m.Normalize()
	}
	if err := m.NormalizeLists(); err != nil {
		return err
	}
	return m.NormalizeExtra()
}

// call calls the edit, and keeps its panic until it is known that it ran on what
// is there.
func (u *update) call(pods []*store.Metadata) (thrown any, err error) {
	defer func() { thrown = recover() }()
	return nil, u.edit(pods)
}

func same(a, b *store.Metadata) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Equal(b)
}

// commit sends what an attempt changed, or where it changed nothing asks whether
// the state is still what it was. With store.ErrConflict come the Pods as they are, if
// the server has said so.
func (u *update) commit(ctx context.Context, a *attempt) (now []*pod, err error) {
	c := u.c
	call := &call{op: u.op, pod: u.names[0], method: http.MethodPost, path: podsPath, edit: u.id}
	b := borrow()
	defer b.giveBack()
	call.body = b.bytes
	for i, name := range u.names {
		was := u.before[i]
		it := item{name: name, compared: true, version: was.version, manifest: was.manifest}
		switch {
		case !a.changed || same(was.m, a.pods[i]):
			call.body = it.append(call.body)
		case a.pods[i] == nil:
			it.then = thenDelete
			call.body = it.append(call.body)
		default:
			m := a.pods[i]
			if it.then = thenPut; was.m == nil || !bytes.Equal(m.Manifest, was.m.Manifest) {
				it.manifest = absent // it goes with the document
			}
			call.body = appendMetadata(it.append(call.body), m, it.manifest != absent)
		}
	}
	b.bytes = call.body
	var answer *answer
	if a.changed {
		call.id = rand.Text()
		answer, err = c.change(ctx, call)
	} else {
		answer, err = c.ask(ctx, call)
	}
	defer answer.release()
	switch {
	case errors.Is(err, store.ErrConflict):
		if now, parseErr := u.parse(answer.body); parseErr == nil {
			u.remember(now)
			return now, err
		}
		fallthrough
	case err != nil:
		c.seen.forget(u.names)
		return nil, err
	case a.changed:
		made := make([]*pod, len(a.pods))
		for i, m := range a.pods {
			made[i] = u.before[i].become(m)
		}
		u.remember(made)
	default:
		u.remember(u.before)
	}
	return nil, nil
}

func (u *update) remember(pods []*pod) {
	for i, name := range u.names {
		u.c.seen.put(name, pods[i], u.others[i])
	}
}

// read reads the Pods as they are at one moment, or are about to be. Where they were
// seen before, it waits for its turn with them.
func (u *update) read(ctx context.Context) ([]*pod, error) {
	call := &call{op: u.op, pod: u.names[0], method: http.MethodPost, path: podsPath}
	if u.before != nil {
		call.edit = u.id
	}
	for i, name := range u.names {
		it := item{name: name}
		if u.before != nil {
			it.manifest = u.before[i].manifest
		}
		call.body = it.append(call.body)
	}
	a, err := u.c.ask(ctx, call)
	if err != nil {
		return nil, err
	}
	defer a.release()
	pods, err := u.parse(a.body)
	if err != nil {
		return nil, u.c.garbled(u.op, "", err)
	}
	return pods, nil
}

// parse reads what the Pods are now, and notes of which of them that is news.
func (u *update) parse(body []byte) ([]*pod, error) {
	pods, err := parseState(u.names, body, u.before)
	for i := range pods {
		u.others[i] = u.before != nil && pods[i].version != u.before[i].version
	}
	return pods, err
}

// parseState reads items and documents of an answer, after its error if it has
// one. The manifests that it lacks are those that the client has, of the Pods as
// they were before, if they are known.
func parseState(names []string, body []byte, before []*pod) ([]*pod, error) {
	var pods []*pod
	wanted := false
	for line := range lines(body) {
		if wanted {
			i := len(pods) - 1
			m, err := podjson.Decode(line)
			if err == nil && m.PodName != names[i] {
				err = errors.New("it is another Pod's")
			}
			if err != nil {
				return nil, fmt.Errorf("document of %q: %w", names[i], err)
			}
			switch p := pods[i]; {
			case p.manifest == absent:
				p.manifest = manifestOf(m)
			case m.Manifest != nil || before == nil || before[i].manifest != p.manifest:
				return nil, fmt.Errorf("document of %q: its manifest is not the one that is known", names[i])
			default:
				m.Manifest = before[i].m.Manifest
			}
			pods[i].m = m
			wanted = false
			continue
		}
		if lineError(line) != nil {
			continue
		}
		it, err := parseItem(line)
		if err != nil {
			return nil, err
		}
		i := len(pods)
		if i == len(names) || it.name != names[i] || !it.compared {
			return nil, fmt.Errorf("item %q was not asked for", it.name)
		}
		if wanted = it.version != absent; !wanted && it.manifest != absent {
			return nil, fmt.Errorf("item %q has a manifest, and does not exist", it.name)
		}
		pods = append(pods, &pod{version: it.version, manifest: it.manifest})
	}
	if wanted || len(pods) != len(names) {
		return nil, errors.New("items are missing")
	}
	return pods, nil
}
