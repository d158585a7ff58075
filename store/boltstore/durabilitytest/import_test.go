//go:build linux

package durabilitytest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
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

// importJob is the work of a child that imports or exports.
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

func runExport(job importJob) {
	s, err := boltstore.Open(job.DB, &boltstore.Options{ReadOnly: true})
	if err != nil {
		die("%v", err)
	}
	report, err := jsonexport.Export(context.Background(), s, job.Dir, jsonexport.ExportOptions{Prune: true})
	if err = errors.Join(err, s.Close()); err != nil {
		die("%v", err)
	}
	if n := report.Counts[jsonexport.Refused] + report.Counts[jsonexport.Damaged]; n > 0 {
		die("%d Pods were not exported", n)
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
		if err := d.Write(context.Background(), m); err != nil {
			t.Fatal(err)
		}
	}
}

// killEach runs a child killed at each call of each system call, in a directory
// of its own, and has check look at what it leaves. It returns at how many calls
// one was killed.
func killEach(t *testing.T, syscalls []string, step int, start func(dir string) (*exec.Cmd, func(wrap ...string) *exec.Cmd), check func(dir string, again *exec.Cmd) error) (points int) {
	t.Helper()
	base := tempDir(t)
	var mu sync.Mutex
	each(syscalls, func(_ int, name string) {
		for n := 1; ; n += step {
			dir := filepath.Join(base, fmt.Sprint(name, n))
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Error(err)
				return
			}
			again, wrapped := start(dir)
			err := wrapped(inject(name, "signal=KILL", n)...).Run()
			var exit *exec.ExitError
			killed := errors.As(err, &exit) && exit.ProcessState.Sys().(syscall.WaitStatus).Signaled()
			if err != nil && !killed {
				t.Errorf("%s %d: %v", name, n, err)
			}
			if err := check(dir, again); err != nil {
				t.Errorf("killed at %s %d: %v", name, n, err)
			}
			os.RemoveAll(dir)
			if !killed {
				return
			}
			mu.Lock()
			points++
			mu.Unlock()
		}
	})
	return points
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
		step := 1
		if strict {
			step = pick(2, 1)
		}
		points := killEach(t, killed, step, func(dir string) (*exec.Cmd, func(...string) *exec.Cmd) {
			job := importJob{DB: filepath.Join(dir, "pods.db"), Dir: src, Strict: strict}
			return self(t).command(t, "import", job), func(wrap ...string) *exec.Cmd { return self(t).command(t, "import", job, wrap...) }
		}, func(dir string, again *exec.Cmd) error {
			path := filepath.Join(dir, "pods.db")
			part, err := readFile(path)
			if err != nil {
				return err
			}
			for name, m := range part {
				if why := m.Diff(pods[name]); why != "" {
					return fmt.Errorf("%q is wrong in %s", name, why)
				}
			}
			if strict && len(part) > 0 && len(part) < len(pods) {
				return fmt.Errorf("a strict import left %d of %d Pods", len(part), len(pods))
			}
			if err := again.Run(); err != nil {
				return fmt.Errorf("again: %w: %s", err, again.Stderr)
			}
			all, err := readFile(path)
			if err != nil {
				return err
			}
			if why := differ(pods, all); why != "" {
				return errors.New("after running again: " + why)
			}
			return nil
		})
		t.Logf("strict %v: %d points of kill", strict, points)
		if points < 20 {
			t.Errorf("only %d points of kill", points)
		}
	}
}

// readFile reads a database whole, or nothing where there is none.
func readFile(path string) (model, error) {
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	s, err := boltstore.Open(path, &boltstore.Options{ReadOnly: true, FullCheck: true})
	if err != nil {
		return nil, err
	}
	pods, err := readAll(s)
	return pods, errors.Join(err, s.Close())
}

// An export over an older one is killed at every system call that changes the
// disk. Each metadata.json is the old one or the new one, whole, and running it
// again leads to the directory that one clean run makes.
func TestExportKilled(t *testing.T) {
	needStrace(t)
	for _, n := range []int{20, 50} { // few are synced one by one, many together
		pods, older := somePods(n, 42), somePods(n+5, 43)
		for name := range older {
			if len(older)%2 == int(name[len(name)-1])%2 {
				delete(older, name)
			}
		}
		base := tempDir(t)
		db := filepath.Join(base, "pods.db")
		s, err := boltstore.Open(db, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range pods {
			if err := s.Write(context.Background(), m); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		clean := filepath.Join(base, "clean")
		if out, err := self(t).command(t, "export", importJob{DB: db, Dir: clean}).Output(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		want := readTree(t, clean)
		syscalls := []string{"write", "renameat", "fsync", "fdatasync", "syncfs", "mkdirat", "unlinkat"}
		points := killEach(t, syscalls, pick(2, 1), func(dir string) (*exec.Cmd, func(...string) *exec.Cmd) {
			job := importJob{DB: db, Dir: filepath.Join(dir, "tree")}
			writeTree(t, job.Dir, older)
			return self(t).command(t, "export", job), func(wrap ...string) *exec.Cmd { return self(t).command(t, "export", job, wrap...) }
		}, func(dir string, again *exec.Cmd) error {
			if err := checkTree(filepath.Join(dir, "tree"), pods, older); err != nil {
				return err
			}
			if err := again.Run(); err != nil {
				return fmt.Errorf("again: %w: %s", err, again.Stderr)
			}
			got := readTree(t, filepath.Join(dir, "tree"))
			for path := range want {
				if got[path] != want[path] {
					return fmt.Errorf("after running again %s is not as in a clean run", path)
				}
			}
			for path := range got {
				if _, ok := want[path]; !ok {
					return fmt.Errorf("after running again there is %s, which a clean run does not make", path)
				}
			}
			return nil
		})
		t.Logf("%d Pods: %d points of kill", n, points)
		if points < 20 {
			t.Errorf("only %d points of kill", points)
		}
	}
}

// checkTree checks that each Pod of a directory is one of two versions, whole.
func checkTree(root string, newer, older model) error {
	d, err := jsonexport.OpenDir(root, &jsonexport.DirOptions{ReadOnly: true})
	if err != nil {
		return err
	}
	names, err := d.List(context.Background())
	if err != nil {
		return err
	}
	there := map[string]bool{}
	for _, name := range names {
		there[name] = true
		m, err := d.Read(context.Background(), name)
		if err != nil {
			return err
		}
		if !(newer[name] != nil && newer[name].Diff(m) == "" || older[name] != nil && older[name].Diff(m) == "") {
			return fmt.Errorf("%q is neither the old nor the new one", name)
		}
	}
	for name := range older {
		if !there[name] && newer[name] != nil {
			return fmt.Errorf("%q is gone", name)
		}
	}
	return nil
}

// readTree reads every file below a directory.
func readTree(t testing.TB, root string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		rel, _ := filepath.Rel(root, path)
		files[rel] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}
