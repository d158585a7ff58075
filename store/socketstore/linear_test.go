package socketstore_test

import (
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"podstore/store"
	"podstore/store/internal/linear"
	"podstore/store/socketstore"
)

// clients returns clients of one server: few, so that callers share them and their changes
// go in batches. The second has so little patience that the outcome of its changes is often
// unknown.
func clients(t *testing.T, socket string) []store.MetadataStore {
	return []store.MetadataStore{
		dial(t, socket, &socketstore.Options{Patience: time.Minute}),
		dial(t, socket, &socketstore.Options{Patience: 20 * time.Millisecond, Grace: time.Millisecond}),
	}
}

// Histories through a socket are linearizable.
func TestLinearizable(t *testing.T) {
	dir := shortDir(t)
	stop, err := serve(filepath.Join(dir, "pods.db"), filepath.Join(dir, "s"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	}()
	linear.Check(t, linear.Backend{Stores: clients(t, filepath.Join(dir, "s")), Call: time.Millisecond, Replays: true, Short: 20})
}

// They stay so if the server is killed meanwhile and another one is started.
func TestLinearizableWhenKilled(t *testing.T) {
	s := openServed(t, startSupervisor(t))
	kills := 0
	linear.Check(t, linear.Backend{
		Stores: clients(t, s.socket()), Call: time.Millisecond, Replays: true, Short: 8,
		Trouble: func(r *rand.Rand) {
			for range 1 + r.IntN(2) {
				time.Sleep(time.Duration(r.IntN(20_000)) * time.Microsecond)
				if err := s.by.cmd.Process.Kill(); err != nil {
					t.Error(err)
				}
				_ = s.by.cmd.Wait()
				s.by = startSupervisor(t)
				s.by.do(t, "open", s.db(), s.socket())
				kills++
			}
		},
	})
	t.Logf("%d kills", kills)
	s.close(t)
	checkFile(t, s.db())
}
