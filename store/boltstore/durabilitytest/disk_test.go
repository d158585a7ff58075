//go:build linux

package durabilitytest

import (
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
)

// disk is a file system below one directory as its power supply sees it: what was
// synced, and what was written since and may or may not be there after a loss of
// power. Names are kept apart from files: a new or renamed file is lost, whatever
// it holds, until its directory is synced.
type disk struct {
	root    string
	visible map[string]*inode // what the program sees
	durable map[string]*inode // what is on the disk for certain
	pending []nameChange
	offsets map[string]int64 // of files written without an offset
}

type inode struct {
	dir     bool
	content []byte // synced
	pending []fileChange
}

// fileChange is a write, or with data nil a change of size.
type fileChange struct {
	data   []byte
	offset int64
}

// nameChange is what one call did to names in a directory: nil removes one.
type nameChange struct {
	dir   string
	names map[string]*inode
}

// newDisk has the given files and the directories above them, all of them synced.
func newDisk(root string, files map[string][]byte) *disk {
	d := &disk{root: root, visible: map[string]*inode{}, durable: map[string]*inode{}, offsets: map[string]int64{}}
	for path, content := range files {
		in := &inode{content: slices.Clone(content)}
		d.visible[path], d.durable[path] = in, in
		for dir := filepath.Dir(path); dir != root; dir = filepath.Dir(dir) {
			in := &inode{dir: true}
			d.visible[dir], d.durable[dir] = in, in
		}
	}
	return d
}

func (d *disk) has(path string) bool { return strings.HasPrefix(path, d.root+"/") }

// do takes over the effect of one call. It reports whether there was one.
func (d *disk) do(c call) bool {
	switch c.name {
	case "openat":
		return d.open(string(c.args[1].data), c.args[2].text)
	case "mkdirat":
		return d.change(string(c.args[1].data), &inode{dir: true})
	case "unlinkat":
		return d.change(string(c.args[1].data), nil)
	case "renameat2", "renameat":
		return d.rename(string(c.args[1].data), string(c.args[3].data))
	case "rename":
		return d.rename(string(c.args[0].data), string(c.args[1].data))
	case "link", "linkat":
		panic("link is not modelled")
	}
	path := c.args[0].path
	in := d.visible[path]
	if path == d.root {
		in = &inode{dir: true}
	}
	if in == nil {
		return false
	}
	switch c.name {
	case "pwrite64":
		in.pending = append(in.pending, fileChange{c.args[1].data, c.args[3].int()})
	case "write":
		in.pending = append(in.pending, fileChange{c.args[1].data, d.offsets[path]})
		d.offsets[path] += int64(len(c.args[1].data))
	case "ftruncate":
		in.pending = append(in.pending, fileChange{nil, c.args[1].int()})
	case "fdatasync", "fsync":
		if in.dir {
			d.syncDir(path)
			return true
		}
		for _, ch := range in.pending {
			in.content = ch.apply(in.content)
		}
		in.pending = nil
	}
	return true
}

func (d *disk) open(path, flags string) bool {
	if !d.has(path) {
		return false
	}
	d.offsets[path] = 0
	in := d.visible[path]
	switch {
	case in == nil && strings.Contains(flags, "O_CREAT"):
		return d.change(path, &inode{})
	case in != nil && strings.Contains(flags, "O_TRUNC"):
		in.pending = append(in.pending, fileChange{nil, 0})
		return true
	}
	return false
}

func (d *disk) change(path string, in *inode) bool {
	if !d.has(path) {
		return false
	}
	return d.changeNames(filepath.Dir(path), map[string]*inode{path: in})
}

func (d *disk) rename(from, to string) bool {
	if !d.has(from) {
		return false
	}
	if filepath.Dir(from) != filepath.Dir(to) {
		panic("a rename between directories is not modelled")
	}
	return d.changeNames(filepath.Dir(from), map[string]*inode{from: nil, to: d.visible[from]})
}

func (d *disk) changeNames(dir string, names map[string]*inode) bool {
	ch := nameChange{dir, names}
	ch.apply(d.visible)
	d.pending = append(d.pending, ch)
	return true
}

func (d *disk) syncDir(dir string) {
	d.pending = slices.DeleteFunc(d.pending, func(ch nameChange) bool {
		if ch.dir == dir {
			ch.apply(d.durable)
		}
		return ch.dir == dir
	})
}

func (ch nameChange) apply(names map[string]*inode) {
	for path, in := range ch.names {
		if in == nil {
			delete(names, path)
		} else {
			names[path] = in
		}
	}
}

// apply changes content, in place where it is large enough.
func (ch fileChange) apply(content []byte) []byte {
	if ch.data == nil {
		return resized(content, int(ch.offset))
	}
	if end := int(ch.offset) + len(ch.data); len(content) < end {
		content = resized(content, end)
	}
	copy(content[ch.offset:], ch.data)
	return content
}

func resized(b []byte, n int) []byte {
	if n <= len(b) {
		return b[:n:n] // what is cut off is gone
	}
	return append(b, make([]byte, n-len(b))...)
}

// loss says what becomes of changes that were not synced.
type loss struct {
	rand *rand.Rand
	keep float64 // how likely a change is kept
	torn int     // size of the blocks of which a write may keep some; 0: whole or not
}

func (l loss) keeps() bool { return l.rand.Float64() < l.keep }

// image is what the disk may hold after power was lost now: files by path.
func (d *disk) image(l loss) map[string][]byte {
	names := maps.Clone(d.durable)
	for _, ch := range d.pending {
		if l.keeps() {
			ch.apply(names)
		}
	}
	files := map[string][]byte{}
	for _, path := range slices.Sorted(maps.Keys(names)) {
		if in := names[path]; !in.dir && d.reachable(names, path) {
			files[path] = in.image(l)
		}
	}
	return files
}

// reachable tells whether all directories above a file are there.
func (d *disk) reachable(names map[string]*inode, path string) bool {
	for dir := filepath.Dir(path); dir != d.root; dir = filepath.Dir(dir) {
		if names[dir] == nil {
			return false
		}
	}
	return true
}

func (in *inode) image(l loss) []byte {
	content := slices.Clone(in.content)
	for _, ch := range in.pending {
		switch {
		case l.torn == 0 || ch.data == nil:
			if l.keeps() {
				content = ch.apply(content)
			}
		default:
			content = ch.tear(content, l)
		}
	}
	return content
}

// tear keeps some blocks of a write.
func (ch fileChange) tear(content []byte, l loss) []byte {
	for start := 0; start < len(ch.data); {
		n := l.torn - (int(ch.offset)+start)%l.torn // blocks are aligned on the disk
		end := min(start+n, len(ch.data))
		if l.keeps() {
			content = fileChange{ch.data[start:end], ch.offset + int64(start)}.apply(content)
		}
		start = end
	}
	return content
}

// unsynced counts the changes that may be lost.
func (d *disk) unsynced() int {
	n := len(d.pending)
	seen := map[*inode]bool{}
	count := func(names map[string]*inode) {
		for _, in := range names {
			if !seen[in] {
				seen[in] = true
				n += len(in.pending)
			}
		}
	}
	count(d.visible)
	count(d.durable)
	return n
}
