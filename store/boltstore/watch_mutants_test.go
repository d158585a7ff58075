package boltstore_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The random histories of the suite catch faults in the watches of the store.
func TestWatchMutants(t *testing.T) {
	if os.Getenv("PODSTORE_MUTANT") != "" {
		t.Skip("this is one")
	}
	if testing.Short() {
		t.Skip("takes long: it builds mutants")
	}
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("needs the go command")
	}
	path := filepath.Join(t.TempDir(), "mutant.test")
	if out, err := exec.Command("go", "test", "-c", "-tags", "podstore_mutant", "-o", path, ".").CombinedOutput(); err != nil {
		t.Fatalf("building mutants: %v\n%s", err, out)
	}
	for _, mutant := range []string{"nowake", "halfbatch", "nodeletion"} {
		t.Run(mutant, func(t *testing.T) {
			cmd := exec.Command(path, "-test.run", "^TestConformance$/^Watch$/^random_histories", "-storetest.histories", "20")
			cmd.Env = append(os.Environ(), "PODSTORE_MUTANT="+mutant)
			out, err := cmd.CombinedOutput()
			if err == nil || !strings.Contains(string(out), "--- FAIL: TestConformance/Watch/random_histories") {
				t.Errorf("it is not caught: %v\n%s", err, out)
			}
		})
	}
}
