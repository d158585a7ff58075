package jsonexport

// Outcome is the result of an operation for one Pod.
type Outcome string

// The outcomes. Each operation uses some of them.
const (
	Imported  Outcome = "imported"  // import: the store has it now
	Exported  Outcome = "exported"  // export: the directory has it now
	Pruned    Outcome = "pruned"    // export: removed, because the store does not have it
	Unchanged Outcome = "unchanged" // import, export: the same was there already
	Conflict  Outcome = "conflict"  // import: stored differently, and kept
	Repaired  Outcome = "repaired"  // import: the store has the whole document of a torn file
	Refused   Outcome = "refused"   // import, export: it could not be read or written

	Same           Outcome = "same"                 // verify: equal on both sides
	Differs        Outcome = "differs"              // verify: other content
	NotCanonical   Outcome = "not-canonical"        // verify: same content, other bytes
	MissingInStore Outcome = "missing-in-store"     // verify: the directory alone has it
	MissingInDir   Outcome = "missing-in-directory" // verify: the store alone has it
	Unreadable     Outcome = "unreadable"           // verify: its file, or the entry in its place, cannot be read

	Damaged Outcome = "damaged" // export, verify: what the store holds of it is damaged
)

// Result is the result for one Pod, or for a directory entry in the place of a Pod.
type Result struct {
	// Pod is the Pod's name. For an entry whose name is no Pod name it is the
	// entry's name, which need not be UTF-8.
	Pod string
	// Path is the Pod's metadata.json, or the entry in its place.
	Path    string
	Outcome Outcome
	// Field is the first field that differs, in the order of the JSON layout, if
	// Outcome is [Differs] or [Conflict].
	Field string
	// Left is the number of bytes of older documents in the file, if Outcome is
	// [Repaired].
	Left int
	// Renamed says that the file of an exported Pod had the other naming before.
	Renamed bool
	// Err is the reason, if Outcome is [Conflict], [Refused], [Damaged] or
	// [Unreadable]. It is or wraps a [*store.Error], with Path, Line and Column if the
	// fault is in a file.
	Err error
}

// Report is the summary of an operation.
type Report struct {
	// Counts has the number of results by outcome. Outcomes that did not occur
	// are absent.
	Counts map[Outcome]int
	// Files counts the entries of the directory that are neither directories nor links,
	// mostly plain files. Directories counts the directories without a metadata.json.
	// None of them is a Pod; all are left alone. Export does not count them.
	Files, Directories int
}

// Progress is called once for each result, when it is final, from the goroutine that
// called the operation. Then an imported Pod is durable, and so is an exported one,
// unless the directory is new (see [Export]): then all Pods are durable when Export
// returns, or, if it fails to publish the directory, none is there. done counts the
// results so far. total is the number expected; it may still fall a little.
type Progress func(r Result, done, total int)

// reporter keeps a Report and calls Progress.
type reporter struct {
	Report
	progress    Progress
	done, total int
}

func newReporter(progress Progress, total int) *reporter {
	return &reporter{Report: Report{Counts: map[Outcome]int{}}, progress: progress, total: total}
}

func (r *reporter) add(res Result) {
	r.Counts[res.Outcome]++
	r.done++
	r.total = max(r.total, r.done)
	if r.progress != nil {
		r.progress(res, r.done, r.total)
	}
}
