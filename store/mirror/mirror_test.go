package mirror_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"podstore/store"
	"podstore/store/boltstore"
	"podstore/store/memstore"
	"podstore/store/mirror"
	"podstore/store/podjson"
)

func open(t testing.TB, s store.MetadataStore, opts *mirror.Options) *mirror.Mirror {
	t.Helper()
	m, err := mirror.New(t.Context(), s, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	return m
}

func apply(t testing.TB, s store.MetadataStore, changes ...store.Change) store.Revision {
	t.Helper()
	applied, err := s.Apply(t.Context(), changes, nil)
	if err != nil {
		t.Fatal(err)
	}
	var last store.Revision
	for _, a := range applied {
		if a.Version.Revision.Number > last.Number {
			last = a.Version.Revision
		}
	}
	return last
}

func waitFor(t testing.TB, m *mirror.Mirror, r store.Revision) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := m.WaitFor(ctx, r); err != nil {
		t.Fatal(err)
	}
}

var backends = map[string]func(t *testing.T) store.MetadataStore{
	"memstore": func(*testing.T) store.MetadataStore { return memstore.New() },
	"boltstore": func(t *testing.T) store.MetadataStore {
		s, err := boltstore.Open(filepath.Join(t.TempDir(), "pods.db"), nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		return s
	},
}

// After each of many random changes, every lookup equals a scan of the store.
func TestLookupsAreWhatAScanGives(t *testing.T) {
	for name, backend := range backends {
		for _, opts := range []*mirror.Options{nil, {Manifests: true}, {Pods: []string{"a", "c", "none", "clock"}}} {
			t.Run(fmt.Sprintf("%s %+v", name, opts), func(t *testing.T) {
				s := backend(t)
				apply(t, s, randomChange(rand.New(rand.NewPCG(1, 1)))...)
				m := open(t, s, opts)
				seed := rand.Uint64()
				t.Logf("seed %d", seed)
				r := rand.New(rand.NewPCG(seed, 0))
				for step := range 100 {
					changes := randomChange(r)
					waitFor(t, m, apply(t, s, changes...))
					if why := compare(t, s, m, opts); why != "" {
						t.Fatalf("step %d, after %v: %s", step, changes, why)
					}
				}
			})
		}
	}
}

var workspaces = []string{"/src/a", "/src/b"}

var pods = []string{"a", "b", "c", "d", "e"}

// randomChange makes a change that always changes something, so it has a revision.
func randomChange(r *rand.Rand) []store.Change {
	one := func() string { return pods[r.IntN(len(pods))] }
	changes := []store.Change{{Pod: "clock", Op: store.SetField{Field: "n", Value: fmt.Append(nil, r.Uint64())}}}
	for range 1 + r.IntN(3) {
		var op store.Op
		switch r.IntN(11) {
		case 0:
			op = store.Delete{}
		case 1:
			op = store.Remove{}
		case 2, 3:
			op = store.AddPeer{PodName: one()}
		case 4:
			op = store.SetPeers{Peers: []store.Peer{{PodName: one()}, {PodName: "a"}, {PodName: one()}}}
		case 5:
			op = store.AddChild{Child: store.SpawnedChild{PodName: one()}}
		case 6:
			op = store.SetChildren{Children: []store.SpawnedChild{{PodName: one()}, {PodName: "b"}, {PodName: one()}}}
		case 7:
			op = store.SetActive{Active: store.PendingSegment(store.SessionID{byte(r.IntN(3))}), Manifest: []byte(`{"n":1}`)}
		case 8:
			op = store.SetField{Field: podjson.WorkspaceRoot, Value: fmt.Appendf(nil, "%q", workspaces[r.IntN(2)])}
		case 9:
			op = store.ClearField{Field: podjson.WorkspaceRoot}
		case 10:
			op = store.Reclaim{Reclaimed: []store.ReclaimedChild{{PodName: one()}}}
		}
		changes = append(changes, store.Change{Pod: one(), Op: op})
	}
	return changes
}

// compare describes how a mirror differs from the store.
func compare(t *testing.T, s store.MetadataStore, m *mirror.Mirror, opts *mirror.Options) string {
	if opts == nil {
		opts = &mirror.Options{}
	}
	mirrored := func(name string) bool { return opts.Pods == nil || slices.Contains(opts.Pods, name) }
	want := map[string]*store.Metadata{}
	var names []string
	for md, err := range store.All(t.Context(), s, store.ReadOptions{OmitManifest: !opts.Manifests, OmitReclaimed: true}) {
		if err != nil {
			t.Fatal(err)
		}
		if mirrored(md.PodName) {
			want[md.PodName] = md
			names = append(names, md.PodName)
		}
	}
	if got := m.List(); !slices.Equal(got, names) {
		return fmt.Sprintf("List: %q, want %q", got, names)
	}
	var all []string
	for md, err := range m.All() {
		if err != nil || !reflect.DeepEqual(md, want[md.PodName]) {
			return fmt.Sprintf("All: %+v, %v", md, err)
		}
		all = append(all, md.PodName)
	}
	if !slices.Equal(all, names) {
		return fmt.Sprintf("All: %q, want %q", all, names)
	}
	var oneSided []store.Reference
	for ref, err := range store.BrokenReferences(t.Context(), s) {
		if err != nil {
			t.Fatal(err)
		}
		if !ref.Child && mirrored(ref.Pod) && mirrored(ref.To) {
			oneSided = append(oneSided, ref)
		}
	}
	sorted := func(list []string) []string { slices.Sort(list); return slices.Compact(list) }
	slices.SortFunc(oneSided, func(a, b store.Reference) int {
		return strings.Compare(a.Pod+"\x00"+a.To, b.Pod+"\x00"+b.To)
	})
	if got := m.OneSidedPeers(); !slices.Equal(got, oneSided) {
		return fmt.Sprintf("OneSidedPeers: %v, want %v", got, oneSided)
	}
	for _, name := range append(pods, "none", "clock") {
		md, err := m.Read(name)
		if (err == nil) != (want[name] != nil) || err == nil && !reflect.DeepEqual(md, want[name]) || err != nil && !errors.Is(err, store.ErrNotFound) {
			return fmt.Sprintf("Read %q: %+v, %v", name, md, err)
		}
		var parents, children, peers []string
		for parent, md := range want {
			for _, c := range md.Children {
				if c.PodName == name {
					parents = append(parents, parent)
				}
				if parent == name {
					children = append(children, c.PodName)
				}
			}
			if md.HasPeer(name) && want[name] != nil && want[name].HasPeer(parent) {
				peers = append(peers, parent)
			}
		}
		for what, lists := range map[string][2][]string{
			"Parents": {m.Parents(name), sorted(parents)}, "Children": {m.Children(name), sorted(children)}, "Peers": {m.Peers(name), sorted(peers)},
		} {
			if !slices.Equal(lists[0], lists[1]) {
				return fmt.Sprintf("%s of %q: %q, want %q", what, name, lists[0], lists[1])
			}
		}
	}
	for session := range 4 {
		id := store.SessionID{byte(session)}
		var in []string
		for _, name := range names {
			if a := want[name].Active; a != nil && a.SessionID == id {
				in = append(in, name)
			}
		}
		if got := m.BySession(id); !slices.Equal(got, in) {
			return fmt.Sprintf("BySession %d: %q, want %q", session, got, in)
		}
	}
	for _, root := range workspaces {
		var in []string
		for _, name := range names {
			if got, ok := podjson.Workspace(want[name]); ok && got == root {
				in = append(in, name)
			}
		}
		if got := m.InWorkspace(root); !slices.Equal(got, in) {
			return fmt.Sprintf("InWorkspace %q: %q, want %q", root, got, in)
		}
	}
	limit := time.Now().Add(time.Hour)
	if len(names) > 0 {
		limit = want[names[0]].Version.Changed
	}
	var old []string
	for _, name := range names {
		if want[name].Version.Changed.Before(limit) {
			old = append(old, name)
		}
	}
	slices.SortStableFunc(old, func(a, b string) int { return want[a].Version.Changed.Compare(want[b].Version.Changed) })
	if got := m.ChangedBefore(limit); !slices.Equal(got, old) {
		return fmt.Sprintf("ChangedBefore: %q, want %q", got, old)
	}
	return ""
}

// Readers beside a writer never see half a change, nor an earlier moment than before.
func TestEachLookIsAtOneMoment(t *testing.T) {
	s := backends["boltstore"](t)
	apply(t, s, store.Change{Pod: "a", Op: store.SetPeers{}}, store.Change{Pod: "b", Op: store.SetPeers{}})
	m := open(t, s, nil)
	var readers sync.WaitGroup
	done := make(chan struct{})
	for range 3 {
		readers.Go(func() {
			var last uint64
			for {
				select {
				case <-done:
					return
				default:
				}
				if links := m.OneSidedPeers(); len(links) > 0 {
					t.Errorf("a link is seen from one side: %v", links)
					return
				}
				var numbers []uint64
				for md, err := range m.All() {
					if err != nil {
						t.Error(err)
						return
					}
					numbers = append(numbers, md.Version.Revision.Number)
				}
				if len(numbers) != 2 || numbers[0] != numbers[1] || numbers[0] < last {
					t.Errorf("numbers %v after %d", numbers, last)
					return
				}
				last = numbers[0]
				runtime.Gosched()
			}
		})
	}
	for i := range 100 {
		change := store.LinkPeers
		if i%2 == 1 {
			change = store.UnlinkPeers
		}
		if err := change(t.Context(), s, "a", "b"); err != nil {
			t.Fatal(err)
		}
	}
	close(done)
	readers.Wait()
}

func TestWait(t *testing.T) {
	s := memstore.New()
	m := open(t, s, nil)
	ctx, cancel := context.WithCancel(t.Context())
	linked := make(chan error, 1)
	go func() { linked <- m.Wait(ctx, func() bool { return len(m.Peers("a")) > 0 }) }()
	apply(t, s, store.Change{Pod: "a", Op: store.AddPeer{PodName: "b"}})
	apply(t, s, store.Change{Pod: "b", Op: store.AddPeer{PodName: "a"}})
	if err := <-linked; err != nil {
		t.Error(err)
	}
	never := func() bool { return false }
	cancel()
	if err := m.Wait(ctx, never); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if err := m.WaitFor(ctx, store.Revision{Number: 1 << 60}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	go func() { linked <- m.WaitFor(t.Context(), store.Revision{Number: 1 << 60}) }()
	m.Close()
	if err := <-linked; !errors.Is(err, store.ErrClosed) {
		t.Error(err)
	}
	if err := m.Wait(t.Context(), never); !errors.Is(err, store.ErrClosed) {
		t.Error(err)
	}
}

func TestCloseLeavesNothing(t *testing.T) {
	s := backends["boltstore"](t)
	apply(t, s, store.Change{Pod: "a", Op: store.SetPeers{}})
	before := runtime.NumGoroutine()
	for range 20 {
		m, err := mirror.New(t.Context(), s, nil)
		if err != nil {
			t.Fatal(err)
		}
		m.Close()
		m.Close()
		if _, err := m.Read("a"); err != nil {
			t.Errorf("what a closed mirror has cannot be read: %v", err)
		}
		if !m.Stale() || !errors.Is(m.Err(), store.ErrClosed) {
			t.Errorf("a closed mirror is stale: %v, because of %v", m.Stale(), m.Err())
		}
	}
	for deadline := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > before; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines are left, before there were %d", runtime.NumGoroutine(), before)
		}
	}
}

// scripted is a store whose watches the test provides, one after the other.
type scripted struct {
	store.MetadataStore
	watches []iter.Seq2[store.Batch, error]
	opts    []store.WatchOptions
}

func (s *scripted) Watch(ctx context.Context, opts store.WatchOptions) iter.Seq2[store.Batch, error] {
	s.opts = append(s.opts, opts)
	if len(s.watches) == 0 {
		return func(yield func(store.Batch, error) bool) {
			<-ctx.Done()
			yield(store.Batch{}, ctx.Err())
		}
	}
	w := s.watches[0]
	s.watches = s.watches[1:]
	return w
}

func watch(end error, batches ...store.Batch) iter.Seq2[store.Batch, error] {
	return func(yield func(store.Batch, error) bool) {
		for _, b := range batches {
			if !yield(b, nil) {
				return
			}
			time.Sleep(time.Second)
		}
		if end != nil {
			yield(store.Batch{}, end)
		}
	}
}

func events(pods ...string) (list []store.Event) {
	for _, name := range pods {
		name, n, _ := strings.Cut(name, " ")
		md := &store.Metadata{PodName: name}
		fmt.Sscan(n, &md.Version.Revision.Number)
		list = append(list, store.Event{Pod: name, Metadata: md})
	}
	return list
}

// A Pod that a list does not name is gone once the list is complete, not before.
func TestListsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &scripted{watches: []iter.Seq2[store.Batch, error]{watch(errors.New("the line was cut"),
			store.Batch{Events: events("a 1", "b 2", "c 3"), Synced: true, Number: 3},
			store.Batch{Resync: true, Events: events("a 4")},
			store.Batch{Events: events("d 5"), Synced: true, Number: 6},
		), watch(nil,
			store.Batch{Events: events("d 5")},
			store.Batch{Synced: true, Number: 7},
		)}}
		m := open(t, s, nil)
		changed := m.Changed()
		check := func(number uint64, stale bool, err string, pods ...string) {
			t.Helper()
			if got := m.List(); !slices.Equal(got, pods) || m.Number() != number {
				t.Errorf("after %d: %q, want %d %q", m.Number(), got, number, pods)
			}
			if m.Stale() != stale || fmt.Sprint(m.Err()) != err {
				t.Errorf("after %d: stale %v, %v, want %v, %s", number, m.Stale(), m.Err(), stale, err)
			}
		}
		const half = 500 * time.Millisecond
		time.Sleep(half)
		check(3, false, "<nil>", "a", "b", "c")
		time.Sleep(time.Second)
		check(3, true, "<nil>", "a", "b", "c") // lists
		if m.Age() != 3*half {
			t.Errorf("it is %v old", m.Age())
		}
		select {
		case <-changed:
			t.Error("it has changed before the list is complete")
		default:
		}
		time.Sleep(time.Second)
		<-changed
		check(6, false, "<nil>", "a", "d")
		time.Sleep(half + time.Millisecond)
		check(6, true, "the line was cut", "a", "d")
		time.Sleep(time.Second)
		check(6, true, "the line was cut", "a", "d")
		time.Sleep(half)
		check(7, false, "<nil>", "d")
		time.Sleep(2 * time.Second)
		check(7, true, "the store's watch ended without an error", "d")
		m.Close()
	})
}

// A mirror whose watch is silent knows that it may be stale.
func TestAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memstore.New()
		m := open(t, s, nil)
		time.Sleep(10 * store.WatchQuiet)
		if m.Stale() || m.Age() > store.WatchQuiet {
			t.Errorf("a quiet store is stale, %v old", m.Age())
		}
		m.Close()
		dead := &scripted{watches: []iter.Seq2[store.Batch, error]{func(yield func(store.Batch, error) bool) {
			yield(store.Batch{Synced: true, Number: 1}, nil)
			time.Sleep(10 * store.WatchQuiet)
		}}}
		m = open(t, dead, nil)
		time.Sleep(2 * store.WatchQuiet)
		if !m.Stale() || m.Age() != 2*store.WatchQuiet || m.Err() != nil {
			t.Errorf("a line that is dead is not stale, %v old, %v", m.Age(), m.Err())
		}
	})
}

func TestGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, final := range []error{store.ErrClosed, store.ErrUnusable, store.ErrForbidden, store.ErrFormat, store.ErrInvalid, store.ErrInvalidName, errors.ErrUnsupported} {
			err := &store.Error{Op: "watch", Kind: final}
			if _, got := mirror.New(t.Context(), &scripted{watches: []iter.Seq2[store.Batch, error]{watch(err)}}, nil); got != error(err) {
				t.Errorf("New gives %v, want %v", got, err)
			}
			s := &scripted{watches: []iter.Seq2[store.Batch, error]{watch(err, store.Batch{Events: events("a 1"), Synced: true, Number: 1})}}
			m := open(t, s, nil)
			if got := m.WaitFor(t.Context(), store.Revision{Number: 2}); got != error(err) {
				t.Errorf("WaitFor gives %v, want %v", got, err)
			}
			time.Sleep(time.Hour)
			if _, err := m.Read("a"); len(s.opts) != 1 || err != nil || !m.Stale() || m.Err() == nil {
				t.Errorf("after %v it watched %d times, Read gives %v, %v", final, len(s.opts), err, m.Err())
			}
		}
		// After an error that may pass, New tries until the caller's context ends.
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		s := &scripted{}
		for range 1000 {
			s.watches = append(s.watches, watch(store.ErrUnavailable))
		}
		_, err := mirror.New(ctx, s, nil)
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, store.ErrUnavailable) || len(s.opts) < 10 || len(s.opts) > 30 {
			t.Errorf("New gives %v after %d watches", err, len(s.opts))
		}
	})
}

func TestDamagedPods(t *testing.T) {
	s := memstore.New()
	apply(t, s, store.Change{Pod: "a", Op: store.AddPeer{PodName: "b"}}, store.Change{Pod: "b", Op: store.AddPeer{PodName: "c"}})
	s.Damage("b")
	m := open(t, s, nil)
	if md, err := m.Read("b"); md != nil || !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("%v %v", md, err)
	}
	if names := m.List(); !slices.Equal(names, []string{"a", "b"}) {
		t.Errorf("%q", names)
	}
	if links := m.OneSidedPeers(); len(links) > 0 {
		t.Errorf("of a damaged Pod it says %v", links)
	}
	if m.Peers("b") != nil || m.Children("b") != nil || len(m.ChangedBefore(time.Now().Add(time.Hour))) != 1 {
		t.Error("of a damaged Pod it says something")
	}
	waitFor(t, m, apply(t, s, store.Change{Pod: "b", Op: store.Put{Metadata: &store.Metadata{PodName: "b"}}}))
	if md, err := m.Read("b"); md == nil || err != nil {
		t.Errorf("%v %v", md, err)
	}
	synctest.Test(t, func(t *testing.T) {
		lost := &store.Error{Kind: store.ErrCorrupt}
		m := open(t, &scripted{watches: []iter.Seq2[store.Batch, error]{watch(nil,
			store.Batch{Events: append(events("a 1"), store.Event{Err: lost}), Synced: true},
			store.Batch{Resync: true, Events: events("a 1"), Synced: true},
		)}}, nil)
		count := func() (n int, last error) {
			for _, err := range m.All() {
				n, last = n+1, err
			}
			return n, last
		}
		if n, err := count(); n != 2 || err != error(lost) {
			t.Errorf("%d, %v", n, err)
		}
		time.Sleep(1500 * time.Millisecond)
		if n, err := count(); n != 1 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
	})
}

func TestWatchesWhatIsAsked(t *testing.T) {
	for _, c := range []struct {
		opts *mirror.Options
		want store.WatchOptions
	}{
		{nil, store.WatchOptions{OmitManifest: true}},
		{&mirror.Options{Pods: []string{"a"}}, store.WatchOptions{Pods: []string{"a"}, OmitManifest: true}},
		{&mirror.Options{Manifests: true}, store.WatchOptions{}},
	} {
		s := &scripted{watches: []iter.Seq2[store.Batch, error]{func(yield func(store.Batch, error) bool) {
			yield(store.Batch{Synced: true}, nil)
		}}}
		open(t, s, c.opts).Close()
		if !reflect.DeepEqual(s.opts[0], c.want) {
			t.Errorf("%+v watches %+v, want %+v", c.opts, s.opts[0], c.want)
		}
	}
}
