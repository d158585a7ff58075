package boltstore

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"time"

	bolt "go.etcd.io/bbolt"

	"podstore/store"
	"podstore/store/boltstore/internal/boltfile"
	"podstore/store/internal/codec"
)

// carriedBooks is the bookkeeping that a copy of a database takes over from its source.
type carriedBooks struct {
	base      uint64     // higher than every revision number of the source
	deletions *deletions // nil if they cannot be read
}

// raise raises base to a revision number that the source may have used.
func (c *carriedBooks) raise(number uint64) { c.base = max(c.base, number) }

// raiseToTxn raises base above all revision numbers up to a transaction.
func (c *carriedBooks) raiseToTxn(base, txid uint64) { c.raise(base + (txid+1)<<placeBits) }

// take takes over what it can from a bookkeeping bucket, which may be damaged. It does
// not take the deletions of an older state: later ones would be missing.
func (c *carriedBooks) take(b *boltfile.Bucket, txid uint64, older bool) {
	values := make(map[string][]byte)
	for _, kv := range b.Values {
		values[string(kv.Key)] = kv.Value
	}
	if base, err := readBase(values[keyBase]); err == nil {
		c.raiseToTxn(base, txid)
	}
	if d, err := parseDeletions(values[keyDeletions]); err == nil && !older {
		c.raise(d.last)
		c.deletions = d
	}
}

// noteLostPods records that Pods may be lost. From then on the absence of a Pod does
// not prove that a change of it was never made.
func (c *carriedBooks) noteLostPods() {
	if c.deletions == nil {
		c.deletions = &deletions{floor: c.base}
	}
	c.deletions.last = c.base
}

// One transaction of a copy writes at most this much.
const (
	copyPods  = 1000
	copyBytes = 32 << 20
)

// writeNew creates a database at dst with the given Pods, exactly as they are stored:
// stamps, request IDs and chunks of histories included. Its revision numbers continue
// above those of the source. The iteration over pods may fill in books.
func writeNew(ctx context.Context, dst string, pods iter.Seq2[*rawPod, error], books *carriedBooks) error {
	return newFile(dst, func(tmp string) error {
		if err := initialize(tmp); err != nil {
			return err
		}
		db, err := bolt.Open(tmp, 0o600, &bolt.Options{Timeout: time.Second, NoSync: true, InitialMmapSize: initialMapping})
		if err != nil {
			return err
		}
		c := &copyWriter{db: db}
		for p, err2 := range pods {
			if err = err2; err == nil {
				err = ctx.Err()
			}
			if err != nil {
				// The caller must not take it for the error of one Pod.
				err = &store.Error{Err: fmt.Errorf("nothing was written: %w", err)}
				break
			}
			if err = c.add(p); err != nil {
				break
			}
		}
		if err == nil {
			err = c.end(books)
		}
		if err == nil && mutant != "nosync" {
			err = db.Sync()
		}
		return errors.Join(err, db.Close())
	})
}

type copyWriter struct {
	db     *bolt.DB
	batch  []*rawPod
	bytes  int
	record nameRecord
}

func (c *copyWriter) add(p *rawPod) error {
	c.batch = append(c.batch, p)
	c.bytes += p.size()
	if len(c.batch) < copyPods && c.bytes < copyBytes {
		return nil
	}
	return c.write(func(*bolt.Tx) error { return nil })
}

// end writes the remaining Pods and the bookkeeping.
func (c *copyWriter) end(books *carriedBooks) error {
	return c.write(func(tx *bolt.Tx) error {
		e := codec.NewEncoder()
		b := tx.Bucket([]byte(bookkeeping))
		if err := b.Put([]byte(keyNames), sealBook(keyNames, e.Uints(c.record.count, c.record.sum))); err != nil {
			return err
		}
		if d := books.deletions; d.last > 0 {
			if err := b.Put([]byte(keyDeletions), sealBook(keyDeletions, e.Deletions(d.last, d.floor, d.ids))); err != nil {
				return err
			}
		}
		return b.Put([]byte(keyBase), sealBook(keyBase, e.Uint(books.base)))
	})
}

func (c *copyWriter) write(also func(*bolt.Tx) error) error {
	if info, err := os.Stat(c.db.Path()); err == nil {
		c.db.AllocSize = int(min(info.Size(), allocSize))
	}
	err := c.db.Update(func(tx *bolt.Tx) error {
		if len(c.batch) > 0 && c.bytes/len(c.batch) <= inlineSize {
			tx.Cursor().Bucket().FillPercent = bulkFill
		}
		for _, p := range c.batch {
			if err := p.put(tx); err != nil {
				return err
			}
			c.record.add([]byte(p.name))
		}
		return also(tx)
	})
	c.batch, c.bytes = nil, 0
	return err
}
