package main

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// limitName is what the tables call the floor of any bbolt commit, groupLimitName
// what a commit of 8 changes cannot do without.
const (
	limitName      = "LIMIT"
	groupLimitName = "LIMIT-8"
)

const (
	limitFile = 64 << 20
	metaPage  = 4096
)

// measureLimit does what no bbolt commit can do without, and nothing else: three
// pages of 4 KiB side by side, fdatasync, one page, fdatasync.
func measureLimit(dir string, span time.Duration) (sample, error) {
	rng := rand.New(rand.NewPCG(1, 2))
	return measureCommits(dir, span, metaPage, func() []int64 {
		at := int64(1+rng.IntN(limitFile/metaPage-4)) * metaPage
		return []int64{at, at + metaPage, at + 2*metaPage}
	})
}

// measureGroupLimit does the same for the pages of 8 KiB that 8 changes at a time
// touch in a store of 1,000 Pods: theirs, which lie anywhere, and those of the
// tree above them and of the freelist, which lie together.
func measureGroupLimit(dir string, span time.Duration) (sample, error) {
	const page, pods, above = 8192, 8, 5
	rng := rand.New(rand.NewPCG(1, 3))
	return measureCommits(dir, span, page, func() []int64 {
		var at []int64
		for range pods {
			at = append(at, int64(1+rng.IntN(1000))*page)
		}
		slices.Sort(at)
		for i := range above {
			at = append(at, int64(1010+i)*page)
		}
		return at
	})
}

// measureCommits writes pages at the offsets that pages returns, fdatasync, one
// page, fdatasync, in a file that has its size and all its blocks.
func measureCommits(dir string, span time.Duration, size int, pages func() []int64) (sample, error) {
	f, err := os.OpenFile(filepath.Join(dir, "limit"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return sample{}, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil {
		return sample{}, err
	} else if info.Size() < limitFile {
		if _, err := f.WriteAt(make([]byte, limitFile), 0); err != nil {
			return sample{}, err
		}
		if err := f.Sync(); err != nil {
			return sample{}, err
		}
	}
	fd := int(f.Fd())
	page := make([]byte, size)
	commit := func(pages []int64) error {
		page[0]++
		for _, at := range pages {
			if _, err := f.WriteAt(page, at); err != nil {
				return err
			}
		}
		if err := unix.Fdatasync(fd); err != nil {
			return err
		}
		if _, err := f.WriteAt(page, 0); err != nil {
			return err
		}
		return unix.Fdatasync(fd)
	}
	var s sample
	user, system := cpuTime()
	start := time.Now()
	for last := start; last.Sub(start) < span; {
		if err := commit(pages()); err != nil {
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
