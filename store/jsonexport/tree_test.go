package jsonexport

import (
	"context"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"testing"
	"time"

	"podstore/store"
)

// tree writes files into a new directory and returns its path. Everything in it
// is old enough to be trusted.
func tree(t testing.TB, files map[string]string) string {
	t.Helper()
	root := filepath.Join(t.TempDir(), "pods")
	if err := os.Mkdir(root, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, content := range files {
		put(t, filepath.Join(root, name), content)
	}
	age(t, root)
	return root
}

// put writes one file and the directories above it.
func put(t testing.TB, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// age makes every regular file below root look as if written a minute ago.
func age(t testing.TB, root string) {
	t.Helper()
	then := time.Now().Add(-time.Minute)
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			err = os.Chtimes(path, then, then)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// minimal is the canonical file of a Pod with nothing but its name, which needs
// no escapes.
func minimal(name string) string { return "{\n  \"pod_name\": \"" + name + "\"\n}" }

// held are Pods in memory, sorted, as a store that can only be read.
type held []*store.Metadata

func (h held) List(context.Context) ([]string, error) {
	names := make([]string, len(h))
	for i, m := range h {
		names[i] = m.PodName
	}
	return names, nil
}

func (h held) All(context.Context, store.ReadOptions) iter.Seq2[*store.Metadata, error] {
	return func(yield func(*store.Metadata, error) bool) {
		for _, m := range h {
			if !yield(m.Clone(), nil) {
				return
			}
		}
	}
}

func (h held) Read(_ context.Context, name string) (*store.Metadata, error) {
	for _, m := range h {
		if m.PodName == name {
			return m.Clone(), nil
		}
	}
	return nil, store.ErrNotFound
}

func (h held) Apply(context.Context, []store.Change, *store.ApplyOptions) ([]store.Applied, error) {
	return nil, store.ErrReadOnly
}

func (h held) Update(context.Context, string, func(*store.Metadata) error) (*store.Metadata, error) {
	return nil, store.ErrReadOnly
}

func openDir(t testing.TB, root string) *Dir {
	t.Helper()
	d, err := OpenDir(root, nil)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// walk yields every file below root, by its path from there, with what changes
// when it is written or replaced.
func walk(t testing.TB, root string) iter.Seq2[string, string] {
	t.Helper()
	return func(yield func(path, state string) bool) {
		err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				return err
			}
			info, err := os.Lstat(path)
			if err != nil {
				return err
			}
			rel, err := filepath.Rel(root, path)
			if err != nil {
				return err
			}
			if !yield(filepath.ToSlash(rel), fmt.Sprint(info.Mode(), info.Size(), info.ModTime().UnixNano())) {
				return fs.SkipAll
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
