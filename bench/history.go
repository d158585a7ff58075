package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"podstore/store"
)

// history measures what a long history costs who does not read it: Pods that differ in
// how much they reclaimed take turns, in the process that has the file open and through
// a socket.
func (b *bench) history() error {
	if len(b.named(ours)) == 0 {
		return nil
	}
	dir := filepath.Join(b.dir, "history")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	p, err := openPodstore(dir)
	if err != nil {
		return err
	}
	if err := errors.Join(b.loadHistories(p), p.close()); err != nil {
		return err
	}
	for _, candidate := range []string{ours, throughSocket} {
		var server *child
		if candidate == throughSocket {
			if server, err = b.serve(dir); err != nil {
				return err
			}
		}
		d, err := b.do(job{Part: "history", Dir: dir, Candidate: candidate})
		if server != nil {
			err = errors.Join(err, server.end())
		}
		if err != nil {
			return err
		}
		b.results = append(b.results, d.Results...)
		for _, work := range historyWork {
			line := ""
			for _, entries := range b.histories {
				line += fmt.Sprintf(" %8.0f µs", d.Results.median(historyOf(work.name, entries), candidate, b.sizes[0], 0, p50))
			}
			b.progress("history, %-16s %-9s%s", candidate, work.name, line)
		}
	}
	return nil
}

func (b *bench) loadHistories(p *podstorePods) error {
	if err := p.load(makePods(podsOf(b.sizes[0]))); err != nil {
		return err
	}
	for _, entries := range b.histories {
		m := makePod(0, manifestSize)
		former := m.Reclaimed[0]
		m.PodName, m.Reclaimed = historyPod(entries), nil
		for i := range entries {
			former.PodName = fmt.Sprint("former-", i)
			m.Reclaimed = append(m.Reclaimed, former)
		}
		if err := store.Write(context.Background(), p.s, m); err != nil {
			return err
		}
	}
	return nil
}

func historyPod(entries int) string { return fmt.Sprint("history-", entries) }

// historyOf is the workload of one of historyWork on a Pod with a history.
func historyOf(work string, entries int) string { return fmt.Sprintf("%s, history %d", work, entries) }

// historyWork is what is done with each Pod.
var historyWork = []struct {
	name string
	do   func(s store.MetadataStore, pod string, i int) error
}{
	{"reclaim", func(s store.MetadataStore, pod string, i int) error {
		child := store.ReclaimedChild{PodName: fmt.Sprint("child-", i)}
		return store.Do(context.Background(), s, pod, store.Reclaim{Reclaimed: []store.ReclaimedChild{child}})
	}},
	{addPeer, func(s store.MetadataStore, pod string, i int) error {
		return store.Do(context.Background(), s, pod, peerOp("visitor", i%2 == 0))
	}},
	{readOne, func(s store.MetadataStore, pod string, i int) error {
		_, err := store.ReadPart(context.Background(), s, pod, store.ReadOptions{OmitReclaimed: true})
		return err
	}},
}

// historyJob measures in this process.
func historyJob(b *bench, j job, _ conversation) (d done, err error) {
	open := openPodstore
	if j.Candidate == throughSocket {
		open = dialPodstore
	}
	p, err := open(j.Dir)
	if err != nil {
		return done{}, err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	for _, work := range historyWork {
		samples := make([]sample, len(b.histories))
		for i := range b.samples {
			for k := range b.histories {
				k = (k + i) % len(b.histories)
				pod := historyPod(b.histories[k])
				start := time.Now()
				if err := work.do(p.s, pod, i); err != nil {
					return done{}, err
				}
				took := time.Since(start)
				samples[k].latencies = append(samples[k].latencies, took)
				samples[k].elapsed += took
				if i%16 < 15 {
					continue
				}
				// A Pod without a history must not get a long one.
				if err := store.Do(context.Background(), p.s, pod, store.TrimReclaimed{Keep: b.histories[k]}); err != nil {
					return done{}, err
				}
			}
		}
		for k, s := range samples {
			d.Results = append(d.Results, s.result(result{Workload: historyOf(work.name, b.histories[k]), Candidate: j.Candidate, Pods: b.sizes[0]}))
		}
	}
	for _, entries := range b.histories {
		m, err := p.s.Read(context.Background(), historyPod(entries))
		if err != nil {
			return done{}, err
		}
		if n := len(m.Reclaimed); n < entries || n > entries+15 {
			return done{}, fmt.Errorf("%s has %d entries", m.PodName, n)
		}
	}
	return d, nil
}
