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

// A batch is a set of Pods that become durable together: few enough to report progress
// and to bound memory, enough to make a sync worth its time. On ext4, 2,500 were
// faster than 1,000 and as fast as 10,000.
var batchPods = 2000 // changed by tests

const batchBytes = 32 << 20

// batchItem is one Pod of a batch and its result.
type batchItem struct {
	pod     string
	m       *store.Metadata
	damaged bool // src could not read it; err says why
	staged
	exported bool // its file was written; in a dry run, would be
	renamed  bool // its file had another naming
	err      error
}

// written reports whether the Pod's file was replaced.
func (it *batchItem) written() bool { return it.err == nil && it.temp != "" }

// batchWriter writes many Pods, in parallel and with few syncs. It writes all files of a
// batch under temporary names, makes them durable, and then renames them. So after a
// loss of power each file is the old one or the new one, whole.
//
// While it makes one batch durable it writes the next. If the system can sync a whole
// file system with one call, the names of a batch become durable together with the files
// of the next. A file that already has the new content stays.
type batchWriter struct {
	p       *podFiles
	op      string
	keep    bool // each file keeps its naming
	syncAll bool
	dryRun  bool // nothing is written
	workers int
	buffers []buffers

	staged []batchItem   // the batch that is being made durable and renamed
	ended  chan struct{} // closed when that is done
	failed error         // the error of that sync
	named  []batchItem   // the batch whose names are not durable yet

	whole    atomic.Pointer[error] // the first failure of the file system as a whole
	returned bool                  // an error was returned by write or finish
}

// From manyPods on, one sync of the whole file system is faster than one of each file.
// For fewer it is slower, since it also writes what other programs have changed.
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

// write writes a batch. It returns the Pods of earlier batches whose outcome is now
// final, in order. An error means that it is useless to go on, and is returned once.
// Call finish in any case. After a failure of the file system as a whole no other Pod is
// tried: each gets that failure as its error.
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

// discard does nothing: the next write of a Pod removes its temporary files.
func (w *batchWriter) discard() {}

// once returns err, unless an error was returned before.
func (w *batchWriter) once(err error) error {
	if w.returned {
		return nil
	}
	w.returned = err != nil
	return err
}

// settle waits for the batch that is being committed and returns the Pods whose outcome
// is then final.
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

// commit makes the files of a batch durable and renames them. The error is that of the
// sync.
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

// lose sets an error for the Pods whose names may not be durable after a failed sync.
func (w *batchWriter) lose(cause error) error {
	for i := range w.named {
		if it := &w.named[i]; it.err == nil {
			it.err = w.p.writeError(w.op, it.pod, fmt.Errorf("it was written, but may be lost with the power: %w", cause))
		}
	}
	return &store.Error{Op: w.op, Path: w.p.path, Kind: osfs.Kind(cause), Err: cause}
}

// stage renders a Pod and writes its file under a temporary name. In a dry run it only
// finds out whether the file would be written.
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
	return w.failure(it, err)
}

// failure returns the error for a Pod that could not be written. It keeps the first
// failure that concerns the whole file system, after which write tries no other Pod.
func (w *batchWriter) failure(it *batchItem, err error) error {
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

// whole returns an error of an item that concerns the file system as a whole, if any.
func whole(items []batchItem) error {
	for i := range items {
		if it := &items[i]; !it.damaged && osfs.IsWhole(it.err) {
			return items[i].err
		}
	}
	return nil
}

// WriteBatch implements [store.BatchWriter]. On Linux, on a local file system, it syncs
// the whole file system about once for every two thousand Pods. For few Pods, and on
// other systems, it syncs each file.
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

// putItem turns a put into an item of a batch.
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
