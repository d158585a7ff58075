package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"podstore/store"
	"podstore/store/podjson"
)

// inEditor lets the operator edit the Pod until it is written or the operator gives up.
func (e *editing) inEditor(ctx context.Context) (err error) {
	e.draft, err = newDraft([]byte(visibleText(string(podjson.Append(nil, e.base))) + "\n"))
	if err != nil {
		return err
	}
	defer func() {
		if !e.kept {
			e.draft.remove()
		} else if err != nil {
			e.sayKept()
		}
	}()
	for {
		text, err := e.draft.edit(e.console)
		if err != nil {
			e.keepIfChanged()
			return err
		}
		e.kept = true // until the text is written, or changes nothing
		if err := ctx.Err(); err != nil {
			return err
		}
		m, refused := e.parse(text, e.draft.path)
		if refused == nil {
			err = e.write(ctx, m)
		}
		again := false
		switch {
		case refused != nil:
			again, err = e.offerAfterRefusal(ctx, refused)
		case errors.Is(err, errMoved):
			again, err = e.offerBoth(ctx, m)
		case err == nil && e.opts.dryRun:
			e.sayKept()
		case err == nil:
			e.kept = false
		}
		if !again {
			return err
		}
	}
}

// keepIfChanged keeps the draft if the editor failed after it had written to it.
func (e *editing) keepIfChanged() {
	text, err := os.ReadFile(e.draft.path)
	if err != nil {
		return
	}
	m, refused := e.parse(text, e.draft.path)
	e.kept = refused != nil || len(changedFields(e.base, m)) > 0
}

// sayKept prints where the operator's text is.
func (e *editing) sayKept() {
	how := "to write it later, if the Pod is still the same"
	if e.beside != "" {
		how = "it would undo what is new in " + place(nil, e.beside) + ", so copy that into it first; then write it"
	}
	e.say("your text is in %s; %s: %s edit --from %s --revision %s %s %s",
		place(nil, e.draft.path), how, e.program, shellWord(e.draft.path), e.base.Version.Revision, shellWord(e.location.arg), podWord(e.pod))
}

// podWord writes a Pod's name as the last argument of a command line, for copying.
func podWord(pod string) string {
	if strings.HasPrefix(pod, "-") {
		return "-- " + shellWord(pod)
	}
	return shellWord(pod)
}

// offerAfterRefusal prints why a text is refused and asks whether to edit it again.
func (e *editing) offerAfterRefusal(ctx context.Context, refused *store.Error) (again bool, err error) {
	if !e.asks() {
		e.refuse(refused)
		e.sayKept()
		return false, nil
	}
	e.say("refused %s: %s", refused.Position(), reason(refused))
	answer, err := e.ask(ctx, "edit it again, or quit and keep the text?", "eq")
	if err != nil || answer == 'e' {
		return err == nil, err
	}
	e.refuse(refused)
	e.sayKept()
	return false, nil
}

// offerBoth prints that the Pod was changed meanwhile. It writes what the store has now
// beside the operator's text. If the two changed different fields, it offers to take both.
func (e *editing) offerBoth(ctx context.Context, mine *store.Metadata) (again bool, err error) {
	was := e.base
	if err = e.read(ctx); errors.Is(err, store.ErrNotFound) {
		e.conflict(errors.New("it was removed meanwhile; nothing was written; your text is in "+place(nil, e.draft.path)), "")
		return false, nil
	} else if err != nil {
		e.base = was
		return false, err
	}
	beside, err := e.draft.keepBeside([]byte(visibleText(string(podjson.Append(nil, e.base))) + "\n"))
	if err != nil {
		return false, err
	}
	theirs, my := changedFields(was, e.base), changedFields(was, mine)
	if len(theirs) > 0 {
		e.beside = beside
	}
	moved := fmt.Errorf("it was changed meanwhile, in %s; nothing was written; what the store has now is in %s", shownFields(theirs), place(nil, beside))
	if len(theirs) == 0 {
		moved = fmt.Errorf("it was changed and changed back meanwhile; nothing was written")
	}
	if !e.asks() {
		e.conflict(moved, beside)
		e.sayKept()
		return false, nil
	}
	e.say("conflict pod %s: %v", quoteName(e.pod), moved)
	question, letters := "edit your text again, to write it in place of that, or quit and keep both files?", "eq"
	apart := !slices.ContainsFunc(my, func(f string) bool { return slices.Contains(theirs, f) })
	if apart {
		question = fmt.Sprintf("take both, with your %s, edit your text again, to write it in place of that, or quit and keep both files?", shownFields(my))
		letters = "beq"
	}
	answer, err := e.ask(ctx, question, letters)
	switch {
	case err != nil:
		return false, err
	case answer == 'e':
		return true, nil
	case answer == 'b':
		both := e.base.Clone()
		for _, field := range my {
			takeField(both, mine, field)
		}
		err := e.write(ctx, both)
		if errors.Is(err, errMoved) {
			return e.offerBoth(ctx, both)
		}
		e.kept = err != nil
		return false, err
	}
	e.conflict(moved, beside)
	e.sayKept()
	return false, nil
}
