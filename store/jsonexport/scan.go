package jsonexport

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"iter"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"podstore/store"
)

// scan reads every Pod of a directory and counts or refuses every other entry.
type scan struct {
	*podFiles
	op      string
	entries []fs.DirEntry // what may be a Pod, or is refused; sorted by name
	files   int           // entries that are neither directories nor links

	canonical bool // find out whether the files have the canonical bytes
	repair    bool // take the whole document of a torn file
}

// scanned is the result of reading one entry.
type scanned struct {
	name      string
	m         *store.Metadata
	canonical bool
	err       error // a *store.Error that names the entry as its Pod, or errNoPod
	young     bool  // it failed, but was modified just now: another read may succeed
	torn      *torn // the whole document of a torn file, with scan.repair; err is set too
	later     bool  // young or torn: it is yielded again after everything else
	left      int   // bytes of older documents in a file that was repaired
}

func newScan(op, root string, limit int64) (*scan, error) {
	p, err := openPodFiles(root, limit)
	if err != nil {
		return nil, err
	}
	entries, err := p.root.Entries(p.path)
	if err != nil {
		p.close()
		return nil, &store.Error{Path: root, Err: err}
	}
	s := &scan{podFiles: p, op: op}
	s.entries = slices.DeleteFunc(entries, func(e fs.DirEntry) bool {
		return !e.IsDir() && e.Type()&fs.ModeSymlink == 0
	})
	s.files = len(entries) - len(s.entries)
	slices.SortFunc(s.entries, func(a, b fs.DirEntry) int { return compareEntry(a, b.Name()) })
	return s, nil
}

func compareEntry(e fs.DirEntry, name string) int { return strings.Compare(e.Name(), name) }

// all yields every entry in order. Then it reads those marked later once more, all of
// them in one pass that takes at most settled, and yields them again. It ends early,
// without an error, when the context ends.
func (s *scan) all(ctx context.Context) iter.Seq[scanned] {
	return func(yield func(scanned) bool) {
		var again []scanned
		for found := range inOrder(ctx, len(s.entries), func(b *buffers, i int) scanned { return s.read(b, s.entries[i].Name()) }) {
			found.later = found.young || found.torn != nil
			if found.later {
				again = append(again, found)
			}
			if !yield(found) {
				return
			}
		}
		if len(again) == 0 || ctx.Err() != nil {
			return
		}
		s.readAgain(ctx, again)
		b := newBuffers()
		defer b.release()
		for _, found := range again {
			if found.torn != nil {
				found = s.read(b, found.name).repaired()
			}
			found.later = false
			if ctx.Err() != nil || !yield(found) {
				return
			}
		}
	}
}

// readAgain reads entries until each can be read or was not modified for a while, or until
// the time is over.
func (s *scan) readAgain(ctx context.Context, again []scanned) {
	b := newBuffers()
	defer b.release()
	deadline := time.Now().Add(settled)
	for pause := 2 * time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		waiting := false
		for i := range again {
			if again[i].young && ctx.Err() == nil && time.Until(deadline) > 0 {
				again[i] = s.read(b, again[i].name)
				waiting = waiting || again[i].young
			}
		}
		left := time.Until(deadline)
		if !waiting || left <= 0 {
			return
		}
		select {
		case <-time.After(min(pause, left)):
		case <-ctx.Done():
			return
		}
	}
}

// read reads one entry.
func (s *scan) read(b *buffers, name string) scanned {
	found := scanned{name: name}
	if err := store.ValidateName(name); err != nil {
		var e *store.Error
		errors.As(err, &e)
		found.err = &store.Error{Op: s.op, Pod: name, Path: s.dir(name), Kind: e.Kind, Err: e.Err}
		return found
	}
	l, err := s.load(b, name)
	found.m, found.err = l.m, err
	if s.repair {
		found.torn = l.torn
	}
	var e *store.Error
	if errors.As(err, &e) {
		e.Op = s.op
		found.young = l.young
	}
	if err == nil && s.canonical {
		found.canonical = l.isCanonical(b)
	}
	return found
}

// repaired takes the whole document of a file that is still torn.
func (f scanned) repaired() scanned {
	if f.torn != nil {
		f.m, f.err, f.left = f.torn.m, nil, f.torn.left
	}
	return f
}

// isCanonical reports whether a file has the canonical bytes of its Pod.
func (l *loaded) isCanonical(b *buffers) bool {
	limit := int64(len(l.data))
	if limit <= 16<<10 {
		limit *= 256 // so little memory that AppendMax need not compute the size first
	}
	b.again, _ = l.naming.AppendMax(b.again[:0], l.m, limit)
	return bytes.Equal(b.again, l.data)
}

// inOrder calls work for 0 to n-1 in parallel and yields the results in order.
// It ends early when the context ends.
func inOrder[T any](ctx context.Context, n int, work func(b *buffers, i int) T) iter.Seq[T] {
	return func(yield func(T) bool) {
		workers := min(n, max(2, runtime.GOMAXPROCS(0)))
		ahead := 8 * workers
		results := make([]chan T, ahead) // result i goes to i modulo their number
		for i := range results {
			results[i] = make(chan T, 1)
		}
		tickets := make(chan struct{}, max(1, ahead)) // one for each result not yet yielded
		ctx, cancel := context.WithCancel(ctx)
		var next atomic.Int64
		var wg sync.WaitGroup
		defer wg.Wait()
		defer cancel()
		for range workers {
			wg.Go(func() {
				b := newBuffers()
				defer b.release()
				for {
					select {
					case tickets <- struct{}{}:
					case <-ctx.Done():
						return
					}
					i := int(next.Add(1)) - 1
					if i >= n {
						return
					}
					results[i%ahead] <- work(b, i)
				}
			})
		}
		for i := range n {
			select {
			case r := <-results[i%ahead]:
				<-tickets
				if !yield(r) {
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}
}
