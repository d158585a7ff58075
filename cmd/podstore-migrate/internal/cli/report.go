package cli

import (
	"errors"
	"fmt"
	"strings"

	"podstore/store"
	"podstore/store/jsonexport"
)

// The outcomes that the last line of each command counts, in this order.
var (
	importOutcomes = []jsonexport.Outcome{jsonexport.Imported, jsonexport.Unchanged, jsonexport.Conflict, jsonexport.Refused}
	exportOutcomes = []jsonexport.Outcome{jsonexport.Exported, jsonexport.Unchanged, jsonexport.Pruned, jsonexport.Refused, jsonexport.Damaged}
	verifyOutcomes = []jsonexport.Outcome{jsonexport.Same, jsonexport.Differs, jsonexport.NotCanonical, jsonexport.MissingInStore, jsonexport.MissingInDir, jsonexport.Unreadable, jsonexport.Damaged}
)

// resultItem is one Pod's result in JSON.
type resultItem struct {
	head
	Pod     string             `json:"pod"`
	Path    string             `json:"path"`
	Outcome jsonexport.Outcome `json:"outcome"`
	DryRun  bool               `json:"dry_run,omitempty"`
	Field   string             `json:"field,omitempty"`
	Renamed bool               `json:"renamed,omitempty"`
	Left    int                `json:"left_bytes,omitempty"`
	Reason  string             `json:"reason,omitempty"`
	Line    int                `json:"line,omitempty"`
	Column  int                `json:"column,omitempty"`
}

// result writes one Pod's result in JSON, with --json.
func (c *console) result(r jsonexport.Result, dryRun bool) {
	if !c.json {
		return
	}
	item := resultItem{head: c.head("result"), Pod: r.Pod, Path: r.Path, Outcome: r.Outcome, DryRun: dryRun, Field: r.Field, Renamed: r.Renamed, Left: r.Left}
	if r.Err != nil {
		item.Reason = c.why(r.Err)
		var e *store.Error
		if errors.As(r.Err, &e) && e.Path == r.Path {
			item.Line, item.Column = e.Line, e.Column
		}
	}
	c.emit(item)
}

// reportSummary is the summary of import, export and verify in JSON.
type reportSummary struct {
	Counts      map[jsonexport.Outcome]int `json:"counts"`
	Files       int                        `json:"files"`
	Directories int                        `json:"directories"`
	DryRun      bool                       `json:"dry_run,omitempty"`
}

// sumUp prints the last line of import, export and verify.
func (c *console) sumUp(r jsonexport.Report, outcomes []jsonexport.Outcome, dryRun bool, err error) {
	if err != nil && len(r.Counts) == 0 {
		return // it never began
	}
	counts := make(map[jsonexport.Outcome]int, len(outcomes))
	parts := make([]string, len(outcomes))
	for i, o := range outcomes {
		counts[o] = r.Counts[o]
		parts[i] = fmt.Sprintf("%d %s", r.Counts[o], o)
	}
	c.summary = reportSummary{counts, r.Files, r.Directories, dryRun}
	line := c.command + ": " + strings.Join(parts, ", ")
	if dryRun {
		line += " (dry run, nothing was changed)"
	}
	if r.Files+r.Directories > 0 {
		line += "; besides " + notPods(r.Files, r.Directories)
	}
	c.say("%s", line)
}
