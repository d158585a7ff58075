package boltstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"podstore/store"
)

func open(t *testing.T, path string, opts *Options) *Store {
	t.Helper()
	s, err := Open(path, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func openNew(t *testing.T) *Store {
	t.Helper()
	return open(t, filepath.Join(t.TempDir(), "pods.db"), nil)
}

// txid is the number of the last committed transaction.
func (s *Store) txid(t *testing.T) int {
	t.Helper()
	tx, err := s.db.Begin(false)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	return tx.ID()
}

// block makes a leader that stays in its edit until release is called, so that a
// test can fill the queue behind it.
func block(t *testing.T, s *Store) (release func()) {
	t.Helper()
	in, out := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		_, err := s.Update(context.Background(), "blocker", func(*store.Metadata) error {
			close(in)
			<-out
			return nil
		})
		if err != nil {
			t.Errorf("blocker: %v", err)
		}
	})
	<-in
	var once sync.Once
	release = func() {
		once.Do(func() { close(out) })
		wg.Wait()
	}
	t.Cleanup(release)
	return release
}

// What a change found was not there if the commit failed that was to make it: it gets the
// error of the commit, not its own.
func TestAnswersOfAFailedCommit(t *testing.T) {
	ctx := context.Background()
	path := filepath.Join(t.TempDir(), "pods.db")
	s, err := Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	in, out := make(chan struct{}), make(chan struct{})
	own := errors.New("the edit's own")
	calls := []func() error{
		func() error {
			_, err := s.Update(ctx, "first", func(*store.Metadata) error { close(in); <-out; return own })
			return err
		},
		func() error {
			_, err := s.Apply(ctx, []store.Change{{Pod: "a", Op: store.AddPeer{PodName: "x"}, If: store.Missing}}, nil)
			return err
		},
		func() error {
			_, err := s.Apply(ctx, []store.Change{{Pod: "a", Op: store.AddPeer{PodName: "y"}, If: store.Missing}}, nil)
			return err
		},
		func() error {
			_, err := s.Update(ctx, "a", func(m *store.Metadata) error { return fmt.Errorf("it has %d peers", len(m.Peers)) })
			return err
		},
	}
	errs := make([]error, len(calls))
	var all sync.WaitGroup
	for i, call := range calls {
		all.Go(func() { errs[i] = call() })
		if i == 0 {
			<-in
		} else {
			queued(s, i)
		}
	}
	if err := os.Rename(path, path+".moved"); err != nil {
		t.Fatal(err)
	}
	close(out)
	all.Wait()
	if errs[0] != own {
		t.Errorf("an edit before any change: %v", errs[0])
	}
	for i, err := range errs[1:] {
		if !errors.Is(err, store.ErrUnusable) || errors.Is(err, store.ErrExists) {
			t.Errorf("call %d of the commit that failed: %v", i+1, err)
		}
	}
	_ = s.Close()
	s = open(t, path+".moved", nil)
	if names, err := s.List(ctx); err != nil || len(names) > 0 {
		t.Errorf("it has %v, %v", names, err)
	}
}

// queued waits until n requests are queued.
func queued(s *Store, n int) {
	for {
		s.mu.Lock()
		have := len(s.queue)
		s.mu.Unlock()
		if have == n {
			return
		}
		runtime.Gosched()
	}
}

// count adds one to a counter that is kept in an unknown field.
func count(m *store.Metadata) error {
	n, _ := strconv.Atoi(string(m.Extra["n"]))
	m.Extra = map[string]json.RawMessage{"n": json.RawMessage(strconv.Itoa(n + 1))}
	return nil
}

func TestGroupIsOneTransaction(t *testing.T) {
	s := openNew(t)
	release := block(t, s)
	before := s.txid(t)
	const n = 50
	var wg sync.WaitGroup
	var ran atomic.Int64
	for i := range n {
		wg.Go(func() {
			pod := fmt.Sprintf("pod-%d", i%5)
			_, err := s.Update(context.Background(), pod, func(m *store.Metadata) error {
				ran.Add(1)
				return count(m)
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	queued(s, n)
	release()
	wg.Wait()
	if got := s.txid(t) - before; got != 2 {
		t.Errorf("%d transactions, expected one for the blocker and one for the group", got)
	}
	if ran.Load() != n {
		t.Errorf("edits ran %d times, expected each of %d once", ran.Load(), n)
	}
	for i := range 5 {
		m, err := s.Read(context.Background(), fmt.Sprintf("pod-%d", i))
		if err != nil || string(m.Extra["n"]) != strconv.Itoa(n/5) {
			t.Errorf("pod-%d counts %s (%v), expected %d: each edit sees those before it", i, m.Extra["n"], err, n/5)
		}
	}
	if st := s.Stats(); st.Commits != 2 || st.Changes != n+1 || st.LargestGroup != n {
		t.Errorf("statistics %+v", st)
	}
}

func TestFailuresInAGroupStayWithTheirCaller(t *testing.T) {
	s := openNew(t)
	ctx := context.Background()
	release := block(t, s)
	boom := errors.New("boom")
	const n = 40
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			defer func() {
				if v := recover(); (i%4 == 1) != (v != nil) || v != nil && v != any(i) {
					t.Errorf("caller %d recovered %v", i, v)
				}
			}()
			_, err := s.UpdatePods(ctx, []string{"a", "b", fmt.Sprint("own-", i)}, func(pods []*store.Metadata) error {
				for k := range pods {
					if pods[k] == nil {
						pods[k] = &store.Metadata{}
					}
				}
				for _, m := range pods {
					if err := count(m); err != nil {
						return err
					}
				}
				switch i % 4 {
				case 1:
					panic(i)
				case 2:
					return boom
				case 3:
					pods[1].Manifest = []byte("not json")
				}
				return nil
			})
			switch want := [...]error{nil, nil, boom, store.ErrInvalid}[i%4]; {
			case want == nil && err != nil, want != nil && !errors.Is(err, want):
				t.Errorf("caller %d: %v, expected %v", i, err, want)
			}
		})
	}
	queued(s, n)
	release()
	wg.Wait()
	for _, pod := range []string{"a", "b"} {
		m, err := s.Read(ctx, pod)
		if err != nil || string(m.Extra["n"]) != strconv.Itoa(n/4) {
			t.Errorf("%s counts %s (%v), expected the %d edits that succeeded", pod, m.Extra["n"], err, n/4)
		}
	}
	names, err := s.List(ctx)
	if err != nil || len(names) != 3+n/4 {
		t.Errorf("%d pods (%v), expected none of an edit that failed", len(names), err)
	}
}

func TestWaitingEndsWithTheContext(t *testing.T) {
	s := openNew(t)
	release := block(t, s)
	ctx, cancel := context.WithCancel(context.Background())
	result := make(chan error)
	go func() {
		_, err := s.Update(ctx, "late", func(*store.Metadata) error {
			t.Error("the edit ran")
			return nil
		})
		result <- err
	}()
	queued(s, 1)
	cancel()
	if err := <-result; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	release()
	if _, err := s.Read(context.Background(), "late"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("got %v", err)
	}
}

func TestCloseFailsWhatHasNotBegun(t *testing.T) {
	s := openNew(t)
	release := block(t, s)
	result := make(chan error)
	go func() { result <- store.Do(context.Background(), s, "x", store.Delete{}) }()
	queued(s, 1)
	closed := make(chan error)
	go func() { closed <- s.Close() }()
	for !s.closed.Load() {
		runtime.Gosched()
	}
	release()
	if err := <-result; !errors.Is(err, store.ErrClosed) {
		t.Errorf("got %v", err)
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
	if _, err := s.Read(context.Background(), "blocker"); !errors.Is(err, store.ErrClosed) {
		t.Errorf("read after close: %v", err)
	}
	if err := store.Write(context.Background(), s, &store.Metadata{PodName: "x"}); !errors.Is(err, store.ErrClosed) {
		t.Errorf("write after close: %v", err)
	}
}

func TestGoexitInAnEditDoesNotStopOthers(t *testing.T) {
	s := openNew(t)
	ctx := context.Background()
	release := block(t, s)
	var wg sync.WaitGroup
	// The first of these leads; its goroutine ends in the second's edit.
	wg.Go(func() { s.Update(ctx, "first", count) })
	queued(s, 1)
	result := make(chan error, 2)
	go func() {
		_, err := s.Update(ctx, "second", func(*store.Metadata) error {
			runtime.Goexit()
			return nil
		})
		result <- err
	}()
	queued(s, 2)
	third := make(chan error, 1)
	go func() {
		_, err := s.Update(ctx, "third", count)
		third <- err
	}()
	queued(s, 3)
	release()
	wg.Wait()
	if err := <-result; !errors.Is(err, errGoexit) {
		t.Errorf("second: %v", err)
	}
	if err := <-third; err != nil {
		t.Errorf("third: %v", err)
	}
	if names, err := s.List(ctx); err != nil || len(names) != 3 {
		t.Errorf("%q %v", names, err)
	}
}

func TestUnchangedUpdateCommitsNothing(t *testing.T) {
	s := openNew(t)
	ctx := context.Background()
	m := &store.Metadata{PodName: "a", Manifest: []byte(`{"x": [1, 2.50]}`), Extra: map[string]json.RawMessage{"later": []byte(`{"b":1, "a":2}`)},
		Children: []store.SpawnedChild{{PodName: "c", ScopeDelegated: []store.ScopeRule{}}}}
	if err := store.Write(ctx, s, m); err != nil {
		t.Fatal(err)
	}
	if err := store.Do(ctx, s, "a", store.AddPeer{PodName: "b"}); err != nil {
		t.Fatal(err)
	}
	before := s.txid(t)
	for name, op := range map[string]func() error{
		"add peer again": func() error { err := store.Do(ctx, s, "a", store.AddPeer{PodName: "b"}); return err },
		"same manifest in another notation": func() error {
			err := store.Do(ctx, s, "a", store.SetActive{Active: nil, Manifest: []byte(`{ "x":[1,25e-1] }`)})
			return err
		},
		"remove who is not there": func() error { err := store.Do(ctx, s, "a", store.RemovePeer{PodName: "z"}); return err },
		"delete who is not there": func() error { return store.Do(ctx, s, "z", store.Delete{}) },
		"write the same": func() error {
			m.Peers = []store.Peer{{PodName: "b"}}
			return store.Write(ctx, s, m)
		},
		"update nothing": func() error {
			_, err := s.UpdatePods(ctx, []string{"a", "z"}, func([]*store.Metadata) error { return nil })
			return err
		},
	} {
		if err := op(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if now := s.txid(t); now != before {
			t.Errorf("%s: it committed", name)
			before = now
		}
	}
}

// A commit that fails makes the handle unusable: nothing is served from a state
// that may not be on disk.
func TestCommitErrorPoisons(t *testing.T) {
	s := openNew(t)
	ctx := context.Background()
	if err := store.Do(ctx, s, "a", store.AddPeer{PodName: "b"}); err != nil {
		t.Fatal(err)
	}
	s.file.Close() // every write of bbolt now fails
	var wg sync.WaitGroup
	for i := range 3 {
		wg.Go(func() {
			if err := store.Do(ctx, s, fmt.Sprint("pod-", i), store.AddPeer{PodName: "x"}); !errors.Is(err, store.ErrUnusable) {
				t.Errorf("a change that failed: %v", err)
			}
		})
	}
	wg.Wait()
	for name, err := range map[string]error{
		"read":  second(s.Read(ctx, "a")),
		"list":  second(s.List(ctx)),
		"write": store.Write(ctx, s, &store.Metadata{PodName: "c"}),
	} {
		if !errors.Is(err, store.ErrUnusable) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if !s.Stats().Unusable {
		t.Error("the statistics do not say so")
	}
	closes(t, s)
	again := open(t, s.path, &Options{FullCheck: true})
	if m, err := again.Read(ctx, "a"); err != nil || len(m.Peers) != 1 {
		t.Errorf("%+v %v", m, err)
	}
}

func second[T any](_ T, err error) error { return err }

// closes makes sure that Close comes back.
func closes(t *testing.T, s *Store) {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- s.Close() }()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("Close hangs")
	}
}
