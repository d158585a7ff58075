// Package boltfile reads the page structure of a bbolt file without mapping it and
// without bbolt. It checks a damaged file, and takes out what is still readable, before
// bbolt sees the file.
//
// bbolt trusts its file: damage makes it panic, fault, or follow a cycle of pages until
// memory is gone. This package checks everything that it reads. Whatever the file holds,
// no call panics. It reads each page at most twice as the start of a node and twice as a
// continuation, so the work is proportional to the size of the file. Recursion is
// bounded. Memory stays within the pages of one top-level bucket, plus a few bits for
// each page reached.
//
// # Format
//
// The file is an array of pages. Integers are little-endian; bbolt writes them
// in the byte order of the machine, and files from big-endian machines are
// refused by name.
//
//	page        id u64 · flags u16 · count u16 · overflow u32, then by flags:
//	 1 branch   count × (pos u32 · ksize u32 · child page u64), then the keys
//	 2 leaf     count × (flags u32 · pos u32 · ksize u32 · vsize u32), then keys and values
//	 4 meta     magic u32 · version u32 · page size u32 · flags u32 · root page u64 ·
//	            root sequence u64 · freelist page u64 · high water u64 · txid u64 ·
//	            FNV-1a u64 of the 56 bytes before it
//	16 freelist count × page u64; with count 0xFFFF the first entry is the count
//
// A node that does not fit its page goes on in the overflow pages that follow
// it. pos is counted from the start of its own element, and bbolt always packs
// keys and values end to end in the order of the elements, so one wrong count
// or length anywhere in a page shows. In a leaf, an element with flag 1 is a
// bucket: its value is root page u64 · sequence u64, and when the root page is
// 0 a small leaf page follows in place. Pages 0 and 1 are metas; transaction n
// writes the one at n mod 2, so that the other still describes n-1.
package boltfile

import (
	"io"
)

// NoFreelist is Meta.Freelist in a file that was written without a freelist (bbolt's
// Options.NoFreelistSync). Every page that is not reached is free.
const NoFreelist = ^uint64(0)

// These limit the page sizes of a file. All are powers of two.
const (
	minPageSize = 512
	maxPageSize = 64 << 10
)

// minHighWater is the high water of a file that bbolt has just created: two metas, a
// freelist and an empty leaf. It never becomes lower.
const minHighWater = 4

// Meta is one of the two records from which a file is read.
type Meta struct {
	PageID       uint64 // where it is: 0 or 1
	PageSize     int    // in bytes
	Version      uint32 // of bbolt's format; always 2
	Flags        uint32
	Root         uint64 // root page of the tree of top-level buckets
	RootSequence uint64
	Freelist     uint64 // first page of the freelist, or NoFreelist
	HighWater    uint64 // first page id that was never used
	TxID         uint64 // transaction that wrote it
}

// File is a bbolt file as one of its metas describes it. It holds only the set of free
// pages. Several goroutines may use it at once, if they may use its reader.
type File struct {
	r      io.ReaderAt
	size   int64
	meta   Meta
	newest bool
	pages  uint64  // pages that may be used: below high water and inside the file
	free   pageSet // the pages in the freelist

	// knowsFree is false if there is no freelist or it could not be read.
	knowsFree     bool
	freelistPages uint64 // pages of the freelist itself, from meta.Freelist
}

// Open checks what a few pages can show. Both metas must be valid, each on the page
// that its transaction selects and exactly one transaction apart; otherwise the last
// commit may have been lost without a trace. The newest must stay in bounds, the file
// must not be shorter than it says, and root page and freelist must be sound. Open
// reads the metas, the start of the root page, and the freelist.
//
// size is the size of the file in bytes. r must not change while the File is used. The
// error is a *Problem that names the broken rule. It matches ErrNotBolt if neither meta
// looks like bbolt's, and wraps the read error if the file could not be read.
func Open(r io.ReaderAt, size int64) (*File, error) {
	f, problems, err := inspect(r, size, false)
	if err != nil {
		return nil, err
	}
	if len(problems) > 0 {
		return nil, &problems[0]
	}
	return f, nil
}

// OpenDamaged opens a file that Open would refuse, as long as one meta is valid, and
// returns its problems. It takes the newest valid meta, or, with older, the one before
// it, which describes the state before the last commit. It fails with a *Problem if
// there is no such meta.
func OpenDamaged(r io.ReaderAt, size int64, older bool) (*File, []Problem, error) {
	return inspect(r, size, older)
}

// Meta returns the meta that describes the file.
func (f *File) Meta() Meta { return f.meta }

// Newest reports whether this is certainly the state after the last commit: both metas
// are there, from two successive transactions, and this is the later one.
func (f *File) Newest() bool { return f.newest }

// inspect applies all rules of Open. Its error means that the file cannot be
// read at all; problems are in the order in which the rules depend on each
// other.
func inspect(r io.ReaderAt, size int64, older bool) (*File, []Problem, error) {
	metas, problems, err := readMetas(r, size)
	if err != nil {
		return nil, nil, err
	}
	m, err := choose(metas, older)
	if err != nil {
		return nil, nil, err
	}
	f := &File{r: r, size: size, meta: m}
	f.newest = !older && metas[0] != nil && metas[1] != nil && inARow(metas[0].TxID, metas[1].TxID)
	problems = append(problems, f.checkBounds()...)
	problems = append(problems, f.readFreelist()...)
	problems = append(problems, f.checkRoot()...)
	return f, problems, nil
}

// checkBounds compares the meta's own fields and the size of the file, and sets the
// number of usable pages.
func (f *File) checkBounds() []Problem {
	var ps []Problem
	m := f.meta
	if m.HighWater < minHighWater {
		ps = append(ps, problem(m.PageID, nil, "meta's high water is %d, expected at least %d", m.HighWater, minHighWater))
	}
	if m.Root < 2 || m.Root >= m.HighWater {
		ps = append(ps, problem(m.PageID, nil, "meta's root page is %d, expected one between 2 and the high water %d", m.Root, m.HighWater))
	}
	if m.Freelist != NoFreelist && (m.Freelist < 2 || m.Freelist >= m.HighWater) {
		ps = append(ps, problem(m.PageID, nil, "meta's freelist page is %d, expected one between 2 and the high water %d", m.Freelist, m.HighWater))
	}
	whole := uint64(f.size) / uint64(m.PageSize)
	f.pages = m.HighWater
	if whole < m.HighWater {
		ps = append(ps, problem(NoPage, nil, "the file is %d bytes, shorter than the %d pages of %d bytes that its meta says are in use", f.size, m.HighWater, m.PageSize))
		// The file may end within the last page.
		f.pages = min(f.pages, (uint64(f.size)+uint64(m.PageSize)-1)/uint64(m.PageSize))
	}
	return ps
}

// checkRoot reads the header of the root page.
func (f *File) checkRoot() []Problem {
	id := f.meta.Root
	if id < 2 || id >= f.pages {
		return nil // already reported
	}
	var buf [pageHeaderSize]byte
	if err := f.readAt(buf[:], id); err != nil {
		return []Problem{unreadable(id, err)}
	}
	h := parseHeader(buf[:])
	switch {
	case h.id != id:
		return []Problem{problem(id, nil, "the root page says that it is page %d", h.id)}
	case h.flags != branchPage && h.flags != leafPage:
		return []Problem{problem(id, nil, "the root page has flags %#x, expected a branch (1) or a leaf (2)", h.flags)}
	case f.free.has(id):
		return []Problem{problem(id, nil, "the root page is in the freelist")}
	}
	return nil
}

// readAt fills buf from the start of a page.
func (f *File) readAt(buf []byte, page uint64) error {
	return readFull(f.r, buf, int64(page)*int64(f.meta.PageSize))
}

// readFull is ReadAt that accepts an io.EOF together with all the bytes.
func readFull(r io.ReaderAt, buf []byte, off int64) error {
	n, err := r.ReadAt(buf, off)
	if n == len(buf) {
		return nil
	}
	if err == nil || err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return err
}
