package etcdstore_test

import (
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"podstore/store"
	"podstore/store/etcdstore"
	"podstore/store/storetest"
)

// A member is cut off from the others, which lose their leader if it was that. Watchers
// that know only this member get everything when it is back, the others meanwhile.
func TestWatchMemberCutOff(t *testing.T) {
	rounds := 1
	if os.Getenv("PODSTORE_LONG") != "" {
		rounds = 8
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	c, network := newNetworkedCluster(t, 3)
	client := newClient(t, nil, c.endpoints...)
	opts := &etcdstore.Options{RequestTimeout: time.Second, RetryFor: time.Minute}
	s := newStore(t, client, opts)
	run := storetest.NewWatchRun(t, s, rand.New(rand.NewPCG(seed, 0)))
	run.Unsure, run.Dangling = true, true
	run.Watch(s, 3)
	for _, endpoint := range c.endpoints {
		hermit, err := etcdstore.New(newClient(t, nil, endpoint), s.Prefix(), opts)
		if err != nil {
			t.Fatal(err)
		}
		run.Watch(hermit, 1)
	}
	for i := range rounds {
		lead := c.leader(t, client, -1)
		cut := (lead + i) % 3
		network.cutOff(cut)
		c.leader(t, client, cut)
		run.Write([]store.MetadataStore{s}, 4, 10)
		if i%2 == 1 {
			compact(t, client)
		}
		network.heal()
		run.Write([]store.MetadataStore{s}, 2, 5)
	}
	run.End()
	check(t, s)
}
