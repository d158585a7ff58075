package jsonexport

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"podstore/store"
)

// TestImportWithoutRights: what may not be read is refused and the rest is
// imported.
func TestImportWithoutRights(t *testing.T) {
	root := tree(t, map[string]string{
		"good/metadata.json": minimal("good"), "file/metadata.json": minimal("file"), "directory/metadata.json": minimal("directory"),
	})
	if err := errors.Join(os.Chmod(filepath.Join(root, "file", fileName), 0), os.Chmod(filepath.Join(root, "directory"), 0)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(filepath.Join(root, "directory"), 0o700) })
	cmd := command(t, childJob{Do: "read", From: root})
	if os.Geteuid() == 0 {
		// Root may read everything, so somebody else does it.
		const nobody = 65534
		shared, err := os.MkdirTemp("", "podstore")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.RemoveAll(shared) })
		moved := filepath.Join(shared, "pods")
		if err := errors.Join(os.Chmod(shared, 0o755), os.Rename(root, moved), os.Chmod(moved, 0o755),
			os.Chown(filepath.Join(moved, "good"), nobody, nobody), os.Chown(filepath.Join(moved, "good", fileName), nobody, nobody),
			os.Chown(filepath.Join(moved, "file"), nobody, nobody)); err != nil {
			t.Fatal(err)
		}
		root = moved
		cmd = command(t, childJob{Do: "read", From: root})
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	got, err := results(t, cmd)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 3 || got["good"].Outcome != Unchanged {
		t.Errorf("got %+v", got)
	}
	for _, pod := range []string{"file", "directory"} {
		if r := got[pod]; r.Outcome != Refused || !strings.Contains(r.Reason, filepath.Join(root, pod)) || !strings.Contains(r.Reason, "permission denied") {
			t.Errorf("%s: %+v", pod, r)
		}
	}
}

// TestDiskFull: what fits is written whole, the rest not at all, and one error
// says why, not one for each Pod. With more room the export is completed.
func TestDiskFull(t *testing.T) {
	mount := t.TempDir()
	if err := syscall.Mount("tmpfs", mount, "tmpfs", 0, "size=1m"); err != nil {
		t.Skip("needs the right to mount a file system:", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(mount, 0); err != nil {
			t.Error(err)
		}
	})
	root := filepath.Join(mount, "out")
	var pods []*store.Metadata
	for i := range 600 {
		pods = append(pods, &store.Metadata{PodName: fmt.Sprintf("pod-%03d", i), Manifest: []byte(`"` + strings.Repeat("x", 3000) + `"`)})
	}
	src := filled(t, pods...)
	want := contents(t, src.RootDir())
	r, err := Export(t.Context(), src, root, ExportOptions{})
	if !errors.Is(err, store.ErrNoSpace) || r.Counts[Exported] == 0 || len(r.Counts) > 1 || strings.Contains(err.Error(), "\n") {
		t.Errorf("%v, %v", r.Counts, err)
	}
	got := contents(t, root)
	if len(got) != r.Counts[Exported] {
		t.Errorf("%d files, %v", len(got), r.Counts)
	}
	for path, content := range got {
		if want[path] != content {
			t.Errorf("%s is not whole", path)
		}
	}
	d := openDir(t, root)
	full := 0
	for _, m := range pods {
		if errors.Is(store.Write(t.Context(), d, m), store.ErrNoSpace) {
			full++
		}
	}
	if full == 0 {
		t.Error("Write found room for everything")
	}
	if err := syscall.Mount("tmpfs", mount, "tmpfs", syscall.MS_REMOUNT, "size=8m"); err != nil {
		t.Fatal(err)
	}
	if _, err := Export(t.Context(), src, root, ExportOptions{}); err != nil {
		t.Fatal(err)
	}
	if got := contents(t, root); len(got) != len(want) {
		t.Errorf("%d files, want %d", len(got), len(want))
	}
}

// TestReadOnlyFileSystem: everything can be read and verified; a change fails as
// one of a store opened for reading does, and an export ends at once.
func TestReadOnlyFileSystem(t *testing.T) {
	mount := t.TempDir()
	if err := syscall.Mount("tmpfs", mount, "tmpfs", 0, "size=1m"); err != nil {
		t.Skip("needs the right to mount a file system:", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(mount, 0); err != nil {
			t.Error(err)
		}
	})
	src := filled(t, many(40)...)
	root := filepath.Join(mount, "pods")
	d := openDir(t, root)
	if err := store.Write(t.Context(), d, many(1)[0]); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", mount, "tmpfs", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	if r, err := Verify(t.Context(), src, root, VerifyOptions{}); err != nil || r.Counts[Same] != 1 || r.Counts[MissingInDir] != 39 {
		t.Errorf("verify: %v, %v", r.Counts, err)
	}
	for op, err := range map[string]error{
		"write": store.Write(t.Context(), d, many(2)[1]), "replace": store.Do(t.Context(), d, "pod-00000", store.AddPeer{PodName: "p"}), "delete": store.Do(t.Context(), d, "pod-00000", store.Delete{}),
	} {
		if !errors.Is(err, store.ErrReadOnly) {
			t.Errorf("%s: %v", op, err)
		}
	}
	if _, err := Export(t.Context(), src, root, ExportOptions{}); !errors.Is(err, store.ErrReadOnly) {
		t.Errorf("export: %v", err)
	}
	if _, err := store.Copy(t.Context(), d, src.All(t.Context(), store.ReadOptions{}), store.CopyOptions{}); !errors.Is(err, store.ErrReadOnly) {
		t.Errorf("copy: %v", err)
	}
}
