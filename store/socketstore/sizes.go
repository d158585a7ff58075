package socketstore

import (
	"sync"

	"podstore/store"
)

// sizes remembers how large the lines of Pods were, so that one that is large is
// counted before it is read. Its memory is bounded.
type sizes struct {
	mu         sync.Mutex
	young, old map[sizeKey]int64
}

// sizeKey is a Pod, or where pod is "" the list of names, in part or whole.
type sizeKey struct {
	pod  string
	part store.ReadOptions
}

const maxSizes = 4096

func (s *sizes) get(k sizeKey) (size int64, known bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if size, known = s.young[k]; !known {
		if size, known = s.old[k]; known {
			s.putLocked(k, size)
		}
	}
	return size, known
}

func (s *sizes) put(k sizeKey, size int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.putLocked(k, size)
}

func (s *sizes) putLocked(k sizeKey, size int64) {
	if len(s.young) >= maxSizes || s.young == nil {
		s.old, s.young = s.young, make(map[sizeKey]int64)
	}
	s.young[k] = size
}
