package main

import (
	"iter"
	"os"
	"path/filepath"
	"sync"

	"podstore/store"
)

// candidate is one way to keep Pods.
type candidate struct {
	name string // short, as in the tables
	what string // one line for the report
	// promise says what holds when an operation returns.
	promise string
	open    func(dir string) (pods, error)
	// layout is the candidate whose files this one opens; "" its own. Candidates
	// that differ in how they write but not in what share one load.
	layout string
	// inMemory says that the candidate reads through a cache or map of its own,
	// which has to be filled before it is measured.
	inMemory bool
}

// pods is an open candidate. Its methods may be called concurrently.
type pods interface {
	// load fills an empty candidate, in name order, as fast as it can, and makes
	// everything durable.
	load(all iter.Seq[*store.Metadata]) error
	// setPeer makes the edit setPeer on one Pod, atomically and as durably as the
	// candidate promises.
	setPeer(pod, peer string, there bool) error
	// read returns one Pod, the caller's to keep, in the form in which a user of
	// the candidate would hold it: see metadataOf.
	read(pod string) (any, error)
	// list returns all names, sorted.
	list() ([]string, error)
	// all gives every Pod with its contents, sorted.
	all(visit func(any) error) error
	close() error
}

// durable reports whether it is a peer that keeps what it acknowledged.
func (c *candidate) durable() bool {
	return c.name != ours && c.name != oldName && c.name != "json-now"
}

// ours is the candidate that the others are compared with.
const ours = "podstore"

// older is an earlier build of ours, in a program that was built with the tag old.
var older []*candidate

// oldName is that build's name.
const oldName = "podstore-2edd66e"

// candidates returns every candidate, ours first.
func candidates() []*candidate {
	return append([]*candidate{podstoreCandidate()}, append(older, jsonNowCandidate(), jsonSafeCandidate(),
		sqliteCandidate(), sqliteGroupedCandidate(), pebbleCandidate(), badgerCandidate(),
		bboltUpdateCandidate(), bboltBatchCandidate())...)
}

// metadataOf turns what read or all gave into metadata, outside of what is
// timed.
func metadataOf(v any) (*store.Metadata, error) {
	if d, ok := v.(interface {
		metadata() (*store.Metadata, error)
	}); ok {
		return d.metadata()
	}
	return v.(*store.Metadata), nil
}

// makePods yields all Pods of a set.
func makePods(of set) iter.Seq[*store.Metadata] {
	return func(yield func(*store.Metadata) bool) {
		for i := range of.Pods {
			if !yield(makePod(i, of.Manifest)) {
				return
			}
		}
	}
}

// stripes lock Pods by name, for candidates that have no read-modify-write of
// their own.
type stripes [1024]sync.Mutex

func (s *stripes) of(pod string) *sync.Mutex {
	h := uint32(2166136261)
	for i := range len(pod) {
		h = (h ^ uint32(pod[i])) * 16777619
	}
	return &s[h%uint32(len(s))]
}

// diskUsage is what a directory takes on disk, in bytes.
func diskUsage(dir string) (int64, error) {
	var total int64
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil {
			total += allocated(info)
		}
		return err
	})
	return total, err
}
