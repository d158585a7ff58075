package jsonlstore

import (
	"errors"
	"os"
	"sync"

	"podstore/store"
)

// kept are files that stay open between appends, without their locks. To open and close
// the file each time took a fifth of the time of a synced append, and four fifths of an
// unsynced one.
type kept struct {
	mu    sync.Mutex
	files map[gateKey]keptFile
	clock int
}

type keptFile struct {
	f    *os.File
	used int // when, by clock
}

// maxKept bounds the files that stay open. It is small compared with the usual limit of
// 1,024 descriptors.
const maxKept = 64

// take returns the file that is kept under key, or nil, and no longer keeps it. The
// caller must hold the file's gate.
func (k *kept) take(key gateKey) *os.File {
	k.mu.Lock()
	defer k.mu.Unlock()
	at := k.files[key]
	delete(k.files, key)
	return at.f
}

// put keeps a file. If there are too many, it closes the one that was used least recently.
func (k *kept) put(key gateKey, f *os.File) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.files == nil {
		k.files = make(map[gateKey]keptFile)
	}
	k.clock++
	k.files[key] = keptFile{f, k.clock}
	if len(k.files) <= maxKept {
		return
	}
	oldest := key
	for other, at := range k.files {
		if at.used < k.files[oldest].used {
			oldest = other
		}
	}
	k.files[oldest].f.Close()
	delete(k.files, oldest)
}

// forget closes the files of a session.
func (k *kept) forget(session store.SessionID) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for key, at := range k.files {
		if key.session == session {
			at.f.Close()
			delete(k.files, key)
		}
	}
}

// Close closes the files that are kept open, at most 64. It does not wait for operations
// that are under way. The Store may be used afterwards.
func (s *Store) Close() error {
	s.kept.mu.Lock()
	defer s.kept.mu.Unlock()
	var errs []error
	for _, at := range s.kept.files {
		errs = append(errs, at.f.Close())
	}
	clear(s.kept.files)
	return errors.Join(errs...)
}
