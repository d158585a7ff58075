package store

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
)

// Outcome is what became of one Pod of a copy.
type Outcome string

// The outcomes of a copy.
const (
	Written   Outcome = "written"   // it was not there, or was replaced
	Unchanged Outcome = "unchanged" // the same is there already
	Conflict  Outcome = "conflict"  // something else is there, and was kept
	Refused   Outcome = "refused"   // it could not be read or written
)

// CopyOptions say how [Copy] treats what it finds.
type CopyOptions struct {
	// Overwrite replaces Pods that are stored differently already; otherwise they
	// are conflicts.
	Overwrite bool
	// Atomic copies all Pods or, when one is refused or in conflict, none, in a
	// single Apply. All of them are then held in memory at once. A store that cannot
	// change several Pods at once gives [errors.ErrUnsupported].
	Atomic bool
	// DryRun finds out what would happen and writes nothing.
	DryRun bool
	// Progress, if set, is called once for each Pod, in the order of the source,
	// from the goroutine that called Copy, after the Pod's outcome is durable.
	// When an atomic copy fails it is called for the Pods that made it fail.
	Progress func(CopyResult)
}

// CopyResult is one Pod's outcome. Err says why it was refused or in conflict.
type CopyResult struct {
	Pod     string
	Outcome Outcome
	Field   string // of a conflict: the first field that differs
	Err     error
}

// CopySummary counts outcomes.
type CopySummary struct {
	Written, Unchanged, Conflicts, Refused int
}

// Count adds one outcome.
func (s *CopySummary) Count(o Outcome) {
	switch o {
	case Written:
		s.Written++
	case Unchanged:
		s.Unchanged++
	case Conflict:
		s.Conflicts++
	case Refused:
		s.Refused++
	}
}

// Copy puts every Pod that src yields to dst, with the times of its Version as far
// as they are known. A Pod that src yields as an error naming it is refused and the
// copy goes on; so is one that dst does not take. One that dst holds damaged is
// refused too, unless Overwrite says that it may be replaced. Without Overwrite a
// Pod that others create meanwhile is kept too, but by a [BatchWriter], which takes no
// conditions. An error that names no Pod is returned, joined with others of its kind,
// after everything that could be copied has been. When the context
// ends, or dst fails as a whole, Copy stops; what Progress has been told is
// durable and running it again completes the work.
//
// src is iterated in a goroutine of its own, ahead of the writing, and is done
// with when Copy returns.
func Copy(ctx context.Context, dst MetadataStore, src iter.Seq2[*Metadata, error], opts CopyOptions) (CopySummary, error) {
	c, err := newCopier(dst, opts)
	if err != nil {
		return CopySummary{}, err
	}
	ctx, cancel := context.WithCancel(ctx)
	batches := make(chan []copyItem, 1)
	done := make(chan struct{})
	var srcErr error // the producer's until done is closed
	go func() {
		defer close(done)
		defer close(batches)
		srcErr = gather(ctx, src, opts.Atomic, batches)
	}()
	for batch := range batches {
		if err = c.copyBatch(ctx, batch); err != nil {
			break
		}
	}
	if err == nil {
		err = ctx.Err()
	}
	cancel()
	<-done
	return c.summary, errors.Join(err, srcErr)
}

type copier struct {
	dst     MetadataStore
	writer  BatchWriter // dst, where it changes Pods one by one
	opts    CopyOptions
	summary CopySummary

	listed  bool
	names   []string // the Pods of dst when the copy began
	partial bool     // there may be others
	alone   bool     // dst takes changes of one Pod only
}

func newCopier(dst MetadataStore, opts CopyOptions) (*copier, error) {
	for c, ok := dst.(*Combined); ok; c, ok = dst.(*Combined) {
		dst = c.MetadataStore // it has every ability by name
	}
	c := &copier{dst: dst, opts: opts}
	c.writer, _ = dst.(BatchWriter)
	if c.writer != nil && opts.Atomic {
		return nil, &Error{Op: "copy", Err: fmt.Errorf("%w: the target takes changes of one Pod at a time, and so cannot take all Pods or none", errors.ErrUnsupported)}
	}
	return c, nil
}

func (c *copier) report(batch []copyItem) {
	for i := range batch {
		c.summary.Count(batch[i].result.Outcome)
		if c.opts.Progress != nil {
			c.opts.Progress(batch[i].result)
		}
	}
}

// copyBatch copies one batch and reports each of its Pods.
func (c *copier) copyBatch(ctx context.Context, batch []copyItem) error {
	if err := c.list(ctx); err != nil {
		return err
	}
	if err := c.look(ctx, batch); err != nil {
		return err
	}
	switch {
	case c.opts.Atomic && slices.ContainsFunc(batch, failed):
		c.report(slices.DeleteFunc(batch, func(it copyItem) bool { return !failed(it) }))
		return nil
	case c.opts.DryRun:
	case c.writer != nil:
		if err := c.writeBatch(ctx, batch); err != nil {
			return err
		}
	default:
		return c.apply(ctx, batch)
	}
	c.report(batch)
	return nil
}

func failed(it copyItem) bool {
	return it.result.Outcome == Refused || it.result.Outcome == Conflict
}
