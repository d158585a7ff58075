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

// Finding is one thing that is wrong with a database file.
type Finding struct {
	Pod    string // the Pod it concerns, or "" for the file as a whole
	Reason string // what was found and what was expected, one sentence
	Advice string // what to do next, one sentence
}

// Summary is what [Check] read.
type Summary struct {
	Pods     int // Pods that were found, damaged ones included
	Damaged  int // Pods with a finding
	Findings int
	Space    Space
}

// Check reads every page of a database file without mapping it, verifies all
// checksums and records, and calls report for each finding, the file's first,
// then the Pods' in the order of their names. It takes the shared lock, so that
// no writer is at work, and changes nothing. Whatever the file holds, Check
// neither panics nor hangs, and needs memory for one Pod.
//
// Findings are no error. It fails with the errors of [Open] where the file cannot
// be read at all, with store.ErrFormat, after all findings, where a newer version wrote
// a Pod, and with the context's.
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
			c.file("one of the two copies of the root is unusable: what was read may be the state before the last commit, so that Pods created or changed by that are not seen")
		}
		return c.walk(bf)
	})
	return c.summary, opError("check", path, err)
}

type checker struct {
	ctx     context.Context
	report  func(Finding)
	summary Summary
	whole   int   // Pods whose digest shows that podstore wrote them
	newer   error // there is a Pod that a newer version wrote

	// Findings wait until it is known that the file has a format of ours: those of
	// another one would be none.
	waiting []Finding
	ours    bool

	read  func() // tells progress
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
			c.add(Finding{Pod: name, Reason: errors.Join(err, b.Err).Error(), Advice: advicePod})
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
