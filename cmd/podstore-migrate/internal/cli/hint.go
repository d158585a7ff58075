package cli

import (
	"errors"
	"fmt"
	"strings"
	"syscall"

	"podstore/store"
	"podstore/store/boltstore"
	"podstore/store/jsonexport"
)

// flagFor is the end of a message about a limit that a flag raises.
func (c *console) flagFor(err error) string {
	if errors.Is(err, store.ErrTooLarge) && c.hasLimit && strings.Contains(err.Error(), "the limit is") {
		return "; --max-file-size raises it"
	}
	return ""
}

// hint says what to do about an error, or is "".
func (c *console) hint(err error, code int) string {
	var e *store.Error
	errors.As(err, &e)
	db := shellWord(c.db.arg)
	switch {
	case code == exitUsage:
		return ""
	case c.db.isDirectory() && c.command == "import":
		return fmt.Sprintf("%s is a directory; the database comes first: %s import DB DIR", db, c.program)
	case c.db.isDirectory():
		return fmt.Sprintf("%s is a directory; as a directory of Pods write it %s", db, shellWord(dirPrefix+c.db.arg))
	case c.db.isSocket() && c.command == "import":
		return fmt.Sprintf("%s is a socket; into the store of the supervisor that serves it: %s copy dir:DIR %s", db, c.program, shellWord(socketPrefix+c.db.arg))
	case c.db.isSocket():
		return fmt.Sprintf("%s is a socket; for the store of the supervisor that serves it write %s", db, shellWord(socketPrefix+c.db.arg))
	case errors.As(err, new(*boltstore.NetworkFSError)):
		return "or permit it with --allow-network-fs, where no other machine uses the file at the same time"
	case errors.As(err, new(*jsonexport.PruneError)):
		return "make sure that this is the right store; --prune-all removes them all the same"
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		return "allow more open files (ulimit -n), then run the same command again"
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		return "run it as a user who has the right to do that"
	case errors.Is(err, syscall.EROFS):
		return "it is mounted read-only; mount it for writing, or give another place"
	case code == exitMissing && e != nil && e.Pod != "" && c.similar != "":
		return fmt.Sprintf("list prints such a name quoted; in a shell write %s %s %s %s", c.program, c.command, db, shellWord(c.similar))
	case code == exitMissing && e != nil && e.Pod != "":
		return fmt.Sprintf("%s list %s shows the Pods that are there", c.program, db)
	case errors.Is(err, store.ErrExists):
		return "give a path where nothing is; nothing was overwritten"
	case code == exitMissing && c.db.kind == kindFile && e != nil && e.Path == c.db.path && c.command != "copy":
		return fmt.Sprintf("check the path; %s import DB DIR creates a database", c.program)
	case code == exitMissing && c.db.kind == kindServers:
		return "check the address"
	case code == exitMissing:
		return "check the path"
	case code == exitLocked && c.command == "serve":
		return ""
	case code == exitLocked && c.command == "import":
		return fmt.Sprintf("where it serves a socket: %s copy dir:DIR unix:SOCKET", c.program)
	case code == exitLocked:
		return "where it serves a socket, give unix:SOCKET in place of " + db
	case code == exitDamage && c.db.kind == kindDirectory:
		return "correct or remove that file"
	case code == exitDamage && c.db.kind != kindServers && c.command != "check" && c.command != "salvage":
		return fmt.Sprintf("%s check %s lists all damage, %s salvage %s NEWDB copies what is whole", c.program, db, c.program, db)
	case errors.Is(err, store.ErrForbidden) && c.db.kind == kindSocket && e != nil && e.Pod != "":
		return "its supervisor does not let you do that; ask it, or stop it and give the database file"
	case errors.Is(err, store.ErrUnusable) && c.db.kind == kindSocket:
		return "see that its disk has room, start the program that serves it again, then look whether the change was made"
	case errors.Is(err, store.ErrUnavailable):
		return "see that it runs and can be reached, then run the same command again"
	case errors.Is(err, store.ErrTooLarge) && c.command == "copy":
		return "copy without --strict, in as many transactions as it takes"
	case errors.Is(err, store.ErrNoSpace) && noInodes(pathOf(err)):
		return "the file system has no inodes left for new files; remove some, then run the same command again"
	case errors.Is(err, store.ErrNoSpace):
		return "free some space, then run the same command again"
	case errors.Is(err, syscall.ENOMEM):
		return "free some memory, then run the same command again"
	}
	return ""
}
