//go:build linux

package durabilitytest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"podstore/store"
	"podstore/store/boltstore"
)

// Power is lost a second time, while a program uses what the first loss left: it opens
// the database, creates it where there is none, or makes the copy again that is not
// there.

// recoverJob is the work of a child that uses a database after a loss of power.
type recoverJob struct{ Path string }

const recoverySteps = 3

func runRecover(job recoverJob) {
	s, err := boltstore.Open(job.Path, nil)
	if err != nil {
		die("%v", err)
	}
	for i := range recoverySteps {
		if err := recoveryStep(s, i); err != nil {
			die("%v", err)
		}
		say("%s 0 0", sayAck)
	}
	if err := s.Close(); err != nil {
		die("%v", err)
	}
}

// recoveryStep is what is done first after a loss of power.
func recoveryStep(s store.MetadataStore, i int) error {
	mark := store.ReclaimedChild{PodName: fmt.Sprint("step-", i)}
	return store.Do(context.Background(), s, "recovered", store.Reclaim{Reclaimed: []store.ReclaimedChild{mark}})
}

// samples are images of a first loss, taken at random: some in which a file is there,
// and some in which it is not.
type samples struct {
	rand   *rand.Rand
	file   string // its name
	size   int    // of each kind
	images [2][]map[string][]byte
	seen   [2]int
}

func newSamples(seed uint64, file string) *samples {
	return &samples{rand: rand.New(rand.NewPCG(seed, 99)), file: file, size: pick(1, 2, 20)}
}

const absent, present = 0, 1

func (s *samples) add(files map[string][]byte) {
	kind := absent
	for path := range files {
		if filepath.Base(path) == s.file {
			kind = present
		}
	}
	s.seen[kind]++
	if len(s.images[kind]) < s.size {
		s.images[kind] = append(s.images[kind], files)
	} else if i := s.rand.IntN(s.seen[kind]); i < s.size {
		s.images[kind][i] = files
	}
}

// placed is an image in a directory of its own.
func placed(t *testing.T, files map[string][]byte) (root string, disk *disk) {
	t.Helper()
	root = filepath.Join(tempDir(t), "disk")
	if err := (image{files: files}).put(root); err != nil {
		t.Fatal(err)
	}
	here := map[string][]byte{}
	for path, content := range files {
		here[filepath.Join(root, relative(path))] = content
	}
	return root, newDisk(root, here)
}

// used loses power while a database below an image is used, and checks that what the
// first loss left, and what was done since, is there. It returns the number of images.
func (s *samples) used(t *testing.T, path string) int {
	t.Helper()
	images, bad := s.countBad(t, self(t), path)
	reportBad(t, images, bad)
	t.Logf("%d images of a second loss", images)
	return images
}

func (s *samples) countBad(t *testing.T, p program, path string) (images int, bad []error) {
	t.Helper()
	for i, files := range slices.Concat(s.images[:]...) {
		root, disk := placed(t, files)
		job := recoverJob{Path: filepath.Join(root, path)}
		before, err := readFile(job.Path)
		if err != nil {
			t.Fatal(err)
		}
		states := []model{before}
		for step := range recoverySteps {
			next := maps.Clone(states[step])
			if next == nil {
				next = model{}
			}
			if err := recoveryStep(next, step); err != nil {
				t.Fatal(err)
			}
			states = append(states, next)
		}
		calls, _ := record(t, p, "recover", job)
		r := &replay{dir: tempDir(t), perCall: pick(2, 8, 30), seed: uint64(i)}
		acked := 0
		r.run(disk, calls, func(c call) bool {
			told := c.name == "write" && c.args[0].text == "1"
			if told {
				acked += bytes.Count(c.args[1].data, []byte("\n"))
			}
			return told
		}, func() (string, imageCheck) {
			acked := acked
			return fmt.Sprint(acked), func(dir string, again bool) error {
				path := dir + strings.TrimPrefix(job.Path, filepath.Dir(root))
				pods, err := readFile(path)
				if err != nil {
					return err
				}
				why := differ(states[acked], pods)
				if why != "" && acked < recoverySteps {
					if why2 := differ(states[acked+1], pods); why2 != "" {
						why += "; nor with the next one: " + why2
					} else {
						why = ""
					}
				}
				switch {
				case why != "":
					return fmt.Errorf("%d steps acknowledged: %s", acked, why)
				case again:
					return useAgain(path)
				}
				return nil
			}
		})
		if acked != recoverySteps {
			t.Errorf("it came to step %d", acked)
		}
		images, bad = images+r.images, append(bad, r.bad...)
	}
	return images, bad
}

// copied loses power while a copy is made again that the first loss took away, and
// uses it where it did not. want is what the source holds.
func (s *samples) copied(t *testing.T, job copyJob, want model) (images int) {
	t.Helper()
	for i, files := range s.images[absent] {
		root, disk := placed(t, files)
		again := copyJob{How: job.How, Src: filepath.Join(root, "pods.db"), Dst: filepath.Join(root, "copy.db")}
		calls, _ := record(t, self(t), "copy", again)
		r := &replay{dir: tempDir(t), perCall: pick(2, 8, 60), seed: uint64(i)}
		done := false
		r.run(disk, calls, func(c call) bool {
			told := c.name == "write" && c.args[0].text == "1"
			done = done || told
			return told
		}, func() (string, imageCheck) {
			done := done
			return fmt.Sprint(done), func(dir string, _ bool) error {
				if src, err := os.ReadFile(filepath.Join(dir, "disk", "pods.db")); err != nil || !bytes.Equal(src, files[job.Src]) {
					return fmt.Errorf("the source changed (%v)", err)
				}
				dst := filepath.Join(dir, "disk", "copy.db")
				if _, err := os.Lstat(dst); errors.Is(err, fs.ErrNotExist) && !done {
					return nil
				}
				pods, err := readFile(dst)
				if err == nil {
					if why := differ(want, pods); why != "" {
						err = errors.New(why)
					}
				}
				return err
			}
		})
		if !done {
			t.Error("it did not come to its end")
		}
		reportBad(t, r.images, r.bad)
		images += r.images
	}
	t.Logf("%d images of a second loss while it is made again", images)
	s.images[absent] = nil
	return images + s.used(t, "copy.db")
}
