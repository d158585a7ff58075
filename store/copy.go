package store

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
)

// CopyOptions are the options of [Copy]. The zero value copies new Pods and keeps
// existing ones.
type CopyOptions struct {
	// Overwrite replaces Pods that dst has with other content. Otherwise they are
	// conflicts.
	Overwrite bool
	// Atomic copies all Pods in a single Apply or, if one is refused or in conflict,
	// none. All of them are then in memory at once. A store that cannot change several
	// Pods at once fails with [errors.ErrUnsupported].
	Atomic bool
	// DryRun finds out what would happen and writes nothing.
	DryRun bool
	// Progress, if set, is called once for each Pod, in the order of the source,
	// from the goroutine that called Copy, after the Pod's outcome is durable.
	// If an atomic copy fails, it is called only for the Pods that made it fail.
	Progress func(CopyResult)
}

// Copy puts every Pod that src yields into dst, with the times of its Version as far
// as they are known.
//
// Copy refuses a Pod and goes on if src yields an error that names the Pod, if dst
// rejects the Pod, or if the Pod in dst is damaged and Overwrite is not set.
//
// Without Overwrite, Copy also keeps a Pod that somebody creates while it runs. A
// [BatchWriter] takes no conditions, so there such a Pod is replaced.
//
// Errors of src that name no Pod are joined and returned after everything else was
// copied. When the context ends, or dst fails as a whole, Copy stops. What Progress
// reported is durable, and running Copy again completes the work.
//
// Copy iterates over src in another goroutine, ahead of the writing. That goroutine has
// ended when Copy returns.
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
