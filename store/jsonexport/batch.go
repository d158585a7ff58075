package jsonexport

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"podstore/store"
	"podstore/store/internal/osfs"
)

// A batch is what is made durable together: few enough Pods to report progress
// and to bound memory, many enough for a sync to be worth it. Measured on ext4,
// 2,500 were faster than 1,000 and as fast as 10,000.
var batchPods = 2000 // changed by tests

const batchBytes = 32 << 20

// batchItem is one Pod of a batch and what became of it.
type batchItem struct {
	pod     string
	m       *store.Metadata
	damaged bool // src could not read it; err says why
	staged
	exported bool // its file is new or another one; in a dry run, would be
	renamed  bool // its file had another naming
	err      error
}

// written reports whether the Pod's file was replaced.
func (it *batchItem) written() bool { return it.err == nil && it.temp != "" }

// batchWriter writes many Pods, in parallel and with few syncs: all files of a
// batch are written under temporary names and made durable, then get their
// names. So after a loss of power each file is the old one or the new one, whole.
//
// While a batch is made durable the next one is written. Where the system can
// sync a whole file system with one call, a batch's names become durable together
// with the next batch's files. A file that has the new content already stays.
type batchWriter struct {
	p       *podFiles
	op      string
	keep    bool // each file keeps its naming
	syncAll bool
	dryRun  bool // nothing is written
	workers int
	buffers []buffers

	staged []batchItem   // being made durable and named
	ended  chan struct{} // closed when that is done
	failed error         // why it could not be
	named  []batchItem   // their names are not durable yet

	whole atomic.Pointer[error] // the first failure of the file system as a whole
	told  bool                  // it was returned
}

// manyPods is from how many Pods on one sync of the whole file system is better
// than one of each file: it also writes what other programs have changed.
var manyPods = 32

// newBatchWriter returns a batchWriter for about n Pods.
func newBatchWriter(p *podFiles, op string, n int) *batchWriter {
	w := &batchWriter{p: p, op: op, syncAll: n >= manyPods && !p.missing && p.root.CanSyncAll()}
	// A worker renders and makes system calls; where each file is synced it
	// mostly waits.
	if w.workers = max(2, runtime.GOMAXPROCS(0)); !w.syncAll {
		w.workers = max(16, w.workers)
	}
	w.buffers = make([]buffers, w.workers)
	return w
}

// write writes a batch. It returns Pods of earlier batches whose outcome is
// final, in order. The error is one that makes going on useless, told once;
// finish must be called in any case. After a failure of the file system as a whole
// no other Pod is tried: each has that failure as its own.
func (w *batchWriter) write(items []batchItem) ([]batchItem, error) {
	w.each(items, func(b *buffers, it *batchItem) {
		switch cause := w.whole.Load(); {
		case it.err != nil:
		case cause != nil:
			it.m, it.err = nil, w.p.writeError(w.op, it.pod, *cause)
		default:
			it.err = w.stage(b, it)
		}
	})
	full := whole(items)
	if w.dryRun {
		return items, w.once(full)
	}
	done, err := w.settle()
	err = w.once(cmp.Or(err, full))
	w.staged, w.ended = items, make(chan struct{})
	go func() {
		defer close(w.ended)
		w.failed = w.commit(items)
	}()
	return done, err
}

// finish makes everything durable and returns the Pods whose outcome was not
// final before.
func (w *batchWriter) finish() ([]batchItem, error) {
	done, err := w.settle()
	if len(w.named) > 0 {
		if cause := w.p.root.SyncAll(); cause != nil {
			err = errors.Join(err, w.lose(cause))
		}
		done, w.named = append(done, w.named...), nil
	}
	return done, w.once(err)
}

// discard does nothing: what is written is finished, or is removed with the next write
// of its Pod.
func (w *batchWriter) discard() {}

// once is an error that was not returned yet.
func (w *batchWriter) once(err error) error {
	if w.told {
		return nil
	}
	w.told = err != nil
	return err
}

// settle waits for the batch that is being committed and returns the Pods whose
// outcome that made final.
func (w *batchWriter) settle() (done []batchItem, err error) {
	if w.ended == nil {
		return nil, nil
	}
	<-w.ended
	w.ended = nil
	if err = whole(w.staged); w.failed != nil {
		err = w.lose(w.failed)
	}
	if !w.syncAll {
		return w.staged, err
	}
	done, w.named = w.named, w.staged
	return done, err
}

// commit makes the files of a batch durable and gives them their names. The error
// is that of the sync.
func (w *batchWriter) commit(items []batchItem) error {
	var failed error
	if w.syncAll {
		failed = w.p.root.SyncAll()
	} else if slices.ContainsFunc(items, func(it batchItem) bool { return it.newFile }) {
		failed = w.p.root.Sync() // their directories may be new
	}
	w.each(items, func(_ *buffers, it *batchItem) {
		if it.written() {
			if err := w.p.finish(it.staged, failed, !w.syncAll); err != nil {
				it.err = w.p.writeError(w.op, it.pod, err)
			}
		}
	})
	return failed
}

// lose marks the Pods whose names a failed sync left in doubt.
func (w *batchWriter) lose(cause error) error {
	for i := range w.named {
		if it := &w.named[i]; it.err == nil {
			it.err = w.p.writeError(w.op, it.pod, fmt.Errorf("it was written, but may be lost with the power: %w", cause))
		}
	}
	return &store.Error{Op: w.op, Path: w.p.path, Kind: osfs.Kind(cause), Err: cause}
}

// stage renders a Pod and writes its file under a temporary name, or in a dry run
// finds out whether that would be done.
func (w *batchWriter) stage(b *buffers, it *batchItem) (err error) {
	if err := store.ValidateName(it.pod); err != nil {
		return named(err, w.op)
	}
	naming := w.p.naming
	if w.keep {
		naming, _ = w.p.namingOf(b, it.pod)
	}
	if b.data, err = w.p.render(b.data[:0], it.m, naming); err == nil {
		if w.dryRun {
			it.exported, err = w.p.plan(b, it.pod, b.data)
		} else {
			it.staged, err = w.p.stage(b, it.m, b.data, !w.syncAll)
			it.exported = it.temp != ""
		}
		if err == nil && it.exported && !w.keep && !w.p.missing {
			old, ok := w.p.namingOf(b, it.pod)
			it.renamed = ok && old != naming
		}
	}
	it.m = nil
	if err == nil {
		return nil
	}
	return w.judge(it, err)
}

// judge says that a Pod could not be written, and keeps the first failure that
// concerns the whole file system.
func (w *batchWriter) judge(it *batchItem, err error) error {
	if osfs.IsWhole(err) {
		w.whole.CompareAndSwap(nil, &err)
	}
	return w.p.writeError(w.op, it.pod, err)
}

// each calls do for every item, in parallel.
func (w *batchWriter) each(items []batchItem, do func(b *buffers, it *batchItem)) {
	var next atomic.Int64
	var wg sync.WaitGroup
	for i := range min(w.workers, len(items)) {
		wg.Go(func() {
			for {
				k := int(next.Add(1)) - 1
				if k >= len(items) {
					return
				}
				do(&w.buffers[i], &items[k])
			}
		})
	}
	wg.Wait()
}

// whole returns an error of an item that concerns the file system, if any.
func whole(items []batchItem) error {
	for i := range items {
		if it := &items[i]; !it.damaged && osfs.IsWhole(it.err) {
			return items[i].err
		}
	}
	return nil
}

// WriteBatch implements [store.BatchWriter]. On Linux, on a local file system,
// it syncs the whole file system about once for each two thousand Pods; where there
// are few, or elsewhere, each file.
func (d *Dir) WriteBatch(ctx context.Context, puts []store.Put) []error {
	errs := make([]error, len(puts))
	fail := func(from int, err error) []error {
		for i := range errs[from:] {
			errs[from+i] = err
		}
		return errs
	}
	if len(puts) == 0 {
		return errs
	}
	p, end, err := d.beginAll(ctx, "write")
	if err != nil {
		return fail(0, err)
	}
	defer end()
	w := newBatchWriter(p, "write", len(puts))
	w.keep = true
	settle := func(from int, items []batchItem) {
		for i := range items {
			errs[from+i] = items[i].err
		}
	}
	var done []batchItem
	names := make(map[string]bool)
	durable, from := 0, 0
	for from < len(puts) {
		if err := ctx.Err(); err != nil {
			fail(from, err)
			break
		}
		var items []batchItem
		for size := 0; from+len(items) < len(puts) && len(items) < batchPods && size < batchBytes; {
			it := putItem(puts[from+len(items)])
			if names[it.pod] {
				break
			}
			names[it.pod] = true
			items = append(items, it)
			size += len(it.m.Manifest)
		}
		if len(items) == 0 { // a second version of a Pod follows the first
			clear(names)
			done, err = w.settle()
		} else {
			from += len(items)
			done, err = w.write(items)
		}
		settle(durable, done)
		durable += len(done)
		if err != nil {
			fail(from, err)
			break
		}
	}
	done, _ = w.finish()
	settle(durable, done)
	return errs
}

// putItem is a put as an item of a batch.
func putItem(put store.Put) batchItem {
	var pod string
	if put.Metadata != nil {
		pod = put.Metadata.PodName
	}
	changes, err := store.Prepare([]store.Change{{Pod: pod, Op: put}})
	if err != nil {
		return batchItem{pod: pod, m: new(store.Metadata), err: err}
	}
	m := changes[0].Op.(store.Put).Metadata
	m.Version = nextVersion(nil, changes, pod)
	return batchItem{pod: pod, m: m}
}
