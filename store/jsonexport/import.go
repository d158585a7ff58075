package jsonexport

import (
	"context"
	"errors"
	"iter"
	"sync"
	"sync/atomic"

	"podstore/store"
)

// ImportOptions are the options of [Import]. The zero value is a good default.
type ImportOptions struct {
	// Overwrite replaces Pods that dst has with other content. Otherwise they are kept
	// and reported as [Conflict].
	Overwrite bool
	// Strict imports all Pods in one transaction or, if one is refused or in conflict,
	// none. All of them are then in memory at once. If nothing was imported, only the
	// Pods that prevented it are reported. If dst cannot change several Pods at once,
	// the error matches [errors.ErrUnsupported].
	Strict bool
	// Repair takes the whole document of a torn file, in which several writers at once
	// left the tail of an older, longer document behind it. It does so only if the
	// document is exactly canonical and the rest is such a tail, also when the file is
	// read again at the end: see Mend of package podjson. The outcome is [Repaired]. Without
	// Repair such a file is refused. The file is left as it is.
	Repair bool
	// DryRun reports what would happen and writes nothing.
	DryRun bool
	// MaxFileSize is the size limit of one metadata.json in bytes. 0 means
	// [DefaultMaxFileSize].
	MaxFileSize int64
	// Found, if set, is called for every Pod that was read, before it is written, from
	// one other goroutine, which has ended when Import returns. It must neither change
	// nor keep the Pod.
	Found func(*store.Metadata)
	// Progress, if set, is called for every result, sorted by name, except that files
	// that had to be read again come last.
	Progress Progress
}

// Import copies every Pod below root into dst. The outcomes are [Imported],
// [Unchanged], [Conflict], [Refused] and, with Repair, [Repaired]. A bad Pod does not
// stop the others. Links, and names that no Pod can have, are refused; [Report] says what
// is only counted. An error in a file has path, line and column.
//
// Import only reads the directory. Another program may be writing it: a file is taken
// only as one version whole. A file that is empty, or that does not parse and was modified
// less than 2 s ago, is read again, all such files together in one last pass of at most
// 2 s. A Pod's changed time is the modification time of its file.
//
// Pods are written in batches, each durable before it is reported. If Import is
// interrupted or killed, running it again leads to the same state as one clean run. It
// returns only errors that concern no single Pod: a root that does not exist
// ([store.ErrNotFound]), the context's, or a failure of dst as a whole. The Report is
// valid in any case.
func Import(ctx context.Context, dst store.MetadataStore, root string, opts ImportOptions) (Report, error) {
	r := newReporter(opts.Progress, 0)
	err := importAll(ctx, dst, root, opts, r)
	return r.Report, named(err, "import")
}

func importAll(ctx context.Context, dst store.MetadataStore, root string, opts ImportOptions, r *reporter) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s, err := newScan("import", root, opts.MaxFileSize)
	if err != nil {
		return err
	}
	defer s.close()
	s.repair = opts.Repair
	r.Files, r.total = s.files, len(s.entries)
	var empty atomic.Int64 // directories that are no Pods
	var left sync.Map      // of the Pods that were repaired, by name
	// If the directory cannot be read to its end, the copy must stop. A strict one must
	// not commit a part.
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	_, err = store.Copy(ctx, dst, s.pods(ctx, stop, &empty, &left, opts.Found), store.CopyOptions{
		Overwrite: opts.Overwrite,
		Atomic:    opts.Strict,
		DryRun:    opts.DryRun,
		Progress: func(c store.CopyResult) {
			r.total = len(s.entries) - int(empty.Load())
			res := importResult(s, c)
			if n, ok := left.Load(c.Pod); ok && (res.Outcome == Imported || res.Outcome == Unchanged) {
				res.Outcome, res.Left = Repaired, n.(int)
			}
			r.add(res)
		},
	})
	r.Directories = int(empty.Load())
	if cause := context.Cause(ctx); short(cause) {
		return cause
	}
	return err
}

// pods yields the results of the scan in the form that Copy takes.
func (s *scan) pods(ctx context.Context, stop context.CancelCauseFunc, empty *atomic.Int64, left *sync.Map, read func(*store.Metadata)) iter.Seq2[*store.Metadata, error] {
	return func(yield func(*store.Metadata, error) bool) {
		for found := range s.all(ctx) {
			switch {
			case short(found.err):
				stop(s.unreadRest(s.op, found.err))
				return
			case found.later:
			case found.err == errNoPod:
				empty.Add(1)
			default:
				if found.left > 0 {
					left.Store(found.name, found.left)
				}
				if found.err == nil && read != nil {
					read(found.m)
				}
				if !yield(found.m, found.err) {
					return
				}
			}
		}
	}
}

// importResult turns the result of a copy into that of an import.
func importResult(s *scan, c store.CopyResult) Result {
	res := Result{Pod: c.Pod, Path: s.file(c.Pod), Field: c.Field, Err: c.Err}
	switch c.Outcome {
	case store.Written:
		res.Outcome = Imported
	case store.Unchanged:
		res.Outcome = Unchanged
	case store.Conflict:
		res.Outcome = Conflict
	default:
		res.Outcome = Refused
	}
	var e *store.Error
	if errors.As(c.Err, &e) {
		if e.Op == "copy" {
			e.Op = "import"
		}
		if e.Path != "" && e.Op == "import" {
			res.Path = e.Path
		}
	}
	return res
}
