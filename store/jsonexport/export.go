package jsonexport

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"podstore/store"
	"podstore/store/internal/osfs"
	"podstore/store/podjson"
)

// ExportOptions say how [Export] works. The zero value is a good default.
type ExportOptions struct {
	// Prune removes, after everything is exported, the Pods of the directory that
	// src does not have: their metadata.json, and the directory if nothing else is
	// in it. A Pod that is damaged in src stays, and nothing is pruned when src
	// could not be read to its end or the context ended.
	Prune bool
	// Naming is that of all files. A file that has another one is written anew, and
	// its [Result] says so.
	Naming podjson.Naming
	// PruneAll prunes also where src has no Pods and the directory has. Without it that
	// is refused before anything is changed, with a [*PruneError], because src is then
	// rather the wrong store, or one that is not mounted.
	PruneAll bool
	// DryRun finds out and reports what would be exported and pruned, as far as that
	// can be told without trying, and changes nothing: root is not created either.
	DryRun bool
	// MaxFileSize is the size limit of one metadata.json in bytes;
	// [DefaultMaxFileSize] where it is 0. A Pod whose file would be larger, and so
	// could not be imported again, is refused.
	MaxFileSize int64
	// Progress, if set, is told every result, in the order of src; pruned Pods
	// come last.
	Progress Progress
}

// Export writes every Pod of src to {root}/{pod}/metadata.json, in canonical
// form. The outcomes are [Exported], [Unchanged] (the file had these bytes and
// was not touched), [Refused], [Damaged] (src could not read it; a file of an
// earlier export stays) and [Pruned].
//
// It reads one moment of src where src is a [store.Snapshotter], and creates
// root where it is missing. At any moment, also after a kill or a loss of power,
// each file is the old one or the new one, whole; when Export returns, everything
// that it reported is durable. Running it again after an interruption leads to
// the same directory as one clean run. New files get mode 0600 and new directories
// 0700, and where root writes them, the owner of what they are in; a file that is
// replaced keeps mode and owner. Files have as modification time the changed time of
// their Pod, where that is known; other files are left alone. A Pod that cannot be
// written, such as one with a
// link in the place of its directory, is refused and the others go on.
//
// On Linux a root that is missing, for 32 Pods or more, is written beside its place,
// in a directory named .podstore-export- and a number, and gets its name when it is
// durable: until then, and after a kill, it is not there. Where the context ends, or
// the file system fails, it gets it with what was written before. The next such export removes
// what one that was killed left there. If the directory cannot get its name nothing of
// it is left, the Report counts nothing, and the error says why.
//
// An error is one that concerns no single Pod: the context's; a root with workers of
// the aggregate layout ([store.ErrFormat]), into which nothing is written; one of the
// file system as a whole ([store.ErrNoSpace]), which ends the export, and what was not
// written then is in no result; or damage of src that names no Pod
// ([store.ErrCorrupt]), which comes after everything readable was exported. The
// Report is valid in any case.
func Export(ctx context.Context, src store.MetadataStore, root string, opts ExportOptions) (Report, error) {
	r := newReporter(opts.Progress, 0)
	err := export(ctx, src, root, opts, r)
	return r.Report, named(err, "export")
}

func export(ctx context.Context, src store.MetadataStore, root string, opts ExportOptions, r *reporter) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	p, err := exportTarget(root, opts)
	if err != nil {
		return err
	}
	e := exporter{p: p, r: r, pods: batchPods, dryRun: opts.DryRun}
	defer func() {
		if e.p != nil && !e.p.missing {
			e.p.close()
		}
	}()
	src, release, err := freeze(ctx, src)
	if err != nil {
		return err
	}
	defer release()
	names, err := src.List(ctx)
	if err != nil && !errors.Is(err, store.ErrCorrupt) {
		return err
	}
	r.total = len(names)
	if opts.Prune && !opts.PruneAll && len(names) == 0 && p != nil && !p.missing {
		if there, err := p.list(ctx); err != nil || len(there) > 0 {
			return cmp.Or(err, error(&PruneError{root, len(there)}))
		}
	}

	e.seen = make(map[string]bool, len(names))
	if p == nil {
		e.pods = min(batchPods, treePods)
		if e.w, e.p, err = newTreeWriter(root, opts.MaxFileSize, len(names)); err == nil && e.w == nil {
			e.pods = batchPods
			if err = osfs.MkdirAll(root, true); err == nil {
				e.p, err = openPodFiles(root, opts.MaxFileSize)
			}
		}
		if err != nil {
			return &store.Error{Path: root, Kind: osfs.Kind(err), Err: err}
		}
	}
	if e.w == nil {
		w := newBatchWriter(e.p, "export", len(names))
		w.dryRun = opts.DryRun
		e.w = w
	}
	defer e.w.discard()
	e.p.naming = opts.Naming
	srcErr := e.copy(ctx, src)
	done, err := e.w.finish()
	if errors.Is(err, errUnpublished) {
		r.Counts = map[Outcome]int{}
	}
	e.report(done)
	if err := errors.Join(srcErr, err); err != nil {
		if opts.Prune {
			return fmt.Errorf("%w; nothing was pruned", err)
		}
		return err
	}
	if opts.Prune {
		return e.prune(ctx, src)
	}
	return nil
}

// exportTarget opens the directory at root. It is nil where there is none, and it is
// to be created.
func exportTarget(root string, opts ExportOptions) (*podFiles, error) {
	path, _ := plainPath(root)
	if isTree(filepath.Base(path)) {
		return nil, &store.Error{Path: root, Kind: store.ErrInvalid, Err: errors.New("names like this are for directories that an export has not finished, and the next one removes; export to another name")}
	}
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) && !opts.DryRun {
		return nil, nil
	}
	p, err := openPodFiles(root, opts.MaxFileSize)
	if opts.DryRun && errors.Is(err, store.ErrNotFound) {
		return newPodFiles(root, opts.MaxFileSize), nil
	}
	if err != nil {
		return nil, err
	}
	if err := p.refuseAggregate(); err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

// treePrefix starts the names of directories that are not whole; 16 hexadecimal digits
// follow. Each is locked by the process that writes it.
const treePrefix = ".podstore-export-"

// isTree reports whether a name is one of those.
func isTree(name string) bool {
	digits, ok := strings.CutPrefix(name, treePrefix)
	return ok && len(digits) == 16 && strings.Trim(digits, "0123456789abcdef") == ""
}

// plainPath is a path without what is of no consequence, such as a slash at its end.
// It is not plain where it goes up: then what it names depends on the links on it.
func plainPath(path string) (clean string, plain bool) {
	if path == "" || slices.Contains(strings.Split(filepath.ToSlash(path), "/"), "..") {
		return path, false
	}
	return filepath.Clean(path), true
}

// freeze returns one moment of a store, where it has that ability, and what
// frees it.
func freeze(ctx context.Context, s store.MetadataStore) (store.MetadataStore, func(), error) {
	if sn, ok := s.(store.Snapshotter); ok {
		snapshot, closer, err := sn.Snapshot(ctx)
		if err == nil {
			return snapshot, func() { closer.Close() }, nil
		}
		if !errors.Is(err, errors.ErrUnsupported) {
			return nil, nil, err
		}
	}
	return s, func() {}, nil
}

type exporter struct {
	p      *podFiles
	w      podWriter
	pods   int // in one call of w.write
	r      *reporter
	dryRun bool
	seen   map[string]bool // the Pods that src has, damaged ones included
}

// podWriter is a way to write many Pods.
type podWriter interface {
	// write writes Pods. It returns those of which nothing more is to be told, in
	// order, which may be of an earlier call. The error is one that makes going on
	// useless, told once.
	write(items []batchItem) ([]batchItem, error)
	// finish makes everything durable and returns the other Pods. It must be called
	// after the last write, be it after an error.
	finish() ([]batchItem, error)
	// discard frees what was begun and not finished.
	discard()
}

// treePods is how many Pods of a new directory are written while as many are read.
const treePods = 250

// errUnpublished is what finish fails with where nothing of what was written is left.
var errUnpublished = errors.New("nothing was exported")

// copy writes all Pods of src. It returns the errors that name no Pod.
func (e *exporter) copy(ctx context.Context, src store.MetadataStore) error {
	var errs []error
	var items []batchItem
	size := 0
	for m, err := range store.All(ctx, src, store.ReadOptions{}) {
		if ctx.Err() != nil {
			break
		}
		it := batchItem{m: m, err: err, damaged: err != nil}
		var ofPod *store.Error
		switch {
		case err == nil:
			it.pod = m.PodName
			size += len(m.Manifest)
		case errors.As(err, &ofPod) && ofPod.Pod != "":
			it.pod = ofPod.Pod
		case short(err):
			return err
		default:
			errs = append(errs, err)
			continue
		}
		e.seen[it.pod] = true
		items = append(items, it)
		if len(items) < e.pods && size < batchBytes {
			continue
		}
		if err := e.write(items); err != nil {
			return err
		}
		items, size = nil, 0
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if len(items) > 0 {
		if err := e.write(items); err != nil {
			return err
		}
	}
	return errors.Join(errs...)
}

func (e *exporter) write(items []batchItem) error {
	done, err := e.w.write(items)
	e.report(done)
	return err
}

// report tells the outcome of Pods. Those that failed with the file system as a
// whole have none: the error of the export says why.
func (e *exporter) report(items []batchItem) {
	for i := range items {
		it := &items[i]
		if !it.damaged && osfs.IsWhole(it.err) {
			continue
		}
		res := Result{Pod: it.pod, Path: e.p.file(it.pod), Outcome: Unchanged, Renamed: it.renamed, Err: it.err}
		switch {
		case it.damaged && errors.Is(it.err, store.ErrCorrupt):
			res.Outcome = Damaged
		case it.err != nil:
			res.Outcome = Refused
		case it.exported:
			res.Outcome = Exported
		}
		e.r.add(res)
	}
}

// prune removes the Pods that src does not have.
func (e *exporter) prune(ctx context.Context, src store.MetadataStore) error {
	p := e.p
	if p.missing {
		return nil
	}
	names, err := p.list(ctx)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return err
		}
		if e.seen[name] {
			continue
		}
		// Without a snapshot a Pod may have been created meanwhile.
		if _, err := src.Read(ctx, name); !errors.Is(err, store.ErrNotFound) {
			continue
		}
		res := Result{Pod: name, Path: p.file(name), Outcome: Pruned}
		err := p.prunable(name)
		if err == nil && !e.dryRun {
			err = p.remove(name)
		}
		if err != nil {
			res.Outcome, res.Err = Refused, p.writeError("prune", name, err)
		}
		e.r.add(res)
	}
	return nil
}

// PruneError: the store has no Pods, and to prune would remove all that the directory
// has. Nothing was changed.
type PruneError struct {
	Path string
	Pods int // of the directory
}

func (e *PruneError) Error() string {
	return fmt.Sprintf("the store has no Pods, and to prune would remove all %d of %s; nothing was changed", e.Pods, (&store.Error{Path: e.Path}).Position())
}

// prunable refuses to have removed what is no regular file.
func (p *podFiles) prunable(name string) error {
	dir, err := p.root.Sub(name)
	if err != nil {
		return err
	}
	st, err := dir.Stat(fileName)
	dir.Close()
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	case !st.Mode.IsRegular():
		return &osfs.NotA{Want: "a regular file", Found: st.Mode}
	}
	return nil
}

// plan reports whether stage would write a Pod's file, and changes nothing.
func (p *podFiles) plan(b *buffers, pod string, data []byte) (bool, error) {
	if p.missing {
		return true, nil
	}
	dir, err := p.root.Sub(pod)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	defer dir.Close()
	_, same, err := b.look(dir, data)
	return !same, err
}
