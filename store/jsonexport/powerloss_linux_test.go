package jsonexport

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"podstore/store"
	"podstore/store/podjson"
)

// disk is an ext4 file system of its own that can lose its power.
type disk struct {
	t            *testing.T
	image, mount string
}

// newDisk makes and mounts one, or skips the test.
func newDisk(t *testing.T) *disk {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root to mount a file system")
	}
	d := &disk{t: t, image: filepath.Join(t.TempDir(), "image"), mount: t.TempDir()}
	if err := os.WriteFile(d.image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(d.image, 64<<20); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mkfs.ext4", "-q", "-F", d.image).CombinedOutput(); err != nil {
		t.Skipf("needs mkfs.ext4: %v %s", err, out)
	}
	if out, err := exec.Command("mount", "-o", "loop", d.image, d.mount).CombinedOutput(); err != nil {
		t.Skipf("needs loop devices: %v %s", err, out)
	}
	t.Cleanup(func() { d.run("umount", d.mount) })
	return d
}

func (d *disk) run(name string, args ...string) {
	d.t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		d.t.Errorf("%s %q: %v %s", name, args, err, out)
	}
}

// losePower drops everything that was not synced: from now on every call fails.
func (d *disk) losePower() {
	d.t.Helper()
	const shutdown, withoutFlushingTheLog = 0x8004587d, 2
	f, err := os.Open(d.mount)
	if err != nil {
		d.t.Fatal(err)
	}
	defer f.Close()
	if err := unix.IoctlSetPointerInt(int(f.Fd()), shutdown, withoutFlushingTheLog); err != nil {
		d.t.Fatal(err)
	}
}

// restart mounts what has reached the disk.
func (d *disk) restart() {
	d.t.Helper()
	d.run("umount", d.mount)
	d.run("mount", "-o", "loop", d.image, d.mount)
}

// TestExportPowerLoss: power is lost while an export runs, or just after it. What
// was reported is there, every file is whole, and running it again completes it.
func TestExportPowerLoss(t *testing.T) {
	bothSyncs(t, func(t *testing.T) {
		setBatch(t, 20)
		src := held(many(190))
		want := map[string]string{}
		for _, m := range src {
			want[m.PodName+"/"+fileName] = string(podjson.Append(nil, m))
		}
		for _, after := range []int{1, 61, 141, 190} {
			d := newDisk(t)
			root := filepath.Join(d.mount, "out")
			old := openDir(t, root)
			for _, m := range src[:3] {
				if err := store.Write(t.Context(), old, &store.Metadata{PodName: m.PodName}); err != nil {
					t.Fatal(err)
				}
			}
			reported := map[string]bool{}
			_, err := Export(t.Context(), src, root, ExportOptions{Progress: func(r Result, done, _ int) {
				if done <= after && r.Outcome == Exported {
					reported[r.Pod+"/"+fileName] = true
				}
				if done == after {
					d.losePower()
				}
			}})
			if err == nil && after < 100 {
				t.Errorf("after %d: the power was not lost in time", after)
			}
			d.restart()
			got := contents(t, root)
			for path, content := range got {
				if filepath.Base(path) == fileName && content != want[path] && content != minimal(filepath.Dir(path)) {
					t.Errorf("after %d: %s holds %q", after, path, content)
				}
			}
			for path := range reported {
				if got[path] != want[path] {
					t.Errorf("after %d: %s was reported, but is %q", after, path, got[path])
				}
			}
			if _, err := Export(t.Context(), src, root, ExportOptions{}); err != nil {
				t.Fatal(err)
			}
			if got := contents(t, root); len(got) != len(want) {
				t.Errorf("after %d and run again: %d files, want %d", after, len(got), len(want))
			}
			if r, err := Verify(t.Context(), src, root, VerifyOptions{}); err != nil || r.Counts[Same] != len(src) {
				t.Errorf("after %d and run again: %v, %v", after, r.Counts, err)
			}
		}
	})
}

// TestDirPowerLoss: every change that returned nil survives.
func TestDirPowerLoss(t *testing.T) {
	d := newDisk(t)
	root := filepath.Join(d.mount, "deep", "pods")
	want := map[string]string{}
	check := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		d.losePower()
		d.restart()
		if got := contents(t, root); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: got %q, want %q", what, got, want)
		}
	}
	s, err := OpenDir(root, nil)
	check("OpenDir", err)
	want["a/metadata.json"] = minimal("a")
	check("Write of a new Pod", store.Write(t.Context(), s, &store.Metadata{PodName: "a"}))
	m := &store.Metadata{PodName: "a", Peers: []store.Peer{{PodName: "b"}}}
	want["a/metadata.json"] = string(podjson.Append(nil, m))
	check("Write over a Pod", store.Write(t.Context(), s, m))
	want["b/metadata.json"] = minimal("b")
	_, err = s.Update(t.Context(), "b", func(*store.Metadata) error { return nil })
	check("Update of a missing Pod", err)
	want["c/metadata.json"], want["d/metadata.json"] = minimal("c"), minimal("d")
	check("WriteBatch", errors.Join(s.WriteBatch(t.Context(), puts(&store.Metadata{PodName: "c"}, &store.Metadata{PodName: "d"}))...))
	delete(want, "c/metadata.json")
	check("Delete", store.Do(t.Context(), s, "c", store.Delete{}))
	put(t, filepath.Join(root, "d", "notes"), "n")
	if err := exec.Command("sync", "-f", root).Run(); err != nil {
		t.Fatal(err)
	}
	want["d/notes"] = "n"
	delete(want, "d/metadata.json")
	check("Delete beside another file", store.Do(t.Context(), s, "d", store.Delete{}))
	delete(want, "a/metadata.json")
	delete(want, "b/metadata.json")
	put(t, filepath.Join(root, "b", fileName), "not synced")
	check("prune", func() error {
		_, err := Export(t.Context(), held(nil), root, ExportOptions{Prune: true, PruneAll: true})
		return err
	}())
}
