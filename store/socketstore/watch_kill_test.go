package socketstore_test

import (
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"podstore/store"
	"podstore/store/socketstore"
	"podstore/store/storetest"
)

// The server is killed under load, restarted, and at last gets an older file. Each
// watcher gets what happened.
func TestWatchServerKilled(t *testing.T) {
	rounds := 3
	if long() {
		rounds = 60
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	s := openServed(t, startSupervisor(t))
	run := storetest.NewWatchRun(t, s.Client, rand.New(rand.NewPCG(seed, 0)))
	run.Unsure = true
	var clients []store.MetadataStore
	for range 3 {
		c := dial(t, s.socket(), &socketstore.Options{Patience: time.Minute})
		clients = append(clients, c)
		run.Watch(c, 2)
	}
	kill := func() {
		if err := s.by.cmd.Process.Kill(); err != nil {
			t.Error(err)
		}
		_ = s.by.cmd.Wait()
	}
	again := func() {
		s.by = startSupervisor(t)
		s.by.do(t, "open", s.db(), s.socket())
	}
	for i := range rounds {
		written := make(chan struct{})
		go func() {
			defer close(written)
			run.Write(clients, 4, 40)
		}()
		time.Sleep(time.Duration(10+i%50) * time.Millisecond)
		kill()
		again()
		<-written
		run.Watch(clients[i%len(clients)], 1)
		if i != rounds/2 {
			continue
		}
		kill()
		older, err := os.ReadFile(s.db())
		if err != nil {
			t.Fatal(err)
		}
		moment := run.Moment()
		again()
		run.Write(clients, 3, 10)
		kill()
		if err := os.WriteFile(s.db(), older, 0o600); err != nil {
			t.Fatal(err)
		}
		run.Restored(moment)
		again()
		run.Write(clients, 3, 5) // so that their numbers are used again
	}
	run.End()
	s.close(t)
	checkFile(t, s.db())
}
