package osfs

import (
	"strings"
	"testing"
)

func TestFindMount(t *testing.T) {
	const mounts = `22 28 0:20 / /sys rw,nosuid shared:7 - sysfs sysfs rw
36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue
40 35 0:41 / /home/me/far rw - fuse.sshfs host:/dir rw,user_id=0
41 35 0:42 / /media/stick rw - fuseblk /dev/sdb1 rw
`
	for device, want := range map[string]string{"98:0": "ext3", "0:41": "fuse.sshfs", "0:42": "fuseblk", "0:4": ""} {
		if got := findMount(strings.NewReader(mounts), device); got != want {
			t.Errorf("%s: %q, want %q", device, got, want)
		}
	}
}
