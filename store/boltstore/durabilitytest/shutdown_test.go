//go:build linux

package durabilitytest

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// A real ext4 is shut down under a writer, without writing its journal out, and
// mounted again: what was acknowledged is there.
func TestFileSystemShutdown(t *testing.T) {
	n := pick(5, 30, 200)
	for _, err := range shutdowns(t, self(t), n) {
		t.Error(err)
	}
	t.Logf("%d shutdowns", n)
}

// shutdowns makes an ext4 in a file and shuts it down n times, each time under a
// new database, after ever more operations, and returns what was wrong afterwards.
func shutdowns(t *testing.T, p program, n int) (bad []error) {
	t.Helper()
	needRoot(t)
	dir := tempDir(t)
	img, mnt := filepath.Join(dir, "ext4"), filepath.Join(dir, "mnt")
	if err := errors.Join(os.WriteFile(img, nil, 0o600), os.Truncate(img, 96<<20), os.Mkdir(mnt, 0o700)); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mkfs.ext4", "-q", img).CombinedOutput(); err != nil {
		t.Skipf("mkfs.ext4 does not work here: %v %s", err, out)
	}
	mount := func() error {
		if out, err := exec.Command("mount", "-o", "loop", img, mnt).CombinedOutput(); err != nil {
			return fmt.Errorf("mount: %v %s", err, out)
		}
		return nil
	}
	umount := func() error {
		if out, err := exec.Command("umount", mnt).CombinedOutput(); err != nil {
			return fmt.Errorf("umount: %v %s", err, out)
		}
		return nil
	}
	if err := mount(); err != nil {
		t.Skipf("%v does not work here", err)
	}
	t.Cleanup(func() { umount() })
	for i := range n {
		w := workload{Seed: uint64(100 + i), Goroutines: 1 + i%4, Ops: 100_000, Large: 2}
		job := writerJob{Workload: w, Path: filepath.Join(mnt, fmt.Sprint("made-", i), "pods.db")}
		o, err := writeUntil(p.command(t, "writer", job), w.Goroutines, i*i/2, func() error { return shutdown(mnt) })
		if err == nil {
			err = errors.Join(umount(), mount())
		}
		if err != nil {
			t.Fatal(err)
		}
		job.Workload.Ops = maxOf(o.acked) + 1
		if err := job.Workload.history().verifyLeft(job, o); err != nil {
			bad = append(bad, fmt.Errorf("shutdown %d: %w", i, err))
		}
		if err := os.RemoveAll(filepath.Dir(job.Path)); err != nil {
			t.Fatal(err)
		}
	}
	return bad
}

func maxOf(a acks) (n int) {
	for _, numbers := range a {
		n = max(n, len(numbers))
	}
	return n
}

// writeUntil runs a writer and pulls the plug after some acknowledgements.
func writeUntil(cmd *exec.Cmd, goroutines, after int, plug func() error) (outcome, error) {
	pipe, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return outcome{}, err
	}
	var said bytes.Buffer
	lines := bufio.NewScanner(pipe)
	pulled := make(chan error, 1)
	if after == 0 {
		pulled <- plug()
	}
	for n := 1; lines.Scan(); n++ {
		said.Write(append(lines.Bytes(), '\n'))
		if n == after { // every line is an acknowledgement, as long as all is well
			// The writer goes on meanwhile.
			go func() { pulled <- plug() }()
		}
	}
	waitErr := cmd.Wait()
	o := parseOutcome(said.Bytes(), goroutines)
	if waitErr != nil {
		return o, fmt.Errorf("the writer: %w: %s", waitErr, cmd.Stderr)
	}
	if o.acked.sum() < after {
		return o, fmt.Errorf("the writer ended by itself: %s", said.Bytes())
	}
	return o, <-pulled
}

// shutdown makes a file system take nothing any more, as a loss of power does.
func shutdown(mnt string) error {
	f, err := os.Open(mnt)
	if err != nil {
		return err
	}
	defer f.Close()
	const ioctlShutdown, noLogFlush = 0x8004587d, 2
	return unix.IoctlSetPointerInt(int(f.Fd()), ioctlShutdown, noLogFlush)
}
