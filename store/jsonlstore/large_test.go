package jsonlstore_test

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"

	"podstore/store/jsonlstore"
)

// largeLog writes a segment of about size bytes and returns how many entries it
// has. PODSTORE_LONG=1 makes the log of these tests 1 GiB.
func largeLog(t *testing.T, root string) (entries int, size int64) {
	t.Helper()
	size = 32 << 20
	if os.Getenv("PODSTORE_LONG") != "" {
		size = 1 << 30
	}
	path := logPath(root, sessionA, segment1)
	lay(t, path, "")
	f, err := os.Create(path)
	noError(t, err)
	defer f.Close()
	w := bufio.NewWriterSize(f, 1<<20)
	pad := strings.Repeat("x", 400)
	var written int64
	for written < size {
		n, err := fmt.Fprintf(w, `{"n":%d,"pad":"%s"}`+"\n", entries, pad)
		noError(t, err)
		written += int64(n)
		entries++
	}
	noError(t, w.Flush())
	return entries, written
}

// live is how much memory is in use.
func live() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

// Whatever the size of a log, an operation on it takes a few buffers of memory.
func TestLargeLogTakesLittleMemory(t *testing.T) {
	const few = 1 << 20
	root := t.TempDir()
	entries, size := largeLog(t, root)
	s := open(t, root, &jsonlstore.Options{Sync: jsonlstore.SyncNever})
	ctx := t.Context()

	before := allocated()
	n, err := s.EntryCount(ctx, sessionA, segment1)
	if err != nil || n != entries {
		t.Fatalf("EntryCount is %d, %v, want %d", n, err, entries)
	}
	if used := allocated() - before; used > few {
		t.Errorf("EntryCount allocated %d bytes for a log of %d", used, size)
	}

	before = allocated()
	noError(t, s.Append(ctx, sessionA, segment1, raw(`{"last":1}`)))
	noError(t, s.Truncate(ctx, sessionA, segment1, entries))
	if id, err := s.SessionOf(ctx, segment1); err != nil || id != sessionA {
		t.Fatalf("SessionOf is %v, %v", id, err)
	}
	if used := allocated() - before; used > few {
		t.Errorf("Append, Truncate and SessionOf allocated %d bytes for a log of %d", used, size)
	}

	start, most := live(), uint64(0)
	n = 0
	for entry, err := range s.ReadAll(ctx, sessionA, segment1) {
		noError(t, err)
		if n%(entries/10) == 0 {
			most = max(most, live())
			if want := fmt.Sprintf(`{"n":%d,`, n); !strings.HasPrefix(string(entry), want) {
				t.Fatalf("entry %d is %.40q", n, entry)
			}
		}
		n++
	}
	if n != entries {
		t.Fatalf("ReadAll yielded %d entries, want %d", n, entries)
	}
	if most > start+few {
		t.Errorf("ReadAll held %d bytes for a log of %d", most-start, size)
	}
}
