package jsonexport

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	"podstore/store"
)

// hardNames are valid, and as hard on a file system as valid names can be.
var hardNames = []string{
	"日本語", "line\nbreak", "-dash", `back\slash`, "...", ".hidden", " ", "a b", "tab\t", "\x01", "\u2028",
	strings.Repeat("n", 200), strings.Repeat("x", 255), strings.Repeat("é", 127), fileName, "%s", "'\"", "*",
}

func TestDirTakesEveryValidName(t *testing.T) {
	d := openDir(t, filepath.Join(t.TempDir(), "pods"))
	want := slices.Sorted(slices.Values(hardNames))
	for _, name := range hardNames {
		if err := store.Write(t.Context(), d, &store.Metadata{PodName: name, Peers: []store.Peer{{PodName: name}}}); err != nil {
			t.Fatal(err)
		}
		m, err := d.Read(t.Context(), name)
		if err != nil || m.PodName != name || !m.HasPeer(name) {
			t.Errorf("%q: %v, %v", name, m, err)
		}
	}
	if got, err := d.List(t.Context()); err != nil || !slices.Equal(got, want) {
		t.Errorf("List %q, %v", got, err)
	}
	for _, name := range hardNames {
		if err := store.Do(t.Context(), d, name, store.Delete{}); err != nil {
			t.Error(err)
		}
	}
	if left, _ := os.ReadDir(d.RootDir()); len(left) > 0 {
		t.Errorf("Delete left %v", left)
	}
}

func TestOpenDir(t *testing.T) {
	tmp := t.TempDir()
	deep := filepath.Join(tmp, "a", "b", "pods")
	if _, err := OpenDir(deep, &DirOptions{MustExist: true}); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("MustExist: %v", err)
	}
	if _, err := OpenDir(deep, &DirOptions{ReadOnly: true}); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("ReadOnly: %v", err)
	}
	if _, err := os.Lstat(filepath.Join(tmp, "a")); err == nil {
		t.Error("something was created")
	}
	d := openDir(t, deep)
	if d.RootDir() != deep {
		t.Errorf("RootDir %q", d.RootDir())
	}
	if err := store.Write(t.Context(), d, &store.Metadata{PodName: "p"}); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]os.FileMode{
		filepath.Join(tmp, "a"): 0o700, deep: 0o700, filepath.Join(deep, "p"): 0o700, filepath.Join(deep, "p", fileName): 0o600,
	} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
	}

	put(t, filepath.Join(tmp, "file"), "x")
	for _, path := range []string{filepath.Join(tmp, "file"), filepath.Join(tmp, "file", "below")} {
		if _, err := OpenDir(path, nil); err == nil || errors.Is(err, store.ErrNotFound) {
			t.Errorf("%s: %v", path, err)
		}
	}
	if _, err := OpenDir(filepath.Join(tmp, "file"), nil); !errors.Is(err, store.ErrInvalid) {
		t.Errorf("a file: %v", err)
	}

	// The root and what leads to it may be links.
	if err := os.Symlink(filepath.Join(tmp, "a"), filepath.Join(tmp, "link")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("pods", filepath.Join(tmp, "a", "b", "link")); err != nil {
		t.Fatal(err)
	}
	linked := openDir(t, filepath.Join(tmp, "link", "b", "link"))
	if m, err := linked.Read(t.Context(), "p"); err != nil || m.PodName != "p" {
		t.Errorf("through links: %v, %v", m, err)
	}
	if err := os.Symlink(filepath.Join(tmp, "nowhere"), filepath.Join(tmp, "dangling")); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenDir(filepath.Join(tmp, "dangling"), nil); err == nil {
		t.Error("a dangling link was opened")
	}
}

func TestDirReadOnly(t *testing.T) {
	root := tree(t, map[string]string{"p/metadata.json": minimal("p")})
	d, err := OpenDir(root, &DirOptions{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	m, err := d.Read(t.Context(), "p")
	if err != nil {
		t.Fatal(err)
	}
	_, updateErr := d.Update(t.Context(), "p", func(*store.Metadata) error { panic("called") })
	for _, err := range append(d.WriteBatch(t.Context(), puts(m)),
		store.Write(t.Context(), d, m), store.Do(t.Context(), d, "p", store.Delete{}), updateErr) {
		if !errors.Is(err, store.ErrReadOnly) {
			t.Errorf("got %v", err)
		}
	}
}

func TestDirListSkipsWhatIsNoPod(t *testing.T) {
	root := tree(t, map[string]string{
		"pod/metadata.json":                 minimal("pod"),
		"damaged/metadata.json":             "",
		"no-pod/other.json":                 minimal("no-pod"),
		"no-pod/deep/metadata.json":         minimal("deep"),
		"file":                              "x",
		"metadata.json":                     minimal("root"),
		"not-utf8-\xff/metadata.json":       minimal("x"),
		"left/.metadata.json.podstore-0123": minimal("left"),
	})
	if err := os.Mkdir(filepath.Join(root, "empty"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("pod", filepath.Join(root, "link")); err != nil {
		t.Fatal(err)
	}
	d := openDir(t, root)
	names, err := d.List(t.Context())
	if err != nil || !slices.Equal(names, []string{"damaged", "pod"}) {
		t.Errorf("List %q, %v", names, err)
	}
	var got []string
	for m, err := range d.All(t.Context(), store.ReadOptions{}) {
		var e *store.Error
		switch {
		case err == nil:
			got = append(got, m.PodName)
		case errors.Is(err, store.ErrCorrupt) && errors.As(err, &e):
			got = append(got, "damaged:"+e.Pod)
		default:
			t.Error(err)
		}
	}
	if !slices.Equal(got, []string{"damaged:damaged", "pod"}) {
		t.Errorf("All %q", got)
	}
	for _, name := range []string{"no-pod", "empty", "left", "file", "missing"} {
		if _, err := d.Read(t.Context(), name); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("Read %s: %v", name, err)
		}
		if err := store.Do(t.Context(), d, name, store.Delete{}); err != nil {
			t.Errorf("Delete %s: %v", name, err)
		}
	}
	for _, path := range []string{"no-pod/other.json", "no-pod/deep/metadata.json", "file", "metadata.json"} {
		if _, err := os.Stat(filepath.Join(root, path)); err != nil {
			t.Error(err)
		}
	}
}

func TestDirReadOfBadFile(t *testing.T) {
	root := tree(t, map[string]string{
		"syntax/metadata.json": "{\n  \"pod_name\": \"syntax\",\n  \"peers\": 1\n}",
		"copied/metadata.json": "{\n  \"pod_name\": \"original\"\n}",
	})
	d := openDir(t, root)
	for name, c := range map[string]struct {
		line, column int
		reason       string
	}{
		"syntax": {3, 12, "peers: expected an array"},
		"copied": {2, 15, `pod_name is "original", but the directory is named "copied"; rename the directory or correct pod_name`},
	} {
		_, err := d.Read(t.Context(), name)
		var e *store.Error
		if !errors.Is(err, store.ErrCorrupt) || !errors.Is(err, store.ErrInvalid) || !errors.As(err, &e) {
			t.Fatalf("%s: %v", name, err)
		}
		if e.Op != "read" || e.Pod != name || e.Path != filepath.Join(root, name, fileName) ||
			e.Line != c.line || e.Column != c.column || !strings.Contains(e.Reason(), c.reason) {
			t.Errorf("%s: %#v %v", name, e, err)
		}
		if _, err := d.Update(t.Context(), name, func(*store.Metadata) error { panic("called") }); !errors.Is(err, store.ErrCorrupt) {
			t.Errorf("Update %s: %v", name, err)
		}
		if err := store.Write(t.Context(), d, &store.Metadata{PodName: name}); err != nil {
			t.Errorf("Write %s: %v", name, err)
		}
		if m, err := d.Read(t.Context(), name); err != nil || m.PodName != name {
			t.Errorf("after Write %s: %v", name, err)
		}
	}
}

// TestDirLeftovers: what a crash left of an earlier write is no Pod, and is
// removed by the next write or by Delete.
func TestDirLeftovers(t *testing.T) {
	files := map[string]string{
		"a/.metadata.json.podstore-00": "{", "a/metadata.json": minimal("a"), "a/.metadata.json.podstore-ff": minimal("x"),
		"b/.metadata.json.podstore-00": "{", "b/metadata.json": minimal("b"),
		"c/.metadata.json.podstore-00": "{", "c/metadata.json": minimal("c"), "c/.metadata.json.swp": "an editor's",
		"d/.metadata.json.podstore-00": "{",
	}
	root := tree(t, files)
	d := openDir(t, root)
	if err := store.Do(t.Context(), d, "a", store.AddPeer{PodName: "p"}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"b", "c", "d"} {
		if err := store.Do(t.Context(), d, name, store.Delete{}); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for path := range walk(t, root) {
		got = append(got, path)
	}
	if want := []string{"a/metadata.json", "c/.metadata.json.swp"}; !reflect.DeepEqual(got, want) {
		t.Errorf("left %q, want %q", got, want)
	}
	for _, name := range []string{"b", "d"} {
		if _, err := os.Lstat(filepath.Join(root, name)); err == nil {
			t.Errorf("the directory %s was left", name)
		}
	}
}

// TestDirRootVanishes: that is no missing Pod.
func TestDirRootVanishes(t *testing.T) {
	root := tree(t, map[string]string{"p/metadata.json": minimal("p")})
	d := openDir(t, root)
	if err := os.RemoveAll(root); err != nil {
		t.Fatal(err)
	}
	_, readErr := d.Read(t.Context(), "p")
	_, updateErr := d.Update(t.Context(), "p", func(*store.Metadata) error { return nil })
	_, listErr := d.List(t.Context())
	var allErr error
	for _, err := range d.All(t.Context(), store.ReadOptions{}) {
		allErr = err
	}
	for op, err := range map[string]error{"read": readErr, "update": updateErr, "delete": store.Do(t.Context(), d, "p", store.Delete{}),
		"write": store.Write(t.Context(), d, &store.Metadata{PodName: "p"})} {
		if err == nil || errors.Is(err, store.ErrNotFound) {
			t.Errorf("%s: %v", op, err)
		}
	}
	if listErr == nil || allErr == nil {
		t.Errorf("list: %v, all: %v", listErr, allErr)
	}
	if err := d.WriteBatch(t.Context(), puts(&store.Metadata{PodName: "p"}))[0]; err == nil {
		t.Error("batch succeeded")
	}
}

// TestDirSizeLimit: what could not be read is not written, and nearly nothing is
// allocated to find that out.
func TestDirSizeLimit(t *testing.T) {
	d, err := OpenDir(filepath.Join(t.TempDir(), "pods"), &DirOptions{MaxFileSize: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	deep := strings.Repeat("[", 100) + strings.Repeat("0,", 100_000) + "0" + strings.Repeat("]", 100)
	for name, manifest := range map[string]string{
		"indented":  deep, // 200 KB, 20 MB when indented
		"many":      "[" + strings.Repeat("0,", 400_000) + "0]",
		"many more": `"` + strings.Repeat("x", 1<<20) + `"`,
	} {
		m := &store.Metadata{PodName: name, Manifest: []byte(manifest)}
		taken := allocated(func() {
			if err := store.Write(t.Context(), d, m); !errors.Is(err, store.ErrInvalid) || !strings.Contains(err.Error(), "the limit is 1048576") {
				t.Errorf("%s: %v", name, err)
			}
		})
		if taken > 12<<20 {
			t.Errorf("%s: %d bytes were allocated", name, taken)
		}
		if err := d.WriteBatch(t.Context(), puts(m))[0]; !errors.Is(err, store.ErrInvalid) {
			t.Errorf("%s in a batch: %v", name, err)
		}
	}
	if left, _ := os.ReadDir(d.RootDir()); len(left) > 0 {
		t.Errorf("left %v", left)
	}
	fits := &store.Metadata{PodName: "fits", Manifest: []byte(`"` + strings.Repeat("x", 1<<20-60) + `"`)}
	if err := store.Write(t.Context(), d, fits); err != nil {
		t.Error(err)
	}
	if _, err := d.Read(t.Context(), "fits"); err != nil {
		t.Error(err)
	}
}

// allocated is how many bytes f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func puts(pods ...*store.Metadata) (puts []store.Put) {
	for _, m := range pods {
		puts = append(puts, store.Put{Metadata: m})
	}
	return puts
}

func TestDirWriteBatch(t *testing.T) {
	for _, syncAll := range []bool{true, false} {
		t.Run(map[bool]string{true: "file system", false: "each file"}[syncAll], func(t *testing.T) {
			setSyncAll(t, syncAll)
			setBatch(t, 50)
			root := tree(t, map[string]string{"old/metadata.json": minimal("old"), "old/keep": "k", "blocked": "a file"})
			if err := os.Symlink("old", filepath.Join(root, "link")); err != nil {
				t.Fatal(err)
			}
			d := openDir(t, root)
			pods := []*store.Metadata{
				{PodName: "new"}, {PodName: "old", Manifest: []byte("1")}, {PodName: "blocked"}, {PodName: "link"}, {PodName: "a/b"},
				{PodName: "bad", Manifest: []byte("{")}, {PodName: "new", Manifest: []byte("2")},
			}
			for i := range 200 {
				pods = append(pods, &store.Metadata{PodName: "many-" + strings.Repeat("i", i%50) + string(rune('a'+i/50))})
			}
			errs := d.WriteBatch(t.Context(), puts(pods...))
			for i, kind := range map[int]error{2: store.ErrExists, 3: store.ErrExists, 4: store.ErrInvalidName, 5: store.ErrInvalid} {
				if !errors.Is(errs[i], kind) {
					t.Errorf("%s: %v, want %v", pods[i].PodName, errs[i], kind)
				}
				errs[i] = nil
			}
			if err := errors.Join(errs...); err != nil {
				t.Error(err)
			}
			names, err := d.List(t.Context())
			if err != nil || len(names) != 202 {
				t.Errorf("%d Pods, %v", len(names), err)
			}
			for name, manifest := range map[string]string{"new": "2", "old": "1"} {
				if m, err := d.Read(t.Context(), name); err != nil || string(m.Manifest) != manifest {
					t.Errorf("%s: %v, %v", name, m, err)
				}
			}
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if err := d.WriteBatch(ctx, puts(pods[0]))[0]; !errors.Is(err, context.Canceled) {
				t.Errorf("cancelled: %v", err)
			}
		})
	}
}
