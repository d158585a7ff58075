package storetest

import (
	"errors"
	"testing"

	"podstore/store"
)

// LateSendings proves that a store in this process, which others send requests to, makes
// none after it has answered the same request with Resent. Such a sending may still be on
// its way, as in a connection that its client has given up. The contract of package store
// does not demand this of every store that keeps request IDs.
func LateSendings(t *testing.T, open func(t *testing.T) store.MetadataStore) {
	for _, c := range []struct {
		name    string
		before  []store.Op // make the Pod, before the request
		request store.Change
		want    error      // of the request
		after   []store.Op // make the Pod, or another value, after the answer
	}{
		{"made, and the Pod was created again", []store.Op{store.SetPeers{}}, onceIf(store.Exists), nil, []store.Op{store.Delete{}, store.SetPeers{}}},
		{"refused, and the Pod was created", nil, onceIf(store.Exists), store.ErrNotFound, []store.Op{store.SetPeers{}}},
		{"refused, and the Pod was created and deleted", nil, onceIf(store.Exists), store.ErrNotFound, []store.Op{store.SetPeers{}, store.Delete{}}},
		{"refused, and the Pod was deleted", []store.Op{store.SetPeers{}}, onceIf(store.Missing), store.ErrExists, []store.Op{store.Delete{}}},
		{"left out, and the Pod was created", nil, onceIf(store.SkipMissing), nil, []store.Op{store.SetPeers{}}},
		{"without effect, and the value was replaced", []store.Op{peerOnly("x")}, store.Change{Pod: "agent", Op: peerOnly("x")}, nil, []store.Op{peerOnly("y")}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := open(t)
			seen := uint64(0)
			do := func(ops []store.Op) {
				t.Helper()
				for _, op := range ops {
					applied, err := s.Apply(t.Context(), []store.Change{{Pod: "agent", Op: op}}, nil)
					if err != nil {
						t.Fatal(err)
					}
					seen = applied[0].Version.Revision.Number
				}
			}
			do(c.before)
			id, before := store.NewRequestID(), seen
			send := func(resent bool) error {
				_, err := s.Apply(t.Context(), []store.Change{c.request}, &store.ApplyOptions{ID: id, Resent: resent, Seen: before})
				return err
			}
			answer := send(true)
			if !errors.Is(answer, c.want) {
				t.Fatalf("sent again: %v, want %v", answer, c.want)
			}
			do(c.after)
			want, err := s.Read(t.Context(), "agent")
			if err != nil && !errors.Is(err, store.ErrNotFound) {
				t.Fatal(err)
			}
			for _, resent := range []bool{false, true} {
				late := send(resent)
				if late != nil && !errors.Is(late, store.ErrUnknown) && !errors.Is(late, c.want) {
					t.Errorf("a sending that is late, Resent %v: %v", resent, late)
				}
				if c.want != nil && (!errors.Is(late, c.want) || late == answer) {
					t.Errorf("a sending that is late, Resent %v, got %v, want %v anew", resent, late, c.want)
				}
				got, err := s.Read(t.Context(), "agent")
				if err != nil && !errors.Is(err, store.ErrNotFound) {
					t.Fatal(err)
				}
				if got == nil != (want == nil) || got != nil && got.Version != want.Version {
					t.Errorf("a sending that is late, Resent %v, was made", resent)
				}
			}
		})
	}
}

func onceIf(c store.Condition) store.Change {
	change := once("agent", "x")
	change.If = c
	return change
}

func peerOnly(name string) store.Op { return store.SetPeers{Peers: []store.Peer{{PodName: name}}} }
