package boltstore

import (
	"context"
	"errors"
	"iter"
	"maps"
	"os"
	"slices"

	"podstore/store"
	"podstore/store/boltstore/internal/boltfile"
)

// Salvaged reports what [Salvage] did with one Pod.
type Salvaged struct {
	Pod string
	// Older: Salvage saved an earlier state, nearly always the one before the last
	// commit. The newest state is damaged, or Salvage cannot tell which of the two it
	// found. The Pod may have changed since, or been deleted.
	Older bool
	// Err says why Salvage could not save the Pod. It is nil for a saved Pod.
	Err error
}

// SalvageSummary counts what [Salvage] did.
type SalvageSummary struct {
	Saved int // Pods saved in their newest state
	Older int // Pods saved in an earlier state, or perhaps so
	Lost  int // Pods found, but not whole
	// Missing is the number of Pods in the file's record that were not found; even
	// their names are lost. It is -1 if the record itself is lost, or if the last commit
	// may be lost, and with it Pods that it created.
	Missing int
}

// Salvage copies every whole Pod of the file at src into a new database at dst. It
// calls report, from one goroutine at a time, for each Pod that it finds. It reads src
// under the shared lock, without mapping it, and never changes it. While a writer has src
// open, Salvage fails with store.ErrLocked. dst appears when it is complete and durable.
// Salvage leaves alone what already stands at dst and returns store.ErrExists.
//
// If the newest state is damaged, Salvage takes each Pod that is damaged or missing there
// from the state before the last commit.
func Salvage(ctx context.Context, src, dst string, opts *Options, report func(Salvaged)) (SalvageSummary, error) {
	v := &salvager{ctx: ctx, report: report, saved: make(map[string]bool), lost: make(map[string]error)}
	v.read, v.total = opts.progress()
	err := withFile(src, opts, func(f *os.File, size int64) error {
		return writeNew(ctx, dst, v.pods(f, size), &v.books)
	})
	return v.summary, opError("salvage", src, err)
}

type salvager struct {
	ctx     context.Context
	report  func(Salvaged)
	saved   map[string]bool
	lost    map[string]error
	summary SalvageSummary
	books   carriedBooks

	read  func() // reports progress
	total *int
}

// pods yields every whole Pod. It ends at the first error.
func (v *salvager) pods(f *os.File, size int64) iter.Seq2[*rawPod, error] {
	return func(yield func(*rawPod, error) bool) {
		ok, err := v.state(f, size, false, yield)
		if err == nil && !ok {
			_, err = v.state(f, size, true, yield)
			if errors.As(err, new(*boltfile.Problem)) {
				err = nil // the file has no older state
			}
			v.books.noteLostPods()
		}
		if err != nil {
			if !errors.Is(err, errStop) {
				yield(nil, err)
			}
			return
		}
		for _, name := range slices.Sorted(maps.Keys(v.lost)) {
			v.summary.Lost++
			v.report(Salvaged{Pod: name, Err: v.lost[name]})
		}
	}
}

var errStop = errors.New("the receiver wants no more")

// state yields the Pods of one state of the file that are not saved yet. It reports
// whether it found no sign of damage.
func (v *salvager) state(f *os.File, size int64, older bool, yield func(*rawPod, error) bool) (bool, error) {
	bf, problems, err := boltfile.OpenDamaged(f, size, older)
	if err != nil {
		if older {
			return false, err
		}
		return false, fileError(err)
	}
	v.books.raiseToTxn(0, bf.Meta().TxID+1) // one more transaction may be lost
	var found nameRecord
	var books *boltfile.Bucket
	rep, err := bf.Walk(func(b *boltfile.Bucket) error {
		if err := v.ctx.Err(); err != nil {
			return err
		}
		name := string(b.Name)
		switch {
		case name == bookkeeping:
			books = b
			*v.total = recorded(b)
			v.books.take(b, bf.Meta().TxID+1, older)
			return nil
		case v.saved[name] || store.ValidateName(name) != nil:
			return nil
		}
		found.add(b.Name)
		v.read()
		p, err := wholePod(b)
		if err == nil {
			v.books.raise(p.stamp.Number)
		}
		if errors.Is(err, store.ErrFormat) {
			return newer(name, err)
		}
		if err != nil {
			if !older {
				v.lost[name] = errors.Join(err, b.Err)
			}
			return nil
		}
		v.saved[name] = true
		delete(v.lost, name)
		old := !bf.Newest() || b.Free
		if old {
			v.summary.Older++
		} else {
			v.summary.Saved++
		}
		v.report(Salvaged{Pod: name, Older: old})
		if !yield(p, nil) {
			return errStop
		}
		return nil
	})
	if err != nil {
		return false, err
	}
	if older {
		return true, nil
	}
	record, err := readBooks(books)
	switch {
	case errors.Is(err, store.ErrFormat) && (books != nil || len(v.saved) == 0):
		return false, err // a newer version, or not ours
	case err != nil || !bf.Newest():
		v.summary.Missing = -1
	default:
		v.summary.Missing = int(max(0, int64(record.count)-int64(found.count)))
	}
	sound := err == nil && bf.Newest() && *record == found && len(problems) == 0 && len(rep.Problems) == 0 && len(v.lost) == 0
	return sound, nil
}
