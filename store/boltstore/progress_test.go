package boltstore

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"

	"podstore/store"
)

// Check, Salvage and Compact tell how far they are, Pod by Pod, of how many.
func TestProgress(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "pods.db")
	s, err := Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	const pods = 70
	for i := range pods {
		if err := store.Write(t.Context(), s, &store.Metadata{PodName: fmt.Sprintf("pod-%02d", i)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for name, run := range map[string]func(*Options) error{
		"check": func(o *Options) error {
			_, err := Check(context.Background(), path, o, func(f Finding) { t.Error(f) })
			return err
		},
		"salvage": func(o *Options) error {
			_, err := Salvage(context.Background(), path, filepath.Join(dir, "salvaged.db"), o, func(Salvaged) {})
			return err
		},
		"compact": func(o *Options) error {
			return Compact(context.Background(), path, filepath.Join(dir, "compact.db"), o)
		},
	} {
		t.Run(name, func(t *testing.T) {
			last := 0
			err := run(&Options{Progress: func(done, total int) {
				if done != last+1 || total != pods {
					t.Errorf("%d of %d after %d of %d", done, total, last, pods)
				}
				last = done
			}})
			if err != nil || last != pods {
				t.Errorf("%v after %d Pods of %d", err, last, pods)
			}
		})
	}
}
