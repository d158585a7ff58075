package linear

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"
)

// explain describes a history for the person who must find the fault: the longest order
// that fits, and the calls that no longer fit behind it.
func explain(r rules, done []porcupine.Operation) string {
	_, info := porcupine.CheckOperationsVerbose(r.porcupine(), done, time.Minute)
	var longest []int
	for _, order := range info.PartialLinearizations()[0] {
		if len(order) > len(longest) {
			longest = order
		}
	}
	var b strings.Builder
	b.WriteString("the longest order that fits:\n")
	// porcupine's numbers are indexes into done.
	for _, i := range longest {
		describe(&b, done[i])
	}
	b.WriteString("what is left, by its beginning:\n")
	for i, o := range done {
		if !slices.Contains(longest, i) {
			describe(&b, o)
		}
	}
	return b.String()
}

func describe(b *strings.Builder, o porcupine.Operation) {
	until := fmt.Sprint(o.Return / 1000)
	if o.Return == math.MaxInt64 {
		until = "?"
	}
	fmt.Fprintf(b, "caller %d, %d to %s µs: %v → %v\n", o.ClientId, o.Call/1000, until, o.Input, o.Output)
}

func (c call) String() string {
	var of strings.Builder
	for _, i := range c.pods {
		of.WriteString(letters[i : i+1])
	}
	switch c.kind {
	case read:
		return "read " + of.String()
	case list:
		return "list"
	case moment:
		return "look at " + of.String()
	case edit:
		return fmt.Sprintf("edit %s with %s", &of, c.mark)
	}
	var b strings.Builder
	if c.id != 0 {
		fmt.Fprintf(&b, "request %d: ", c.id)
	}
	for i, ch := range c.changes {
		if i > 0 {
			b.WriteString(", ")
		}
		name := "only look"
		if ch.Op != nil {
			name = fmt.Sprint(ch.Op.Name(), ch.Op)
		}
		fmt.Fprintf(&b, "%s %s", ch.Pod, name)
		if s := ch.If.String(); s != "" {
			b.WriteString(" if " + s)
		}
	}
	return b.String()
}

func (r result) String() string {
	switch {
	case r.unknown:
		return "unknown"
	case r.err != nil:
		return r.err.Error()
	case r.pods == nil && r.revs == nil:
		return fmt.Sprintf("names %04b", r.names)
	}
	var parts []string
	for i, p := range r.pods {
		s := "none"
		if p.there {
			s = fmt.Sprintf("{peers %04b children %q history %q active %d at %v}", p.peers, p.children, p.history, p.active, p.rev)
		}
		if r.revs != nil {
			s = r.revs[i].String()
			if r.there[i] {
				s += fmt.Sprintf(" {peers %04b children %q history %q active %d}", p.peers, p.children, p.history, p.active)
			}
		}
		parts = append(parts, s)
	}
	return strings.Join(parts, ", ")
}
