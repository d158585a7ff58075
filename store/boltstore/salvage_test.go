package boltstore

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"

	"podstore/store"
)

// If the newest root is damaged, Salvage cannot find the Pods that only the last commit
// knew, and says so.
func TestNewestRootLost(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "pods.db")
	s, err := Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Write(t.Context(), s, &store.Metadata{PodName: "first"}); err != nil {
		t.Fatal(err)
	}
	pods := func(yield func(*store.Metadata, error) bool) {
		for i := range 300 {
			if !yield(&store.Metadata{PodName: fmt.Sprintf("pod-%03d", i)}, nil) {
				return
			}
		}
	}
	before := s.Stats().Commits
	if _, err := store.Copy(t.Context(), s, pods, store.CopyOptions{}); err != nil {
		t.Fatal(err)
	}
	if n := s.Stats().Commits - before; n != 1 {
		t.Fatalf("%d commits, expected one", n)
	}
	var newest int64
	if err := s.view("test", "", func(tx *bolt.Tx) error { newest = int64(tx.ID()) % 2; return nil }); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		meta  int64
		saved int
	}{{"newest", newest, 1}, {"older", 1 - newest, 301}} {
		t.Run(c.name, func(t *testing.T) {
			damaged, saved := filepath.Join(dir, c.name+".db"), filepath.Join(dir, c.name+"-saved.db")
			image := append([]byte(nil), whole...)
			copy(image[c.meta*pageSize+16:], make([]byte, 44))
			if err := os.WriteFile(damaged, image, 0o600); err != nil {
				t.Fatal(err)
			}
			var said []string
			sum, err := Check(t.Context(), damaged, nil, func(f Finding) { said = append(said, f.Reason) })
			if err != nil || sum.Pods != c.saved || !strings.Contains(strings.Join(said, "\n"), "before the last commit") {
				t.Errorf("check: %v, %d Pods: %q", err, sum.Pods, said)
			}
			got, err := Salvage(t.Context(), damaged, saved, nil, func(Salvaged) {})
			if err != nil || got != (SalvageSummary{Older: c.saved, Missing: -1}) {
				t.Errorf("salvage: %v, %+v; expected %d older ones and that more may be missing", err, got, c.saved)
			}
		})
	}
}
