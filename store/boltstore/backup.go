package boltstore

import (
	"context"
	"errors"
	"fmt"

	"podstore/store"
	"podstore/store/internal/osfs"
)

// Backup writes the database file as it is at one moment to dst, for keeping:
// synced, checked whole as [Check] does, and only then given its name. What
// stands at dst is left alone and gives store.ErrExists. A store with damage is
// not backed up, so that no rotation of backups replaces the last good one:
// store.ErrCorrupt. Any error leaves nothing. Writers go on meanwhile.
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
