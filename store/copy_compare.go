package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
)

// list asks once which Pods dst has, so that the others need not be looked for one
// by one.
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

// has reports whether dst may have a Pod. What one Put after another replaces must
// be looked at just before.
func (c *copier) has(pod string) bool {
	if c.writer != nil || c.partial {
		return true
	}
	_, found := slices.BinarySearch(c.names, pod)
	return found
}

// readers is how many Pods of dst are read at once: a server may be far away.
const readers = 8

// look judges the Pods of a batch that are not settled yet.
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

// lookAgain judges anew the Pods of a batch that were to be written, or are to be as
// they were found.
func (c *copier) lookAgain(ctx context.Context, batch []copyItem) error {
	return c.each(ctx, batch, func(it *copyItem) error {
		if failed(*it) {
			return nil
		}
		return c.lookAt(ctx, it)
	})
}

// each calls do for each Pod of a batch, several at once, and returns the first
// error.
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
		c.judge(it, stored)
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

func (c *copier) judge(it *copyItem, stored *Metadata) {
	field := stored.Diff(it.m)
	switch {
	case field == "":
		it.result.Outcome, it.revision = Unchanged, stored.Version.Revision
	case !c.opts.Overwrite:
		it.result = CopyResult{Pod: it.pod, Outcome: Conflict, Field: field, Err: &Error{Op: "copy", Pod: it.pod, Kind: ErrExists,
			Err: fmt.Errorf("stored differently already, first in %q; the stored one was kept, overwrite to replace it", field)}}
	}
}
