package store_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"podstore/store"
	"podstore/store/memstore"
)

// onePod is a store without abilities that changes one Pod at a time.
type onePod struct{ store.MetadataStore }

func (s onePod) Apply(ctx context.Context, changes []store.Change, opts *store.ApplyOptions) ([]store.Applied, error) {
	for _, c := range changes {
		if c.Pod != changes[0].Pod {
			return nil, &store.Error{Op: "apply", Err: errors.ErrUnsupported}
		}
	}
	return s.MetadataStore.Apply(ctx, changes, opts)
}

// batched is one that writes many for less.
type batched struct{ onePod }

func (s batched) WriteBatch(ctx context.Context, puts []store.Put) []error {
	errs := make([]error, len(puts))
	for i, put := range puts {
		errs[i] = store.Do(ctx, s, put.Metadata.PodName, put)
	}
	return errs
}

// rooted is one that is kept in a directory.
type rooted struct{ batched }

func (rooted) RootDir() string { return "/srv/pods" }

// storeWith is a store with Pods that are whole but for their names.
func storeWith(t *testing.T, names ...string) *memstore.Store {
	t.Helper()
	s := memstore.New()
	for _, name := range names {
		m := whole()
		m.PodName = name
		if err := store.Write(context.Background(), s, m); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func TestAllReadsEachPod(t *testing.T) {
	d := storeWith(t, "c", "a", "b")
	for _, s := range []store.MetadataStore{d, onePod{d}} {
		for _, omit := range []bool{false, true} {
			var names []string
			for m, err := range store.All(context.Background(), s, store.ReadOptions{OmitManifest: omit}) {
				if err != nil {
					t.Fatal(err)
				}
				names = append(names, m.PodName)
				want := whole()
				if want.PodName = m.PodName; omit {
					want.Manifest = nil
				}
				if field := m.Diff(want); field != "" {
					t.Errorf("All: %q differs in %s", m.PodName, field)
				}
			}
			if !slices.Equal(names, []string{"a", "b", "c"}) {
				t.Errorf("All of %T: got %q", s, names)
			}
		}
	}
}

func TestAllWithoutListerLeavesOutWhatIsDeletedMeanwhile(t *testing.T) {
	ctx := context.Background()
	s := onePod{storeWith(t, "a", "b", "c")}
	var names []string
	for m, err := range store.All(ctx, s, store.ReadOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, m.PodName)
		if err := store.Do(ctx, s, "b", store.Delete{}); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(names, []string{"a", "c"}) {
		t.Errorf("All: got %q", names)
	}
}

func TestAllWithoutListerGoesOnAfterDamage(t *testing.T) {
	d := storeWith(t, "a", "b", "c")
	d.Damage("b")
	var got []string
	for m, err := range store.All(context.Background(), onePod{d}, store.ReadOptions{OmitManifest: true}) {
		var e *store.Error
		switch {
		case err == nil:
			got = append(got, m.PodName)
		case errors.Is(err, store.ErrCorrupt) && errors.As(err, &e) && m == nil:
			got = append(got, "damaged "+e.Pod)
		default:
			t.Errorf("All: %v, %v", m, err)
		}
	}
	if !slices.Equal(got, []string{"a", "damaged b", "c"}) {
		t.Errorf("All: got %q", got)
	}
}

// partlyListed gives an error together with the names.
type partlyListed struct{ store.MetadataStore }

func (p partlyListed) List(ctx context.Context) ([]string, error) {
	names, err := p.MetadataStore.List(ctx)
	return names, errors.Join(err, &store.Error{Op: "list", Kind: store.ErrCorrupt})
}

func TestAllWithoutListerYieldsTheErrorOfListLast(t *testing.T) {
	var got []string
	for m, err := range store.All(context.Background(), partlyListed{storeWith(t, "a", "b")}, store.ReadOptions{}) {
		switch {
		case err == nil:
			got = append(got, m.PodName)
		case errors.Is(err, store.ErrCorrupt) && m == nil:
			got = append(got, "error")
		default:
			t.Errorf("All: %v, %v", m, err)
		}
	}
	if !slices.Equal(got, []string{"a", "b", "error"}) {
		t.Errorf("All: got %q", got)
	}
}

func TestAllWithoutListerEnds(t *testing.T) {
	s := onePod{storeWith(t, "a", "b", "c")}
	n := 0
	for range store.All(context.Background(), s, store.ReadOptions{}) {
		n++
		break
	}
	if n != 1 {
		t.Errorf("All went on %d times after break", n)
	}

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var last error
	n = 0
	for m, err := range store.All(ctx, s, store.ReadOptions{}) {
		cancel()
		if last = err; m != nil {
			n++
		}
	}
	if n != 1 || !errors.Is(last, context.Canceled) {
		t.Errorf("All, cancelled at the first Pod, gave %d and then %v", n, last)
	}
	n = 0
	for _, last = range store.All(ctx, s, store.ReadOptions{}) {
		n++
	}
	if n != 1 || !errors.Is(last, context.Canceled) {
		t.Errorf("All, cancelled before, gave %d, %v", n, last)
	}
}

func TestReadPartWithoutPartReader(t *testing.T) {
	ctx := context.Background()
	s := onePod{storeWith(t, "a")}
	m, err := store.ReadPart(ctx, s, "a", store.ReadOptions{OmitManifest: true, OmitReclaimed: true})
	if err != nil || m.Manifest != nil || m.Reclaimed != nil || len(m.Peers) == 0 || !m.Omitted.OmitManifest || !m.Omitted.OmitReclaimed {
		t.Errorf("ReadPart: %+v, %v", m, err)
	}
	if m, err := store.ReadPart(ctx, s, "missing", store.ReadOptions{}); m != nil || !errors.Is(err, store.ErrNotFound) {
		t.Errorf("ReadPart of a missing Pod: %+v, %v", m, err)
	}
}

func TestAbsentAbilities(t *testing.T) {
	ctx := context.Background()
	s := onePod{storeWith(t, "a", "b")}
	if got := store.RootDir(rooted{batched{s}}); got != "/srv/pods" {
		t.Errorf("RootDir: got %q", got)
	}
	if got := store.RootDir(s); got != "" {
		t.Errorf("RootDir of a store without one: %q", got)
	}
	if _, err := store.UpdatePods(ctx, s.MetadataStore, []string{"a", "b"}, func([]*store.Metadata) error { return nil }); err != nil {
		t.Errorf("UpdatePods of a store that can: %v", err)
	}
	_, err := store.UpdatePods(ctx, s, []string{"a", "b"}, func([]*store.Metadata) error {
		t.Error("edit was called")
		return nil
	})
	if !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("UpdatePods: got error %v", err)
	}
	if err := store.LinkPeers(ctx, s, "a", "b"); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("LinkPeers: got error %v", err)
	}
	if err := store.UnlinkPeers(ctx, s, "a", "b"); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("UnlinkPeers: got error %v", err)
	}
}
