package jsonlstore

import (
	"maps"
	"os"
	"sync"

	"podstore/store"
)

// named holds files of which this Store knows that their names are on the disk.
// A file that was found may be one that another process made and was killed
// before it could sync the directory.
type named struct {
	mu    sync.Mutex
	files map[gateKey]fileID
}

// maxNamed bounds memory. What is forgotten is synced once more.
const maxNamed = 4096

// syncName brings the names of a file and of its session to the disk, unless
// this Store has done so before or leaves that to the system.
func (s *Store) syncName(t target, d *dir, f *os.File) error {
	if !s.sync {
		return nil
	}
	id, _, err := identify(f)
	if err != nil || s.named.has(t.gate(), id) {
		return err
	}
	if err := d.sync(); err != nil {
		return err
	}
	if err := syncDir(s.root); err != nil {
		return err
	}
	s.named.add(t.gate(), id)
	return nil
}

func (n *named) has(key gateKey, id fileID) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	known, ok := n.files[key]
	return ok && known == id
}

func (n *named) add(key gateKey, id fileID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.files == nil || len(n.files) >= maxNamed {
		n.files = make(map[gateKey]fileID)
	}
	n.files[key] = id
}

func (n *named) forgetSession(session store.SessionID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	maps.DeleteFunc(n.files, func(key gateKey, _ fileID) bool { return key.session == session })
}

func (n *named) forget(key gateKey) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.files, key)
}
