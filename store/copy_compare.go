package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
)

// list reads once which Pods dst has. The others need no Read.
func (c *copier) list(ctx context.Context) error {
	if c.listed || c.writer != nil {
		return ctx.Err()
	}
	names, err := c.dst.List(ctx)
	if err != nil && !errors.Is(err, ErrCorrupt) {
		return err
	}
	c.listed, c.names, c.partial = true, names, err != nil
	return nil
}

// has reports whether dst may have a Pod. Before a Put without a condition, dst must be
// read again each time.
func (c *copier) has(pod string) bool {
	if c.writer != nil || c.partial {
		return true
	}
	_, found := slices.BinarySearch(c.names, pod)
	return found
}

// readers bounds how many Pods of dst are read at once. One at a time would wait for
// the network each time.
const readers = 8

// look decides the outcome of each Pod of a batch that has none yet.
func (c *copier) look(ctx context.Context, batch []copyItem) error {
	return c.each(ctx, batch, func(it *copyItem) error {
		switch {
		case it.result.Outcome != "":
			return nil
		case it.err != nil:
			it.refuse(it.err)
			return nil
		case !c.has(it.pod):
			it.result = CopyResult{Pod: it.pod, Outcome: Written}
			return nil
		}
		return c.lookAt(ctx, it)
	})
}

// lookAgain decides anew the outcome of the Pods of a batch that have not failed: others
// changed dst meanwhile.
func (c *copier) lookAgain(ctx context.Context, batch []copyItem) error {
	return c.each(ctx, batch, func(it *copyItem) error {
		if failed(*it) {
			return nil
		}
		return c.lookAt(ctx, it)
	})
}

// each calls do for each Pod of a batch, several at once, and returns an error if one
// does.
func (c *copier) each(ctx context.Context, batch []copyItem, do func(it *copyItem) error) error {
	var next atomic.Int64
	var wg sync.WaitGroup
	errs := make([]error, min(readers, len(batch)))
	for r := range errs {
		wg.Go(func() {
			for errs[r] == nil {
				i := int(next.Add(1)) - 1
				if i >= len(batch) {
					return
				}
				errs[r] = do(&batch[i])
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return ctx.Err()
}

// lookAt compares a source Pod with what dst has.
func (c *copier) lookAt(ctx context.Context, it *copyItem) error {
	stored, err := c.dst.Read(ctx, it.pod)
	it.result = CopyResult{Pod: it.pod, Outcome: Written}
	switch {
	case err == nil:
		c.compare(it, stored)
	case errors.Is(err, ErrNotFound):
	case ctx.Err() != nil:
		return ctx.Err()
	case concernsAll(err):
		return err
	case !errors.Is(err, ErrCorrupt):
		it.refuse(err)
	case !c.opts.Overwrite:
		it.refuse(&Error{Op: "copy", Pod: it.pod, Kind: ErrCorrupt,
			Err: fmt.Errorf("the stored one is damaged and was kept, overwrite to replace it: %w", err)})
	}
	return nil
}

// compare decides the outcome of a Pod that dst has.
func (c *copier) compare(it *copyItem, stored *Metadata) {
	field := stored.Diff(it.m)
	switch {
	case field == "":
		it.result.Outcome, it.revision = Unchanged, stored.Version.Revision
	case !c.opts.Overwrite:
		it.result = CopyResult{Pod: it.pod, Outcome: Conflict, Field: field, Err: &Error{Op: "copy", Pod: it.pod, Kind: ErrExists,
			Err: fmt.Errorf("stored differently already, first in %q; the stored one was kept, overwrite to replace it", field)}}
	}
}
