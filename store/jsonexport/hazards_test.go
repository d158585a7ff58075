package jsonexport

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"
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
