package osfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// Owner is the owner of a file and what others may do with it.
type Owner struct {
	Perm     uint32 // permission bits
	UID, GID uint32
}

// asCreated leaves a file as the system created it.
const asCreated = ^uint32(0)

// Given reports whether a new file needs a call to get this owner.
func (o Owner) Given() bool { return o.UID != asCreated && (o.UID != 0 || o.GID != 0) }

// OwnerOfNew returns the owner and mode of new files in d: mode 0600 whatever the
// umask, and, if root creates them, the owner of d.
func (d Dir) OwnerOfNew() (Owner, error) { return d.ownerOfNew(".") }

func (d Dir) ownerOfNew(dir string) (Owner, error) {
	if os.Geteuid() != 0 {
		return Owner{0o600, asCreated, asCreated}, nil
	}
	var st unix.Stat_t
	err := uninterrupted(func() error { return unix.Fstatat(d.fd, dir, &st, 0) })
	return Owner{0o600, st.Uid, st.Gid}, err
}

// set gives an open file or directory its owner and mode, unless it has them. It fails
// if it cannot set the owner. If it only cannot set the group, it takes away the
// group's rights, so that the file is never open to the wrong group.
func (o Owner) set(fd int) error {
	st, err := File{fd}.Stat()
	if err != nil {
		return err
	}
	if o.UID == asCreated {
		o.UID, o.GID = st.UID, st.GID
	}
	if st.Owner == o {
		return nil
	}
	if st.UID != o.UID || st.GID != o.GID {
		err := uninterrupted(func() error { return unix.Fchown(fd, int(o.UID), int(o.GID)) })
		switch {
		case err == nil:
		case st.UID == o.UID:
			o.Perm &^= 0o070
		default:
			return fmt.Errorf("it cannot be given to its owner, user %d: %w", o.UID, err)
		}
	}
	return uninterrupted(func() error { return unix.Fchmod(fd, o.Perm) })
}

// MakeDir creates and opens a directory with mode 0700, whatever the umask, and the
// owner of o.
func (d Dir) MakeDir(name string, o Owner) (Dir, error) {
	if err := d.Mkdir(name); err != nil {
		return Dir{-1}, err
	}
	return d.Adopt(name, o)
}

// Adopt is MakeDir for a directory that was just created. After an error the directory
// is gone.
func (d Dir) Adopt(name string, o Owner) (Dir, error) {
	sub, err := d.Sub(name)
	if errors.Is(err, fs.ErrPermission) && unix.Fchmodat(d.fd, name, 0o700, 0) == nil {
		sub, err = d.Sub(name)
	}
	if err == nil {
		o.Perm = 0o700
		if err = o.set(sub.fd); err != nil {
			sub.Close()
		}
	}
	if err != nil {
		_ = d.RemoveDir(name)
		return Dir{-1}, err
	}
	return sub, nil
}

// adopt is [Dir.Adopt] for a path. It finds the parent from within the directory:
// behind a link, a path with ".." names another place than it seems to.
func adopt(path string) error {
	d, err := OpenRoot(path)
	if errors.Is(err, fs.ErrPermission) && os.Chmod(path, 0o700) == nil {
		d, err = OpenRoot(path)
	}
	if err != nil {
		return err
	}
	defer d.Close()
	owner := Owner{UID: asCreated, GID: asCreated}
	if above, err := d.Sub(".."); err == nil {
		owner, err = above.OwnerOfNew()
		above.Close()
		if err != nil {
			return err
		}
	}
	owner.Perm = 0o700
	return owner.set(d.fd)
}
