package socketstore

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"podstore/store"
	"podstore/store/memstore"
)

// fate decides what happens to one request.
type fate int

const (
	passes    fate = iota
	swallowed      // it does not arrive
	halved         // a part of it arrives
	lost           // its answer does not
	numFates
)

// tamper passes requests and answers on, one after the other, and asks for the fate
// of each. Then the connection breaks.
func tamper(client, server net.Conn, next func() fate) {
	defer client.Close()
	defer server.Close()
	buf := make([]byte, fakeBuffer)
	for {
		n, err := client.Read(buf)
		if err != nil {
			return
		}
		f := next()
		switch f {
		case swallowed:
			return
		case halved:
			n = n * 2 / 3
		}
		if _, err := server.Write(buf[:n]); err != nil || f == halved {
			return
		}
		if n, err = server.Read(buf); err != nil || f == lost {
			return
		}
		if _, err := client.Write(buf[:n]); err != nil {
			return
		}
	}
}

func increment(m *store.Metadata) error {
	n, _ := strconv.Atoi(string(m.Manifest))
	m.Manifest = []byte(strconv.Itoa(n + 1))
	return nil
}

// A change whose answer was lost is made once, whichever server gets it.
func TestAnswerLost(t *testing.T) {
	fake(t, func(t *testing.T, n *fakeNet) {
		pods := memstore.New()
		server := n.serve(pods, nil)
		var mu sync.Mutex
		var fates []fate
		n.between = func(client, server net.Conn) {
			tamper(client, server, func() fate {
				mu.Lock()
				defer mu.Unlock()
				if len(fates) == 0 {
					return passes
				}
				f := fates[0]
				fates = fates[1:]
				return f
			})
		}
		c := n.client(nil)
		reclaim := func(i int) error {
			return store.Do(t.Context(), c, "a", store.Reclaim{Reclaimed: []store.ReclaimedChild{{PodName: fmt.Sprint(i)}}})
		}
		for i, f := range [][]fate{{lost}, {swallowed}, {halved}, {lost, lost, lost}, {lost, swallowed, lost}, {swallowed, halved, lost, halved}} {
			fates = f
			again := make(chan *fakeServer, 1)
			if again <- server; i%2 == 1 {
				(<-again).stop(t)
				go func() {
					time.Sleep(3 * time.Second)
					again <- n.serve(pods, nil)
				}()
			}
			if err := reclaim(i); err != nil {
				t.Errorf("%v: %v", f, err)
			}
			server = <-again
			if m, err := pods.Read(t.Context(), "a"); err != nil || len(m.Reclaimed) != i+1 {
				t.Errorf("%v: it is made %d times, %v", f, len(m.Reclaimed)-i, err)
			}
		}
		// Others change the Pod in between, and the change is not made again over theirs.
		fates = []fate{lost}
		if err := store.Write(t.Context(), c, pod("w", 0)); err != nil {
			t.Error(err)
		}
		result, err := store.DoAndRead(t.Context(), c, "w", store.AddPeer{PodName: "x"})
		if err != nil || !result.HasPeer("x") {
			t.Errorf("%+v, %v", result, err)
		}

		// If the server does not come back, the outcome stays unknown.
		fates = []fate{lost}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			time.Sleep(time.Millisecond)
			server.stop(t)
		}()
		if err := reclaim(100); err != nil && !errors.Is(err, store.ErrUnknown) {
			t.Error(err)
		}
		<-ended
		if err := reclaim(101); !errors.Is(err, store.ErrUnavailable) {
			t.Error(err)
		}
		// An older copy was put back: the store says that it cannot tell.
		older := memstore.New()
		mustWrite(t, older, pod("a", 0))
		n.serve(older, nil)
		fates = []fate{lost}
		if err := reclaim(102); err != nil && !errors.Is(err, store.ErrUnknown) {
			t.Error(err)
		}
	})
}

// withoutIDs is a store that keeps no request IDs.
type withoutIDs struct{ store.MetadataStore }

func (s withoutIDs) Apply(ctx context.Context, changes []store.Change, opts *store.ApplyOptions) ([]store.Applied, error) {
	if opts != nil && opts.ID != (store.RequestID{}) {
		return nil, &store.Error{Op: "apply", Err: errors.ErrUnsupported}
	}
	return s.MetadataStore.Apply(ctx, changes, opts)
}

// A store without IDs can be served too. There a lost answer stays unknown.
func TestStoreWithoutIDs(t *testing.T) {
	fake(t, func(t *testing.T, n *fakeNet) {
		n.serve(withoutIDs{memstore.New()}, nil)
		next := passes
		n.between = func(client, server net.Conn) { tamper(client, server, func() fate { return next }) }
		c := n.client(nil)
		if err := store.Do(t.Context(), c, "a", store.AddPeer{PodName: "b"}); err != nil {
			t.Error(err)
		}
		_, err := c.Apply(t.Context(), []store.Change{{Pod: "a", Op: store.Delete{}}}, &store.ApplyOptions{ID: store.NewRequestID()})
		if !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("an id that was asked for: %v", err)
		}
		next = lost
		if err := store.Do(t.Context(), c, "a", store.AddPeer{PodName: "c"}); !errors.Is(err, store.ErrUnknown) {
			t.Error(err)
		}
		next = swallowed
		if err := store.Do(t.Context(), c, "a", store.AddPeer{PodName: "d"}); !errors.Is(err, store.ErrUnknown) {
			t.Error(err)
		}
	})
}

// Connections break at every moment and servers are killed while clients make changes
// that must be made once. Everything is made once, and every call succeeds.
func TestChaos(t *testing.T) {
	seeded(t, 15, func(t *testing.T, n *fakeNet, seed uint64) { chaos(t, n, seed) })
}

// seeded runs a test on several networks, each with a seed of its own.
func seeded(t *testing.T, runs int, run func(t *testing.T, n *fakeNet, seed uint64)) {
	if os.Getenv("PODSTORE_LONG") != "" {
		runs = 1000
	}
	for range runs {
		seed := rand.Uint64()
		fake(t, func(t *testing.T, n *fakeNet) {
			run(t, n, seed)
			if t.Failed() {
				t.Logf("seed %d", seed)
			}
		})
	}
}

func chaos(t *testing.T, n *fakeNet, seed uint64) {
	const callers, rounds = 6, 40
	var mu sync.Mutex
	rng := rand.New(rand.NewPCG(seed, 0))
	roll := func(k int) int {
		mu.Lock()
		defer mu.Unlock()
		return rng.IntN(k)
	}
	pods := memstore.New()
	n.between = func(client, server net.Conn) {
		tamper(client, server, func() fate {
			if roll(3) > 0 {
				time.Sleep(time.Duration(roll(50)) * time.Millisecond)
				return passes
			}
			return fate(roll(int(numFates)))
		})
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			server := n.serve(pods, nil)
			select {
			case <-stop:
				return
			case <-time.After(time.Duration(roll(300)) * time.Millisecond):
			}
			server.stop(t)
			time.Sleep(time.Duration(roll(2000)) * time.Millisecond)
		}
	}()
	var running sync.WaitGroup
	linked := make([]bool, callers)
	clients := []*Client{n.client(&Options{Patience: time.Minute}), n.client(&Options{Patience: time.Minute})}
	for g := range callers {
		running.Go(func() {
			c := clients[g%len(clients)]
			me := fmt.Sprint("own", g)
			for i := range rounds {
				var err error
				switch roll(4) {
				case 0:
					err = store.ErrConflict // others may win for long, and nothing is changed then
					for errors.Is(err, store.ErrConflict) {
						_, err = c.Update(t.Context(), "count", increment)
					}
				case 1:
					err = store.Do(t.Context(), c, "shared", store.Reclaim{Reclaimed: []store.ReclaimedChild{{PodName: fmt.Sprint(me, i)}}})
				case 2:
					changes := []store.Change{{Pod: me, Op: store.AddPeer{PodName: "shared"}}, {Pod: "shared", Op: store.AddPeer{PodName: me}}}
					if linked[g] {
						changes = []store.Change{{Pod: me, Op: store.RemovePeer{PodName: "shared"}, If: store.Exists}, {Pod: "shared", Op: store.RemovePeer{PodName: me}, If: store.Exists}}
					}
					_, err = c.Apply(t.Context(), changes, nil)
					linked[g] = !linked[g]
				case 3:
					_, err = c.Apply(t.Context(), []store.Change{{Pod: fmt.Sprint("new", g, i), Op: store.Put{Metadata: pod(fmt.Sprint("new", g, i), 0)}, If: store.Missing}}, nil)
				}
				if err != nil {
					t.Errorf("caller %d, round %d: %v", g, i, err)
					return
				}
				mu.Lock()
				n.made++
				mu.Unlock()
			}
		})
	}
	running.Wait()
	close(stop)
	<-stopped
	// Each acknowledged change has a number of its own.
	if got := int(pods.Number()); got != n.made {
		t.Errorf("%d changes were made, %d acknowledged", got, n.made)
	}
	for g := range callers {
		me, shared := &store.Metadata{}, &store.Metadata{}
		if m, err := pods.Read(t.Context(), fmt.Sprint("own", g)); err == nil {
			me = m
		}
		if m, err := pods.Read(t.Context(), "shared"); err == nil {
			shared = m
		}
		if me.HasPeer("shared") != linked[g] || shared.HasPeer(fmt.Sprint("own", g)) != linked[g] {
			t.Errorf("caller %d: linked %v, %v and %v", g, linked[g], me.Peers, shared.Peers)
		}
		times := map[string]bool{}
		for _, r := range shared.Reclaimed {
			if times[r.PodName] {
				t.Errorf("%s was reclaimed twice", r.PodName)
			}
			times[r.PodName] = true
		}
	}
}
