//go:build linux

package durabilitytest

import (
	"os/exec"
	"path/filepath"
	"testing"
)

// buildMutants builds this test binary from a boltstore that leaves out the
// protection named in the environment.
func buildMutants(t *testing.T) string {
	t.Helper()
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("needs the go command")
	}
	path := filepath.Join(t.TempDir(), "mutant.test")
	if out, err := exec.Command("go", "test", "-c", "-tags", "podstore_mutant", "-o", path, ".").CombinedOutput(); err != nil {
		t.Fatalf("building mutants: %v\n%s", err, out)
	}
	return path
}

// Each protection is needed, and the harness sees when it is missing.
func TestMutantsAreCaught(t *testing.T) {
	if testing.Short() {
		t.Skip("takes long: it builds mutants and has each of them caught")
	}
	needStrace(t)
	path := buildMutants(t)
	small := workload{Seed: 31, Goroutines: 1, Ops: 24, Large: 4}
	images := func(t *testing.T, p program, job writerJob) (int, int) {
		n, bad := countBadImages(t, p, job, 12, nil)
		return n, len(bad)
	}
	kills := func(t *testing.T, p program, job writerJob) (int, int) {
		n, bad := countBadWriters(t, p, job, []string{"pwrite64", "fdatasync"}, 3)
		return n, len(bad)
	}
	failures := func(t *testing.T, p program) (int, int) {
		n, bad := countBadFailures(t, p, workload{Seed: 32, Goroutines: 1, Ops: 6}, 1)
		return n, len(bad)
	}
	damage := func(t *testing.T, p program, kinds ...string) (int, int) {
		r := damagedFiles(t, p, func(b *base) []damaged { return b.damage(1, kinds) })
		return r.files, len(r.bad)
	}
	for _, m := range []struct {
		name string
		run  func(t *testing.T, p program) (tried, caught int)
	}{
		{"nosync", func(t *testing.T, p program) (int, int) { return images(t, p, writerJob{Workload: small}) }},
		{"nodirsync", func(t *testing.T, p program) (int, int) { return images(t, p, writerJob{Workload: small}) }},
		{"noerror", failures},
		{"nopoison", failures},
		{"nowait", func(t *testing.T, p program) (int, int) {
			n, _, bad := countBadSights(t, p, 12)
			return n, len(bad)
		}},
		{"onenumber", func(t *testing.T, p program) (int, int) {
			group := workload{Seed: 33, Goroutines: 4, Ops: 24}
			n, bad := countBadKills(t, p, group, []string{"fdatasync"}, 5)
			return n, len(bad)
		}},
		{"nohistory", func(t *testing.T, p program) (int, int) {
			return damage(t, p, "chunk lost", "chunk as it was earlier")
		}},
		{"nocrc", func(t *testing.T, p program) (int, int) { return damage(t, p, "one bit flipped") }},
		{"norecord", func(t *testing.T, p program) (int, int) { return damage(t, p, "element removed") }},
		{"noowners", func(t *testing.T, p program) (int, int) {
			return damage(t, p, "bucket header changed", "freelist changed")
		}},
		{"create-in-place", func(t *testing.T, p program) (int, int) {
			return images(t, p, writerJob{Workload: small, Unsafe: "create-in-place"})
		}},
		{"half-edit", func(t *testing.T, p program) (int, int) {
			return kills(t, p, writerJob{Workload: small, Unsafe: "half-edit"})
		}},
		{"ack-early", func(t *testing.T, p program) (int, int) {
			return kills(t, p, writerJob{Workload: small, Unsafe: "ack-early"})
		}},
		{"new-id", func(t *testing.T, p program) (int, int) {
			n, bad := countBadWriters(t, p, writerJob{Workload: small, Unsafe: "new-id"}, []string{"fdatasync"}, 1)
			return n, len(bad)
		}},
	} {
		t.Run(m.name, func(t *testing.T) {
			tried, caught := m.run(t, program{path: path, mutant: m.name})
			t.Logf("caught in %d of %d", caught, tried)
			if caught == 0 {
				t.Errorf("the mutant is not caught in %d tries", tried)
			}
		})
	}
	t.Run("nosync after a loss", func(t *testing.T) {
		samples := newSamples(34, "pods.db")
		countBadImages(t, self(t), writerJob{Workload: small}, 12, samples)
		tried, bad := samples.countBad(t, program{path: path, mutant: "nosync"}, filepath.Join("made", "pods.db"))
		t.Logf("caught in %d of %d", len(bad), tried)
		if len(bad) == 0 {
			t.Errorf("the mutant is not caught in %d tries", tried)
		}
	})
	t.Run("nosync on ext4", func(t *testing.T) {
		needRoot(t)
		bad := shutdowns(t, program{path: path, mutant: "nosync"}, 8)
		t.Logf("caught in %d of 8", len(bad))
		if len(bad) == 0 {
			t.Error("the mutant is not caught")
		}
	})
}
