package boltstore

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"

	"podstore/store"
	"podstore/store/boltstore/internal/boltfile"
)

// Finding is one fault of a database file.
type Finding struct {
	Pod    string // the damaged Pod, or "" if the fault concerns the whole file
	Reason string // what is there and what should be, in one sentence
	Advice string // what to do next, in one sentence
}

// Summary counts what [Check] found.
type Summary struct {
	Pods     int // all Pods, including the damaged ones
	Damaged  int // Pods with a finding
	Findings int
	Space    Space
}

// Check reads every page of a database file and verifies all checksums and records. It
// calls report for each finding: first those of the file, then those of the Pods in the
// order of their names. It does not map the file and changes nothing. It takes the
// shared lock, so that no writer is at work: while a writer has the file open, Check
// fails with store.ErrLocked. Use [Store.Backup] then, which checks its copy, or check a
// copy of [Store.WriteTo]. Whatever the file holds, Check neither panics nor hangs, and
// it needs memory for one Pod only.
//
// A finding is not an error. Check fails with the errors of [Open] if it cannot read
// the file at all, with store.ErrFormat, after all findings, if a newer version wrote a
// Pod, and with the error of ctx.
func Check(ctx context.Context, path string, opts *Options, report func(Finding)) (Summary, error) {
	c := &checker{ctx: ctx, report: report}
	c.read, c.total = opts.progress()
	err := withFile(path, opts, func(f *os.File, size int64) error {
		bf, problems, err := boltfile.OpenDamaged(f, size, false)
		if err != nil {
			return fileError(err)
		}
		for i := range problems {
			c.file(problems[i].Error())
		}
		if !bf.Newest() {
			c.file("one of the two copies of the root is unusable: this may be the state before the last commit, without the Pods that it created or changed")
		}
		return c.walk(bf)
	})
	return c.summary, opError("check", path, err)
}

type checker struct {
	ctx     context.Context
	report  func(Finding)
	summary Summary
	whole   int   // undamaged Pods: podstore wrote this file
	newer   error // a newer version wrote some Pod

	// Findings wait here until it is certain that podstore wrote the file. In any other
	// file they would mean nothing.
	waiting []Finding
	ours    bool

	read  func() // reports progress
	total *int
}

func (c *checker) file(reason string) { c.add(Finding{Reason: reason, Advice: adviceSalvage}) }

func (c *checker) add(f Finding) {
	c.summary.Findings++
	if c.ours {
		c.report(f)
	} else {
		c.waiting = append(c.waiting, f)
	}
}

func (c *checker) confirm() {
	c.ours = true
	for _, f := range c.waiting {
		c.report(f)
	}
	c.waiting = nil
}

func (c *checker) walk(bf *boltfile.File) error {
	var found nameRecord
	var books *boltfile.Bucket
	rep, err := bf.Walk(func(b *boltfile.Bucket) error {
		if err := c.ctx.Err(); err != nil {
			return err
		}
		name := string(b.Name)
		if name == bookkeeping {
			books = b
			*c.total = recorded(b)
			if _, err := readBooks(b); errors.Is(err, store.ErrFormat) {
				return err
			}
			c.confirm()
			return nil
		}
		found.add(b.Name)
		c.summary.Pods++
		c.read()
		c.summary.Space.fresh.add(b)
		if err := store.ValidateName(name); err != nil {
			c.summary.Damaged++
			c.file(fmt.Sprintf("a bucket has a name that no Pod can have: %v", err))
			return nil
		}
		_, err := wholePod(b)
		if errors.Is(err, store.ErrFormat) {
			c.newer = cmp.Or(c.newer, newer(name, err))
			return nil
		}
		for _, in := range b.Inner {
			if !bytes.Equal(in.Name, historyKey) {
				err = errors.Join(err, fmt.Errorf("there is a bucket %.32q inside the Pod's bucket", in.Name))
			}
		}
		if b.Nested > 0 {
			err = errors.Join(err, errors.New("there is a bucket inside the Pod's history"))
		}
		if err == nil {
			c.whole++
		}
		if err != nil || b.Err != nil {
			c.summary.Damaged++
			advice := advicePod
			if b.Err != nil {
				advice = adviceSalvage // see pageDamage
			}
			c.add(Finding{Pod: name, Reason: errors.Join(err, b.Err).Error(), Advice: advice})
		}
		return nil
	})
	if err != nil {
		return err
	}
	if books == nil && c.whole == 0 {
		_, err := readBooks(nil)
		return err // no database of ours
	}
	c.confirm()
	for i := range rep.Problems {
		if rep.Problems[i].Bucket == nil {
			c.file(rep.Problems[i].Error())
		}
	}
	record, err := readBooks(books)
	if c.newer != nil {
		return c.newer
	}
	if err == nil {
		err = record.compare(found)
	}
	if err != nil {
		c.file(err.Error())
	}
	s := rep.Stats
	c.summary.Space = Space{
		FileSize:  s.FileSize,
		PageSize:  int64(s.PageSize),
		FreePages: int64(s.FreePages),
		UsedPages: int64(s.BranchPages + s.LeafPages + s.OverflowPages + s.FreelistPages + 2),
		UsedBytes: s.BranchBytes + s.LeafBytes + int64(s.FreelistPages+2)*int64(s.PageSize),
		fresh:     c.summary.Space.fresh,
	}
	return nil
}
