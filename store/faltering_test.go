package store_test

import (
	"context"
	"errors"
	"io/fs"
	"iter"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"podstore/store"
	"podstore/store/memstore"
)

// faltering is a store, or with logs a log too, of which every call fails once a number of
// them has been made.
type faltering struct {
	*memstore.Store
	store.SessionLog
	left *atomic.Int64
}

var errAway = &store.Error{Op: "call", Kind: store.ErrUnavailable}

func (s faltering) call() error {
	if s.left.Add(-1) < 0 {
		return errAway
	}
	return nil
}

func (s faltering) Read(ctx context.Context, name string) (*store.Metadata, error) {
	if err := s.call(); err != nil {
		return nil, err
	}
	return s.Store.Read(ctx, name)
}

func (s faltering) List(ctx context.Context) ([]string, error) {
	if err := s.call(); err != nil {
		return nil, err
	}
	return s.Store.List(ctx)
}

func (s faltering) Apply(ctx context.Context, changes []store.Change, opts *store.ApplyOptions) ([]store.Applied, error) {
	if err := s.call(); err != nil {
		return nil, err
	}
	return s.Store.Apply(ctx, changes, opts)
}

func (s faltering) UpdatePods(ctx context.Context, names []string, edit func([]*store.Metadata) error) ([]*store.Metadata, error) {
	if err := s.call(); err != nil {
		return nil, err
	}
	return s.Store.UpdatePods(ctx, names, edit)
}

func (s faltering) All(ctx context.Context, opts store.ReadOptions) iter.Seq2[*store.Metadata, error] {
	return func(yield func(*store.Metadata, error) bool) {
		for m, err := range s.Store.All(ctx, opts) {
			if away := s.call(); away != nil {
				m, err = nil, away
			}
			if !yield(m, err) || err != nil {
				return
			}
		}
	}
}

func (s faltering) ListSessions(ctx context.Context) ([]store.SessionID, error) {
	if err := s.call(); err != nil {
		return nil, err
	}
	return s.SessionLog.ListSessions(ctx)
}

func (s faltering) SessionModified(ctx context.Context, id store.SessionID) (time.Time, error) {
	if err := s.call(); err != nil {
		return time.Time{}, err
	}
	return s.SessionLog.SessionModified(ctx, id)
}

func (s faltering) Exists(ctx context.Context, session store.SessionID, segment store.SegmentID) (bool, error) {
	if err := s.call(); err != nil {
		return false, err
	}
	return s.SessionLog.Exists(ctx, session, segment)
}

// ending is a context that has ended once it was asked a number of times.
type ending struct {
	context.Context
	left *atomic.Int64
}

func (c ending) Err() error {
	if c.left.Add(-1) < 0 {
		return context.Canceled
	}
	return nil
}

// first returns the error of the first item that has one, and stops the loop at item
// number most.
func first[T any](items iter.Seq2[T, error], most int) error {
	n := 0
	for _, err := range items {
		if n++; err != nil {
			return err
		}
		if n == most {
			return errEnough
		}
	}
	return nil
}

var errEnough = errors.New("the loop was left")

// TestCallsThatFail: whichever call of a store fails, or learns that its context has
// ended, the operation fails with that; and a loop can be left at any item.
func TestCallsThatFail(t *testing.T) {
	operations := map[string]func(ctx context.Context, s faltering, most int) error{
		"BrokenReferences": func(ctx context.Context, s faltering, most int) error {
			return first(store.BrokenReferences(ctx, s), most)
		},
		"DanglingActive": func(ctx context.Context, s faltering, most int) error {
			return first(store.DanglingActive(ctx, s, s), most)
		},
		"UnreferencedSessions": func(ctx context.Context, s faltering, most int) error {
			return first(store.UnreferencedSessions(ctx, s, s), most)
		},
		"UpdateByPods": func(ctx context.Context, s faltering, _ int) error {
			_, err := store.UpdateByPods(ctx, s, "new", func(m *store.Metadata) error { return m.AddPeer("x") })
			return err
		},
		"Copy": func(ctx context.Context, s faltering, _ int) error {
			_, err := store.Copy(ctx, s, source(pod("a", "1"), pod("n", ""), pod("o", "")), store.CopyOptions{Overwrite: true})
			return err
		},
		"Copy one by one": func(ctx context.Context, s faltering, _ int) error {
			_, err := store.Copy(ctx, onePod{s}, source(pod("a", "1"), pod("n", ""), pod("o", "")), store.CopyOptions{Overwrite: true})
			return err
		},
		"Copy in batches": func(ctx context.Context, s faltering, _ int) error {
			_, err := store.Copy(ctx, batched{onePod{s}}, source(pod("a", "1"), pod("n", ""), pod("o", "")), store.CopyOptions{Overwrite: true})
			return err
		},
		"atomic Copy": func(ctx context.Context, s faltering, _ int) error {
			_, err := store.Copy(ctx, s, source(pod("a", "1"), pod("n", "")), store.CopyOptions{Overwrite: true, Atomic: true})
			return err
		},
	}
	open := func() faltering {
		s := faltering{memstore.New(), openLogs(t), new(atomic.Int64)}
		put(t, s.Store, "a", []string{"b", "gone"}, []string{"lost"})
		put(t, s.Store, "b", nil, []string{"gone too"})
		for i, name := range []string{"a", "b", "c"} {
			session, segment := store.NewSessionID(), store.NewSegmentID()
			if err := s.CreateSegment(t.Context(), session, segment, nil); err != nil {
				t.Fatal(err)
			}
			active := store.ActiveIn(session, segment)
			if i > 0 {
				active = store.ActiveIn(store.NewSessionID(), segment)
			}
			if err := store.Do(t.Context(), s.Store, name, store.SetActive{Active: active}); err != nil {
				t.Fatal(err)
			}
		}
		return s
	}
	const all = 1 << 40
	for name, run := range operations {
		for what, fails := range map[string]struct {
			want error
			run  func(n int) error
		}{
			"calls": {store.ErrUnavailable, func(n int) error {
				s := open()
				s.left.Store(int64(n))
				return run(t.Context(), s, 0)
			}},
			"the context": {context.Canceled, func(n int) error {
				s, ctx := open(), ending{t.Context(), new(atomic.Int64)}
				s.left.Store(all)
				ctx.left.Store(int64(n))
				return run(ctx, s, 0)
			}},
			"items": {errEnough, func(n int) error {
				s := open()
				s.left.Store(all)
				return run(t.Context(), s, n+1)
			}},
		} {
			for n := 0; ; n++ {
				err := fails.run(n)
				if err == nil {
					break
				}
				if !errors.Is(err, fails.want) || n > 100 {
					t.Fatalf("%s, after %d of %s: %v, want %v", name, n, what, err, fails.want)
				}
			}
		}
	}
}

// TestReasonOfTheSystem: an error of the system does not name the operation and the file a
// second time.
func TestReasonOfTheSystem(t *testing.T) {
	for _, c := range []struct {
		op   string
		want string
	}{{"open", "permission denied"}, {"list", "open: permission denied"}} {
		e := &store.Error{Op: c.op, Path: "x", Err: &fs.PathError{Op: "open", Path: "x", Err: syscall.EACCES}}
		if e.Reason() != c.want {
			t.Errorf("%s: %q, want %q", c.op, e.Reason(), c.want)
		}
	}
	if got := (&store.Error{}).Reason(); got != "unknown error" {
		t.Errorf("an empty one: %q", got)
	}
}
