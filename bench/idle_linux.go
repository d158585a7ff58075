package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime/debug"
	"strings"
)

// idleStores measures what a store takes that was opened in a process of its own
// and not used, and first what that process takes without one. The directories
// have nothing to open, and of those that share files one is enough.
func (b *bench) idleStores(of set, measured []*candidate) error {
	seen := map[string]bool{}
	for _, c := range append([]*candidate{{name: "none", inMemory: true}}, measured...) {
		dir := b.files(c, of)
		if !c.inMemory || seen[dir] {
			continue
		}
		seen[dir] = true
		r, err := b.idleChild(c.name, dir)
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		b.add(r)
		b.progress("%s, idle: %-16s RSS %.1f MB, anonymous %.1f MB", of, c.name, float64(r.Bytes)/1e6, float64(r.Anonymous)/1e6)
	}
	return nil
}

func (b *bench) idleChild(name, dir string) (result, error) {
	self, err := os.Executable()
	if err != nil {
		return result{}, err
	}
	cmd := exec.Command(self, "-idle-child", name, "-dir", dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return result{}, err
	}
	r := result{Workload: idleMemory, Candidate: name, Pods: b.idle}
	return r, json.Unmarshal(out, &r)
}

// idleInThisProcess opens a candidate, lets the memory settle, and prints what
// this process takes.
func idleInThisProcess(name, dir string) error {
	for _, c := range candidates() {
		if c.name == name {
			p, err := c.open(dir)
			if err != nil {
				return err
			}
			defer p.close()
		}
	}
	debug.FreeOSMemory()
	rss, anonymous, err := memory()
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]int64{"bytes": rss, "anonymous": anonymous})
}

// memory reads resident and anonymous memory of this process, in bytes.
func memory() (rss, anonymous int64, err error) {
	f, err := os.Open("/proc/self/smaps_rollup")
	if err != nil {
		return 0, 0, err
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		key, value, _ := strings.Cut(lines.Text(), ":")
		to := map[string]*int64{"Rss": &rss, "Anonymous": &anonymous}[key]
		if to == nil {
			continue
		}
		if _, err := fmt.Sscanf(value, "%d kB", to); err != nil {
			return 0, 0, fmt.Errorf("%s: %w", lines.Text(), err)
		}
		*to *= 1024
	}
	return rss, anonymous, nil
}
