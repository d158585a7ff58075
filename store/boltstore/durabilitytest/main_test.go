//go:build linux

package durabilitytest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// The test binary is also the program under test: with roleEnv set it does what
// its role says with the job in jobEnv, and no tests.
const (
	roleEnv = "PODSTORE_DURABILITY_ROLE"
	jobEnv  = "PODSTORE_DURABILITY_JOB"
)

var roles = map[string]func(job []byte){
	"writer":   func(b []byte) { runWriter(decodeJob[writerJob](b)) },
	"count":    func(b []byte) { runCount(decodeJob[countJob](b)) },
	"upgrade":  func(b []byte) { runUpgrade(decodeJob[upgradeJob](b)) },
	"recover":  func(b []byte) { runRecover(decodeJob[recoverJob](b)) },
	"copy":     func(b []byte) { runCopy(decodeJob[copyJob](b)) },
	"import":   func(b []byte) { runImport(decodeJob[importJob](b)) },
	"examiner": func(b []byte) { runExaminer(decodeJob[examinerJob](b)) },
}

func TestMain(m *testing.M) {
	if role := os.Getenv(roleEnv); role != "" {
		roles[role]([]byte(os.Getenv(jobEnv)))
		os.Exit(0)
	}
	if raceDetector {
		fmt.Println("skipped under the race detector: what is tested here are processes that die")
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func decodeJob[T any](b []byte) T {
	var job T
	if err := json.Unmarshal(b, &job); err != nil {
		die("job: %v", err)
	}
	return job
}

// die ends a child that cannot do its job; the parent fails the test.
func die(format string, args ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", args...)
	os.Exit(3)
}

// program is a build of this test binary, and the mutant it is to be.
type program struct {
	path   string
	mutant string
}

// self is the program without a mutant.
func self(t testing.TB) program {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return program{path: path}
}

// command runs a role, wrapped in what the arguments before it say, such as
// strace.
func (p program) command(t testing.TB, role string, job any, wrap ...string) *exec.Cmd {
	t.Helper()
	b, err := json.Marshal(job)
	if err != nil {
		t.Fatal(err)
	}
	args := append(wrap, p.path)
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), roleEnv+"="+role, jobEnv+"="+string(b), "PODSTORE_MUTANT="+p.mutant)
	cmd.Stderr = &bytes.Buffer{}
	return cmd
}

// inject is the strace that does something at the n-th call of a system call.
func inject(syscall, what string, n int) []string {
	args := []string{"strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=" + syscall, "-e", fmt.Sprintf("inject=%s:%s:when=%d", syscall, what, n)}
	if !strings.HasPrefix(what, "signal") {
		args = append(args, "--seccomp-bpf") // faster, but it would ignore an injected signal
	}
	return args
}

func needStrace(t testing.TB) {
	t.Helper()
	if _, err := exec.LookPath("strace"); err != nil {
		t.Skip("needs strace")
	}
	if out, err := exec.Command("strace", "-o", "/dev/null", "true").CombinedOutput(); err != nil {
		t.Skipf("strace may not trace here: %s", out)
	}
}

func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
}

// long says whether the runs are to reach their full length.
func long() bool { return os.Getenv("PODSTORE_LONG") != "" }

// pick is for counts that differ between -short, the usual run and the long one.
func pick(few, usual, full int) int {
	switch {
	case long():
		return full
	case testing.Short():
		return few
	}
	return usual
}

// tempPrefix starts the names of temporary directories.
const tempPrefix = "podstore-durability-"

// tempDir is a fresh directory in memory where there is one: nothing here
// depends on a real disk, but for the tests that make one.
func tempDir(t testing.TB) string {
	t.Helper()
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		dir, err := os.MkdirTemp("/dev/shm", tempPrefix)
		if err == nil {
			t.Cleanup(func() { os.RemoveAll(dir) })
			return dir
		}
	}
	dir, err := os.MkdirTemp("", tempPrefix)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// parallel is how many children run at a time.
const parallel = 2

// each calls f for every item, a few at a time, and returns when all are done.
func each[T any](items []T, f func(i int, item T)) {
	work := make(chan int)
	var wg sync.WaitGroup
	for range parallel {
		wg.Go(func() {
			for i := range work {
				f(i, items[i])
			}
		})
	}
	for i := range items {
		work <- i
	}
	close(work)
	wg.Wait()
}

// copyFile copies a file to a new name.
func copyFile(t testing.TB, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// numbered is a path that no other item uses.
func numbered(dir, prefix string, i int) string {
	return filepath.Join(dir, fmt.Sprintf("%s-%06d", prefix, i))
}
