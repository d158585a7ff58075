package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"podstore/store/boltstore"
	"podstore/store/jsonexport"
)

// copyTrees measures import beside reading the same files with cat, and export
// beside cp -r with one sync of the file system.
func (b *bench) copyTrees() error {
	dir := filepath.Join(b.dir, "trees")
	source := filepath.Join(dir, "source")
	if err := os.MkdirAll(source, 0o700); err != nil {
		return err
	}
	if err := writeTree(source, makePods(b.trees)); err != nil {
		return err
	}
	// Files that were written just now are read twice; those to import are older.
	time.Sleep(jsonSettled)
	for round := range b.copies {
		if err := b.copyTree(dir, source, round); err != nil {
			return err
		}
	}
	return os.RemoveAll(dir)
}

// jsonSettled is how old a file must be for import to trust one read of it.
const jsonSettled = 2100 * time.Millisecond

func (b *bench) copyTree(dir, source string, round int) error {
	db, exported, copied := filepath.Join(dir, "pods.db"), filepath.Join(dir, "exported"), filepath.Join(dir, "copied")
	for _, path := range []string{db, exported, copied} {
		if err := os.RemoveAll(path); err != nil {
			return err
		}
	}
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
	if err := verifyStore(s, b.trees); err != nil {
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
	if err := timed(exportDirs, ours, func() error {
		report, err := jsonexport.Export(ctx, s, exported, jsonexport.ExportOptions{})
		if err == nil && report.Counts[jsonexport.Exported] != b.trees {
			err = fmt.Errorf("exported %v of %d", report.Counts, b.trees)
		}
		return err
	}); err != nil {
		return err
	}
	return shell(`diff -r "$1" "$2"`, source, exported)
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
