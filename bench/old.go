//go:build old

package main

import (
	"context"
	"fmt"
	"iter"
	"path/filepath"

	oldstore "podstore-old/store"
	oldbolt "podstore-old/store/boltstore"
	oldjson "podstore-old/store/jsonexport"

	"podstore/store"
	"podstore/store/podjson"
)

// The build 2edd66e of podstore, under another module path: `make bench-old`.
func init() {
	older = append(older, &candidate{
		name: oldName, inMemory: true,
		what:    "boltstore as it was at 2edd66e: a change is an edit of the whole Pod",
		promise: "durable, checksummed; concurrent callers share a commit",
		open: func(dir string) (pods, error) {
			s, err := oldbolt.Open(filepath.Join(dir, "pods.db"), nil)
			return &oldPods{s}, err
		},
	})
}

type oldPods struct{ s *oldbolt.Store }

// oldPod is metadata as that build has it.
type oldPod struct{ m *oldstore.Metadata }

func (p oldPod) metadata() (*store.Metadata, error) { return podjson.Decode(oldjson.Append(nil, p.m)) }

func (p *oldPods) load(all iter.Seq[*store.Metadata]) error {
	n := 0
	sum, err := oldstore.Copy(context.Background(), p.s, func(yield func(*oldstore.Metadata, error) bool) {
		for m := range all {
			n++
			old, err := oldjson.Decode(podjson.Append(nil, m))
			if !yield(old, err) {
				return
			}
		}
	}, oldstore.CopyOptions{})
	if err == nil && sum.Written != n {
		err = fmt.Errorf("wrote %d of %d Pods", sum.Written, n)
	}
	return err
}

func (p *oldPods) setPeer(pod, peer string, there bool) error {
	_, err := p.s.Update(context.Background(), pod, func(m *oldstore.Metadata) error {
		if there {
			return m.AddPeer(peer)
		}
		m.RemovePeer(peer)
		return nil
	})
	return err
}

func (p *oldPods) read(pod string) (any, error) {
	m, err := p.s.Read(context.Background(), pod)
	return oldPod{m}, err
}

func (p *oldPods) list() ([]string, error) { return p.s.List(context.Background()) }

func (p *oldPods) all(visit func(any) error) error {
	for m, err := range oldstore.All(context.Background(), p.s, oldstore.ReadOptions{}) {
		if err == nil {
			err = visit(oldPod{m})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (p *oldPods) close() error { return p.s.Close() }
