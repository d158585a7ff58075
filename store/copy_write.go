package store

import (
	"context"
	"errors"
	"slices"
)

// changes returns the changes for a batch. A Pod that may be replaced needs no
// condition. In an atomic copy, a Pod that was found unchanged must still be so.
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

// attempts bounds how often a batch is tried while others change the same Pods.
const attempts = 100

// apply makes the changes of a batch whose outcomes look decided, and reports each of
// its Pods.
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

// culprit returns the Pod of a batch that made Apply fail, or nil if the error concerns
// dst as a whole.
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

// writeBatch writes a batch whose outcomes look decided to a [BatchWriter].
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

// report counts the outcomes of a batch and passes them on.
func (c *copier) report(batch []copyItem) {
	for i := range batch {
		c.summary.Count(batch[i].result.Outcome)
		if c.opts.Progress != nil {
			c.opts.Progress(batch[i].result)
		}
	}
}
