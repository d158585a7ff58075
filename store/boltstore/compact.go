package boltstore

import (
	"context"
	"errors"
	"iter"
	"math"

	bolt "go.etcd.io/bbolt"
)

// Compact copies the database at src into a new one at dst, without free space. It
// opens src for reading: while a writer has src open, Compact fails with store.ErrLocked.
// dst appears when it is complete and durable. Compact leaves alone what already stands
// at dst and returns store.ErrExists. For a damaged source it fails with store.ErrCorrupt:
// use Salvage instead.
func Compact(ctx context.Context, src, dst string, opts *Options) error {
	var o Options
	if opts != nil {
		o = *opts
	}
	o.ReadOnly = true
	s, err := Open(src, &o)
	if err != nil {
		return err
	}
	read, total := opts.progress()
	var books carriedBooks
	err = s.view("compact", "", func(tx *bolt.Tx) error {
		record, err := readRecord(tx)
		if err == nil {
			*total = int(min(record.count, math.MaxInt32))
		}
		if err == nil {
			books.deletions, err = readDeletions(tx)
		}
		books.raiseToTxn(s.base, uint64(tx.ID()))
		return err
	})
	if err == nil {
		err = writeNew(ctx, dst, s.rawPods(ctx, read), &books)
	}
	return errors.Join(opError("compact", src, err), s.Close())
}

// rawPods yields every Pod as it is stored, and ends at the first damaged one.
func (s *Store) rawPods(ctx context.Context, read func()) iter.Seq2[*rawPod, error] {
	return func(yield func(*rawPod, error) bool) {
		names, err := s.List(ctx)
		if err != nil {
			yield(nil, err)
			return
		}
		for _, name := range names {
			var raw *rawPod
			err := ctx.Err()
			if err == nil {
				err = s.view("copy", name, func(tx *bolt.Tx) error {
					var p stored
					err := s.load(tx, name, &p)
					if err == nil {
						err = p.checkUnread(tx, 0)
					}
					if err != nil {
						return s.readErr("copy", name, err)
					}
					raw = p.copyAs(&p.values, p.stamp, p.digest)
					return nil
				})
			}
			read()
			if !yield(raw, err) || err != nil {
				return
			}
		}
	}
}
