package osfs

import (
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// File is a file open for reading. For many small files it costs less than an
// [os.File]. The caller closes it once.
type File struct{ fd int }

// Close closes the file.
func (f File) Close() { _ = unix.Close(f.fd) }

// Sync makes the file durable, whoever wrote it.
func (f File) Sync() error { return uninterrupted(func() error { return fsync(f.fd) }) }

// Stat describes the file.
func (f File) Stat() (State, error) {
	var st unix.Stat_t
	err := uninterrupted(func() error { return unix.Fstat(f.fd, &st) })
	return stateOf(&st), err
}

// ReadAt fills buf. If the file is shorter, it reads the rest of the file and returns
// [io.EOF].
func (f File) ReadAt(buf []byte, offset int64) (int, error) {
	n := 0
	for n < len(buf) {
		var k int
		err := uninterrupted(func() (err error) {
			k, err = unix.Pread(f.fd, buf[n:], offset+int64(n))
			return err
		})
		if err != nil {
			return n, err
		}
		if k == 0 {
			return n, io.EOF
		}
		n += k
	}
	return n, nil
}

// Stat describes an open file.
func Stat(f *os.File) (State, error) { return File{int(f.Fd())}.Stat() }

// Datasync makes a file's data and size durable, but perhaps not its times.
func Datasync(f *os.File) error {
	return uninterrupted(func() error { return fdatasync(int(f.Fd())) })
}

// OpenFile opens a regular file at a path whose last component is not a link, with the
// flags of [os.OpenFile]. It does not wait for the other end of a pipe. For anything
// else the error is a [NotA].
func OpenFile(path string, flags int) (*os.File, error) {
	return Dir{unix.AT_FDCWD}.OpenFile(path, flags)
}
