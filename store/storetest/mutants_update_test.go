package storetest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"

	"podstore/store"
)

type editFunc = func(*store.Metadata) error

var updateMutants = []mutant{
	{"update loses concurrent ones", "Concurrency/no peer is lost", func(f *faultyStore) { f.update = racingUpdate(f) }},
	{"update lets others between", "Concurrency/no change of a Pod falls between another", func(f *faultyStore) { f.update = racingUpdate(f) }},
	{"update loses concurrent merges", "Concurrency/different merge operations on one Pod all last", func(f *faultyStore) { f.update = racingUpdate(f) }},
	{"update loses some of what is cancelled", "Contexts/ending at any time tells what was changed", func(f *faultyStore) {
		f.update = func(ctx context.Context, name string, edit editFunc) (*store.Metadata, error) {
			m, err := f.ableStore.Update(background, name, edit)
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			return m, err
		}
	}},
	{"update gives the context's error although it was made", "Contexts/one that ends in the edit gives the change's own result", func(f *faultyStore) {
		f.update = func(ctx context.Context, name string, edit editFunc) (*store.Metadata, error) {
			m, err := f.ableStore.Update(ctx, name, edit)
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			return m, err
		}
	}},
	{"update does not look at the context while it waits", "Contexts/is honoured while waiting for another change", func(f *faultyStore) {
		f.update = func(ctx context.Context, name string, edit editFunc) (*store.Metadata, error) {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			return f.ableStore.Update(background, name, edit)
		}
	}},
	{"write does not look at the context while it waits", "Contexts/is honoured by every method while another change goes on", func(f *faultyStore) {
		f.write = func(ctx context.Context, m *store.Metadata) error {
			if err := ctx.Err(); err != nil {
				return err
			}
			return store.Write(background, f.ableStore, m)
		}
	}},
	{"delete is made although its context ended while it waited", "Contexts/is honoured by every method while another change goes on", func(f *faultyStore) {
		var late atomic.Pointer[string]
		f.delete = func(ctx context.Context, name string) error {
			err := store.Do(ctx, f.ableStore, name, store.Delete{})
			if errors.Is(err, context.DeadlineExceeded) {
				late.Store(&name)
			}
			return err
		}
		f.read = func(ctx context.Context, name string) (*store.Metadata, error) {
			if name := late.Load(); name != nil && ctx == background {
				_ = store.Do(ctx, f.ableStore, *name, store.Delete{})
			}
			return f.ableStore.Read(ctx, name)
		}
	}},
	{"update creates although the context has ended", "Contexts/one that has ended creates nothing", func(f *faultyStore) {
		f.update = func(ctx context.Context, name string, edit editFunc) (*store.Metadata, error) {
			if err := ctx.Err(); err != nil {
				return nil, errors.Join(err, store.Write(background, f.ableStore, minimal(name)))
			}
			return f.ableStore.Update(ctx, name, edit)
		}
	}},
	{"update calls edit for a bad name", "Names/a bad one is refused by every method", func(f *faultyStore) {
		f.update = func(ctx context.Context, name string, edit editFunc) (*store.Metadata, error) {
			if err := store.ValidateName(name); err != nil {
				return nil, errors.Join(edit(minimal(name)), err)
			}
			return f.ableStore.Update(ctx, name, edit)
		}
	}},
	{"update gives edit no manifest", "Update/gives edit what is stored", wrapEdit(func(m *store.Metadata, edit editFunc) error {
		manifest := m.Manifest
		m.Manifest = nil
		err := edit(m)
		if m.Manifest == nil {
			m.Manifest = manifest
		}
		return err
	})},
	{"update forgets unknown fields", "Operations/AddPeer inserts and sorts by name", wrapEdit(func(m *store.Metadata, edit editFunc) error {
		m.Extra = nil
		return edit(m)
	})},
	{"update does not clear the manifest", "Operations/SetActive without a manifest clears it", wrapEdit(func(m *store.Metadata, edit editFunc) error {
		manifest := m.Manifest
		err := edit(m)
		if m.Manifest == nil {
			m.Manifest = manifest
		}
		return err
	})},
	{"update forgets reclaimed children", "Operations/a life of a Pod", wrapEdit(func(m *store.Metadata, edit editFunc) error {
		before := m.Reclaimed
		err := edit(m)
		m.Reclaimed = m.Reclaimed[min(len(before), len(m.Reclaimed)):]
		return err
	})},
	{"update drops repeated peers", "Operations/SetPeers keeps order and repeated names", wrapEdit(func(m *store.Metadata, edit editFunc) error {
		err := edit(m)
		seen := map[string]bool{}
		var once []store.Peer
		for _, p := range m.Peers {
			if !seen[p.PodName] {
				once = append(once, p)
			}
			seen[p.PodName] = true
		}
		m.Peers = once
		return err
	})},
	{"update gives a missing Pod without its name", "Update/gives a missing Pod as nothing but its name and creates it", wrapEdit(func(m *store.Metadata, edit editFunc) error {
		m.PodName = ""
		return edit(m)
	})},
	{"update goes on after the edit's error", "Update/returns the edit's error and changes nothing", func(f *faultyStore) {
		f.update = func(ctx context.Context, name string, edit editFunc) (*store.Metadata, error) {
			var own error
			m, err := f.ableStore.Update(ctx, name, func(m *store.Metadata) error {
				own = edit(m)
				m.Manifest, m.Extra = nil, nil
				return nil
			})
			return m, errors.Join(own, err)
		}
	}},
	{"update replaces the edit's error", "Update/returns the edit's error and changes nothing", wrapEdit(func(m *store.Metadata, edit editFunc) error {
		if edit(m) != nil {
			return errors.New("the edit failed")
		}
		return nil
	})},
	{"update catches panics", "Update/lets a panic in edit reach its caller and changes nothing", wrapEdit(func(m *store.Metadata, edit editFunc) (err error) {
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("panic: %v", p)
			}
		}()
		return edit(m)
	})},
	{"update edits in place", "Update/lets a panic in edit reach its caller and changes nothing", func(f *faultyStore) {
		f.update = func(ctx context.Context, name string, edit editFunc) (*store.Metadata, error) {
			return f.ableStore.Update(ctx, name, func(m *store.Metadata) error {
				if f.pods[name] != nil {
					return edit(f.pods[name])
				}
				return edit(m)
			})
		}
	}},
	{"update keeps its lock after a panic", "Update/works on after errors and panics", func(f *faultyStore) {
		f.update = func(ctx context.Context, name string, edit editFunc) (*store.Metadata, error) {
			m, err := f.ableStore.Read(ctx, name)
			if err != nil {
				return nil, err
			}
			if err := f.lock(ctx); err != nil {
				return nil, err
			}
			err = edit(m) // no defer
			f.unlock()
			if err != nil {
				return nil, err
			}
			return m, store.Write(ctx, f.ableStore, m)
		}
	}},
	{"update moves the Pod to another name", "Update/cannot change the name", func(f *faultyStore) {
		f.update = func(ctx context.Context, name string, edit editFunc) (*store.Metadata, error) {
			other := name
			m, err := f.ableStore.Update(ctx, name, func(m *store.Metadata) error {
				err := edit(m)
				other = m.PodName
				return err
			})
			if err == nil && other != name {
				m.PodName = other
				err = store.Write(ctx, f.ableStore, m)
			}
			return m, err
		}
	}},
	{"update that changes nothing does not create", "Update/that changes nothing creates a missing Pod", func(f *faultyStore) {
		f.update = func(ctx context.Context, name string, edit editFunc) (*store.Metadata, error) {
			m, err := f.ableStore.Update(ctx, name, edit)
			if err == nil && m.Equal(minimal(name)) {
				err = store.Do(ctx, f.ableStore, name, store.Delete{})
			}
			return m, err
		}
	}},
	{"update that changes nothing writes", "Update/that changes nothing writes nothing", func(f *faultyStore) {
		f.update = func(ctx context.Context, name string, edit editFunc) (*store.Metadata, error) {
			m, err := f.ableStore.Update(ctx, name, edit)
			f.written++
			return m, err
		}
	}},
	{"update returns what was before", "Update/writes what edit made and returns it", func(f *faultyStore) {
		f.update = func(ctx context.Context, name string, edit editFunc) (*store.Metadata, error) {
			before, err := f.ableStore.Read(ctx, name)
			after, updateErr := f.ableStore.Update(ctx, name, edit)
			if err != nil {
				return after, updateErr
			}
			return before, updateErr
		}
	}},
	{"update returns its own memory", "Memory/what Update returned is the caller's", func(f *faultyStore) {
		f.update = func(ctx context.Context, name string, edit editFunc) (*store.Metadata, error) {
			if _, err := f.ableStore.Update(ctx, name, edit); err != nil {
				return nil, err
			}
			return f.pods[name], nil
		}
	}},
	{"update keeps what edit set", "Memory/what edit set is not kept by the store", func(f *faultyStore) {
		f.update = func(ctx context.Context, name string, edit editFunc) (*store.Metadata, error) {
			var set store.Metadata
			m, err := f.ableStore.Update(ctx, name, func(m *store.Metadata) error {
				err := edit(m)
				set = *m
				return err
			})
			if err == nil {
				f.pods[name] = &set
			}
			return m, err
		}
	}},
	{"update returns what is no normal form", "Values/are returned in normal form", func(f *faultyStore) {
		f.update = func(ctx context.Context, name string, edit editFunc) (*store.Metadata, error) {
			var set *store.Metadata
			_, err := f.ableStore.Update(ctx, name, func(m *store.Metadata) error {
				err := edit(m)
				set = m
				return err
			})
			return set, err
		}
	}},
	{"an edit that fails changes a Pod that others write", "Concurrency/failing and panicking edits do not touch others", func(f *faultyStore) {
		f.update = func(ctx context.Context, name string, edit editFunc) (*store.Metadata, error) {
			return f.ableStore.Update(ctx, name, func(m *store.Metadata) error {
				err := edit(m)
				if stored := f.pods[name]; err != nil && stored != nil && len(stored.Peers) > 3 {
					stored.Peers = stored.Peers[1:]
				}
				return err
			})
		}
	}},
	{"update now and then does nothing", "Random/operations agree with the model", wrapEdit(func(m *store.Metadata, edit editFunc) error {
		before := m.Clone()
		if err := edit(m); err != nil {
			return err
		}
		if m.Active == nil && m.Manifest != nil && len(m.Children) == 2 {
			*m = *before
		}
		return nil
	})},
	{"write tears Pods", "Concurrency/readers see whole Pods while they are written and deleted", func(f *faultyStore) {
		var reads atomic.Int32
		f.read = func(ctx context.Context, name string) (*store.Metadata, error) {
			reads.Add(1)
			return f.ableStore.Read(ctx, name)
		}
		f.write = func(ctx context.Context, m *store.Metadata) error {
			half := m.Clone()
			half.Manifest = nil
			if err := store.Write(ctx, f.ableStore, half); err != nil {
				return err
			}
			enough := reads.Load() + 10
			for i := 0; i < 1000 && reads.Load() < enough; i++ {
				runtime.Gosched()
			}
			return store.Write(ctx, f.ableStore, m)
		}
	}},
}

// wrapEdit is a fault in the way an edit is called.
func wrapEdit(call func(m *store.Metadata, edit editFunc) error) func(f *faultyStore) {
	return func(f *faultyStore) {
		f.update = func(ctx context.Context, name string, edit editFunc) (*store.Metadata, error) {
			return f.ableStore.Update(ctx, name, func(m *store.Metadata) error { return call(m, edit) })
		}
	}
}

// racingUpdate reads, then writes, and lets others change the Pod in between.
func racingUpdate(f *faultyStore) func(ctx context.Context, name string, edit editFunc) (*store.Metadata, error) {
	return func(ctx context.Context, name string, edit editFunc) (*store.Metadata, error) {
		m, err := f.ableStore.Read(ctx, name)
		if errors.Is(err, store.ErrNotFound) {
			m, err = minimal(name), nil
		}
		if err == nil {
			err = edit(m)
		}
		if err != nil {
			return nil, err
		}
		letOthersRun()
		return m, store.Write(ctx, f.ableStore, m)
	}
}

func letOthersRun() {
	for range 50 {
		runtime.Gosched()
	}
}
