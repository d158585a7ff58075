//go:build unix

package etcdstore_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"podstore/store"
	"podstore/store/etcdstore"
)

// leader is the index of the cluster's leader, asked of the members but one.
func (c *cluster) leader(t *testing.T, client *clientv3.Client, except int) int {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for time.Now().Before(deadline) {
		for i, endpoint := range c.endpoints {
			if i == except {
				continue
			}
			ctx, cancel := context.WithTimeout(background, time.Second)
			status, err := client.Status(ctx, endpoint)
			cancel()
			if err == nil && status.Leader != 0 && status.Leader == status.Header.MemberId {
				return i
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatal("no leader was elected")
	return -1
}

// load is writers that remember what was acknowledged.
type load struct {
	acknowledged atomic.Int64 // changes of any kind
	increments   atomic.Int64
	unknown      atomic.Int64 // increments of which it is not known
	mu           sync.Mutex
	peers        map[string]error // by name, what AddPeer said of it
	stop         chan struct{}
	wg           sync.WaitGroup
}

var linked = []string{"a", "b", "c"}

// run starts a writer; each kind of change is judged at the end.
func (l *load) run(t *testing.T, s *etcdstore.Store, w int) {
	l.wg.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-l.stop:
				return
			default:
			}
			_, err := s.Update(background, "counter", increment)
			switch {
			case err == nil:
				l.increments.Add(1)
			case errors.Is(err, store.ErrUnknown):
				l.unknown.Add(1)
			}
			l.told(t, "increment", err)

			peer := fmt.Sprintf("peer-%d-%d", w, i)
			_, err = store.AddPeer(background, s, fmt.Sprint("host-", w%4), peer)
			l.mu.Lock()
			l.peers[peer] = err
			l.mu.Unlock()
			l.told(t, "add peer", err)

			link := store.LinkPeers
			if i%4 >= 2 {
				link = store.UnlinkPeers
			}
			l.told(t, "link", link(background, s, linked[(w+i)%3], linked[(w+i+1)%3]))
		}
	})
}

// told counts an acknowledgement. Others than those that the interface allows of
// servers that fail are no errors a caller should see.
func (l *load) told(t *testing.T, what string, err error) {
	switch {
	case err == nil:
		l.acknowledged.Add(1)
	case errors.Is(err, store.ErrUnavailable), errors.Is(err, store.ErrConflict), errors.Is(err, store.ErrUnknown):
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

// Members die and freeze under load, the leader among them: what was acknowledged
// is there, what was refused is not, and no link has one side.
func TestMembersFail(t *testing.T) {
	rounds := 1
	if os.Getenv("PODSTORE_LONG") != "" {
		rounds = 8
	}
	c := newCluster(t, 3, nil)
	opts := &etcdstore.Options{RequestTimeout: time.Second, RetryFor: time.Minute}
	l := &load{peers: map[string]error{}, stop: make(chan struct{})}
	s := newStore(t, newClient(t, nil, c.endpoints...), opts)
	put(t, s, &store.Metadata{PodName: "a"}, &store.Metadata{PodName: "b"}, &store.Metadata{PodName: "c"})
	const hosts, writers = 2, 4
	for h := range hosts {
		host, err := etcdstore.New(newClient(t, nil, c.endpoints...), s.Prefix(), opts)
		if err != nil {
			t.Fatal(err)
		}
		for w := range writers {
			l.run(t, host, h*writers+w)
		}
	}
	l.wg.Go(func() {
		for {
			select {
			case <-l.stop:
				return
			default:
				oneSided(t, s, linked)
			}
		}
	})
	ended := sync.OnceFunc(func() { close(l.stop); l.wg.Wait() })
	defer ended()
	client := newClient(t, nil, c.endpoints...)
	l.goesOn(t, 50)
	for range rounds {
		lead := c.leader(t, client, -1)
		c.members[lead].kill()
		next := c.leader(t, client, lead)
		l.goesOn(t, 100)
		c.restart(t, lead)
		l.goesOn(t, 20)

		// The leader is cut off, and comes back with what it had not yet done.
		stopProcess(t, c.members[next])
		other := c.leader(t, client, next)
		l.goesOn(t, 50)
		continueProcess(t, c.members[next])
		l.goesOn(t, 20)

		follower := (other + 1) % 3
		stopProcess(t, c.members[follower])
		l.goesOn(t, 50)
		continueProcess(t, c.members[follower])
		l.goesOn(t, 20)
	}
	ended()
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

// A context that ends frees a request that a server does not answer; without one,
// and with nobody who answers, the error is ErrUnavailable.
func TestServerThatDoesNotAnswer(t *testing.T) {
	server := newCluster(t, 1, nil)
	opts := &etcdstore.Options{RequestTimeout: 200 * time.Millisecond, RetryFor: time.Second}
	s := newStore(t, newClient(t, nil, server.endpoints...), opts)
	put(t, s, bulky("agent"))
	calls := func(ctx context.Context) map[string]error {
		errs := map[string]error{"Write": s.Write(ctx, bulky("new")), "Delete": s.Delete(ctx, "agent")}
		_, errs["Read"] = s.Read(ctx, "agent")
		_, errs["List"] = s.List(ctx)
		_, errs["Update"] = store.AddPeer(ctx, s, "agent", "new")
		_, _, errs["Snapshot"] = s.Snapshot(ctx)
		return errs
	}
	stopProcess(t, server.members[0])
	ctx, cancel := context.WithTimeout(background, 100*time.Millisecond)
	defer cancel()
	for method, err := range calls(ctx) {
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", method, err)
		}
	}
	for method, err := range calls(background) {
		if !errors.Is(err, store.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", method, err)
		}
	}
	continueProcess(t, server.members[0])
	if m := mustRead(t, s, "agent"); m.HasPeer("new") {
		t.Error("a change was made that was refused")
	}
	server.members[0].kill()
	if _, err := s.Read(background, "agent"); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("Read of a dead server: %v", err)
	}
}
