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
