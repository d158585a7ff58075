package jsonlstore

import (
	"context"
	"encoding/json"
	"testing"

	"podstore/store"
)

// Where the system does not tell of changes, or stops telling, the follower looks
// for itself.
func TestFollowByPolling(t *testing.T) {
	t.Parallel() // it waits
	stopped := make(chan struct{})
	close(stopped)
	for name, wake := range map[string]chan struct{}{"never told": nil, "stopped telling": stopped} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := Open(t.TempDir(), &Options{Sync: SyncNever})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			session, segment := store.NewSessionID(), store.NewSegmentID()
			add := func(n string) {
				if err := s.Append(ctx, session, segment, json.RawMessage(n)); err != nil {
					t.Error(err)
				}
			}
			add(`{"n":0}`)
			target := s.target("follow", session, logName(segment))
			f, _, err := s.openCommitted(ctx, target)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			var got []string
			err = s.follow(ctx, target, f, wake, 0, func(entry json.RawMessage, err error) bool {
				got = append(got, string(entry))
				if len(got) < 3 {
					go add(`{"n":1}`)
				} else {
					cancel()
				}
				return err == nil
			})
			if err != context.Canceled || len(got) != 3 {
				t.Errorf("it yielded %q and ended with %v", got, err)
			}
		})
	}
}
