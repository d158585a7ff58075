//go:build linux

package durabilitytest

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"podstore/store"
	"podstore/store/boltstore"
)

// countJob is the work of a child that counts in a Pod, and reads it all the while.
type countJob struct {
	Path string
	To   int
}

const (
	countedPod = "counted"
	countField = "n"

	saySaw = "saw" // saw N: a reader was given N
)

func runCount(job countJob) {
	ctx := context.Background()
	s, err := boltstore.Open(job.Path, nil)
	if err == nil {
		err = store.Write(ctx, s, &store.Metadata{PodName: countedPod})
	}
	if err != nil {
		die("%v", err)
	}
	done := make(chan struct{})
	var wg sync.WaitGroup
	watch, _ := iter.Pull2(s.Watch(ctx, store.WatchOptions{}))
	watched := &store.Metadata{}
	// Every way of reading.
	for _, read := range []func() (*store.Metadata, error){
		func() (*store.Metadata, error) { return s.Read(ctx, countedPod) },
		func() (*store.Metadata, error) {
			return s.ReadPart(ctx, countedPod, store.ReadOptions{OmitManifest: true, OmitReclaimed: true})
		},
		func() (m *store.Metadata, err error) {
			for m, err = range s.All(ctx, store.ReadOptions{}) {
			}
			return m, err
		},
		func() (*store.Metadata, error) {
			b, err, _ := watch() // one without events comes too, so the reader ends
			for _, e := range b.Events {
				watched = e.Metadata
			}
			return watched, err
		},
		func() (*store.Metadata, error) {
			for b, err := range s.Watch(ctx, store.WatchOptions{Pods: []string{countedPod}}) {
				if err != nil || len(b.Events) > 0 {
					return b.Events[0].Metadata, err
				}
			}
			return nil, nil
		},
	} {
		wg.Go(func() {
			for last := 0; ; {
				select {
				case <-done:
					return
				default:
				}
				m, err := read()
				if err != nil {
					die("%v", err)
				}
				if n := counted(m); n > last {
					say("%s %d", saySaw, n)
					last = n
				}
			}
		})
	}
	for n := range job.To {
		if err := store.Do(ctx, s, countedPod, store.SetField{Field: countField, Value: json.RawMessage(strconv.Itoa(n + 1))}); err != nil {
			die("%v", err)
		}
		say("%s %d", sayAck, n+1)
	}
	close(done)
	wg.Wait()
	if err := s.Close(); err != nil {
		die("%v", err)
	}
}

// counted is how far a Pod has come.
func counted(m *store.Metadata) int {
	n, _ := strconv.Atoi(string(m.Extra[countField]))
	return n
}

// Readers read as fast as they can while a writer counts, and every sync takes long.
// Power is lost after each call: what a reader was given, or the writer was told, is
// there.
func TestNobodySeesWhatIsNotDurable(t *testing.T) {
	needStrace(t)
	images, saw, bad := countBadSights(t, self(t), pick(10, 40, 400))
	t.Logf("%d images, %d sights", images, saw)
	if saw < 20 {
		t.Errorf("the readers saw only %d changes, expected 20", saw)
	}
	reportBad(t, images, bad)
}

func countBadSights(t *testing.T, p program, to int) (images, saw int, bad []error) {
	t.Helper()
	root := tempDir(t)
	job := countJob{Path: filepath.Join(root, "pods.db"), To: to}
	calls, _ := record(t, p, "count", job, "-e", "inject=fdatasync:delay_enter=2000")
	r := &replay{dir: tempDir(t), perCall: 8, seed: 51}
	known := -1
	r.run(newDisk(root, nil), calls, func(c call) bool {
		if c.name != "write" || c.args[0].text != "1" {
			return false
		}
		for line := range strings.Lines(string(c.args[1].data)) {
			word, n := "", 0
			fmt.Sscan(line, &word, &n)
			known = max(known, n)
			if word == saySaw {
				saw++
			}
		}
		return true
	}, func() (string, imageCheck) {
		known := known
		return fmt.Sprint(known), func(dir string, _ bool) error {
			pods, err := readFile(filepath.Join(dir, "pods.db"))
			if err != nil {
				return err
			}
			n := -1
			if m := pods[countedPod]; m != nil {
				n = counted(m)
			}
			if n < known {
				return fmt.Errorf("%d was seen, and the power left %d", known, n)
			}
			return nil
		}
	})
	return r.images, saw, r.bad
}
