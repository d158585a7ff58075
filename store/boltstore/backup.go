package boltstore

import (
	"context"
	"errors"
	"fmt"

	"podstore/store"
	"podstore/store/internal/osfs"
)

// Backup copies the database file, as it is at one moment, to dst. It syncs the copy and
// checks all of it as [Check] does; only then does the copy get its name. Backup leaves
// alone what already stands at dst and returns store.ErrExists. It does not back up a
// damaged store, so that a rotation of backups never replaces the last good one; it
// returns store.ErrCorrupt. [Store.WriteTo] copies a damaged store too, and [Salvage]
// saves the undamaged Pods of that copy. After any error Backup has put nothing at dst.
// Writers go on meanwhile.
func (s *Store) Backup(ctx context.Context, dst string) (Summary, error) {
	var sum Summary
	err := newFile(dst, func(tmp string) error {
		f, err := osfs.CreateFile(tmp)
		if err != nil {
			return err
		}
		_, err = s.WriteTo(f)
		if err == nil {
			err = f.Sync()
		}
		if err = errors.Join(err, f.Close()); err != nil {
			return err
		}
		var first Finding
		sum, err = Check(ctx, tmp, nil, func(f Finding) {
			if first.Reason == "" {
				first = f
			}
		})
		if err == nil && sum.Findings > 0 {
			err = &store.Error{Pod: first.Pod, Path: s.path, Kind: store.ErrCorrupt, Err: fmt.Errorf("no backup was made: %s", first.Reason)}
		}
		return err
	})
	return sum, opError("backup", dst, err)
}
