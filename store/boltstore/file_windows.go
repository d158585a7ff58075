package boltstore

import (
	"errors"
	"io/fs"
	"os"
	"time"

	"podstore/store"
)

func openNoFollow(path string, readOnly bool) (*os.File, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	if info.Mode()&fs.ModeSymlink != 0 {
		return nil, &store.Error{Kind: store.ErrInvalid, Err: errors.New("this is a symbolic link; give the path of the file itself")}
	}
	flag := os.O_RDWR
	if readOnly {
		flag = os.O_RDONLY
	}
	return os.OpenFile(path, flag, 0)
}

func judgeFile(_ *os.File, info fs.FileInfo, _ *Options) error {
	if !info.Mode().IsRegular() {
		return &store.Error{Kind: store.ErrInvalid, Err: errors.New("this is not a regular file")}
	}
	return nil
}

// lock leaves the lock to bbolt: on Windows a second one by the same handle
// would fail.
func lock(*os.File, bool, time.Time) error { return nil }

func unlock(*os.File) error { return nil }

// syncDir does nothing: Windows has no call for it, NTFS logs its directories.
func syncDir(string) error { return nil }
