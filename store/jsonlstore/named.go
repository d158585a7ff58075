package jsonlstore

import (
	"fmt"
	"maps"
	"os"
	"sync"

	"podstore/store"
	"podstore/store/internal/osfs"
)

// named holds the files whose names this Store knows to be on the disk. The name of any
// other file may not be: the process that made it may have been killed before it synced
// the directory.
type named struct {
	mu    sync.Mutex
	files map[gateKey]osfs.ID
}

// maxNamed bounds memory. A file that is forgotten costs one more sync.
const maxNamed = 4096

// syncName makes the names of a file and of its session durable, unless this Store has
// done so before, or does not sync.
func (s *Store) syncName(t target, d osfs.Dir, f *os.File) error {
	if !s.sync {
		return nil
	}
	st, err := osfs.Stat(f)
	if err != nil || s.named.has(t.gate(), st.ID) {
		return err
	}
	err = d.Sync()
	if err == nil {
		err = osfs.SyncDir(s.root)
	}
	if err != nil {
		return fmt.Errorf("syncing the directories: %w", err)
	}
	s.named.add(t.gate(), st.ID)
	return nil
}

func (n *named) has(key gateKey, id osfs.ID) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	known, ok := n.files[key]
	return ok && known == id
}

func (n *named) add(key gateKey, id osfs.ID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.files == nil || len(n.files) >= maxNamed {
		n.files = make(map[gateKey]osfs.ID)
	}
	n.files[key] = id
}

func (n *named) forgetSession(session store.SessionID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	maps.DeleteFunc(n.files, func(key gateKey, _ osfs.ID) bool { return key.session == session })
}

func (n *named) forget(key gateKey) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.files, key)
}
