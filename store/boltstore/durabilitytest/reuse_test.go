//go:build linux

package durabilitytest

import (
	"context"
	"errors"
	"fmt"

	"podstore/store"
	"podstore/store/boltstore"
)

// useAgain opens a database as a supervisor does after a crash, writes, and makes
// sure that the file is in order then.
func useAgain(path string) error {
	ctx := context.Background()
	s, err := boltstore.Open(path, nil)
	if err != nil {
		return fmt.Errorf("use after the crash: %w", err)
	}
	before, err := readAll(s)
	if err == nil {
		err = store.Do(ctx, s, "after the crash", store.AddPeer{PodName: "peer"})
	}
	if err == nil {
		err = store.Do(ctx, s, "after the crash", store.Delete{})
	}
	if err = errors.Join(err, s.Close()); err != nil {
		return fmt.Errorf("use after the crash: %w", err)
	}
	s, err = boltstore.Open(path, &boltstore.Options{FullCheck: true})
	if err != nil {
		return fmt.Errorf("after writing to what the crash left: %w", err)
	}
	after, err := readAll(s)
	if err == nil {
		if why := differ(before, after); why != "" {
			err = errors.New("after writing to what the crash left: " + why)
		}
	}
	return errors.Join(err, s.Close())
}
