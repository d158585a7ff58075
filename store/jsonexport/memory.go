package jsonexport

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"strconv"
	"syscall"
)

// A file larger than this is read only if there is memory for it.
const large = DefaultMaxFileSize

// needMemory fails with an error that matches ENOMEM if there is not enough memory to
// read and decode a file of size bytes. To try would end the process.
func needMemory(size int64) error {
	if size <= large {
		return nil
	}
	const times = 4 // the file twice, and the decoded Pod
	if left := memoryLeft(); size > left/times || size > math.MaxInt/times {
		return &memoryError{size, left}
	}
	return nil
}

type memoryError struct{ size, left int64 }

func (e *memoryError) Error() string {
	return fmt.Sprintf("there is not enough memory for its %d bytes: about %d bytes are free", e.size, e.left)
}

func (e *memoryError) Is(target error) bool { return target == syscall.ENOMEM }

// memoryLeft estimates how many bytes this process can still get, from the system and
// its container.
func memoryLeft() int64 {
	left := int64(math.MaxInt64)
	if data, err := os.ReadFile("/proc/meminfo"); err == nil {
		if _, rest, ok := bytes.Cut(data, []byte("MemAvailable:")); ok {
			var kib int64
			if _, err := fmt.Sscan(string(rest[:min(len(rest), 64)]), &kib); err == nil {
				left = kib << 10
			}
		}
	}
	const group = "/sys/fs/cgroup/memory."
	if limit, ok := readNumber(group + "max"); ok {
		if used, ok := readNumber(group + "current"); ok {
			left = min(left, max(0, limit-used))
		}
	}
	return left
}

func readNumber(path string) (int64, bool) {
	data, err := os.ReadFile(path)
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseInt(string(bytes.TrimSpace(data)), 10, 64)
	return n, err == nil
}
