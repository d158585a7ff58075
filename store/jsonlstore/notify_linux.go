package jsonlstore

import (
	"bytes"
	"encoding/binary"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// notifier wakes the followers of a segment when its file may have changed. All followers
// of a Store share one inotify instance, which exists while there are any: the system
// allows a user only some hundred instances, but many watches in each.
type notifier struct {
	mu sync.Mutex
	at *inotify // nil while nobody follows
}

type inotify struct {
	fd    int
	file  *os.File                      // fd, for reading without a thread
	dirs  map[int]map[*watcher]struct{} // by watch descriptor
	ended chan struct{}                 // closed when the goroutine that reads file has ended
}

// watcher waits for changes of one file in a directory.
type watcher struct {
	name string
	wake chan struct{} // closed if the system no longer reports changes
}

const watched = unix.IN_MODIFY | unix.IN_MOVED_TO | unix.IN_MOVED_FROM | unix.IN_DELETE |
	unix.IN_MOVE_SELF | unix.IN_DELETE_SELF | unix.IN_ONLYDIR | unix.IN_DONT_FOLLOW

// watch returns a channel that receives when the file name in dir, or dir itself, may
// have changed since. It is nil if the system does not report changes. When stop has
// returned, nothing is left of the watch.
func (n *notifier) watch(dir, name string) (wake <-chan struct{}, stop func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.at == nil {
		fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
		if err != nil {
			return nil, func() {}
		}
		n.at = &inotify{fd, os.NewFile(uintptr(fd), "inotify"), make(map[int]map[*watcher]struct{}), make(chan struct{})}
		go n.run(n.at)
	}
	at, w := n.at, &watcher{name, make(chan struct{}, 1)}
	wd, err := unix.InotifyAddWatch(at.fd, dir, watched)
	if err != nil {
		return nil, func() { n.remove(at, -1, w) }
	}
	if at.dirs[wd] == nil {
		at.dirs[wd] = make(map[*watcher]struct{})
	}
	at.dirs[wd][w] = struct{}{}
	return w.wake, func() { n.remove(at, wd, w) }
}

// remove ends a watch, and with the last one the instance.
func (n *notifier) remove(at *inotify, wd int, w *watcher) {
	n.mu.Lock()
	if n.at != at { // it ended with an error
		n.mu.Unlock()
		return
	}
	delete(at.dirs[wd], w)
	if watchers, ok := at.dirs[wd]; ok && len(watchers) == 0 {
		delete(at.dirs, wd)
		unix.InotifyRmWatch(at.fd, uint32(wd)) // fails where the directory is gone
	}
	last := len(at.dirs) == 0
	if last {
		n.at = nil
		at.file.Close()
	}
	n.mu.Unlock()
	if last {
		<-at.ended
	}
}

// run wakes watchers until the instance is closed.
func (n *notifier) run(at *inotify) {
	defer close(at.ended)
	buf := make([]byte, 4096)
	for {
		got, err := at.file.Read(buf)
		n.mu.Lock()
		if n.at != at {
			n.mu.Unlock()
			return
		}
		if err != nil {
			// A closed channel wakes the followers, who poll from now on.
			n.at = nil
			at.file.Close()
			for _, watchers := range at.dirs {
				for w := range watchers {
					close(w.wake)
				}
			}
			n.mu.Unlock()
			return
		}
		at.deliver(buf[:got])
		n.mu.Unlock()
	}
}

// deliver wakes the watchers of the files that the events name.
func (at *inotify) deliver(events []byte) {
	for len(events) >= unix.SizeofInotifyEvent {
		wd := int(int32(binary.NativeEndian.Uint32(events)))
		mask := binary.NativeEndian.Uint32(events[4:])
		size := int(binary.NativeEndian.Uint32(events[12:]))
		name, _, _ := bytes.Cut(events[unix.SizeofInotifyEvent:unix.SizeofInotifyEvent+size], []byte{0})
		events = events[unix.SizeofInotifyEvent+size:]
		if mask&unix.IN_Q_OVERFLOW != 0 {
			for _, watchers := range at.dirs {
				wakeAll(watchers, nil)
			}
			continue
		}
		wakeAll(at.dirs[wd], name)
	}
}

// wakeAll wakes the watchers of one file; without a name, of any.
func wakeAll(watchers map[*watcher]struct{}, name []byte) {
	for w := range watchers {
		if len(name) == 0 || w.name == string(name) {
			select {
			case w.wake <- struct{}{}:
			default: // it was woken already, and has not looked yet
			}
		}
	}
}
