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

// ExportOptions are the options of [Export]. The zero value is a good default.
type ExportOptions struct {
	// Prune removes, after everything is exported, the Pods of the directory that
	// src does not have: their metadata.json, and the directory if nothing else is
	// in it. A Pod that is damaged in src stays. Nothing is pruned if src could not be
	// read to its end or the context ended.
	Prune bool
	// Naming is the naming of all files. A file with the other naming is written anew,
	// and its [Result] has Renamed set.
	Naming podjson.Naming
	// PruneAll lets Prune remove all Pods of the directory if src has none. Without it
	// that is refused before anything is changed, with a [*PruneError]: an empty src is
	// more likely the wrong store, or one that is not mounted.
	PruneAll bool
	// DryRun reports what would be exported and pruned, as far as that can be found out
	// without trying, and changes nothing. It does not create root either.
	DryRun bool
	// MaxFileSize is the size limit of one metadata.json in bytes. 0 means
	// [DefaultMaxFileSize]. A Pod whose file would be larger is refused, since it could
	// not be imported again.
	MaxFileSize int64
	// Progress, if set, is called for every result, in the order of src; pruned Pods
	// come last.
	Progress Progress
}

// Export writes every Pod of src to {root}/{pod}/metadata.json, in canonical form. It
// creates root if it is missing. The outcomes are [Exported], [Unchanged] (the file had
// these bytes and was not touched), [Refused], [Damaged] (src could not read the Pod; a
// file of an earlier export stays) and [Pruned]. A Pod that cannot be written, such as
// one with a link in the place of its directory, is refused, and the others go on.
//
// Export reads one moment of src if src is a [store.Snapshotter]. At any moment, even
// after a kill or a loss of power, each file is the old one or the new one, whole. When
// Export returns, everything that it reported is durable. Running it again after an
// interruption leads to the same directory as one clean run.
//
// New files get mode 0600 and new directories 0700. What root writes gets the owner of
// the directory it is in. A file that is replaced keeps mode and owner. The modification
// time of a file is the changed time of its Pod, if that is known. Other files are left
// alone.
//
// On Linux a missing root for 32 Pods or more is written beside its place, in a directory
// named .podstore-export- and a number, and renamed when it is durable. Until then, and
// after a kill, root does not exist. If the context ends, or the file system fails, it is
// renamed with what was written before. The next such export removes what a killed one
// left. If the directory cannot be renamed, it is removed, the Report counts nothing, and
// the error says why.
//
// Export returns only errors that concern no single Pod:
//   - the context's
//   - [store.ErrFormat] for a root with workers of the aggregate layout, into which nothing
//     is written
//   - a failure of the file system as a whole, such as [store.ErrNoSpace], which ends the
//     export; Pods that were not written have no result
//   - [store.ErrCorrupt] for damage of src that names no Pod, after everything readable was
//     exported
//
// The Report is valid in any case.
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

// exportTarget opens the directory at root. It returns nil if there is none and it must be
// created.
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

// treePrefix starts the names of directories that are not whole yet; 16 hexadecimal digits
// follow. The process that writes one has it locked.
const treePrefix = ".podstore-export-"

// isTree reports whether a name is one of those.
func isTree(name string) bool {
	digits, ok := strings.CutPrefix(name, treePrefix)
	return ok && len(digits) == 16 && strings.Trim(digits, "0123456789abcdef") == ""
}

// plainPath cleans a path, such as of a slash at its end. plain is false for a path with
// "..": what that names depends on the links in it.
func plainPath(path string) (clean string, plain bool) {
	if path == "" || slices.Contains(strings.Split(filepath.ToSlash(path), "/"), "..") {
		return path, false
	}
	return filepath.Clean(path), true
}

// freeze returns one moment of a store, if it is a Snapshotter, otherwise the store, and a
// function that frees it.
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
	pods   int // at most so many in one call of w.write
	r      *reporter
	dryRun bool
	seen   map[string]bool // the Pods that src has, damaged ones included
}

// podWriter is a way to write many Pods.
type podWriter interface {
	// write writes Pods. It returns those whose outcome is final, in order, which may be
	// Pods of an earlier call. An error means that it is useless to go on, and is
	// returned once.
	write(items []batchItem) ([]batchItem, error)
	// finish makes everything durable and returns the remaining Pods. It must be called
	// after the last write, even after an error.
	finish() ([]batchItem, error)
	// discard frees what was begun and not finished.
	discard()
}

// In a new directory treePods Pods are written while the next treePods are read.
const treePods = 250

// errUnpublished is the error of finish if nothing is left of what was written.
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

// report reports the outcome of Pods. Those that failed because the file system as a
// whole did have none: the error of the export says why.
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

// PruneError is the error for a Prune that would remove all Pods of the directory because
// the store has none. Nothing was changed.
type PruneError struct {
	Path string
	Pods int // of the directory
}

func (e *PruneError) Error() string {
	return fmt.Sprintf("the store has no Pods, and to prune would remove all %d of %s; nothing was changed", e.Pods, (&store.Error{Path: e.Path}).Position())
}

// prunable returns an error if a Pod's metadata.json is not a regular file: such an entry
// is not removed.
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

// plan reports whether stage would write a Pod's file. It changes nothing.
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
