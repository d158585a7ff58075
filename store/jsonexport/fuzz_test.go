package jsonexport

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"podstore/store"
	"podstore/store/podjson"
)

// seed adds the golden documents to a corpus.
func seed(f *testing.F) {
	f.Helper()
	goldenPods(f, func(_ string, in, _ []byte) { f.Add(in) })
	f.Add(podjson.Append(nil, benchPod(1)))
}

// FuzzRoundTrip: a document that import accepts comes out of export in canonical
// form, from where import and export change nothing and verify finds nothing; one
// that it refuses leaves nothing behind.
func FuzzRoundTrip(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		name := "pod"
		if m, err := podjson.Decode(data); err == nil && store.ValidateName(m.PodName) == nil {
			name = m.PodName
		}
		tmp := t.TempDir()
		in, out := filepath.Join(tmp, "in"), filepath.Join(tmp, "out")
		put(t, filepath.Join(in, name, fileName), string(data))
		age(t, in)
		s := openDir(t, filepath.Join(tmp, "store"))
		r, err := Import(t.Context(), s, in, ImportOptions{})
		if err != nil || r.Counts[Imported]+r.Counts[Refused] != 1 {
			t.Fatalf("import: %v, %v", r.Counts, err)
		}
		if _, err := Export(t.Context(), s, out, ExportOptions{}); err != nil {
			t.Fatal(err)
		}
		exported, err := os.ReadFile(filepath.Join(out, name, fileName))
		if r.Counts[Refused] == 1 {
			if err == nil {
				t.Fatalf("refused, but exported: %q", exported)
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		m, decodeErr := podjson.Decode(data)
		if decodeErr != nil || !bytes.Equal(exported, podjson.Append(nil, m)) {
			t.Fatalf("exported %q, %v", exported, decodeErr)
		}
		v, err := Verify(t.Context(), s, in, VerifyOptions{})
		want := NotCanonical
		if bytes.Equal(exported, data) {
			want = Same
		}
		if err != nil || v.Counts[want] != 1 {
			t.Fatalf("verify: %v, %v, want %s", v.Counts, err, want)
		}
		age(t, out)
		if r, err := Import(t.Context(), s, out, ImportOptions{}); err != nil || r.Counts[Unchanged] != 1 {
			t.Fatalf("import of the export: %v, %v", r.Counts, err)
		}
		if r, err := Export(t.Context(), s, out, ExportOptions{}); err != nil || r.Counts[Unchanged] != 1 {
			t.Fatalf("export again: %v, %v", r.Counts, err)
		}
	})
}
