package osfs

import (
	"errors"
	"io/fs"
	"os"
)

// TempFile is a file that goes with the process, as far as the system allows. If the
// system can reopen an open file without a name, the file has no name of its own.
type TempFile struct {
	*os.File
	Path  string // this process can reopen the file by it
	named bool   // Path is its name
}

// NewTempFile creates a file in dir with mode 0600. An empty dir means the system's
// directory for temporary files. pattern is that of [os.CreateTemp].
func NewTempFile(dir, pattern string) (*TempFile, error) {
	if dir == "" {
		dir = os.TempDir()
	}
	if f := createUnnamed(dir, pattern); f != nil {
		if path := descriptorPath(f); path != "" && f.Chmod(0o600) == nil {
			return &TempFile{f, path, false}, nil
		}
		f.Close()
	}
	f, err := os.CreateTemp(dir, pattern)
	if err != nil {
		return nil, err
	}
	t := &TempFile{f, f.Name(), true}
	if err := f.Chmod(0o600); err != nil { // the umask may have cleared bits
		return nil, errors.Join(err, t.Close())
	}
	if path := descriptorPath(f); path != "" && os.Remove(f.Name()) == nil {
		t.Path, t.named = path, false
	}
	return t, nil
}

func (t *TempFile) Close() error {
	err := t.File.Close()
	if t.named {
		err = errors.Join(err, os.Remove(t.Path))
	}
	return err
}

// Reopen opens the file at a path, which may be the Path of a [TempFile]. Otherwise it
// is [OpenFile].
func Reopen(path string, flags int) (*os.File, error) {
	if isDescriptor(path) {
		return os.OpenFile(path, flags, 0)
	}
	return OpenFile(path, flags)
}

// LookAt describes what [Reopen] would open.
func LookAt(path string) (fs.FileInfo, error) {
	if isDescriptor(path) {
		return os.Stat(path)
	}
	return os.Lstat(path)
}
