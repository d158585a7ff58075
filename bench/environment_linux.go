package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/mattn/go-sqlite3"
	"golang.org/x/sys/unix"
)

// environment is where and with what a run was made.
type environment struct {
	Date     string   `json:"date"`
	Command  string   `json:"command"`
	Revision string   `json:"revision"`
	CPU      string   `json:"cpu"`
	Cores    int      `json:"cores"`
	MemoryGB float64  `json:"memory_gb"`
	Kernel   string   `json:"kernel"`
	FS       string   `json:"file_system"`
	Go       string   `json:"go"`
	Versions []string `json:"versions"`
}

func describe(dir string) environment {
	e := environment{
		Date:     time.Now().UTC().Format("2006-01-02 15:04 UTC"),
		Command:  strings.Join(append([]string{"go run ."}, os.Args[1:]...), " "),
		Revision: revision(),
		CPU:      "unknown",
		Cores:    runtime.NumCPU(),
		FS:       fileSystem(dir),
		Go:       runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH,
	}
	if len(older) > 0 {
		e.Command = strings.Replace(e.Command, "go run .", "make bench-old: go run -tags old .", 1)
	}
	info, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(info)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
			e.CPU = strings.TrimSpace(value)
			break
		}
	}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		e.Kernel = "Linux " + unix.ByteSliceToString(u.Release[:])
	}
	var si unix.Sysinfo_t
	if unix.Sysinfo(&si) == nil {
		e.MemoryGB = float64(si.Totalram) * float64(si.Unit) / (1 << 30)
	}
	if build, ok := debug.ReadBuildInfo(); ok {
		for _, d := range build.Deps {
			switch d.Path {
			case "go.etcd.io/bbolt", "github.com/cockroachdb/pebble/v2", "github.com/dgraph-io/badger/v4", "github.com/vmihailenco/msgpack/v5":
				e.Versions = append(e.Versions, d.Path+" "+d.Version)
			case "github.com/mattn/go-sqlite3":
				lib, _, _ := sqlite3.Version()
				e.Versions = append(e.Versions, d.Path+" "+d.Version+" (SQLite "+lib+")")
			}
		}
	}
	return e
}

// revision is the commit of the source, where git tells.
func revision() string {
	out, err := exec.Command("git", "describe", "--always", "--dirty", "--abbrev=12").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}

// fileSystem names the type and options of the file system of dir.
func fileSystem(dir string) string {
	var st unix.Stat_t
	if unix.Stat(dir, &st) != nil {
		return "unknown"
	}
	device := fmt.Sprintf("%d:%d", unix.Major(st.Dev), unix.Minor(st.Dev))
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	for line := range strings.Lines(string(mounts)) {
		// 36 35 98:0 /root /mount rw,noatime shared:1 - ext4 /dev/vda rw,errors=continue
		before, after, ok := strings.Cut(line, " - ")
		if fields := strings.Fields(before); ok && len(fields) > 5 && fields[2] == device {
			if fs := strings.Fields(after); len(fs) > 1 {
				return fs[0] + " on " + fs[1] + " (" + fields[5] + ")"
			}
		}
	}
	return "unknown"
}
