package osfs

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

var looks = map[string]func(string, fs.FileInfo) (int64, bool, error){
	"SizeAt": SizeAt, "lsizeAt": lsizeAt,
}

// Both ways to look at the file agree, whatever stands at the path.
func TestSizeAt(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "pods.db")
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("pods.db", "12345")
	write("other", "1234567")
	f, err := os.Open(path) // so that nothing else gets its inode number
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	identity, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		what string
		do   func() error
		size int64
		same bool
	}{
		{"the file", func() error { return nil }, 5, true},
		{"the file, cut", func() error { return os.Truncate(path, 3) }, 3, true},
		{"another file", func() error { return os.Rename(filepath.Join(dir, "other"), path) }, 7, false},
		{"nothing", func() error { return os.Remove(path) }, 0, false},
		{"a directory", func() error { return os.Mkdir(path, 0o700) }, -1, false},
		{"a link to the file", func() error {
			write("moved", "12345")
			if identity, err = os.Stat(filepath.Join(dir, "moved")); err != nil {
				return err
			}
			if err := os.Remove(path); err != nil {
				return err
			}
			return os.Symlink("moved", path)
		}, -1, false},
	} {
		if err := step.do(); err != nil {
			t.Fatal(step.what, err)
		}
		for name, look := range looks {
			size, same, err := look(path, identity)
			if (err != nil) != (step.what == "nothing") || same != step.same || step.size >= 0 && size != step.size {
				t.Errorf("%s of %s: %d bytes, same %v, %v", name, step.what, size, same, err)
			}
		}
	}
}

// BenchmarkSizeAt measures what the look at the file costs the two syncs after it.
func BenchmarkSizeAt(b *testing.B) {
	for name, look := range looks {
		b.Run(name, func(b *testing.B) {
			path := filepath.Join(b.TempDir(), "pods.db")
			f, err := os.Create(path)
			if err != nil {
				b.Fatal(err)
			}
			defer f.Close()
			identity, err := f.Stat()
			if err != nil {
				b.Fatal(err)
			}
			const pageSize = 8192
			page := make([]byte, pageSize)
			for b.Loop() {
				if _, same, err := look(path, identity); err != nil || !same {
					b.Fatal(same, err)
				}
				for at := range int64(2) {
					if _, err := f.WriteAt(page, at*pageSize); err != nil {
						b.Fatal(err)
					}
					if err := unix.Fdatasync(int(f.Fd())); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}
