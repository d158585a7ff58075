package socketstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"podstore/store"
	"podstore/store/memstore"
)

func pod(name string, size int) *store.Metadata {
	m := &store.Metadata{PodName: name}
	if size > 0 {
		m.Manifest = []byte(`"` + strings.Repeat("x", size-2) + `"`)
	}
	return m
}

func mustWrite(t *testing.T, s store.MetadataStore, pods ...*store.Metadata) {
	t.Helper()
	for _, m := range pods {
		if err := store.Write(t.Context(), s, m); err != nil {
			t.Fatal(err)
		}
	}
}

// within checks that about so much time has passed.
func within(t *testing.T, start time.Time, least, most time.Duration) {
	t.Helper()
	if d := time.Since(start); d < least || d > most {
		t.Errorf("it took %v, want %v to %v", d, least, most)
	}
}

func TestWaitsForAServer(t *testing.T) {
	fake(t, func(t *testing.T, n *fakeNet) {
		c := n.client(nil)
		start := time.Now()
		err := store.Do(t.Context(), c, "a", store.AddPeer{PodName: "b"})
		if !errors.Is(err, store.ErrUnavailable) || errors.Is(err, store.ErrUnknown) {
			t.Errorf("nobody listens: %v", err)
		}
		if _, err := c.List(t.Context()); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("nobody listens: %v", err)
		}
		within(t, start, 19*time.Second, 20*time.Second)
		if n.dialled > 200 {
			t.Errorf("it tried %d times in 20 s", n.dialled)
		}
		pods := memstore.New()
		start = time.Now()
		go func() {
			time.Sleep(5 * time.Second)
			n.serve(pods, nil)
		}()
		if err := store.Do(t.Context(), c, "a", store.AddPeer{PodName: "b"}); err != nil {
			t.Error(err)
		}
		within(t, start, 5*time.Second, 5*time.Second+2*maxPause)
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		n.l.Close()
		c.pool.close()
		start = time.Now()
		if err := store.Do(short, n.client(nil), "a", store.AddPeer{PodName: "b"}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("its context ended: %v", err)
		}
		within(t, start, time.Second, time.Second)
	})
}

// A stopped server (SIGSTOP) accepts connections and answers nothing.
func TestStoppedServer(t *testing.T) {
	fake(t, func(t *testing.T, n *fakeNet) {
		n.listen()
		c := n.client(nil)
		for what, test := range map[string]struct {
			call  func(ctx context.Context) error
			want  error
			after time.Duration
		}{
			"Read": {func(ctx context.Context) error { _, err := c.Read(ctx, "a"); return err }, context.DeadlineExceeded, 0},
			"List": {func(ctx context.Context) error { _, err := c.List(ctx); return err }, context.DeadlineExceeded, 0},
			"All": {func(ctx context.Context) (err error) {
				for _, err = range c.All(ctx, store.ReadOptions{}) {
				}
				return err
			}, context.DeadlineExceeded, 0},
			"Apply": {func(ctx context.Context) error { return store.Do(ctx, c, "a", store.Delete{}) }, store.ErrUnknown, 250 * time.Millisecond},
			"large": {func(ctx context.Context) error { return store.Write(ctx, c, pod("a", 1<<20)) }, context.DeadlineExceeded, 250 * time.Millisecond},
		} {
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			start := time.Now()
			err := test.call(ctx)
			cancel()
			if !errors.Is(err, test.want) {
				t.Errorf("%s: %v, want %v", what, err, test.want)
			}
			within(t, start, 200*time.Millisecond, 200*time.Millisecond+test.after)
		}
		start := time.Now()
		if err := store.Do(t.Context(), c, "a", store.Delete{}); !errors.Is(err, store.ErrUnknown) || errors.Is(err, store.ErrUnavailable) {
			t.Errorf("a change that nobody answers: %v", err)
		}
		within(t, start, time.Minute, 2*time.Minute)
	})
}

// blocked is a store whose changes wait, as they do while a commit is under way.
type blocked struct {
	*memstore.Store
	waiting atomic.Int64
	release chan struct{}
}

func (s *blocked) Apply(ctx context.Context, changes []store.Change, opts *store.ApplyOptions) ([]store.Applied, error) {
	s.waiting.Add(1)
	defer s.waiting.Add(-1)
	select {
	case <-s.release:
		return s.Store.Apply(ctx, changes, opts)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// A change whose context ends while it waits for a commit is withdrawn.
func TestWithdrawn(t *testing.T) {
	fake(t, func(t *testing.T, n *fakeNet) {
		s := &blocked{Store: memstore.New(), release: make(chan struct{})}
		n.serve(s, nil)
		c := n.client(nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		if err := store.Do(ctx, c, "a", store.AddPeer{PodName: "b"}); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, store.ErrUnknown) {
			t.Error(err)
		}
		within(t, start, time.Second, time.Second)
		synctest.Wait()
		if s.waiting.Load() != 0 {
			t.Error("it still waits")
		}
		close(s.release)
		if err := store.Do(t.Context(), c, "a", store.AddPeer{PodName: "c"}); err != nil {
			t.Error(err)
		}
		if m, err := c.Read(t.Context(), "a"); err != nil || m.HasPeer("b") {
			t.Error(m, err)
		}
	})
}

// Shutdown waits until changes that have begun are answered.
func TestShutdownAnswers(t *testing.T) {
	fake(t, func(t *testing.T, n *fakeNet) {
		s := &blocked{Store: memstore.New(), release: make(chan struct{})}
		server := n.serve(s, nil)
		c := n.client(nil)
		made := make(chan error, 1)
		go func() { made <- store.Do(t.Context(), c, "a", store.AddPeer{PodName: "b"}) }()
		synctest.Wait()
		down := make(chan error, 1)
		go func() { down <- server.Shutdown(t.Context()) }()
		time.Sleep(time.Second)
		select {
		case err := <-down:
			t.Errorf("it did not wait: %v", err)
		default:
		}
		close(s.release)
		if err := errors.Join(<-made, <-down); err != nil {
			t.Error(err)
		}
		// The next server serves the same clients.
		n.serve(s, nil)
		if m, err := c.Read(t.Context(), "a"); err != nil || !m.HasPeer("b") {
			t.Error(m, err)
		}
	})
}

// The server cuts off a client that reads slowly. A client whose loop is slow still
// gets every Pod once.
func TestSlowLoop(t *testing.T) {
	fake(t, func(t *testing.T, n *fakeNet) {
		pods := memstore.New()
		const many = 40
		for i := range many {
			mustWrite(t, pods, pod(fmt.Sprintf("pod%02d", i), 100<<10))
		}
		mustWrite(t, pods, pod("large", 2<<20))
		pods.Damage("pod05")
		server := n.serve(pods, nil)
		c := n.client(nil)
		seen, damaged := map[string]int{}, 0
		for m, err := range c.All(t.Context(), store.ReadOptions{}) {
			if errors.Is(err, store.ErrCorrupt) {
				damaged++
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			seen[m.PodName]++
			time.Sleep(15 * time.Second) // longer than the server waits for it
		}
		if len(seen) != many || damaged != 1 {
			t.Errorf("%d Pods of %d, %d damaged", len(seen), many, damaged)
		}
		for name, times := range seen {
			if times != 1 {
				t.Errorf("%s came %d times", name, times)
			}
		}
		if n.dialled < 10 {
			t.Errorf("it was cut off only %d times", n.dialled)
		}
		synctest.Wait()
		if stats := server.Stats(); stats.HeldBytes != 0 {
			t.Errorf("%d bytes are held for nobody", stats.HeldBytes)
		}
	})
}

// say sends a request's bytes and reads nothing of the answer.
func (n *fakeNet) say(request string) net.Conn {
	n.t.Helper()
	head, body, _ := strings.Cut(request, "\n\n")
	if body != "" || strings.HasSuffix(request, "\n\n") {
		head += "\n\n"
	}
	c, err := n.dial(n.t.Context())
	if err == nil {
		_, err = io.WriteString(c, strings.ReplaceAll(head, "\n", "\r\n")+body)
	}
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { c.Close() })
	return c
}

// The server cuts off a client that stops in the middle of a request. Nothing is
// changed.
func TestSlowSender(t *testing.T) {
	fake(t, func(t *testing.T, n *fakeNet) {
		pods := memstore.New()
		server := n.serve(pods, nil)
		for _, request := range []string{
			"POST /v2/cha",
			"POST /v2/changes HTTP/1.1\nHost: p\n",
			"POST /v2/changes HTTP/1.1\nHost: p\nContent-Length: 30\n\n{\"pod\":\"a\",\"op\":\"remove\"",
			"POST /v2/changes HTTP/1.1\nHost: p\nContent-Length: 1000000\n\n" + strings.Repeat("x", 70<<10),
		} {
			start := time.Now()
			slow := n.say(request)
			if _, err := io.Copy(io.Discard, slow); err != nil {
				t.Error(err)
			}
			within(t, start, 9*time.Second, 21*time.Second)
		}
		synctest.Wait()
		if stats := server.Stats(); stats.HeldBytes != 0 || stats.Connections != 0 || stats.Changes != 0 {
			t.Errorf("%+v", stats)
		}
	})
}

// Slow clients hold memory only while nobody else wants it.
func TestMemoryIsShared(t *testing.T) {
	fake(t, func(t *testing.T, n *fakeNet) {
		pods := memstore.New()
		for i := range 20 {
			mustWrite(t, pods, pod(fmt.Sprint("pod", i), 1<<20))
		}
		mustWrite(t, pods, pod("small", 1000))
		server := n.serve(pods, &ServerOptions{MaxHeld: 5 << 20})
		for i := range 20 {
			n.say(fmt.Sprintf("GET /v2/pods/pod%d HTTP/1.1\nHost: p\n\n", i))
			n.say("GET /v2/pods HTTP/1.1\nHost: p\n\n")
			n.say("POST /v2/changes HTTP/1.1\nHost: p\nContent-Length: 1000000\n\n" + strings.Repeat("x", 70<<10))
		}
		synctest.Wait()
		if held := server.Stats().HeldBytes; held > 5<<20 {
			t.Errorf("%d bytes are held", held)
		}
		c := n.client(nil)
		start := time.Now()
		if _, err := c.Read(t.Context(), "small"); err != nil {
			t.Error(err)
		}
		if err := store.Do(t.Context(), c, "small", store.AddPeer{PodName: "b"}); err != nil {
			t.Error(err)
		}
		within(t, start, 0, 0) // what is small waits for nobody
		start = time.Now()
		patient := n.client(&Options{Patience: time.Minute})
		if _, err := patient.Read(t.Context(), "pod7"); err != nil {
			t.Error(err)
		}
		if err := store.Write(t.Context(), patient, pod("new", 1<<20)); err != nil {
			t.Error(err)
		}
		within(t, start, 0, 2*time.Minute)
	})
}

// spooled is a store that writes a file of some size.
type spooled struct {
	*memstore.Store
	size int
}

func (s spooled) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(make([]byte, s.size))
	return int64(n), err
}

// Slow readers of snapshots do not hold every place.
func TestSlowSnapshots(t *testing.T) {
	fake(t, func(t *testing.T, n *fakeNet) {
		n.serve(spooled{memstore.New(), 4 << 20}, nil)
		for range 4 {
			slow := n.say("GET /v2/snapshot HTTP/1.1\nHost: p\n\n")
			go func() {
				piece := make([]byte, 28<<10)
				for err := error(nil); err == nil; _, err = io.ReadFull(slow, piece) {
					select {
					case <-time.After(time.Second):
					case <-t.Context().Done():
						return
					}
				}
			}()
		}
		synctest.Wait()
		start := time.Now()
		for range 3 {
			in, err := n.client(nil).pool.open(t.Context(), &request{method: "GET", target: snapshotPath}, time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.Copy(io.Discard, in.Body); got != 4<<20 || err != nil {
				t.Errorf("%d bytes, %v", got, err)
			}
			in.Body.Close()
		}
		within(t, start, 0, 10*time.Second)
	})
}
