package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"
)

// An edit by revisions is tried for editPatience, with pauses from editPause up to
// editMaxPause.
const (
	editPatience = 30 * time.Second
	editPause    = time.Millisecond
	editMaxPause = 200 * time.Millisecond
)

// EditByRevision is UpdatePods for a backend that holds no lock while edit runs. It
// reads the Pods with their revisions, runs edit, and applies what edit changed
// under the condition of those revisions. After a conflict it begins again, with
// back-off. After 30 s of conflicts the error matches [ErrConflict].
func EditByRevision(ctx context.Context, s MetadataStore, names []string, edit func(pods []*Metadata) error) ([]*Metadata, error) {
	const op = "update"
	if err := ValidateNames(op, names); err != nil {
		return nil, err
	}
	pause := editPause
	for deadline := time.Now().Add(editPatience); ; pause = min(2*pause, editMaxPause) {
		pods, err := tryEdit(ctx, s, names, edit)
		if err == nil || !errors.Is(err, errRaced) {
			return pods, err
		}
		if time.Now().After(deadline) {
			return nil, &Error{Op: op, Pod: names[0], Kind: ErrConflict, Err: fmt.Errorf("others changed the Pod each time for %v; try again", editPatience)}
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(pause/2 + rand.N(pause)):
		}
	}
}

// ValidateNames checks the names for an edit of several Pods: at least one, each valid,
// none twice. The error matches [ErrInvalidName] or [ErrInvalid] and has op as its
// operation.
func ValidateNames(op string, names []string) error {
	for i, name := range names {
		if err := validateOp(op, name); err != nil {
			return err
		}
		if slices.Contains(names[:i], name) {
			return &Error{Op: op, Pod: name, Kind: ErrInvalid, Err: errors.New("the Pod is named twice")}
		}
	}
	if len(names) == 0 {
		return &Error{Op: op, Kind: ErrInvalid, Err: errors.New("no Pod is named")}
	}
	return nil
}

var errRaced = errors.New("a Pod was changed between reading and writing")

func tryEdit(ctx context.Context, s MetadataStore, names []string, edit func(pods []*Metadata) error) ([]*Metadata, error) {
	pods, err := readAtOnce(ctx, s, names)
	if err != nil {
		return nil, err
	}
	was := make([]*Metadata, len(names))
	for i, m := range pods {
		if m != nil {
			was[i] = m.Clone()
		}
	}
	if err := edit(pods); err != nil {
		return nil, err
	}
	var changes []Change
	done := 0
	for i, name := range names {
		m, err := edited(name, pods[i])
		if err != nil {
			return nil, err
		}
		pods[i] = m
		ops := opsBetween(was[i], m)
		cond := Missing
		if was[i] != nil {
			cond = AtRevision(was[i].Version.Revision)
		}
		done += len(ops)
		if len(ops) == 0 {
			ops = []Op{nil} // what edit saw must still hold
		}
		for k, op := range ops {
			if k > 0 {
				cond = Condition{}
			}
			changes = append(changes, Change{name, op, cond})
		}
	}
	if done == 0 && len(names) == 1 { // as it was when it was read
		if pods[0] != nil {
			pods[0].Version = was[0].Version
		}
		return pods, nil
	}
	applied, err := s.Apply(ctx, changes, nil)
	switch {
	case errors.Is(err, ErrConflict), errors.Is(err, ErrExists):
		return nil, errRaced
	case err != nil:
		return nil, err
	}
	for i, name := range names {
		if pods[i] != nil {
			pods[i].Version = applied[slices.IndexFunc(applied, func(a Applied) bool { return a.Pod == name })].Version
		}
	}
	return pods, nil
}

// readAtOnce reads Pods at one moment, nil for one that does not exist. An edit that
// saw a state that never existed might fail because of it.
func readAtOnce(ctx context.Context, s MetadataStore, names []string) ([]*Metadata, error) {
	pods := make([]*Metadata, len(names))
	if len(names) == 1 {
		m, err := s.Read(ctx, names[0])
		if err != nil && !errors.Is(err, ErrNotFound) {
			return nil, err
		}
		pods[0] = m
		return pods, nil
	}
	looks := make([]Change, len(names))
	for i, name := range names {
		looks[i] = Change{Pod: name, If: SkipMissing}
	}
	found, err := s.Apply(ctx, looks, &ApplyOptions{Metadata: true})
	if err != nil {
		return nil, err
	}
	for i := range found {
		pods[i] = found[i].Metadata
	}
	return pods, nil
}

// edited returns a copy of what an edit left of a Pod, in normal form. It must be a
// copy: the edit may have put the same metadata into several elements.
func edited(name string, m *Metadata) (*Metadata, error) {
	if m == nil {
		return nil, nil
	}
	m = m.Clone()
	m.PodName = name
	if err := m.Normalize(); err != nil {
		return nil, inChange("update", name, err)
	}
	return m, nil
}

// opsBetween returns the operations that turn one state of a Pod into another, both in
// normal form: one for each field that differs, or one [Put] if no operation can
// express the difference.
func opsBetween(was, m *Metadata) []Op {
	switch {
	case was == nil && m == nil:
		return nil
	case m == nil:
		return []Op{Delete{}}
	case was == nil:
		return []Op{Put{Metadata: m}}
	}
	var ops []Op
	switch {
	case string(was.Manifest) != string(m.Manifest):
		ops = append(ops, SetActive{m.Active, m.Manifest})
	case !equalActive(was.Active, m.Active):
		ops = append(ops, SetSegment{m.Active})
	}
	if !slices.EqualFunc(was.Children, m.Children, equalChild) {
		ops = append(ops, SetChildren{m.Children})
	}
	if !slices.Equal(was.Peers, m.Peers) {
		ops = append(ops, SetPeers{m.Peers})
	}
	for _, k := range slices.Sorted(maps.Keys(was.Extra)) {
		if _, ok := m.Extra[k]; !ok {
			ops = append(ops, ClearField{k})
		}
	}
	for _, k := range slices.Sorted(maps.Keys(m.Extra)) {
		if v, ok := was.Extra[k]; !ok || string(v) != string(m.Extra[k]) {
			ops = append(ops, SetField{k, m.Extra[k]})
		}
	}
	if !slices.EqualFunc(was.Reclaimed, m.Reclaimed, equalReclaimed) {
		return []Op{Put{Metadata: m}}
	}
	for _, op := range ops {
		if _, err := op.prepare(m.PodName); err != nil {
			return []Op{Put{Metadata: m}} // it has a name inside that only Put takes
		}
	}
	return ops
}

// UpdateByPods is [MetadataStore].Update for a backend that can edit several Pods
// at once.
func UpdateByPods(ctx context.Context, s PodUpdater, name string, edit func(*Metadata) error) (*Metadata, error) {
	pods, err := s.UpdatePods(ctx, []string{name}, func(pods []*Metadata) error {
		if pods[0] == nil {
			pods[0] = &Metadata{PodName: name}
		}
		return edit(pods[0])
	})
	if err != nil {
		return nil, err
	}
	return pods[0], nil
}
