package boltstore

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"os"

	"podstore/store"
	"podstore/store/boltstore/internal/boltfile"
	"podstore/store/internal/codec"
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

// Space says how a database file is filled. Sizes are in bytes.
type Space struct {
	FileSize  int64
	PageSize  int64
	FreePages int64 // pages that the next commits can use
	UsedPages int64 // pages that hold something
	UsedBytes int64 // bytes in use in them

	fresh freshSize
}

// freshSize is what the Pods of a file would take in a new one.
type freshSize struct {
	tree  int64 // bytes in the tree of names, small Pods with them
	pages int64 // pages of Pods that have their own
}

// add counts a Pod as bbolt lays it out: in the tree of names up to a quarter of a
// page, on pages of its own beyond that.
func (f *freshSize) add(b *boltfile.Bucket) {
	const element, header = 16, 16 // of a page: an element, its header
	size := int64(header)
	for _, kv := range b.Values {
		size += element + int64(len(kv.Key)+len(kv.Value))
	}
	for _, in := range b.Inner {
		inner := int64(header)
		for _, kv := range in.Values {
			inner += element + int64(len(kv.Key)+len(kv.Value))
		}
		f.pages += (inner + pageSize - 1) / pageSize
		size += element + header
	}
	f.tree += element + header + int64(len(b.Name))
	if size <= pageSize/4 && len(b.Inner) == 0 {
		f.tree += size
		return
	}
	f.pages += (size + pageSize - 1) / pageSize
}

// Reclaimable estimates how many bytes Compact would save. A new file leaves
// about a tenth of the tree of names empty, and grows by doubling up to 1 MiB and
// in steps of 1 MiB from there.
func (s Space) Reclaimable() int64 {
	fresh := s.fresh.tree*10/9 + (s.fresh.pages+4)*pageSize
	if fresh > allocSize {
		fresh += allocSize
	} else {
		size := int64(64 << 10)
		for size < fresh {
			size *= 2
		}
		fresh = size
	}
	return max(0, s.FileSize-fresh)
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

// adviceSalvage is what to do about damage that no single Pod owns.
const (
	adviceSalvage = "restore a backup, or salvage copies every Pod that is whole into a new file"
	advicePod     = "write or import this Pod again, or delete it; the others are not affected"
)

type checker struct {
	ctx     context.Context
	report  func(Finding)
	summary Summary
	whole   int   // Pods whose digest shows that podstore wrote them
	newer   error // there is a Pod that a newer version wrote

	// Findings wait until it is known that the file has a format of ours: those of
	// another one would be none.
	waiting []Finding
	judged  bool

	read  func() // tells progress
	total *int
}

func (c *checker) file(reason string) { c.add(Finding{Reason: reason, Advice: adviceSalvage}) }

func (c *checker) add(f Finding) {
	c.summary.Findings++
	if c.judged {
		c.report(f)
	} else {
		c.waiting = append(c.waiting, f)
	}
}

func (c *checker) judge() {
	c.judged = true
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
			c.judge()
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
	c.judge()
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

// wholePod takes a Pod from what could be read of its bucket, or says why it is not
// whole. Of a sub-key that was found more than once, as in a damaged page, it takes
// the one whose checksum is right; digest and stamp decide whether all is there.
func wholePod(b *boltfile.Bucket) (*rawPod, error) {
	p := &rawPod{stored: stored{name: string(b.Name), nameSum: codec.NameSum(b.Name), digest: b.Sequence}}
	for _, kv := range b.Values {
		i := codec.SubKeyIndex(kv.Key)
		if i < 0 {
			return nil, p.unknown(kv.Key, kv.Value)
		}
		if _, ok := unseal(p.nameSum, i, kv.Value); ok || p.values[i] == nil {
			p.values[i] = kv.Value
		}
	}
	for _, in := range b.Inner {
		if !bytes.Equal(in.Name, historyKey) {
			continue
		}
		p.chunks = true
		for _, kv := range in.Values {
			p.history = append(p.history, chunk{kv.Key, kv.Value})
		}
	}
	if err := p.finish(); err != nil {
		return nil, err
	}
	_, err := p.metadata()
	return p, err
}

// readBooks reads the record of names, and makes sure that all of the bookkeeping is
// whole.
func readBooks(b *boltfile.Bucket) (*nameRecord, error) {
	if b == nil {
		return nil, &store.Error{Kind: store.ErrFormat, Err: errors.New("this is a bbolt file, but not a podstore database, or its bookkeeping is lost")}
	}
	values := make(map[string][]byte)
	for _, kv := range b.Values {
		values[string(kv.Key)] = kv.Value
	}
	if _, err := parseFormat(values[keyFormat]); err != nil {
		return nil, err
	}
	for key, value := range values {
		if err := knownRecord(key, value); err != nil {
			return nil, err
		}
	}
	if _, err := readBase(values[keyBase]); err != nil {
		return nil, err
	}
	if _, err := parseDeletions(values[keyDeletions]); err != nil {
		return nil, err
	}
	return parseRecord(values[keyNames])
}

// recorded is how many Pods the bookkeeping bucket says there are, or 0.
func recorded(books *boltfile.Bucket) int {
	record, err := readBooks(books)
	if err != nil {
		return 0
	}
	return int(min(record.count, math.MaxInt32))
}

// withFile opens and locks a file for reading, without bbolt.
func withFile(path string, opts *Options, f func(file *os.File, size int64) error) error {
	var o Options
	if opts != nil {
		o = *opts
	}
	o.ReadOnly = true
	s := &Store{path: path}
	if err := s.openFile(&o); err != nil {
		return err
	}
	info, err := s.file.Stat()
	if err == nil {
		err = f(s.file, info.Size())
	}
	return errors.Join(err, s.file.Close())
}

// fileError is the error for a file that boltfile cannot open.
func fileError(err error) error {
	if errors.Is(err, boltfile.ErrNotBolt) {
		return &store.Error{Kind: store.ErrFormat, Err: errors.New("this is not a podstore database, or its beginning is lost")}
	}
	return &store.Error{Kind: store.ErrCorrupt, Err: fmt.Errorf("%w; %s", err, adviceSalvage)}
}

// opError puts operation and path on an error of a function that concerns a
// whole file.
func opError(op, path string, err error) error {
	var e *store.Error
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &e):
		return &store.Error{Op: op, Path: path, Kind: kindOf(err), Err: err}
	}
	if e.Op == "" {
		e.Op = op
	}
	if e.Path == "" && e.Pod == "" {
		e.Path = path
	}
	return err
}
