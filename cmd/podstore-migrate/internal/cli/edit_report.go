package cli

import (
	"fmt"

	"podstore/store"
)

// editItem is the result of edit in JSON.
type editItem struct {
	head
	Pod      string   `json:"pod"`
	Outcome  string   `json:"outcome"`
	DryRun   bool     `json:"dry_run,omitempty"`
	Fields   []string `json:"fields"`
	Revision string   `json:"revision,omitempty"`
	Reason   string   `json:"reason,omitempty"`
	Path     string   `json:"path,omitempty"`
	Line     int      `json:"line,omitempty"`
	Column   int      `json:"column,omitempty"`
	Stored   string   `json:"stored,omitempty"`
}

// editSummary is the summary of edit in JSON.
type editSummary struct {
	DryRun bool `json:"dry_run"`
}

// warn warns about new fields that podstore does not know: they may be typing errors.
func (e *editing) warn(m *store.Metadata) {
	for _, field := range sortedKeys(m.Extra) {
		if e.base != nil && e.base.Extra[field] == nil {
			text := fmt.Sprintf("podstore does not know the field %s; it is kept as it is", quoteName(field))
			e.emit(warningItem{e.head("warning"), text})
			e.say("warning: %s", text)
		}
	}
}

// refuse reports that a text is refused.
func (e *editing) refuse(refused *store.Error) {
	e.note(exitPartial)
	e.emit(editItem{head: e.head("result"), Pod: e.pod, Outcome: "refused", DryRun: e.opts.dryRun, Fields: []string{}, Reason: e.why(refused), Path: refused.Path, Line: refused.Line, Column: refused.Column})
	if refused.Path == "" {
		e.say("refused pod %s: %s", quoteName(e.pod), e.why(refused))
	} else {
		e.say("refused %s: %s", refused.Position(), e.why(refused))
	}
}

// conflict reports that the Pod is no longer as it was shown. stored is the file with what
// the store has now, or "".
func (e *editing) conflict(why error, stored string) {
	e.note(exitPartial)
	item := editItem{head: e.head("result"), Pod: e.pod, Outcome: "conflict", DryRun: e.opts.dryRun, Fields: []string{}, Reason: oneLine(why.Error()), Stored: stored}
	if e.draft != nil {
		item.Path = e.draft.path
	}
	e.emit(item)
	e.say("conflict pod %s: %v", quoteName(e.pod), why)
}
