package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"podstore/store/mirror"
)

func (b *bench) mirror() error { return b.inFile("mirror", b.many) }

// mirrorJob looks into a mirror of a file.
func mirrorJob(b *bench, j job, _ conversation) (d done, err error) {
	p, err := openPodstore(j.Dir)
	if err != nil {
		return done{}, err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	m, err := mirror.New(context.Background(), p.s, nil)
	if err != nil {
		return done{}, err
	}
	defer m.Close()
	names, children := make([]string, j.Set.Pods), make([]string, j.Set.Pods)
	for i := range names {
		pod := makePod(i, 0)
		names[i], children[i] = pod.PodName, pod.Children[0].PodName
	}
	for _, w := range []struct {
		workload string
		do       func(i int) error
	}{
		{mirrorRead, func(i int) error {
			_, err := m.Read(names[i])
			return err
		}},
		{mirrorParents, func(i int) error {
			if parents := m.Parents(children[i]); len(parents) != 1 || parents[0] != names[i] {
				return fmt.Errorf("the parents of %s are %q", children[i], parents)
			}
			return nil
		}},
	} {
		for round := range b.copies {
			rng := rand.New(rand.NewPCG(uint64(round), 17))
			r := result{Workload: w.workload, Candidate: ours, Pods: j.Set.Pods, Round: round}
			start := time.Now()
			for ; r.Ops%64 != 0 || time.Since(start) < b.reading; r.Ops++ {
				if err := w.do(rng.IntN(j.Set.Pods)); err != nil {
					return done{}, err
				}
			}
			r.Seconds = time.Since(start).Seconds()
			d.Results = append(d.Results, r)
		}
		b.progress("%s: %s", w.workload, duration(d.Results.median(w.workload, ours, j.Set.Pods, 0, cost)))
	}
	return d, nil
}
