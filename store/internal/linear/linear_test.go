package linear

import (
	"context"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"podstore/store"
	"podstore/store/boltstore"
	"podstore/store/jsonexport"
	"podstore/store/jsonlstore"
	"podstore/store/memstore"
)

func TestMemory(t *testing.T) {
	Check(t, Backend{Stores: []store.MetadataStore{memstore.New()}, Call: 5 * time.Microsecond, Short: 300})
}

func TestBolt(t *testing.T) {
	s, err := boltstore.Open(filepath.Join(t.TempDir(), "pods.db"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	Check(t, Backend{Stores: []store.MetadataStore{s}, Call: 500 * time.Microsecond, Short: 30})
}

func TestDirectory(t *testing.T) {
	s, err := jsonexport.OpenDir(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	Check(t, Backend{Stores: []store.MetadataStore{s}, Call: 500 * time.Microsecond, Short: 20})
}

func TestCombined(t *testing.T) {
	logs, err := jsonlstore.Open(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	s := store.NewCombined(logs, memstore.New())
	defer s.Close()
	Check(t, Backend{Stores: []store.MetadataStore{s}, Call: 5 * time.Microsecond, Short: 100})
}

// wrong is a store in memory that now and then breaks its promise.
type wrong struct {
	*memstore.Store
	calls atomic.Int64
	how   string

	mu  sync.Mutex
	old map[string]*store.Metadata
}

func (s *wrong) turn() bool { return s.calls.Add(1)%40 == 0 }

func (s *wrong) Read(ctx context.Context, name string) (*store.Metadata, error) {
	m, err := s.Store.Read(ctx, name)
	if err != nil || s.how != "a stale read" {
		return m, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.old[name]; old != nil && s.turn() {
		return old.Clone(), nil
	}
	s.old[name] = m.Clone()
	return m, nil
}

func (s *wrong) Apply(ctx context.Context, changes []store.Change, opts *store.ApplyOptions) ([]store.Applied, error) {
	if s.how == "a stale read" || !s.turn() {
		return s.Store.Apply(ctx, changes, opts)
	}
	before, _, err := s.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	applied, err := s.Store.Apply(ctx, changes, opts)
	if err != nil {
		return nil, err
	}
	if s.how == "a change made twice" {
		_, _ = s.Store.Apply(ctx, changes, nil)
		return applied, nil
	}
	for _, c := range changes { // a change that was acknowledged and is dropped
		if m, err := before.Read(ctx, c.Pod); err == nil {
			_ = store.Write(ctx, s.Store, m)
		} else {
			_ = store.Do(ctx, s.Store, c.Pod, store.Delete{})
		}
	}
	return applied, nil
}

// The checker finds each kind of fault.
func TestMutantsAreCaught(t *testing.T) {
	for _, how := range []string{"a stale read", "a dropped change", "a change made twice"} {
		t.Run(how, func(t *testing.T) {
			s := &wrong{Store: memstore.New(), how: how, old: map[string]*store.Metadata{}}
			b := Backend{Stores: []store.MetadataStore{s}, Call: 5 * time.Microsecond}
			total, err := b.Run(t.Context(), 1, 50)
			if err == nil {
				t.Error("it was not caught in ", total)
			}
			t.Log("caught after ", total)
		})
	}
}
