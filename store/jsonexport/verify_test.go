package jsonexport

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"podstore/store"
	"podstore/store/podjson"
)

func TestVerifyTellsEveryDifference(t *testing.T) {
	deep := `{"pod_name":"deep","resolved_manifest_snapshot":` + strings.Repeat("[", 100) + strings.Repeat("0,", 20_000) + "0" + strings.Repeat("]", 100) + "}"
	root := tree(t, map[string]string{
		"a-only-here/metadata.json":   minimal("a-only-here"),
		"compact/metadata.json":       `{"pod_name":"compact"}`,
		"damaged/metadata.json":       minimal("damaged"),
		"damaged-twice/metadata.json": "{",
		"deep/metadata.json":          deep,
		"differs/metadata.json":       `{"pod_name":"differs","peers":[{"pod_name":"x"}],"zzz":1}`,
		"extra/metadata.json":         "{\n  \"pod_name\": \"extra\",\n  \"zzz\": 1\n}",
		"file":                        "f",
		"newline/metadata.json":       minimal("newline") + "\n",
		"no-pod/x":                    "x",
		"no-pod-but-stored/x":         "x",
		"same/metadata.json":          minimal("same"),
		"syntax/metadata.json":        "{",
		"z-only-here/metadata.json":   minimal("z-only-here"),
	})
	m, err := podjson.Decode([]byte(deep))
	if err != nil {
		t.Fatal(err)
	}
	src := filled(t, m, &store.Metadata{PodName: "0-only-stored"})
	for _, name := range []string{"compact", "damaged", "damaged-twice", "damaged-only-stored", "differs", "extra", "m-only-stored",
		"newline", "no-pod-but-stored", "same", "syntax", "zz-only-stored"} {
		if err := store.Write(t.Context(), src, &store.Metadata{PodName: name}); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"damaged", "damaged-twice", "damaged-only-stored"} {
		put(t, filepath.Join(src.RootDir(), name, fileName), "{")
	}
	want := map[string]result{
		"0-only-stored": {outcome: MissingInDir}, "m-only-stored": {outcome: MissingInDir}, "zz-only-stored": {outcome: MissingInDir},
		"no-pod-but-stored": {outcome: MissingInDir},
		"a-only-here":       {outcome: MissingInStore}, "z-only-here": {outcome: MissingInStore},
		"compact": {outcome: NotCanonical}, "newline": {outcome: NotCanonical}, "deep": {outcome: NotCanonical},
		"differs": {outcome: Differs}, "extra": {outcome: Differs}, "same": {outcome: Same},
		"syntax": {Unreadable, "", 1, 2, "unexpected end of input"},
	}
	damaged := []string{"damaged", "damaged-only-stored", "damaged-twice"}
	before := states(t, root)
	got := map[string]Result{}
	var order []string
	keep := collect(t, got)
	r, err := Verify(t.Context(), src, root, VerifyOptions{Progress: func(r Result, done, total int) {
		order = append(order, r.Pod)
		keep(r, done, total)
		if total < 16 || total > 17 {
			t.Errorf("total %d", total)
		}
	}})
	if err != nil || r.Files != 1 || r.Directories != 2 {
		t.Errorf("%+v, %v", r, err)
	}
	if !slices.IsSorted(order) {
		t.Errorf("order %q", order)
	}
	for _, name := range damaged {
		if d := got[name]; d.Outcome != Damaged || !errors.Is(d.Err, store.ErrCorrupt) {
			t.Errorf("%s: %+v", name, d)
		}
		delete(got, name)
	}
	if got["differs"].Field != "peers" || got["extra"].Field != "zzz" {
		t.Errorf("fields %+v %+v", got["differs"], got["extra"])
	}
	checkResults(t, root, got, want)
	if after := states(t, root); len(after) != len(before) {
		t.Error("verify changed something")
	}

	clear(got)
	for _, name := range []string{"compact", "newline", "deep"} {
		want[name] = result{outcome: Same}
	}
	_, err = Verify(t.Context(), src, root, VerifyOptions{ContentOnly: true, Progress: collect(t, got)})
	for _, name := range damaged {
		delete(got, name)
	}
	if err != nil {
		t.Error(err)
	}
	checkResults(t, root, got, want)

	// Damage that names no Pod comes after everything has been compared.
	mismatch := &store.Error{Op: "list", Kind: store.ErrCorrupt, Err: errors.New("the record of names does not match")}
	all, err := Verify(t.Context(), ending{listing{src, nil, mismatch}, mismatch}, root, VerifyOptions{})
	if !errors.Is(err, store.ErrCorrupt) || all.Counts[Same] != r.Counts[Same] || all.Counts[Damaged] != 3 {
		t.Errorf("record mismatch: %v, %v", all.Counts, err)
	}
}

// TestVerifyFindsOneByte: whatever single byte of an export is changed, verify
// names the Pod.
func TestVerifyFindsOneByte(t *testing.T) {
	src := filled(t, benchPod(1))
	root := filepath.Join(t.TempDir(), "out")
	if _, err := Export(t.Context(), src, root, ExportOptions{}); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(root, "pod-000001", fileName)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(whole); i += 7 {
		bad := slices.Clone(whole)
		bad[i] ^= 1
		put(t, path, string(bad))
		age(t, root)
		got := map[string]Result{}
		r, err := Verify(t.Context(), src, root, VerifyOptions{Progress: collect(t, got)})
		if err != nil || r.Counts[Same] != 0 || len(got) != 1 {
			t.Fatalf("byte %d: %v, %v", i, r.Counts, err)
		}
	}
}

// TestVerifyReadsYoungFilesAgain: a file that another program has truncated just
// now is compared when it is whole.
func TestVerifyReadsYoungFilesAgain(t *testing.T) {
	t.Parallel() // it waits
	src := filled(t, &store.Metadata{PodName: "a-late"}, &store.Metadata{PodName: "a-bad"}, &store.Metadata{PodName: "z"})
	root := tree(t, map[string]string{"z/metadata.json": minimal("z")})
	for _, name := range []string{"a-late", "a-bad", "a-not-stored"} {
		put(t, filepath.Join(root, name, fileName), "")
	}
	got := map[string]Result{}
	keep := collect(t, got)
	write := sync.OnceFunc(func() {
		for _, name := range []string{"a-late", "a-not-stored"} {
			put(t, filepath.Join(root, name, fileName), minimal(name))
		}
	})
	_, err := Verify(t.Context(), src, root, VerifyOptions{Progress: func(r Result, done, total int) {
		write() // z is reported while the others wait
		keep(r, done, total)
	}})
	if err != nil {
		t.Fatal(err)
	}
	checkResults(t, root, got, map[string]result{
		"z": {outcome: Same}, "a-late": {outcome: Same}, "a-not-stored": {outcome: MissingInStore},
		"a-bad": {Unreadable, "", 1, 1, "unexpected end of input"},
	})
}

func TestVerifyErrors(t *testing.T) {
	src := filled(t, &store.Metadata{PodName: "p"})
	if _, err := Verify(t.Context(), src, filepath.Join(t.TempDir(), "none"), VerifyOptions{}); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("no directory: %v", err)
	}
	broken := errors.New("broken")
	if _, err := Verify(t.Context(), listing{src, nil, broken}, src.RootDir(), VerifyOptions{}); !errors.Is(err, broken) {
		t.Errorf("list fails: %v", err)
	}
	if _, err := Verify(t.Context(), snapshots{src, broken, nil}, src.RootDir(), VerifyOptions{}); !errors.Is(err, broken) {
		t.Errorf("snapshot fails: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	r, err := Verify(ctx, src, src.RootDir(), VerifyOptions{Progress: func(Result, int, int) { cancel() }})
	if !errors.Is(err, context.Canceled) || r.Counts[Same] != 1 {
		t.Errorf("cancelled: %v, %v", r.Counts, err)
	}
	if _, err := Verify(ctx, src, src.RootDir(), VerifyOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that has ended: %v", err)
	}
}
