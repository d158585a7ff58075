package etcdstore_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"podstore/store"
	"podstore/store/etcdstore"
)

// BenchmarkLatency times operations beside bare requests of the same sizes, in
// turn, so that both meet the same machine. It reports medians and their ratio.
//
//	go test -run '^$' -bench Latency -benchtime 1000x
func BenchmarkLatency(b *testing.B) {
	for _, members := range []int{1, 3} {
		server := newCluster(b, members, nil)
		client := newClient(b, nil, server.endpoints...)
		s := newStore(b, client, nil)
		if _, err := store.Copy(background, s, func(yield func(*store.Metadata, error) bool) {
			for i := range 1000 {
				m := varied(15*i + 4)
				m.PodName = podName(i)
				if !yield(m, nil) {
					return
				}
			}
		}, store.CopyOptions{}); err != nil {
			b.Fatal(err)
		}
		raw := &bare{client: client, prefix: s.Prefix() + "values/raw/"}
		for _, c := range []struct {
			name    string
			ours    func(i int) error
			against map[string]func(i int) error
		}{
			{"read", func(i int) error { _, err := s.Read(background, podName(i)); return err },
				map[string]func(i int) error{"get": func(i int) error { return raw.read(s, i) }}},
			{"addpeer", func(i int) error {
				err := store.Do(background, s, podName(i), store.AddPeer{PodName: fmt.Sprint("new-", i)})
				return err
			}, map[string]func(i int) error{"txn": raw.txn, "get+txn": func(i int) error {
				if err := raw.read(s, i); err != nil {
					return err
				}
				return raw.txn(i)
			}}},
			{"addpeer-unchanged", func(i int) error {
				err := store.Do(background, s, podName(i), store.AddPeer{PodName: "peer"})
				return err
			},
				map[string]func(i int) error{"get": func(i int) error { return raw.read(s, i) }}},
			{"linkpeers", func(i int) error { return store.LinkPeers(background, s, podName(i), podName(i+1)) },
				map[string]func(i int) error{"txn": raw.txn}},
			{"write", func(i int) error {
				m := varied(15*i + 9)
				m.PodName = podName(i)
				return store.Write(background, s, m)
			}, map[string]func(i int) error{"txn": raw.txn}},
		} {
			b.Run(fmt.Sprintf("members=%d/%s", members, c.name), func(b *testing.B) {
				var ours []time.Duration
				theirs := map[string][]time.Duration{}
				timed := func(f func(int) error, i int) time.Duration {
					started := time.Now()
					if err := f(i); err != nil {
						b.Fatal(err)
					}
					return time.Since(started)
				}
				i := 0
				for b.Loop() {
					ours = append(ours, timed(c.ours, i))
					for name, f := range c.against {
						theirs[name] = append(theirs[name], timed(f, i))
					}
					i++
				}
				b.ReportMetric(0, "ns/op") // of all together: says nothing
				b.ReportMetric(float64(median(ours).Microseconds()), "µs")
				b.ReportMetric(float64(percentile(ours, 99).Microseconds()), "µs-p99")
				for name, times := range theirs {
					b.ReportMetric(float64(median(times).Microseconds()), "µs-"+name)
					b.ReportMetric(float64(median(ours))/float64(median(times)), "×"+name)
				}
			})
		}
		server.stop()
	}
}

func podName(i int) string { return fmt.Sprintf("pod-%03d", i%1000) }

func median(times []time.Duration) time.Duration { return percentile(times, 50) }

func percentile(times []time.Duration, p int) time.Duration {
	times = slices.Sorted(slices.Values(times))
	return times[min(len(times)*p/100, len(times)-1)]
}

// bare does by hand what an edit of one list needs at least.
type bare struct {
	client *clientv3.Client
	prefix string
}

// read reads a Pod's keys in one request.
func (r *bare) read(s *etcdstore.Store, i int) error {
	dir := s.Prefix() + "values/" + podName(i) + "/"
	_, err := r.client.Get(background, dir, clientv3.WithPrefix())
	return err
}

// txn writes two small values if a revision is as expected.
func (r *bare) txn(i int) error {
	key := r.prefix + podName(i)
	value := "some 60 bytes, about what a record or a short list of peers has"
	_, err := r.client.Txn(background).
		If(clientv3.Compare(clientv3.ModRevision(key), ">", -1)).
		Then(clientv3.OpPut(key, value), clientv3.OpPut(key+"/peers", value)).
		Commit()
	return err
}
