//go:build linux

package durabilitytest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"podstore/store/boltstore"
)

// Power is lost after every system call of a writer that creates a file, changes
// it in every way, alone and in groups, and lets it grow, and of a compaction, a
// salvage and a backup, and again after every call of whoever uses what that left. Of
// what was not synced then, everything is lost, or nothing, or any part of it, writes
// whole or torn into blocks of 512 bytes or 4 KiB. What was acknowledged is there, and
// of any operation all or nothing.
func TestPowerLoss(t *testing.T) {
	needStrace(t)
	total := 0
	for _, s := range []struct {
		name string
		run  func(t *testing.T) int
	}{
		{"create and change", func(t *testing.T) int {
			return powerLoss(t, workload{Seed: 3, Goroutines: 1, Ops: pick(12, 140, 800)}, pick(12, 40, 64))
		}},
		{"grow", func(t *testing.T) int {
			return powerLoss(t, workload{Seed: 4, Goroutines: 1, Ops: pick(6, 40, 120), Large: 30}, pick(8, 24, 48))
		}},
		{"in groups", func(t *testing.T) int {
			return powerLoss(t, workload{Seed: 5, Goroutines: 4, Ops: pick(4, 40, 300)}, pick(12, 40, 64))
		}},
		{"after a kill during creation", func(t *testing.T) int { return killedThenPowerLoss(t, pick(2, 16, 64)) }},
		{"compact", func(t *testing.T) int { return copyPowerLoss(t, "compact", pick(2, 40, 400)) }},
		{"salvage", func(t *testing.T) int { return copyPowerLoss(t, "salvage", pick(2, 40, 400)) }},
		{"backup", func(t *testing.T) int { return copyPowerLoss(t, "backup", pick(2, 40, 400)) }},
	}[:pick(5, 7, 7)] {
		t.Run(s.name, func(t *testing.T) {
			n := s.run(t) // the second losses included
			t.Logf("%d images", n)
			total += n
		})
	}
	t.Logf("%d images in all", total)
	if total < pick(300, 10_000, 10_000) {
		t.Errorf("only %d images", total)
	}
}

// powerLoss records a writer and checks the images of its disk.
func powerLoss(t *testing.T, w workload, perCall int) int {
	t.Helper()
	samples := newSamples(w.Seed, "pods.db")
	images, bad := countBadImages(t, self(t), writerJob{Workload: w}, perCall, samples)
	reportBad(t, images, bad)
	return images + samples.used(t, filepath.Join("made", "pods.db"))
}

func reportBad(t *testing.T, images int, bad []error) {
	t.Helper()
	for i, err := range bad {
		if i < 5 {
			t.Error(err)
		}
	}
	if len(bad) > 0 {
		t.Errorf("%d of %d images are bad", len(bad), images)
	}
}

func countBadImages(t *testing.T, p program, job writerJob, perCall int, samples *samples) (images int, bad []error) {
	t.Helper()
	root := tempDir(t)
	job.Path = filepath.Join(root, "made", "pods.db")
	if job.Unsafe == "create-in-place" {
		job.Path = filepath.Join(root, "pods.db")
	}
	calls, out := record(t, p, "writer", job)
	if o := parseOutcome(out, job.Workload.Goroutines); !o.closed || o.wrong != "" {
		t.Fatalf("the writer did not finish: %s", out)
	}
	r := &replay{dir: tempDir(t), perCall: perCall, seed: job.Workload.Seed, samples: samples}
	r.runWriter(root, job, calls)
	return r.images, r.bad
}

// runWriter replays what a writer did.
func (r *replay) runWriter(root string, job writerJob, calls []call) {
	h := job.Workload.history()
	acked := make(acks, job.Workload.Goroutines)
	var said []byte
	r.run(newDisk(root, nil), calls, func(c call) bool {
		if c.name != "write" || c.args[0].text != "1" {
			return false
		}
		said = append(said, c.args[1].data...)
		acked = parseOutcome(said, job.Workload.Goroutines).acked
		return true
	}, func() (string, imageCheck) {
		now := slices.Clone(acked)
		return fmt.Sprint(now), func(dir string, again bool) error {
			job := job
			job.Path = dir + strings.TrimPrefix(job.Path, root)
			err := h.verifyFile(job.Path, now)
			if err == nil && again {
				err = errors.Join(h.resend(job, now), useAgain(job.Path))
			}
			if err != nil {
				return fmt.Errorf("%v acknowledged: %w", now, err)
			}
			return nil
		}
	})
}

// killedThenPowerLoss kills a program that creates a file at each call that
// changes the disk, lets another one open or create the file and write, and then
// loses power: what the first one had not synced must not take the work of the
// second with it.
func killedThenPowerLoss(t *testing.T, perCall int) (images int) {
	t.Helper()
	calls := append([]string{"mkdirat", "openat"}, killed...)
	for _, syscall := range calls[:pick(3, len(calls), len(calls))] {
		for n := 1; ; n += pick(9, 1, 1) {
			root := tempDir(t)
			job := writerJob{Path: filepath.Join(root, "made", "pods.db"), Workload: workload{Seed: 7, Goroutines: 1}}
			first, out := record(t, self(t), "writer", job, "-e", fmt.Sprintf("inject=%s:signal=KILL:when=%d", syscall, n))
			if parseOutcome(out, 1).closed {
				break
			}
			job.Workload.Ops = 3
			second, _ := record(t, self(t), "writer", job)
			r := &replay{dir: tempDir(t), perCall: perCall, seed: uint64(n)}
			r.runWriter(root, job, append(first, second...))
			if len(r.bad) > 0 {
				t.Errorf("killed at %s %d: %d of %d images are bad, as: %v", syscall, n, len(r.bad), r.images, r.bad[0])
			}
			images += r.images
		}
	}
	return images
}

// replay makes images of a disk and checks them.
type replay struct {
	dir     string // where images are put, each in a directory of its own
	perCall int    // images after each call that leaves something unsynced
	seed    uint64

	mu     sync.Mutex
	images int
	bad    []error
	seen   map[uint64]bool

	samples *samples // of the images, or nil
}

// image is one to be checked.
type image struct {
	files map[string][]byte
	check imageCheck
	what  string
}

// imageCheck checks what is below a directory. again says that the database is to be
// used, too.
type imageCheck func(dir string, again bool) error

// run does the calls one after another. told is asked about calls that say
// something to the parent; expect returns what has to hold at that moment, as a
// key by which equal images are told apart, and as a check of a directory.
func (r *replay) run(d *disk, calls []call, told func(call) bool, expect func() (string, imageCheck)) {
	r.seen = map[uint64]bool{}
	work := make(chan image)
	var wg sync.WaitGroup
	for range parallel {
		wg.Go(func() {
			for im := range work {
				r.check(im)
			}
		})
	}
	for i, c := range calls {
		if !told(c) && !d.do(c) {
			continue
		}
		key, check := expect()
		for j, files := range r.imagesOf(d, i) {
			if r.isNew(key, files) {
				if r.samples != nil {
					r.samples.add(files)
				}
				work <- image{files, check, fmt.Sprintf("after call %d (%s), image %d", i, c.name, j)}
			}
		}
	}
	close(work)
	wg.Wait()
}

// imagesOf yields what may be on the disk now: all or nothing of what is not
// synced, and random parts of it.
func (r *replay) imagesOf(d *disk, i int) func(yield func(int, map[string][]byte) bool) {
	return func(yield func(int, map[string][]byte) bool) {
		rnd := rand.New(rand.NewPCG(r.seed, uint64(i)))
		losses := []loss{{rnd, 1, 0}}
		if d.unsynced() > 0 {
			losses = append(losses, loss{rnd, 0, 0})
			for k := 0; len(losses) < r.perCall; k++ {
				losses = append(losses, loss{rnd, []float64{0.5, 0.8, 0.2}[k/3%3], []int{0, 512, 4096}[k%3]})
			}
		}
		for j, l := range losses {
			if !yield(j, d.image(l)) {
				return
			}
		}
	}
}

var hashSeed = maphash.MakeSeed()

// isNew is false for an image that was checked before, against the same
// expectation.
func (r *replay) isNew(key string, files map[string][]byte) bool {
	var h maphash.Hash
	h.SetSeed(hashSeed)
	h.WriteString(key)
	for _, path := range slices.Sorted(maps.Keys(files)) {
		h.WriteString(path)
		h.Write(files[path])
	}
	sum := h.Sum64()
	if r.seen[sum] {
		return false
	}
	r.seen[sum] = true
	return true
}

// check writes an image to files of its own and checks it.
func (r *replay) check(im image) {
	r.mu.Lock()
	r.images++
	dir := numbered(r.dir, "image", r.images)
	again := r.images%40 == 0
	r.mu.Unlock()
	defer os.RemoveAll(dir)
	err := im.put(dir)
	if err == nil {
		err = im.check(dir, again)
	}
	if err != nil {
		r.mu.Lock()
		r.bad = append(r.bad, fmt.Errorf("%s: %w", im.what, err))
		r.mu.Unlock()
	}
}

// put writes the files below dir. The root of the recorded paths is two levels
// deep at most.
func (im image) put(dir string) error {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	for path, content := range im.files {
		to := filepath.Join(dir, relative(path))
		if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(to, content, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// relative is a recorded path below the directory of its recording, which is the
// last one that has a random name.
func relative(path string) string {
	i := strings.LastIndex(path, tempPrefix)
	_, rest, _ := strings.Cut(path[i:], "/")
	return rest
}

// copyJob is the work of a child that makes a new database from another one.
type copyJob struct{ How, Src, Dst string }

func runCopy(job copyJob) {
	ctx := context.Background()
	var err error
	switch job.How {
	case "compact":
		err = boltstore.Compact(ctx, job.Src, job.Dst, nil)
	case "salvage":
		_, err = boltstore.Salvage(ctx, job.Src, job.Dst, nil, func(boltstore.Salvaged) {})
	case "backup":
		var s *boltstore.Store
		if s, err = boltstore.Open(job.Src, &boltstore.Options{ReadOnly: true}); err == nil {
			_, err = s.Backup(ctx, job.Dst)
			err = errors.Join(err, s.Close())
		}
	}
	if err != nil {
		die("%v", err)
	}
	say(sayAck + " 0 0")
}

// copyPowerLoss loses power during a compaction, salvage or backup: the source is
// whole at any moment, and the copy there and whole, or not there.
func copyPowerLoss(t *testing.T, how string, perCall int) int {
	t.Helper()
	root := tempDir(t)
	job := copyJob{How: how, Src: filepath.Join(root, "pods.db"), Dst: filepath.Join(root, "copy.db")}
	w := workload{Seed: 6, Goroutines: 3, Ops: 60, Large: 3}
	h := w.history()
	writer := writerJob{Workload: w, Path: job.Src}
	o := finish(t, self(t).command(t, "writer", writer), w.Goroutines)
	if err := h.verifyAfter(writer, o); err != nil {
		t.Fatal(err)
	}
	src, err := os.ReadFile(job.Src)
	if err != nil {
		t.Fatal(err)
	}
	calls, _ := record(t, self(t), "copy", job)
	want, err := readFile(job.Src)
	if err != nil {
		t.Fatal(err)
	}
	r := &replay{dir: tempDir(t), perCall: perCall, seed: w.Seed, samples: newSamples(w.Seed, "copy.db")}
	done := false
	r.run(newDisk(root, map[string][]byte{job.Src: src}), calls, func(c call) bool {
		told := c.name == "write" && c.args[0].text == "1"
		done = done || told
		return told
	}, func() (string, imageCheck) {
		done := done
		return fmt.Sprint(done), func(dir string, again bool) error {
			if now, err := os.ReadFile(filepath.Join(dir, "pods.db")); err != nil || !bytes.Equal(now, src) {
				return fmt.Errorf("the source changed (%v)", err)
			}
			dst := filepath.Join(dir, "copy.db")
			if _, err := os.Lstat(dst); errors.Is(err, fs.ErrNotExist) && !done {
				return nil
			}
			err := h.verifyFile(dst, o.acked)
			if err == nil && again {
				err = useAgain(dst)
			}
			return err
		}
	})
	if !done {
		t.Error("it did not come to its end")
	}
	reportBad(t, r.images, r.bad)
	return r.images + r.samples.copied(t, job, want)
}
