package socketstore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"podstore/store"
	"podstore/store/boltstore"
	"podstore/store/socketstore"
)

// between stands between clients and a server, and breaks connections at the
// moment that matters.
type between struct {
	t   *testing.T
	dir string
	l   net.Listener

	mu     sync.Mutex
	stop   func() error
	client *socketstore.Client
	onSend func() // instead of passing the next change on; once
	onMade func() // instead of passing the answer to the next change on; once
}

// newBetween serves a new database.
func newBetween(t *testing.T) *between {
	b := &between{t: t, dir: shortDir(t)}
	b.restart()
	var err error
	if b.l, err = boltstore.ListenUnix(filepath.Join(b.dir, "between")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		b.l.Close()
		b.mu.Lock()
		defer b.mu.Unlock()
		if err := b.stop(); err != nil {
			t.Error(err)
		}
	})
	go func() {
		for {
			c, err := b.l.Accept()
			if err != nil {
				return
			}
			go b.pass(c)
		}
	}()
	return b
}

// restart starts the server, again if it runs.
func (b *between) restart() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.stop != nil {
		if err := b.stop(); err != nil {
			b.t.Error(err)
		}
	}
	socket := filepath.Join(b.dir, "s")
	var err error
	if b.stop, err = serve(filepath.Join(b.dir, "db"), socket, nil); err != nil {
		b.t.Fatal(err)
	}
	if b.client, err = socketstore.Dial(socket, nil); err != nil {
		b.t.Fatal(err)
	}
}

// direct is a client that does not go through b.
func (b *between) direct() *socketstore.Client {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.client
}

// dial gives a client that goes through b.
func (b *between) dial(opts *socketstore.Options) *socketstore.Client {
	b.t.Helper()
	c, err := socketstore.Dial(filepath.Join(b.dir, "between"), opts)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { c.Close() })
	return c
}

// once takes a hook.
func (b *between) once(hook *func()) func() {
	b.mu.Lock()
	defer b.mu.Unlock()
	f := *hook
	*hook = nil
	return f
}

// pass passes requests and answers on, one after the other.
func (b *between) pass(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("unix", filepath.Join(b.dir, "s"))
	if err != nil {
		return
	}
	defer server.Close()
	buf := make([]byte, 1<<20)
	for {
		n, err := client.Read(buf)
		if err != nil {
			return
		}
		change := bytes.Contains(buf[:n], []byte("\r\nPodstore-Request: "))
		if change {
			if f := b.once(&b.onSend); f != nil {
				f()
				return
			}
		}
		if _, err := server.Write(buf[:n]); err != nil {
			return
		}
		if n, err = server.Read(buf); err != nil {
			return
		}
		if change {
			if f := b.once(&b.onMade); f != nil {
				f()
				return
			}
		}
		if _, err := client.Write(buf[:n]); err != nil {
			return
		}
	}
}

// lose has the answer to the next change lost, and does something then.
func (b *between) lose(then func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.onMade = then
}

// swallow has the next change lost, and does something then.
func (b *between) swallow(then func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.onSend = then
}

func increment(m *store.Metadata) error {
	n, _ := strconv.Atoi(string(m.Manifest))
	m.Manifest = []byte(strconv.Itoa(n + 1))
	return nil
}

func (b *between) count(pod string) string {
	b.t.Helper()
	m, err := b.direct().Read(context.Background(), pod)
	if errors.Is(err, store.ErrNotFound) {
		return "none"
	}
	if err != nil {
		b.t.Fatal(err)
	}
	return string(m.Manifest)
}

func update(ctx context.Context, s store.MetadataStore, pod string) error {
	_, err := s.Update(ctx, pod, increment)
	return err
}

// A change whose answer was lost is made once, however often it is sent, where the
// server lives on.
func TestAnswerLost(t *testing.T) {
	b := newBetween(t)
	ctx := t.Context()
	c := b.dial(nil)
	for i := range 10 {
		b.lose(func() {})
		if err := update(ctx, c, "a"); err != nil {
			t.Fatal(err)
		}
		b.swallow(func() { b.lose(func() {}) })
		if err := update(ctx, c, "b"); err != nil {
			t.Fatal(err)
		}
		for _, pod := range []string{"a", "b"} {
			if got := b.count(pod); got != fmt.Sprint(i+1) {
				t.Fatalf("%s counts %s after %d updates", pod, got, i+1)
			}
		}
	}
	b.lose(func() {})
	if err := store.LinkPeers(ctx, c, "a", "b"); err != nil {
		t.Error(err)
	}
	b.lose(func() { // it would be wrong to write or delete again
		if err := update(ctx, b.direct(), "w"); err != nil {
			t.Error(err)
		}
	})
	if err := store.Write(ctx, c, &store.Metadata{PodName: "w", Manifest: []byte("6")}); err != nil {
		t.Error(err)
	}
	if got := b.count("w"); got != "7" {
		t.Errorf("a Write was made again: %s", got)
	}
	b.lose(func() {
		if err := update(ctx, b.direct(), "w"); err != nil {
			t.Error(err)
		}
	})
	if err := store.Do(ctx, c, "w", store.Delete{}); err != nil {
		t.Error(err)
	}
	if got := b.count("w"); got != "1" {
		t.Errorf("a Delete was made again: %s", got)
	}
}

// A server that was started meanwhile does not know the change. What is stored
// tells, or the error says that nobody can.
func TestAnswerLostAndServerRestarted(t *testing.T) {
	b := newBetween(t)
	ctx := t.Context()
	c := b.dial(nil)
	restart := func() { b.restart() }
	others := func() {
		b.restart()
		if err := store.Do(ctx, b.direct(), "a", store.AddPeer{PodName: "other"}); err != nil {
			t.Error(err)
		}
	}
	add := func() error { err := store.Do(ctx, c, "a", store.AddPeer{PodName: "mine"}); return err }
	count := func() error { return update(ctx, c, "a") }
	write := func() error { return store.Write(ctx, c, &store.Metadata{PodName: "a", Manifest: []byte("7")}) }
	remove := func() error { return store.Do(ctx, c, "a", store.Delete{}) }
	for _, test := range []struct {
		name       string
		lose       func(func())
		then       func()
		change     func() error
		want       error
		count      string
		mine, also bool // which peers it has then
	}{
		{"made, and the edit changes nothing now", b.lose, restart, add, nil, "5", true, false},
		{"made, then others, and the edit changes nothing now", b.lose, others, add, nil, "5", true, true},
		{"made, and the edit would change it again", b.lose, restart, count, store.ErrUnknown, "6", false, false},
		{"not made", b.swallow, restart, count, nil, "6", false, false},
		{"not made, then others", b.swallow, others, count, store.ErrUnknown, "5", false, true},
		{"not made, then others, as a set", b.swallow, others, add, store.ErrUnknown, "5", false, true},
		{"written", b.lose, restart, write, nil, "7", false, false},
		{"not written", b.swallow, restart, write, store.ErrUnknown, "5", false, false},
		{"written, then others", b.lose, others, write, store.ErrUnknown, "7", false, true},
		{"deleted", b.lose, restart, remove, nil, "none", false, false},
		{"not deleted", b.swallow, restart, remove, store.ErrUnknown, "5", false, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			if err := store.Write(ctx, c, &store.Metadata{PodName: "a", Manifest: []byte("5")}); err != nil {
				t.Fatal(err)
			}
			test.lose(test.then)
			err := test.change()
			if !errors.Is(err, test.want) {
				t.Errorf("got error %v, want %v", err, test.want)
			}
			if got := b.count("a"); got != test.count {
				t.Errorf("it counts %s, want %s", got, test.count)
			}
			m, err := b.direct().Read(ctx, "a")
			if test.count != "none" && (err != nil || m.HasPeer("mine") != test.mine || m.HasPeer("other") != test.also) {
				t.Errorf("peers are %v, %v", m, err)
			}
			// The client goes on.
			if err := update(ctx, c, "a"); err != nil {
				t.Errorf("the next change: %v", err)
			}
		})
	}
}

// Where no server comes back, the error tells what was sent from what was not.
func TestServerGone(t *testing.T) {
	b := newBetween(t)
	ctx := t.Context()
	c := b.dial(&socketstore.Options{Patience: 100 * time.Millisecond})
	if err := update(ctx, c, "a"); err != nil {
		t.Fatal(err)
	}
	b.lose(func() { b.l.Close() })
	err := update(ctx, c, "a")
	if !errors.Is(err, store.ErrUnknown) || errors.Is(err, store.ErrUnavailable) {
		t.Errorf("a change that was sent: %v", err)
	}
	_, readErr := c.Read(ctx, "a")
	_, listErr := c.List(ctx)
	_, linkErr := c.UpdatePods(ctx, []string{"a", "b"}, func([]*store.Metadata) error { return errors.New("was called") })
	for what, err := range map[string]error{
		"Update": update(ctx, c, "a"), "Write": store.Write(ctx, c, &store.Metadata{PodName: "a"}), "Delete": store.Do(ctx, c, "a", store.Delete{}),
		"Read": readErr, "List": listErr, "UpdatePods": linkErr,
	} {
		if !errors.Is(err, store.ErrUnavailable) || errors.Is(err, store.ErrUnknown) || errors.Is(err, store.ErrNotFound) {
			t.Errorf("%s without a server: %v", what, err)
		}
	}
	if got := b.count("a"); got != "2" {
		t.Errorf("it counts %s", got)
	}
}

// A context that ends while an answer is awaited does not make a change look
// undone that was made.
func TestContextEndsWhileWaiting(t *testing.T) {
	b := newBetween(t)
	c := b.dial(nil)
	for i := range 20 {
		ctx, cancel := context.WithCancel(t.Context())
		b.lose(cancel) // and then the connection breaks
		err := update(ctx, c, "a")
		if !errors.Is(err, store.ErrUnknown) || errors.Is(err, context.Canceled) {
			t.Fatalf("round %d: %v", i, err)
		}
		if got := b.count("a"); got != fmt.Sprint(i+1) {
			t.Fatalf("it counts %s after %d updates", got, i+1)
		}
	}
}
