package socketstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"podstore/store"
	"podstore/store/memstore"
)

// answerer serves one answer to every request.
func (n *fakeNet) answerer(status int, body string) {
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	})}
	go server.Serve(n.listen())
	n.t.Cleanup(func() { server.Close() })
}

// An answer costs the client memory for what arrives, not for what it announces.
func TestAnswerAnnouncesMuch(t *testing.T) {
	client, server := fakePair()
	go func() {
		_, _ = io.WriteString(server, "HTTP/1.1 200 OK\r\nContent-Length: 600000000\r\n\r\n"+strings.Repeat("x", smallBytes+1))
		_ = server.CloseWrite()
	}()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := newClientConn(client).answer(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error(err)
	}
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > 1<<20 {
		t.Errorf("%d bytes were taken", got)
	}
}

// What a server answers against the protocol is an error that says what is wrong. The
// client makes nothing up from it.
func TestOddAnswers(t *testing.T) {
	read := func(c *Client) error { _, err := c.Read(c.alive, "a"); return err }
	watch := func(c *Client) (err error) {
		for _, err = range c.Watch(c.alive, store.WatchOptions{}) {
			break
		}
		return err
	}
	change := func(c *Client) error {
		_, err := c.Apply(c.alive, []store.Change{{Pod: "a", Op: store.AddPeer{PodName: "x"}}, {Pod: "b", Op: store.AddPeer{PodName: "x"}}}, nil)
		return err
	}
	for what, test := range map[string]struct {
		status int
		body   string
		call   func(*Client) error
		want   error
		says   string
	}{
		"another Pod":            {200, `{"pod":"b","metadata":{"pod_name":"b"}}`, read, nil, `the server answers with Pod "b"`},
		"no document":            {200, `{"pod":"a"}`, read, nil, "without the Pod's document"},
		"no reason":              {500, `{"error":{"kind":"conflict","also":["corrupt"]}}`, read, store.ErrCorrupt, store.ErrCorrupt.Error()},
		"changes of others":      {200, "{\"pod\":\"a\"}\n{\"pod\":\"c\"}\n", change, nil, "the change was made, and line 2 of the answer is not understood: it is about another Pod"},
		"a change too few":       {200, "{\"pod\":\"a\"}\n", change, nil, "the change was made, and the answer has 1 lines for 2 changes"},
		"a change too many":      {200, "{\"pod\":\"a\"}\n{\"pod\":\"b\"}\n{\"pod\":\"b\"}\n", change, nil, "line 3 of the answer"},
		"a watch that ends":      {200, "", watch, store.ErrUnavailable, "the server has ended the watch"},
		"a watch without sense":  {200, "hello\n", watch, nil, `line "hello\n" of a watch is not understood`},
		"a watch of a later day": {200, "{\"new\":1}\n", watch, nil, `of a watch is not understood`},
		"a watch of half a Pod":  {200, "{\"pod\":1}\n", watch, store.ErrInvalid, "pod"},
	} {
		t.Run(what, func(t *testing.T) {
			fake(t, func(t *testing.T, n *fakeNet) {
				n.answerer(test.status, test.body)
				err := test.call(n.client(nil))
				if e, ok := errors.AsType[*store.Error](err); !ok || e.Op == "" || test.want != nil && !errors.Is(err, test.want) || errors.Is(err, store.ErrUnknown) || !strings.Contains(err.Error(), test.says) {
					t.Errorf("%v", err)
				}
			})
		})
	}
	fake(t, func(t *testing.T, n *fakeNet) {
		n.answerer(200, "{\"error\":{\"kind\":\"corrupt\"}}\n{\"synced\":7}\n")
		f := follow(t, t.Context(), n.client(nil), store.WatchOptions{})
		for _, again := range []bool{false, true} { // after it, nobody knows what was missed
			b := f.batch()
			if len(b.Events) != 1 || b.Events[0].Pod != "" || !errors.Is(b.Events[0].Err, store.ErrCorrupt) || b.Number != 7 || b.Resync != again {
				t.Errorf("an error that names no Pod: %+v", b)
			}
		}
	})
}

// The server permits a large body and then breaks off while it arrives. The client
// tells the reason if the server gave one. Without one, it tries again. Nothing was
// changed in either case.
func TestBodyIsCutOff(t *testing.T) {
	for answer, want := range map[string]error{"": store.ErrUnavailable, "HTTP/1.1 413 No\r\nContent-Length: 34\r\n\r\n" + `{"error":{"kind":"too_large"}}` + "\r\n\r\n": store.ErrTooLarge} {
		fake(t, func(t *testing.T, n *fakeNet) {
			n.listen()
			n.between = func(client, server net.Conn) {
				defer client.Close()
				defer server.Close()
				buf := make([]byte, 1<<10)
				_, _ = client.Read(buf)
				_, _ = io.WriteString(client, "HTTP/1.1 100 Continue\r\n\r\n")
				_, _ = client.Read(buf)
				_, _ = io.WriteString(client, answer)
			}
			err := store.Write(t.Context(), n.client(nil), pod("a", 1<<20))
			if !errors.Is(err, want) || errors.Is(err, store.ErrUnknown) {
				t.Errorf("%v, want %v", err, want)
			}
		})
	}
}

// A connection that breaks before the request, or a context that ends before it, sends
// nothing.
func TestBreaksBeforeTheRequest(t *testing.T) {
	fake(t, func(t *testing.T, n *fakeNet) {
		for _, want := range []error{store.ErrUnavailable, context.Canceled} {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			c := newClient("fake", nil, func(context.Context) (net.Conn, error) {
				client, server := fakePair()
				if want == context.Canceled {
					cancel()
				}
				return client, server.Close()
			})
			for m, err := range c.All(ctx, store.ReadOptions{}) {
				if m != nil || !errors.Is(err, want) {
					t.Errorf("%v, %v, want %v", m, err, want)
				}
			}
			c.Close()
		}
	})
}

// A client replaces connections that have been idle for long before the server closes
// them.
func TestIdleConnections(t *testing.T) {
	fake(t, func(t *testing.T, n *fakeNet) {
		server := n.serve(memstore.New(), nil)
		c := n.client(nil)
		for want, pause := range []time.Duration{0, maxIdle / 2, 2 * maxIdle / 3, maxIdle + 1} {
			time.Sleep(pause)
			if _, err := c.List(t.Context()); err != nil {
				t.Error(err)
			}
			synctest.Wait()
			if most := 1 + want/3; n.dialled != most || server.Stats().Connections != 1 {
				t.Errorf("after %v: it dialled %d times, and %d connections are open", pause, n.dialled, server.Stats().Connections)
			}
		}
		if c.Path() != "fake" {
			t.Error(c.Path())
		}
	})
}

// listing is a store whose list has an error, and perhaps names.
type listing struct {
	store.MetadataStore
	names []string
}

func (s listing) List(context.Context) ([]string, error) {
	return s.names, &store.Error{Op: "list", Kind: store.ErrCorrupt, Err: errors.New("a page is damaged")}
}

// The names that a damaged store can still list cross the socket together with the
// error.
func TestDamagedList(t *testing.T) {
	for _, names := range [][]string{nil, {"a", "b"}} {
		fake(t, func(t *testing.T, n *fakeNet) {
			pods := memstore.New()
			mustWrite(t, pods, pod("a", 0), pod("b", 0))
			n.serve(listing{pods, names}, nil)
			c := n.client(nil)
			got, err := c.List(t.Context())
			if fmt.Sprint(got) != fmt.Sprint(names) || !errors.Is(err, store.ErrCorrupt) || !strings.Contains(err.Error(), "a page is damaged") {
				t.Errorf("List: %q, %v", got, err)
			}
			got = nil
			for m, e := range c.All(t.Context(), store.ReadOptions{}) {
				if err = e; m != nil {
					got = append(got, m.PodName)
				}
				if err != nil {
					break
				}
			}
			if fmt.Sprint(got) != fmt.Sprint(names) || !errors.Is(err, store.ErrCorrupt) {
				t.Errorf("All: %q, %v", got, err)
			}
		})
	}
}

// A request whose turn does not come within Wait is answered as busy, and changes
// nothing. So is one that waits behind it.
func TestTurnDoesNotCome(t *testing.T) {
	post := func(path, body string) string {
		return fmt.Sprintf("POST %s HTTP/1.1\nHost: p\nContent-Length: %d\n\n%s", path, len(body), body)
	}
	get := func(path string) string { return "GET " + path + " HTTP/1.1\nHost: p\n\n" }
	large := post(changesPath, `{"pod":"a","op":"add_peer","peer":"b"}`+strings.Repeat("\n", smallBytes))
	var names strings.Builder
	for i := range 2 * smallBytes / nameBytes {
		fmt.Fprintf(&names, "\"%d\"\n", i)
	}
	for what, test := range map[string]struct {
		request string
		all     func(*Server) *budget
	}{
		"memory for a body":        {large, func(s *Server) *budget { return s.memory }},
		"a turn to decode":         {large, func(s *Server) *budget { return s.large }},
		"a turn to read":           {get("/v2/pods/small"), func(s *Server) *budget { return s.small }},
		"memory for a Pod":         {get("/v2/pods/large"), func(s *Server) *budget { return s.memory }},
		"a turn for a change":      {post(changesPath+"?return=metadata", `{"pod":"a","op":"add_peer","peer":"b"}`), func(s *Server) *budget { return s.small }},
		"memory for a watch":       {get("/v2/watch"), func(s *Server) *budget { return s.memory }},
		"memory for names":         {post("/v2/watch?omit=manifest", names.String()), func(s *Server) *budget { return s.memory }},
		"a turn to list a watch":   {get("/v2/watch?omit=manifest"), func(s *Server) *budget { return s.large }},
		"a place for many Pods":    {get("/v2/pods"), func(s *Server) *budget { return s.streams }},
		"a place for another file": {get("/v2/snapshot"), func(s *Server) *budget { return s.snapshots }},
	} {
		t.Run(what, func(t *testing.T) {
			fake(t, func(t *testing.T, n *fakeNet) {
				pods := memstore.New()
				mustWrite(t, pods, pod("small", 0), pod("large", 2*smallBytes))
				server := n.serve(spooled{pods, 1}, &ServerOptions{Wait: time.Second})
				if _, err := n.client(nil).Read(t.Context(), "large"); err != nil { // the server knows its size now
					t.Fatal(err)
				}
				all, holder := test.all(server.Server), &flow{}
				if err := all.take(t.Context(), holder, all.total); err != nil {
					t.Fatal(err)
				}
				for _, c := range []net.Conn{n.say(test.request), n.say(test.request)} {
					if status, body, header := hear(t, c); status != 503 || !strings.Contains(body, `"kind":"busy"`) || !strings.Contains(body, "others hold all "+all.what) || header.Get("Retry-After") != "1" {
						t.Errorf("%d %s", status, body)
					}
				}
				all.give(holder)
				synctest.Wait()
				if pods.Number() != 2 || server.Stats().HeldBytes != 0 || server.Stats().Busy != 2 {
					t.Errorf("number %d, %+v", pods.Number(), server.Stats())
				}
			})
		})
	}
}

// The server closes a connection at once if it has twice as many as it should and all
// are at work or refused.
func TestTwiceTheConnections(t *testing.T) {
	fake(t, func(t *testing.T, n *fakeNet) {
		s := &blocked{Store: memstore.New(), release: make(chan struct{})}
		server := n.serve(s, &ServerOptions{MaxConns: 1})
		made := make(chan error, 1)
		go func() { made <- store.Do(t.Context(), n.client(nil), "a", store.AddPeer{PodName: "x"}) }()
		synctest.Wait()
		server.pid.Store(2)
		second := n.say("")
		synctest.Wait()
		server.pid.Store(3)
		if got, err := n.say("").Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("a third connection: %d bytes, %v", got, err)
		}
		synctest.Wait()
		if open := server.Stats().Connections; open != 2 {
			t.Errorf("%d connections are open", open)
		}
		_, _ = io.WriteString(second, "GET /v2/names HTTP/1.1\r\nHost: p\r\n\r\n")
		if status, body, _ := hear(t, second); status != 503 || !strings.Contains(body, "connections are open") {
			t.Errorf("the second: %d %s", status, body)
		}
		close(s.release)
		if err := <-made; err != nil {
			t.Error(err)
		}
	})
}

// endless is a store that reads a Pod until the caller gives up.
type endless struct {
	*memstore.Store
	reads int
}

func (s *endless) ReadPart(ctx context.Context, name string, _ store.ReadOptions) (*store.Metadata, error) {
	s.reads++
	<-ctx.Done()
	return nil, ctx.Err()
}

// When the client has gone, the server reads no further Pods for it.
func TestListerGoes(t *testing.T) {
	fake(t, func(t *testing.T, n *fakeNet) {
		pods := memstore.New()
		for i := range 20 {
			mustWrite(t, pods, pod(fmt.Sprint(i), 0))
		}
		s := &endless{Store: pods}
		server := n.serve(s, nil)
		conn := n.say("GET /v2/pods HTTP/1.1\nHost: p\n\n")
		synctest.Wait()
		conn.Close()
		time.Sleep(time.Second)
		synctest.Wait()
		if open := server.Stats().Connections; s.reads != 1 || open != 0 {
			t.Errorf("it read %d Pods, and %d connections are open", s.reads, open)
		}
	})
}

// failing is a store whose file cannot be copied whole, and whose watch ends by itself.
type failing struct{ *memstore.Store }

func (failing) WriteTo(w io.Writer) (int64, error) {
	_, _ = io.WriteString(w, "a part of it")
	return 0, errors.New("the disk has a bad block")
}

func (failing) Watch(context.Context, store.WatchOptions) iter.Seq2[store.Batch, error] {
	return func(func(store.Batch, error) bool) {}
}

// A store that fails is told to the client, and no part of an answer looks like a
// whole one.
func TestStoreFails(t *testing.T) {
	fake(t, func(t *testing.T, n *fakeNet) {
		n.serve(failing{memstore.New()}, &ServerOptions{TempDir: t.TempDir()})
		for path, want := range map[string]string{
			snapshotPath: `{"error":{"kind":"","op":"snapshot","reason":"the disk has a bad block"}}`,
			watchPath:    `{"error":{"kind":"","reason":"the store's watch ended without an error"}}`,
		} {
			if status, body, _ := hear(t, n.say("GET "+path+" HTTP/1.1\nHost: p\n\n")); status != 500 || body != want+"\n" {
				t.Errorf("%s: %d %s", path, status, body)
			}
		}
	})
}

// recent keeps what was put last, at least its limit, and drops what is older than
// twice that.
func TestRecent(t *testing.T) {
	r := newRecent[int, string](2)
	for i := range 5 {
		r.put(i, fmt.Sprint(i), 1)
	}
	for i := range 5 {
		if v, ok := r.get(i); ok != (i >= 2) || ok && v != fmt.Sprint(i) {
			t.Errorf("%d: %q, %v", i, v, ok)
		}
	}
}

// asUnix is a connection that says it is a Unix socket, with another descriptor.
type asUnix struct {
	*fakeConn
	at  syscall.Conn
	err error
}

func (c asUnix) SyscallConn() (syscall.RawConn, error) {
	if c.err != nil {
		return nil, c.err
	}
	return c.at.SyscallConn()
}

// Nobody trusts a peer that the kernel does not name.
func TestPeerIsNotKnown(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	over, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer over.Close()
	for what, c := range map[string]asUnix{
		"a file":               {at: file},
		"another kind of peer": {at: over.(*net.TCPListener)},
		"no descriptor":        {err: errors.New("of no use")},
	} {
		p, err := peerOf(c, true)
		if err := trusted(p, err); !errors.Is(err, store.ErrForbidden) || p.pidfd != -1 {
			t.Errorf("%s: %+v, %v", what, p, err)
		}
	}
}
