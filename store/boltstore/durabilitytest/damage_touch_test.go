//go:build linux

package durabilitytest

import (
	"maps"
	"slices"
)

// touch says whom damage concerns, by comparing the damaged file with the base.
type touch struct {
	common bool
	pods   map[string]bool
	whole  []string // Pods that are untouched, and so is what leads to them
}

func (b *base) touched(damaged []byte) touch {
	same := func(s span) bool {
		return s.to <= len(damaged) && string(damaged[s.from:s.to]) == string(b.file[s.from:s.to])
	}
	t := touch{pods: map[string]bool{}}
	// A file that is shorter than its meta says concerns all.
	t.common = len(damaged) < b.highest*pageSize
	for _, s := range b.spans {
		switch {
		case same(s):
		case s.owner == "":
			t.common = true
		default:
			t.pods[s.owner] = true
		}
	}
	if !same(span{b.meta * pageSize, b.meta*pageSize + metaEnd, ""}) {
		return t // the state before is all there may be
	}
	for _, name := range slices.Sorted(maps.Keys(b.paths)) {
		if !t.pods[name] && !slices.ContainsFunc(b.paths[name], func(s span) bool { return !same(s) }) {
			t.whole = append(t.whole, name)
		}
	}
	return t
}
