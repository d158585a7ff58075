package jsonexport

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"podstore/store"
)

// seed adds the golden documents to a corpus.
func seed(f *testing.F) {
	f.Helper()
	goldenPods(f, func(_ string, in, _ []byte) { f.Add(in) })
	f.Add(Append(nil, benchPod(1)))
}

// FuzzDecode: no input panics; an error is ErrInvalid with a position within the
// document; what is accepted is in normal form, encodes to a fixed point, and
// decodes to itself.
func FuzzDecode(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := Decode(data)
		if err != nil {
			var e *store.Error
			if m != nil || !errors.Is(err, store.ErrInvalid) || !errors.As(err, &e) {
				t.Fatalf("%v, %v", m, err)
			}
			lines := bytes.Split(data, []byte("\n"))
			if e.Line < 1 || e.Line > len(lines) || e.Column < 1 || e.Column > len(lines[e.Line-1])+1 {
				t.Fatalf("position %d:%d in %q", e.Line, e.Column, data)
			}
			return
		}
		normal := m.Clone()
		if err := normal.Normalize(); err != nil && !errors.Is(err, store.ErrInvalidName) {
			t.Fatalf("accepted, but cannot be stored: %v", err)
		} else if err == nil && !reflect.DeepEqual(normal, m) {
			t.Fatalf("not in normal form: %#v, want %#v", m, normal)
		}
		out := Append(nil, m)
		again, err := Decode(out)
		if err != nil || !reflect.DeepEqual(again, m) || m.Diff(again) != "" {
			t.Fatalf("decode of the encoded: %#v, %v, want %#v", again, err, m)
		}
		if !bytes.Equal(Append(nil, again), out) {
			t.Fatal("no fixed point")
		}
		values := indentedSize(m.Manifest)
		for _, v := range m.Extra {
			values += indentedSize(v)
		}
		if values > int64(len(out)) {
			t.Fatalf("values take %d of %d bytes", values, len(out))
		}
	})
}

// FuzzRoundTrip: a document that import accepts comes out of export in canonical
// form, from where import and export change nothing and verify finds nothing; one
// that it refuses leaves nothing behind.
func FuzzRoundTrip(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		name := "pod"
		if m, err := Decode(data); err == nil && store.ValidateName(m.PodName) == nil {
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
		m, decodeErr := Decode(data)
		if decodeErr != nil || !bytes.Equal(exported, Append(nil, m)) {
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
