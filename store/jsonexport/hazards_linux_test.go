package jsonexport

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"podstore/store"
	"podstore/store/podjson"
)

// hazardTree is a directory in which nearly everything is wrong, and what an
// operation that reads it must say of each entry. Good Pods have the outcome ok,
// bad ones the outcome bad.
func hazardTree(t *testing.T, ok, bad Outcome) (root string, want map[string]result) {
	t.Helper()
	want = map[string]result{}
	files := map[string]string{
		"file":          "plain",
		"loose.json":    "{}",
		"no-pod/x.json": "{}",
	}
	good := func(name string) {
		files[name+"/metadata.json"] = string(podjson.Append(nil, &store.Metadata{PodName: name}))
		want[name] = result{outcome: ok}
	}
	refuse := func(name, content string, line, column int, reason string) {
		files[name+"/metadata.json"] = content
		want[name] = result{bad, "", line, column, reason}
	}
	for _, name := range hardNames {
		good(name)
	}
	good("with-foreign-files")
	files["with-foreign-files/notes.txt"] = "mine"
	files["with-foreign-files/.metadata.json.podstore-0000"] = "{"
	files["unknown-top/metadata.json"] = `{"pod_name":"unknown-top","from_the_future":{"b":1,"a":[]}}`
	want["unknown-top"] = result{outcome: ok}
	refuse("unknown-nested", `{"pod_name":"unknown-nested","peers":[{"pod_name":"a","since":1}]}`, 1, 55, `unknown field "since" in a peer`)
	refuse("empty", "", 1, 1, "unexpected end of input")
	refuse("half", "{\n  \"pod_name\": \"half\",\n  \"pee", 3, 7, "unexpected end of input")
	refuse("copied", minimal("original"), 2, 15, `pod_name is "original", but the directory is named "copied"`)
	refuse("big", minimal("big")+strings.Repeat(" ", 5000), 0, 0, "the limit is 4096")
	delete(files, "big/metadata.json") // see below
	refuse("not-utf8", "{\"pod_name\":\"not-utf8\xff\"}", 1, 13, "not UTF-8")

	root = tree(t, files)
	do := func(errs ...error) {
		t.Helper()
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
	}
	mkdir := func(name string) { do(os.Mkdir(filepath.Join(root, name), 0o700)) }
	file := func(name string) string { return filepath.Join(root, name, fileName) }

	mkdir("no-pod-empty")
	mkdir("big")
	put(t, file("big"), minimal("big")+strings.Repeat(" ", 5000))

	mkdir("sparse")
	put(t, file("sparse"), "{")
	do(os.Truncate(file("sparse"), 1<<40))
	want["sparse"] = result{bad, "", 0, 0, "it has 1099511627776 bytes, the limit is 4096"}

	mkdir("fifo")
	do(syscall.Mkfifo(file("fifo"), 0o600))
	want["fifo"] = result{bad, "", 0, 0, "is a named pipe; expected a regular file"}
	do(syscall.Mkfifo(filepath.Join(root, "fifo-above"), 0o600)) // counted as a file

	mkdir("socket")
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	do(err)
	short, err := os.MkdirTemp("", "") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(short)
	short = filepath.Join(short, "s")
	do(syscall.Bind(fd, &syscall.SockaddrUnix{Name: short}), os.Rename(short, file("socket")), syscall.Close(fd))
	want["socket"] = result{bad, "", 0, 0, "is a socket; expected a regular file"}

	mkdir("directory")
	do(os.Mkdir(file("directory"), 0o700))
	want["directory"] = result{bad, "", 0, 0, "is a directory; expected a regular file"}

	mkdir("linked-file")
	do(os.Symlink(file("with-foreign-files"), file("linked-file")))
	want["linked-file"] = result{bad, "", 0, 0, "is a symbolic link, which is not followed"}
	mkdir("linked-nowhere")
	do(os.Symlink("nowhere", file("linked-nowhere")))
	want["linked-nowhere"] = result{bad, "", 0, 0, "is a symbolic link"}
	for name, target := range map[string]string{"link": "with-foreign-files", "link-to-file": "file", "link-nowhere": "nowhere", "link-up": ".."} {
		do(os.Symlink(target, filepath.Join(root, name)))
		want[name] = result{bad, name, 0, 0, "is a symbolic link, which is not followed; put a directory in its place"}
	}
	mkdir("bad-\xff-name")
	put(t, file("bad-\xff-name"), minimal("x"))
	want["bad-\xff-name"] = result{bad, "bad-\xff-name", 0, 0, "it is not UTF-8"}

	if os.Geteuid() == 0 {
		// A device of a kind that no driver serves.
		mkdir("device")
		if err := syscall.Mknod(file("device"), syscall.S_IFCHR|0o600, 511<<8); err == nil {
			want["device"] = result{bad, "", 0, 0, "is a device; expected a regular file"}
		} else {
			do(os.Remove(filepath.Join(root, "device")))
		}
	}
	age(t, root)
	return root, want
}

const (
	hazardFiles = 3 // of hazardTree, that are neither directories nor links
	hazardDirs  = 2 // and directories without metadata.json
)

// TestImportHazards: every entry of a bad tree is accounted for, nothing blocks,
// nothing large is allocated, the good Pods go in.
func TestImportHazards(t *testing.T) {
	root, want := hazardTree(t, Imported, Refused)
	for name, open := range stores {
		t.Run(name, func(t *testing.T) {
			s := open(t)
			got := map[string]Result{}
			var report Report
			var err error
			taken := allocated(func() {
				report, err = Import(t.Context(), s, root, ImportOptions{MaxFileSize: 4096, Progress: collect(t, got)})
			})
			if err != nil {
				t.Fatal(err)
			}
			if taken > 64<<20 {
				t.Errorf("%d bytes were allocated", taken)
			}
			checkResults(t, root, got, want)
			if report.Files != hazardFiles || report.Directories != hazardDirs {
				t.Errorf("%d files and %d directories, want %d and %d", report.Files, report.Directories, hazardFiles, hazardDirs)
			}
			counts := map[Outcome]int{}
			for _, r := range got {
				counts[r.Outcome]++
			}
			for o, n := range counts {
				if report.Counts[o] != n {
					t.Errorf("%d %s counted, %d reported", report.Counts[o], o, n)
				}
			}
			names, err := s.List(t.Context())
			if err != nil || len(names) != counts[Imported] {
				t.Errorf("the store has %d Pods, want %d (%v)", len(names), counts[Imported], err)
			}
			m, err := s.Read(t.Context(), "unknown-top")
			if err != nil || string(m.Extra["from_the_future"]) != `{"a":[],"b":1}` {
				t.Errorf("the unknown field: %v, %v", m, err)
			}
		})
	}
}

// TestVerifyHazards: what import refuses, verify cannot read, for the same
// reasons.
func TestVerifyHazards(t *testing.T) {
	t.Parallel() // it waits
	root, want := hazardTree(t, MissingInStore, Unreadable)
	got := map[string]Result{}
	report, err := Verify(t.Context(), stores["bolt"](t), root, VerifyOptions{MaxFileSize: 4096, Progress: collect(t, got)})
	if err != nil || report.Files != hazardFiles || report.Directories != hazardDirs {
		t.Errorf("%+v, %v", report, err)
	}
	checkResults(t, root, got, want)
}

// TestDirHazards: the same as a store. What is in the place of a file is
// damaged, and Write refuses to replace it.
func TestDirHazards(t *testing.T) {
	root, want := hazardTree(t, Imported, Refused)
	before := contentsOfRegular(t, root)
	d, err := OpenDir(root, &DirOptions{MaxFileSize: 4096})
	if err != nil {
		t.Fatal(err)
	}
	names, err := d.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	listed := 0
	for pod, w := range want {
		m, err := d.Read(t.Context(), pod)
		switch {
		case w.outcome == Imported:
			if err != nil || m.PodName != pod {
				t.Errorf("%q: %v", pod, err)
			}
		case store.ValidateName(pod) != nil:
			if !errors.Is(err, store.ErrInvalidName) {
				t.Errorf("%q: %v", pod, err)
			}
		default:
			var e *store.Error
			if !errors.Is(err, store.ErrCorrupt) && !errors.Is(err, store.ErrTooLarge) || !errors.Is(err, store.ErrInvalid) || !errors.As(err, &e) || !strings.Contains(e.Reason(), w.reason) || e.Line != w.line || e.Column != w.column {
				t.Errorf("%q: %v, want %+v", pod, err, w)
			}
		}
		if slices.Contains(names, pod) {
			listed++
		}
	}
	if listed != len(names) {
		t.Errorf("%d of %d names are known", listed, len(names))
	}
	for _, pod := range []string{"fifo", "socket", "directory", "linked-file", "linked-nowhere", "link", "link-nowhere", "link-to-file"} {
		if err := store.Write(t.Context(), d, &store.Metadata{PodName: pod}); !errors.Is(err, store.ErrExists) {
			t.Errorf("Write %s: %v", pod, err)
		}
	}
	if after := contentsOfRegular(t, root); !maps.Equal(before, after) {
		t.Errorf("something changed: %q, %q", before, after)
	}
	// Delete removes a pipe, a socket, a link, never what a link points to.
	for _, pod := range []string{"fifo", "socket", "linked-file", "linked-nowhere", "sparse"} {
		if err := store.Do(t.Context(), d, pod, store.Delete{}); err != nil {
			t.Errorf("Delete %s: %v", pod, err)
		}
		if _, err := os.Lstat(filepath.Join(root, pod)); err == nil {
			t.Errorf("Delete left %s", pod)
		}
	}
	for _, pod := range []string{"directory", "link", "link-nowhere"} {
		if err := store.Do(t.Context(), d, pod, store.Delete{}); err == nil {
			t.Errorf("Delete removed %s", pod)
		}
		if _, err := os.Lstat(filepath.Join(root, pod)); err != nil {
			t.Error(err)
		}
	}
	if m, err := d.Read(t.Context(), "with-foreign-files"); err != nil || m == nil {
		t.Errorf("what a link pointed to: %v", err)
	}
}

// contentsOfRegular is contents without what is no regular file, and without the
// huge one.
func contentsOfRegular(t *testing.T, root string) map[string]string {
	got := map[string]string{}
	for path, state := range walk(t, root) {
		if strings.HasPrefix(state, "-") && !strings.HasPrefix(path, "sparse/") {
			data, err := os.ReadFile(filepath.Join(root, path))
			if err != nil {
				t.Fatal(err)
			}
			got[path] = string(data)
		}
	}
	return got
}
