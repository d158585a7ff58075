package cli

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"podstore/store"
)

// copyOutcome is the result of copying one Pod.
type copyOutcome string

const (
	copyCopied    copyOutcome = "copied"
	copyUnchanged copyOutcome = "unchanged"
	copyConflict  copyOutcome = "conflict"
	copyRefused   copyOutcome = "refused"
)

// copyOutcomes are in the order in which the last line counts them.
var copyOutcomes = []copyOutcome{copyCopied, copyUnchanged, copyConflict, copyRefused}

// copyResult is the result for one Pod. path is its file, if the source is a directory.
type copyResult struct {
	pod, path string
	outcome   copyOutcome
	field     string
	err       error
}

// copyItem is a copyResult in JSON.
type copyItem struct {
	head
	Pod     string      `json:"pod"`
	Path    string      `json:"path,omitempty"`
	Outcome copyOutcome `json:"outcome"`
	DryRun  bool        `json:"dry_run,omitempty"`
	Field   string      `json:"field,omitempty"`
	Reason  string      `json:"reason,omitempty"`
	Line    int         `json:"line,omitempty"`
	Column  int         `json:"column,omitempty"`
}

// result prints the result of one Pod.
func (cp *copying) result(r copyResult) {
	cp.counts[r.outcome]++
	item := copyItem{head: cp.head("result"), Pod: r.pod, Path: r.path, Outcome: r.outcome, DryRun: cp.opts.dryRun, Field: r.field}
	where := "pod " + quoteName(r.pod)
	if r.path != "" {
		where = place(nil, r.path)
	}
	var e *store.Error
	if r.err != nil {
		item.Reason = cp.why(r.err)
	}
	if errors.As(r.err, &e) && e.Path != "" {
		switch {
		case e.Path == r.path:
			where, item.Line, item.Column = e.Position(), e.Line, e.Column
		case cp.to.kind == kindDirectory: // the obstacle there
			item.Reason = e.Position() + ": " + item.Reason
		}
	}
	cp.emit(item)
	switch r.outcome {
	case copyRefused:
		cp.left[r.pod] = true
		cp.note(exitPartial)
		switch {
		case transient(r.err):
			cp.note(exitFailure)
		case errors.Is(r.err, store.ErrCorrupt):
			cp.note(exitDamage)
		}
		cp.say("refused %s: %s", where, item.Reason)
	case copyConflict:
		cp.left[r.pod] = true
		cp.note(exitPartial)
		cp.say("conflict %s: %s has other content, first in %s; it was kept, --overwrite replaces it", where, cp.to.name(), quoteName(r.field))
	default:
		if cp.opts.dryRun {
			cp.print("%s\t%s\n", quoteName(r.pod), r.outcome)
		}
	}
}

// differenceItem is a Pod in JSON that was not read back as it was copied.
type differenceItem struct {
	head
	Pod        string `json:"pod"`
	Difference string `json:"difference"`
	Reason     string `json:"reason"`
}

// differs prints such a Pod.
func (cp *copying) differs(pod, difference, why string) {
	*cp.unequal++
	cp.note(exitDifferent)
	cp.emit(differenceItem{cp.head("difference"), pod, difference, why})
	cp.print("%s %s: read back from %s, %s; copy it again, and see what else writes there\n", difference, quoteName(pod), cp.to.name(), why)
}

// copySummary is the summary of copy in JSON.
type copySummary struct {
	Counts      map[copyOutcome]int `json:"counts"`
	Verified    *int                `json:"verified,omitempty"`
	Differences *int                `json:"differences,omitempty"`
	Files       int                 `json:"files"`
	Directories int                 `json:"directories"`
	DryRun      bool                `json:"dry_run,omitempty"`
}

// sumUp prints the last line of a copy.
func (cp *copying) sumUp(err error) {
	if err != nil && len(cp.counts) == 0 {
		return // it never began
	}
	counts := make(map[copyOutcome]int, len(copyOutcomes))
	parts := make([]string, len(copyOutcomes))
	for i, o := range copyOutcomes {
		counts[o] = cp.counts[o]
		parts[i] = fmt.Sprintf("%d %s", cp.counts[o], o)
	}
	cp.summary = copySummary{counts, cp.verified, cp.unequal, cp.files, cp.directories, cp.opts.dryRun}
	line := "copy: " + strings.Join(parts, ", ")
	switch {
	case cp.opts.dryRun:
		line += " (dry run, nothing was changed)"
	case cp.verified != nil && *cp.unequal > 0:
		line += fmt.Sprintf("; %d verified, %d not as copied", *cp.verified, *cp.unequal)
	case cp.verified != nil:
		line += fmt.Sprintf("; %d verified", *cp.verified)
	}
	if cp.files+cp.directories > 0 {
		line += "; besides " + notPods(cp.files, cp.directories)
	}
	cp.say("%s", line)
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
