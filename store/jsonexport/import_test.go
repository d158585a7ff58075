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
	"podstore/store/memstore"
)

// result is what is expected of one Result.
type result struct {
	outcome Outcome
	path    string // from the root; "" for {pod}/metadata.json
	line    int
	column  int
	reason  string
}

// collect returns a Progress that keeps every result, and checks the counters
// that it is told.
func collect(t *testing.T, into map[string]Result) Progress {
	last := 0
	return func(r Result, done, total int) {
		if done != last+1 || done > total {
			t.Errorf("%s: done %d after %d, total %d", r.Pod, done, last, total)
		}
		last = done
		if _, twice := into[r.Pod]; twice {
			t.Errorf("%q is reported twice", r.Pod)
		}
		into[r.Pod] = r
	}
}

// checkResults compares what was reported with what is expected.
func checkResults(t *testing.T, root string, got map[string]Result, want map[string]result) {
	t.Helper()
	for pod, r := range got {
		if _, ok := want[pod]; !ok {
			t.Errorf("unexpected: %+v", r)
		}
	}
	for pod, w := range want {
		r, ok := got[pod]
		if !ok {
			t.Errorf("%q is not reported", pod)
			continue
		}
		path := filepath.Join(root, pod, fileName)
		if w.path != "" {
			path = filepath.Join(root, w.path)
		}
		if r.Outcome != w.outcome || r.Path != path {
			t.Errorf("%q: got %+v, want %+v", pod, r, w)
			continue
		}
		if w.reason == "" {
			if r.Err != nil {
				t.Errorf("%q: %v", pod, r.Err)
			}
			continue
		}
		var e *store.Error
		if !errors.As(r.Err, &e) || e.Path != path || e.Line != w.line || e.Column != w.column || !strings.Contains(e.Reason(), w.reason) {
			t.Errorf("%q: got error %v, want %+v", pod, r.Err, w)
		}
	}
}

func TestImportConflictsAndOverwrite(t *testing.T) {
	root := tree(t, map[string]string{
		"new/metadata.json":   minimal("new"),
		"same/metadata.json":  ` {"peers":[], "pod_name":"same"} `,
		"other/metadata.json": `{"pod_name":"other","peers":[{"pod_name":"x"}],"zzz":1}`,
	})
	for name, open := range stores {
		t.Run(name, func(t *testing.T) {
			s := open(t)
			kept := &store.Metadata{PodName: "other", Peers: []store.Peer{{PodName: "kept"}}}
			for _, m := range []*store.Metadata{{PodName: "same"}, kept} {
				if err := store.Write(t.Context(), s, m); err != nil {
					t.Fatal(err)
				}
			}
			for _, dry := range []bool{true, false} {
				got := map[string]Result{}
				_, err := Import(t.Context(), s, root, ImportOptions{DryRun: dry, Progress: collect(t, got)})
				if err != nil {
					t.Fatal(err)
				}
				c := got["other"]
				delete(got, "other")
				checkResults(t, root, got, map[string]result{"new": {outcome: Imported}, "same": {outcome: Unchanged}})
				if c.Outcome != Conflict || c.Field != "peers" || !errors.Is(c.Err, store.ErrExists) || !strings.Contains(c.Err.Error(), "overwrite to replace it") {
					t.Errorf("conflict: %+v", c)
				}
				if m, err := s.Read(t.Context(), "other"); err != nil || !m.Equal(kept) {
					t.Errorf("the stored Pod was not kept: %v, %v", m, err)
				}
				if _, err := s.Read(t.Context(), "new"); errors.Is(err, store.ErrNotFound) != dry {
					t.Errorf("dry run %v: %v", dry, err)
				}
			}
			r, err := Import(t.Context(), s, root, ImportOptions{Overwrite: true})
			if err != nil || r.Counts[Imported] != 1 || r.Counts[Unchanged] != 2 {
				t.Errorf("overwrite: %v, %v", r.Counts, err)
			}
			if m, err := s.Read(t.Context(), "other"); err != nil || m.HasPeer("kept") || !m.HasPeer("x") {
				t.Errorf("it was not overwritten: %v, %v", m, err)
			}
		})
	}
}

func TestImportStrict(t *testing.T) {
	s := stores["bolt"](t)
	root := tree(t, map[string]string{"a/metadata.json": minimal("a"), "b/metadata.json": "{", "c/metadata.json": minimal("c")})
	got := map[string]Result{}
	r, err := Import(t.Context(), s, root, ImportOptions{Strict: true, Progress: collect(t, got)})
	if err != nil || len(got) != 1 || got["b"].Outcome != Refused || r.Counts[Refused] != 1 || len(r.Counts) != 1 {
		t.Errorf("one refused: %v, %v, %v", got, r.Counts, err)
	}
	put(t, filepath.Join(root, "b", fileName), minimal("b"))
	if err := store.Write(t.Context(), s, &store.Metadata{PodName: "c", Manifest: []byte("1")}); err != nil {
		t.Fatal(err)
	}
	r, err = Import(t.Context(), s, root, ImportOptions{Strict: true})
	if err != nil || r.Counts[Conflict] != 1 || len(r.Counts) != 1 {
		t.Errorf("one in conflict: %v, %v", r.Counts, err)
	}
	if names, err := s.List(t.Context()); err != nil || len(names) != 1 {
		t.Errorf("something was written: %q, %v", names, err)
	}
	r, err = Import(t.Context(), s, root, ImportOptions{Strict: true, Overwrite: true, DryRun: true})
	if names, _ := s.List(t.Context()); err != nil || r.Counts[Imported] != 3 || len(names) != 1 {
		t.Errorf("dry run: %v, %v, %q", r.Counts, err, names)
	}
	r, err = Import(t.Context(), s, root, ImportOptions{Strict: true, Overwrite: true})
	if names, _ := s.List(t.Context()); err != nil || r.Counts[Imported] != 3 || len(names) != 3 {
		t.Errorf("all good: %v, %v, %q", r.Counts, err, names)
	}
	if _, err := Import(t.Context(), stores["dir"](t), root, ImportOptions{Strict: true}); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("into a store without transactions: %v", err)
	}
}

func TestImportFromNothing(t *testing.T) {
	s := stores["dir"](t)
	tmp := t.TempDir()
	if _, err := Import(t.Context(), s, filepath.Join(tmp, "none"), ImportOptions{}); !errors.Is(err, store.ErrNotFound) || !strings.HasPrefix(err.Error(), "import ") {
		t.Errorf("no directory: %v", err)
	}
	put(t, filepath.Join(tmp, "file"), "")
	if _, err := Import(t.Context(), s, filepath.Join(tmp, "file"), ImportOptions{}); !errors.Is(err, store.ErrInvalid) {
		t.Errorf("a file: %v", err)
	}
	if r, err := Import(t.Context(), s, tree(t, nil), ImportOptions{}); err != nil || len(r.Counts) != 0 {
		t.Errorf("an empty directory: %v, %v", r, err)
	}
}

// TestImportCancelled: what was reported is in the store, the rest is not, and
// running it again completes it.
func TestImportCancelled(t *testing.T) {
	const pods = 2500
	files := map[string]string{}
	for i := range pods {
		name := benchPod(i).PodName
		files[name+"/metadata.json"] = minimal(name)
	}
	root := tree(t, files)
	s := stores["bolt"](t)
	ctx, cancel := context.WithCancel(t.Context())
	reported := 0
	r, err := Import(ctx, s, root, ImportOptions{Progress: func(Result, int, int) {
		if reported++; reported == 1500 {
			cancel()
		}
	}})
	names, listErr := s.List(t.Context())
	if !errors.Is(err, context.Canceled) || listErr != nil || len(names) != reported || r.Counts[Imported] != reported || reported == pods {
		t.Errorf("%d reported, %d stored, %v, %v, %v", reported, len(names), r.Counts, err, listErr)
	}
	if r, err := Import(ctx, s, root, ImportOptions{}); !errors.Is(err, context.Canceled) || len(r.Counts) != 0 {
		t.Errorf("with a context that has ended: %v, %v", r.Counts, err)
	}
	again, err := Import(t.Context(), s, root, ImportOptions{})
	if err != nil || again.Counts[Unchanged] != reported || again.Counts[Imported] != pods-reported {
		t.Errorf("again: %v, %v", again.Counts, err)
	}
}

// TestImportReadsYoungFilesAgain: a file that was truncated just now and is
// written a moment later is imported, one that stays bad is refused, and both
// come last.
func TestImportReadsYoungFilesAgain(t *testing.T) {
	t.Parallel() // it waits
	files := map[string]string{"a-old/metadata.json": "{"}
	want := map[string]result{"a-old": {Refused, "", 1, 2, "unexpected end of input"}}
	for i := range 1000 {
		name := benchPod(i).PodName
		files[name+"/metadata.json"] = minimal(name)
		want[name] = result{outcome: Imported}
	}
	root := tree(t, files)
	for name, content := range map[string]string{"a-late": "", "a-half": `{"pod_name":`, "a-bad": "{", "a-copied": minimal("x")} {
		put(t, filepath.Join(root, name, fileName), content)
	}
	want["a-late"] = result{outcome: Imported}
	want["a-half"] = result{outcome: Imported}
	want["a-bad"] = result{Refused, "", 1, 2, "unexpected end of input"}
	want["a-copied"] = result{Refused, "", 2, 15, `pod_name is "x"`}

	got := map[string]Result{}
	keep := collect(t, got)
	// When the first batch is full, the files that come first have been read.
	late := whenListed{memstore.New(), sync.OnceFunc(func() {
		for _, name := range []string{"a-late", "a-half"} {
			if err := os.WriteFile(filepath.Join(root, name, fileName), []byte(minimal(name)), 0o600); err != nil {
				t.Error(err)
			}
		}
	})}
	var order []string
	_, err := Import(t.Context(), late, root, ImportOptions{Progress: func(r Result, done, total int) {
		order = append(order, r.Pod)
		keep(r, done, total)
	}})
	if err != nil {
		t.Fatal(err)
	}
	checkResults(t, root, got, want)
	if last := order[len(order)-3:]; !slices.Equal(last, []string{"a-bad", "a-half", "a-late"}) {
		t.Errorf("the last ones are %q", last)
	}
}

// whenListed calls a function before every List, which a copy begins with.
type whenListed struct {
	store.MetadataStore
	call func()
}

func (s whenListed) List(ctx context.Context) ([]string, error) {
	s.call()
	return s.MetadataStore.List(ctx)
}
