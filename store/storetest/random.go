package storetest

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"podstore/store"
	"podstore/store/memstore"
)

var randomTests = []test{{"operations agree with the model", func(s *subject) {
	r := &random{subject: s, generator: generator{newRandom(s.T)}, model: memstore.New(),
		edits: s.updatesPods(), several: s.appliesSeveral(), removes: s.removes(), numbers: s.keepsNumbers()}
	defer func() {
		if s.Failed() {
			s.Logf("the last operations were:\n%s", strings.Join(r.log, "\n"))
		}
	}()
	for step := 0; step < steps() && !s.Failed(); step++ {
		r.log = append(r.log, fmt.Sprintf("%d: ", step))
		r.log = r.log[max(0, len(r.log)-30):]
		r.step()
		if step%25 == 24 {
			r.compare("the store", s, r.model)
		}
	}
	if !s.Failed() {
		r.compare("the store", s, r.model)
		r.endSnapshot()
	}
}}}

// random makes the same operations on a store and on the model.
type random struct {
	*subject
	generator
	model *memstore.Store
	log   []string

	edits, several, removes, numbers bool // the abilities of the store

	old [2]store.Revision // an earlier revision of one Pod, in store and model

	snap      *subject // the current snapshot, or nil
	snapClose io.Closer
	snapModel store.MetadataStore
}

func (r *random) say(format string, args ...any) {
	r.log[len(r.log)-1] += fmt.Sprintf(format, args...)
}

// step makes one operation.
func (r *random) step() {
	name := r.name()
	switch n := r.IntN(100); {
	case n < 20:
		m := r.metadata(name)
		r.say("Write %.20q %s", name, r.perhapsSpoil(m))
		r.agree(store.Write(background, r, m), store.Write(background, r.model, m))
	case n < 30:
		r.update(name)
	case n < 52:
		r.apply()
	case n < 58:
		r.say("Delete %.20q", name)
		r.agree(store.Do(background, r, name, store.Delete{}), store.Do(background, r.model, name, store.Delete{}))
	case n < 66:
		r.say("Read %.20q", name)
		got, err := r.Read(background, name)
		want, wantErr := r.model.Read(background, name)
		r.agreeOn(got, err, want, wantErr)
	case n < 68:
		r.say("List")
		if got, want := r.list(), names(r.model); !slices.Equal(got, want) {
			r.Errorf("List: got %.500q, want %.500q", got, want)
		}
	case n < 78:
		r.updateSeveral()
	case n < 88:
		r.linkTwo()
	case n < 94:
		r.writeMany()
	case n < 97:
		r.snapshotAgain()
	case n < 98 && r.b.Reopen != nil:
		r.say("reopen")
		r.endSnapshot()
		r.reopen()
	default:
		r.say("Read %.20q by All", name)
		if why := mismatch(r.all(store.ReadOptions{})[name], stored(r.model, name)); why != "" {
			r.Errorf("All, %.80q: %s", name, why)
		}
	}
}

// update makes an edit that may do anything, valid or not.
func (r *random) update(name string) {
	what, edit := r.edit()
	r.say("Update %.20q: %s", name, what)
	var got, want *store.Metadata
	var err, wantErr error
	panicked := recovered(func() { got, err = r.Update(background, name, edit) })
	wantPanic := recovered(func() { want, wantErr = r.model.Update(background, name, edit) })
	if panicked != wantPanic {
		r.Errorf("Update panicked with %v, want %v", panicked, wantPanic)
	}
	r.agreeOn(got, err, want, wantErr)
}

// apply makes changes under conditions. It compares the results, and which Pods have
// another revision afterwards.
func (r *random) apply() {
	pods := r.names(1 + r.IntN(3))
	if !r.several {
		pods = pods[:1]
	}
	changes := make([][]store.Change, 2) // for the store, and for the model
	for range 1 + r.IntN(4) {
		c := store.Change{Pod: one(r.generator, pods), Op: r.op()}
		if _, ok := c.Op.(store.Remove); ok && !r.removes {
			c.Op = nil
		}
		if put, ok := c.Op.(store.Put); ok && r.IntN(20) > 0 {
			put.Metadata.PodName = c.Pod
		}
		twin := c
		c.If, twin.If = r.condition(c.Pod)
		if c.Op == nil && c.If == (store.Condition{}) {
			c.If, twin.If = store.SkipMissing, store.SkipMissing
		}
		changes[0], changes[1] = append(changes[0], c), append(changes[1], twin)
	}
	r.say("Apply %s", described(changes[0]))
	var names []string // Pods that may have another revision afterwards
	for _, name := range pool {
		if slices.Contains(pods, name) || slices.ContainsFunc(changes[0], func(c store.Change) bool { return c.Op == store.Remove{} }) {
			names = append(names, name)
		}
	}
	revisions := func() (list [][2]store.Revision) {
		for _, name := range names {
			list = append(list, r.revisions(name))
		}
		return list
	}
	before := revisions()
	opts := &store.ApplyOptions{Metadata: r.IntN(2) == 0}
	got, err := r.Apply(background, changes[0], opts)
	want, wantErr := r.model.Apply(background, changes[1], opts)
	r.agree(err, wantErr)
	for i, now := range revisions() {
		if got, want := now[0] != before[i][0], now[1] != before[i][1]; got != want {
			r.Errorf("%.80q has another revision: %v, want %v", names[i], got, want)
		}
	}
	if err != nil || wantErr != nil {
		return
	}
	if len(got) != len(want) {
		r.Fatalf("Apply of %d changes returned %d results", len(want), len(got))
	}
	for i := range want {
		if got[i].Pod != want[i].Pod || got[i].Version.Revision.Digest != r.revisions(got[i].Pod)[0].Digest {
			r.Errorf("result %d is %+v, want %+v", i, got[i], want[i])
		}
		if why := mismatch(got[i].Metadata, want[i].Metadata); why != "" {
			r.Errorf("result %d, %.80q: %s", i, want[i].Pod, why)
		}
	}
}

// revisions returns a Pod's revisions in store and model, zero if it does not exist.
func (r *random) revisions(name string) (list [2]store.Revision) {
	for i, s := range []store.MetadataStore{r.MetadataStore, r.model} {
		if m := stored(s, name); m != nil {
			list[i] = m.Version.Revision
		}
	}
	return list
}

// condition draws the same condition for store and model.
func (r *random) condition(pod string) (c, twin store.Condition) {
	switch r.IntN(10) {
	case 0, 1:
		return store.Exists, store.Exists
	case 2:
		return store.Missing, store.Missing
	case 3, 4:
		return store.SkipMissing, store.SkipMissing
	case 5:
		if now := r.revisions(pod); !now[1].IsZero() {
			r.old = now
		}
		if r.old[1].IsZero() {
			break
		}
		return store.AtRevision(r.old[0]), store.AtRevision(r.old[1])
	case 6:
		// Without numbers, a Pod may have an old revision again.
		if r.numbers && !r.old[1].IsZero() {
			return store.AtRevision(r.old[0]), store.AtRevision(r.old[1])
		}
		return store.AtRevision(stale), store.AtRevision(stale)
	}
	return store.Condition{}, store.Condition{}
}

func (r *random) updateSeveral() {
	names := r.names(1 + r.IntN(4))
	changes := make([]func(pods []*store.Metadata, i int) error, len(names))
	r.say("UpdatePods")
	for i := range names {
		what, change := r.change()
		r.say(" %.20q: %s,", names[i], what)
		changes[i] = change
	}
	edit := func(pods []*store.Metadata) error {
		for i, change := range changes {
			if err := change(pods, i); err != nil {
				return err
			}
		}
		return nil
	}
	if !r.edits {
		return
	}
	var got, want []*store.Metadata
	var err, wantErr error
	panicked := recovered(func() { got, err = store.UpdatePods(background, r.MetadataStore, names, edit) })
	wantPanic := recovered(func() { want, wantErr = r.model.UpdatePods(background, names, edit) })
	if panicked != wantPanic {
		r.Errorf("UpdatePods panicked with %v, want %v", panicked, wantPanic)
	}
	r.agree(err, wantErr)
	if err != nil || wantErr != nil {
		return
	}
	if len(got) != len(want) {
		r.Fatalf("UpdatePods of %d Pods returned %d", len(want), len(got))
	}
	for i := range want {
		if why := mismatch(got[i], want[i]); why != "" {
			r.Errorf("UpdatePods, %.80q: %s", names[i], why)
		}
	}
}

func (r *random) linkTwo() {
	a, b := r.name(), r.name()
	change := store.LinkPeers
	if r.IntN(3) == 0 {
		change = store.UnlinkPeers
	}
	r.say("link or unlink %.20q, %.20q", a, b)
	if r.several {
		r.agree(change(background, r.MetadataStore, a, b), change(background, r.model, a, b))
	}
}

func (r *random) writeMany() {
	b, ok := r.MetadataStore.(store.BatchWriter)
	if !ok {
		return
	}
	var pods []*store.Metadata
	r.say("WriteBatch")
	for range r.IntN(6) {
		pods = append(pods, r.metadata(r.name()))
		r.say(" %.20q %s,", pods[len(pods)-1].PodName, r.perhapsSpoil(pods[len(pods)-1]))
	}
	errs := b.WriteBatch(background, puts(pods...))
	if len(errs) != len(pods) {
		r.Fatalf("WriteBatch of %d Pods returned %d errors", len(pods), len(errs))
	}
	for i, m := range pods {
		r.agree(errs[i], store.Write(background, r.model, m))
	}
}

// snapshotAgain compares the snapshot of some time ago with the model of then, and
// takes a new one.
func (r *random) snapshotAgain() {
	r.say("snapshot")
	r.endSnapshot()
	snap, closer, err := r.snapshot()
	if errors.Is(err, errors.ErrUnsupported) {
		return
	}
	if err != nil {
		r.Fatalf("Snapshot: %v", err)
	}
	r.snap = &subject{T: r.T, MetadataStore: snap, b: r.b}
	r.snapClose = closer
	if r.snapModel, _, err = r.model.Snapshot(background); err != nil {
		r.Fatal(err)
	}
}

func (r *random) endSnapshot() {
	if r.snap == nil {
		return
	}
	r.compare("the snapshot", r.snap, r.snapModel)
	if err := r.snapClose.Close(); err != nil {
		r.Errorf("closing a snapshot: %v", err)
	}
	r.snap = nil
}

// compare compares everything with a model.
func (r *random) compare(what string, s *subject, model store.MetadataStore) {
	r.Helper()
	want := names(model)
	if got := s.list(); !slices.Equal(got, want) {
		r.Errorf("%s has Pods %.500q, want %.500q", what, got, want)
		return
	}
	all := s.all(store.ReadOptions{})
	for _, name := range want {
		for how, got := range map[string]*store.Metadata{"All": all[name], "Read": s.get(name)} {
			if why := mismatch(got, stored(model, name)); why != "" {
				r.Errorf("%s, %s of %.80q: %s", what, how, name, why)
			}
		}
	}
}

func names(model store.MetadataStore) []string {
	list, err := model.List(background)
	if err != nil {
		panic(err)
	}
	return list
}

// stored returns the Pod as the model has it, or nil.
func stored(model store.MetadataStore, name string) *store.Metadata {
	m, err := model.Read(background, name)
	if err != nil && !errors.Is(err, store.ErrNotFound) && !errors.Is(err, store.ErrInvalidName) {
		panic(err)
	}
	return m
}

// agree compares the kinds of two errors.
func (r *random) agree(err, want error) {
	r.Helper()
	for _, kind := range []error{store.ErrNotFound, store.ErrExists, store.ErrConflict, store.ErrInvalidName, store.ErrInvalid, errEdit} {
		if errors.Is(err, kind) != errors.Is(want, kind) {
			r.Errorf("got error %v, want %v", err, want)
			return
		}
	}
	if (err == nil) != (want == nil) {
		r.Errorf("got error %v, want %v", err, want)
	}
}

func (r *random) agreeOn(got *store.Metadata, err error, want *store.Metadata, wantErr error) {
	r.Helper()
	r.agree(err, wantErr)
	if wantErr == nil && err == nil {
		if why := mismatch(got, want); why != "" {
			r.Error(why)
		}
	}
}
