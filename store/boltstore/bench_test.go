package boltstore

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"podstore/store"
	"podstore/store/internal/codec"
)

// manifest is a manifest of about 4 KB, in canonical form.
var manifest = func() []byte {
	var b strings.Builder
	b.WriteString(`{"env":[`)
	for i := range 70 {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"name":"VARIABLE_%03d","value":"value of variable %d"}`, i, i)
	}
	b.WriteString(`],"name":"agent"}`)
	return []byte(b.String())
}()

// filled makes a database of n Pods with something in each sub-key but extra.
func filled(b *testing.B, n int) *Store {
	b.Helper()
	s, err := Open(filepath.Join(b.TempDir(), "pods.db"), nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	pods := func(yield func(*store.Metadata, error) bool) {
		for i := range n {
			m := sample()
			m.PodName, m.Manifest, m.Extra = podName(i), manifest, nil
			if !yield(m, nil) {
				return
			}
		}
	}
	if _, err := store.Copy(context.Background(), s, pods, store.CopyOptions{}); err != nil {
		b.Fatal(err)
	}
	return s
}

func podName(i int) string { return fmt.Sprintf("pod-%06d", i) }

func BenchmarkAddPeer(b *testing.B) {
	for _, pods := range []int{1000, 10000} {
		for _, writers := range []int{1, 8, 64, 256} {
			b.Run(fmt.Sprintf("pods=%d/writers=%d", pods, writers), func(b *testing.B) { addPeers(b, pods, writers) })
		}
	}
}

func addPeers(b *testing.B, pods, writers int) {
	s := filled(b, pods)
	ctx := context.Background()
	var left atomic.Int64
	left.Store(int64(b.N))
	var wg sync.WaitGroup
	b.ReportAllocs()
	b.ResetTimer()
	for range writers {
		wg.Go(func() {
			for {
				i := left.Add(-1)
				if i < 0 {
					return
				}
				if err := store.Do(ctx, s, podName(rand.IntN(pods)), store.AddPeer{PodName: fmt.Sprint("peer-", i%50)}); err != nil {
					b.Error(err)
				}
			}
		})
	}
	wg.Wait()
	st := s.Stats()
	b.ReportMetric(float64(st.Changes)/float64(st.Commits), "changes/commit")
}

// BenchmarkHistory measures what a long history costs those who do not read it. Each
// line of entries=50000 must take at most 1.5 times the time of its twin with
// entries=0.
func BenchmarkHistory(b *testing.B) {
	ctx := context.Background()
	s := filled(b, 1000)
	work := []struct {
		name string
		do   func(pod string, i int) error
	}{
		{"reclaim", func(pod string, i int) error {
			return store.Do(ctx, s, pod, store.Reclaim{Reclaimed: []store.ReclaimedChild{{PodName: fmt.Sprint("child-", i)}}})
		}},
		{"add-peer", func(pod string, i int) error {
			if i%2 == 1 {
				return store.Do(ctx, s, pod, store.RemovePeer{PodName: "peer"})
			}
			return store.Do(ctx, s, pod, store.AddPeer{PodName: "peer"})
		}},
		{"read", func(pod string, i int) error {
			_, err := s.ReadPart(ctx, pod, store.ReadOptions{OmitReclaimed: true})
			return err
		}},
	}
	for _, w := range work {
		for _, entries := range []int{0, 50_000} {
			m := sample()
			m.PodName, m.Manifest, m.Extra, m.Reclaimed = fmt.Sprint("history-", entries), manifest, nil, nil
			for i := range entries {
				m.Reclaimed = append(m.Reclaimed, store.ReclaimedChild{PodName: fmt.Sprint("former-", i), ScopeDelegated: m.Children[0].ScopeDelegated})
			}
			b.Run(fmt.Sprintf("%s/entries=%d", w.name, entries), func(b *testing.B) {
				if err := store.Write(ctx, s, m); err != nil {
					b.Fatal(err)
				}
				b.ReportAllocs()
				i := 0
				for b.Loop() {
					if err := w.do(m.PodName, i); err != nil {
						b.Fatal(err)
					}
					if i++; i%16 == 0 && w.name == "reclaim" {
						// A Pod without a history must not get a long one.
						b.StopTimer()
						if err := store.Do(ctx, s, m.PodName, store.TrimReclaimed{Keep: entries}); err != nil {
							b.Fatal(err)
						}
						b.StartTimer()
					}
				}
			})
		}
	}
}

func BenchmarkUnchangedUpdate(b *testing.B) {
	s := filled(b, 1000)
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		if err := store.Do(ctx, s, podName(rand.IntN(1000)), store.AddPeer{PodName: "a"}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRead(b *testing.B) {
	for _, n := range []int{1000, 10000} {
		s := filled(b, n)
		for _, omit := range []bool{false, true} {
			b.Run(fmt.Sprintf("pods=%d/omitmanifest=%v", n, omit), func(b *testing.B) {
				ctx := context.Background()
				b.ReportAllocs()
				for b.Loop() {
					if _, err := s.ReadPart(ctx, podName(rand.IntN(n)), store.ReadOptions{OmitManifest: omit}); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func BenchmarkList(b *testing.B) {
	s := filled(b, 10000)
	ctx := context.Background()
	b.Run("names", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := s.List(ctx); err != nil {
				b.Fatal(err)
			}
		}
	})
	for _, omit := range []bool{false, true} {
		b.Run(fmt.Sprintf("all/omitmanifest=%v", omit), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				for _, err := range s.All(ctx, store.ReadOptions{OmitManifest: omit}) {
					if err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}

func BenchmarkOpen(b *testing.B) {
	s := filled(b, 10000)
	path := s.path
	s.Close()
	b.ReportAllocs()
	for b.Loop() {
		s, err := Open(path, nil)
		if err != nil {
			b.Fatal(err)
		}
		s.Close()
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, manifest := range []int{0, 4 << 10, 64 << 10} {
		b.Run(fmt.Sprintf("manifest=%d", manifest), func(b *testing.B) {
			m := sample()
			m.Extra = nil
			m.Manifest = nil
			if manifest > 0 {
				m.Manifest = json.RawMessage(`"` + strings.Repeat("x", manifest) + `"`)
			}
			e := codec.NewEncoder()
			p := &stored{nameSum: codec.NameSum([]byte(m.PodName))}
			for i := range codec.SubKeys {
				if payload := e.Encode(m, i); payload != nil {
					p.values[i] = codec.Seal(p.nameSum, i, payload)
				}
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := p.metadata(nil, m.PodName, store.ReadOptions{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
