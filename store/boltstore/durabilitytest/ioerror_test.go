//go:build linux

package durabilitytest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// failures are the ways in which a system call of a commit can fail.
var failures = []struct {
	syscall, err string
	full         bool // it means that the disk is full
}{
	{"fdatasync", "EIO", false},
	{"fsync", "EIO", false},
	{"pwrite64", "ENOSPC", true},
	{"pwrite64", "EIO", false},
	{"pwrite64", "EDQUOT", true},
	{"ftruncate", "ENOSPC", true},
	{"ftruncate", "EFBIG", true},
	{"mmap", "ENOMEM", false}, // of the database file, when it grows
	{"renameat2", "EIO", false},
}

// Each system call of a writer fails in turn. The operation returns an error, the
// handle is unusable for everything after that, Close returns, and the file holds
// what was acknowledged, with or without what was under way.
func TestFailureOfEverySystemCall(t *testing.T) {
	needStrace(t)
	alone := workload{Seed: 11, Goroutines: 1, Ops: pick(6, 24, 150), Large: 10}
	group := workload{Seed: 12, Goroutines: 4, Ops: pick(3, 12, 60), Large: 4}
	points := 0
	for _, w := range []workload{alone, group} {
		n, bad := countBadFailures(t, self(t), w, pick(17, 1, 1))
		points += n
		for i, err := range bad {
			if i < 5 {
				t.Error(err)
			}
		}
		if len(bad) > 0 {
			t.Errorf("%d of %d failures are handled badly", len(bad), n)
		}
	}
	t.Logf("%d failures injected", points)
	if points < pick(6, 200, 200) {
		t.Errorf("only %d failures injected", points)
	}
}

// countBadFailures has every step-th call of each kind fail in each way, and returns how
// many failed and what was wrong then.
func countBadFailures(t *testing.T, p program, w workload, step int) (points int, bad []error) {
	t.Helper()
	dir := tempDir(t)
	h := w.history()
	var mu sync.Mutex
	each(failures, func(i int, f struct {
		syscall, err string
		full         bool
	}) {
		for n := 1; ; n += step {
			here := filepath.Join(dir, fmt.Sprint(i, "-", n))
			if err := os.Mkdir(here, 0o700); err != nil {
				t.Error(err)
				return
			}
			job := writerJob{Workload: w, Path: filepath.Join(here, "pods.db")}
			wrap := inject(f.syscall, "error="+f.err, n)
			if f.syscall == "mmap" {
				wrap = append(wrap, "-P", job.Path) // leave those of the runtime alone
			}
			o := finish(t, p.command(t, "writer", job, wrap...), w.Goroutines)
			err := h.verifyFailed(job, o, f.full)
			os.RemoveAll(here)
			mu.Lock()
			if err != nil {
				bad = append(bad, fmt.Errorf("%s at %s %d: %w", f.err, f.syscall, n, err))
			}
			injected := o.failed || err != nil
			if injected {
				points++
			}
			mu.Unlock()
			if !injected || n > 10_000 {
				break
			}
		}
	})
	return points, bad
}

// verifyFailed checks a writer that met an error, if it did.
func (h *history) verifyFailed(job writerJob, o outcome, full bool) error {
	if o.failed && full && !o.full {
		return fmt.Errorf("no error says that the disk is full")
	}
	if err := h.verifyLeft(job, o); err != nil {
		return err
	}
	return onlyDatabase(filepath.Dir(job.Path))
}

// onlyDatabase checks that an error left no other files.
func onlyDatabase(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() != "pods.db" && e.Name() != "lost+found" {
			return fmt.Errorf("%s was left behind", e.Name())
		}
	}
	return nil
}

// A file that may not grow beyond a limit is a full disk. Nothing was written then, so
// the store goes on with what needs no more space.
func TestFileSizeLimit(t *testing.T) {
	w := workload{Seed: 13, Goroutines: 3, Ops: 400, Large: 10}
	h := w.history()
	for _, limit := range []uint64{20_000, 40_000, 70_000, 140_000, 300_000, 1 << 20, 1<<20 + 4711} {
		job := writerJob{Workload: w, Path: filepath.Join(tempDir(t), "pods.db"), MaxFile: limit}
		o := finish(t, self(t).command(t, "writer", job), w.Goroutines)
		if !o.failed {
			t.Errorf("limit %d: nothing failed", limit)
		}
		if o.acked.sum() > 0 && !o.served {
			t.Errorf("limit %d: the store does not go on", limit)
		}
		if err := h.verifyFailed(job, o, true); err != nil {
			t.Errorf("limit %d: %v", limit, err)
		}
	}
}

// A small file system becomes full.
func TestFullFileSystem(t *testing.T) {
	needRoot(t)
	w := workload{Seed: 14, Goroutines: 3, Ops: 600, Large: 40}
	h := w.history()
	for _, size := range []string{"24k", "256k", "2m", "64k", "1m"}[:pick(2, 5, 5)] {
		dir := tempDir(t)
		if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size="+size, "podstore-test", dir).CombinedOutput(); err != nil {
			t.Skipf("mount does not work here: %s", out)
		}
		t.Cleanup(func() { exec.Command("umount", dir).Run() })
		job := writerJob{Workload: w, Path: filepath.Join(dir, "pods.db")}
		o := finish(t, self(t).command(t, "writer", job), w.Goroutines)
		if !o.failed {
			t.Errorf("size %s: nothing failed", size)
		}
		// What is there can be read where there is no space, and used where there is.
		if err := h.verifyFile(job.Path, o.acked); err != nil {
			t.Errorf("size %s: %v", size, err)
		}
		if o.acked.sum() == 0 {
			continue
		}
		elsewhere := writerJob{Workload: w, Path: filepath.Join(tempDir(t), "pods.db")}
		copyFile(t, job.Path, elsewhere.Path)
		if err := h.verifyFailed(elsewhere, o, true); err != nil {
			t.Errorf("size %s: %v", size, err)
		}
	}
}
