package main

import (
	"context"
	"fmt"
	"io"
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
		open:    func(dir string) (pods, error) { return openPodstore(dir) },
	}
}

// podstoreFile is our file in the directory of a candidate.
func podstoreFile(dir string) string { return filepath.Join(dir, "pods.db") }

func openPodstore(dir string) (*podstorePods, error) {
	s, err := boltstore.Open(podstoreFile(dir), nil)
	if err != nil {
		return nil, err
	}
	return &podstorePods{s}, nil
}

// podstorePods is a store of ours: the file, or a client of a process that has it.
type podstorePods struct{ s store.MetadataStore }

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

func (p *podstorePods) setPeer(pod, peer string, there bool) error {
	return store.Do(context.Background(), p.s, pod, peerOp(peer, there))
}

// peerOp is setPeer as an operation.
func peerOp(peer string, there bool) store.Op {
	if there {
		return store.AddPeer{PodName: peer}
	}
	return store.RemovePeer{PodName: peer}
}

func (p *podstorePods) read(pod string) (any, error) {
	return p.s.Read(context.Background(), pod)
}

func (p *podstorePods) list() ([]string, error) { return p.s.List(context.Background()) }

func (p *podstorePods) all(visit func(any) error) error {
	return visitAll(p.s, visit)
}

func (p *podstorePods) close() error { return p.s.(io.Closer).Close() }

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
