package socketstore

import (
	"context"
	"errors"
	"net"
	"testing"

	"podstore/store"
	"podstore/store/memstore"
)

// The answer to a change is lost. The client sends the change again, and the server
// refuses it. If the reason says nothing about the first attempt, the outcome is
// unknown. If the store gives the reason after it has looked for the change, the change
// was not made.
func TestRefusedWhenSentAgain(t *testing.T) {
	type hook = func(context.Context, Caller, []store.Change) error
	refuse := hook(func(context.Context, Caller, []store.Change) error { return errors.New("not now") })
	for what, test := range map[string]struct {
		first fate
		hook  hook
		limit int64 // for the body of a request
		store func(s *memstore.Store) store.MetadataStore
		want  error
	}{
		"forbidden":            {lost, refuse, 0, nil, store.ErrUnknown},
		"forbidden, swallowed": {swallowed, refuse, 0, nil, store.ErrUnknown},
		"too large":            {lost, nil, 1, nil, store.ErrUnknown},
		"read-only": {lost, nil, 0, func(s *memstore.Store) store.MetadataStore {
			frozen, _, err := s.Snapshot(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			return frozen
		}, store.ErrUnknown},
		"a condition":              {swallowed, nil, 0, nil, store.ErrNotFound},
		"forbidden the first time": {passes, refuse, 0, nil, store.ErrForbidden},
	} {
		t.Run(what, func(t *testing.T) {
			fake(t, func(t *testing.T, n *fakeNet) {
				pods := memstore.New()
				if test.want != store.ErrNotFound {
					mustWrite(t, pods, pod("a", 0))
				}
				again := func() {
					var s store.MetadataStore = pods
					if test.store != nil {
						s = test.store(pods)
					}
					n.serve(s, &ServerOptions{Authorize: test.hook, MaxBody: test.limit})
				}
				first := n.serve(pods, nil)
				requests := 0
				n.between = func(client, server net.Conn) {
					tamper(client, server, func() fate {
						if requests++; requests == 1 {
							return test.first
						}
						return passes
					})
					if requests == 1 && test.first != passes {
						first.stop(t)
						again()
					}
				}
				if test.first == passes {
					first.stop(t)
					again()
				}
				_, err := n.client(nil).Apply(t.Context(), []store.Change{{Pod: "a", Op: store.AddPeer{PodName: "x"}, If: store.Exists}}, nil)
				if !errors.Is(err, test.want) || test.want == store.ErrUnknown && (errors.Is(err, store.ErrForbidden) || errors.Is(err, store.ErrReadOnly)) {
					t.Errorf("%v, want %v", err, test.want)
				}
			})
		})
	}
}
