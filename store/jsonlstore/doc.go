// Package jsonlstore keeps session logs as JSON Lines files, in the layout of
// the incumbent:
//
//	{root}/{session}/{segment}.jsonl        one entry a line
//	{root}/{session}/{segment}.trace.jsonl  one trace a line
//	{root}/{session}/.{file}.tmp            a replacement being written
//	{root}/.{session}.deleted               a session being deleted
//
// Session and segment are UUIDs, lower-case with hyphens. A line is one compact
// JSON object and a newline. Lines of whitespace (space, tab, carriage return)
// are no entries. A line counts once its newline is written: what follows the
// last newline was left by an interrupted append, no method sees it, and the
// next append removes it.
//
// Every file that is not named so is ignored, as are symbolic links and special
// files where sessions and segments are listed; an operation on one fails with
// store.ErrInvalid and neither follows nor blocks on it. The root itself may be
// a link.
//
// # Concurrency
//
// Goroutines and processes may use one tree at the same time. Each change holds
// an advisory lock (flock) on the file it changes, and those that create or
// replace files, or delete the session, one on the session's directory, for the
// length of that one operation. Programs that write without taking these locks,
// the incumbent among them, must not write to the same segment meanwhile. File
// systems without flock, and NFS, are not supported.
//
// A reader takes the lock to learn how far the segment is complete and releases
// it before it reads: the lines up to there never change, because changes other
// than appends make a new file.
//
// # Durability
//
// Unless [Options] says otherwise, a change is on the disk when its method
// returns nil: the file's data, and the directory where a file or a directory
// is new. CreateSegment and Truncate sync what they write in any case, so that
// the replacement appears whole or not at all, and DeleteSession syncs that the
// session is gone before it removes the first of its files.
//
// # Other layouts
//
// Later writers keep each session below the worker that has it. Such a tree is
// refused with store.ErrFormat, by [Open] and by each operation that meets it.
package jsonlstore
