package store

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"sync/atomic"
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

// A batch is one Apply. Measured on bbolt, 1,000 Pods were faster than 100
// and than 10,000; the byte limit bounds memory where manifests are large.
const (
	batchPods  = 1000
	batchBytes = 32 << 20
)

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

// copyItem is one Pod of the source, or why it could not be read.
type copyItem struct {
	pod string
	m   *Metadata
	err error

	result   CopyResult
	revision Revision // of the Pod in dst, where that is Unchanged
}

func (it *copyItem) refuse(err error) {
	it.result = CopyResult{Pod: it.pod, Outcome: Refused, Err: err}
}

func (it *copyItem) put() Put {
	return Put{Metadata: it.m, Created: it.m.Version.Created, Changed: it.m.Version.Changed}
}

// gather cuts src into batches and returns the errors that name no Pod.
func gather(ctx context.Context, src iter.Seq2[*Metadata, error], whole bool, batches chan<- []copyItem) error {
	var batch []copyItem
	var errs []error
	size := 0
	seen := make(map[string]bool)
	send := func() bool {
		select {
		case batches <- batch:
		case <-ctx.Done():
			return false
		}
		batch, size = nil, 0
		clear(seen)
		return true
	}
	for m, err := range src {
		if ctx.Err() != nil {
			return nil
		}
		var e *Error
		switch {
		case err == nil && whole && seen[m.PodName]:
			batch = append(batch, copyItem{pod: m.PodName, err: &Error{Op: "copy", Pod: m.PodName, Kind: ErrInvalid, Err: errors.New("the source has the Pod twice")}})
		case err == nil:
			if seen[m.PodName] && !send() { // each version is compared with the one before
				return nil
			}
			seen[m.PodName] = true
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

// changes are what is to be done for a batch. What may be replaced needs no
// condition; of an atomic copy what was found unchanged must be so still.
func (c *copier) changes(batch []copyItem) (changes []Change) {
	for i := range batch {
		switch it := &batch[i]; {
		case it.result.Outcome == Written && c.opts.Overwrite:
			changes = append(changes, Change{Pod: it.pod, Op: it.put()})
		case it.result.Outcome == Written:
			changes = append(changes, Change{Pod: it.pod, Op: it.put(), If: Missing})
		case it.result.Outcome == Unchanged && c.opts.Atomic:
			changes = append(changes, Change{Pod: it.pod, If: AtRevision(it.revision)})
		}
	}
	return changes
}

// attempts bounds how often a batch is tried that others come between.
const attempts = 100

// apply makes the changes of a batch that was looked at, and reports each of its
// Pods.
func (c *copier) apply(ctx context.Context, batch []copyItem) error {
	if c.alone && len(batch) > 1 {
		return c.applyParts(ctx, batch, 1)
	}
	for attempt := 1; ; attempt++ {
		changes := c.changes(batch)
		if len(changes) == 0 {
			break
		}
		_, err := c.dst.Apply(ctx, changes, nil)
		if err == nil {
			break
		}
		it := c.culprit(batch, err)
		switch {
		case it == nil && !c.opts.Atomic && len(changes) > 1 && errors.Is(err, errors.ErrUnsupported):
			c.alone = true
			return c.applyParts(ctx, batch, 1)
		case it == nil && !c.opts.Atomic && len(changes) > 1 && errors.Is(err, ErrTooLarge):
			return c.applyParts(ctx, batch, (len(batch)+1)/2)
		case it == nil:
			return err
		case (errors.Is(err, ErrExists) || errors.Is(err, ErrConflict)) && attempt < attempts:
			if err := c.lookAgain(ctx, batch); err != nil {
				return err
			}
		default:
			it.refuse(err)
		}
		if c.opts.Atomic && slices.ContainsFunc(batch, failed) {
			batch = slices.DeleteFunc(batch, func(it copyItem) bool { return !failed(it) })
			break
		}
	}
	c.report(batch)
	return nil
}

func (c *copier) applyParts(ctx context.Context, batch []copyItem, size int) error {
	for part := range slices.Chunk(batch, size) {
		if err := c.apply(ctx, part); err != nil {
			return err
		}
	}
	return nil
}

// culprit is the Pod of a batch that an error of Apply concerns, or nil where it
// concerns dst as a whole.
func (c *copier) culprit(batch []copyItem, err error) *copyItem {
	var e *Error
	if !errors.As(err, &e) || e.Pod == "" || concernsAll(err) {
		return nil
	}
	ofPod := c.alone
	for _, kind := range []error{ErrInvalid, ErrInvalidName, ErrCorrupt, ErrFormat, ErrExists, ErrConflict} {
		ofPod = ofPod || errors.Is(err, kind)
	}
	i := slices.IndexFunc(batch, func(it copyItem) bool { return it.pod == e.Pod && !failed(it) })
	if i < 0 || !ofPod {
		return nil
	}
	return &batch[i]
}

// writeBatch writes a batch that was looked at to a store that changes Pods one by
// one.
func (c *copier) writeBatch(ctx context.Context, batch []copyItem) error {
	var puts []Put
	var of []*copyItem
	for i := range batch {
		if it := &batch[i]; it.result.Outcome == Written {
			puts, of = append(puts, it.put()), append(of, it)
		}
	}
	for i, err := range writeBatch(ctx, c.dst, puts) {
		switch {
		case err == nil:
		case ctx.Err() != nil:
			return ctx.Err()
		case concernsAll(err):
			return err
		default:
			of[i].refuse(err)
		}
	}
	return nil
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

// writeBatch makes each put and returns an error for each.
func writeBatch(ctx context.Context, dst MetadataStore, puts []Put) []error {
	if len(puts) == 0 {
		return nil
	}
	if b, ok := dst.(BatchWriter); ok {
		return b.WriteBatch(ctx, puts)
	}
	errs := make([]error, len(puts))
	for i, put := range puts {
		var pod string
		if put.Metadata != nil {
			pod = put.Metadata.PodName
		}
		errs[i] = Do(ctx, dst, pod, put)
	}
	return errs
}
