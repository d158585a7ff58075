//go:build linux

package durabilitytest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"podstore/store"
	"podstore/store/boltstore"
)

// writerJob is the work of a child that writes.
type writerJob struct {
	Workload workload
	Path     string
	// MaxFile, if set, is the limit for the size of any file, in bytes.
	MaxFile uint64
	// Unsafe makes the writer itself wrong in one way, to show that the harness
	// notices: "create-in-place" writes the new file under its own name,
	// "half-edit" makes an edit of several Pods one transaction for each,
	// "ack-early" acknowledges an operation before it is done, "new-id" sends one
	// again under another ID than before.
	Unsafe string
}

// What a writer says on its standard output, one line each, in one write call:
//
//	ack G N      goroutine G's next operation returned nil, and made revision N;
//	             N is older, or 0, where it changed nothing
//	failed WHY   Open or an operation failed; WHY is "no space" or "other"
//	served       an operation failed for want of space, and the store goes on
//	wrong WHY    the handle is not unusable after that, or something else is wrong
//	closed       the writer came to its end
const (
	sayAck    = "ack"
	sayFailed = "failed"
	sayServed = "served"
	sayWrong  = "wrong"
	sayClosed = "closed"
)

func say(format string, args ...any) {
	fmt.Fprintf(os.Stdout, format+"\n", args...)
}

func runWriter(job writerJob) {
	if job.MaxFile > 0 {
		limit := syscall.Rlimit{Cur: job.MaxFile, Max: job.MaxFile}
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
			die("setrlimit: %v", err)
		}
	}
	time.AfterFunc(2*time.Minute, func() {
		say(sayWrong + " it hangs")
		os.Exit(0)
	})
	// With one goroutine everything is on one thread, and strace counts the calls
	// of each thread.
	runtime.LockOSThread()
	if job.Unsafe == "create-in-place" {
		createInPlace(job.Path)
	}
	s, err := boltstore.Open(job.Path, nil)
	if err != nil {
		say("%s %s", sayFailed, reason(err))
		say(sayClosed)
		return
	}
	var st backend = s
	if job.Unsafe == "half-edit" {
		st = halfEdits{s}
	}
	if job.Workload.Goroutines == 1 {
		writeAs(job, st, 0)
	} else {
		var wg sync.WaitGroup
		for g := range job.Workload.Goroutines {
			wg.Go(func() { writeAs(job, st, g) })
		}
		wg.Wait()
	}
	closed := make(chan struct{})
	go func() {
		select {
		case <-closed:
		case <-time.After(20 * time.Second):
			say(sayWrong + " Close hangs")
			os.Exit(0)
		}
	}()
	err = s.Close()
	close(closed)
	if err != nil {
		say(sayWrong+" Close: %v", err)
	}
	say(sayClosed)
}

// backend is what a writer needs of a store.
type backend interface {
	store.MetadataStore
	store.PodUpdater
}

// writeAs does the operations of one goroutine until one fails.
func writeAs(job writerJob, s backend, g int) {
	once := &onceStore{backend: s, g: g}
	for i := range job.Workload.Ops {
		if job.Unsafe == "ack-early" {
			say("%s %d 0", sayAck, g)
		}
		once.begin(job.Workload.id(g, i), i%5 == 4)
		err := job.Workload.run(context.Background(), once, g, i)
		if errors.Is(err, store.ErrNoSpace) && !errors.Is(err, store.ErrUnusable) {
			// Nothing was changed: reads are served, and the operation can be done later.
			say("%s %s", sayFailed, reason(err))
			for _, err := range store.All(context.Background(), s, store.ReadOptions{}) { // others write on
				if err != nil {
					say("%s reading after a full disk: %v", sayWrong, err)
				}
			}
			say(sayServed)
			err = job.Workload.run(context.Background(), once, g, i)
			if errors.Is(err, store.ErrNoSpace) && !errors.Is(err, store.ErrUnusable) {
				return // it stays full
			}
		}
		if err != nil {
			if why := unusable(s, err); why != "" {
				say("%s %s", sayWrong, strings.ReplaceAll(why, "\n", " "))
			}
			say("%s %s", sayFailed, reason(err))
			return
		}
		if once.wrong != "" {
			say("%s operation %d: %s", sayWrong, i, once.wrong)
			return
		}
		if job.Unsafe != "ack-early" {
			say("%s %d %d", sayAck, g, once.number)
		}
	}
}

// onceStore makes what one operation applies once, under one request ID.
type onceStore struct {
	backend
	g      int
	id     store.RequestID
	twice  bool   // each request is sent twice
	resent bool   // it was sent before, with an unknown result
	seen   uint64 // highest revision number of any result
	number uint64 // of the result
	wrong  string
}

func (s *onceStore) begin(id store.RequestID, twice bool) {
	s.id, s.twice, s.number = id, twice, 0
}

func (s *onceStore) Apply(ctx context.Context, changes []store.Change, _ *store.ApplyOptions) ([]store.Applied, error) {
	applied, err := s.backend.Apply(ctx, changes, &store.ApplyOptions{ID: s.id, Resent: s.resent, Seen: s.seen})
	if err != nil {
		return nil, err
	}
	seen := s.seen
	number, made := s.made(applied)
	s.number = number
	s.seen = max(s.seen, highest(applied))
	if s.twice && made {
		again, err := s.backend.Apply(ctx, changes, &store.ApplyOptions{ID: s.id, Resent: true, Seen: seen})
		switch {
		case errors.Is(err, store.ErrUnknown): // others have written much meanwhile
		case errors.Is(err, store.ErrNoSpace) && !errors.Is(err, store.ErrUnusable): // of others in its group; it was made
		case err != nil:
			return nil, err
		case !slices.ContainsFunc(again, func(a store.Applied) bool { return a.Version.Revision.Number == number }):
			s.wrong = fmt.Sprintf("it was made as revision %d, and sent again it is %v", number, again)
		}
	}
	return applied, nil
}

func (s *onceStore) UpdatePods(ctx context.Context, names []string, edit func([]*store.Metadata) error) ([]*store.Metadata, error) {
	pods, err := s.backend.UpdatePods(ctx, names, edit)
	for _, m := range pods {
		if m != nil {
			s.number = max(s.number, m.Version.Revision.Number)
		}
	}
	s.seen = max(s.seen, s.number)
	return pods, err
}

// made is the number of the revision that changes made, and whether it is known to be
// theirs. Nobody else changes the goroutine's own Pods. A Pod that all share may have
// a newer revision, which another goroutine made while these changes left it alone.
func (s *onceStore) made(applied []store.Applied) (uint64, bool) {
	var own uint64
	for _, a := range applied {
		if strings.HasPrefix(a.Pod, prefix(s.g)) {
			own = max(own, a.Version.Revision.Number)
		}
	}
	if own > s.seen {
		return own, true
	}
	return highest(applied), false
}

// highest is the highest revision number among results.
func highest(applied []store.Applied) (n uint64) {
	for _, a := range applied {
		n = max(n, a.Version.Revision.Number)
	}
	return n
}

const noSpace = "no space"

func reason(err error) string {
	if errors.Is(err, store.ErrNoSpace) {
		return noSpace
	}
	return "other"
}

// unusable checks that after an I/O error every call says ErrUnusable.
func unusable(s backend, first error) string {
	ctx := context.Background()
	if !errors.Is(first, store.ErrUnusable) {
		return "the error is not ErrUnusable: " + first.Error()
	}
	edit := func(*store.Metadata) error { return nil }
	calls := map[string]func() error{
		"Read":   func() error { _, err := s.Read(ctx, sharedPod(0)); return err },
		"List":   func() error { _, err := s.List(ctx); return err },
		"Apply":  func() error { return store.Write(ctx, s, &store.Metadata{PodName: "after"}) },
		"Update": func() error { _, err := s.Update(ctx, "after", edit); return err },
		"UpdatePods": func() error {
			_, err := store.UpdatePods(ctx, s, []string{"after", "all"}, func([]*store.Metadata) error { return nil })
			return err
		},
		"All": func() error {
			for _, err := range store.All(ctx, s, store.ReadOptions{}) {
				return err
			}
			return nil
		},
		"Snapshot": func() error { _, _, err := s.(store.Snapshotter).Snapshot(ctx); return err },
		"WriteTo":  func() error { _, err := s.(io.WriterTo).WriteTo(io.Discard); return err },
	}
	for name, call := range calls {
		if err := call(); !errors.Is(err, store.ErrUnusable) {
			return fmt.Sprintf("%s after it gives %v", name, err)
		}
	}
	return ""
}

// createInPlace makes an empty database, but writes it where it is to be.
func createInPlace(path string) {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		die("%v", err)
	}
	defer os.RemoveAll(dir)
	s, err := boltstore.Open(filepath.Join(dir, "empty"), nil)
	if err == nil {
		err = s.Close()
	}
	var b []byte
	if err == nil {
		b, err = os.ReadFile(filepath.Join(dir, "empty"))
	}
	if err == nil {
		err = os.WriteFile(path, b, 0o600)
	}
	if err != nil {
		die("%v", err)
	}
}

// halfEdits makes an edit of several Pods one transaction for each.
type halfEdits struct{ *boltstore.Store }

func (s halfEdits) UpdatePods(ctx context.Context, names []string, edit func([]*store.Metadata) error) ([]*store.Metadata, error) {
	pods := make([]*store.Metadata, len(names))
	for i, name := range names {
		m, err := s.Read(ctx, name)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return nil, err
		}
		pods[i] = m
	}
	if err := edit(pods); err != nil {
		return nil, err
	}
	for i, m := range pods {
		var err error
		if m == nil {
			err = store.Do(ctx, s, names[i], store.Delete{})
		} else {
			m.PodName = names[i]
			err = store.Write(ctx, s, m)
		}
		if err != nil {
			return nil, err
		}
	}
	return pods, nil
}

// outcome is how a writer ended.
type outcome struct {
	acked  acks
	killed bool
	failed bool
	full   bool // one failed with ErrNoSpace
	served bool // and the store went on
	closed bool
	wrong  string // what should not be
}

// finish runs a writer to its end and reads what it said.
func finish(t testing.TB, cmd *exec.Cmd, goroutines int) outcome {
	t.Helper()
	out, err := cmd.Output()
	o := parseOutcome(out, goroutines)
	var exit *exec.ExitError
	switch {
	case err == nil:
	case errors.As(err, &exit) && exit.ProcessState.Sys().(syscall.WaitStatus).Signaled():
		o.killed = true
	default:
		o.wrong = fmt.Sprintf("%v: %.2000s", err, cmd.Stderr)
	}
	return o
}

func parseOutcome(out []byte, goroutines int) outcome {
	o := outcome{acked: make(acks, goroutines)}
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		word, rest, _ := strings.Cut(lines.Text(), " ")
		switch word {
		case sayAck:
			var g int
			var number uint64
			fmt.Sscan(rest, &g, &number)
			o.acked[g] = append(o.acked[g], number)
		case sayFailed:
			o.failed = true
			o.full = o.full || rest == noSpace
		case sayServed:
			o.served = true
		case sayClosed:
			o.closed = true
		case sayWrong:
			o.wrong = rest
		}
	}
	return o
}
