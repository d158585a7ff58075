package mirror_test

import (
	"context"
	"fmt"
	"testing"

	"podstore/store"
	"podstore/store/memstore"
	"podstore/store/mirror"
)

// tree returns a mirror of 10,000 Pods. Each is the child of another one, which has
// ten.
func tree(b *testing.B) *mirror.Mirror {
	b.Helper()
	s := memstore.New()
	var changes []store.Change
	for i := range 10_000 {
		changes = append(changes, store.Change{Pod: fmt.Sprint("pod-", i/10), Op: store.AddChild{Child: store.SpawnedChild{PodName: fmt.Sprint("pod-", i)}}},
			store.Change{Pod: fmt.Sprint("pod-", i), Op: store.AddPeer{PodName: fmt.Sprint("pod-", i^1)}})
	}
	if _, err := s.Apply(b.Context(), changes, nil); err != nil {
		b.Fatal(err)
	}
	return open(b, s, nil)
}

func BenchmarkRead(b *testing.B) {
	m := tree(b)
	for b.Loop() {
		if _, err := m.Read("pod-4711"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParents(b *testing.B) {
	m := tree(b)
	for b.Loop() {
		if p := m.Parents("pod-4711"); len(p) != 1 {
			b.Fatal(p)
		}
	}
}

func BenchmarkPeers(b *testing.B) {
	m := tree(b)
	for b.Loop() {
		if p := m.Peers("pod-4711"); len(p) != 1 {
			b.Fatal(p)
		}
	}
}

func BenchmarkList(b *testing.B) {
	m := tree(b)
	for b.Loop() {
		m.List()
	}
}

func BenchmarkNew(b *testing.B) {
	m := tree(b)
	s := memstore.New()
	for pod, err := range m.All() {
		if err != nil {
			b.Fatal(err)
		}
		if err := store.Write(b.Context(), s, &store.Metadata{PodName: pod.PodName, Children: pod.Children, Peers: pod.Peers}); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		m, err := mirror.New(context.Background(), s, nil)
		if err != nil {
			b.Fatal(err)
		}
		m.Close()
	}
}
