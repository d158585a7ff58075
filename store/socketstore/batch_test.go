package socketstore

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"podstore/store"
	"podstore/store/memstore"
	"podstore/store/podjson"
)

// held returns a server whose changes wait until release is closed, and a client.
func held(n *fakeNet, opts *ServerOptions) (s *blocked, server *fakeServer, c *Client) {
	s = &blocked{Store: memstore.New(), release: make(chan struct{})}
	return s, n.serve(s, opts), n.client(nil)
}

// begin calls f for each number in a goroutine, one after the other until each waits.
func begin(n int, f func(i int)) (all *sync.WaitGroup) {
	all = new(sync.WaitGroup)
	for i := range n {
		all.Go(func() { f(i) })
		synctest.Wait()
	}
	return all
}

// finish lets the changes go on, and checks how many requests they were.
func finish(t *testing.T, s *blocked, server *fakeServer, all *sync.WaitGroup, requests int64) {
	t.Helper()
	close(s.release)
	all.Wait()
	if got := server.Stats().Requests; got != requests {
		t.Errorf("%d requests, want %d", got, requests)
	}
}

// What waits while a request is under way goes together, and each change is made or
// refused for itself.
func TestBatch(t *testing.T) {
	fake(t, func(t *testing.T, n *fakeNet) {
		s, server, c := held(n, nil)
		const callers = 2 + maxBatch
		all := begin(callers, func(i int) {
			var condition store.Condition
			if i%3 == 2 {
				condition = store.Exists
			}
			name := fmt.Sprint("p", i)
			applied, err := c.Apply(t.Context(), []store.Change{
				{Pod: name, Op: store.AddPeer{PodName: "x"}, If: condition}, {Pod: name + "b", Op: store.AddPeer{PodName: "x"}},
			}, nil)
			switch {
			case condition == store.Exists:
				if e, ok := errors.AsType[*store.Error](err); !errors.Is(err, store.ErrNotFound) || !ok || e.Pod != name {
					t.Errorf("%s: %v", name, err)
				}
			case err != nil || len(applied) != 2 || applied[0].Pod != name:
				t.Errorf("%s: %v, %v", name, applied, err)
			}
		})
		if s.waiting.Load() != 1 {
			t.Errorf("%d changes are under way, want that of the first caller", s.waiting.Load())
		}
		finish(t, s, server, all, 3) // one for the first, one for a full batch, and one for the last
		if got := int(s.Number()); got != callers-callers/3 {
			t.Errorf("%d changes were made", got)
		}
	})
}

// Full batches do not wait for each other.
func TestFullBatches(t *testing.T) {
	fake(t, func(t *testing.T, n *fakeNet) {
		s, server, c := held(n, nil)
		first, withdraw := context.WithCancel(t.Context())
		all := begin(1+2*maxBatch, func(i int) {
			ctx := t.Context()
			if i == 0 {
				ctx = first
			}
			if err := store.Do(ctx, c, fmt.Sprint("p", i), store.AddPeer{PodName: "x"}); (err != nil) != (i == 0) {
				t.Error(err)
			}
		})
		withdraw()
		synctest.Wait()
		if got := s.waiting.Load(); got != 2*maxBatch {
			t.Errorf("%d changes are under way, want all", got)
		}
		finish(t, s, server, all, 3) // one for the first and one for each batch
	})
}

// The largest changes that may go together still do.
func TestLargestBatch(t *testing.T) {
	fake(t, func(t *testing.T, n *fakeNet) {
		s, server, c := held(n, nil)
		all := begin(1+maxBatch, func(i int) {
			change := []store.Change{{Pod: fmt.Sprintf("p%02d", i), Op: store.SetField{Field: "n", Value: []byte(`""`)}}}
			size := len(podjson.AppendChanges(nil, change))
			change[0].Op = store.SetField{Field: "n", Value: []byte(`"` + strings.Repeat("1", smallBytes/maxBatch-1-size) + `"`)}
			if _, err := c.Apply(t.Context(), change, nil); err != nil {
				t.Error(err)
			}
		})
		finish(t, s, server, all, 2) // one for the first and one for the others
	})
}

// The end of one caller's context does not touch the changes of others, which are sent
// again. Nobody waits long for the changes of others.
func TestLeaveBatch(t *testing.T) {
	fake(t, func(t *testing.T, n *fakeNet) {
		s, server, c := held(n, nil)
		// call makes a change whose context ends after some time.
		call := func(name string, after, least time.Duration, want error) (returned chan bool) {
			returned = make(chan bool)
			go func() {
				defer close(returned)
				ctx, cancel := context.WithTimeout(t.Context(), after)
				defer cancel()
				start := time.Now()
				if err := store.Do(ctx, c, name, store.AddPeer{PodName: "x"}); !errors.Is(err, want) || (want == context.DeadlineExceeded && errors.Is(err, store.ErrUnknown)) {
					t.Errorf("%s: %v, want %v", name, err, want)
				}
				within(t, start, least, least)
			}()
			synctest.Wait()
			return returned
		}
		start := time.Now()
		alone := call("alone", time.Millisecond, time.Millisecond, context.DeadlineExceeded)
		leaves := call("leaves", time.Second, time.Second+c.opts.Grace, store.ErrUnknown)
		stays := call("stays", time.Hour, 3*time.Second, nil)
		<-alone
		synctest.Wait()
		if s.waiting.Load() != 2 {
			t.Errorf("%d changes are under way, want the two that waited", s.waiting.Load())
		}
		withdrawn := call("withdrawn", maxTurn/2, maxTurn/2, context.DeadlineExceeded)
		sent := server.Stats().Requests
		impatient := call("impatient", time.Second, time.Second, context.DeadlineExceeded)
		<-withdrawn
		if got := server.Stats().Requests; got != sent {
			t.Errorf("a change that had to wait was sent")
		}
		time.Sleep(maxTurn)
		synctest.Wait()
		if s.waiting.Load() != 3 {
			t.Errorf("%d changes are under way, want one more, alone", s.waiting.Load())
		}
		<-impatient
		<-leaves
		time.Sleep(maxPause)
		synctest.Wait()
		if s.waiting.Load() != 1 {
			t.Errorf("%d changes are under way, want that of the caller who stays", s.waiting.Load())
		}
		time.Sleep(time.Until(start.Add(3 * time.Second)))
		close(s.release)
		<-stays
	})
}

// lostIn is a store that does not return from the changes of one Pod.
type lostIn struct {
	*blocked
	how func()
}

func (s lostIn) Apply(ctx context.Context, changes []store.Change, opts *store.ApplyOptions) ([]store.Applied, error) {
	if changes[0].Pod == "p1" {
		s.how()
	}
	return s.blocked.Apply(ctx, changes, opts)
}

// If a change panics, or ends its goroutine, only its own caller does not learn its outcome.
func TestBatchPanics(t *testing.T) {
	for what, how := range map[string]func(){"panic": func() { panic("a fault") }, "Goexit": runtime.Goexit} {
		t.Run(what, func(t *testing.T) {
			fake(t, func(t *testing.T, n *fakeNet) {
				s := lostIn{&blocked{Store: memstore.New(), release: make(chan struct{})}, how}
				n.serve(s, nil)
				c := n.client(nil)
				all := begin(4, func(i int) {
					err := store.Do(t.Context(), c, fmt.Sprint("p", i), store.AddPeer{PodName: "x"})
					if want := map[int]error{1: store.ErrUnknown}[i]; !errors.Is(err, want) {
						t.Errorf("p%d: %v, want %v", i, err, want)
					}
				})
				close(s.release)
				all.Wait()
			})
		})
	}
}

// Where a server takes no batch, the changes go alone.
func TestBatchNotTaken(t *testing.T) {
	for what, opts := range map[string]*ServerOptions{
		"rights":       {Authorize: func(context.Context, Caller, []store.Change) error { return nil }},
		"a small body": {MaxBody: 1 << 10},
	} {
		t.Run(what, func(t *testing.T) {
			fake(t, func(t *testing.T, n *fakeNet) {
				s, server, c := held(n, opts)
				peer := store.AddPeer{PodName: strings.Repeat("x", 200)}
				all := begin(1+maxBatch, func(i int) {
					if err := store.Do(t.Context(), c, fmt.Sprint("p", i), peer); err != nil {
						t.Errorf("p%d: %v", i, err)
					}
				})
				finish(t, s, server, all, 1+maxBatch+1) // one for each change, and the batch
				if !c.batch.off.Load() {
					t.Error("the client will try again")
				}
			})
		})
	}
}

// A change that was sent again without an ID goes alone.
func TestBatchWithoutIDs(t *testing.T) {
	fake(t, func(t *testing.T, n *fakeNet) {
		s := &blocked{Store: memstore.New(), release: make(chan struct{})}
		n.serve(withoutIDs{s}, nil)
		c := n.client(nil)
		all := begin(8, func(i int) {
			if err := store.Do(t.Context(), c, fmt.Sprint("p", i), store.AddPeer{PodName: "x"}); err != nil {
				t.Errorf("p%d: %v", i, err)
			}
		})
		close(s.release)
		all.Wait()
	})
}

// A batch does not outlive a caller who has left: it keeps no connection, and what was not
// sent is not made later.
func TestBatchIsBrokenOff(t *testing.T) {
	fake(t, func(t *testing.T, n *fakeNet) {
		s, _, c := held(n, nil)
		leave := func(after time.Duration, want error) {
			begin(1+maxBatch, func(i int) {
				ctx, cancel := context.WithTimeout(t.Context(), after/time.Duration(1+2*min(1, maxBatch-i)))
				defer cancel()
				if err := store.Do(ctx, c, fmt.Sprint("p", i), store.AddPeer{PodName: "x"}); !errors.Is(err, want) && !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("p%d: %v, want %v", i, err, want)
				}
			}).Wait()
		}
		for range maxConns {
			leave(90*time.Millisecond, store.ErrUnknown)
		}
		synctest.Wait()
		if got := len(c.pool.slots); got > 0 {
			t.Errorf("nobody calls, and %d connections are in use", got)
		}
		for range maxConns { // as requests do that hang
			c.pool.slots <- struct{}{}
		}
		leave(time.Second, context.DeadlineExceeded)
		for range maxConns {
			<-c.pool.slots
		}
		close(s.release)
		time.Sleep(time.Minute)
		if got := s.Number(); got > 0 {
			t.Errorf("%d changes were made after their callers had gone", got)
		}
	})
}

// While one change takes long, the others do not wait for it again and again.
func TestTurnPasses(t *testing.T) {
	fake(t, func(t *testing.T, n *fakeNet) {
		s := lostIn{&blocked{Store: memstore.New(), release: make(chan struct{})}, func() { time.Sleep(30 * time.Second) }}
		close(s.release)
		n.serve(s, nil)
		c := n.client(nil)
		slow := begin(1, func(int) { _ = store.Do(t.Context(), c, "p1", store.AddPeer{PodName: "x"}) })
		start := time.Now()
		for i := range 50 {
			if err := store.Do(t.Context(), c, fmt.Sprint("other", i), store.AddPeer{PodName: "x"}); err != nil {
				t.Error(err)
			}
		}
		within(t, start, maxTurn, maxTurn)
		slow.Wait()
	})
}

// An answer that lacks the part of a member is lost for that member.
func TestBatchAnswerIsCut(t *testing.T) {
	for body, whole := range map[string]int{
		"":                                   0,
		"{\"pod\":\"a\"}":                    0,
		"{\"pod\":\"a\"}\n{\"pod\":\"a\"}\n": 2,
		"{\"error\":{\"kind\":\"conflict\"}}\n{\"pod\":\"a\"}\n":                2,
		"{\"error\":{\"kind\":\"conflict\"}}\n{\"pod\":\"a\"}":                  1,
		"{\"pod\":\"a\"}\n{\"error\":{\"kind\":\"conflict\"}}\n{\"pod\":\"a\"}": 2,
	} {
		got := 0
		for rest := []byte(body); ; got++ {
			var a *answer
			if a, rest = cutAnswer(rest, 1); a == nil {
				break
			}
		}
		if got != whole {
			t.Errorf("%q has %d answers, want %d", body, got, whole)
		}
	}
	if a, _ := cutAnswer([]byte("{\"pod\":\"a\"}\n"), 2); a != nil {
		t.Errorf("an answer to two changes: %s", a.body)
	}
}

func TestBatchesRefused(t *testing.T) {
	const id = "5f0c35a2-9b0e-4f6e-8d4c-0d9c2d8f6a1"
	ids := func(n int) (query string) {
		for i := range n {
			query += fmt.Sprintf("&id=%s%x", id, i)
		}
		return "?" + query[1:]
	}
	line := func(i int) string { return fmt.Sprintf(`{"pod":"p%d","op":"add_peer","peer":"x"}`+"\n", i) }
	lines := func(n int) (body string) {
		for i := range n {
			body += "\n" + line(i)
		}
		return body[1:]
	}
	for what, test := range map[string]struct {
		query, body string
		made        int // -1 for a refusal
	}{
		"two":              {ids(2), lines(2), 2},
		"the most":         {ids(maxBatch), lines(maxBatch), maxBatch},
		"one too many":     {ids(maxBatch) + "&id=" + strings.Repeat("0", 7) + "1-9b0e-4f6e-8d4c-0d9c2d8f6a11", lines(maxBatch + 1), -1},
		"too large":        {ids(2), lines(2) + strings.Repeat("\n\n", smallBytes), -1},
		"a group too few":  {ids(3), lines(2), -1},
		"a group too many": {ids(2), lines(3), -1},
		"no group":         {ids(2), "", -1},
		"seen":             {ids(2) + "&seen=1", lines(2), -1},
		"return":           {ids(2) + "&return=metadata", lines(2), -1},
		"an empty group":   {ids(3), line(0) + "\n\n\n" + line(1), 2},
		"a bad group":      {ids(3), line(0) + "\n{\"pod\":\"a\"\n\n" + line(1), 2},
		"two in a group":   {ids(2), line(0) + line(2) + "\n" + line(1), 3},
	} {
		t.Run(what, func(t *testing.T) {
			s := memstore.New()
			server := NewServer(s, nil)
			w := serveOne(server, httptest.NewRequestWithContext(t.Context(), http.MethodPost, changesPath+test.query, strings.NewReader(test.body)))
			names, err := s.List(t.Context())
			if err != nil || len(names) != max(test.made, 0) {
				t.Errorf("%v, %v, want %d Pods", names, err, test.made)
			}
			if refused := w.Code == http.StatusBadRequest; refused != (test.made < 0) {
				t.Errorf("%d %s", w.Code, w.Body)
			}
		})
	}
}
