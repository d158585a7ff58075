package podjson

import (
	"bytes"
	"strings"
	"testing"

	"podstore/store"
)

// torn is what is left where a document was written over the start of a longer one.
func torn(shorter, longer []byte) []byte {
	return append(bytes.Clone(shorter), longer[len(shorter):]...)
}

// checkMended fails unless what Mend takes is a whole canonical document, which
// neither all of data is nor the rest.
func checkMended(t *testing.T, data []byte) {
	t.Helper()
	m, n, size, ok := Mend(data)
	if !ok {
		return
	}
	again, named, err := Read(data[:size], m.PodName)
	if err != nil || named != n || again.Diff(m) != "" || !bytes.Equal(n.Append(nil, m), data[:size]) {
		t.Fatalf("took %q: %v", data[:size], err)
	}
	for _, not := range [][]byte{data, data[size:]} {
		if _, err := Decode(not); err == nil {
			t.Fatalf("a document was torn: %q", not)
		}
	}
}

// TestMendUpstream: the file that two writers left is mended, and one of any two
// documents that can be torn so.
func TestMendUpstream(t *testing.T) {
	data := upstreamFiles(t, "torn")["a"]
	m, n, size, ok := Mend(data)
	if !ok || m.PodName != "a" || n != Pods || len(data)-size != 55 {
		t.Fatalf("%v: %v, %d of %d bytes", ok, n, size, len(data))
	}
	var all [][]byte
	for _, tree := range []string{"pods", "pods-workspace", "workers"} {
		for _, data := range upstreamFiles(t, tree) {
			all = append(all, data)
		}
	}
	for _, shorter := range all {
		for _, longer := range all {
			if len(longer) <= len(shorter) {
				continue
			}
			data := torn(shorter, longer)
			if _, _, size, ok := Mend(data); !ok || size != len(shorter) {
				t.Fatalf("%d bytes over %d: %d, %v", len(shorter), len(longer), size, ok)
			}
		}
	}
}

// TestMendEveryCut: wherever the older document was cut, its tail is known for one.
func TestMendEveryCut(t *testing.T) {
	doc := minimalDoc(`"p"`)
	older := Workers.Append(nil, &store.Metadata{
		PodName:   "péé\t\"\x01",
		Children:  []store.SpawnedChild{{PodName: "c", ScopeDelegated: []store.ScopeRule{{Target: "{", Permission: "}", Recursive: true}}}, {PodName: "[,"}},
		Reclaimed: []store.ReclaimedChild{{PodName: "\\}\n}"}},
		Peers:     []store.Peer{{PodName: "日本"}},
		Manifest:  []byte(`{"":null,"a":[1.5e-7,-0.0,[],{},[[]],"x{",false],"b":{"c":{"d":"e}"}}}`),
	})
	if err := (func() error { _, err := Decode(older); return err })(); err != nil {
		t.Fatal(err)
	}
	for i := 1; i < len(older); i++ {
		data := append([]byte(doc), older[i:]...)
		checkMended(t, data)
		if _, _, size, ok := Mend(data); !ok || size != len(doc) {
			t.Errorf("the tail %q is not known for one", older[i:])
		}
		// Of three writers two leave a tail.
		data = append(data, "\": 1\n}"...)
		if _, _, size, ok := Mend(data); !ok || size != len(doc) {
			t.Errorf("the tail %q of two is not known for one", older[i:])
		}
	}
}

// minimalDoc is a canonical document of nothing but a name, which is given in JSON.
func minimalDoc(name string) string { return "{\n  \"pod_name\": " + name + "\n}" }

func TestMendRefuses(t *testing.T) {
	doc := minimalDoc(`"p"`)
	for name, data := range map[string]string{
		"a whole document":        doc,
		"two documents":           doc + doc,
		"two and a tail":          doc + doc + "\n}",
		"a tail and a document":   doc + "\n}" + doc,
		"a document after a line": doc + "\n" + doc,
		"no document":             "\n}",
		"nothing":                 "",
		"half of one":             doc[:9],
		"space":                   doc + "\n",
		"space after the tail":    doc + "\"\n}\n",
		"not canonical":           `{"pod_name": "p"}` + "\"\n}",
		"fields in another order": "{\n  \"peers\": [\n    {\n      \"pod_name\": \"q\"\n    }\n  ],\n  \"pod_name\": \"p\"\n}" + "\"\n}",
		"an escape too many":      minimalDoc(`"\u0070"`) + "\"\n}",
		"bad document":            minimalDoc(`null`) + "\"\n}",
		"a word":                  doc + "junk",
		"a value":                 doc + "1",
		"opens as much":           doc + "{\n}",
		"opens as much, junk":     doc + "x{\n  \"a\": 1\n}",
		"opens more":              doc + "{\n  \"a\": {\n}",
		"other bracket":           doc + "\": [\n      1\n    }\n  }\n}",
		"bracket at the end":      doc + "\"\n]",
		"indentation":             doc + "\",\n    \"a\": 1\n}",
		"indented end":            doc + "\"\n  }",
		"no comma":                doc + "\",\n  \"a\": 1\n  \"b\": 2\n}",
		"comma at the end":        doc + "\",\n  \"a\": 1,\n}",
		"comma before it":         doc + "\",\n}",
		"no comma before it":      doc + "\"\n  \"a\": 1\n}",
		"no value":                doc + "\",\n  \"a\"\n}",
		"value without a key":     doc + "\",\n  1\n}",
		"key in a list":           doc + "\": [\n    \"a\": 1\n  ]\n}",
		"spaces":                  doc + "\",\n  \"a\":  1\n}",
		"other number":            doc + "\",\n  \"a\": 1e0\n}",
		"empty line":              doc + "\",\n\n  \"a\": 1\n}",
		"line of spaces":          doc + "\",\n  \n  \"a\": 1\n}",
		"nested in one line":      doc + "\",\n  \"a\": {\"b\": 1}\n}",
		"empty container open":    doc + "\": {\n  }\n}",
		"control":                 doc + "\x01\"\n}",
		"not UTF-8":               doc + "a\xff\"\n}",
		"ends in a word":          doc + "x\n}",
		"cut at a space":          doc + "  \n}",
		"carriage return":         doc + "\"\r\n}",
		"too deep":                doc + "\"" + closers(200),
	} {
		if m, _, size, ok := Mend([]byte(data)); ok {
			t.Errorf("%s: took %q, %q is left", name, m.PodName, data[size:])
		}
	}
}

// closers closes so many objects.
func closers(n int) string {
	var b strings.Builder
	for i := n - 1; i >= 0; i-- {
		b.WriteString("\n" + strings.Repeat("  ", i) + "}")
	}
	return b.String()
}

// FuzzMend: what is taken was a whole document of the writers', byte for byte, and
// nothing that is torn as they tear it is refused.
func FuzzMend(f *testing.F) {
	short, long := []byte(minimalDoc(`"p"`)), Append(nil, benchPod(1))
	f.Add(short, long[len(long)-2000:])
	f.Add(short, []byte("rker\": {\n      \"name\": \"x\"\n    },\n    \"l\": [\n      1.5,\n      {}\n    ]\n  }\n}"))
	f.Add(short, []byte(minimalDoc(`"longer"`)))
	f.Add([]byte(minimalDoc(`"longer"`)), []byte(`{"peers":[{"worker_name":"p"}],"worker_name":"é","m":{"b":[1,{"a":"}\n"}]}}`))
	f.Add(torn(short, []byte(minimalDoc(`"longer"`))), []byte("}"))
	f.Fuzz(func(t *testing.T, data, more []byte) {
		checkMended(t, data)
		checkMended(t, append(bytes.Clone(data), more...))
		m, n, err := Read(data, "")
		if err != nil {
			return
		}
		one := n.Append(nil, m)
		checkMended(t, append(bytes.Clone(one), more...))
		if m, n, err = Read(more, ""); err != nil {
			return
		}
		other := n.Append(nil, m)
		if len(one) > len(other) {
			one, other = other, one
		}
		if len(one) == len(other) {
			return
		}
		if _, _, size, ok := Mend(torn(one, other)); !ok || size != len(one) {
			t.Fatalf("not mended: %q over %q", one, other)
		}
	})
}
