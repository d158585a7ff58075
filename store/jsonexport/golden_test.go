package jsonexport

import (
	"os"
	"path/filepath"
	"testing"
)

const golden = "../../testdata/golden"

// goldenPods calls f for every golden document. want is nil where it must be
// refused.
func goldenPods(t testing.TB, f func(name string, in, want []byte)) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(golden, "in"))
	if err != nil || len(entries) == 0 {
		t.Fatalf("no golden documents: %v", err)
	}
	for _, e := range entries {
		in, err := os.ReadFile(filepath.Join(golden, "in", e.Name(), fileName))
		if err != nil {
			t.Fatal(err)
		}
		want, err := os.ReadFile(filepath.Join(golden, "want", e.Name(), fileName))
		if err != nil {
			if _, refused := os.Stat(filepath.Join(golden, "want", e.Name(), "refused")); refused != nil {
				t.Fatalf("%s: neither wanted nor refused", e.Name())
			}
			want = nil
		}
		f(e.Name(), in, want)
	}
}
