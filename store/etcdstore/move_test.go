package etcdstore_test

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"podstore/store"
	"podstore/store/boltstore"
	"podstore/store/jsonexport"
	"podstore/store/podjson"
)

// varied is one of many Pods of different shapes, with a manifest of about 4 KB in
// most.
func varied(i int) *store.Metadata {
	m := &store.Metadata{PodName: fmt.Sprintf("pod-%05d", i)}
	switch i % 5 {
	case 0:
		m.PodName = fmt.Sprintf("日本 %d\n\"", i)
	case 1:
		m.PodName = fmt.Sprintf("-%d.!", i)
	case 2:
		return m
	}
	if i%3 != 0 {
		*m = *bulky(m.PodName)
	}
	var b strings.Builder
	b.WriteString(`{"ratio":1.0,"small":5e-324,"large":18446744073709551615,"env":[`)
	for v := range 60 + i%20 {
		if v > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"name":"VARIABLE_%03d","value":"value %d of \u65e5 <%d>"}`, v, v, i)
	}
	b.WriteString(`]}`)
	m.Manifest = json.RawMessage(b.String())
	for p := range i % 7 {
		m.Peers = append(m.Peers, store.Peer{PodName: fmt.Sprintf("pod-%05d", p)})
	}
	m.Extra = map[string]json.RawMessage{"later": json.RawMessage(fmt.Sprint(i)), "": json.RawMessage("null")}
	return m
}

// files is every file below a directory, by its path.
func files(t *testing.T, root string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		rel, _ := filepath.Rel(root, path)
		all[rel] = string(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// Pods go from a directory to a file, to etcd, and to a directory again, and every
// byte is the same.
func TestMoveAround(t *testing.T) {
	n := 400
	if os.Getenv("PODSTORE_LONG") != "" {
		n = 10_000
	}
	dir, back := t.TempDir(), filepath.Join(t.TempDir(), "back")
	for i := range n {
		m := varied(i)
		content, err := podjson.Encode(m)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, m.PodName)
		if err := os.Mkdir(path, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(path, "metadata.json"), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	bolt, err := boltstore.Open(filepath.Join(t.TempDir(), "pods.db"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer bolt.Close()
	s := newStore(t, newClient(t, nil, sharedServer(t).endpoints...), nil)
	step := func(what string, f func() (int, error)) {
		t.Helper()
		started := time.Now()
		got, err := f()
		if err != nil || got != n {
			t.Fatalf("%s: %d of %d Pods, %v", what, got, n, err)
		}
		t.Logf("%s: %d Pods in %v", what, n, time.Since(started).Round(time.Millisecond))
	}
	step("directory to file", func() (int, error) {
		r, err := jsonexport.Import(background, bolt, dir, jsonexport.ImportOptions{})
		return r.Counts[jsonexport.Imported], err
	})
	step("file to etcd", func() (int, error) {
		r, err := store.Copy(background, s, bolt.All(background, store.ReadOptions{}), store.CopyOptions{})
		return r.Written, err
	})
	step("file to etcd again", func() (int, error) {
		r, err := store.Copy(background, s, bolt.All(background, store.ReadOptions{}), store.CopyOptions{})
		return r.Unchanged, err
	})
	step("verify etcd against the directory", func() (int, error) {
		r, err := jsonexport.Verify(background, s, dir, jsonexport.VerifyOptions{})
		return r.Counts[jsonexport.Same], err
	})
	step("etcd to directory", func() (int, error) {
		r, err := jsonexport.Export(background, s, back, jsonexport.ExportOptions{})
		return r.Counts[jsonexport.Exported], err
	})
	if before, after := files(t, dir), files(t, back); len(before) != n || !reflect.DeepEqual(before, after) {
		t.Errorf("%d files became %d, or some differ", len(before), len(after))
	}
	check(t, s)
}
