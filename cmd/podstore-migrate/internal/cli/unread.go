package cli

import (
	"errors"

	"podstore/store"
)

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

// podOf is the Pod that an error concerns, or "".
func podOf(err error) string {
	var e *store.Error
	if errors.As(err, &e) {
		return e.Pod
	}
	return ""
}
