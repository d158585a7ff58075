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
// earlyWriter tells the kernel to begin after every earlyBytes, which takes a quarter
// off what a large group waits for (BenchmarkEarly). What is durable when is as
// before: bbolt's two syncs wait for everything and report its errors, and the pages
// of a commit are none that the state before it needs.
type earlyWriter struct {
	file   *os.File
	metas  int64 // where the two meta pages end
	waits  int   // bytes that were handed over since the kernel was told
	begins int   // how often it was told
}

// earlyBytes is what a lone writer's commit hands over, or a little less.
const earlyBytes = 32 << 10

func (e *earlyWriter) writeAt(b []byte, off int64) (int, error) {
	switch {
	case off < e.metas: // all that came before is durable
		e.waits = 0
	case e.waits >= earlyBytes:
		// The sync reports errors, too.
		_ = unix.SyncFileRange(int(e.file.Fd()), 0, 0, unix.SYNC_FILE_RANGE_WRITE)
		e.begins++
		e.waits = 0
	}
	n, err := e.file.WriteAt(b, off)
	e.waits += n
	return n, err
}

// writeEarly lets bbolt write by an earlyWriter. bbolt has no call for that: it has a
// field, not exported, for the function that it writes with. Where a later bbolt has
// it no more, writeEarly returns nil and bbolt writes as it would. It must come before
// the first transaction that writes.
func writeEarly(db *bolt.DB, file *os.File) *earlyWriter {
	ops := reflect.ValueOf(db).Elem().FieldByName("ops")
	if ops.Kind() != reflect.Struct {
		return nil
	}
	field := ops.FieldByName("writeAt")
	e := &earlyWriter{file: file, metas: 2 * int64(db.Info().PageSize)}
	write := reflect.ValueOf(e.writeAt)
	if !field.IsValid() || field.Type() != write.Type() {
		return nil
	}
	reflect.NewAt(field.Type(), unsafe.Pointer(field.UnsafeAddr())).Elem().Set(write)
	return e
}
