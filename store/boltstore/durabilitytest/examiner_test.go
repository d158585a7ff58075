//go:build linux

package durabilitytest

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"syscall"
	"time"

	"podstore/store"
	"podstore/store/boltstore"
)

// examinerJob is the work of a child that opens damaged files, one after another.
// It is told of each on standard input and answers on standard output.
type examinerJob struct {
	// Sound is a database with what the files should hold, Older one with the Pods
	// that differed before the last commit.
	Sound, Older string
}

// patient is one damaged file.
type patient struct {
	Path   string
	Common bool     // what all Pods depend on was touched
	Pods   []string // Pods of which something was touched
	Whole  []string // Pods that salvage has to deliver
}

// finding is what was found about one.
type finding struct {
	Refused bool     // it was not opened
	Damaged int      // Pods that gave ErrCorrupt
	Poison  bool     // the handle became unusable
	Bad     []string // what must not be
}

// examiner examines one file at a time.
type examiner struct {
	sound, older model
	p            patient
	f            finding
	refusal      error           // of the last Open
	unsure       map[string]bool // Pods of which a failed change may have made anything
}

// memoryLimit is how much address space an examiner may use.
const memoryLimit = 8 << 30

func runExaminer(job examinerJob) {
	limit := syscall.Rlimit{Cur: memoryLimit, Max: memoryLimit}
	if err := syscall.Setrlimit(syscall.RLIMIT_AS, &limit); err != nil {
		die("setrlimit: %v", err)
	}
	load := func(path string) model {
		b, err := os.ReadFile(path)
		var md model
		if err == nil {
			err = json.Unmarshal(b, &md)
		}
		if err != nil {
			die("%v", err)
		}
		for _, m := range md {
			if err := m.Normalize(); err != nil {
				die("%v", err)
			}
		}
		return md
	}
	x := examiner{sound: load(job.Sound), older: load(job.Older)}
	answers := json.NewEncoder(os.Stdout)
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		x.p, x.f, x.unsure = patient{}, finding{}, map[string]bool{}
		if err := json.Unmarshal(in.Bytes(), &x.p); err != nil {
			die("%v", err)
		}
		x.examine()
		if err := answers.Encode(x.f); err != nil {
			die("%v", err)
		}
	}
}

func (x *examiner) bad(format string, args ...any) {
	x.f.Bad = append(x.f.Bad, fmt.Sprintf(format, args...))
}

// untouched reports whether nothing was done to a Pod and what it depends on.
func (x *examiner) untouched(name string) bool {
	return !x.p.Common && !slices.Contains(x.p.Pods, name)
}

// examine looks at the file in every way, without changing it first.
func (x *examiner) examine() {
	x.check()
	x.salvage()
	x.open("read-only", boltstore.Options{ReadOnly: true}, func(s *boltstore.Store) { x.read("read-only", s, x.sound, nil) })
	x.open("with a full check", boltstore.Options{ReadOnly: true, FullCheck: true}, func(s *boltstore.Store) { x.read("with a full check", s, x.sound, nil) })
	x.write()
}

// refusals are what Open and the functions over whole files may say of damage.
func isRefusal(err error) bool {
	return errors.Is(err, store.ErrCorrupt) || errors.Is(err, store.ErrFormat)
}

// open opens the file and closes it after f. It reports whether it was opened.
func (x *examiner) open(how string, o boltstore.Options, f func(*boltstore.Store)) bool {
	o.MustExist, o.LockTimeout = true, time.Second
	s, err := boltstore.Open(x.p.Path, &o)
	if err != nil {
		switch {
		case !isRefusal(err):
			x.bad("Open %s: %v", how, err)
		case !x.p.Common && !o.FullCheck:
			x.bad("Open %s refuses a file of which nothing but %q was touched: %v", how, x.p.Pods, err)
		}
		x.refusal = err
		return false
	}
	f(s)
	if err := s.Close(); err != nil {
		x.bad("Close %s: %v", how, err)
	}
	return true
}

func (x *examiner) check() {
	_, err := boltstore.Check(context.Background(), x.p.Path, nil, func(boltstore.Finding) {})
	if err != nil && !isRefusal(err) {
		x.bad("Check: %v", err)
	}
}

// read reads everything in every way. want is what should be there; only Pods
// that fragile accepts may be damaged, nil for any that was touched. It returns
// the Pods that could be read.
func (x *examiner) read(when string, s *boltstore.Store, want model, fragile func(name string) bool) map[string]bool {
	ctx := context.Background()
	if fragile == nil {
		fragile = func(name string) bool { return !x.untouched(name) }
	}
	names, err := s.List(ctx)
	names = slices.DeleteFunc(names, func(name string) bool { return x.unsure[name] })
	switch {
	case err != nil && !errors.Is(err, store.ErrCorrupt):
		x.bad("%s: List: %v", when, err)
	case err != nil && !x.p.Common:
		x.bad("%s: List fails although nothing but %q was touched: %v", when, x.p.Pods, err)
	case err == nil && !slices.Equal(names, sortedNames(want)):
		x.bad("%s: List is wrong and says nothing: %q", when, names)
	}
	readable := map[string]bool{}
	for name, m := range want {
		got, err := s.Read(ctx, name)
		switch {
		case err == nil && m.Diff(got) != "":
			x.bad("%s: Read of %q is wrong in %s", when, name, m.Diff(got))
		case err == nil:
			readable[name] = true
		case !errors.Is(err, store.ErrCorrupt):
			x.bad("%s: Read of %q: %v", when, name, err)
		case !fragile(name):
			x.bad("%s: Read of %q, which was not touched: %v", when, name, err)
		default:
			x.f.Damaged++
		}
	}
	x.readAll(when, s, want, readable)
	return readable
}

// readAll compares All with what Read gave.
func (x *examiner) readAll(when string, s *boltstore.Store, want model, readable map[string]bool) {
	seen := map[string]bool{}
	complete := true
	for m, err := range s.All(context.Background(), store.ReadOptions{}) {
		var e *store.Error
		switch {
		case err == nil && x.unsure[m.PodName]:
		case err == nil && (want[m.PodName] == nil || want[m.PodName].Diff(m) != ""):
			x.bad("%s: All gives a wrong %q", when, m.PodName)
		case err == nil:
			seen[m.PodName] = true
		case !errors.Is(err, store.ErrCorrupt):
			x.bad("%s: All: %v", when, err)
		case errors.As(err, &e) && e.Pod != "":
			seen[e.Pod] = true
		default:
			complete = false
		}
	}
	for name := range want {
		switch {
		case seen[name]:
		case complete:
			x.bad("%s: All leaves out %q and says nothing", when, name)
		case readable[name] && !x.p.Common:
			x.bad("%s: All leaves out %q, which can be read", when, name)
		}
	}
}

func sortedNames(md model) []string {
	names, _ := md.List(context.Background())
	return names
}

// salvage saves what it can, all of it right, and every Pod that is whole.
func (x *examiner) salvage() {
	out := x.p.Path + ".salvaged"
	defer os.Remove(out)
	older := map[string]bool{}
	_, err := boltstore.Salvage(context.Background(), x.p.Path, out, nil, func(v boltstore.Salvaged) {
		if v.Err == nil && v.Older {
			older[v.Pod] = true
		}
	})
	if err != nil {
		if !isRefusal(err) {
			x.bad("Salvage: %v", err)
		}
		if len(x.p.Whole) > 0 {
			x.bad("Salvage refuses although %d Pods are whole: %v", len(x.p.Whole), err)
		}
		return
	}
	s, err := boltstore.Open(out, &boltstore.Options{FullCheck: true, MustExist: true})
	if err != nil {
		x.bad("Salvage left a file that does not open: %v", err)
		return
	}
	defer s.Close()
	pods, err := readAll(s)
	if err != nil {
		x.bad("Salvage left a damaged file: %v", err)
		return
	}
	for name, m := range pods {
		switch {
		case x.sound[name] != nil && x.sound[name].Diff(m) == "":
		case older[name] && x.older[name] != nil && x.older[name].Diff(m) == "":
		default:
			x.bad("Salvage gives a wrong %q", name)
		}
	}
	for _, name := range x.p.Whole {
		if pods[name] == nil {
			x.bad("Salvage loses %q, which is whole", name)
		}
	}
}
