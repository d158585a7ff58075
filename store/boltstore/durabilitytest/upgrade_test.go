//go:build linux

package durabilitytest

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"podstore/store"
	"podstore/store/boltstore"
)

// upgradeJob is the work of a child that makes the first change of a file of format 1.
type upgradeJob struct {
	Path   string
	Change string
}

// upgrades are first changes. The Pod "long" has a history of 2,000 entries, which in
// format 1 is a value.
var upgrades = map[string]func(s store.MetadataStore) error{
	"a small Pod": func(s store.MetadataStore) error {
		return store.Do(context.Background(), s, "empty", store.AddPeer{PodName: "p"})
	},
	"a long history": func(s store.MetadataStore) error {
		return store.Do(context.Background(), s, "long", store.Reclaim{Reclaimed: past(2)})
	},
	"a deletion": func(s store.MetadataStore) error {
		return store.Do(context.Background(), s, "long", store.Delete{})
	},
	"several Pods": func(s store.MetadataStore) error {
		return store.LinkPeers(context.Background(), s, "pod-007", "pod-100")
	},
}

func runUpgrade(job upgradeJob) {
	s, err := boltstore.Open(job.Path, &boltstore.Options{MustExist: true})
	if err != nil {
		die("%v", err)
	}
	if err := upgrades[job.Change](s); err != nil {
		die("%v", err)
	}
	say("%s 0 0", sayAck)
	if err := s.Close(); err != nil {
		die("%v", err)
	}
}

// upgraded is what a file of format 1 holds before and after its first change.
type upgraded struct {
	change        string
	before, after model
}

// format1 is the large file of format 1.
func format1(t testing.TB) []byte {
	t.Helper()
	f, err := os.Open(filepath.Join("..", "testdata", "format-1-large.db.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	var content []byte
	if err == nil {
		content, err = io.ReadAll(z)
	}
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// eachUpgrade calls f for every first change.
func eachUpgrade(t *testing.T, f func(t *testing.T, u upgraded, file []byte)) {
	file := format1(t)
	path := filepath.Join(tempDir(t), "pods.db")
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	before, err := readFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for change, make := range upgrades {
		t.Run(change, func(t *testing.T) {
			u := upgraded{change, before, maps.Clone(before)}
			if err := make(u.after); err != nil {
				t.Fatal(err)
			}
			f(t, u, file)
		})
	}
}

// verify checks that a file holds what it did before the change, or after it, and with
// again, that the change can be made then.
func (u upgraded) verify(path string, acked, again bool) error {
	pods, err := readFile(path)
	if err != nil {
		return err
	}
	if why := differ(u.after, pods); why != "" {
		if why2 := differ(u.before, pods); acked || why2 != "" {
			return fmt.Errorf("acknowledged %v: %s; nor is it as before: %s", acked, why, why2)
		}
	}
	if !again {
		return nil
	}
	s, err := boltstore.Open(path, nil)
	if err != nil {
		return err
	}
	if differ(u.before, pods) == "" {
		err = upgrades[u.change](s)
	}
	if err := errors.Join(err, s.Close()); err != nil {
		return err
	}
	if pods, err = readFile(path); err != nil {
		return err
	}
	if why := differ(u.after, pods); why != "" {
		return errors.New("made again: " + why)
	}
	return nil
}

// The first change of a file of format 1 is killed at every system call.
func TestUpgradeKilled(t *testing.T) {
	needStrace(t)
	points := 0
	var mu sync.Mutex
	eachUpgrade(t, func(t *testing.T, u upgraded, file []byte) {
		dir := tempDir(t)
		each(killed[:pick(2, len(killed), len(killed))], func(_ int, name string) {
			for n := 1; ; n += pick(5, 1, 1) {
				here := filepath.Join(dir, fmt.Sprint(name, n))
				job := upgradeJob{Path: filepath.Join(here, "pods.db"), Change: u.change}
				if err := errors.Join(os.Mkdir(here, 0o700), os.WriteFile(job.Path, file, 0o600)); err != nil {
					t.Error(err)
					return
				}
				out, err := self(t).command(t, "upgrade", job, inject(name, "signal=KILL", n)...).Output()
				var exit *exec.ExitError
				died := errors.As(err, &exit) && exit.ProcessState.Sys().(syscall.WaitStatus).Signaled()
				if err != nil && !died {
					t.Errorf("%v: %s", err, exit.Stderr)
					return
				}
				if err := u.verify(job.Path, len(out) > 0, true); err != nil {
					t.Errorf("killed at %s %d: %v", name, n, err)
				}
				os.RemoveAll(here)
				if !died {
					return
				}
				mu.Lock()
				points++
				mu.Unlock()
			}
		})
	})
	t.Logf("%d points of kill", points)
	if points < pick(6, 20, 20) {
		t.Errorf("only %d points of kill", points)
	}
}

// Power is lost after each call of the first change, and again after each of the next
// program's.
func TestUpgradePowerLoss(t *testing.T) {
	needStrace(t)
	total := 0
	eachUpgrade(t, func(t *testing.T, u upgraded, file []byte) {
		root := tempDir(t)
		job := upgradeJob{Path: filepath.Join(root, "pods.db"), Change: u.change}
		if err := os.WriteFile(job.Path, file, 0o600); err != nil {
			t.Fatal(err)
		}
		calls, _ := record(t, self(t), "upgrade", job)
		r := &replay{dir: tempDir(t), perCall: pick(2, 20, 200), seed: 61, samples: newSamples(61, "pods.db")}
		acked := false
		r.run(newDisk(root, map[string][]byte{job.Path: file}), calls, func(c call) bool {
			told := c.name == "write" && c.args[0].text == "1"
			acked = acked || told
			return told
		}, func() (string, imageCheck) {
			acked := acked
			return fmt.Sprint(acked), func(dir string, again bool) error {
				return u.verify(filepath.Join(dir, "pods.db"), acked, again)
			}
		})
		if !acked {
			t.Error("it did not come to its end")
		}
		reportBad(t, r.images, r.bad)
		total += r.images + r.samples.used(t, "pods.db")
	})
	t.Logf("%d images", total)
	if least := pick(60, 100, 100); total < least {
		t.Errorf("only %d images, expected %d", total, least)
	}
}
