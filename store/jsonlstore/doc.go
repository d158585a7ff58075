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
// are no entries. A line counts once its newline is written. Text after the last
// newline was left by an interrupted append: no method sees it, and the next append
// removes it.
//
// Files with other names are ignored. Lists of sessions and segments leave out symbolic
// links and special files. An operation on one fails with store.ErrInvalid, and neither
// follows nor blocks on it. The root itself may be a link.
//
// # Concurrency
//
// Goroutines and processes may use one tree at the same time. Each change holds an
// advisory lock (flock) on the file it changes for the length of that operation. A
// change that creates or replaces a file, or deletes the session, also holds one on the
// session's directory. Programs that write without these locks, such as the incumbent,
// must not write to the same segment at the same time. File systems without flock, and
// NFS, are not supported.
//
// A reader takes the lock to learn where the last complete line ends, and releases it
// before it reads. The lines up to there never change, because every change except an
// append makes a new file.
//
// # Durability
//
// Unless [Options] says otherwise, a change is on the disk when its method
// returns nil: the file's data, and the name of a new file or directory. CreateSegment
// and Truncate sync what they write in any case, so that the replacement appears whole
// or not at all. DeleteSession makes it durable that the session is gone before it
// removes the first of its files.
//
// # Other layouts
//
// Later writers keep each session below its worker. [Open], and each operation that
// meets such a tree, refuses it with store.ErrFormat.
package jsonlstore
