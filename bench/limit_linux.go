package main

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// limitName is what the tables call the floor of any bbolt commit.
const limitName = "LIMIT"

const (
	limitFile = 64 << 20
	limitPage = 4096
)

// measureLimit does what no bbolt commit can do without, and nothing else: three
// pages of 4 KiB side by side, fdatasync, one page, fdatasync, in a file that
// has its size and all its blocks.
func measureLimit(dir string, span time.Duration) (sample, error) {
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
	page := make([]byte, limitPage)
	rng := rand.New(rand.NewPCG(1, 2))
	commit := func() error {
		at := int64(1+rng.IntN(limitFile/limitPage-4)) * limitPage
		page[0]++
		for i := range int64(3) {
			if _, err := f.WriteAt(page, at+i*limitPage); err != nil {
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
	start := time.Now()
	for last := start; last.Sub(start) < span; {
		if err := commit(); err != nil {
			return s, err
		}
		now := time.Now()
		s.latencies = append(s.latencies, now.Sub(last))
		last = now
		s.elapsed = now.Sub(start)
	}
	return s, nil
}
