//go:build linux

package durabilitytest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"podstore/store"
	"podstore/store/boltstore"
	"podstore/store/jsonexport"
)

// importJob is the work of a child that imports.
type importJob struct {
	DB, Dir string
	Strict  bool
}

func runImport(job importJob) {
	s, err := boltstore.Open(job.DB, nil)
	if err != nil {
		die("%v", err)
	}
	report, err := jsonexport.Import(context.Background(), s, job.Dir, jsonexport.ImportOptions{Strict: job.Strict})
	if err = errors.Join(err, s.Close()); err != nil {
		die("%v", err)
	}
	if n := report.Counts[jsonexport.Refused] + report.Counts[jsonexport.Conflict]; n > 0 {
		die("%d Pods were not imported", n)
	}
}

// somePods are Pods of every size, by name.
func somePods(n int, seed uint64) model {
	r := &values{rand.New(rand.NewPCG(seed, 0)), 0}
	pods := model{}
	for i := range n {
		m := &store.Metadata{PodName: fmt.Sprintf("pod %04d", i), Active: r.active(), Manifest: text(r, r.IntN(60))}
		if i%50 == 0 {
			m = r.metadata(m.PodName)
		}
		if err := m.Normalize(); err != nil {
			panic(err)
		}
		pods[m.PodName] = m
	}
	return pods
}

// writeTree writes Pods as directories.
func writeTree(t testing.TB, root string, pods model) {
	t.Helper()
	d, err := jsonexport.OpenDir(root, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range pods {
		if err := store.Write(context.Background(), d, m); err != nil {
			t.Fatal(err)
		}
	}
}

// An import is killed at every system call that changes the disk. What it leaves
// is whole, and running it again leads to what one clean run makes.
func TestImportKilled(t *testing.T) {
	needStrace(t)
	// More than one transaction has.
	pods := somePods(1030, 41)
	src := filepath.Join(tempDir(t), "tree")
	writeTree(t, src, pods)
	for _, strict := range []bool{false, true} {
		step, most := pick(9, 1, 1), pick(9, 1<<20, 1<<20)
		if strict {
			step, most = pick(1, 2, 1), pick(1, 1<<20, 1<<20)
		}
		base := tempDir(t)
		points := 0
		var mu sync.Mutex
		each(killed, func(_ int, name string) {
			for n := 1; n <= most; n += step {
				job := importJob{DB: filepath.Join(base, fmt.Sprint(name, n), "pods.db"), Dir: src, Strict: strict}
				died, err := killedImport(t, job, name, n, pods)
				if err != nil {
					t.Errorf("strict %v, killed at %s %d: %v", strict, name, n, err)
				}
				os.RemoveAll(filepath.Dir(job.DB))
				if !died {
					return
				}
				mu.Lock()
				points++
				mu.Unlock()
			}
		})
		t.Logf("strict %v: %d points of kill", strict, points)
		if points < pick(3, 20, 20) {
			t.Errorf("only %d points of kill", points)
		}
	}
}

// killedImport runs an import that is killed, looks at what it left, and runs it
// again.
func killedImport(t *testing.T, job importJob, syscallName string, n int, pods model) (died bool, _ error) {
	err := self(t).command(t, "import", job, inject(syscallName, "signal=KILL", n)...).Run()
	var exit *exec.ExitError
	died = errors.As(err, &exit) && exit.ProcessState.Sys().(syscall.WaitStatus).Signaled()
	if err != nil && !died {
		return died, err
	}
	part, err := readFile(job.DB)
	if err != nil {
		return died, err
	}
	for name, m := range part {
		if why := m.Diff(pods[name]); why != "" {
			return died, fmt.Errorf("%q is wrong in %s", name, why)
		}
	}
	if job.Strict && len(part) > 0 && len(part) < len(pods) {
		return died, fmt.Errorf("a strict import left %d of %d Pods", len(part), len(pods))
	}
	again := self(t).command(t, "import", job)
	if err := again.Run(); err != nil {
		return died, fmt.Errorf("again: %w: %s", err, again.Stderr)
	}
	all, err := readFile(job.DB)
	if err != nil {
		return died, err
	}
	if why := differ(pods, all); why != "" {
		return died, errors.New("after running again: " + why)
	}
	return died, nil
}
