package boltstore

import (
	"os"
	"reflect"
	"unsafe"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
)

// bbolt hands all pages of a commit to the kernel and only then asks for them to be
// made durable, so the disk has nothing to do until the last one is there. An
// earlyWriter tells the kernel to begin when there is enough for the disk to do, which
// takes up to a quarter off a commit of many pages and a tenth off one of four
// (BenchmarkEarly). What is durable when is as before: bbolt's two syncs wait for
// everything and report its errors, and the pages of a commit are none that the state
// before it needs.
type earlyWriter struct {
	file   *os.File
	metas  int64        // where the two meta pages end
	pages  func() int64 // how many the commit has
	enough int          // runs; 0 before the first page of a commit
	end    int64        // of the last write
	runs   int          // of pages side by side, since the kernel was told
	bytes  int          // the same
	begins int          // how often it was told
}

// What is enough: each run of pages side by side is a request to the disk, of which a
// commit has as many as pages at most. One in four parts is the fastest
// (BenchmarkEarly), but for one so large that a part would be more than a few
// requests. What lies side by side, as in an import, is better left to
// grow.
const (
	earlyParts = 4
	minRuns    = 2
	maxRuns    = 16
	earlyBytes = 1 << 20
)

func enoughRuns(pages int64) int {
	return int(min(max(pages/earlyParts, minRuns), maxRuns))
}

// commits is told which transaction commits next.
func (e *earlyWriter) commits(tx *bolt.Tx) {
	if e != nil {
		e.pages = func() int64 {
			stats := tx.Stats()
			return stats.GetPageCount()
		}
	}
}

func (e *earlyWriter) writeAt(b []byte, off int64) (int, error) {
	if off < e.metas {
		e.enough, e.runs, e.bytes = 0, 0, 0 // all that came before is durable
		return e.file.WriteAt(b, off)
	}
	if e.enough == 0 {
		e.enough = enoughRuns(e.pages())
	}
	apart := off != e.end
	if e.bytes >= earlyBytes || apart && e.runs >= e.enough {
		// The sync reports errors, too.
		_ = unix.SyncFileRange(int(e.file.Fd()), 0, 0, unix.SYNC_FILE_RANGE_WRITE)
		e.begins++
		e.runs, e.bytes = 0, 0
	}
	if apart || e.runs == 0 {
		e.runs++
	}
	n, err := e.file.WriteAt(b, off)
	e.end = off + int64(n)
	e.bytes += n
	return n, err
}

// writeEarly lets bbolt write by an earlyWriter, or returns nil. It must come before
// the first transaction that writes.
func writeEarly(db *bolt.DB, file *os.File) *earlyWriter {
	e := &earlyWriter{file: file, metas: 2 * int64(db.Info().PageSize)}
	if !setWriteAt(db, e.writeAt) {
		return nil
	}
	return e
}

// setWriteAt sets the function by which db, a *bolt.DB, writes. bbolt keeps it in a
// field for which it has no call. Where a later bbolt has the field no more, nothing
// is set, and it writes as it would.
func setWriteAt(db any, writeAt func([]byte, int64) (int, error)) bool {
	ops := reflect.ValueOf(db).Elem().FieldByName("ops")
	if ops.Kind() != reflect.Struct {
		return false
	}
	field := ops.FieldByName("writeAt")
	if !field.IsValid() || field.Type() != reflect.TypeOf(writeAt) {
		return false
	}
	reflect.NewAt(field.Type(), unsafe.Pointer(field.UnsafeAddr())).Elem().Set(reflect.ValueOf(writeAt))
	return true
}
