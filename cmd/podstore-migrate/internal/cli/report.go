package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
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
	DryRun  bool               `json:"dry_run,omitempty"`
	Field   string             `json:"field,omitempty"`
	Renamed bool               `json:"renamed,omitempty"`
	Left    int                `json:"left_bytes,omitempty"`
	Reason  string             `json:"reason,omitempty"`
	Line    int                `json:"line,omitempty"`
	Column  int                `json:"column,omitempty"`
}

// result writes one Pod's result, with --json.
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
		line += "; besides " + notPods(r.Files, r.Directories)
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

// unreadable tells of a Pod that may be well, and that this process could not read.
func (c *console) unreadable(pod string, err error) {
	c.note(exitFailure)
	c.say("unreadable pod %s: %s", quoteName(pod), c.fullReason(err))
}

// fullReason is reason with the place, where a Pod is a file of its own.
func (c *console) fullReason(err error) string {
	var e *store.Error
	if c.db.kind == inDirectory && errors.As(err, &e) && e.Path != "" {
		return e.Position() + ": " + c.why(err)
	}
	return c.why(err)
}

// why is reason with the flag that helps.
func (c *console) why(err error) string { return reason(err) + c.flagFor(err) }

// unreadItem is a Pod in JSON that could not be read, for commands without a result
// for each Pod. Its type is the state that unread returns: damage or unreadable.
type unreadItem struct {
	head
	Pod    string `json:"pod"`
	Reason string `json:"reason"`
}

const (
	damagedState    = "damaged"
	unreadableState = "unreadable"
	formatState     = "unknown-format"
)

// unread tells of a Pod that could not be read, in those commands, and returns its name
// and what it is called in a list. The name is "" for an error that concerns no Pod.
func (c *console) unread(err error) (pod, state string) {
	var e *store.Error
	if !errors.As(err, &e) || e.Pod == "" {
		return "", ""
	}
	if errors.Is(err, store.ErrFormat) {
		c.emit(unreadItem{c.head("damage"), e.Pod, c.fullReason(err)})
		c.damaged(e.Pod, err)
		return e.Pod, formatState
	}
	if errors.Is(err, store.ErrCorrupt) && !transient(err) {
		c.emit(unreadItem{c.head("damage"), e.Pod, c.fullReason(err)})
		c.damaged(e.Pod, err)
		return e.Pod, damagedState
	}
	c.emit(unreadItem{c.head("unreadable"), e.Pod, c.fullReason(err)})
	c.unreadable(e.Pod, err)
	return e.Pod, unreadableState
}

// besidesCounts are what a directory has beside its Pods, in JSON.
type besidesCounts struct {
	Refused     int `json:"refused,omitempty"`
	Files       int `json:"files,omitempty"`
	Directories int `json:"directories,omitempty"`
}

// refusedItem is an entry of a directory in JSON that stands where only Pods may be.
type refusedItem struct {
	head
	Path   string `json:"path"`
	Reason string `json:"reason"`
}

// besides accounts for what a directory has beside its Pods, as import does.
func (c *console) besides(ctx context.Context, s opened) (besidesCounts, error) {
	dir, ok := s.MetadataStore.(*jsonexport.Dir)
	if !ok {
		return besidesCounts{}, nil
	}
	b, err := dir.Besides(ctx)
	for _, e := range b.Refused {
		c.note(exitPartial)
		c.emit(refusedItem{c.head("refused"), e.Path, reason(e)})
		c.say("refused %s: %s", e.Position(), reason(e))
	}
	if b.Files+b.Directories > 0 && err == nil {
		c.say("%s: besides %s", c.command, notPods(b.Files, b.Directories))
	}
	return besidesCounts{len(b.Refused), b.Files, b.Directories}, err
}

// noPods tells that a directory has no Pods, and which one may have been meant.
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
		c.say("hint: %s is itself one Pod; give the directory that it is in", name)
	case inside != "":
		c.say("hint: there is no Pod in %s, but there are some in %s", name, place(nil, inside))
	default:
		c.say("hint: there is no Pod in %s; Pods are files %s", name, place(nil, filepath.Join(dir, "POD", "metadata.json")))
	}
}

// podsNear says whether a directory is one Pod, or else in which directory below it
// there are Pods.
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

// someEntries are the names of directories in a directory.
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

// notPods counts what is no Pod.
func notPods(files, directories int) string {
	return plural(files, "file") + " and " + plural(directories, "directory") + " without metadata.json"
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

func allowNetworkFlag(f *pflag.FlagSet, c *console) {
	f.BoolVar(&c.allowNetwork, "allow-network-fs", false, "write a database file also on NFS, SMB and the like, where locks may not hold")
}

// logger tells what a store warns of.
func (c *console) logger() *slog.Logger { return slog.New(warnings{c}) }

type warnings struct{ c *console }

func (w warnings) Enabled(_ context.Context, level slog.Level) bool { return level == slog.LevelWarn }

func (w warnings) Handle(_ context.Context, r slog.Record) error {
	text := strings.TrimPrefix(r.Message, "podstore: ")
	r.Attrs(func(a slog.Attr) bool {
		if value := a.Value.String(); a.Key == "path" {
			text = place(nil, value) + ": " + text
		} else {
			text += "; " + a.Key + " " + value
		}
		return true
	})
	w.c.emit(warningItem{w.c.head("warning"), oneLine(text)})
	w.c.say("warning: %s", text)
	return nil
}

func (w warnings) WithAttrs([]slog.Attr) slog.Handler { return w }
func (w warnings) WithGroup(string) slog.Handler      { return w }

// warningItem is a warning in JSON.
type warningItem struct {
	head
	Message string `json:"message"`
}

func maxFileSizeFlag(f *pflag.FlagSet, size *int64) {
	if *size == 0 {
		*size = jsonexport.DefaultMaxFileSize
	}
	f.Var((*byteSize)(size), "max-file-size", "refuse a metadata.json that is larger, in bytes, KiB, MiB or GiB")
}
