//go:build linux

package durabilitytest

import (
	"context"
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

// run does operation i of goroutine g on s. ErrNotFound is a result like success:
// it says that both sides of a link do not exist, and then nothing is changed.
func (w workload) run(ctx context.Context, s store.MetadataStore, g, i int) error {
	err := w.op(ctx, s, g, i)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	return err
}

func (w workload) op(ctx context.Context, s store.MetadataStore, g, i int) error {
	r := &values{rand.New(rand.NewPCG(w.Seed, uint64(g)<<32|uint64(i))), w.Large}
	if i < sharedPods {
		err := store.Do(ctx, s, sharedPod(i), store.AddPeer{PodName: prefix(g) + "was here"})
		return err
	}
	own := func() string { return ownPod(g, r.IntN(ownPods)) }
	peer := func() string { return fmt.Sprintf("peer-%d", r.IntN(8)) }
	a := own()
	b := own()
	for b == a {
		b = own()
	}
	var err error
	switch (i*7 + g*3 + int(w.Seed)) % 16 { // all of them in any 16 in a row
	case 0, 1, 2:
		err = store.Do(ctx, s, a, store.SetActive{Active: r.active(), Manifest: r.manifest()})
	case 3:
		err = store.Do(ctx, s, a, store.SetChildren{Children: r.children()})
	case 4:
		err = store.Do(ctx, s, a, store.SetPeers{Peers: []store.Peer{{PodName: peer()}, {PodName: peer()}, {PodName: peer()}}})
	case 5, 6:
		err = store.Do(ctx, s, a, store.AddPeer{PodName: peer()})
	case 7:
		err = store.Do(ctx, s, a, store.RemovePeer{PodName: peer()})
	case 8:
		err = store.Do(ctx, s, a, store.Reclaim{Reclaimed: []store.ReclaimedChild{{PodName: "child-1", ScopeDelegated: r.rules()}, {PodName: "child-9"}}})
	case 9:
		err = store.LinkPeers(ctx, s, a, b)
	case 10:
		err = store.UnlinkPeers(ctx, s, a, b)
	case 11:
		err = store.LinkPeers(ctx, s, a, sharedPod(r.IntN(sharedPods)))
	case 12:
		err = store.UnlinkPeers(ctx, s, a, sharedPod(r.IntN(sharedPods)))
	case 13:
		err = store.Write(ctx, s, r.metadata(a))
	case 14:
		err = store.Do(ctx, s, a, store.Delete{})
	case 15:
		err = w.threePods(ctx, s, r, g)
	}
	return err
}

// threePods stamps the first two Pods, creating them, hands the manifest of the
// first to the second, and deletes the third.
func (w workload) threePods(ctx context.Context, s store.MetadataStore, r *values, g int) error {
	stamp := json.RawMessage(fmt.Sprintf("%q", fmt.Sprint("stamp ", r.Uint32())))
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
		m.Reclaimed = []store.ReclaimedChild{{PodName: "past", ScopeDelegated: r.rules()}}
		m.Extra = map[string]json.RawMessage{"from the future": json.RawMessage(`{"since":2,"why":"` + strings.Repeat("x", r.IntN(300)) + `"}`)}
	}
	return m
}
