package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"podstore/store/boltstore"
	"podstore/store/jsonexport"
	"podstore/store/podjson"
)

// copyTrees measures import beside reading the same files with cat, and export
// beside cp -r with one sync of the file system.
func (b *bench) copyTrees() error {
	dir := filepath.Join(b.dir, "trees")
	source := filepath.Join(dir, "source")
	if err := os.MkdirAll(source, 0o700); err != nil {
		return err
	}
	if err := writeTree(source, makePods(b.treeSet())); err != nil {
		return err
	}
	if err := touch(b.trees * touchBytes); err != nil {
		return err
	}
	// Files that were written just now are read twice; those to import are older.
	time.Sleep(jsonSettled)
	for round := range b.copies {
		if err := b.copyTree(dir, source, round); err != nil {
			return err
		}
	}
	return nil
}

// treeSet are the Pods of the directories: their manifests are as large as real ones.
func (b *bench) treeSet() set { return set{b.trees, realManifestSize} }

// touchBytes is more memory for each Pod than a round fills.
const touchBytes = 128 << 10

// touch writes so much memory once and gives it back. A virtual machine gets memory
// from its host when it first writes there, which makes filling the page cache take
// half as long again. The memory is none of Go's heap, which
// would stay stretched by it.
func touch(bytes int) error {
	memory, err := unix.Mmap(-1, 0, bytes, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return err
	}
	for i := 0; i < len(memory); i += os.Getpagesize() {
		memory[i] = 1
	}
	return unix.Munmap(memory)
}

// jsonSettled is how old a file must be for import to trust one read of it.
const jsonSettled = 2100 * time.Millisecond

func (b *bench) copyTree(dir, source string, round int) error {
	// Nothing is removed before the end of the run: where many files have just been
	// removed, ext4 takes up to ten times as long to create a new one, since it looks
	// for an inode that was not in use lately.
	dir = filepath.Join(dir, fmt.Sprint(round))
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	db, exported, copied := filepath.Join(dir, "pods.db"), filepath.Join(dir, "exported"), filepath.Join(dir, "copied")
	ctx := context.Background()
	timed := func(workload, candidate string, do func() error) error {
		if err := settle(dir); err != nil {
			return err
		}
		start := time.Now()
		if err := do(); err != nil {
			return fmt.Errorf("%s: %w", workload, err)
		}
		r := result{Workload: workload, Candidate: candidate, Pods: b.trees, Round: round, Ops: b.trees, Seconds: time.Since(start).Seconds()}
		b.add(r)
		b.progress("%d directories, round %d: %-8s %.3f s", b.trees, round+1, workload, r.Seconds)
		return nil
	}
	if err := timed(catFiles, "cat", func() error {
		return shell(`find "$1" -name metadata.json -print0 | xargs -0 cat > /dev/null`, source)
	}); err != nil {
		return err
	}
	var s *boltstore.Store
	if err := timed(importDirs, ours, func() (err error) {
		if s, err = boltstore.Open(db, nil); err != nil {
			return err
		}
		report, err := jsonexport.Import(ctx, s, source, jsonexport.ImportOptions{})
		if err == nil && report.Counts[jsonexport.Imported] != b.trees {
			err = fmt.Errorf("imported %v of %d", report.Counts, b.trees)
		}
		return err
	}); err != nil {
		return err
	}
	defer s.Close()
	if err := verifyStore(s, b.treeSet()); err != nil {
		return fmt.Errorf("after import: %w", err)
	}
	info, err := os.Stat(db)
	if err != nil {
		return err
	}
	b.add(result{Workload: onDisk, Candidate: "imported", Pods: b.trees, Round: round, Bytes: info.Size()})
	if err := timed(copyDirs, "cp", func() error { return shell(`cp -r "$1" "$2" && sync -f "$2"`, source, copied) }); err != nil {
		return err
	}
	documents := map[string][]byte{}
	for m := range makePods(b.treeSet()) {
		documents[m.PodName] = podjson.Append(nil, m)
	}
	if err := timed(makeDirs, "raw", func() error { return makeTree(filepath.Join(dir, "raw"), documents) }); err != nil {
		return err
	}
	exportFrom := func(s *boltstore.Store, dir string) error {
		report, err := jsonexport.Export(ctx, s, dir, jsonexport.ExportOptions{})
		if err == nil && report.Counts[jsonexport.Exported] != b.trees {
			err = fmt.Errorf("exported %v of %d", report.Counts, b.trees)
		}
		return err
	}
	if err := timed(exportLive, ours, func() error { return exportFrom(s, exported+"-live") }); err != nil {
		return err
	}
	if err := s.Close(); err != nil {
		return err
	}
	if err := timed(exportDirs, ours, func() error {
		s, err := boltstore.Open(db, &boltstore.Options{ReadOnly: true})
		if err != nil {
			return err
		}
		return errors.Join(exportFrom(s, exported), s.Close())
	}); err != nil {
		return err
	}
	if err := shell(`diff -r "$1" "$2"`, source, exported); err != nil {
		return err
	}
	return forget(dir)
}

// makeTree makes what an export makes, from documents that are in memory: two goroutines
// make the directories and files, with their times, and then all is synced at once.
func makeTree(root string, documents map[string][]byte) error {
	if err := os.Mkdir(root, 0o700); err != nil {
		return err
	}
	at, err := os.Open(root)
	if err != nil {
		return err
	}
	defer at.Close()
	names := slices.Sorted(maps.Keys(documents))
	half := len(names) / 2
	made := make(chan error)
	for _, part := range [][]string{names[:half], names[half:]} {
		go func() {
			for _, name := range part {
				if err := makeFile(int(at.Fd()), name, documents[name]); err != nil {
					made <- err
					return
				}
			}
			made <- nil
		}()
	}
	return errors.Join(<-made, <-made, syncFS(root))
}

func makeFile(root int, pod string, data []byte) error {
	if err := unix.Mkdirat(root, pod, 0o700); err != nil {
		return err
	}
	fd, err := unix.Openat(root, pod+"/metadata.json", unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if _, err := unix.Write(fd, data); err != nil {
		return err
	}
	return unix.Futimes(fd, make([]unix.Timeval, 2))
}

// forget lets go of what a round has in the page cache, for the next round to use the
// same memory.
func forget(dir string) error {
	return filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		return unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
	})
}

// shell runs a script with arguments.
func shell(script string, args ...string) error {
	cmd := exec.Command("sh", append([]string{"-c", script, "sh"}, args...)...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w: %.500s", script, err, out.String())
	}
	return nil
}
