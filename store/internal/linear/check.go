package linear

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"podstore/store"
)

var (
	seedFlag      = flag.Uint64("linear.seed", 0, "seed of the calls of a history; 0 picks one")
	historiesFlag = flag.Int("linear.histories", 0, "how many histories are checked; 0: what each test says")
)

// Backend is a store under test.
type Backend struct {
	// Stores are handles on one store. Each caller of a history has one of them. Pods
	// of theirs that are not of a history are left alone.
	Stores []store.MetadataStore
	// Trouble, if set, is made beside each history, and is over when it returns.
	Trouble func(r *rand.Rand)
	// Call is about how long a call takes: contexts that end in between are of that
	// length.
	Call time.Duration
	// Replays says that the stores send a call again where its answer was lost.
	Replays bool
	// MissesReferences says that a Remove may miss a reference that is made at the same
	// time, without a condition on the Pod that is removed. No history has one then.
	MissesReferences bool
	// Crowded says that [store.ErrConflict] may also mean that others came first each
	// time the store tried.
	Crowded bool
	// Short is how many histories are checked where PODSTORE_LONG is not set, and Long
	// how many where it is (0: 2000).
	Short, Long int
}

// Check fails t where a history of the backend is not linearizable.
func Check(t *testing.T, b Backend) {
	t.Helper()
	n := b.Short
	if os.Getenv("PODSTORE_LONG") != "" {
		n = cmp.Or(b.Long, 2000)
	}
	if *historiesFlag > 0 {
		n = *historiesFlag
	}
	seed := *seedFlag
	for seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("to make the same calls: -run '^%s$' -linear.seed=%d -linear.histories=%d", t.Name(), seed, n)
	total, err := b.Run(t.Context(), seed, n)
	t.Log(total)
	if err != nil {
		t.Error(err)
	}
}

// Count is what was checked.
type Count struct{ Histories, Calls, Unknown, Undecided int }

func (c Count) String() string {
	return fmt.Sprintf("%d histories, %d calls, %d of them with unknown results, %d histories undecided", c.Histories, c.Calls, c.Unknown, c.Undecided)
}

// Run makes n histories from a seed and checks each. It ends with the first that is not
// linearizable, with a call that gives what no call may give, or with ctx.
func (b Backend) Run(ctx context.Context, seed uint64, n int) (total Count, err error) {
	can, err := b.probe(ctx)
	if err != nil {
		return total, err
	}
	for i := 0; i < n && ctx.Err() == nil; i++ {
		h := &history{Backend: b, can: can, prefix: fmt.Sprintf("h%x-%d-", seed, i), start: time.Now()}
		if err := h.run(ctx, rand.New(rand.NewPCG(seed, uint64(i)))); ctx.Err() != nil {
			break
		} else if err != nil {
			return total, fmt.Errorf("history %d of seed %d: %w", i, seed, err)
		}
		total.Histories++
		total.Calls += len(h.done)
		for _, o := range h.done {
			if o.Output.(result).unknown {
				total.Unknown++
			}
		}
		slices.SortFunc(h.done, func(a, b porcupine.Operation) int { return cmp.Compare(a.Call, b.Call) })
		// One that takes longer says nothing; with so few calls it does not happen.
		switch porcupine.CheckOperationsTimeout(can.rules.porcupine(), h.done, time.Minute) {
		case porcupine.Illegal:
			return total, fmt.Errorf("history %d of seed %d is not linearizable:\n%s", i, seed, explain(can.rules, h.done))
		case porcupine.Unknown:
			total.Undecided++
		}
	}
	if total.Undecided*100 > n {
		return total, errors.New("too many histories are undecided")
	}
	return total, nil
}

// abilities are what a backend can do besides.
type abilities struct {
	rules
	several, ids, updatePods bool
}

// probe finds out what the backend can do.
func (b Backend) probe(ctx context.Context) (can abilities, err error) {
	s, name := b.Stores[0], "linear-probe"
	able := func(err error) bool { return !errors.Is(err, errors.ErrUnsupported) }
	_, err = s.Apply(ctx, []store.Change{{Pod: name, Op: store.AddPeer{PodName: "x"}}, {Pod: name + "2", Op: store.AddPeer{PodName: "x"}}}, nil)
	if can.several = able(err); err != nil && can.several {
		return can, err
	}
	_, err = s.Apply(ctx, []store.Change{{Pod: name, Op: store.AddPeer{PodName: "y"}}}, &store.ApplyOptions{ID: store.NewRequestID()})
	if can.ids = able(err); err != nil && can.ids {
		return can, err
	}
	_, err = store.UpdatePods(ctx, s, []string{name}, func([]*store.Metadata) error { return nil })
	if can.updatePods = able(err); err != nil && can.updatePods {
		return can, err
	}
	applied, err := s.Apply(ctx, []store.Change{{Pod: name, Op: store.AddPeer{PodName: "z"}}}, nil)
	if err != nil {
		return can, err
	}
	can.numbers, can.replays = applied[0].Version.Revision.Number != 0, b.Replays
	for _, name := range []string{name, name + "2"} {
		if err := store.Do(ctx, s, name, store.Delete{}); err != nil {
			return can, err
		}
	}
	return can, nil
}

// history is one run of a few callers.
type history struct {
	Backend
	can    abilities
	prefix string // of the names of its Pods
	start  time.Time

	mu   sync.Mutex
	done []porcupine.Operation
	ids  int
	err  error
}

func (h *history) name(i int) string { return h.prefix + letters[i:i+1] }

// index is a Pod's index, or -1 for any other name.
func (h *history) index(name string) int {
	rest, found := strings.CutPrefix(name, h.prefix)
	if !found || len(rest) != 1 {
		return -1
	}
	return strings.Index(letters, rest)
}

func (h *history) now() int64 { return int64(time.Since(h.start)) }

// run lets the callers call and looks at everything at the end.
func (h *history) run(ctx context.Context, r *rand.Rand) error {
	callers, calls := 2+r.IntN(4), 20+r.IntN(180)
	var wg sync.WaitGroup
	if h.Trouble != nil {
		r := rand.New(rand.NewPCG(r.Uint64(), 0))
		wg.Go(func() { h.Trouble(r) })
	}
	for n := range callers {
		c := &caller{history: h, client: n, s: h.Stores[n%len(h.Stores)], r: rand.New(rand.NewPCG(r.Uint64(), 1)), last: make([]store.Revision, numPods)}
		wg.Go(func() {
			for range calls / callers {
				c.call(ctx)
			}
		})
	}
	wg.Wait()
	end := &caller{history: h, client: callers, s: h.Stores[0], last: make([]store.Revision, numPods)}
	for i := range numPods {
		end.make(ctx, call{kind: read, pods: []int{i}})
	}
	end.make(ctx, call{kind: list})
	for i := range numPods {
		if err := h.delete(ctx, h.name(i)); err != nil && h.err == nil {
			h.err = err
		}
	}
	return h.err
}

// delete deletes a Pod, as soon as that can be done: a disk may be full until others
// have made room, and a server may be one that was not yet opened again.
func (h *history) delete(ctx context.Context, name string) (err error) {
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if err = store.Do(ctx, h.Stores[0], name, store.Delete{}); err == nil || ctx.Err() != nil {
			break
		}
	}
	return err
}

// caller is one that makes one call after another.
type caller struct {
	*history
	client int
	s      store.MetadataStore
	r      *rand.Rand
	marks  int
	last   []store.Revision // that it was given, by Pod
	seen   uint64           // highest number among them
}

func (c *caller) fail(what call, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.err = fmt.Errorf("%v gave %w", what, err)
	}
}

func (c *caller) mark() string {
	c.marks++
	return fmt.Sprintf("m%d.%d", c.client, c.marks)
}

// call makes a random call, sometimes under a context that ends meanwhile.
func (c *caller) call(ctx context.Context) {
	if c.r.IntN(5) == 0 {
		short, cancel := context.WithTimeout(ctx, time.Duration(c.r.Int64N(int64(2*c.Call+1))))
		defer cancel()
		ctx = short
	}
	what := call{pods: c.r.Perm(numPods)[:1+c.r.IntN(2)]}
	switch n := c.r.IntN(100); {
	case n < 25:
		what.kind, what.pods = read, what.pods[:1]
	case n < 30:
		what = call{kind: list}
	case n < 40 && c.can.updatePods:
		what.kind, what.pods = moment, c.r.Perm(numPods)[:2+c.r.IntN(3)]
	case n < 50:
		what.kind, what.pods, what.creates, what.mark = edit, what.pods[:1], true, c.mark()
	case n < 60 && c.can.updatePods:
		what.kind, what.mark = edit, c.mark()
	default:
		what = c.apply()
	}
	c.make(ctx, what)
}

// apply is a random set of changes. One that has an id changes something in any case.
func (c *caller) apply() call {
	what := call{kind: apply, asked: c.r.IntN(3) == 0}
	pod := c.r.IntN(numPods)
	if c.can.ids && c.r.IntN(3) == 0 {
		c.mu.Lock()
		c.ids++
		what.id = c.ids
		c.mu.Unlock()
		what.changes = append(what.changes, store.Change{Pod: letters[pod : pod+1], Op: store.Reclaim{Reclaimed: []store.ReclaimedChild{{PodName: c.mark()}}}, If: c.condition(pod, false)})
	}
	for more := 1 + c.r.IntN(3); len(what.changes) < more; {
		if c.can.several {
			pod = c.r.IntN(numPods)
		}
		ch := store.Change{Pod: letters[pod : pod+1], Op: c.op(), If: c.condition(pod, true)}
		if ch.Op != nil || ch.If != (store.Condition{}) {
			what.changes = append(what.changes, ch)
		}
	}
	return what
}

func (c *caller) condition(pod int, skip bool) store.Condition {
	switch n := c.r.IntN(12); {
	case n == 0:
		return store.Exists
	case n == 1:
		return store.Missing
	case n == 2 && skip:
		return store.SkipMissing
	case n < 5 && !c.last[pod].IsZero() && c.last[pod].Digest != 0:
		return store.AtRevision(c.last[pod])
	}
	return store.Condition{}
}

func (c *caller) op() store.Op {
	other := letters[c.r.IntN(numPods):][:1]
	switch c.r.IntN(16) {
	case 0, 1:
		return store.AddPeer{PodName: other}
	case 2:
		return store.RemovePeer{PodName: other}
	case 3:
		return store.SetPeers{}
	case 4:
		return store.AddChild{Child: store.SpawnedChild{PodName: other}}
	case 5:
		return store.RemoveChild{PodName: other}
	case 6, 7:
		return store.SetSegment{Active: store.PendingSegment(store.SessionID{byte(1 + c.r.IntN(200))})}
	case 8:
		return store.TrimReclaimed{}
	case 9, 10:
		return store.Delete{}
	case 11:
		if c.can.several && !c.MissesReferences {
			return store.Remove{}
		}
	case 12:
		m := &store.Metadata{Reclaimed: []store.ReclaimedChild{{PodName: c.mark()}}}
		return store.Put{Metadata: m}
	case 13:
		return nil
	}
	return store.Reclaim{Reclaimed: []store.ReclaimedChild{{PodName: c.mark()}}}
}

// make makes a call and records it.
func (c *caller) make(ctx context.Context, what call) {
	id := store.NewRequestID()
	begun, seen := c.now(), c.seen
	out, err := c.try(ctx, what, id, false, seen)
	for tries := 0; out.unknown && what.id != 0 && tries < 20; tries++ {
		time.Sleep(time.Duration(tries) * c.Call)
		again, err := c.try(context.WithoutCancel(ctx), what, id, true, seen)
		if err == nil {
			out = again // otherwise nothing was done this time, and nobody knows of the first
		}
	}
	ended := c.now()
	if out.unknown {
		ended = math.MaxInt64
	}
	switch {
	case err == nil:
		c.record(what, begun, ended, out)
	case !beforeBegun(err):
		c.fail(what, err)
	}
	if err == nil && !out.unknown && out.err == nil && what.id != 0 && c.r.IntN(3) == 0 {
		begun := c.now()
		if out, err := c.try(ctx, what, id, true, seen); err == nil && !out.unknown {
			c.record(what, begun, c.now(), out)
		} else if err != nil && !beforeBegun(err) {
			c.fail(what, err)
		}
	}
}

func (c *caller) record(what call, begun, ended int64, out result) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.done = append(c.done, porcupine.Operation{ClientId: c.client, Input: what, Call: begun, Output: out, Return: ended})
}

// beforeBegun reports whether an error says that nothing was done, whatever the store
// held.
func beforeBegun(err error) bool {
	for _, kind := range []error{context.Canceled, context.DeadlineExceeded, store.ErrUnavailable, store.ErrUnusable, store.ErrForbidden} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}

// try makes a call once. An error means that the call was not made.
func (c *caller) try(ctx context.Context, what call, id store.RequestID, resent bool, seen uint64) (out result, err error) {
	switch what.kind {
	case read:
		var m *store.Metadata
		if m, err = c.s.Read(ctx, c.name(what.pods[0])); err == nil {
			out.pods = []pod{c.given(what.pods[0], m)}
		}
		if errors.Is(err, store.ErrNotFound) {
			return result{err: store.ErrNotFound}, nil
		}
	case list:
		var names []string
		names, err = c.s.List(ctx)
		for _, name := range names {
			if i := c.index(name); i >= 0 {
				out.names |= 1 << i
			}
		}
	case moment:
		err = c.edit(ctx, what.pods, &out, func(*store.Metadata) {})
		for _, kind := range []error{store.ErrConflict, store.ErrUnknown, store.ErrNoSpace} {
			if errors.Is(err, kind) {
				return out, context.DeadlineExceeded // it had no turn, or others' changes failed with it
			}
		}
	case edit:
		add := func(m *store.Metadata) {
			m.Reclaimed = append(m.Reclaimed, store.ReclaimedChild{PodName: what.mark})
		}
		if what.creates {
			var m *store.Metadata
			if m, err = c.s.Update(ctx, c.name(what.pods[0]), func(m *store.Metadata) error { add(m); return nil }); err == nil {
				out.pods = []pod{c.given(what.pods[0], m)}
			}
		} else {
			err = c.edit(ctx, what.pods, &out, add)
		}
		if errors.Is(err, store.ErrConflict) {
			return out, context.DeadlineExceeded
		}
	case apply:
		opts := &store.ApplyOptions{Metadata: what.asked}
		if what.id != 0 {
			opts.ID, opts.Resent, opts.Seen = id, resent, seen
		}
		var applied []store.Applied
		applied, err = c.s.Apply(ctx, c.named(what.changes), opts)
		for _, a := range applied {
			i := c.index(a.Pod)
			out.revs = append(out.revs, a.Version.Revision)
			out.there = append(out.there, a.Metadata != nil)
			out.pods = append(out.pods, podOf(a.Metadata, c.index))
			if a.Version.Revision.Digest != 0 {
				c.last[i] = a.Version.Revision
			}
			c.seen = max(c.seen, a.Version.Revision.Number)
		}
		if c.Crowded && errors.Is(err, store.ErrConflict) {
			return out, context.DeadlineExceeded
		}
		for _, kind := range []error{store.ErrNotFound, store.ErrExists, store.ErrConflict} {
			if errors.Is(err, kind) && !errors.Is(err, store.ErrUnknown) {
				return result{err: kind}, nil
			}
		}
	}
	for _, kind := range []error{store.ErrUnknown, store.ErrUnusable, store.ErrNoSpace} {
		if what.kind >= apply && errors.Is(err, kind) {
			return result{unknown: true}, nil
		}
	}
	return out, err
}

// edit edits the Pods of them that exist.
func (c *caller) edit(ctx context.Context, pods []int, out *result, f func(*store.Metadata)) error {
	names := make([]string, len(pods))
	for k, i := range pods {
		names[k] = c.name(i)
	}
	got, err := store.UpdatePods(ctx, c.s, names, func(pods []*store.Metadata) error {
		for _, m := range pods {
			if m != nil {
				f(m)
			}
		}
		return nil
	})
	for k, m := range got {
		out.pods = append(out.pods, c.given(pods[k], m))
	}
	return err
}

// given remembers what the caller knows of Pod i.
func (c *caller) given(i int, m *store.Metadata) pod {
	p := podOf(m, c.index)
	if p.there {
		c.last[i] = p.rev
		c.seen = max(c.seen, p.rev.Number)
	}
	return p
}

// named are changes with the Pods' names in the store.
func (c *caller) named(changes []store.Change) []store.Change {
	name := func(letter string) string { return c.prefix + letter }
	changes = slices.Clone(changes)
	for k := range changes {
		ch := &changes[k]
		ch.Pod = name(ch.Pod)
		switch op := ch.Op.(type) {
		case store.AddPeer:
			ch.Op = store.AddPeer{PodName: name(op.PodName)}
		case store.RemovePeer:
			ch.Op = store.RemovePeer{PodName: name(op.PodName)}
		case store.AddChild:
			ch.Op = store.AddChild{Child: store.SpawnedChild{PodName: name(op.Child.PodName)}}
		case store.RemoveChild:
			ch.Op = store.RemoveChild{PodName: name(op.PodName)}
		case store.Put:
			m := op.Metadata.Clone()
			m.PodName = ch.Pod
			ch.Op = store.Put{Metadata: m}
		}
	}
	return changes
}
