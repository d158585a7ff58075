//go:build linux

package durabilitytest

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"

	"podstore/store"
)

// workload is what a writer does: every operation of a store, by several
// goroutines at once. Operation i of goroutine g is always the same, whatever the
// others do. A goroutine has Pods of its own, and in the Pods that all share, the
// peers with its prefix; so what it may have left behind depends on nothing but
// how many of its operations took place.
type workload struct {
	Seed       uint64
	Goroutines int
	Ops        int // of each goroutine
	// Large is how many of 100 manifests are of some hundred KB, so that the file
	// grows and pages overflow.
	Large int
}

// id is the request ID of operation i of goroutine g.
func (w workload) id(g, i int) (id store.RequestID) {
	binary.BigEndian.PutUint64(id[:], w.Seed+1)
	binary.BigEndian.PutUint32(id[8:], uint32(g))
	binary.BigEndian.PutUint32(id[12:], uint32(i))
	return id
}

const (
	ownPods    = 6
	sharedPods = 2
)

func ownPod(g, n int) string {
	name := fmt.Sprintf("g%d-pod-%d", g, n)
	if n == 1 {
		name += strings.Repeat("-long", 40)
	}
	return name
}

func sharedPod(n int) string { return fmt.Sprintf("shared-%d", n) }

// prefix starts every name that belongs to goroutine g.
func prefix(g int) string { return fmt.Sprintf("g%d-", g) }

// run does operation i of goroutine g on s. What conditions say is a result like
// success: it says which Pods there are, and then nothing is changed.
func (w workload) run(ctx context.Context, s store.MetadataStore, g, i int) error {
	err := w.op(ctx, s, g, i)
	if errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrExists) {
		return nil
	}
	return err
}

// kinds is how many kinds of operations there are.
const (
	kinds       = 24
	kindEdit    = 20 // a closure: it cannot be sent
	kindCompare = 23 // what it sends depends on what it read
)

// kind is that of operation i of goroutine g: all of them in any 24 in a row.
func (w workload) kind(g, i int) int {
	return (i*7 + g*3 + int(w.Seed)) % kinds
}

// canBeSentAgain tells whether an operation is an Apply that is always the same.
func (w workload) canBeSentAgain(g, i int) bool {
	return i < sharedPods || w.kind(g, i) != kindEdit && w.kind(g, i) != kindCompare
}

func (w workload) op(ctx context.Context, s store.MetadataStore, g, i int) error {
	r := &values{rand.New(rand.NewPCG(w.Seed, uint64(g)<<32|uint64(i))), w.Large}
	if i < sharedPods {
		return store.Do(ctx, s, sharedPod(i), store.AddPeer{PodName: prefix(g) + "was here"})
	}
	own := func() string { return ownPod(g, r.IntN(ownPods)) }
	peer := func() string { return fmt.Sprintf("peer-%d", r.IntN(8)) }
	long := ownPod(g, 0) // the one whose history becomes long
	a := own()
	b := own()
	for b == a {
		b = own()
	}
	switch w.kind(g, i) {
	case 0, 1:
		return store.Do(ctx, s, a, store.SetActive{Active: r.active(), Manifest: r.manifest()})
	case 2:
		return store.Do(ctx, s, a, store.SetSegment{Active: r.active()})
	case 3:
		return store.Do(ctx, s, a, store.SetChildren{Children: r.children()})
	case 4:
		child := r.children()[0]
		if r.IntN(2) == 0 {
			child.PodName = b // so that Remove has references to find
		}
		return store.Do(ctx, s, a, store.AddChild{Child: child})
	case 5:
		return store.Do(ctx, s, a, store.RemoveChild{PodName: "child-0"})
	case 6:
		return store.Do(ctx, s, a, store.SetPeers{Peers: []store.Peer{{PodName: peer()}, {PodName: peer()}, {PodName: peer()}}})
	case 7:
		return store.Do(ctx, s, a, store.AddPeer{PodName: peer()})
	case 8:
		return store.Do(ctx, s, a, store.RemovePeer{PodName: peer()})
	case 9:
		return store.Do(ctx, s, a, store.Reclaim{Reclaimed: []store.ReclaimedChild{{PodName: "child-1", ScopeDelegated: r.rules()}, {PodName: "child-9"}}})
	case 10, 11:
		return store.Do(ctx, s, long, store.Reclaim{Reclaimed: r.reclaimed(10 + r.IntN(60))})
	case 12:
		if r.IntN(3) == 0 {
			return store.Do(ctx, s, long, store.TrimReclaimed{Keep: r.IntN(3) * r.IntN(20)})
		}
		return store.Do(ctx, s, long, store.TrimReclaimed{Keep: 20 + r.IntN(60)}, store.Reclaim{Reclaimed: r.reclaimed(1 + r.IntN(20))})
	case 13:
		return store.LinkPeers(ctx, s, a, b)
	case 14:
		return store.UnlinkPeers(ctx, s, a, b)
	case 15:
		return store.LinkPeers(ctx, s, a, sharedPod(r.IntN(sharedPods)))
	case 16:
		return store.UnlinkPeers(ctx, s, a, sharedPod(r.IntN(sharedPods)))
	case 17:
		return store.Write(ctx, s, r.metadata(a))
	case 18:
		return store.Do(ctx, s, a, store.Delete{})
	case 19:
		return store.Do(ctx, s, a, store.Remove{})
	case kindEdit:
		return w.threePods(ctx, s, r, g)
	case 21:
		return several(ctx, s, r, a, b, long)
	case 22:
		return store.Do(ctx, s, a, store.ClearField{Field: "stamp"}, store.SetField{Field: "mark", Value: r.mark()})
	case kindCompare:
		return compareAndSet(ctx, s, r, a)
	}
	panic("there is no such kind")
}

// several is one Apply of several Pods, under conditions: the first decides about
// all, the second may be left out, the third Pod is made anew in one step.
func several(ctx context.Context, s store.MetadataStore, r *values, a, b, c string) error {
	if a == c {
		a, b = b, a
	}
	_, err := s.Apply(ctx, []store.Change{
		{Pod: sharedPod(0), If: store.Exists},
		{Pod: b, Op: store.AddPeer{PodName: a}, If: store.SkipMissing},
		{Pod: a, Op: store.Delete{}},
		{Pod: a, Op: store.Put{Metadata: r.metadata(a)}, If: store.Missing},
		{Pod: c, Op: store.SetField{Field: "mark", Value: r.mark()}},
		{Pod: c, Op: store.Reclaim{Reclaimed: r.reclaimed(3)}},
	}, nil)
	return err
}

// compareAndSet changes a Pod at the revision that was read, or creates it.
func compareAndSet(ctx context.Context, s store.MetadataStore, r *values, name string) error {
	c := store.Change{Pod: name, Op: store.SetField{Field: "mark", Value: r.mark()}, If: store.Missing}
	m, err := s.Read(ctx, name)
	switch {
	case err == nil:
		c.If = store.AtRevision(m.Version.Revision)
	case !errors.Is(err, store.ErrNotFound):
		return err
	}
	_, err = s.Apply(ctx, []store.Change{c}, nil)
	return err
}

// threePods stamps the first two Pods, creating them, hands the manifest of the
// first to the second, and deletes the third.
func (w workload) threePods(ctx context.Context, s store.MetadataStore, r *values, g int) error {
	stamp := r.mark()
	start := r.IntN(ownPods)
	var names []string
	for i := range 3 {
		names = append(names, ownPod(g, (start+i)%ownPods))
	}
	manifest := r.manifest()
	_, err := store.UpdatePods(ctx, s, names, func(pods []*store.Metadata) error {
		for i := range 2 {
			if pods[i] == nil {
				pods[i] = &store.Metadata{}
			}
			if pods[i].Extra == nil {
				pods[i].Extra = map[string]json.RawMessage{}
			}
			pods[i].Extra["stamp"] = stamp
		}
		pods[1].Manifest = pods[0].Manifest
		pods[0].Manifest = manifest
		pods[2] = nil
		return nil
	})
	return err
}

// values makes arguments.
type values struct {
	*rand.Rand
	large int
}

func (r *values) active() *store.ActiveSegment {
	id := func() (id [16]byte) {
		for i := range id {
			id[i] = byte(r.Uint32())
		}
		return id
	}
	switch r.IntN(4) {
	case 0:
		return nil
	case 1:
		return store.PendingSegment(id())
	}
	return store.ActiveIn(id(), id())
}

func (r *values) manifest() json.RawMessage {
	n := 0
	switch p := r.IntN(100); {
	case p < r.large:
		n = 100_000 + r.IntN(300_000)
	case p < 15:
		return nil
	case p < 60:
		n = r.IntN(1500)
	case p < 90:
		n = 3000 + r.IntN(6000)
	default:
		n = 12_000 + r.IntN(30_000)
	}
	text := make([]byte, n)
	for i := range text {
		text[i] = 'a' + byte(r.IntN(26))
	}
	return json.RawMessage(fmt.Sprintf(`{"image":"%s","replicas":%d}`, text, r.IntN(9)))
}

func (r *values) rules() []store.ScopeRule {
	var rules []store.ScopeRule
	for i := range r.IntN(4) {
		rules = append(rules, store.ScopeRule{Target: fmt.Sprintf("/srv/%d/%d", i, r.Uint32()), Permission: "write", Recursive: r.IntN(2) == 0})
	}
	return rules
}

// reclaimed are n entries of a history.
func (r *values) reclaimed(n int) []store.ReclaimedChild {
	list := make([]store.ReclaimedChild, n)
	for i := range list {
		list[i] = store.ReclaimedChild{PodName: fmt.Sprintf("child-%d", r.IntN(1000)), ScopeDelegated: r.rules()}
	}
	return list
}

// mark is a value that no other has.
func (r *values) mark() json.RawMessage {
	return json.RawMessage(fmt.Sprintf("%q", fmt.Sprint("mark ", r.Uint64())))
}

func (r *values) children() []store.SpawnedChild {
	var children []store.SpawnedChild
	for i := range 1 + r.IntN(5) {
		children = append(children, store.SpawnedChild{
			PodName:         fmt.Sprintf("child-%d", i),
			SocketPath:      fmt.Sprintf("/run/pods/%d.sock", r.Uint32()),
			ScopeDelegated:  r.rules(),
			CallbackAddress: "/run/pods/parent.sock",
		})
	}
	return children
}

func (r *values) metadata(name string) *store.Metadata {
	m := &store.Metadata{
		PodName:  name,
		Active:   r.active(),
		Children: r.children(),
		Peers:    []store.Peer{{PodName: "peer-z"}, {PodName: "peer-a"}},
		Manifest: r.manifest(),
	}
	if r.IntN(2) == 0 {
		m.Reclaimed = r.reclaimed(1 + r.IntN(40))
		m.Extra = map[string]json.RawMessage{"from the future": json.RawMessage(`{"since":2,"why":"` + strings.Repeat("x", r.IntN(300)) + `"}`)}
	}
	return m
}
