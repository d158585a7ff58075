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

	"podstore/store"
	"podstore/store/etcdstore"
)

// hermit is a client that knows only one member.
type hermit struct {
	patient *etcdstore.Store // gives up after an hour: only a context ends its calls
	brief   *etcdstore.Store // gives up after half a second
	calls   *atomic.Int64    // that ended, of a writer with contexts that end
}

// partition is a cluster under load whose members can be cut off from each other.
type partition struct {
	*cluster
	net     *network
	load    *load
	all     *etcdstore.Store // knows all members
	hermits []*hermit
}

const patience = 2 * time.Second // of a hermit's calls

func newPartition(t *testing.T) *partition {
	c, w := newNetworkedCluster(t, 3)
	opts := &etcdstore.Options{RequestTimeout: time.Second, RetryFor: time.Minute}
	p := &partition{cluster: c, net: w, all: newStore(t, newClient(t, nil, c.endpoints...), opts)}
	at := func(opts *etcdstore.Options, endpoints ...string) *etcdstore.Store {
		s, err := etcdstore.New(newClient(t, nil, endpoints...), p.all.Prefix(), opts)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	p.load = newLoad(t, p.all)
	const hosts, writers = 2, 3
	for h := range hosts {
		host := at(opts, c.endpoints...)
		for i := range writers {
			p.load.run(t, host, h*writers+i, 0)
		}
		p.load.repeat(func() { p.readLatest(t, host, 0) })
	}
	for i, endpoint := range c.endpoints {
		h := &hermit{
			patient: at(&etcdstore.Options{RequestTimeout: time.Second / 2, RetryFor: time.Hour}, endpoint),
			brief:   at(&etcdstore.Options{RequestTimeout: time.Second / 4, RetryFor: time.Second / 2}, endpoint),
		}
		h.calls = p.load.run(t, h.patient, 100+i, patience)
		p.load.repeat(func() { p.readLatest(t, h.patient, patience) })
		p.hermits = append(p.hermits, h)
	}
	return p
}

// readLatest reads the counter in each way. It fails the test if a result is older than
// what was acknowledged before the call. Without patience each call must succeed.
func (p *partition) readLatest(t *testing.T, s *etcdstore.Store, patience time.Duration) {
	for how, read := range map[string]func(ctx context.Context) (*store.Metadata, error){
		"Read": func(ctx context.Context) (*store.Metadata, error) { return s.Read(ctx, "counter") },
		"Snapshot": func(ctx context.Context) (*store.Metadata, error) {
			snap, closer, err := s.Snapshot(ctx)
			if err != nil {
				return nil, err
			}
			defer closer.Close()
			return snap.Read(ctx, "counter")
		},
		"All": func(ctx context.Context) (*store.Metadata, error) {
			for m, err := range s.All(ctx, store.ReadOptions{}) {
				if err != nil || m.PodName == "counter" {
					return m, err
				}
			}
			return &store.Metadata{}, nil
		},
	} {
		ctx, cancel := background, func() {}
		if patience > 0 {
			ctx, cancel = context.WithTimeout(background, patience)
		}
		known := p.load.increments.Load()
		m, err := read(ctx)
		switch {
		case err == nil && int64(count(m)) < known:
			t.Errorf("%s gave the count %d after %d were acknowledged", how, count(m), known)
		case err != nil && known > 0 && !(patience > 0 && (errors.Is(err, store.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded))):
			t.Errorf("%s: %v", how, err)
		}
		cancel()
	}
}

// refusesAll calls everything on a member that is cut off. Each call must fail and say
// that nothing was done.
func (p *partition) refusesAll(t *testing.T, member int) {
	t.Helper()
	fresh := fmt.Sprintf("fresh-%d", time.Now().UnixNano())
	calls := map[string]func(ctx context.Context, s *etcdstore.Store) error{
		"Read":         func(ctx context.Context, s *etcdstore.Store) error { _, err := s.Read(ctx, "counter"); return err },
		"Read of none": func(ctx context.Context, s *etcdstore.Store) error { _, err := s.Read(ctx, fresh); return err },
		"List":         func(ctx context.Context, s *etcdstore.Store) error { _, err := s.List(ctx); return err },
		"Snapshot":     func(ctx context.Context, s *etcdstore.Store) error { _, _, err := s.Snapshot(ctx); return err },
		"Check": func(ctx context.Context, s *etcdstore.Store) error {
			_, err := s.Check(ctx, func(error) {})
			return err
		},
		"All": func(ctx context.Context, s *etcdstore.Store) (err error) {
			for _, err = range s.All(ctx, store.ReadOptions{}) {
			}
			return err
		},
		"Write":     func(ctx context.Context, s *etcdstore.Store) error { return store.Write(ctx, s, bulky(fresh)) },
		"Delete":    func(ctx context.Context, s *etcdstore.Store) error { return store.Do(ctx, s, "kept", store.Delete{}) },
		"LinkPeers": func(ctx context.Context, s *etcdstore.Store) error { return store.LinkPeers(ctx, s, fresh, "a") },
		"Update": func(ctx context.Context, s *etcdstore.Store) error {
			_, err := s.Update(ctx, fresh, increment)
			return err
		},
		"Update that changes nothing": func(ctx context.Context, s *etcdstore.Store) error {
			err := store.Do(ctx, s, "kept", store.AddPeer{PodName: "peer"})
			return err
		},
	}
	ctx, cancel := context.WithTimeout(background, time.Second)
	defer cancel()
	var wg sync.WaitGroup
	defer wg.Wait()
	for method, call := range calls {
		wg.Go(func() {
			if err := call(ctx, p.hermits[member].patient); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s of a member that is cut off, until the context ends: %v", method, err)
			}
		})
		wg.Go(func() {
			if err := call(background, p.hermits[member].brief); !errors.Is(err, store.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s of a member that is cut off: %v", method, err)
			}
		})
	}
}

// comeBack waits until n more calls of a hermit's writer have ended. That it does
// while its member is cut off shows that contexts end them.
func (h *hermit) comeBack(t *testing.T, n int64) {
	t.Helper()
	for want, deadline := h.calls.Load()+n, time.Now().Add(time.Minute); h.calls.Load() < want; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("calls of a client whose member is cut off do not end")
		}
	}
}

// Under load, first the leader and then a follower is cut off from the others, and
// clients still reach it. What was acknowledged is there, what was refused is not, no
// link has only one side, and nobody reads anything old. Clients that know only that
// member get errors.
func TestMemberCutOff(t *testing.T) {
	p := newPartition(t)
	defer p.load.end()
	defer p.net.heal() // the load waits for answers
	client := newClient(t, nil, p.endpoints...)
	put(t, p.all, &store.Metadata{PodName: "kept", Peers: []store.Peer{{PodName: "peer"}}})
	p.load.goesOn(t, 50)
	rounds := []struct {
		leader bool
		cut    func(member int)
	}{{true, p.net.cutOff}, {false, p.net.cutOff}}
	if os.Getenv("PODSTORE_LONG") != "" {
		for range 2 {
			for _, cut := range []func(int){p.net.mute, p.net.deafen, p.net.cutOff} {
				rounds = append(rounds, struct {
					leader bool
					cut    func(member int)
				}{true, cut}, struct {
					leader bool
					cut    func(member int)
				}{false, cut})
			}
		}
	}
	for i, r := range rounds {
		member := p.leader(t, client, -1)
		if !r.leader {
			member = (member + 1 + i%2) % 3
		}
		from, to := p.net.sent(member)
		if from == 0 || to == 0 {
			t.Fatalf("the network has passed on %d bytes from a member and %d to it", from, to)
		}
		r.cut(member)
		p.refusesAll(t, member)
		p.hermits[member].comeBack(t, 3)
		p.leader(t, client, member)
		p.load.goesOn(t, 50)
		p.net.heal()
		p.load.goesOn(t, 20)
		p.serves(t, member)
	}
	p.load.end()
	p.load.check(t, p.all)
	names, err := p.all.List(background)
	if want := []string{"a", "b", "c", "counter", "host-0", "host-1", "host-2", "host-3", "kept"}; err != nil || fmt.Sprint(names) != fmt.Sprint(want) {
		t.Errorf("there are %q, %v, want %q", names, err, want)
	}
}

// serves waits until a client that knows only this member can make a change.
func (p *partition) serves(t *testing.T, member int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(background, time.Minute)
	defer cancel()
	if _, err := p.hermits[member].patient.Update(ctx, "counter", func(m *store.Metadata) error { return m.AddPeer("x") }); err != nil {
		t.Fatalf("a member that was cut off is of no use: %v", err)
	}
	if err := store.Do(ctx, p.hermits[member].patient, "counter", store.RemovePeer{PodName: "x"}); err != nil {
		t.Fatal(err)
	}
}

// A member is cut off after it has sent what a change reads. So the change itself goes
// to that member, which neither makes nor refuses it. A client that knows only that
// member cannot know the outcome, and gets ErrUnknown when its context ends. A client
// that finds the others makes the change there. When the member is back and sends on
// what it held, the change is not made a second time.
func TestCutOffBetweenReadAndWrite(t *testing.T) {
	c, net := newNetworkedCluster(t, 3)
	asked := newClient(t, nil, c.endpoints...)
	beside := newStore(t, asked, nil)
	for name, leader := range map[string]bool{"leader": true, "follower": false} {
		for others, want := range map[string]error{"alone": store.ErrUnknown, "others": nil} {
			t.Run(name+", "+others, func(t *testing.T) {
				defer net.heal()
				member := c.leader(t, asked, -1)
				if !leader {
					member = (member + 1) % 3
				}
				w := &wire{}
				client := newClient(t, w.tune, c.endpoints[member])
				s, err := etcdstore.New(client, beside.Prefix(), &etcdstore.Options{RequestTimeout: time.Second / 2, RetryFor: time.Hour})
				if err != nil {
					t.Fatal(err)
				}
				pod := name + "-" + others
				put(t, s, &store.Metadata{PodName: pod})
				ctx, cancel := background, func() {}
				lost := fate{before: func() { net.cutOff(member) }}
				if want != nil {
					ctx, cancel = context.WithTimeout(background, time.Second)
				} else {
					lost.between = func() { client.SetEndpoints(c.endpoints[(member+1)%3], c.endpoints[(member+2)%3]) }
				}
				w.set(first(lost))
				defer cancel()
				_, err = s.Update(ctx, pod, increment)
				if !errors.Is(err, want) || errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("the change gave %v", err)
				}
				if n := w.writes.Load(); want == nil && n != 2 {
					t.Errorf("the change was sent %d times", n)
				}
				if want == nil && counted(t, beside, pod) != 1 {
					t.Errorf("the count is %d after a change that was acknowledged", counted(t, beside, pod))
				}
				net.heal()
				// The member has all that was made when it answers, and what it held is made or
				// lost when it has made a change that came later.
				back, err := etcdstore.New(newClient(t, nil, c.endpoints[member]), beside.Prefix(), nil)
				if err != nil {
					t.Fatal(err)
				}
				put(t, back, &store.Metadata{PodName: pod + "-later"})
				if n := counted(t, back, pod); n > 1 || want == nil && n != 1 {
					t.Errorf("the count is %d after the member is back", n)
				}
				check(t, beside)
			})
		}
	}
}
