package socketstore

import (
	"sync"

	"podstore/store"
)

// sizes remembers the size of each Pod's line, so that the server counts a large one
// before it reads it. Its memory is bounded.
type sizes struct {
	mu         sync.Mutex
	young, old map[sizeKey]int64
}

// sizeKey is a Pod, or the list of names if pod is "".
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
