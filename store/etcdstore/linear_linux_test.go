package etcdstore_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"podstore/store"
	"podstore/store/etcdstore"
	"podstore/store/internal/linear"
)

// Histories of several clients are linearizable.
func TestLinearizable(t *testing.T) {
	server := sharedServer(t)
	one := newStore(t, newClient(t, nil, server.endpoints...), nil)
	two, err := etcdstore.New(newClient(t, nil, server.endpoints...), one.Prefix(), nil)
	if err != nil {
		t.Fatal(err)
	}
	linear.Check(t, linear.Backend{Stores: []store.MetadataStore{one, two}, Call: 3 * time.Millisecond, Replays: true, MissesReferences: true, Crowded: true, Short: 5})
	check(t, one)
}

// They stay so while members are cut off from the others. One caller knows all members.
// For each member, one caller knows only that one and has little patience.
func TestLinearizableWhenCutOff(t *testing.T) {
	c, net := newNetworkedCluster(t, 3)
	all := newStore(t, newClient(t, nil, c.endpoints...), &etcdstore.Options{RequestTimeout: time.Second, RetryFor: time.Minute})
	stores := []store.MetadataStore{all}
	for _, endpoint := range c.endpoints {
		hermit, err := etcdstore.New(newClient(t, nil, endpoint), all.Prefix(), &etcdstore.Options{RequestTimeout: 100 * time.Millisecond, RetryFor: 200 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		stores = append(stores, hermit)
	}
	c.leader(t, newClient(t, nil, c.endpoints...), -1)
	linear.Check(t, linear.Backend{
		Stores: stores, Call: 5 * time.Millisecond, Replays: true, MissesReferences: true, Crowded: true, Short: 3, Long: 300,
		Trouble: func(r *rand.Rand) {
			time.Sleep(time.Duration(r.IntN(100)) * time.Millisecond)
			net.cutOff(r.IntN(3))
			time.Sleep(time.Duration(r.IntN(1500)) * time.Millisecond)
			net.heal()
		},
	})
	check(t, all)
}
