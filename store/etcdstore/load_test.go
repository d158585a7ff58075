//go:build unix

package etcdstore_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"podstore/store"
	"podstore/store/etcdstore"
)

// load is writers that remember what the store acknowledged.
type load struct {
	acknowledged atomic.Int64 // changes of any kind
	increments   atomic.Int64
	unknown      atomic.Int64 // increments of which it is not known
	mu           sync.Mutex
	peers        map[string]error // by name, what AddPeer said of it
	stop         chan struct{}
	end          func() // stops all, and waits for their end
	wg           sync.WaitGroup
}

// newLoad creates linked Pods and begins to watch their links.
func newLoad(t *testing.T, s *etcdstore.Store) *load {
	t.Helper()
	for _, name := range linked {
		put(t, s, &store.Metadata{PodName: name})
	}
	l := &load{peers: map[string]error{}, stop: make(chan struct{})}
	l.end = sync.OnceFunc(func() { close(l.stop); l.wg.Wait() })
	l.repeat(func() { oneSided(t, s, linked) })
	return l
}

// repeat calls f until the end.
func (l *load) repeat(f func()) {
	l.wg.Go(func() {
		for {
			select {
			case <-l.stop:
				return
			default:
				f()
			}
		}
	})
}

var linked = []string{"a", "b", "c"}

// run starts a writer. The test checks each kind of change at the end. With a patience
// other than 0, calls end after it, and each that ended adds to calls.
func (l *load) run(t *testing.T, s *etcdstore.Store, w int, patience time.Duration) (calls *atomic.Int64) {
	calls = &atomic.Int64{}
	call := func(f func(ctx context.Context) error) error {
		defer calls.Add(1)
		if patience == 0 {
			return f(background)
		}
		ctx, cancel := context.WithTimeout(background, patience)
		defer cancel()
		return f(ctx)
	}
	i := -1
	l.repeat(func() {
		i++
		err := call(func(ctx context.Context) error {
			_, err := s.Update(ctx, "counter", increment)
			return err
		})
		switch {
		case err == nil:
			l.increments.Add(1)
		case errors.Is(err, store.ErrUnknown):
			l.unknown.Add(1)
		}
		l.told(t, "increment", patience, err)

		peer := fmt.Sprintf("peer-%d-%d", w, i)
		err = call(func(ctx context.Context) error {
			err := store.Do(ctx, s, fmt.Sprint("host-", w%4), store.AddPeer{PodName: peer})
			return err
		})
		l.mu.Lock()
		l.peers[peer] = err
		l.mu.Unlock()
		l.told(t, "add peer", patience, err)

		link := store.LinkPeers
		if i%4 >= 2 {
			link = store.UnlinkPeers
		}
		l.told(t, "link", patience, call(func(ctx context.Context) error {
			return link(ctx, s, linked[(w+i)%3], linked[(w+i+1)%3])
		}))
	})
	return calls
}

// told counts an acknowledgement. A caller should see only those errors that the
// interface allows for failing servers, and the end of its context only if it has one.
func (l *load) told(t *testing.T, what string, patience time.Duration, err error) {
	switch {
	case err == nil:
		l.acknowledged.Add(1)
	case errors.Is(err, store.ErrUnavailable), errors.Is(err, store.ErrConflict), errors.Is(err, store.ErrUnknown),
		errors.Is(err, context.DeadlineExceeded) && patience > 0:
		t.Logf("%s: %v", what, err)
	default:
		t.Errorf("%s: %v", what, err)
	}
}

// goesOn waits until n more changes were acknowledged.
func (l *load) goesOn(t *testing.T, n int64) {
	t.Helper()
	want, deadline := l.acknowledged.Load()+n, time.Now().Add(2*time.Minute)
	for l.acknowledged.Load() < want {
		if time.Now().After(deadline) {
			t.Fatalf("only %d of %d changes were acknowledged", l.acknowledged.Load()-want+n, n)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// check compares the store at the end with what it acknowledged.
func (l *load) check(t *testing.T, s *etcdstore.Store) {
	t.Helper()
	n, acknowledged, unknown := int64(counted(t, s, "counter")), l.increments.Load(), l.unknown.Load()
	if n < acknowledged || n > acknowledged+unknown {
		t.Errorf("the count is %d, acknowledged were %d, and of %d it is not known", n, acknowledged, unknown)
	}
	have := map[string]bool{}
	for i := range 4 {
		for _, p := range mustRead(t, s, fmt.Sprint("host-", i)).Peers {
			have[p.PodName] = true
		}
	}
	for peer, err := range l.peers {
		switch {
		case err == nil && !have[peer]:
			t.Errorf("%s was acknowledged and is lost", peer)
		case err != nil && !errors.Is(err, store.ErrUnknown) && have[peer]:
			t.Errorf("%s was refused with %v and is there", peer, err)
		}
		delete(have, peer)
	}
	if len(have) > 0 {
		t.Errorf("%v were never asked for", have)
	}
	oneSided(t, s, linked)
	check(t, s)
	t.Logf("%d changes acknowledged, %d increments of unknown outcome", l.acknowledged.Load(), unknown)
}
