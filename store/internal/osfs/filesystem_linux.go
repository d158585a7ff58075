package osfs

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// sharedFS are file systems that several machines share. A lock may hang or not hold
// there, and one machine may see late what another writes.
var sharedFS = map[uint32]string{
	unix.NFS_SUPER_MAGIC: "NFS", unix.SMB_SUPER_MAGIC: "SMB", unix.CIFS_SUPER_MAGIC: "CIFS", unix.SMB2_SUPER_MAGIC: "SMB2",
	unix.V9FS_MAGIC: "9p", unix.CEPH_SUPER_MAGIC: "CephFS", unix.AFS_SUPER_MAGIC: "AFS", unix.AFS_FS_MAGIC: "AFS", unix.CODA_SUPER_MAGIC: "Coda",
	unix.NCP_SUPER_MAGIC: "NCP", unix.OCFS2_SUPER_MAGIC: "OCFS2",
	0x0bd00bd0: "Lustre", 0x786f4256: "vboxsf", 0x01161970: "GFS2", 0x47504653: "GPFS", 0x19830326: "BeeGFS", 0xaad7aaea: "PanFS",
	0xbacbacbc: "vmhgfs", 0x20030528: "OrangeFS", 0x61636673: "ACFS", 0x7c7c6673: "prl_fs",
}

// localFS are file systems of one machine.
var localFS = []uint32{
	unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC, unix.F2FS_SUPER_MAGIC, unix.TMPFS_MAGIC, unix.RAMFS_MAGIC,
	unix.OVERLAYFS_SUPER_MAGIC, unix.NILFS_SUPER_MAGIC, unix.JFFS2_SUPER_MAGIC, unix.MSDOS_SUPER_MAGIC, unix.EXFAT_SUPER_MAGIC,
	unix.REISERFS_SUPER_MAGIC, unix.ISOFS_SUPER_MAGIC, unix.UDF_SUPER_MAGIC, unix.SQUASHFS_MAGIC, unix.EROFS_SUPER_MAGIC_V1,
	unix.ECRYPTFS_SUPER_MAGIC, unix.MINIX_SUPER_MAGIC, unix.HUGETLBFS_MAGIC, unix.BCACHEFS_SUPER_MAGIC,
	0x2fc12fc1 /* ZFS */, 0x3153464a /* JFS */, 0x24051905 /* UBIFS */, 0x5346544e /* NTFS */, 0x7366746e, /* ntfs3 */
	0x482b /* HFS+ */, 0x4244 /* HFS */, 0x00011954 /* UFS */, 0x61756673 /* aufs */, 0x52345362, /* Reiser4 */
}

// localFUSE are types of FUSE, as /proc/self/mountinfo names them, that keep their
// files on this machine.
var localFUSE = []string{
	"fuseblk", "fuse.fuse-overlayfs", "fuse.ntfs-3g", "fuse.ntfs", "fuse.exfat", "fuse.ext2", "fuse.ext4", "fuse.fuse2fs", "fuse.fuse-ext2",
	"fuse.zfs", "fuse.gocryptfs", "fuse.encfs", "fuse.cryfs", "fuse.securefs",
}

// FileSystem returns the kind of file system that a file or directory is on. shared is
// its name if several machines may share it. unknown is its name if that is not known.
// Both are "" for a file system of this machine.
func FileSystem(f *os.File) (shared, unknown string) {
	var st unix.Statfs_t
	if unix.Fstatfs(int(f.Fd()), &st) != nil {
		return "", ""
	}
	magic := uint32(st.Type)
	switch {
	case sharedFS[magic] != "":
		return sharedFS[magic], ""
	case magic == unix.FUSE_SUPER_MAGIC:
		kind := mountType(f)
		if slices.Contains(localFUSE, kind) {
			return "", ""
		}
		return strings.TrimSuffix("FUSE, "+kind, ", "), ""
	case slices.Contains(localFS, magic):
		return "", ""
	}
	return "", fmt.Sprintf("type %#x", magic)
}

// mountType returns the type with which the file system of a file is mounted, or "".
func mountType(f *os.File) string {
	var st unix.Stat_t
	if unix.Fstat(int(f.Fd()), &st) != nil {
		return ""
	}
	mounts, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return ""
	}
	defer mounts.Close()
	return findMount(mounts, fmt.Sprintf("%d:%d", unix.Major(st.Dev), unix.Minor(st.Dev)))
}

// findMount returns the type of a device's mount from text such as "36 35 98:0 / /mnt
// rw,noatime shared:1 - fuse.sshfs host:/dir rw".
func findMount(mounts io.Reader, device string) string {
	for lines := bufio.NewScanner(mounts); lines.Scan(); {
		left, right, ok := strings.Cut(lines.Text(), " - ")
		if fields := strings.Fields(left); ok && len(fields) > 2 && fields[2] == device {
			kind, _, _ := strings.Cut(right, " ")
			return kind
		}
	}
	return ""
}
