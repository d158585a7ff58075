package jsonexport

import (
	"bytes"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"podstore/store"
	"podstore/store/podjson"
)

// upstream is a copy of one of the trees that the writers of this layout made, old
// enough to be trusted.
func upstream(t testing.TB, tree string) string {
	t.Helper()
	root := filepath.Join(t.TempDir(), tree)
	if err := os.CopyFS(root, os.DirFS(filepath.Join("../../testdata/upstream", tree))); err != nil {
		t.Fatal(err)
	}
	age(t, root)
	return root
}

// TestUpstreamTrees: what each writer wrote is taken whole, is the same to verify,
// and comes out byte for byte, from where import changes nothing.
func TestUpstreamTrees(t *testing.T) {
	for tree, naming := range map[string]podjson.Naming{"pods": podjson.Pods, "pods-workspace": podjson.Pods, "workers": podjson.Workers} {
		for backend, open := range stores {
			t.Run(tree+" "+backend, func(t *testing.T) {
				in, s := upstream(t, tree), open(t)
				before := contents(t, in)
				r, err := Import(t.Context(), s, in, ImportOptions{})
				if err != nil || r.Counts[Imported] != len(before) || len(r.Counts) != 1 {
					t.Fatalf("import: %v, %v", r.Counts, err)
				}
				out := filepath.Join(t.TempDir(), "out")
				if r, err := Export(t.Context(), s, out, ExportOptions{Naming: naming}); err != nil || r.Counts[Exported] != len(before) {
					t.Fatalf("export: %v, %v", r.Counts, err)
				}
				if !maps.Equal(contents(t, out), before) {
					t.Error("what was exported has other bytes")
				}
				age(t, out)
				for _, root := range []string{in, out} {
					if r, err := Verify(t.Context(), s, root, VerifyOptions{}); err != nil || r.Counts[Same] != len(before) || len(r.Counts) != 1 {
						t.Errorf("verify: %v, %v", r.Counts, err)
					}
					if r, err := Import(t.Context(), s, root, ImportOptions{}); err != nil || r.Counts[Unchanged] != len(before) || len(r.Counts) != 1 {
						t.Errorf("import again: %v, %v", r.Counts, err)
					}
				}
				if r, err := Export(t.Context(), s, out, ExportOptions{Naming: naming}); err != nil || r.Counts[Unchanged] != len(before) || len(r.Counts) != 1 {
					t.Errorf("export again: %v, %v", r.Counts, err)
				}
			})
		}
	}
}

// TestExportTellsOtherNaming: a file whose naming an export changes is named, in a
// dry run too.
func TestExportTellsOtherNaming(t *testing.T) {
	t.Parallel() // it waits
	root := upstream(t, "workers")
	put(t, filepath.Join(root, "plain", fileName), minimal("plain"))
	put(t, filepath.Join(root, "late", fileName), `{"peers":[{"worker_name":"q"}],"worker_name":"late"}`)
	put(t, filepath.Join(root, "broken", fileName), `{"worker_name":"broken",`)
	put(t, filepath.Join(root, "nothing", fileName), "")
	age(t, root)
	s := openDir(t, filepath.Join(t.TempDir(), "store"))
	if _, err := Import(t.Context(), s, root, ImportOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"broken", "nothing", "new"} {
		if err := store.Write(t.Context(), s, &store.Metadata{PodName: name}); err != nil {
			t.Fatal(err)
		}
	}
	bothSyncs(t, func(t *testing.T) {
		target := filepath.Join(t.TempDir(), "target")
		if err := os.CopyFS(target, os.DirFS(root)); err != nil {
			t.Fatal(err)
		}
		for _, dry := range []bool{true, false} {
			renamed := 0
			_, err := Export(t.Context(), s, target, ExportOptions{DryRun: dry, Progress: func(r Result, _, _ int) {
				switch r.Pod {
				case "plain", "nothing", "new":
					if r.Renamed {
						t.Errorf("%s is said to be renamed", r.Pod)
					}
				default:
					if !r.Renamed || r.Outcome != Exported {
						t.Errorf("%+v, which had the other naming", r)
					}
					renamed++
				}
			}})
			if err != nil || renamed != 14 {
				t.Errorf("%d renamed, %v", renamed, err)
			}
		}
		for name, data := range contents(t, target) {
			if strings.Contains(data, `"worker_name"`) {
				t.Errorf("%s: %s", name, data)
			}
		}
	})
}

// TestDirKeepsNaming: whatever changes a document, its naming stays.
func TestDirKeepsNaming(t *testing.T) {
	root := upstream(t, "workers")
	d := openDir(t, root)
	want := map[string]podjson.Naming{"new": podjson.Pods, "new-batch": podjson.Pods}
	names, err := d.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		want[name] = podjson.Workers
	}
	put(t, filepath.Join(root, "broken", fileName), `{"worker_name":"broken",`)
	put(t, filepath.Join(root, "plain", fileName), minimal("plain"))
	want["broken"], want["plain"] = podjson.Workers, podjson.Pods

	change := func(m *store.Metadata) { m.Peers = append(m.Peers, store.Peer{PodName: "one-more"}) }
	var batch []store.Put
	for i, name := range names {
		m, err := d.Read(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		switch i % 3 {
		case 0:
			change(m)
			err = store.Write(t.Context(), d, m)
		case 1:
			_, err = d.Update(t.Context(), name, func(m *store.Metadata) error { change(m); return nil })
		default:
			change(m)
			batch = append(batch, store.Put{Metadata: m})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	batch = append(batch, store.Put{Metadata: &store.Metadata{PodName: "new-batch"}}, store.Put{Metadata: &store.Metadata{PodName: "plain", Peers: []store.Peer{{PodName: "q"}}}})
	for _, err := range append(d.WriteBatch(t.Context(), batch),
		store.Write(t.Context(), d, &store.Metadata{PodName: "new"}), store.Write(t.Context(), d, &store.Metadata{PodName: "broken"})) {
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, naming := range want {
		data, err := os.ReadFile(filepath.Join(root, name, fileName))
		if err != nil {
			t.Fatal(err)
		}
		m, got, err := podjson.Read(data, name)
		if err != nil || got != naming || !bytes.Equal(got.Append(nil, m), data) {
			t.Errorf("%s: %v, want %v: %v", name, got, naming, err)
		}
		if slices.Contains(names, name) && !m.HasPeer("one-more") {
			t.Errorf("%s was not changed", name)
		}
	}
}

// TestMixedTree: each document is judged by itself, whoever wrote the one beside it.
func TestMixedTree(t *testing.T) {
	root := upstream(t, "workers")
	for _, other := range []string{"pods", "pods-workspace", "aggregate", "torn"} {
		from := upstream(t, other)
		entries, err := os.ReadDir(from)
		if err != nil {
			t.Fatal(err)
		}
		for i, e := range entries {
			name := e.Name()
			if other == "pods" && i%3 != 0 || other == "pods-workspace" && i%3 != 1 {
				continue
			}
			if err := os.RemoveAll(filepath.Join(root, name)); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(filepath.Join(from, name), filepath.Join(root, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	both := "{\n  \"worker_name\": \"both\",\n  \"peers\": [\n    {\n      \"pod_name\": \"q\"\n    }\n  ]\n}"
	put(t, filepath.Join(root, "both", fileName), both)
	age(t, root)
	const first, second = "01a02abf-b938-7998-ab81-6efe26c77a28", "01a02abf-bd20-737b-89b8-e8b7a611f63d"
	want := map[string]result{
		"both": {Refused, "", 5, 7, `field "pod_name" after "worker_name"`},
		first:  {Refused, first, 0, 0, "aggregate layout"},
		second: {Refused, second, 0, 0, "aggregate layout"},
		"a":    {Refused, "", 2931, 2, "import --repair takes"},
	}
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if _, ok := want[e.Name()]; !ok {
			want[e.Name()] = result{outcome: Imported}
		}
	}
	s := openDir(t, filepath.Join(t.TempDir(), "store"))
	got := map[string]Result{}
	if _, err := Import(t.Context(), s, root, ImportOptions{Progress: collect(t, got)}); err != nil {
		t.Fatal(err)
	}
	checkResults(t, root, got, want)
	r, err := Verify(t.Context(), s, root, VerifyOptions{})
	if err != nil || r.Counts[Same] != 12 || r.Counts[Unreadable] != 4 || len(r.Counts) != 2 {
		t.Errorf("verify: %v, %v", r.Counts, err)
	}
}

// TestAggregate: a worker of that layout is refused by name, and nothing is written
// beside one, nor removed.
func TestAggregate(t *testing.T) {
	const bare, numbered, pod = "01a02abf-0000-7000-8000-000000000001", "7", "01a02abf-0000-7000-8000-000000000002"
	root := upstream(t, "aggregate")
	put(t, filepath.Join(root, bare, "worker.json"), "{}")                                                      // it has come no further
	put(t, filepath.Join(root, numbered, fileName), "{\n  \"worker_name\": \"worker-runtime-"+numbered+"\"\n}") // without what lies beside
	put(t, filepath.Join(root, pod, fileName), minimal(pod))                                                    // a Pod may have such a name
	age(t, root)
	before := contents(t, root)

	d, err := OpenDir(root, &DirOptions{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	names, err := d.List(t.Context())
	if err != nil || len(names) != 5 {
		t.Fatalf("%v, %v", names, err)
	}
	for _, name := range names {
		_, err := d.Read(t.Context(), name)
		if name == pod {
			if err != nil {
				t.Error(err)
			}
			continue
		}
		if !errors.Is(err, store.ErrFormat) || errors.Is(err, store.ErrCorrupt) || !strings.Contains(err.Error(), "aggregate layout") {
			t.Errorf("%s: %v", name, err)
		}
	}

	s := openDir(t, filepath.Join(t.TempDir(), "store"))
	r, err := Import(t.Context(), s, root, ImportOptions{})
	if err != nil || r.Counts[Imported] != 1 || r.Counts[Refused] != 4 {
		t.Errorf("import: %v, %v", r.Counts, err)
	}
	if _, err := OpenDir(root, nil); !errors.Is(err, store.ErrFormat) {
		t.Errorf("open for writing: %v", err)
	}
	for _, dry := range []bool{true, false} {
		r, err := Export(t.Context(), s, root, ExportOptions{Prune: true, DryRun: dry})
		var e *store.Error
		if !errors.Is(err, store.ErrFormat) || !errors.As(err, &e) || e.Op != "export" || len(r.Counts) != 0 {
			t.Errorf("export: %v, %v", r.Counts, err)
		}
	}
	if !maps.Equal(contents(t, root), before) {
		t.Error("the tree was changed")
	}
}

// TestImportRepair: a torn file is taken where that is asked for and certain, and the
// Pod beside it is what it was.
func TestImportRepair(t *testing.T) {
	const tail = "e\": \"x\"\n    }\n  }\n}"
	whole := func(name string) string {
		return "{\n  \"worker_name\": \"" + name + "\",\n  \"workspace_root\": \"/r\"\n}"
	}
	root := upstream(t, "torn")
	for name, content := range map[string]string{
		"b":        whole("b") + tail,
		"whole":    whole("whole"),
		"two":      whole("two") + whole("two"),
		"other":    whole("another") + tail,
		"spaced":   strings.Replace(whole("spaced"), ": ", ":", 1) + tail,
		"stored":   whole("stored") + tail,
		"conflict": whole("conflict") + tail,
	} {
		put(t, filepath.Join(root, name, fileName), content)
	}
	age(t, root)
	before := contents(t, root)
	for backend, open := range stores {
		t.Run(backend, func(t *testing.T) {
			s := open(t)
			for _, name := range []string{"stored", "conflict"} {
				m, _, err := podjson.Read([]byte(whole(name)), name)
				if err != nil {
					t.Fatal(err)
				}
				if name == "conflict" {
					m.Extra = nil
				}
				if err := store.Write(t.Context(), s, m); err != nil {
					t.Fatal(err)
				}
			}
			want := map[string]result{
				"a":        {Refused, "", 2931, 2, "55 bytes of the tail"},
				"b":        {Refused, "", 4, 2, "19 bytes of the tail"},
				"whole":    {outcome: Imported},
				"two":      {Refused, "", 4, 2, "expected the end of the document"},
				"other":    {Refused, "", 4, 2, "expected the end of the document"},
				"spaced":   {Refused, "", 4, 2, "expected the end of the document"},
				"stored":   {Refused, "", 4, 2, "import --repair"},
				"conflict": {Refused, "", 4, 2, "import --repair"},
			}
			got := map[string]Result{}
			if _, err := Import(t.Context(), s, root, ImportOptions{Progress: collect(t, got)}); err != nil {
				t.Fatal(err)
			}
			checkResults(t, root, got, want)

			repaired := result{outcome: Repaired}
			want["a"], want["b"], want["stored"] = repaired, repaired, repaired
			delete(want, "conflict")
			want["whole"] = result{outcome: Unchanged}
			found := map[string]bool{}
			for range 2 { // the file is torn still
				got = map[string]Result{}
				r, err := Import(t.Context(), s, root, ImportOptions{Repair: true, Progress: collect(t, got), Found: func(m *store.Metadata) { found[m.PodName] = true }})
				if err != nil || r.Counts[Repaired] != 3 {
					t.Fatalf("%v, %v", r.Counts, err)
				}
				if c := got["conflict"]; c.Outcome != Conflict || c.Left != 0 {
					t.Errorf("%+v", c)
				}
				delete(got, "conflict")
				checkResults(t, root, got, want)
				if got["a"].Left != 55 || got["b"].Left != len(tail) {
					t.Errorf("left: %d, %d", got["a"].Left, got["b"].Left)
				}
			}
			if !found["a"] || !found["conflict"] || found["two"] {
				t.Errorf("found %v", found)
			}
			m, err := s.Read(t.Context(), "a")
			if err != nil || string(podjson.Append(nil, m)) != before["a/"+fileName][:94628] {
				t.Errorf("a is not the document: %v", err)
			}
			if m, err := s.Read(t.Context(), "b"); err != nil || string(podjson.Workers.Append(nil, m)) != whole("b") {
				t.Errorf("b is not the document: %v", err)
			}
			if !maps.Equal(contents(t, root), before) {
				t.Error("the files were changed")
			}
		})
	}
}

// TestImportRepairReadsAgain: a file that was torn at the first reading, and is whole
// in the end, is taken as it is then.
func TestImportRepairReadsAgain(t *testing.T) {
	root := upstream(t, "torn")
	for _, young := range []bool{false, true} {
		put(t, filepath.Join(root, "a", fileName), minimal("a")+"\"\n}")
		if !young {
			age(t, root)
		}
		put(t, filepath.Join(root, "z", fileName), minimal("z"))
		s := openDir(t, filepath.Join(t.TempDir(), "store"))
		got := map[string]Result{}
		_, err := Import(t.Context(), s, root, ImportOptions{
			Repair:   true,
			Progress: collect(t, got),
			Found: func(m *store.Metadata) {
				if m.PodName == "z" { // everything has been read once
					put(t, filepath.Join(root, "a", fileName), minimal("a"))
				}
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		checkResults(t, root, got, map[string]result{"a": {outcome: Imported}, "z": {outcome: Imported}})
	}
}
