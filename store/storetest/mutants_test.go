package storetest

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"podstore/store"
)

// A suite that cannot fail proves nothing. Each mutant is the good store in memory with
// one fault, and names the test of the suite that must catch it.
type mutant struct {
	fault  string
	caught string
	spoil  func(f *faultyStore)
}

const mutantVariable = "STORETEST_MUTANT"

// TestMutant runs one test of the suite on one mutant, in a process that
// TestSuiteCatchesMutants starts. It must fail.
func TestMutant(t *testing.T) {
	fault := os.Getenv(mutantVariable)
	if fault == "" {
		t.Skip("run by TestSuiteCatchesMutants")
	}
	patience = time.Second
	for _, m := range mutants() {
		if m.fault == fault {
			Metadata(t, inMemory(func() *faultyStore {
				f := &faultyStore{ableStore: newAbleStore()}
				f.impatient = true
				m.spoil(f)
				if f.root != "" {
					f.root = t.TempDir()
				}
				return f
			}, func(f *faultyStore) *bareStore { return f.bareStore }))
		}
	}
}

func TestSuiteCatchesMutants(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for i, m := range mutants() {
		if seen[m.fault] {
			t.Fatalf("two mutants are called %q", m.fault)
		}
		seen[m.fault] = true
		if testing.Short() && i%8 != 0 {
			continue
		}
		t.Run(m.fault, func(t *testing.T) {
			t.Parallel()
			name := "TestMutant/" + strings.ReplaceAll(m.caught, " ", "_")
			group, test, _ := strings.Cut(m.caught, "/")
			var out []byte
			var err error
			// A race, or a state that is rare among random ones, does not show in each run.
			for tries := 20; tries > 0 && err == nil; tries-- {
				cmd := exec.Command(self, "-test.run", "^TestMutant$/^"+group+"$/^"+test+"$", "-test.timeout", "5m")
				cmd.Env = append(os.Environ(), mutantVariable+"="+m.fault)
				out, err = cmd.CombinedOutput()
			}
			var exit *exec.ExitError
			switch {
			case err == nil:
				t.Errorf("not caught by %s:\n%s", name, out)
			case !errors.As(err, &exit):
				t.Error(err)
			case !strings.Contains(string(out), "--- FAIL: "+name):
				t.Errorf("%s did not fail, but:\n%s", name, out)
			}
		})
	}
}

// mutants returns all faults, new on each call.
func mutants() []mutant {
	var list []mutant
	for _, part := range [][]mutant{writeMutants, readMutants, updateMutants, abilityMutants, damageMutants, applyMutants, conditionMutants, versionMutants, requestMutants, removeMutants, watchMutants} {
		list = append(list, part...)
	}
	return list
}

var writeMutants = []mutant{
	{"write forgets unknown fields", "Write/creates the Pod", func(f *faultyStore) {
		f.write = func(ctx context.Context, m *store.Metadata) error {
			m = m.Clone()
			m.Extra = nil
			return store.Write(ctx, f.ableStore, m)
		}
	}},
	{"write sorts peers", "Write/creates the Pod", func(f *faultyStore) {
		f.write = func(ctx context.Context, m *store.Metadata) error {
			m = m.Clone()
			m.RemovePeer("peer-a")
			if err := m.AddPeer("peer-a"); err != nil {
				return err
			}
			return store.Write(ctx, f.ableStore, m)
		}
	}},
	{"write merges with what is stored", "Write/replaces everything that is kept of the Pod", func(f *faultyStore) {
		f.write = func(ctx context.Context, m *store.Metadata) error {
			if old, err := f.ableStore.Read(ctx, m.PodName); err == nil && m.Active == nil {
				m = m.Clone()
				m.Active = old.Active
			}
			return store.Write(ctx, f.ableStore, m)
		}
	}},
	{"write forgets to clear the segment", "Write/replaces each field", func(f *faultyStore) {
		f.write = func(ctx context.Context, m *store.Metadata) error {
			old, err := f.ableStore.Read(ctx, m.PodName)
			if err == nil && m.Active != nil && m.Active.SegmentID == nil && old.Active != nil {
				m = m.Clone()
				m.Active.SegmentID = old.Active.SegmentID
			}
			return store.Write(ctx, f.ableStore, m)
		}
	}},
	{"write normalizes what it is given", "Write/does not change m", func(f *faultyStore) {
		f.write = func(ctx context.Context, m *store.Metadata) error {
			if err := m.Normalize(); err != nil {
				return err
			}
			return store.Write(ctx, f.ableStore, m)
		}
	}},
	{"write keeps what it is given", "Write/does not keep m", func(f *faultyStore) {
		f.write = func(ctx context.Context, m *store.Metadata) error {
			err := store.Write(ctx, f.ableStore, m)
			if err == nil {
				f.pods[m.PodName] = m
			}
			return err
		}
	}},
	{"write drops a manifest that is no JSON", "Write/refuses what breaks a rule", func(f *faultyStore) {
		f.write = func(ctx context.Context, m *store.Metadata) error {
			c := m.Clone()
			if c.NormalizeManifest() != nil {
				m = m.Clone()
				m.Manifest = nil
			}
			return store.Write(ctx, f.ableStore, m)
		}
	}},
	{"write accepts a known field among the unknown", "Write/refuses what breaks a rule", func(f *faultyStore) {
		f.write = func(ctx context.Context, m *store.Metadata) error {
			m = m.Clone()
			delete(m.Extra, "active")
			return store.Write(ctx, f.ableStore, m)
		}
	}},
	{"write that is refused deletes", "Write/refuses what breaks a rule", func(f *faultyStore) {
		f.write = func(ctx context.Context, m *store.Metadata) error {
			err := store.Write(ctx, f.ableStore, m)
			if errors.Is(err, store.ErrInvalid) {
				delete(f.pods, m.PodName)
			}
			return err
		}
	}},
	{"write ignores the context", "Contexts/one that has ended is the error and nothing is changed", func(f *faultyStore) {
		f.write = func(_ context.Context, m *store.Metadata) error { return store.Write(background, f.ableStore, m) }
	}},
	{"write refuses a depth that is allowed", "Values/JSON may be nested as deeply as the limit", func(f *faultyStore) {
		f.write = func(ctx context.Context, m *store.Metadata) error {
			if strings.HasPrefix(string(m.Manifest), strings.Repeat("[", store.MaxValueDepth)) {
				return store.ErrInvalid
			}
			return store.Write(ctx, f.ableStore, m)
		}
	}},
	{"write cuts long manifests", "Values/a large manifest comes back", func(f *faultyStore) {
		f.write = func(ctx context.Context, m *store.Metadata) error {
			if len(m.Manifest) > 1<<20 {
				m = m.Clone()
				m.Manifest = nil
			}
			return store.Write(ctx, f.ableStore, m)
		}
	}},
	{"write turns numbers into floats", "Values/JSON comes back canonical", func(f *faultyStore) {
		f.read = func(ctx context.Context, name string) (*store.Metadata, error) {
			m, err := f.ableStore.Read(ctx, name)
			if m != nil && string(m.Manifest) == "9007199254740993" {
				m.Manifest = []byte("9007199254740992")
			}
			return m, err
		}
	}},
	{"names are not told apart by case", "Names/any valid one can be used", func(f *faultyStore) {
		f.write = func(ctx context.Context, m *store.Metadata) error {
			m = m.Clone()
			m.PodName = strings.ToLower(m.PodName)
			return store.Write(ctx, f.ableStore, m)
		}
	}},
	{"files are written beside the root", "RootDir/holds everything that is written, and nothing is written beside it", func(f *faultyStore) {
		f.root = "set later"
		f.write = func(ctx context.Context, m *store.Metadata) error {
			for _, path := range []string{f.root + "/file", f.root + "-journal"} {
				if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
					return err
				}
			}
			return store.Write(ctx, f.ableStore, m)
		}
	}},
}

var readMutants = []mutant{
	{"read gives its own memory", "Memory/what Read returned is the caller's", func(f *faultyStore) {
		f.read = func(ctx context.Context, name string) (*store.Metadata, error) {
			if _, err := f.ableStore.Read(ctx, name); err != nil {
				return nil, err
			}
			return f.pods[name], nil
		}
	}},
	{"read gives nil for a missing Pod", "Read/of a missing Pod gives ErrNotFound and names it", func(f *faultyStore) {
		f.read = func(ctx context.Context, name string) (*store.Metadata, error) {
			m, err := f.ableStore.Read(ctx, name)
			if errors.Is(err, store.ErrNotFound) {
				err = nil
			}
			return m, err
		}
	}},
	{"read does not say which Pod is missing", "Read/of a missing Pod gives ErrNotFound and names it", func(f *faultyStore) {
		f.read = func(ctx context.Context, name string) (*store.Metadata, error) {
			m, err := f.ableStore.Read(ctx, name)
			if errors.Is(err, store.ErrNotFound) {
				err = store.ErrNotFound
			}
			return m, err
		}
	}},
	{"read does not judge names", "Names/a bad one is refused by every method", func(f *faultyStore) {
		f.read = func(ctx context.Context, name string) (*store.Metadata, error) {
			m, err := f.ableStore.Read(ctx, name)
			if errors.Is(err, store.ErrInvalidName) {
				err = store.ErrNotFound
			}
			return m, err
		}
	}},
	{"read gives empty lists", "Values/are returned in normal form", func(f *faultyStore) {
		f.read = func(ctx context.Context, name string) (*store.Metadata, error) {
			m, err := f.ableStore.Read(ctx, name)
			if m != nil && m.Peers == nil {
				m.Peers = []store.Peer{}
			}
			return m, err
		}
	}},
	{"read gives a null manifest", "Values/a Pod with nothing but its name exists", func(f *faultyStore) {
		f.read = func(ctx context.Context, name string) (*store.Metadata, error) {
			m, err := f.ableStore.Read(ctx, name)
			if m != nil && m.Manifest == nil {
				m.Manifest = []byte("null")
			}
			return m, err
		}
	}},
	{"read loses a null unknown field", "Values/a null unknown field is kept", func(f *faultyStore) {
		f.read = func(ctx context.Context, name string) (*store.Metadata, error) {
			m, err := f.ableStore.Read(ctx, name)
			if err != nil {
				return nil, err
			}
			for name, value := range m.Extra {
				if string(value) == "null" {
					delete(m.Extra, name)
				}
			}
			return m, nil
		}
	}},
	{"list is not sorted", "List/is sorted by bytes", func(f *faultyStore) {
		f.list = func(ctx context.Context) ([]string, error) {
			names, err := f.ableStore.List(ctx)
			for i := range len(names) / 2 {
				names[i], names[len(names)-1-i] = names[len(names)-1-i], names[i]
			}
			return names, err
		}
	}},
	{"list hides names with a dot", "Names/any valid one can be used", func(f *faultyStore) {
		f.list = func(ctx context.Context) ([]string, error) {
			names, err := f.ableStore.List(ctx)
			var shown []string
			for _, name := range names {
				if name[0] != '.' {
					shown = append(shown, name)
				}
			}
			return shown, err
		}
	}},
	{"list looks at one name after the other", "Concurrency/a list has the names of one moment", func(f *faultyStore) {
		f.list = func(ctx context.Context) ([]string, error) {
			names, err := f.ableStore.List(ctx)
			return slices.DeleteFunc(names, func(name string) bool {
				_, err := f.ableStore.Read(ctx, name)
				return errors.Is(err, store.ErrNotFound)
			}), err
		}
	}},
	{"list ends at a hundred", "List/gives many", func(f *faultyStore) {
		f.list = func(ctx context.Context) ([]string, error) {
			names, err := f.ableStore.List(ctx)
			return names[:min(100, len(names))], err
		}
	}},
	{"delete does nothing", "Delete/removes the Pod", func(f *faultyStore) {
		f.delete = func(ctx context.Context, name string) error { return ctx.Err() }
	}},
	{"delete takes longer names along", "Delete/removes the Pod", func(f *faultyStore) {
		f.delete = func(ctx context.Context, name string) error {
			for other := range f.pods {
				if strings.HasPrefix(other, name) {
					delete(f.pods, other)
				}
			}
			return store.Do(ctx, f.ableStore, name, store.Delete{})
		}
	}},
	{"delete of a missing Pod fails", "Delete/of what does not exist is a success", func(f *faultyStore) {
		f.delete = func(ctx context.Context, name string) error {
			if _, err := f.ableStore.Read(ctx, name); err != nil {
				return err
			}
			return store.Do(ctx, f.ableStore, name, store.Delete{})
		}
	}},
	{"delete leaves unknown fields", "Delete/leaves nothing for a Pod of the same name", func(f *faultyStore) {
		left := map[string]*store.Metadata{}
		f.delete = func(ctx context.Context, name string) error {
			if m, err := f.ableStore.Read(ctx, name); err == nil {
				left[name] = m
			}
			return store.Do(ctx, f.ableStore, name, store.Delete{})
		}
		f.update = func(ctx context.Context, name string, edit func(*store.Metadata) error) (*store.Metadata, error) {
			return f.ableStore.Update(ctx, name, func(m *store.Metadata) error {
				if old := left[name]; old != nil && m.Extra == nil {
					m.Extra = old.Extra
				}
				return edit(m)
			})
		}
	}},
	{"opening again loses the last Pod", "Reopen/finds everything", func(f *faultyStore) {
		lists := 0
		f.list = func(ctx context.Context) ([]string, error) {
			names, err := f.ableStore.List(ctx)
			if lists++; lists > 1 {
				names = names[:max(0, len(names)-1)]
			}
			return names, err
		}
	}},
}
