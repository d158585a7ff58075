package jsonexport

import (
	"context"
	"errors"
	"iter"
	"slices"

	"podstore/store"
)

// VerifyOptions are the options of [Verify]. The zero value is a good default.
type VerifyOptions struct {
	// ContentOnly makes the outcome [Same] for files with the same content in other
	// bytes than the canonical ones. Otherwise they are [NotCanonical].
	ContentOnly bool
	// MaxFileSize is the size limit of one metadata.json in bytes. 0 means
	// [DefaultMaxFileSize].
	MaxFileSize int64
	// Progress, if set, is called for every result, sorted by name, except that files
	// that had to be read again come last.
	Progress Progress
}

// Verify compares every Pod of src with the directory, and every Pod of the
// directory with src. The outcomes are [Same], [Differs], [NotCanonical],
// [MissingInStore], [MissingInDir], [Unreadable] and [Damaged].
//
// Verify changes nothing. It reads one moment of src if src is a [store.Snapshotter]. It
// reads the directory as [Import] does, with the same rules for links, names and files
// that are being written.
//
// It returns only errors that concern no single Pod: a root that does not exist
// ([store.ErrNotFound]), the context's, or damage of src that names no Pod
// ([store.ErrCorrupt]), after everything readable was compared. The Report is valid in
// any case.
func Verify(ctx context.Context, src store.MetadataStore, root string, opts VerifyOptions) (Report, error) {
	r := newReporter(opts.Progress, 0)
	err := verify(ctx, src, root, opts, r)
	return r.Report, named(err, "verify")
}

func verify(ctx context.Context, src store.MetadataStore, root string, opts VerifyOptions, r *reporter) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s, err := newScan("verify", root, opts.MaxFileSize)
	if err != nil {
		return err
	}
	defer s.close()
	s.canonical = !opts.ContentOnly
	src, release, err := freeze(ctx, src)
	if err != nil {
		return err
	}
	defer release()
	names, err := src.List(ctx)
	if err != nil && !errors.Is(err, store.ErrCorrupt) {
		return err
	}
	r.Files, r.total = s.files, len(s.entries)
	for _, name := range names {
		if !s.has(name) {
			r.total++
		}
	}
	v := verifier{scan: s, r: r, held: make(map[string]stored)}
	return v.merge(ctx, store.All(ctx, src, store.ReadOptions{}))
}

// has reports whether there is an entry of that name that the scan yields.
func (s *scan) has(name string) bool {
	_, ok := slices.BinarySearchFunc(s.entries, name, compareEntry)
	return ok
}

// stored is a Pod of src, or the error for it.
type stored struct {
	m   *store.Metadata
	err error
}

type verifier struct {
	*scan
	r    *reporter
	held map[string]stored // the Pods of src whose files are read again
}

// merge compares both sides, each sorted by name, in one pass.
func (v *verifier) merge(ctx context.Context, src iter.Seq2[*store.Metadata, error]) error {
	var errs []error
	next, stop := iter.Pull2(src)
	defer stop()
	var name string // of pod, while pod is not nil
	var pod *stored
	advance := func() {
		for pod = nil; pod == nil; {
			m, err, ok := next()
			if !ok {
				return
			}
			var e *store.Error
			switch {
			case err == nil:
				name, pod = m.PodName, &stored{m: m}
			case errors.As(err, &e) && e.Pod != "":
				name, pod = e.Pod, &stored{err: err}
			default:
				errs = append(errs, err)
			}
		}
	}
	advance()
	for found := range v.all(ctx) {
		if short(found.err) {
			return v.unreadRest("verify", found.err)
		}
		here, again := v.held[found.name]
		for pod != nil && (again || name < found.name) {
			v.onlyStored(name, pod)
			advance()
		}
		if again {
			v.compare(found, here)
			continue
		}
		if pod != nil && name == found.name {
			here = *pod
			advance()
		}
		if found.later {
			v.held[found.name] = here
			continue
		}
		v.compare(found, here)
	}
	for pod != nil && ctx.Err() == nil {
		v.onlyStored(name, pod)
		advance()
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return errors.Join(errs...)
}

// compare reports one entry of the directory. here is the store's Pod of that
// name; both of its fields are nil where there is none.
func (v *verifier) compare(found scanned, here stored) {
	res := Result{Pod: found.name, Path: v.file(found.name)}
	noPod := found.err == errNoPod
	switch {
	case here.err != nil:
		res.Outcome, res.Err = Damaged, here.err
	case noPod && here.m == nil:
		v.r.Directories++
		v.r.total--
		return
	case noPod:
		v.r.Directories++
		res.Outcome = MissingInDir
	case found.err != nil:
		res.Outcome, res.Err = Unreadable, found.err
		var e *store.Error
		if errors.As(found.err, &e) {
			res.Path = e.Path
		}
	case here.m == nil:
		res.Outcome = MissingInStore
	default:
		res.Field = here.m.Diff(found.m)
		switch {
		case res.Field != "":
			res.Outcome = Differs
		case v.canonical && !found.canonical:
			res.Outcome = NotCanonical
		default:
			res.Outcome = Same
		}
	}
	v.r.add(res)
}

// onlyStored reports a Pod that the directory has no entry for.
func (v *verifier) onlyStored(name string, pod *stored) {
	res := Result{Pod: name, Path: v.file(name), Outcome: MissingInDir}
	if pod.err != nil {
		res.Outcome, res.Err = Damaged, pod.err
	}
	v.r.add(res)
}
