package jsonvalue

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// writtenManifest returns a manifest of about size bytes, shaped like a resolved
// one: short strings, paths, a few numbers, some text. Its keys descend.
func writtenManifest(size int) []byte {
	var b bytes.Buffer
	b.WriteString(`{"version":3,"rules":[`)
	for i := 0; b.Len() < size-80; i++ {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"target":"/srv/project/src/module-%d","recursive":%t,"prompt":"First line.\nSecond \"line\".","permission":"write","label":"Größe %d"}`, i, i%2 == 0, i)
	}
	b.WriteString(`],"model":{"temperature":0.7,"max_tokens":8192,"id":"large-1"}}`)
	return b.Bytes()
}

// manifest is writtenManifest in canonical form.
func manifest(size int) []byte {
	out, err := Canonical(writtenManifest(size), MaxDepth)
	if err != nil {
		panic(err)
	}
	return out
}

func BenchmarkCanonical(b *testing.B) {
	compact := manifest(4 << 10)
	for _, c := range []struct {
		name string
		src  []byte
	}{
		{"compact", compact},
		{"pretty", AppendIndent(nil, compact, 0)},
		{"disordered", writtenManifest(4 << 10)},
		{"floats", []byte("[" + strings.Repeat("0.7,-12.25,3.141592653589793,1e-7,", 100) + "0]")},
		{"integers", []byte("[" + strings.Repeat("1,4096,1750000000,18446744073709551615,", 100) + "0]")},
		{"text", []byte(`"` + strings.Repeat("plain text without escapes. ", 150) + `"`)},
		{"escapes", []byte(`"` + strings.Repeat(`line\nwith \"quotes\" \u00e9`, 150) + `"`)},
		{"cjk", []byte(`"` + strings.Repeat(`日本語のテキスト`, 170) + `"`)},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(c.src)))
			var dst []byte
			for b.Loop() {
				var err error
				if dst, err = AppendCanonical(dst[:0], c.src, MaxDepth); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkAppendCompact(b *testing.B) {
	src := AppendIndent(nil, manifest(4<<10), 0)
	b.ReportAllocs()
	b.SetBytes(int64(len(src)))
	var dst []byte
	for b.Loop() {
		var err error
		if dst, err = AppendCompact(dst[:0], src, MaxDepth); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendIndent(b *testing.B) {
	src := manifest(4 << 10)
	b.ReportAllocs()
	b.SetBytes(int64(len(src)))
	var dst []byte
	for b.Loop() {
		dst = AppendIndent(dst[:0], src, 1)
	}
}

func BenchmarkAppendString(b *testing.B) {
	s := strings.Repeat("/srv/project/src/module", 4)
	b.ReportAllocs()
	b.SetBytes(int64(len(s)))
	var dst []byte
	for b.Loop() {
		dst = AppendString(dst[:0], s)
	}
}
