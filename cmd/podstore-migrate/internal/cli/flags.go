package cli

import (
	"fmt"
	"time"

	"github.com/spf13/pflag"

	"podstore/store/jsonexport"
)

// byteSize is a flag with a number of bytes and an optional unit.
type byteSize int64

func (b *byteSize) String() string { return fmt.Sprint(int64(*b)) }

func (b *byteSize) Type() string { return "SIZE" }

func (b *byteSize) Set(s string) error {
	var n int64
	var unit string
	if _, err := fmt.Sscanf(s+" B", "%d%s", &n, &unit); err != nil || n <= 0 {
		return fmt.Errorf("expected a number of bytes such as 1048576, 512KiB or 64MiB")
	}
	shift, ok := map[string]int{"B": 0, "KiB": 10, "MiB": 20, "GiB": 30}[unit]
	if !ok || n > 1<<(62-shift) {
		return fmt.Errorf("expected a number of bytes such as 1048576, 512KiB or 64MiB")
	}
	*b = byteSize(n << shift)
	return nil
}

func allowNetworkFlag(f *pflag.FlagSet, c *console) {
	f.BoolVar(&c.allowNetwork, "allow-network-fs", false, "also write a database file on NFS, SMB and the like, where locks may not hold")
}

func maxFileSizeFlag(f *pflag.FlagSet, size *int64) {
	if *size == 0 {
		*size = jsonexport.DefaultMaxFileSize
	}
	f.Var((*byteSize)(size), "max-file-size", "refuse a metadata.json that is larger, in bytes, KiB, MiB or GiB")
}

// ageFlag is a flag with a length of time.
type ageFlag time.Duration

func (a *ageFlag) Type() string { return "AGE" }

func (a *ageFlag) String() string {
	if *a == 0 {
		return ""
	}
	return time.Duration(*a).String()
}

func (a *ageFlag) Set(s string) error {
	d, err := parseAge(s)
	*a = ageFlag(d)
	return err
}
