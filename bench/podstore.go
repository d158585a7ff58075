package main

import (
	"context"
	"fmt"
	"iter"
	"path/filepath"

	"podstore/store"
	"podstore/store/boltstore"
)

func podstoreCandidate() *candidate {
	return &candidate{
		name: ours, inMemory: true,
		what:    "boltstore with default options",
		promise: "durable, checksummed; concurrent callers share a commit",
		open: func(dir string) (pods, error) {
			s, err := boltstore.Open(filepath.Join(dir, "pods.db"), nil)
			return &podstorePods{s}, err
		},
	}
}

type podstorePods struct{ s *boltstore.Store }

func (p *podstorePods) load(all iter.Seq[*store.Metadata]) error {
	n := 0
	sum, err := store.Copy(context.Background(), p.s, func(yield func(*store.Metadata, error) bool) {
		for m := range all {
			n++
			if !yield(m, nil) {
				return
			}
		}
	}, store.CopyOptions{})
	if err == nil && sum.Written != n {
		err = fmt.Errorf("wrote %d of %d Pods", sum.Written, n)
	}
	return err
}

func (p *podstorePods) toggle(pod, peer string) error {
	_, err := p.s.Update(context.Background(), pod, func(m *store.Metadata) error { return togglePeer(m, peer) })
	return err
}

func (p *podstorePods) read(pod string) (any, error) {
	return p.s.Read(context.Background(), pod)
}

func (p *podstorePods) list() ([]string, error) { return p.s.List(context.Background()) }

func (p *podstorePods) all(visit func(any) error) error {
	return visitAll(p.s, visit)
}

func (p *podstorePods) close() error { return p.s.Close() }

// visitAll gives every Pod of a store to visit.
func visitAll(s store.MetadataStore, visit func(any) error) error {
	for m, err := range store.All(context.Background(), s, store.ReadOptions{}) {
		if err == nil {
			err = visit(m)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
