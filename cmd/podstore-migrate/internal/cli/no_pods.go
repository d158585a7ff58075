package cli

import (
	"os"
	"path/filepath"
	"slices"

	"podstore/store/jsonexport"
)

// noPods prints a hint if a directory has no Pods, with the directory that may have been
// meant.
func (c *console) noPods(dir string, counts map[jsonexport.Outcome]int) {
	for _, n := range counts {
		if n > 0 {
			return
		}
	}
	c.note(exitPartial)
	name := place(nil, dir)
	switch inside, one := podsNear(dir); {
	case one:
		c.say("hint: %s is itself one Pod; give the directory above it", name)
	case inside != "":
		c.say("hint: there is no Pod in %s, but there are some in %s", name, place(nil, inside))
	default:
		c.say("hint: there is no Pod in %s; Pods are files %s", name, place(nil, filepath.Join(dir, "POD", "metadata.json")))
	}
}

// podsNear reports whether a directory is one Pod. Otherwise inside is a directory below it
// that has Pods, or "".
func podsNear(dir string) (inside string, one bool) {
	isPod := func(path string) bool {
		info, err := os.Lstat(filepath.Join(path, "metadata.json"))
		return err == nil && !info.IsDir()
	}
	if isPod(dir) {
		return "", true
	}
	const enough = 1000 // entries to look at
	looked := 0
	for _, sub := range someEntries(dir, enough) {
		for _, pod := range someEntries(filepath.Join(dir, sub), enough) {
			if looked++; looked > enough {
				return "", false
			}
			if isPod(filepath.Join(dir, sub, pod)) {
				return filepath.Join(dir, sub), false
			}
		}
	}
	return "", false
}

// someEntries returns the names of directories among the first n entries of a directory.
func someEntries(dir string, n int) (names []string) {
	f, err := os.Open(dir)
	if err != nil {
		return nil
	}
	defer f.Close()
	entries, _ := f.ReadDir(n)
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	return names
}
