package boltfile

const (
	chunkWords = 64
	chunkPages = chunkWords * 64
)

// pageSet is a set of page ids, one bit each. It takes memory only near ids in the set,
// so a file that claims a vast number of pages costs nothing.
type pageSet struct {
	chunks map[uint64]*[chunkWords]uint64
	n      uint64

	// The chunk of the last add: ids mostly come in ascending runs.
	last   *[chunkWords]uint64
	lastID uint64
}

func (s *pageSet) has(id uint64) bool {
	c := s.chunks[id/chunkPages]
	return c != nil && c[id%chunkPages/64]&(1<<(id%64)) != 0
}

// add reports whether id was not in the set before.
func (s *pageSet) add(id uint64) bool {
	c := s.last
	if c == nil || s.lastID != id/chunkPages {
		c = s.chunk(id / chunkPages)
	}
	w, bit := &c[id%chunkPages/64], uint64(1)<<(id%64)
	if *w&bit != 0 {
		return false
	}
	*w |= bit
	s.n++
	return true
}

func (s *pageSet) chunk(n uint64) *[chunkWords]uint64 {
	c := s.chunks[n]
	if c == nil {
		if s.chunks == nil {
			s.chunks = make(map[uint64]*[chunkWords]uint64)
		}
		c = new([chunkWords]uint64)
		s.chunks[n] = c
	}
	s.last, s.lastID = c, n
	return c
}
