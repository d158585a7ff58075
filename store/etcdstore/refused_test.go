package etcdstore_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"go.etcd.io/etcd/client/v3/namespace"

	"podstore/store"
	"podstore/store/etcdstore"
)

// A server may report that its quota is used up for the transaction that used it up,
// and still make it: that is a success. What it refused is not there.
func TestNoSpaceForAll(t *testing.T) {
	const writers = 16
	server := newCluster(t, 1, func(mc *memberConfig) { mc.Quota = 24 << 20 })
	s := newStore(t, newClient(t, nil, server.endpoints...), nil)
	var wg sync.WaitGroup
	var mu sync.Mutex
	errs := map[string]error{}
	for w := range writers {
		wg.Go(func() {
			for i := range 10 {
				name := fmt.Sprintf("pod-%02d-%d", w, i)
				err := store.Write(background, s, withManifest(name, 1<<20))
				mu.Lock()
				errs[name] = err
				mu.Unlock()
				if err != nil {
					return
				}
			}
		})
	}
	wg.Wait()
	names, err := s.List(background)
	if err != nil || len(names) == 0 {
		t.Fatal(names, err)
	}
	for name, err := range errs {
		if err != nil && !errors.Is(err, store.ErrNoSpace) {
			t.Errorf("Write of %s: %v", name, err)
		}
		if there := slices.Contains(names, name); there != (err == nil) {
			t.Errorf("Write of %s: %v; is it there: %v", name, err, there)
		}
	}
	if err := store.Do(background, s, names[0], store.Delete{}); !errors.Is(err, store.ErrNoSpace) {
		t.Errorf("Delete: %v", err)
	}
	mustRead(t, s, names[0])
	check(t, s)
}

// The same, for one transaction whose fate is given.
func TestNoSpaceAnswered(t *testing.T) {
	for name, c := range map[string]struct {
		fate fate
		want error
		n    int
	}{
		"made":                  {fate{refusal: rpctypes.ErrGRPCNoSpace}, nil, 1},
		"made, and others went": {fate{refusal: rpctypes.ErrGRPCNoSpace, between: func() {}}, nil, 2},
	} {
		t.Run(name, func(t *testing.T) {
			w, s, beside, _ := onWire(t, nil)
			f := c.fate
			if f.between != nil {
				f.between = func() {
					if _, err := beside.Update(background, "agent", increment); err != nil {
						t.Error(err)
					}
				}
			}
			w.set(first(f))
			if _, err := s.Update(background, "agent", increment); !errors.Is(err, c.want) {
				t.Errorf("Update: %v", err)
			}
			if n := w.writes.Load(); n != 1 {
				t.Errorf("%d writes were sent", n)
			}
			if n := counted(t, beside, "agent"); n != c.n {
				t.Errorf("the count is %d, want %d", n, c.n)
			}
		})
	}
	t.Run("an answer is lost, and then there is no space", func(t *testing.T) {
		w, s, beside, _ := onWire(t, nil)
		w.set(func(n int64) fate {
			if n == 1 {
				return fate{lostAnswer: true}
			}
			return fate{refusal: rpctypes.ErrGRPCNoSpace}
		})
		if _, err := s.Update(background, "agent", increment); err != nil {
			t.Errorf("Update: %v", err)
		}
		if n := counted(t, beside, "agent"); n != 1 {
			t.Errorf("the count is %d", n)
		}
	})
}

// If the client puts all keys into a namespace, the store searches the history of that
// namespace.
func TestLostAnswerInNamespace(t *testing.T) {
	w, _, _, direct := onWire(t, nil)
	client := newClient(t, w.tune, sharedServer(t).endpoints...)
	space := fmt.Sprintf("space-%d", time.Now().UnixNano())
	client.KV = namespace.NewKV(client.KV, space)
	s, err := etcdstore.New(client, "/pods", nil)
	if err != nil {
		t.Fatal(err)
	}
	beside, err := etcdstore.New(direct, space+"/pods", nil)
	if err != nil {
		t.Fatal(err)
	}
	put(t, s, &store.Metadata{PodName: "agent"})
	w.set(first(fate{lostAnswer: true, between: func() {
		for range 20 {
			if _, err := beside.Update(background, "agent", increment); err != nil {
				t.Error(err)
			}
		}
	}}))
	if _, err := s.Update(background, "agent", increment); err != nil {
		t.Error(err)
	}
	if n := counted(t, beside, "agent"); n != 21 {
		t.Errorf("the count is %d, want 21", n)
	}
}

// A caller's context also limits the search for a lost answer. After it ends, the
// search has the time of one request, not RetryFor.
func TestContextBoundsTheSearch(t *testing.T) {
	w, s, beside, _ := onWire(t, &etcdstore.Options{RequestTimeout: 100 * time.Millisecond, RetryFor: time.Hour})
	for name, ends := range map[string]func(cancel func()){
		"before the request": func(cancel func()) { cancel() },
		"during the search":  func(cancel func()) { time.AfterFunc(50*time.Millisecond, cancel) },
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(background)
			defer cancel()
			w.set(func(n int64) fate {
				if n == 1 {
					ends(cancel)
				}
				return fate{lostRequest: true}
			})
			_, err := s.Update(ctx, "agent", increment)
			if !errors.Is(err, store.ErrUnknown) || errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			}
			w.set(nil)
			if n := counted(t, beside, "agent"); n != 0 {
				t.Errorf("the count is %d", n)
			}
		})
	}
}

// Names that are neighbours as keys, or contain parts of keys, stay apart. Names that
// would leave their place are refused.
func TestHostileNames(t *testing.T) {
	w, s, beside, _ := onWire(t, nil)
	names := []string{"a", "a\x01", "a.", "a0", "a.b", "a ", "%2F", "a%2Fpeers", "peers", "values", "format", "deleted", "pods",
		"\x01", "...", "a\U0010ffff", "\U0010ffff", strings.Repeat("ÿ", 127), `a\`, "-", "a\n"}
	slices.Sort(names)
	pod := func(name string) *store.Metadata {
		m := bulky("x")
		m.PodName, m.Active, m.Peers = name, nil, []store.Peer{{PodName: name}}
		return m
	}
	for _, name := range names {
		put(t, s, pod(name))
	}
	if got, err := s.List(background); err != nil || !slices.Equal(got, names) {
		t.Errorf("List: %q, %v", got, err)
	}
	for i, name := range names {
		if err := store.Do(background, s, name, store.Delete{}); err != nil {
			t.Error(err)
		}
		for j, other := range names {
			m, err := beside.Read(background, other)
			if j == i && !errors.Is(err, store.ErrNotFound) || j != i && (err != nil || m.Diff(pod(other)) != "") {
				t.Errorf("after %q was deleted, %q: %v", name, other, err)
			}
		}
		put(t, s, pod(name))
	}
	check(t, s)
	w.set(nil)
	w.reads.Store(0)
	for _, name := range []string{"", ".", "..", "/", "a/b", "a/", "/a", "../format", "a\x00", "\x00", "\xff", strings.Repeat("x", 256)} {
		_, read := s.Read(background, name)
		_, edit := s.Update(background, name, increment)
		for method, err := range map[string]error{"Read": read, "Update": edit, "Write": store.Write(background, s, &store.Metadata{PodName: name}),
			"Delete": store.Do(background, s, name, store.Delete{}), "LinkPeers": store.LinkPeers(background, s, "a", name)} {
			if !errors.Is(err, store.ErrInvalidName) {
				t.Errorf("%s of %q: %v", method, name, err)
			}
		}
	}
	if n := w.reads.Load() + w.writes.Load(); n != 0 {
		t.Errorf("%d requests were sent", n)
	}
}
