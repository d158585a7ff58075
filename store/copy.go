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
	// single [PodUpdater] edit. All of them are then held in memory at once.
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

// A batch is one transaction. Measured on bbolt, 1,000 Pods were faster than 100
// and than 10,000; the byte limit bounds memory where manifests are large.
const (
	batchPods  = 1000
	batchBytes = 32 << 20
)

// Copy writes every Pod that src yields to dst. A Pod that src yields as an
// error naming it is refused and the copy goes on; so is one that dst does not
// take. One that dst holds damaged is refused too, unless Overwrite says that it
// may be replaced. An error that names no Pod is returned, joined with others of
// its kind, after everything that could be copied has been. When the context
// ends, or dst fails as a whole, Copy stops; what Progress has been told is
// durable and running it again completes the work.
//
// src is iterated in a goroutine of its own, ahead of the writing, and is done
// with when Copy returns.
func Copy(ctx context.Context, dst MetadataStore, src iter.Seq2[*Metadata, error], opts CopyOptions) (CopySummary, error) {
	c := &copier{dst: dst, opts: opts}
	ctx, cancel := context.WithCancel(ctx)
	batches := make(chan []copyItem, 1)
	done := make(chan struct{})
	var srcErr error // the producer's until done is closed
	go func() {
		defer close(done)
		defer close(batches)
		srcErr = gather(ctx, src, opts.Atomic, batches)
	}()
	var err error
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

// copyItem is one Pod of the source, or why it could not be read.
type copyItem struct {
	pod string
	m   *Metadata
	err error
}

// gather cuts src into batches and returns the errors that name no Pod.
func gather(ctx context.Context, src iter.Seq2[*Metadata, error], whole bool, batches chan<- []copyItem) error {
	var batch []copyItem
	var errs []error
	size := 0
	send := func() bool {
		select {
		case batches <- batch:
		case <-ctx.Done():
			return false
		}
		batch, size = nil, 0
		return true
	}
	for m, err := range src {
		if ctx.Err() != nil {
			return nil
		}
		var e *Error
		switch {
		case err == nil:
			batch = append(batch, copyItem{pod: m.PodName, m: m, err: validateOp("copy", m.PodName)})
			size += len(m.Manifest)
			for _, v := range m.Extra {
				size += len(v)
			}
		case errors.As(err, &e) && e.Pod != "":
			batch = append(batch, copyItem{pod: e.Pod, err: err})
		default:
			errs = append(errs, err)
		}
		if !whole && (len(batch) >= batchPods || size >= batchBytes) && !send() {
			return nil
		}
	}
	if len(batch) > 0 {
		send()
	}
	return errors.Join(errs...)
}

type copier struct {
	dst     MetadataStore
	opts    CopyOptions
	summary CopySummary
}

func (c *copier) report(r CopyResult) {
	c.summary.Count(r.Outcome)
	if c.opts.Progress != nil {
		c.opts.Progress(r)
	}
}

var (
	errDryRun   = errors.New("dry run")
	errNotWhole = errors.New("not every pod can be copied")
)

// copyBatch copies one batch and reports each of its Pods.
func (c *copier) copyBatch(ctx context.Context, batch []copyItem) error {
	results, err := c.edit(ctx, batch)
	if errors.Is(err, errors.ErrUnsupported) && !c.opts.Atomic {
		results, err = c.oneByOne(ctx, batch)
	}
	i := culprit(batch, err)
	switch {
	case i < 0 && errors.Is(err, ErrTooLarge) && !c.opts.Atomic && len(batch) > 1:
		for _, part := range [][]copyItem{batch[:len(batch)/2], batch[len(batch)/2:]} {
			if err := c.copyBatch(ctx, part); err != nil {
				return err
			}
		}
		return nil
	case i >= 0:
		switch {
		case c.opts.Atomic:
			results, err = []CopyResult{refusal(batch[i].pod, err)}, nil
		case len(batch) == 1:
			results, err = c.alone(ctx, batch[0], err)
		default:
			for _, part := range [][]copyItem{batch[:i], batch[i : i+1], batch[i+1:]} {
				if err := c.copyBatch(ctx, part); err != nil {
					return err
				}
			}
			return nil
		}
	}
	if err != nil {
		return err
	}
	for _, r := range results {
		c.report(r)
	}
	return nil
}

func refusal(pod string, err error) CopyResult {
	return CopyResult{Pod: pod, Outcome: Refused, Err: err}
}

// culprit is the index of the Pod that dst does not take, or holds damaged, or
// -1 where an error concerns dst as a whole.
func culprit(batch []copyItem, err error) int {
	var e *Error
	if !errors.As(err, &e) || e.Pod == "" || errors.Is(err, ErrUnusable) ||
		!errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrInvalid) {
		return -1
	}
	return slices.IndexFunc(batch, func(it copyItem) bool { return it.err == nil && it.pod == e.Pod })
}

// edit copies a batch in one atomic edit. The error is never errDryRun or
// errNotWhole: those only make the edit leave dst alone.
func (c *copier) edit(ctx context.Context, batch []copyItem) ([]CopyResult, error) {
	results := make([]CopyResult, len(batch))
	names := make([]string, 0, len(batch))
	index := make([]int, 0, len(batch))
	bad := false
	for i, it := range batch {
		if it.err != nil {
			results[i] = refusal(it.pod, it.err)
			bad = true
			continue
		}
		names = append(names, it.pod)
		index = append(index, i)
	}
	if len(names) == 0 {
		return results, nil
	}
	_, err := UpdatePods(ctx, c.dst, names, func(pods []*Metadata) error {
		bad := bad
		for k, i := range index {
			results[i] = c.judge(batch[i].m, pods[k])
			if results[i].Outcome == Written {
				pods[k] = batch[i].m
			}
			bad = bad || results[i].Outcome == Conflict
		}
		switch {
		case c.opts.Atomic && bad:
			return errNotWhole
		case c.opts.DryRun:
			return errDryRun
		}
		return nil
	})
	switch {
	case errors.Is(err, errNotWhole):
		failed := results[:0]
		for _, r := range results {
			if r.Outcome == Conflict || r.Outcome == Refused {
				failed = append(failed, r)
			}
		}
		return failed, nil
	case errors.Is(err, errDryRun):
		return results, nil
	}
	return results, err
}

// judge compares a source Pod with what dst has.
func (c *copier) judge(m, stored *Metadata) CopyResult {
	if stored == nil {
		return CopyResult{Pod: m.PodName, Outcome: Written}
	}
	field := stored.Diff(m)
	switch {
	case field == "":
		return CopyResult{Pod: m.PodName, Outcome: Unchanged}
	case c.opts.Overwrite:
		return CopyResult{Pod: m.PodName, Outcome: Written}
	}
	return CopyResult{Pod: m.PodName, Outcome: Conflict, Field: field, Err: &Error{Op: "copy", Pod: m.PodName, Kind: ErrExists,
		Err: fmt.Errorf("stored differently already, first in %q; the stored one was kept, overwrite to replace it", field)}}
}

// alone handles a Pod of which dst said why it cannot be edited.
func (c *copier) alone(ctx context.Context, it copyItem, why error) ([]CopyResult, error) {
	if !errors.Is(why, ErrCorrupt) {
		return []CopyResult{refusal(it.pod, why)}, nil
	}
	if !c.opts.Overwrite {
		return []CopyResult{keptDamaged(it.pod, why)}, nil
	}
	if !c.opts.DryRun {
		err := Write(ctx, c.dst, it.m)
		if culprit([]copyItem{it}, err) == 0 {
			return []CopyResult{refusal(it.pod, err)}, nil
		}
		if err != nil {
			return nil, err
		}
	}
	return []CopyResult{{Pod: it.pod, Outcome: Written}}, nil
}

// keptDamaged refuses a Pod that dst holds damaged.
func keptDamaged(pod string, why error) CopyResult {
	return refusal(pod, &Error{Op: "copy", Pod: pod, Kind: ErrCorrupt,
		Err: fmt.Errorf("the stored one is damaged and was kept, overwrite to replace it: %w", why)})
}

// oneByOne copies a batch to a store that cannot edit several Pods at once.
func (c *copier) oneByOne(ctx context.Context, batch []copyItem) ([]CopyResult, error) {
	results := make([]CopyResult, len(batch))
	var write []*Metadata
	var index []int
	for i, it := range batch {
		if it.err != nil {
			results[i] = refusal(it.pod, it.err)
			continue
		}
		stored, err := c.dst.Read(ctx, it.pod)
		switch {
		case err == nil || errors.Is(err, ErrNotFound):
			results[i] = c.judge(it.m, stored)
		case errors.Is(err, ErrCorrupt) && c.opts.Overwrite:
			results[i] = CopyResult{Pod: it.pod, Outcome: Written}
		case errors.Is(err, ErrCorrupt):
			results[i] = keptDamaged(it.pod, err)
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case concernsAll(err):
			return nil, err
		default:
			results[i] = refusal(it.pod, err)
		}
		if results[i].Outcome == Written && !c.opts.DryRun {
			write = append(write, it.m)
			index = append(index, i)
		}
	}
	for k, err := range writeAll(ctx, c.dst, write) {
		if err != nil {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			if concernsAll(err) {
				return nil, err
			}
			results[index[k]] = refusal(write[k].PodName, err)
		}
	}
	return results, nil
}

// concernsAll tells an error after which no other Pod can be copied either.
func concernsAll(err error) bool {
	for _, kind := range []error{ErrNoSpace, ErrReadOnly, ErrClosed, ErrLocked, ErrUnusable, ErrUnavailable} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}

// writeAll writes each Pod and returns an error for each.
func writeAll(ctx context.Context, dst MetadataStore, pods []*Metadata) []error {
	if len(pods) == 0 {
		return nil
	}
	if b, ok := dst.(BatchWriter); ok {
		return b.WriteBatch(ctx, pods)
	}
	errs := make([]error, len(pods))
	for i, m := range pods {
		errs[i] = Write(ctx, dst, m)
	}
	return errs
}
