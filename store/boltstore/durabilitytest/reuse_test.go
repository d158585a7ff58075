//go:build linux

package durabilitytest

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"podstore/store"
	"podstore/store/boltstore"
)

// resend does again what each goroutine was doing when its process ended: under the
// same request IDs it is made if it was not, and not made again if it was.
func (h *history) resend(job writerJob, acked acks) (err error) {
	ctx := context.Background()
	s, err := boltstore.Open(job.Path, nil)
	if err != nil {
		return fmt.Errorf("sending again: %w", err)
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	acked = slices.Clone(acked)
	for g, numbers := range acked {
		i := len(numbers)
		if i >= job.Workload.Ops || !job.Workload.canBeSentAgain(g, i) {
			continue
		}
		once := &onceStore{backend: s, g: g, resent: true, seen: slices.Max(append(numbers, 0))}
		if once.id = job.Workload.id(g, i); job.Unsafe == "new-id" {
			once.id, once.resent = store.NewRequestID(), false
		}
		switch err := job.Workload.run(ctx, once, g, i); {
		case errors.Is(err, store.ErrUnknown):
			h.unknown.Add(1)
		case err != nil:
			return fmt.Errorf("sending operation %d of goroutine %d again: %w", i, g, err)
		default:
			h.resent.Add(1)
			acked[g] = append(slices.Clip(numbers), once.number)
		}
	}
	if err := h.verify(s, acked); err != nil {
		return fmt.Errorf("after sending again: %w", err)
	}
	return nil
}

// useAgain opens a database as a supervisor does after a crash, writes, and makes
// sure that the file is in order then.
func useAgain(path string) error {
	ctx := context.Background()
	s, err := boltstore.Open(path, nil)
	if err != nil {
		return fmt.Errorf("use after the crash: %w", err)
	}
	before, err := readAll(s)
	if err == nil {
		err = store.Do(ctx, s, "after the crash", store.AddPeer{PodName: "peer"})
	}
	if err == nil {
		err = store.Do(ctx, s, "after the crash", store.Delete{})
	}
	if err = errors.Join(err, s.Close()); err != nil {
		return fmt.Errorf("use after the crash: %w", err)
	}
	s, err = boltstore.Open(path, &boltstore.Options{FullCheck: true})
	if err != nil {
		return fmt.Errorf("after writing to what the crash left: %w", err)
	}
	after, err := readAll(s)
	if err == nil {
		if why := differ(before, after); why != "" {
			err = errors.New("after writing to what the crash left: " + why)
		}
	}
	return errors.Join(err, s.Close())
}
