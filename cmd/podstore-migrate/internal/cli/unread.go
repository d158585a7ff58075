package cli

import (
	"errors"

	"podstore/store"
)

// damaged prints a Pod that is damaged in the store that the command reads, or in a format
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

// unreadable prints a Pod that may be undamaged, but that this process could not read.
func (c *console) unreadable(pod string, err error) {
	c.note(exitFailure)
	c.say("unreadable pod %s: %s", quoteName(pod), c.fullReason(err))
}

// fullReason is why with the position, for a directory, where each Pod is a file.
func (c *console) fullReason(err error) string {
	var e *store.Error
	if c.db.kind == kindDirectory && errors.As(err, &e) && e.Path != "" {
		return e.Position() + ": " + c.why(err)
	}
	return c.why(err)
}

// why is reason with the flag that helps, if any.
func (c *console) why(err error) string { return reason(err) + c.flagFor(err) }

// unreadItem is a Pod in JSON that could not be read, for commands without a result
// for each Pod. Its type is damage or unreadable.
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

// unread prints a Pod that could not be read, in those commands. It returns the Pod's name
// and the word for it in a list. The name is "" for an error that concerns no Pod.
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

// podOf is the Pod that an error names, or "".
func podOf(err error) string {
	var e *store.Error
	if errors.As(err, &e) {
		return e.Pod
	}
	return ""
}
