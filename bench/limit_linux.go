package main

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// limitName is what the tables call the floor of any bbolt commit.
const limitName = "LIMIT"

// groupLimit is what a commit of so many changes to a store of 1,000 Pods cannot do
// without: pages of 8 KiB, those of the Pods, which lie anywhere, and those of the
// tree above them and of the freelist, which lie together.
type groupLimit struct{ changes, above int }

// groupLimits are as many pages as podstore writes (strace of BenchmarkAddPeer).
var groupLimits = []groupLimit{{8, 5}, {64, 10}, {256, 10}}

func (g groupLimit) String() string { return fmt.Sprint("LIMIT-", g.changes) }

// groupLimitName is what latency of eight writers is compared with.
var groupLimitName = groupLimits[0].String()

const (
	limitFile = 64 << 20
	metaPage  = 4096
)

// measureLimit does what no bbolt commit can do without, and nothing else: three
// pages of 4 KiB side by side, fdatasync, one page, fdatasync.
func measureLimit(dir string, span time.Duration) (sample, error) {
	return measureCommits(dir, span, metaPage, limitPages())
}

func limitPages() func() []int64 {
	rng := rand.New(rand.NewPCG(1, 2))
	return func() []int64 {
		at := int64(1+rng.IntN(limitFile/metaPage-4)) * metaPage
		return []int64{at, at + metaPage, at + 2*metaPage}
	}
}

// measureAskedLimit is measureLimit where another process asks for each commit and
// waits: what no client of a server can do without.
func (b *bench) measureAskedLimit(dir string, span time.Duration) (s sample, err error) {
	c, err := b.start(job{Part: "limit", Dir: dir})
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, c.end()) }()
	var ready bool
	if err := c.Decode(&ready); err != nil {
		return s, err
	}
	return measure(span, func() error { return errors.Join(c.Encode(true), c.Decode(&ready)) })
}

// limitJob makes a commit whenever it is asked to.
func limitJob(_ *bench, j job, talk conversation) (d done, err error) {
	l, err := openLimit(j.Dir, metaPage)
	if err != nil {
		return d, err
	}
	defer func() { err = errors.Join(err, l.file.Close()) }()
	pages, ask := limitPages(), true
	for err = talk.Encode(true); err == nil; err = errors.Join(l.commit(pages()), talk.Encode(true)) {
		if err = talk.Decode(&ask); errors.Is(err, io.EOF) {
			return d, nil
		} else if err != nil {
			break
		}
	}
	return d, err
}

// measure makes such commits.
func (g groupLimit) measure(dir string, span time.Duration) (sample, error) {
	const page = 8192
	rng := rand.New(rand.NewPCG(1, 3))
	return measureCommits(dir, span, page, func() []int64 {
		var at []int64
		for range g.changes {
			at = append(at, int64(1+rng.IntN(1000))*page)
		}
		slices.Sort(at)
		at = slices.Compact(at)
		for i := range g.above {
			at = append(at, int64(1010+i)*page)
		}
		return at
	})
}

// measureCommits writes pages at the offsets that pages returns, fdatasync, one
// page, fdatasync, in a file that has its size and all its blocks.
func measureCommits(dir string, span time.Duration, size int, pages func() []int64) (sample, error) {
	l, err := openLimit(dir, size)
	if err != nil {
		return sample{}, err
	}
	defer l.file.Close()
	return measure(span, func() error { return l.commit(pages()) })
}

// limitWriter has the file.
type limitWriter struct {
	file *os.File
	page []byte
}

func openLimit(dir string, size int) (*limitWriter, error) {
	f, err := os.OpenFile(filepath.Join(dir, "limit"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && info.Size() < limitFile {
		if _, err = f.WriteAt(make([]byte, limitFile), 0); err == nil {
			err = f.Sync()
		}
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &limitWriter{f, make([]byte, size)}, nil
}

func (l *limitWriter) commit(pages []int64) error {
	l.page[0]++
	for _, at := range pages {
		if _, err := l.file.WriteAt(l.page, at); err != nil {
			return err
		}
	}
	fd := int(l.file.Fd())
	if err := unix.Fdatasync(fd); err != nil {
		return err
	}
	if _, err := l.file.WriteAt(l.page, 0); err != nil {
		return err
	}
	return unix.Fdatasync(fd)
}

// measure does something again and again.
func measure(span time.Duration, do func() error) (s sample, err error) {
	user, system := cpuTime()
	start := time.Now()
	for last := start; last.Sub(start) < span; {
		if err := do(); err != nil {
			return s, err
		}
		now := time.Now()
		s.latencies = append(s.latencies, now.Sub(last))
		last = now
		s.elapsed = now.Sub(start)
	}
	s.user, s.system = cpuTime()
	s.user, s.system = s.user-user, s.system-system
	return s, nil
}
