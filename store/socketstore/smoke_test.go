package socketstore

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"fmt"
	"testing"

	"podstore/store"
	"podstore/store/memstore"
)

func smoke(t testing.TB, s store.MetadataStore) (*Server, *Client) {
	dir, err := os.MkdirTemp("", "ps")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	l, err := Listen(filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	server := NewServer(s, nil)
	go server.Serve(l)
	t.Cleanup(func() { server.Close() })
	c, err := Dial(context.Background(), filepath.Join(dir, "s"), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return server, c
}

func TestSmoke(t *testing.T) {
	s, c := smoke(t, memstore.New())
	ctx := t.Context()
	m, err := store.DoAndRead(ctx, c, "a", store.AddPeer{PodName: "b"})
	t.Log(m, err)
	_, err = c.Read(ctx, "nobody")
	t.Log(err)
	t.Log(store.LinkPeers(ctx, c, "a", "nobody"))
	t.Log(store.Write(ctx, c, &store.Metadata{PodName: "b/c"}))
	u, err := c.Update(ctx, "a", func(m *store.Metadata) error { return m.AddPeer("c") })
	t.Log(u, err)
	t.Log(c.List(ctx))
	for m, err := range c.All(ctx, store.ReadOptions{OmitManifest: true}) {
		t.Log(m, err)
	}
	t.Logf("%+v", s.Stats())
}

func BenchmarkAddPeer(b *testing.B) {
	for _, n := range []int{1, 8, 64} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			_, c := smoke(b, memstore.New())
			b.ReportAllocs()
			var wg sync.WaitGroup
			ctx := context.Background()
			for g := range n {
				wg.Go(func() {
					pod := fmt.Sprint("pod", g)
					for i := range b.N / n {
						op := store.Op(store.AddPeer{PodName: "x"})
						if i%2 == 1 {
							op = store.RemovePeer{PodName: "x"}
						}
						if err := store.Do(ctx, c, pod, op); err != nil {
							b.Error(err)
						}
					}
				})
			}
			wg.Wait()
		})
	}
}
