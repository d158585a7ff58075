package socketstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"podstore/store"
	"podstore/store/memstore"
	"podstore/store/storetest"
)

// follower is a watch, batch by batch, with all that it got.
type follower struct {
	t    *testing.T
	next func() (store.Batch, error, bool)
	pods map[string]*store.Metadata
	last store.Batch
}

func follow(t *testing.T, ctx context.Context, s store.MetadataStore, opts store.WatchOptions) *follower {
	next, stop := iter.Pull2(store.Watch(ctx, s, opts))
	t.Cleanup(stop)
	return &follower{t: t, next: next, pods: map[string]*store.Metadata{}}
}

// batch takes a batch.
func (f *follower) batch() store.Batch {
	f.t.Helper()
	b, err, ok := f.next()
	if err != nil || !ok {
		f.t.Fatalf("the watch ended: %v", err)
	}
	if b.Resync {
		clear(f.pods)
	}
	for _, e := range b.Events {
		if f.pods[e.Pod] = e.Metadata; e.Metadata == nil {
			delete(f.pods, e.Pod)
		}
	}
	f.last = b
	return b
}

// until takes batches until the number is reached, and returns how many events came.
func (f *follower) until(number uint64) (events int) {
	f.t.Helper()
	for {
		b := f.batch()
		if events += len(b.Events); b.Number >= number {
			return events
		}
	}
}

// ends expects the end.
func (f *follower) ends(want error) {
	f.t.Helper()
	for {
		_, err, ok := f.next()
		if err != nil || !ok {
			if !errors.Is(err, want) {
				f.t.Errorf("the watch ended with %v, want %v", err, want)
			}
			return
		}
	}
}

// A watch goes on through another server of the same store and gets only the
// differences. Only from an older store does it get everything.
func TestWatchGoesOn(t *testing.T) {
	fake(t, func(t *testing.T, n *fakeNet) {
		pods := memstore.New()
		for i := range 20 {
			mustWrite(t, pods, pod(fmt.Sprint("pod", i), 100))
		}
		server := n.serve(pods, nil)
		f := follow(t, t.Context(), n.client(nil), store.WatchOptions{})
		if f.until(20) != 20 {
			t.Error("the list is not whole")
		}
		for i := range 4 {
			if i%2 == 0 {
				server.stop(t)
			} else if err := server.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
			mustWrite(t, pods, pod("pod1", 200+i))
			if err := store.Do(t.Context(), pods, fmt.Sprint("pod", 10+i), store.Delete{}); err != nil {
				t.Error(err)
			}
			time.Sleep(3 * time.Second)
			server = n.serve(pods, nil)
			if got := f.until(pods.Number()); got != 2 || f.last.Resync {
				t.Errorf("after server %d it is given %d events, resync %v", i, got, f.last.Resync)
			}
			if m := f.pods["pod1"]; len(f.pods) != 19-i || m == nil || len(m.Manifest) != 200+i {
				t.Errorf("after server %d it has %d Pods", i, len(f.pods))
			}
		}
		server.stop(t)
		older := memstore.New()
		mustWrite(t, older, pod("pod1", 1000), pod("new", 0))
		server = n.serve(older, nil)
		if f.batch(); !f.last.Resync || f.last.Number != 2 || len(f.pods) != 2 || len(f.pods["pod1"].Manifest) != 1000 {
			t.Errorf("of an older store it is given %+v", f.last)
		}
		// An older store comes to higher numbers before the client is there again.
		server.stop(t)
		other := memstore.New()
		mustWrite(t, other, pod("other", 10), pod("pod1", 20), pod("new", 30), pod("new", 40))
		server = n.serve(other, nil)
		if f.batch(); !f.last.Resync || f.last.Number != 4 || len(f.pods) != 3 {
			t.Errorf("of an older store with more changes it is given %+v", f.last)
		}
		server.stop(t)
		start := time.Now()
		f.ends(store.ErrUnavailable)
		within(t, start, 9*time.Second, 10*time.Second)
	})
}

// The client leaves a server that sends nothing any more.
func TestWatchOfAStoppedServer(t *testing.T) {
	fake(t, func(t *testing.T, n *fakeNet) {
		pods := memstore.New()
		mustWrite(t, pods, pod("a", 0))
		stopped := make(chan struct{})
		n.between = func(client, server net.Conn) {
			go io.Copy(server, client)
			buf := make([]byte, 1000)
			for {
				k, err := server.Read(buf)
				select {
				case <-stopped:
					<-t.Context().Done()
					return
				default:
				}
				if err != nil {
					return
				}
				_, _ = client.Write(buf[:k])
			}
		}
		n.serve(pods, nil)
		f := follow(t, t.Context(), n.client(nil), store.WatchOptions{})
		f.until(1)
		close(stopped)
		start := time.Now()
		f.ends(store.ErrUnavailable)
		within(t, start, time.Minute, 3*time.Minute)
	})
}

// As many watches as permitted go on at a time. One that ends makes room. Other
// requests do not count.
func TestWatchesAreBounded(t *testing.T) {
	fake(t, func(t *testing.T, n *fakeNet) {
		pods := memstore.New()
		mustWrite(t, pods, pod("a", 0))
		server := n.serve(pods, &ServerOptions{MaxWatches: 3})
		ctx, cancel := context.WithCancel(t.Context())
		var three []*follower
		for range 3 {
			f := follow(t, ctx, n.client(nil), store.WatchOptions{})
			f.batch()
			three = append(three, f)
		}
		if got := server.Stats().Watches; got != 3 {
			t.Errorf("%d watches are counted", got)
		}
		c := n.client(nil)
		start := time.Now()
		follow(t, t.Context(), c, store.WatchOptions{}).ends(store.ErrUnavailable)
		within(t, start, 9*time.Second, 10*time.Second)
		conn := n.say("GET /v2/watch HTTP/1.1\nHost: p\n\n")
		if status, body, header := hear(t, conn); status != 503 || !strings.Contains(body, `"kind":"busy"`) || header.Get("Retry-After") != "1" {
			t.Errorf("%d %s", status, body)
		}
		conn.Close()
		if _, err := c.Read(t.Context(), "a"); err != nil {
			t.Error(err)
		}
		time.AfterFunc(time.Second, cancel)
		var ended sync.WaitGroup
		for _, f := range three {
			ended.Go(func() { f.ends(context.Canceled) })
		}
		follow(t, t.Context(), c, store.WatchOptions{}).batch()
		ended.Wait()
		synctest.Wait()
		if got := server.Stats(); got.Watches != 1 || got.HeldBytes != 0 {
			t.Errorf("%+v", got)
		}
	})
}

// Watchers that do not read hold no more than permitted, and hold up nobody. When they
// read again, they get the last state.
func TestSlowWatchers(t *testing.T) {
	fake(t, func(t *testing.T, n *fakeNet) {
		const many, most = 12, 5 << 20
		pods := memstore.New()
		for i := range 8 {
			mustWrite(t, pods, pod(fmt.Sprint("pod", i), 256<<10))
		}
		server := n.serve(pods, &ServerOptions{MaxHeld: most})
		var slow []*follower
		for range many {
			n.say("GET /v2/watch HTTP/1.1\nHost: p\n\n")
			f := follow(t, t.Context(), n.client(&Options{Patience: time.Hour}), store.WatchOptions{})
			f.batch()
			slow = append(slow, f)
		}
		c := n.client(nil)
		quick := follow(t, t.Context(), c, store.WatchOptions{OmitManifest: true})
		quick.batch()
		held := int64(0)
		for i := range 20 {
			start := time.Now()
			if err := store.Do(t.Context(), c, fmt.Sprint("pod", i%8), store.AddPeer{PodName: fmt.Sprint(i)}); err != nil {
				t.Error(err)
			}
			if _, err := c.ReadPart(t.Context(), "pod7", store.ReadOptions{OmitManifest: true}); err != nil {
				t.Error(err)
			}
			quick.until(pods.Number())
			within(t, start, 0, 100*time.Millisecond)
			held = max(held, server.Stats().HeldBytes)
			time.Sleep(time.Second)
		}
		if held == 0 || held > most {
			t.Errorf("%d bytes were held", held)
		}
		var all sync.WaitGroup
		for _, f := range slow {
			all.Go(func() {
				if f.until(pods.Number()); len(f.pods) != 8 || !f.pods["pod3"].HasPeer("19") {
					t.Error("a slow watcher has not the last state")
				}
			})
		}
		all.Wait()
	})
}

// When a watch begins, the server asks the hook about the names, or about everything.
func TestWatchIsAuthorized(t *testing.T) {
	fake(t, func(t *testing.T, n *fakeNet) {
		pods := memstore.New()
		mustWrite(t, pods, pod("own", 0), pod("secret", 0))
		server := n.serve(pods, &ServerOptions{AuthorizeRead: func(_ context.Context, _ Caller, pods []string) error {
			if len(pods) != 1 || pods[0] != "own" {
				return errors.New("not yours")
			}
			return nil
		}})
		c := n.client(nil)
		for _, names := range [][]string{nil, {}, {"secret"}, {"own", "secret"}} {
			f := follow(t, t.Context(), c, store.WatchOptions{Pods: names})
			if b, err, _ := f.next(); !errors.Is(err, store.ErrForbidden) {
				t.Errorf("watching %q: %v, %v", names, b, err)
			}
		}
		f := follow(t, t.Context(), c, store.WatchOptions{Pods: []string{"own"}})
		f.batch()
		mustWrite(t, pods, pod("secret", 10), pod("own", 10))
		if f.until(pods.Number()); len(f.pods) != 1 || len(f.pods["own"].Manifest) != 10 {
			t.Errorf("it has %v", f.pods)
		}
		if got := server.Stats().Refused; got != 4 {
			t.Errorf("%d were refused", got)
		}
	})
}

// A watch may have more names than a request can carry.
func TestWatchOfManyNames(t *testing.T) {
	fake(t, func(t *testing.T, n *fakeNet) {
		pods := memstore.New()
		mustWrite(t, pods, pod("other", 0))
		server := n.serve(pods, &ServerOptions{MaxHeld: 1 << 20})
		c := n.client(nil)
		for _, many := range []int{maxNames, maxNames + 1, 20_000} {
			var names []string
			for i := range many {
				names = append(names, fmt.Sprint("pod", i))
			}
			mustWrite(t, pods, pod(names[many-1], many))
			f := follow(t, t.Context(), c, store.WatchOptions{Pods: names})
			if f.batch(); f.pods["other"] != nil || f.pods[names[many-1]] == nil {
				t.Errorf("of %d names it is given %v", many, f.pods)
			}
			if held := server.Stats().HeldBytes; (held > 0) != (many <= maxNames) && many == maxNames {
				t.Errorf("%d bytes are held for %d names", held, many)
			}
		}
	})
}

// Closing the client, and the store that is served, end watches: one for good.
func TestWatchEnds(t *testing.T) {
	fake(t, func(t *testing.T, n *fakeNet) {
		pods := memstore.New()
		server := n.serve(pods, nil)
		c := n.client(nil)
		f := follow(t, t.Context(), c, store.WatchOptions{})
		f.batch()
		time.AfterFunc(time.Second, func() { c.Close() })
		f.ends(store.ErrClosed)
		follow(t, t.Context(), c, store.WatchOptions{}).ends(store.ErrClosed)

		conn := n.say("GET /v2/watch HTTP/1.1\nHost: p\n\n")
		time.AfterFunc(3*time.Second, func() { _ = server.Shutdown(t.Context()) })
		start := time.Now()
		status, body, _ := hear(t, conn)
		if want := "{\"synced\":0}\n"; status != 200 || !strings.HasPrefix(body, want+want) || !strings.HasSuffix(body, want+`{"ended":{"kind":"closed","op":"watch","reason":"the server stops"}}`+"\n") {
			t.Errorf("%d %s", status, body)
		}
		within(t, start, 3*time.Second, 3*time.Second)

		n.serve(plainStore{pods}, nil)
		follow(t, t.Context(), n.client(nil), store.WatchOptions{}).ends(errors.ErrUnsupported)
	})
}

// plainStore has no optional abilities.
type plainStore struct{ store.MetadataStore }

// Requests to watch that are wrong are answered with an error.
func TestWatchRequests(t *testing.T) {
	fake(t, func(t *testing.T, n *fakeNet) {
		n.serve(memstore.New(), nil)
		post := func(body string) string {
			return fmt.Sprintf("POST /v2/watch HTTP/1.1\nHost: p\nContent-Length: %d\n\n%s", len(body), body)
		}
		for request, want := range map[string]string{
			"GET /v2/watch?pod=a%2Fb HTTP/1.1\nHost: p\n\n":                         `400 {"error":{"kind":"invalid_name"`,
			"GET /v2/watch?pod=a&pod=a HTTP/1.1\nHost: p\n\n":                       `400 {"error":{"kind":"invalid","op":"watch"`,
			"GET /v2/watch?pods=a HTTP/1.1\nHost: p\n\n":                            `400 {"error":{"kind":"invalid","op":"request"`,
			"DELETE /v2/watch HTTP/1.1\nHost: p\n\n":                                `405 {"error":{"kind":"unsupported"`,
			post("\"a\"\nb\n"):                                                      `400 {"error":{"kind":"invalid","op":"request","reason":"line 2 of the body`,
			post(strings.Repeat("\"a\"\n", maxNames+1)):                             `413 {"error":{"kind":"too_large"`,
			"POST /v2/watch HTTP/1.1\nHost: p\nContent-Length: 65537\n\n":           `413 {"error":{"kind":"too_large"`,
			"POST /v2/watch HTTP/1.1\nHost: p\nTransfer-Encoding: chunked\n\n0\n\n": `411 {"error":{"kind":"invalid"`,
			strings.Replace(post(`"a"`), "/watch", "/watch?pod=a", 1):               `400 {"error":{"kind":"invalid","op":"request"`,
		} {
			c := n.say(request)
			status, body, _ := hear(t, c)
			c.Close()
			if got := fmt.Sprint(status, " ", body); !strings.HasPrefix(got, want) {
				t.Errorf("%.80q:\n%s\nwant %s", request, got, want)
			}
		}
	})
}

// What watchers are told is what was done, while connections break at any byte and
// servers end and start: see storetest.WatchRun.
func TestWatchChaos(t *testing.T) {
	seeded(t, 12, func(t *testing.T, n *fakeNet, seed uint64) { watchChaos(t, n, rand.New(rand.NewPCG(seed, 1))) })
}

func watchChaos(t *testing.T, n *fakeNet, rng *rand.Rand) {
	var mu sync.Mutex
	calm := false
	roll := func(k int) int {
		mu.Lock()
		defer mu.Unlock()
		return rng.IntN(k)
	}
	pods := memstore.New()
	n.between = func(client, server net.Conn) {
		pass := func(to, from net.Conn) {
			defer to.Close()
			defer from.Close()
			mu.Lock()
			left := int64(1) << 40
			if !calm && rng.IntN(2) == 0 {
				left = rng.Int64N(20_000)
			}
			mu.Unlock()
			_, _ = io.Copy(to, io.LimitReader(from, left))
		}
		go pass(server, client)
		pass(client, server)
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	own := rand.New(rand.NewPCG(rng.Uint64(), 0)) // nobody else's
	server := n.serve(pods, nil)
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			case <-time.After(time.Duration(roll(2000)) * time.Millisecond):
			}
			server.stop(t)
			time.Sleep(time.Duration(roll(1000)) * time.Millisecond)
			server = n.serve(pods, nil)
		}
	}()
	run := storetest.NewWatchRun(t, pods, own)
	run.Unsure = true
	patient := &Options{Patience: time.Hour}
	var clients []store.MetadataStore
	for range 3 {
		c := n.client(patient)
		clients = append(clients, c)
		run.Watch(c, 2)
	}
	run.Write(clients, 3, 30)
	for _, c := range clients {
		run.Watch(c, 1)
	}
	run.Write(clients, 3, 30)
	close(stop)
	<-stopped
	mu.Lock()
	calm = true
	mu.Unlock()
	run.End()
}
