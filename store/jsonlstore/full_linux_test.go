package jsonlstore_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"podstore/store"
)

// smallDisk mounts a file system of one megabyte.
func smallDisk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("NOT TESTED: cannot mount a small disk (%v); root can", err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}

// On a full disk a change fails with ErrNoSpace and leaves no part of itself;
// what was acknowledged is there, and with room again it goes on.
func TestFullDisk(t *testing.T) {
	root := smallDisk(t)
	s := open(t, root, nil)
	ctx := t.Context()
	ballast := root + "/ballast"
	lay(t, ballast, strings.Repeat("x", 64<<10))
	var want []string
	var err error
	for n := 0; err == nil; n++ {
		// Longer than a page, so that the write that fails has written a part.
		entry := fmt.Sprintf(`{"n":%d,"pad":"%s"}`, n, strings.Repeat("x", 10_000+n*7))
		if err = s.Append(ctx, sessionA, segment1, raw(entry)); err == nil {
			want = append(want, entry)
		}
	}
	matches(t, err, store.ErrNoSpace)
	matches(t, err, unix.ENOSPC)
	if !strings.Contains(err.Error(), "was not added") {
		t.Errorf("%q does not say what became of the entry", err)
	}
	content, readErr := os.ReadFile(logPath(root, sessionA, segment1))
	noError(t, readErr)
	if string(content) != strings.Join(want, "\n")+"\n" {
		t.Fatalf("the file has %d bytes that are not the %d entries", len(content), len(want))
	}
	holds(t, s, sessionA, segment1, want...)
	matches(t, s.Truncate(ctx, sessionA, segment1, len(want)-1), store.ErrNoSpace)
	matches(t, s.CreateSegment(ctx, sessionA, segment2, raws(`{"pad":"`+strings.Repeat("x", 1<<17)+`"}`)), store.ErrNoSpace)
	holds(t, s, sessionA, segment1, want...)
	if there, err := s.Exists(ctx, sessionA, segment2); err != nil || there {
		t.Fatalf("a segment that could not be written exists: %v, %v", there, err)
	}
	if files, err := os.ReadDir(root + "/" + sessionA.String()); err != nil || len(files) != 1 {
		t.Fatalf("files are left over: %v, %v", files, err)
	}
	noError(t, os.Remove(ballast))
	noError(t, s.Append(ctx, sessionA, segment1, raw(`{"room":1}`)))
	holds(t, s, sessionA, segment1, append(want, `{"room":1}`)...)
}
