package osfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// Owner is whose a file is, and what others may do with it.
type Owner struct {
	Perm     uint32 // permission bits
	UID, GID uint32
}

// asCreated leaves a file to whom the system gave it.
const asCreated = ^uint32(0)

// Given reports whether a new file does not have this owner by itself.
func (o Owner) Given() bool { return o.UID != asCreated && (o.UID != 0 || o.GID != 0) }

// OwnerOfNew is what files in d get that are new: mode 0600 whatever the umask, and
// where root creates them, the owner of d.
func (d Dir) OwnerOfNew() (Owner, error) { return d.ownerOfNew(".") }

func (d Dir) ownerOfNew(dir string) (Owner, error) {
	if os.Geteuid() != 0 {
		return Owner{0o600, asCreated, asCreated}, nil
	}
	var st unix.Stat_t
	err := uninterrupted(func() error { return unix.Fstatat(d.fd, dir, &st, 0) })
	return Owner{0o600, st.Uid, st.Gid}, err
}

// set gives an open file or directory its owner and mode, where it has not. Whose
// files they are is not given away silently: where only the group cannot be set, the
// group's rights go.
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

// Adopt is MakeDir for a directory that was created just now. After an error it is
// gone.
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

// adopt is [Dir.Adopt] for a path. What is above it is found from within: behind a
// link, a path with ".." in it means another place than it says.
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
