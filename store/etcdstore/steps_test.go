package etcdstore_test

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"podstore/store"
	"podstore/store/boltstore"
	"podstore/store/socketstore"
)

// supervisorEnv makes a process of this test binary a supervisor, which serves the
// store in a directory on a socket beside it.
const supervisorEnv = "PODSTORE_TEST_SUPERVISOR"

func supervise(dir string) error {
	pods, err := boltstore.Open(filepath.Join(dir, "pods.db"), nil)
	if err != nil {
		return err
	}
	defer pods.Close()
	listener, err := socketstore.Listen(filepath.Join(dir, "pods.sock"))
	if err != nil {
		return err
	}
	server := socketstore.NewServer(pods, nil)
	go func() { _ = server.Serve(listener) }()
	_, err = io.Copy(io.Discard, os.Stdin)
	_ = server.Close()
	return err
}

// throughSocket is a store that another process has open.
func throughSocket(b *testing.B) store.MetadataStore {
	b.Helper()
	dir, err := os.MkdirTemp("", "podstore-") // short: a socket's path has a limit
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = os.RemoveAll(dir) })
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), supervisorEnv+"="+dir)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = stdin.Close()
		_ = cmd.Wait()
	})
	s, err := socketstore.Dial(background, filepath.Join(dir, "pods.sock"), nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() })
	return s
}

// BenchmarkSteps compares the places where a store can be: a file, the file
// through the socket of another process, and etcd. The stores take turns, so that
// all meet the same machine. It reports, for each, the median time of an operation
// and its ratio to the file's, and changes a second by eight writers.
//
//	go test -run '^$' -bench Steps -benchtime 1000x
func BenchmarkSteps(b *testing.B) {
	bolt, err := boltstore.Open(filepath.Join(b.TempDir(), "pods.db"), nil)
	if err != nil {
		b.Fatal(err)
	}
	defer bolt.Close()
	one, three := newCluster(b, 1, nil), newCluster(b, 3, nil)
	places := []struct {
		name string
		s    store.MetadataStore
	}{
		{"file", bolt}, {"socket", throughSocket(b)},
		{"etcd-1", newStore(b, newClient(b, nil, one.endpoints...), nil)},
		{"etcd-3", newStore(b, newClient(b, nil, three.endpoints...), nil)},
	}
	for _, p := range places {
		if _, err := store.Copy(background, p.s, func(yield func(*store.Metadata, error) bool) {
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
	}
	for _, c := range []struct {
		name string
		do   func(s store.MetadataStore, i int) error
	}{
		{"read", func(s store.MetadataStore, i int) error { _, err := s.Read(background, podName(i)); return err }},
		{"addpeer", func(s store.MetadataStore, i int) error {
			err := store.Do(background, s, podName(i), store.AddPeer{PodName: fmt.Sprint("new-", i)})
			return err
		}},
		{"linkpeers", func(s store.MetadataStore, i int) error {
			return store.LinkPeers(background, s, podName(i), podName(i+1))
		}},
	} {
		b.Run(c.name, func(b *testing.B) {
			times := make([][]time.Duration, len(places))
			i := 0
			for b.Loop() {
				for k, p := range places {
					started := time.Now()
					if err := c.do(p.s, i); err != nil {
						b.Fatal(err)
					}
					times[k] = append(times[k], time.Since(started))
				}
				i++
			}
			b.ReportMetric(0, "ns/op") // of all together: says nothing
			for k, p := range places {
				b.ReportMetric(float64(median(times[k]).Nanoseconds())/1000, "µs-"+p.name)
				if k > 0 {
					b.ReportMetric(float64(median(times[k]))/float64(median(times[0])), "×file-"+p.name)
				}
			}
		})
	}
	for _, p := range places {
		b.Run("addpeer-8-writers/"+p.name, func(b *testing.B) {
			var left atomic.Int64
			left.Store(int64(b.N))
			var wg sync.WaitGroup
			started := time.Now()
			for w := range 8 {
				wg.Go(func() {
					for {
						i := left.Add(-1)
						if i < 0 {
							return
						}
						if err := store.Do(background, p.s, podName(int(i)), store.AddPeer{PodName: fmt.Sprintf("w%d-%d", w, i)}); err != nil {
							b.Error(err)
						}
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64(b.N)/time.Since(started).Seconds(), "changes/s")
		})
	}
}
