//go:build unix

package etcdstore_test

import (
	"context"
	"errors"
	"os"
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

// Members die and freeze under load, the leader among them: what was acknowledged
// is there, what was refused is not, and no link has one side.
func TestMembersFail(t *testing.T) {
	rounds := 1
	if os.Getenv("PODSTORE_LONG") != "" {
		rounds = 8
	}
	c := newCluster(t, 3, nil)
	opts := &etcdstore.Options{RequestTimeout: time.Second, RetryFor: time.Minute}
	s := newStore(t, newClient(t, nil, c.endpoints...), opts)
	l := newLoad(t, s)
	const hosts, writers = 2, 4
	for h := range hosts {
		host, err := etcdstore.New(newClient(t, nil, c.endpoints...), s.Prefix(), opts)
		if err != nil {
			t.Fatal(err)
		}
		for w := range writers {
			l.run(t, host, h*writers+w, 0)
		}
	}
	defer l.end()
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
	l.end()
	l.check(t, s)
}

// A context that ends frees a request that a server does not answer; without one,
// and with nobody who answers, the error is ErrUnavailable.
func TestServerThatDoesNotAnswer(t *testing.T) {
	server := newCluster(t, 1, nil)
	opts := &etcdstore.Options{RequestTimeout: 200 * time.Millisecond, RetryFor: time.Second}
	s := newStore(t, newClient(t, nil, server.endpoints...), opts)
	put(t, s, bulky("agent"))
	calls := func(ctx context.Context) map[string]error {
		errs := map[string]error{"Write": store.Write(ctx, s, bulky("new")), "Delete": store.Do(ctx, s, "agent", store.Delete{})}
		_, errs["Read"] = s.Read(ctx, "agent")
		_, errs["List"] = s.List(ctx)
		errs["Apply"] = store.Do(ctx, s, "agent", store.AddPeer{PodName: "new"})
		_, _, errs["Snapshot"] = s.Snapshot(ctx)
		return errs
	}
	stopProcess(t, server.members[0])
	for err := error(nil); err == nil; { // its threads are stopped a moment after the signal
		ctx, cancel := context.WithTimeout(background, 100*time.Millisecond)
		_, err = s.Read(ctx, "agent")
		cancel()
	}
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
