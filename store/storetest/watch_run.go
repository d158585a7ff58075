package storetest

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"podstore/store"
)

// WatchRun makes a random history on a store while others watch it, and judges
// afterwards what they were told: it must be what was done, in that order, and all of
// it. The store must keep numbers, change several Pods at once, remove references, and
// let itself be watched.
//
//	run := storetest.NewWatchRun(t, pods, rand.New(rand.NewPCG(seed, 0)))
//	run.Watch(pods, 5)
//	run.Write([]store.MetadataStore{pods}, 4, 100) // meanwhile the test may disturb the store
//	run.End()
//
// The history is put together from the number of each change, so writers and watchers
// may use different handles of the same data.
type WatchRun struct {
	// Unsure says that an error of a change may come although the change is made, now or
	// later: the writers then find out, and go on. Otherwise such an error fails the
	// test.
	Unsure bool
	// Dangling says what Backend.Dangling does: then no references are removed.
	Dangling bool

	t       testing.TB
	rand    *rand.Rand
	moments []moment
	running sync.WaitGroup
	ending  chan struct{}

	mu        sync.Mutex
	acked     uint64 // the highest number of a change that has returned, in this epoch
	made      []madeChange
	watchers  []*runWatcher
	nextWrite int
}

// moment is what the store was after a change. An epoch, in which numbers rise, ends
// where older data is put back.
type moment struct {
	epoch  int
	number uint64
	pods   map[string]*store.Metadata // with the number that each must have
}

// madeChange is an Apply, or an edit as the Apply that does the same.
type madeChange struct {
	number    uint64
	changes   []store.Change
	revisions map[string]store.Revision // those that were returned
}

// runWatcher is one loop, and what it was given.
type runWatcher struct {
	opts  store.WatchOptions
	epoch int    // when it began
	acked uint64 // the same
	what  string

	mu      sync.Mutex
	batches []store.Batch
	current *receiver
	over    bool
}

// NewWatchRun begins with what s holds, in which nobody else may change anything until
// End has returned.
func NewWatchRun(t testing.TB, s store.MetadataStore, r *rand.Rand) *WatchRun {
	t.Helper()
	first := moment{pods: map[string]*store.Metadata{}}
	for m, err := range store.All(background, s, store.ReadOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		first.pods[m.PodName] = m
		first.number = max(first.number, m.Version.Revision.Number)
	}
	return &WatchRun{t: t, rand: r, moments: []moment{first}, acked: first.number, ending: make(chan struct{})}
}

// Watch begins n watches of s, each of another kind: of all Pods or of some, with
// manifests or without, slow or quick, and some that end and begin anew again and again.
func (w *WatchRun) Watch(s store.MetadataStore, n int) {
	for range n {
		opts := store.WatchOptions{OmitManifest: w.rand.IntN(2) == 0}
		if w.rand.IntN(2) == 0 {
			for _, name := range append(watchedPods, "writer-0", "none") {
				if w.rand.IntN(3) > 0 {
					opts.Pods = append(opts.Pods, name)
				}
			}
		}
		slow, restless := w.rand.IntN(3) == 0, w.rand.IntN(3) == 0
		r := rand.New(rand.NewPCG(w.rand.Uint64(), 0))
		w.running.Go(func() {
			for w.watchOnce(s, opts, slow, restless, r) {
			}
		})
	}
}

// watchOnce is one watch, which ends after some batches where it is restless. It
// reports whether to begin another.
func (w *WatchRun) watchOnce(s store.MetadataStore, opts store.WatchOptions, slow, restless bool, r *rand.Rand) bool {
	ctx, cancel := context.WithCancel(background)
	defer cancel()
	rw := &runWatcher{opts: opts, what: fmt.Sprintf("of %q, without manifests: %v, slow: %v", opts.Pods, opts.OmitManifest, slow), current: newReceiver(opts)}
	w.mu.Lock()
	select {
	case <-w.ending:
		w.mu.Unlock()
		return false // those that are there see the last state
	default:
	}
	rw.epoch, rw.acked = w.moments[len(w.moments)-1].epoch, w.acked
	w.watchers = append(w.watchers, rw)
	w.mu.Unlock()
	go func() { // End must not wait for the next batch
		select {
		case <-w.ending:
		case <-ctx.Done():
		}
		cancel()
	}()
	left := -1
	if restless {
		left = 1 + r.IntN(20)
	}
	for b, err := range store.Watch(ctx, s, opts) {
		if err != nil {
			if ctx.Err() == nil || !errors.Is(err, context.Canceled) {
				w.t.Errorf("a watch %s ended: %v", rw.what, err)
			}
			break
		}
		rw.take(w.t, b)
		if slow {
			time.Sleep(time.Duration(r.IntN(8)) * time.Millisecond)
		}
		if left--; left == 0 {
			cancel()
		}
	}
	rw.mu.Lock()
	defer rw.mu.Unlock()
	rw.over = true
	return restless
}

func (rw *runWatcher) take(t testing.TB, b store.Batch) {
	rw.mu.Lock()
	defer rw.mu.Unlock()
	rw.batches = append(rw.batches, b)
	if err := rw.current.take(b); err != nil {
		t.Errorf("a watch %s: %v", rw.what, err)
	}
}

// Write lets writers make that many changes each through the stores, and returns when
// they are done.
func (w *WatchRun) Write(stores []store.MetadataStore, writers, changes int) {
	w.t.Helper()
	var all sync.WaitGroup
	for range writers {
		wr := &writer{run: w, s: stores[w.nextWrite%len(stores)], Rand: rand.New(rand.NewPCG(w.rand.Uint64(), 0)), id: w.nextWrite, pending: map[string]madeChange{}}
		w.nextWrite++
		all.Go(func() {
			for range changes {
				if !wr.change() {
					return
				}
			}
			if w.Unsure {
				wr.settle()
			}
		})
	}
	all.Wait()
	w.replay()
}

// Moment names the state that the store is in.
func (w *WatchRun) Moment() int { return len(w.moments) - 1 }

// Restored says that the store was put back to a former moment, as by an older file.
// Nobody may be writing.
func (w *WatchRun) Restored(to int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	m := w.moments[to]
	m.epoch = w.moments[len(w.moments)-1].epoch + 1
	w.moments = append(w.moments, m)
	w.acked = m.number
}

// End waits until every watch has the last state, ends them, and fails the test where
// they were told what was not so.
func (w *WatchRun) End() {
	w.t.Helper()
	final := w.moments[len(w.moments)-1]
	deadline := time.Now().Add(patience)
	w.mu.Lock()
	watchers := slices.Clone(w.watchers)
	w.mu.Unlock()
	for _, rw := range watchers {
		for !rw.has(final) {
			if time.Now().After(deadline) {
				rw.mu.Lock()
				w.t.Errorf("a watch %s has not got the last state: %s", rw.what, difference(rw.current, final))
				rw.mu.Unlock()
				break
			}
			time.Sleep(time.Millisecond)
		}
	}
	w.mu.Lock()
	close(w.ending)
	w.mu.Unlock()
	w.running.Wait()
	for _, rw := range w.watchers {
		if err := w.judge(rw); err != nil {
			w.t.Errorf("a watch %s: %v", rw.what, err)
		}
	}
}

// has tells whether the watch is at a state, or has ended, or claims to be there: that
// is judged later.
func (rw *runWatcher) has(m moment) bool {
	rw.mu.Lock()
	defer rw.mu.Unlock()
	r := rw.current
	return rw.over || !r.listing && (difference(r, m) == "" || m.epoch == 0 && r.number >= m.number)
}

// replay puts what was made since the last call in order, and adds the moments.
func (w *WatchRun) replay() {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	slices.SortFunc(w.made, func(a, b madeChange) int { return cmp.Compare(a.number, b.number) })
	for _, c := range w.made {
		was := w.moments[len(w.moments)-1]
		if c.number <= was.number {
			w.t.Errorf("%s has number %d, after %d", described(c.changes), c.number, was.number)
		}
		after, err := store.Evaluate(c.changes, was.pods, nil)
		if err != nil {
			w.t.Fatalf("what was made cannot be made: %v", err)
		}
		now := moment{epoch: was.epoch, number: c.number, pods: maps.Clone(was.pods)}
		for name, m := range after {
			switch {
			case m == nil:
				delete(now.pods, name)
			case was.pods[name] == nil || !m.Equal(was.pods[name]):
				m.Version.Revision = store.Revision{Number: c.number, Digest: c.revisions[name].Digest}
				now.pods[name] = m
			}
			if r := c.revisions[name]; m != nil && !r.IsZero() && r.Number != now.pods[name].Version.Revision.Number {
				w.t.Errorf("%s gave %q revision %v, want number %d", described(c.changes), name, r, now.pods[name].Version.Revision.Number)
			}
		}
		w.moments = append(w.moments, now)
	}
	w.made = nil
}

// judge compares what a watch was given with the history.
func (w *WatchRun) judge(rw *runWatcher) error {
	r := newReceiver(rw.opts)
	at := slices.IndexFunc(w.moments, func(m moment) bool { return m.epoch == rw.epoch })
	at = w.behind(at, rw.acked)
	for i, b := range rw.batches {
		_ = r.take(b) // what that says has been said
		for _, e := range b.Events {
			if err := w.wasSo(e, rw.opts); err != nil {
				return fmt.Errorf("batch %d: %w", i, err)
			}
		}
		if !b.Synced {
			continue
		}
		found := at
		for ; found < len(w.moments); found++ {
			if w.behind(found, b.Number) == found && difference(r, w.moments[found]) == "" {
				break
			}
		}
		if found == len(w.moments) {
			next := w.behind(at, b.Number)
			return fmt.Errorf("batch %d, %s, is synced at no moment from %d on, at which it was, with number %d and all before it.\nBeside moment %d: %s",
				i, describedBatch(b), at, b.Number, next, difference(r, w.moments[next]))
		}
		at = found
	}
	return nil
}

// behind is the first moment from one on, in its epoch, behind which there is no
// change with a number that is not higher.
func (w *WatchRun) behind(at int, number uint64) int {
	for at+1 < len(w.moments) && w.moments[at+1].epoch == w.moments[at].epoch && w.moments[at+1].number <= number {
		at++
	}
	return at
}

// wasSo looks for a moment at which a Pod was as it is given. One whose number is that
// of a change which made it otherwise never was.
func (w *WatchRun) wasSo(e store.Event, opts store.WatchOptions) error {
	if e.Err != nil {
		return e.Err
	}
	if e.Metadata == nil {
		return nil
	}
	var near *store.Metadata
	for _, m := range w.moments {
		was := m.pods[e.Pod]
		if was == nil || was.Version.Revision.Number != e.Metadata.Version.Revision.Number {
			continue
		}
		near = was
		digest := was.Version.Revision.Digest
		if samePart(e.Metadata, was, opts) && (digest == 0 || digest == e.Metadata.Version.Revision.Digest) {
			return nil
		}
	}
	if near == nil {
		return fmt.Errorf("%q at revision %v was never made", e.Pod, e.Metadata.Version.Revision)
	}
	return fmt.Errorf("%q at revision %v is given as %s, and was made %s", e.Pod, e.Metadata.Version.Revision, show(e.Metadata, ""), show(near, ""))
}

// samePart compares what is given of a Pod with the whole.
func samePart(given, whole *store.Metadata, opts store.WatchOptions) bool {
	part := *whole
	part.Reclaimed = nil
	if opts.OmitManifest {
		part.Manifest = nil
	}
	return given.Equal(&part)
}

// difference says how what a watcher has is not a moment, or is "".
func difference(r *receiver, m moment) string {
	for name, e := range r.pods {
		switch was := m.pods[name]; {
		case e.Metadata == nil:
			return fmt.Sprintf("%q is %v", name, e.Err)
		case was == nil:
			return fmt.Sprintf("%q is there", name)
		case was.Version.Revision.Number != e.Metadata.Version.Revision.Number:
			return fmt.Sprintf("%q is at number %d instead of %d", name, e.Metadata.Version.Revision.Number, was.Version.Revision.Number)
		}
	}
	for name := range m.pods {
		if _, ok := r.pods[name]; !ok && (r.opts.Pods == nil || slices.Contains(r.opts.Pods, name)) {
			return fmt.Sprintf("%q is not there", name)
		}
	}
	return ""
}

func describedBatch(b store.Batch) string {
	var events []string
	for _, e := range b.Events {
		if e.Metadata == nil {
			events = append(events, fmt.Sprintf("%q gone", e.Pod))
		} else {
			events = append(events, fmt.Sprintf("%q at %d", e.Pod, e.Metadata.Version.Revision.Number))
		}
	}
	return strings.Join(events, ", ")
}

// watchedPods are those that the writers share. Each has one of its own as well.
var watchedPods = []string{"a", "b", "c", "d", "e", "f"}

// writer makes random changes. Each sets a field of some Pod to a value that is set
// only once, so each changes something, and its number is that Pod's.
type writer struct {
	*rand.Rand
	run *WatchRun
	s   store.MetadataStore
	id  int
	n   int

	own     store.Revision        // of its own Pod, where the results of changes are unsure
	pending map[string]madeChange // those that may be made yet, by their mark
}

func (wr *writer) pod() string { return fmt.Sprint("writer-", wr.id) }

// change makes one change. It reports false where the writer cannot go on.
func (wr *writer) change() bool {
	wr.n++
	mark := fmt.Sprintf(`"%d.%d"`, wr.id, wr.n)
	marks := func(pod string) store.Change {
		return store.Change{Pod: pod, Op: store.SetField{Field: "mark", Value: json.RawMessage(mark)}}
	}
	if wr.run.Unsure {
		first := marks(wr.pod())
		if first.If = store.Missing; !wr.own.IsZero() {
			first.If = store.AtRevision(wr.own)
		}
		return wr.apply(mark, append([]store.Change{first}, wr.some(wr.IntN(4))...))
	}
	shared := wr.Perm(len(watchedPods))
	a, b, c := watchedPods[shared[0]], watchedPods[shared[1]], watchedPods[shared[2]]
	switch wr.IntN(12) {
	case 0, 1, 2:
		return wr.apply(mark, []store.Change{marks(a)})
	case 3, 4:
		return wr.apply(mark, []store.Change{marks(a), {Pod: a, Op: wr.op(a)}})
	case 5, 6:
		return wr.apply(mark, append([]store.Change{marks(wr.pod())}, wr.some(1+wr.IntN(4))...))
	case 7:
		return wr.apply(mark, []store.Change{marks(a), {Pod: a, Op: store.AddPeer{PodName: b}}, {Pod: b, Op: store.AddPeer{PodName: a}, If: store.Exists}})
	case 8:
		return wr.apply(mark, []store.Change{{Pod: a, If: store.Exists}, marks(wr.pod()), {Pod: b, Op: store.AddChild{Child: store.SpawnedChild{PodName: a}}}})
	case 9:
		m, err := wr.s.Update(background, a, func(m *store.Metadata) error {
			m.Manifest = json.RawMessage(mark)
			setExtra(m, "mark", mark)
			return nil
		})
		return wr.edited([]string{a}, []*store.Metadata{m}, err)
	default:
		names := []string{wr.pod(), a, b, c}
		what := wr.IntN(3)
		pods, err := store.UpdatePods(background, wr.s, names, func(pods []*store.Metadata) error {
			if pods[0] == nil {
				pods[0] = minimal(names[0])
			}
			setExtra(pods[0], "mark", mark)
			switch what {
			case 0:
				pods[1], pods[2] = pods[2], pods[1]
			case 1:
				pods[1], pods[3] = nil, withPeers(c, a, b)
			}
			return nil
		})
		return wr.edited(names, pods, err)
	}
}

// some are changes of shared Pods, deletions among them.
func (wr *writer) some(n int) (changes []store.Change) {
	for _, i := range wr.Perm(len(watchedPods))[:n] {
		pod := watchedPods[i]
		op := wr.op(pod)
		switch n := wr.IntN(6); {
		case n == 0, n == 1 && wr.run.Dangling:
			op = store.Delete{}
		case n == 1:
			op = store.Remove{}
		}
		changes = append(changes, store.Change{Pod: pod, Op: op})
	}
	return changes
}

func (wr *writer) op(pod string) store.Op {
	other := watchedPods[wr.IntN(len(watchedPods))]
	text := json.RawMessage(fmt.Sprintf(`"%d.%d %s"`, wr.id, wr.n, strings.Repeat("x", wr.IntN(3000))))
	switch wr.IntN(7) {
	case 0:
		return store.AddPeer{PodName: other}
	case 1:
		return store.RemovePeer{PodName: other}
	case 2:
		return store.AddChild{Child: store.SpawnedChild{PodName: other, SocketPath: string(text)}}
	case 3:
		return store.Reclaim{Reclaimed: []store.ReclaimedChild{{PodName: other}}}
	case 4:
		return store.SetActive{Active: store.PendingSegment(store.SessionID{byte(wr.n)}), Manifest: text}
	case 5:
		m := full(pod)
		m.Manifest = text
		return store.Put{Metadata: m}
	}
	return store.SetField{Field: "other", Value: text}
}

// apply makes changes, of which the one that sets the mark tells the number.
func (wr *writer) apply(mark string, changes []store.Change) bool {
	prepared, err := store.Prepare(changes)
	if err != nil {
		wr.run.t.Error(err)
		return false
	}
	c := madeChange{changes: prepared, revisions: map[string]store.Revision{}}
	applied, err := wr.s.Apply(background, changes, nil)
	switch {
	case err == nil:
		for i, a := range applied {
			if op, ok := changes[i].Op.(store.SetField); ok && op.Field == "mark" {
				c.number, wr.own = a.Version.Revision.Number, a.Version.Revision
			}
			if a.Version.Revision.Digest != 0 { // otherwise it is gone
				c.revisions[a.Pod] = a.Version.Revision
			}
		}
		clear(wr.pending)
		wr.run.add(c)
	case wr.run.Unsure:
		wr.pending[mark] = c
		return wr.findOut()
	case !errors.Is(err, store.ErrNotFound):
		wr.run.t.Errorf("%s: %v", described(changes), err)
		return false
	}
	return true
}

// findOut reads the writer's own Pod until that tells whether one of the changes that
// failed was made. If so, the others never will be: their condition is not met.
func (wr *writer) findOut() bool {
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		m, err := wr.s.Read(background, wr.pod())
		switch {
		case err == nil:
			wr.own = m.Version.Revision
			if c, ok := wr.pending[string(m.Extra["mark"])]; ok {
				c.number = wr.own.Number
				clear(wr.pending)
				wr.run.add(c)
			}
			return true
		case errors.Is(err, store.ErrNotFound):
			return true
		case time.Now().After(deadline):
			wr.run.t.Errorf("the store does not come back: %v", err)
			return false
		}
	}
}

// settle makes changes until none that failed may yet be made.
func (wr *writer) settle() {
	for deadline := time.Now().Add(patience); len(wr.pending) > 0; {
		if time.Now().After(deadline) {
			wr.run.t.Error("no change succeeds any more")
			return
		}
		if !wr.change() {
			return
		}
	}
}

// edited notes what an edit has made of Pods. The first has the mark.
func (wr *writer) edited(names []string, pods []*store.Metadata, err error) bool {
	if err != nil {
		wr.run.t.Errorf("an edit of %q: %v", names, err)
		return false
	}
	c := madeChange{number: pods[0].Version.Revision.Number, revisions: map[string]store.Revision{}}
	for i, name := range names {
		change := store.Change{Pod: name, Op: store.Delete{}}
		if m := pods[i]; m != nil {
			change.Op = store.Put{Metadata: m}
			c.revisions[name] = m.Version.Revision
		}
		c.changes = append(c.changes, change)
	}
	if c.changes, err = store.Prepare(c.changes); err != nil {
		wr.run.t.Error(err)
		return false
	}
	wr.run.add(c)
	return true
}

func (w *WatchRun) add(c madeChange) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.made = append(w.made, c)
	w.acked = max(w.acked, c.number)
}
