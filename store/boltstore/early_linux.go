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
// takes up to a third off a commit of many pages (BenchmarkEarly). What is durable
// when is as before: bbolt's two syncs wait for everything and report its errors, and
// the pages of a commit are none that the state before it needs.
type earlyWriter struct {
	file   *os.File
	metas  int64 // where the two meta pages end
	end    int64 // of the last write
	runs   int   // of pages side by side, since the kernel was told
	bytes  int   // the same
	begins int   // how often it was told
}

// What is enough: scattered pages are a request each, and a lone writer's commit has
// no more of them than this; what lies side by side, as in an import, is better left
// to grow.
const (
	earlyRuns  = 4
	earlyBytes = 1 << 20
)

func (e *earlyWriter) writeAt(b []byte, off int64) (int, error) {
	if off < e.metas {
		e.runs, e.bytes = 0, 0 // all that came before is durable
		return e.file.WriteAt(b, off)
	}
	apart := off != e.end
	if e.bytes >= earlyBytes || apart && e.runs >= earlyRuns {
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
