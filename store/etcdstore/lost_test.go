package etcdstore_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"podstore/store"
	"podstore/store/etcdstore"
)

var background = context.Background()

// increment adds one to a number among the unknown fields. It shows if a change is made
// twice or not at all.
func increment(m *store.Metadata) error {
	n := count(m)
	if m.Extra == nil {
		m.Extra = map[string]json.RawMessage{}
	}
	m.Extra["count"] = json.RawMessage(strconv.Itoa(n + 1))
	return nil
}

func count(m *store.Metadata) int {
	n, _ := strconv.Atoi(string(m.Extra["count"]))
	return n
}

func counted(t *testing.T, s store.MetadataStore, pod string) int {
	t.Helper()
	m, err := s.Read(background, pod)
	if errors.Is(err, store.ErrNotFound) {
		return 0
	}
	if err != nil {
		t.Fatal(err)
	}
	return count(m)
}

// onWire returns a store whose client goes through a wire, and one whose client does
// not.
func onWire(t *testing.T, opts *etcdstore.Options) (*wire, *etcdstore.Store, *etcdstore.Store, *clientv3.Client) {
	t.Helper()
	server := sharedServer(t)
	w := &wire{}
	s := newStore(t, newClient(t, w.tune, server.endpoints...), opts)
	direct := newClient(t, nil, server.endpoints...)
	beside, err := etcdstore.New(direct, s.Prefix(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return w, s, beside, direct
}

// A change whose request or answer is lost is made once, and the caller learns so,
// whatever others do meanwhile. An edit need not be called again for that.
func TestLostAnswers(t *testing.T) {
	for _, there := range []bool{true, false} {
		for name, fate := range map[string]fate{
			"answer lost":       {lostAnswer: true},
			"request lost":      {lostRequest: true},
			"request late":      {late: time.Millisecond},
			"request very late": {late: 200 * time.Millisecond},
		} {
			t.Run(fmt.Sprintf("%s, pod there: %v", name, there), func(t *testing.T) {
				w, s, beside, _ := onWire(t, nil)
				if there {
					put(t, beside, &store.Metadata{PodName: "agent"})
				}
				w.set(first(fate))
				calls := 0
				m, err := s.Update(background, "agent", func(m *store.Metadata) error {
					calls++
					return increment(m)
				})
				if err != nil || count(m) != 1 || calls != 1 {
					t.Errorf("Update: %v, %v; the edit was called %d times", m, err, calls)
				}
				if read := mustRead(t, beside, "agent"); read.Version != m.Version {
					t.Errorf("the version is %+v, and was given as %+v", read.Version, m.Version)
				}
				w.late.Wait()
				if n := counted(t, beside, "agent"); n != 1 {
					t.Errorf("it was made %d times", n)
				}
				check(t, s)
			})
		}
	}
}

// A request that arrives after everything is over is not made a second time, although
// it could be: the Pod is missing, as it was when the request was sent.
func TestRequestThatComesWhenThePodIsGone(t *testing.T) {
	w, s, beside, _ := onWire(t, nil)
	put(t, beside, &store.Metadata{PodName: "other"}) // so that there is a format
	w.set(first(fate{late: 200 * time.Millisecond}))
	if err := store.Do(background, s, "agent", store.AddPeer{PodName: "new"}); err != nil {
		t.Fatal(err)
	}
	if err := store.Do(background, beside, "agent", store.Delete{}); err != nil {
		t.Fatal(err)
	}
	w.late.Wait()
	if m, err := beside.Read(background, "agent"); w.made.Load() != 0 || !errors.Is(err, store.ErrNotFound) {
		t.Errorf("%d late requests were made, and there is %v, %v", w.made.Load(), m, err)
	}
}

// Changes of other writers after the change, or in its place, do not hide its outcome.
func TestLostAnswersAmongOthers(t *testing.T) {
	change := func(s store.MetadataStore) error {
		_, err := s.Update(background, "agent", increment)
		return err
	}
	for name, c := range map[string]struct {
		arrives bool
		others  func(s store.MetadataStore) error
		want    int
	}{
		"made, then changed": {true, change, 2},
		"made, then deleted": {true, func(s store.MetadataStore) error { return store.Do(background, s, "agent", store.Delete{}) }, 0},
		"made, deleted, created": {true, func(s store.MetadataStore) error {
			return errors.Join(store.Do(background, s, "agent", store.Delete{}), change(s))
		}, 1},
		"lost, and changed": {false, change, 2},
		"lost, and deleted": {false, func(s store.MetadataStore) error { return store.Do(background, s, "agent", store.Delete{}) }, 1},
		"lost, created, deleted": {false, func(s store.MetadataStore) error {
			return errors.Join(change(s), store.Do(background, s, "agent", store.Delete{}))
		}, 1},
		"made, then changed many times": {true, func(s store.MetadataStore) (err error) {
			for range 2*16 + 1 {
				err = errors.Join(err, change(s))
			}
			return err
		}, 2*16 + 2},
		"lost, and changed many times": {false, func(s store.MetadataStore) (err error) {
			for range 2*16 + 1 {
				err = errors.Join(err, change(s))
			}
			return err
		}, 2*16 + 2},
		"made, then changed many times and deleted": {true, func(s store.MetadataStore) (err error) {
			for range 16 + 1 {
				err = errors.Join(err, change(s))
			}
			return errors.Join(err, store.Do(background, s, "agent", store.Delete{}), change(s), store.Do(background, s, "agent", store.Delete{}))
		}, 0},
		"made, and others changed": {true, func(s store.MetadataStore) error { _, err := s.Update(background, "other", increment); return err }, 1},
	} {
		for _, there := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, pod there: %v", name, there), func(t *testing.T) {
				w, s, beside, _ := onWire(t, nil)
				if there {
					put(t, beside, &store.Metadata{PodName: "agent"})
				}
				between := func() {
					if err := c.others(beside); err != nil {
						t.Error(err)
					}
				}
				w.set(func(n int64) fate {
					switch {
					case n > 1:
						return fate{}
					case c.arrives:
						return fate{lostAnswer: true, between: between}
					}
					between()
					return fate{lostRequest: true}
				})
				if err := change(s); err != nil {
					t.Errorf("Update: %v", err)
				}
				if n := counted(t, beside, "agent"); n != c.want {
					t.Errorf("the count is %d, want %d", n, c.want)
				}
				check(t, s)
			})
		}
	}
}

// If the outcome cannot be found out, the error is ErrUnknown and matches nothing else.
func TestUnknownOutcome(t *testing.T) {
	judge := func(t *testing.T, err error) {
		t.Helper()
		if !errors.Is(err, store.ErrUnknown) {
			t.Fatalf("got %v, want ErrUnknown", err)
		}
		for _, other := range []error{context.Canceled, context.DeadlineExceeded, store.ErrUnavailable, store.ErrConflict, store.ErrNotFound, store.ErrInvalid} {
			if errors.Is(err, other) {
				t.Errorf("%v matches %v", err, other)
			}
		}
	}
	t.Run("compacted", func(t *testing.T) {
		w, s, beside, direct := onWire(t, nil)
		w.set(first(fate{lostAnswer: true, between: func() {
			for range 16 + 1 { // as many as push out an ID
				if _, err := beside.Update(background, "agent", increment); err != nil {
					t.Error(err)
				}
			}
			resp, err := direct.Get(background, "x")
			if err == nil {
				_, err = direct.Compact(background, resp.Header.Revision)
			}
			if err != nil {
				t.Error(err)
			}
		}}))
		_, err := s.Update(background, "agent", increment)
		judge(t, err)
	})
	t.Run("nobody answers any more", func(t *testing.T) {
		w, s, beside, _ := onWire(t, &etcdstore.Options{RequestTimeout: 100 * time.Millisecond, RetryFor: 300 * time.Millisecond})
		ctx, cancel := context.WithCancel(background)
		defer cancel()
		w.set(first(fate{lostAnswer: true, between: func() {
			w.deaf.Store(true)
			time.AfterFunc(50*time.Millisecond, cancel)
		}}))
		_, err := s.Update(ctx, "agent", increment)
		judge(t, err)
		if n := counted(t, beside, "agent"); n != 1 {
			t.Errorf("the count is %d", n)
		}
	})
}

// A change that has begun is finished after the caller's context ends, and is made
// once.
func TestContextEndsWhileAnswerIsLost(t *testing.T) {
	for name, c := range map[string]fate{
		"made":     {lostAnswer: true},
		"not made": {lostRequest: true},
		// It arrives when nobody waits for it any more. etcd must not make it then.
		"late": {late: 300 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			w, s, beside, _ := onWire(t, nil)
			ctx, cancel := context.WithCancel(background)
			defer cancel()
			w.set(func(n int64) fate {
				cancel()
				if n == 1 {
					return c
				}
				return fate{}
			})
			if _, err := s.Update(ctx, "agent", increment); err != nil {
				t.Error(err)
			}
			w.late.Wait()
			if n := w.made.Load(); n != 0 {
				t.Errorf("%d requests were made late", n)
			}
			if n := counted(t, beside, "agent"); n != 1 {
				t.Errorf("the count is %d", n)
			}
		})
	}
}

// Many writers over a wire that loses half of all writes: every change is made
// exactly once, links have two sides, and a Pod that is taken is taken once.
func TestUnreliableWire(t *testing.T) {
	const writers, rounds = 8, 12
	server := sharedServer(t)
	var stores []*etcdstore.Store
	var wires []*wire
	prefix := newStore(t, newClient(t, nil, server.endpoints...), nil).Prefix()
	for i := range 2 {
		w := &wire{}
		w.set(unreliable(uint64(i)))
		s, err := etcdstore.New(newClient(t, w.tune, server.endpoints...), prefix, nil)
		if err != nil {
			t.Fatal(err)
		}
		stores, wires = append(stores, s), append(wires, w)
	}
	var wg sync.WaitGroup
	var taken atomic.Int64
	pods := []string{"a", "b", "c"}
	put(t, stores[0], &store.Metadata{PodName: "a"}, &store.Metadata{PodName: "b"}, &store.Metadata{PodName: "c"})
	for i := range writers * rounds / 2 {
		put(t, stores[0], &store.Metadata{PodName: fmt.Sprint("job-", i)})
	}
	for g := range writers {
		s := stores[g%2]
		wg.Go(func() {
			for i := range rounds {
				if _, err := s.Update(background, "counter", increment); err != nil {
					t.Errorf("increment: %v", err)
				}
				link := store.LinkPeers
				if i%3 == 2 {
					link = store.UnlinkPeers
				}
				if err := link(background, s, pods[i%3], pods[(i+1)%3]); err != nil {
					t.Errorf("link: %v", err)
				}
				if _, err := s.UpdatePods(background, []string{fmt.Sprint("job-", (g/2)*rounds+i)}, func(pods []*store.Metadata) error {
					if pods[0] == nil {
						return errTaken
					}
					pods[0] = nil
					return nil
				}); err == nil {
					taken.Add(1)
				} else if !errors.Is(err, errTaken) {
					t.Errorf("take: %v", err)
				}
			}
		})
	}
	wg.Wait()
	for _, w := range wires {
		w.late.Wait()
		w.set(nil)
	}
	if n := counted(t, stores[0], "counter"); n != writers*rounds {
		t.Errorf("the count is %d, want %d", n, writers*rounds)
	}
	if n := taken.Load(); n != writers*rounds/2 {
		t.Errorf("%d jobs were taken, want %d", n, writers*rounds/2)
	}
	names, err := stores[0].List(background)
	if err != nil || len(names) != 4 {
		t.Errorf("left are %q, %v", names, err)
	}
	oneSided(t, stores[0], pods)
	check(t, stores[0])
}

var errTaken = errors.New("taken by another")

// oneSided fails the test if only one of two Pods has the other as a peer. It reads all
// of them at one moment.
func oneSided(t testing.TB, s store.MetadataStore, pods []string) {
	t.Helper()
	if _, err := store.UpdatePods(background, s, pods, func(list []*store.Metadata) error {
		for i, a := range list {
			for _, b := range list[i+1:] {
				if a != nil && b != nil && a.HasPeer(b.PodName) != b.HasPeer(a.PodName) {
					t.Errorf("the link of %s and %s has one side", a.PodName, b.PodName)
				}
			}
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}
