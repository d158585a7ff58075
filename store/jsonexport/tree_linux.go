package jsonexport

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"

	"podstore/store"
)

// treeWriter writes Pods into a directory that does not exist yet: into one beside
// it, which is made durable as a whole and then gets its name. So no file needs a
// temporary name, and there is one sync that counts; others begin meanwhile, so that
// it finds little to do.
type treeWriter struct {
	batchWriter        // what renders and writes in parallel
	path        string // of the directory that is to be
	parent      folder // what it will be in
	temp        string // its name there, until it is whole
	parts       int    // how many were written
	owner       fileState
	owned       bool     // everything is to have that owner
	masked      bool     // the umask takes rights of the owner
	syncing     chan int // closed when the sync that was begun last has ended
}

// treeSync is how many parts are written from one sync to the next.
const treeSync = 10

// newTreeWriter begins to write a directory, n Pods or so, at path, where nothing
// is; limit is the size limit of a file. It returns nil where that is not the faster
// way, or a sync of the whole file system not to be relied on.
func newTreeWriter(path string, limit int64, n int) (podWriter, *podFiles, error) {
	path, plain := plainPath(path)
	if n < manyPods || !plain || filepath.Base(path) == "." {
		return nil, nil, nil
	}
	above := filepath.Dir(path)
	if err := createRoot(above); err != nil {
		return nil, nil, err
	}
	parent, err := openRoot(above)
	if err != nil {
		return nil, nil, err
	}
	if !parent.canSyncAll() {
		parent.close()
		return nil, nil, nil
	}
	parent.removeTrees()
	temp, dir, masked, err := parent.makeTree()
	if err != nil {
		parent.close()
		return nil, nil, err
	}
	p := newPodFiles(path, limit)
	p.root, p.missing = dir, false
	w := &treeWriter{path: path, parent: parent, temp: temp}
	w.owner, w.owned = dir.ownerOfNew()
	w.masked = masked
	w.p, w.op, w.workers = p, "export", max(2, runtime.GOMAXPROCS(0))
	w.buffers = make([]buffers, w.workers)
	return w, p, nil
}

// makeTree creates and locks a directory of a new name. masked tells that the umask took
// rights of the owner.
func (f folder) makeTree() (name string, dir folder, masked bool, err error) {
	for range attempts {
		name = fmt.Sprintf("%s%016x", treePrefix, rand.Uint64())
		if err = f.mkdir(name); err != nil {
			return "", folder{}, false, err
		}
		if st, err := f.stat(name); err == nil {
			masked = st.perm != 0o700
		}
		if dir, err = f.adopt(name); err == nil {
			if err = dir.lock(); err == nil {
				if _, err = f.stat(name); err == nil {
					return name, dir, masked, nil
				}
			}
			dir.close()
		}
		// Before it was locked another export may have taken it for one that was left
		// behind.
		if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.EWOULDBLOCK) {
			_ = f.removeDir(name)
			break
		}
	}
	return "", folder{}, false, err
}

// removeTrees removes what exports left behind that were killed.
func (f folder) removeTrees() {
	entries, err := f.entries(".")
	if err != nil {
		return // it may be searched, not read: others will
	}
	for _, e := range entries {
		if !isTree(e.Name()) {
			continue
		}
		if dir, err := f.sub(e.Name()); err == nil {
			// A Pod may have such a name too. It has a file where a tree has Pods.
			if st, err := dir.stat(fileName); (err != nil || st.mode.IsDir()) && dir.lock() == nil {
				f.removeTree(e.Name())
			}
			dir.close()
		}
	}
}

// removeTree removes a directory with what is in it, as far as it can.
func (f folder) removeTree(name string) {
	if dir, err := f.sub(name); err == nil {
		entries, _ := dir.entries(name)
		for _, e := range entries {
			if e.IsDir() {
				dir.removeTree(e.Name())
			} else {
				_ = dir.remove(e.Name())
			}
		}
		dir.close()
	}
	_ = f.removeDir(name)
}

// lock locks a directory, unless another process has.
func (f folder) lock() error {
	return uninterrupted(func() error { return unix.Flock(f.fd, unix.LOCK_EX|unix.LOCK_NB) })
}

// write begins to write Pods, and returns those that were written meanwhile.
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

// beginSync begins a sync beside the writing, once the one before has ended. What it
// meets the last one will meet too.
func (w *treeWriter) beginSync() {
	before := w.syncing
	w.syncing = make(chan int)
	go func(done chan int) {
		defer close(done)
		if before != nil {
			<-before
		}
		_ = w.p.root.syncAll()
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
	err := w.p.root.mkdir(it.pod)
	if err == nil && (w.owned || w.masked) {
		var dir folder
		if err = unix.Fchmodat(w.p.root.fd, it.pod, 0o700, 0); err == nil {
			dir, err = w.p.root.sub(it.pod)
		}
		if err == nil {
			err = setOwner(dir.fd, 0o700, w.owner, w.owned)
			dir.close()
		}
	}
	if err != nil {
		return w.judge(it, err)
	}
	return nil
}

// finishPod writes a Pod's file.
func (w *treeWriter) finishPod(b *buffers, it *batchItem) (err error) {
	if b.data, err = w.p.render(b.data[:0], it.m); err == nil {
		err = w.writeBelow(it.pod, fileName, b.data)
	}
	if err != nil {
		_ = w.p.root.removeDir(it.pod)
		return w.judge(it, err)
	}
	it.exported = true
	return nil
}

// settle waits for the part that is being written.
func (w *treeWriter) settle() (done []batchItem, err error) {
	if w.ended == nil {
		return nil, nil
	}
	<-w.ended
	done, w.staged, w.ended = w.staged, nil, nil
	return done, whole(done)
}

// finish makes the directory durable and gives it its name. If that fails nothing is
// left of it, and the error matches errUnpublished.
func (w *treeWriter) finish() ([]batchItem, error) {
	done, err := w.settle()
	err = w.once(err)
	if w.syncing != nil {
		<-w.syncing
	}
	failed := w.p.root.syncAll()
	if failed == nil {
		failed = w.publish()
	}
	if failed != nil {
		w.discard()
		failed = &store.Error{Op: w.op, Path: w.path, Kind: systemKind(failed), Err: fmt.Errorf("%w: %w", errUnpublished, failed)}
		return nil, errors.Join(err, failed)
	}
	w.parent.close()
	w.temp = ""
	return done, err
}

// publish gives the directory its name.
func (w *treeWriter) publish() error {
	name := filepath.Base(w.path)
	err := w.parent.renameNew(w.temp, name)
	switch {
	case err == nil:
		if err = w.parent.sync(); err != nil {
			_ = w.parent.renameNew(name, w.temp)
		}
	case errors.Is(err, fs.ErrExist):
		err = errors.New("something of that name was created meanwhile; run the same command again")
	}
	return err
}

// renameNew renames unless something of the new name is there.
func (f folder) renameNew(from, to string) error {
	return uninterrupted(func() error { return unix.Renameat2(f.fd, from, f.fd, to, unix.RENAME_NOREPLACE) })
}

// discard removes the directory, if it was not finished.
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
	w.parent.removeTree(w.temp)
	w.parent.close()
	w.temp = ""
}

// writeBelow creates {dir}/{name} with mode 0600, in one call where the kernel can be
// told not to follow a link in the place of dir.
func (w *treeWriter) writeBelow(dir, name string, data []byte) error {
	f := w.p.root
	how := unix.OpenHow{
		Flags: unix.O_WRONLY | unix.O_CREAT | unix.O_EXCL | unix.O_CLOEXEC, Mode: 0o600,
		Resolve: unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_BENEATH,
	}
	var fd int
	err := uninterrupted(func() (err error) {
		fd, err = unix.Openat2(f.fd, dir+"/"+name, &how)
		return err
	})
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) { // an old kernel, or a sandbox
		sub, err := f.sub(dir)
		if err != nil {
			return err
		}
		defer sub.close()
		return sub.writeFile(name, data, false, nil)
	}
	if err != nil {
		return err
	}
	if w.owned || w.masked {
		err = setOwner(fd, 0o600, w.owner, w.owned)
	}
	for len(data) > 0 && err == nil {
		var n int
		err = uninterrupted(func() (err error) {
			n, err = unix.Write(fd, data)
			return err
		})
		data = data[max(n, 0):]
	}
	if cerr := unix.Close(fd); err == nil {
		err = cerr
	}
	if err != nil {
		_ = f.remove(dir + "/" + name)
	}
	return err
}
