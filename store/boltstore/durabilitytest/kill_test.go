//go:build linux

package durabilitytest

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// killed are the system calls by which a store changes a disk.
var killed = []string{"pwrite64", "fdatasync", "fsync", "ftruncate", "renameat2", "unlinkat"}

// A writer is killed at every system call that changes the disk, from the first
// one, before there is a file, to the last. What it had acknowledged is there
// afterwards, and of any operation all or nothing.
func TestKilledAtEverySystemCall(t *testing.T) {
	needStrace(t)
	alone := workload{Seed: 1, Goroutines: 1, Ops: pick(12, 64, 250), Large: 4}
	group := workload{Seed: 2, Goroutines: 4, Ops: pick(8, 32, 120), Large: 2}
	step := pick(11, 1, 1)
	total := killPoints(t, self(t), alone, killed, step) + killPoints(t, self(t), group, killed, step)
	t.Logf("%d points of kill", total)
	if total < pick(8, 300, 300) {
		t.Errorf("only %d points of kill", total)
	}
}

// killPoints kills a writer at every step-th call of each system call, verifies
// what it leaves, and returns at how many.
func killPoints(t *testing.T, p program, w workload, syscalls []string, step int) int {
	t.Helper()
	points, bad := countBadKills(t, p, w, syscalls, step)
	for i, err := range bad {
		if i < 5 {
			t.Error(err)
		}
	}
	if len(bad) > 0 {
		t.Errorf("%d of %d points of kill are bad", len(bad), points)
	}
	return points
}

func countBadKills(t *testing.T, p program, w workload, syscalls []string, step int) (points int, bad []error) {
	t.Helper()
	return countBadWriters(t, p, writerJob{Workload: w}, syscalls, step)
}

func countBadWriters(t *testing.T, p program, job writerJob, syscalls []string, step int) (points int, bad []error) {
	t.Helper()
	dir := tempDir(t)
	h := job.Workload.history()
	defer h.logResent(t)
	var mu sync.Mutex
	each(syscalls, func(_ int, syscall string) {
		for n := 1; ; n += step {
			here := filepath.Join(dir, fmt.Sprint(syscall, n))
			if err := os.Mkdir(here, 0o700); err != nil {
				t.Error(err)
				return
			}
			job := job
			job.Path = filepath.Join(here, "pods.db")
			o := finish(t, p.command(t, "writer", job, inject(syscall, "signal=KILL", n)...), job.Workload.Goroutines)
			err := h.verifyAfter(job, o)
			os.RemoveAll(here)
			mu.Lock()
			if err != nil {
				bad = append(bad, fmt.Errorf("killed at %s %d: %w", syscall, n, err))
			}
			if o.killed {
				points++
			}
			mu.Unlock()
			if !o.killed {
				break
			}
		}
	})
	return points, bad
}

func (h *history) logResent(t testing.TB) {
	t.Helper()
	t.Logf("%d operations were sent again; %d could not be judged any more", h.resent.Load(), h.unknown.Load())
}

// verifyAfter checks the file a writer left, that what was under way can be sent
// again, and that the file can be used.
func (h *history) verifyAfter(job writerJob, o outcome) error {
	if o.failed {
		return fmt.Errorf("the writer failed without cause after %v operations", o.acked)
	}
	return h.verifyLeft(job, o)
}

// verifyLeft is verifyAfter for a writer that may have met an error.
func (h *history) verifyLeft(job writerJob, o outcome) error {
	if o.wrong != "" {
		return fmt.Errorf("the writer: %s", o.wrong)
	}
	if !o.killed && !o.closed {
		return fmt.Errorf("the writer ended without closing the store")
	}
	if err := h.verifyFile(job.Path, o.acked); err != nil {
		return err
	}
	if err := h.resend(job, o.acked); err != nil {
		return err
	}
	return useAgain(job.Path)
}
