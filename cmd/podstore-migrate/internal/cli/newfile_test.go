package cli

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"podstore/store"
	"podstore/store/boltstore"
)

// TestRemoveUnused: of what a command created, only what nobody uses is removed.
func TestRemoveUnused(t *testing.T) {
	pod := &store.Metadata{PodName: "alpha"}
	for name, test := range map[string]struct {
		meanwhile func(path string, s *boltstore.Store) error
		removed   bool
	}{
		"nothing came": {func(_ string, s *boltstore.Store) error { return s.Close() }, true},
		"a Pod came": {func(_ string, s *boltstore.Store) error {
			if err := store.Write(t.Context(), s, pod); err != nil {
				return err
			}
			return s.Close()
		}, false},
		"another program has it": {func(string, *boltstore.Store) error { return nil }, false},
		"it was replaced": {func(path string, s *boltstore.Store) error {
			if err := s.Close(); err != nil {
				return err
			}
			if err := os.Rename(path, path+".aside"); err != nil {
				return err
			}
			other, err := boltstore.Open(path, nil)
			if err != nil {
				return err
			}
			return other.Close()
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			top := filepath.Join(t.TempDir(), "new")
			path := filepath.Join(top, "dir", "pods.db")
			c := newConsole(new(bytes.Buffer), new(bytes.Buffer))
			o, err := c.openFile(t.Context(), path)
			if err != nil {
				t.Fatal(err)
			}
			s := o.MetadataStore.(*boltstore.Store)
			defer s.Close()
			if err := test.meanwhile(path, s); err != nil {
				t.Fatal(err)
			}
			c.removeUnused()
			if _, err := os.Lstat(path); os.IsNotExist(err) != test.removed {
				t.Errorf("file: %v", err)
			}
			if _, err := os.Lstat(top); os.IsNotExist(err) != test.removed {
				t.Errorf("directory: %v", err)
			}
		})
	}
}

// TestInterruptedBeforeTheFirstCommit: an import that has created the database and
// is stopped before a Pod is in it leaves no database. The empty file, written just
// now, makes it wait for its writer for a while.
func TestInterruptedBeforeTheFirstCommit(t *testing.T) {
	tree, dir := t.TempDir(), t.TempDir()
	writeFile(t, filepath.Join(tree, "alpha", "metadata.json"), `{"pod_name": "alpha"}`)
	for _, args := range [][]string{{"import", "DB", tree}, {"import", "--strict", "DB", tree}, {"copy", "dir:" + tree, "DB"}} {
		writeFile(t, filepath.Join(tree, "half", "metadata.json"), "")
		db := filepath.Join(dir, "pods.db")
		for i := range args {
			if args[i] == "DB" {
				args[i] = db
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer cancel()
			for {
				if _, err := os.Lstat(db); err == nil {
					return
				}
				select {
				case <-ended:
					return
				case <-time.After(time.Millisecond):
				}
			}
		}()
		var errs bytes.Buffer
		code := newConsole(new(bytes.Buffer), &errs).execute(ctx, args)
		close(ended)
		if code != exitInterrupted {
			t.Errorf("%v: exit code %d\n%s", args, code, &errs)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("%v: left behind: %v, %v", args, left, err)
		}
	}
}
