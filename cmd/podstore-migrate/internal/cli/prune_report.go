package cli

import "fmt"

// pruneSummary is the summary of prune in JSON.
type pruneSummary struct {
	Removed    int  `json:"removed"`
	Trimmed    int  `json:"trimmed"`
	References int  `json:"references"`
	Sessions   int  `json:"sessions"`
	Conflicts  int  `json:"conflicts"`
	Unknown    int  `json:"unknown_time"`
	DryRun     bool `json:"dry_run"`
}

// pruneItem is one thing that is removed, in JSON.
type pruneItem struct {
	head
	Kind    string  `json:"kind"`
	Pod     string  `json:"pod,omitempty"`
	Session string  `json:"session_id,omitempty"`
	Other   *string `json:"other,omitempty"`
	Changed *string `json:"changed,omitempty"`
	Entries *int    `json:"entries,omitempty"`
	// References counts the references that other Pods have to a Pod that is removed.
	References *int   `json:"references,omitempty"`
	Outcome    string `json:"outcome"`
	DryRun     bool   `json:"dry_run,omitempty"`
	Reason     string `json:"reason,omitempty"`
}

// removes prints one thing that is removed, and counts it.
func (p *pruning) removes(count *int, item pruneItem, format string, args ...any) {
	*count++
	item.head, item.Outcome, item.DryRun = p.head("result"), "pruned", p.sum.DryRun
	p.emit(item)
	p.print(format+"\n", args...)
}

// keeps prints one thing that is kept because others changed it meanwhile.
func (p *pruning) keeps(item pruneItem, why string) {
	p.sum.Conflicts++
	p.note(exitPartial)
	item.head, item.Outcome, item.Reason = p.head("result"), "conflict", why
	p.emit(item)
	p.say("conflict pod %s: %s", quoteName(item.Pod), why)
}

// sumUp prints the last line of prune.
func (p *pruning) sumUp() {
	p.summary = p.sum
	line := fmt.Sprintf("prune: %s removed", plural(p.sum.Removed, "Pod"))
	if p.opts.keepHistory >= 0 {
		line += fmt.Sprintf(", %s trimmed", plural(p.sum.Trimmed, "history"))
	}
	if p.opts.references {
		line += fmt.Sprintf(", %s dropped", plural(p.sum.References, "reference"))
	}
	if p.opts.sessions != "" {
		line += fmt.Sprintf(", %s deleted", plural(p.sum.Sessions, "session"))
	}
	if p.sum.Conflicts > 0 {
		line += fmt.Sprintf(", %d in conflict", p.sum.Conflicts)
	}
	if p.sum.Unknown > 0 {
		line += fmt.Sprintf("; %s of unknown time kept", plural(p.sum.Unknown, "Pod"))
	}
	if p.sum.DryRun {
		line += " (dry run, nothing was changed; --yes does it)"
	}
	p.say("%s", line)
}
