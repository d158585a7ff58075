package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/pflag"

	"podstore/store"
	"podstore/store/jsonexport"
)

// The outcomes that the last line of each command counts, in this order. The
// first few are counted even when there were none.
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
	Field   string             `json:"field,omitempty"`
	Renamed bool               `json:"renamed,omitempty"`
	Left    int                `json:"left_bytes,omitempty"`
	Reason  string             `json:"reason,omitempty"`
	Line    int                `json:"line,omitempty"`
	Column  int                `json:"column,omitempty"`
}

// result writes one Pod's result, with --json.
func (c *console) result(r jsonexport.Result) {
	if !c.json {
		return
	}
	item := resultItem{head: c.head("result"), Pod: r.Pod, Path: r.Path, Outcome: r.Outcome, Field: r.Field, Renamed: r.Renamed, Left: r.Left}
	if r.Err != nil {
		item.Reason = reason(r.Err)
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

// sumUp writes the line that ends import, export and verify.
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
		line += fmt.Sprintf("; besides %s and %s without metadata.json", plural(r.Files, "file"), plural(r.Directories, "directory"))
	}
	c.say("%s", line)
}

// damaged tells of a Pod that is damaged in what the command reads, or of a format
// that it does not know.
func (c *console) damaged(pod string, err error) {
	if errors.Is(err, store.ErrFormat) {
		c.note(exitFormat)
		c.say("unknown format of pod %s: %s", quoteName(pod), c.fullReason(err))
		return
	}
	c.note(exitDamage)
	c.say("damaged pod %s: %s", quoteName(pod), c.fullReason(err))
}

// unreadableWord is what a list says of a Pod that cannot be read.
func unreadableWord(err error) string {
	if errors.Is(err, store.ErrFormat) {
		return kindWord(exitFormat)
	}
	return kindWord(exitDamage)
}

// fullReason is reason with the place, where a Pod is a file of its own.
func (c *console) fullReason(err error) string {
	var e *store.Error
	if c.db.kind == inDirectory && errors.As(err, &e) && e.Path != "" {
		return e.Position() + ": " + reason(err)
	}
	return reason(err)
}

// damageItem is a damaged Pod in JSON, for commands without a result per Pod.
type damageItem struct {
	head
	Pod    string `json:"pod"`
	Reason string `json:"reason"`
}

// damagedPod is damaged for those commands.
func (c *console) damagedPod(pod string, err error) {
	c.emit(damageItem{c.head("damage"), pod, c.fullReason(err)})
	c.damaged(pod, err)
}

// byteSize is a flag's number of bytes, with an optional unit.
type byteSize int64

func (b *byteSize) String() string { return fmt.Sprint(int64(*b)) }
func (b *byteSize) Type() string   { return "SIZE" }

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

func maxFileSizeFlag(f *pflag.FlagSet, size *int64) {
	f.Var((*byteSize)(size), "max-file-size", "refuse a metadata.json that is larger, in bytes, KiB, MiB or GiB")
}
