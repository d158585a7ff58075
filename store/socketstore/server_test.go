package socketstore

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"podstore/store"
	"podstore/store/memstore"
)

// The server asks the hooks about everything that a request changes or reads, and
// refuses the whole request.
func TestHooks(t *testing.T) {
	fake(t, func(t *testing.T, n *fakeNet) {
		ctx := t.Context()
		pods := memstore.New()
		mustWrite(t, pods, pod("a", 0), pod("b", 0), pod("secret", 0))
		var changed [][]store.Change
		var read [][]string
		server := n.serve(pods, &ServerOptions{
			Authorize: func(_ context.Context, who Caller, changes []store.Change) error {
				if who.PID != 1 {
					t.Errorf("the caller is %+v", who)
				}
				changed = append(changed, slices.Clone(changes))
				if slices.ContainsFunc(changes, func(c store.Change) bool { return c.Pod == "secret" }) {
					return errors.New("it is a secret")
				}
				return nil
			},
			AuthorizeRead: func(_ context.Context, _ Caller, pods []string) error {
				read = append(read, slices.Clone(pods))
				if len(pods) == 0 || slices.Contains(pods, "secret") {
					return &store.Error{Op: "look", Kind: store.ErrForbidden, Err: errors.New("not everything")}
				}
				return nil
			},
		})
		c := n.client(nil)
		add := store.AddPeer{PodName: "x"}
		_, readErr := c.Read(ctx, "secret")
		_, listErr := c.List(ctx)
		_, mixed := c.Apply(ctx, []store.Change{{Pod: "a", Op: add}, {Pod: "secret", Op: add}}, nil)
		_, returned := c.Apply(ctx, []store.Change{{Pod: "a", Op: add}, {Pod: "secret", If: store.Exists}}, &store.ApplyOptions{Metadata: true})
		_, looked := c.Apply(ctx, []store.Change{{Pod: "a", If: store.Exists}, {Pod: "secret", If: store.Exists}}, nil)
		var allErr error
		for _, err := range c.All(ctx, store.ReadOptions{}) {
			allErr = err
		}
		in, snapErr := c.pool.open(ctx, &request{method: "GET", target: snapshotPath}, time.Minute)
		if snapErr == nil {
			in.Body.Close()
		}
		for what, err := range map[string]error{"read": readErr, "list": listErr, "all": allErr, "snapshot": snapErr, "mixed": mixed, "returned": returned, "looked": looked,
			"write": store.Write(ctx, c, pod("secret", 10)), "remove": store.Do(ctx, c, "secret", store.Remove{})} {
			if !errors.Is(err, store.ErrForbidden) || strings.Count(err.Error(), "not permitted") != 1 {
				t.Errorf("%s: %v", what, err)
			}
		}
		if pods.Number() != 3 {
			t.Errorf("something was changed: %d", pods.Number())
		}
		if got := server.Stats(); got.Refused != 9 || got.Changes != 0 {
			t.Errorf("%+v", got)
		}

		changed, read = nil, nil
		if _, err := c.Apply(ctx, []store.Change{{Pod: "b", Op: add}, {Pod: "a", Op: add}, {Pod: "a", If: store.Exists}}, &store.ApplyOptions{Metadata: true}); err != nil {
			t.Error(err)
		}
		if _, err := c.ReadPart(ctx, "a", store.ReadOptions{OmitManifest: true}); err != nil {
			t.Error(err)
		}
		if len(changed) != 1 || len(changed[0]) != 3 || !reflect.DeepEqual(changed[0][0], store.Change{Pod: "b", Op: add}) {
			t.Errorf("it was asked for the changes %+v", changed)
		}
		if !reflect.DeepEqual(read, [][]string{{"a", "b"}, {"a"}}) {
			t.Errorf("it was asked for the Pods %q", read)
		}
	})
}

// hear reads one answer.
func hear(t *testing.T, c net.Conn) (int, string, http.Header) {
	t.Helper()
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b), resp.Header
}

// Every answer of 300 and more is JSON, even to what is no request. It changes nothing.
func TestErrorsAreJSON(t *testing.T) {
	fake(t, func(t *testing.T, n *fakeNet) {
		pods := memstore.New()
		n.serve(pods, &ServerOptions{MaxBody: 100 << 10, MaxChanges: 2, Handlers: map[string]http.Handler{"/own": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "mine") })}})
		post := func(body string) string {
			return fmt.Sprintf("POST /v2/changes HTTP/1.1\nHost: p\nContent-Length: %d\n\n%s", len(body), body)
		}
		change := `{"pod":"a","op":"delete"}`
		for request, want := range map[string]string{
			"GET /v2/pods/a HTTP/1.1\nHost: p\n\n":                                    `404 "kind":"not_found","op":"read","pod":"a"`,
			"GET /v2/pods/a%2Fb HTTP/1.1\nHost: p\n\n":                                `400 "kind":"invalid_name"`,
			"GET /v2/pods/a?x=y HTTP/1.1\nHost: p\n\n":                                `400 "kind":"invalid","op":"request"`,
			"GET /v2/pods/a?%zz HTTP/1.1\nHost: p\n\n":                                `400 "kind":"invalid"`,
			"GET /v2/nosuch HTTP/1.1\nHost: p\n\n":                                    `404 "kind":"unsupported"`,
			"GET /own/not HTTP/1.1\nHost: p\n\n":                                      `404 "kind":"unsupported"`,
			"PUT /v2/pods/a HTTP/1.1\nHost: p\nContent-Length: 0\n\n":                 `405 "kind":"unsupported"`,
			"GET /v1/pods HTTP/1.1\nHost: p\n\n":                                      `410 "kind":"unsupported"`,
			"POST /v1/pods HTTP/1.1\nHost: p\nContent-Length: 2\n\n{}":                `410 "kind":"unsupported"`,
			"OPTIONS * HTTP/1.1\nHost: p\n\n":                                         `404 "kind":"unsupported"`,
			"garbage\n\n":                                                             `400 "kind":"invalid"`,
			"GET /v2/ HTTP/1.1\n\n":                                                   `400 "kind":"invalid"`,
			"GET /v2/ HTTP/1.1\nHost: p\nX: " + strings.Repeat("x", 40<<10) + "\n\n":  `431 "kind":"invalid"`,
			"POST /v2/changes HTTP/1.1\nHost: p\nTransfer-Encoding: chunked\n\n0\n\n": `411 "kind":"invalid"`,
			"POST /v2/changes HTTP/1.1\nHost: p\nContent-Length: 102401\n\n":          `413 "kind":"too_large"`,
			post(""): `400 "kind":"invalid","op":"request","reason":"the body has no change"`,
			post(change + "\n{\"pod\":\"a\",\"op\":\"fly\"}"):                   `400 "kind":"invalid","op":"decode","pod":"a","line":2,"column":17,"reason":"unknown operation`,
			post(change + change + change):                                      `413 "kind":"too_large"`,
			post(`{"pod":"a/b","op":"delete"}`):                                 `400 "kind":"invalid_name","op":"delete"`,
			post(`{"pod":"a","op":"set_field","field":"peers","value":1}`):      `400 "kind":"invalid","op":"set field","pod":"a"`,
			post(`{"pod":"a","if":"exists"}`):                                   `404 "kind":"not_found"`,
			strings.Replace(post(change), "/changes", "/changes?id=1", 1):       `400 "kind":"invalid","op":"request","reason":"query`,
			strings.Replace(post(change), "/changes", "/changes?return=all", 1): `400 "kind":"invalid"`,
			strings.Replace(post(change), "/changes", "/changes?x=y", 1):        `400 "kind":"invalid","op":"request","reason":"query \"x=y\": expected id, seen or return"`,
			"GET /v2/snapshot?x=y HTTP/1.1\nHost: p\n\n":                        `400 "kind":"invalid","op":"request","reason":"query \"x=y\": expected none"`,
		} {
			c := n.say(request)
			status, body, header := hear(t, c)
			c.Close()
			if got := fmt.Sprint(status, " ", strings.TrimPrefix(body, `{"error":{`)); !strings.HasPrefix(got, want) || header.Get("Content-Type") != jsonType || strings.Count(body, "\n") != 1 {
				t.Errorf("%.100q:\n%s %s\nwant %s", request, got, header.Get("Content-Type"), want)
			}
		}
		c := n.say("GET /own HTTP/1.1\nHost: p\n\n")
		if status, body, _ := hear(t, c); status != 200 || body != "mine" {
			t.Errorf("%d %s", status, body)
		}
		if pods.Number() != 0 {
			t.Error("something was changed")
		}
	})
}

// The number of connections is limited: quiet ones make room.
func TestConnectionsAreBounded(t *testing.T) {
	fake(t, func(t *testing.T, n *fakeNet) {
		s := &blocked{Store: memstore.New(), release: make(chan struct{})}
		server := n.serve(s, &ServerOptions{MaxConns: 3})
		quiet := n.client(nil)
		if _, err := quiet.List(t.Context()); err != nil { // it keeps a connection
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		var silent []net.Conn
		for range 20 {
			silent = append(silent, n.say(""))
			time.Sleep(time.Millisecond)
			if open := server.Stats().Connections; open > 3 {
				t.Errorf("%d connections are open", open)
			}
		}
		if _, err := quiet.List(t.Context()); err != nil {
			t.Errorf("a client whose connection was closed: %v", err)
		}
		if _, err := silent[0].Read(make([]byte, 1)); err == nil {
			t.Error("the first one is still open")
		}

		// Connections at work stay.
		made := make(chan error, 3)
		for i := range 3 {
			time.Sleep(time.Second)
			go func() { made <- store.Do(t.Context(), n.client(nil), fmt.Sprint(i), store.AddPeer{PodName: "x"}) }()
		}
		time.Sleep(time.Second)
		if s.waiting.Load() != 3 {
			t.Fatalf("%d requests are at work", s.waiting.Load())
		}
		c := n.say("GET /v2/names HTTP/1.1\nHost: p\n\n")
		if status, body, header := hear(t, c); status != 503 || !strings.Contains(body, `"kind":"busy"`) || header.Get("Retry-After") != "1" {
			t.Errorf("%d %s", status, body)
		}
		patient := make(chan error, 1)
		go func() {
			_, err := n.client(nil).List(t.Context())
			patient <- err
		}()
		time.Sleep(time.Second)
		close(s.release)
		for range 3 {
			if err := <-made; err != nil {
				t.Error(err)
			}
		}
		if err := <-patient; err != nil {
			t.Error(err)
		}
	})
}

// A process that opens one connection after the other takes none from others.
func TestManyConnectionsOfOneProcess(t *testing.T) {
	fake(t, func(t *testing.T, n *fakeNet) {
		s := &blocked{Store: memstore.New(), release: make(chan struct{})}
		server := n.serve(s, &ServerOptions{MaxConns: 4})
		server.pid.Store(7)
		honest := n.say("") // it has not said yet what it wants
		time.Sleep(time.Second)
		server.pid.Store(8)
		for range 20 {
			n.say("")
			time.Sleep(time.Millisecond)
		}
		made := make(chan error, 4)
		for i := range 4 { // all it may have are at work
			time.Sleep(time.Second)
			go func() { made <- store.Do(t.Context(), n.client(nil), fmt.Sprint(i), store.AddPeer{PodName: "x"}) }()
		}
		time.Sleep(time.Second)
		if status, body, _ := hear(t, n.say("GET /v2/names HTTP/1.1\nHost: p\n\n")); status != 503 {
			t.Errorf("%d %s", status, body)
		}
		server.pid.Store(7)
		if status, body, _ := hear(t, n.say("GET /v2/names HTTP/1.1\nHost: p\n\n")); status != 200 {
			t.Errorf("another process: %d %s", status, body)
		}
		io.WriteString(honest, "GET /v2/names HTTP/1.1\r\nHost: p\r\n\r\n")
		if status, body, _ := hear(t, honest); status != 200 {
			t.Errorf("a connection that came before: %d %s", status, body)
		}
		close(s.release)
		for range 4 {
			if err := <-made; err != nil {
				t.Error(err)
			}
		}
	})
}

// A body of the largest size is accepted, and one byte more is not.
func TestLargestBody(t *testing.T) {
	fake(t, func(t *testing.T, n *fakeNet) {
		pods := memstore.New()
		const most = 1 << 20
		server := n.serve(pods, &ServerOptions{MaxBody: most, MaxHeld: 2 << 20})
		c := n.client(nil)
		overhead := len(`{"pod":"a","op":"put","metadata":{"pod_name":"a","resolved_manifest_snapshot":}}` + "\n")
		fits := pod("a", most-overhead)
		result, err := store.DoAndRead(t.Context(), c, "a", store.Put{Metadata: fits}) // it needs more than all there is
		if err != nil || !result.Equal(fits) {
			t.Error(err)
		}
		if err := store.Write(t.Context(), c, pod("a", most-overhead+1)); !errors.Is(err, store.ErrTooLarge) || !errors.Is(err, store.ErrInvalid) {
			t.Error(err)
		}
		if m, err := c.Read(t.Context(), "a"); err != nil || !m.Equal(fits) {
			t.Error(err)
		}
		synctest.Wait()
		if held := server.Stats().HeldBytes; held != 0 {
			t.Errorf("%d bytes are held", held)
		}
	})
}
