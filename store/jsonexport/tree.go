package jsonexport

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"time"

	"podstore/store"
	"podstore/store/internal/osfs"
)

// treeWriter writes Pods into a directory that does not exist yet. It writes them into a
// temporary directory beside it, makes that durable as a whole, and then renames it. So
// no file needs a temporary name, and only the last sync counts. Earlier syncs run beside
// the writing, to leave the last one little to do.
type treeWriter struct {
	batchWriter            // renders and writes in parallel
	path        string     // of the directory to make
	parent      osfs.Dir   // the directory above it
	temp        string     // its name in parent until it is whole
	parts       int        // calls of write so far
	owner       osfs.Owner // of everything in it
	adopt       bool       // directories in it must be given owner and mode
	syncing     chan int   // closed when the latest sync has ended
}

// There is a sync after every treeSync calls of write.
const treeSync = 10

// newTreeWriter begins to write a directory of about n Pods at path, where nothing is.
// limit is the size limit of a file. It returns nil if this is not the faster way, or if
// a sync of the whole file system cannot be relied on.
func newTreeWriter(path string, limit int64, n int) (podWriter, *podFiles, error) {
	path, plain := plainPath(path)
	if n < manyPods || !plain || filepath.Base(path) == "." {
		return nil, nil, nil
	}
	above := filepath.Dir(path)
	if err := osfs.MkdirAll(above, true); err != nil {
		return nil, nil, err
	}
	parent, err := osfs.OpenRoot(above)
	if err != nil {
		return nil, nil, err
	}
	if !parent.CanSyncAll() {
		parent.Close()
		return nil, nil, nil
	}
	removeTrees(parent)
	temp, dir, masked, err := makeTree(parent)
	if err != nil {
		parent.Close()
		return nil, nil, err
	}
	p := newPodFiles(path, limit)
	p.root, p.missing = dir, false
	owner, err := dir.OwnerOfNew()
	if err != nil {
		dir.Close()
		removeTree(parent, temp)
		parent.Close()
		return nil, nil, err
	}
	w := &treeWriter{path: path, parent: parent, temp: temp, owner: owner, adopt: masked || owner.Given()}
	w.p, w.op, w.workers = p, "export", max(2, runtime.GOMAXPROCS(0))
	w.buffers = make([]buffers, w.workers)
	return w, p, nil
}

// makeTree creates and locks a directory with a new name in parent. masked reports whether
// the umask took rights from its owner.
func makeTree(parent osfs.Dir) (name string, dir osfs.Dir, masked bool, err error) {
	owner, err := parent.OwnerOfNew()
	if err != nil {
		return "", osfs.Dir{}, false, err
	}
	for range attempts {
		name = fmt.Sprintf("%s%016x", treePrefix, rand.Uint64())
		if err = parent.Mkdir(name); err != nil {
			return "", osfs.Dir{}, false, err
		}
		if st, err := parent.Stat(name); err == nil {
			masked = st.Perm != 0o700
		}
		locked := false
		if dir, err = parent.Adopt(name, owner); err == nil {
			if locked, err = dir.TryLock(); locked {
				if _, err = parent.Stat(name); err == nil {
					return name, dir, masked, nil
				}
			}
			dir.Close()
		}
		// Before it was locked, another export may have removed it as left behind.
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			_ = parent.RemoveDir(name)
			return "", osfs.Dir{}, false, err
		}
	}
	return "", osfs.Dir{}, false, errors.New("others remove each directory that is made; run the same command again")
}

// removeTrees removes the directories of exports that were killed.
func removeTrees(parent osfs.Dir) {
	names, err := parent.Names()
	if err != nil {
		return // this user may search it, not read it; another export will remove them
	}
	for _, name := range names {
		if !isTree(name) {
			continue
		}
		if dir, err := parent.Sub(name); err == nil {
			// A Pod may have such a name too. It has a metadata.json, where a tree has Pods.
			st, statErr := dir.Stat(fileName)
			if statErr != nil || st.Mode.IsDir() {
				if locked, err := dir.TryLock(); locked && err == nil {
					removeTree(parent, name)
				}
			}
			dir.Close()
		}
	}
}

// removeTree removes a directory and its contents, as far as it can.
func removeTree(parent osfs.Dir, name string) {
	if dir, err := parent.Sub(name); err == nil {
		entries, _ := dir.Entries(name)
		for _, e := range entries {
			if e.IsDir() {
				removeTree(dir, e.Name())
			} else {
				_ = dir.Remove(e.Name())
			}
		}
		dir.Close()
	}
	_ = parent.RemoveDir(name)
}

// write begins to write Pods, and returns those of the call before, which are written.
func (w *treeWriter) write(items []batchItem) ([]batchItem, error) {
	for i := range items {
		// One after the other: two workers would wait for each other here.
		if it := &items[i]; it.err == nil {
			it.err = w.begin(it)
		}
	}
	done, err := w.settle()
	w.staged, w.ended = items, make(chan struct{})
	go func() {
		defer close(w.ended)
		w.each(items, func(b *buffers, it *batchItem) {
			if it.err == nil {
				it.err = w.finishPod(b, it)
			}
			it.m = nil
		})
	}()
	if w.parts++; w.parts%treeSync == 0 {
		w.beginSync()
	}
	return done, w.once(err)
}

// beginSync begins a sync beside the writing, once the one before has ended. It ignores
// the error: the last sync meets it too.
func (w *treeWriter) beginSync() {
	before := w.syncing
	w.syncing = make(chan int)
	go func(done chan int) {
		defer close(done)
		if before != nil {
			<-before
		}
		_ = w.p.root.SyncAll()
	}(w.syncing)
}

// begin creates a Pod's directory.
func (w *treeWriter) begin(it *batchItem) error {
	if cause := w.whole.Load(); cause != nil {
		return w.p.writeError(w.op, it.pod, *cause)
	}
	if err := store.ValidateName(it.pod); err != nil {
		return named(err, w.op)
	}
	err := w.p.root.Mkdir(it.pod)
	if err == nil && w.adopt {
		var dir osfs.Dir
		if dir, err = w.p.root.Adopt(it.pod, w.owner); err == nil {
			dir.Close()
		}
	}
	if err != nil {
		return w.failure(it, err)
	}
	return nil
}

// finishPod writes a Pod's file.
func (w *treeWriter) finishPod(b *buffers, it *batchItem) (err error) {
	if b.data, err = w.p.render(b.data[:0], it.m, w.p.naming); err == nil {
		err = w.writeFile(it.pod, b.data, it.m.Version.Changed)
	}
	if err != nil {
		_ = w.p.root.RemoveDir(it.pod)
		return w.failure(it, err)
	}
	it.exported = true
	return nil
}

// writeFile writes a Pod's file into its new directory.
func (w *treeWriter) writeFile(pod string, data []byte, modified time.Time) error {
	dir, err := w.p.root.Sub(pod)
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := dir.WriteFile(fileName, w.owner, data, modified, false); err != nil {
		_ = dir.Remove(fileName)
		return err
	}
	return nil
}

// settle waits for the Pods that are being written.
func (w *treeWriter) settle() (done []batchItem, err error) {
	if w.ended == nil {
		return nil, nil
	}
	<-w.ended
	done, w.staged, w.ended = w.staged, nil, nil
	return done, whole(done)
}

// finish makes the directory durable and renames it to its final name. If that fails, it
// removes the directory, and the error matches errUnpublished.
func (w *treeWriter) finish() ([]batchItem, error) {
	done, err := w.settle()
	err = w.once(err)
	if w.syncing != nil {
		<-w.syncing
	}
	failed := w.p.root.SyncAll()
	if failed == nil {
		failed = w.publish()
	}
	if failed != nil {
		w.discard()
		failed = &store.Error{Op: w.op, Path: w.path, Kind: osfs.Kind(failed), Err: fmt.Errorf("%w: %w", errUnpublished, failed)}
		return nil, errors.Join(err, failed)
	}
	w.parent.Close()
	w.temp = ""
	return done, err
}

// publish renames the directory to its final name, durably.
func (w *treeWriter) publish() error {
	name := filepath.Base(w.path)
	err := w.parent.RenameNew(w.temp, name)
	switch {
	case err == nil:
		if err = w.parent.Sync(); err != nil {
			_ = w.parent.RenameNew(name, w.temp)
		}
	case errors.Is(err, fs.ErrExist):
		err = errors.New("something of that name was created meanwhile; run the same command again")
	}
	return err
}

// discard removes the directory, unless it was published.
func (w *treeWriter) discard() {
	if w.temp == "" {
		return
	}
	if w.ended != nil {
		<-w.ended
	}
	if w.syncing != nil {
		<-w.syncing
	}
	removeTree(w.parent, w.temp)
	w.parent.Close()
	w.temp = ""
}
