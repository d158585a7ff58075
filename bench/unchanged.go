package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"os"
	"path/filepath"
	"time"

	"podstore/store"
	"podstore/store/boltstore"
)

// unchanged measures updates that change nothing, and makes sure that none
// committed: a commit writes a meta page, so the file would differ.
func (b *bench) unchanged() error {
	if b.only != nil && !b.only.MatchString(ours) {
		return nil
	}
	dir := filepath.Join(b.dir, "unchanged")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "pods.db")
	s, err := boltstore.Open(path, nil)
	if err != nil {
		return err
	}
	defer s.Close()
	n := b.sizes[0]
	if err := (&podstorePods{s}).load(makePods(podsOf(n))); err != nil {
		return err
	}
	before, err := hashFile(path)
	if err != nil {
		return err
	}
	ctx, ops, start := context.Background(), 0, time.Now()
	for ; ops < n || time.Since(start) < b.reading; ops++ {
		if _, err := s.Update(ctx, podName(ops%n), func(m *store.Metadata) error { return m.AddPeer(peerNames[0]) }); err != nil {
			return err
		}
	}
	r := result{Workload: unchanged, Candidate: ours, Pods: n, Ops: ops, Seconds: time.Since(start).Seconds()}
	after, err := hashFile(path)
	if err == nil && !bytes.Equal(before, after) {
		err = errors.New("updates that changed nothing changed the file")
	}
	b.add(r)
	b.progress("%d unchanged updates: %.0f/s, the file is as it was", ops, rate(r))
	return err
}

func hashFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	h := sha256.New()
	_, err = io.Copy(h, f)
	return h.Sum(nil), err
}
