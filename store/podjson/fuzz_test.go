package podjson

import (
	"bytes"
	"errors"
	"reflect"
	"testing"

	"podstore/store"
)

// seed adds the golden documents to a corpus.
func seed(f *testing.F) {
	f.Helper()
	goldenPods(f, func(_ string, in, _ []byte) { f.Add(in) })
	f.Add(Append(nil, benchPod(1)))
	for _, tree := range []string{"pods-workspace", "workers", "torn"} {
		for _, data := range upstreamFiles(f, tree) {
			f.Add(data)
		}
	}
}

// FuzzDecode: no input panics; an error is ErrInvalid with a position within the
// document; what is accepted is in normal form, encodes to a fixed point, and
// decodes to itself.
func FuzzDecode(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		m, naming, err := Read(data, "")
		if _, err2 := Decode(data); (err2 == nil) != (err == nil) {
			t.Fatalf("%v, but %v", err, err2)
		}
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
		out := naming.Append(nil, m)
		again, named, err := Read(out, m.PodName)
		if err != nil || named != naming || !reflect.DeepEqual(again, m) || m.Diff(again) != "" {
			t.Fatalf("decode of the encoded: %#v, %v, %v, want %#v, %v", again, named, err, m, naming)
		}
		if !bytes.Equal(naming.Append(nil, again), out) {
			t.Fatal("no fixed point")
		}
		other := 1 - naming
		if again, named, err := Read(other.Append(nil, m), m.PodName); err != nil || named != other || m.Diff(again) != "" {
			t.Fatalf("in the other naming: %#v, %v, %v", again, named, err)
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
