package cli

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"podstore/store"
	"podstore/store/podjson"
)

const watchHelp = `Watch prints a line for each Pod that changes, until it is interrupted: the time, what
happened (created, changed, gone), the Pod's name, and what is new. Piped, the parts are
separated by tabs. DB is unix:SOCKET, of a supervisor that runs, or etcd in the build that
has it. A file cannot be watched: only the process that has it open changes it. Watch the
socket of that process.

With POD it prints only those Pods, whether they exist or not. --list first prints a line
for each Pod that exists.

If a Pod changes several times in a short time, watch may leave out states in between.
Pods that one change touched have the same time. Watch waits for a supervisor that
restarts, and then prints what has changed meanwhile. It does not read the history of
reclaimed children: when that changes, it prints "history".`

func watchCmd(c *console) *cobra.Command {
	var list bool
	cmd := command(c, "watch [flags] DB [POD...]", "Print what changes, as it does", watchHelp,
		`  podstore-migrate watch unix:/run/supervisor.sock
  podstore-migrate watch --list unix:/run/supervisor.sock coordinator
  podstore-migrate watch --json unix:/run/supervisor.sock | jq -r 'select(.type == "gone") | .pod'`,
		func(ctx context.Context, args []string) error { return runWatch(ctx, c, args[0], args[1:], list) })
	cmd.Flags().BoolVar(&list, "list", false, "first print the Pods that exist")
	return cmd
}

// watchItem is one Pod that changed, in JSON.
type watchItem struct {
	head
	Time     string          `json:"time"`
	Pod      string          `json:"pod"`
	Fields   []string        `json:"fields,omitempty"`
	Revision string          `json:"revision,omitempty"`
	Created  *string         `json:"created,omitempty"`
	Changed  *string         `json:"changed,omitempty"`
	Metadata json.RawMessage `json:"metadata,omitempty"`
}

// syncedItem says in JSON that the lines so far are the store at one moment.
type syncedItem struct {
	head
	Time string `json:"time"`
	Pods int    `json:"pods"`
}

// watchSummary is the summary of watch in JSON.
type watchSummary struct {
	Changes int `json:"changes"`
}

// watching is one run of watch.
type watching struct {
	*console
	name   string
	list   bool
	first  bool                       // the first list is not complete
	known  map[string]*store.Metadata // the Pods as they were last printed, manifests as hashes
	broken map[string]bool            // the Pods that cannot be read
	seen   map[string]bool            // the Pods named since a list began; nil outside of one
	sum    watchSummary
}

func runWatch(ctx context.Context, c *console, db string, pods []string, list bool) error {
	c.resume = "watch changes nothing"
	at, err := c.parseLocation(db)
	if err != nil {
		return err
	}
	for i, pod := range pods {
		if err := store.ValidateName(pod); err != nil {
			return err
		}
		if slices.Contains(pods[:i], pod) {
			return c.misuse("%s is named twice", quoteName(pod))
		}
	}
	switch at.kind {
	case kindDirectory:
		return c.misuse("a directory cannot be watched; podstore-migrate-ui ui %s reads it again and again", at.name())
	case kindFile:
		// If it is locked or missing, that error is the better message.
		s, err := c.openLive(ctx, at)
		if err == nil {
			err = s.Close()
		}
		if err != nil {
			return err
		}
		return c.misuse("%s is a file that no process has open, so it does not change; open it with %s serve %s SOCKET, and watch unix:SOCKET",
			at.name(), c.program, shellWord(db))
	}
	s, err := c.openLive(ctx, at)
	if err != nil {
		return err
	}
	w := &watching{console: c, name: at.name(), list: list, first: true, known: map[string]*store.Metadata{}, broken: map[string]bool{}, seen: map[string]bool{}}
	opts := store.WatchOptions{}
	if len(pods) > 0 {
		opts.Pods = pods
	}
	for b, watchErr := range store.Watch(ctx, s.MetadataStore, opts) {
		if err = watchErr; err != nil {
			break
		}
		w.batch(b)
		_ = c.out.Flush()
		if c.hungUp() {
			break
		}
	}
	if errors.Is(err, errors.ErrUnsupported) {
		err = fmt.Errorf("%s cannot be watched: the store that serves it does not report changes: %w", at.name(), err)
	}
	c.summary = w.sum
	return errors.Join(err, s.Close())
}

// batch prints the events of a batch.
func (w *watching) batch(b store.Batch) {
	now := time.Now()
	if b.Resync && w.seen == nil {
		w.seen = map[string]bool{}
	}
	byName := func(a, b store.Event) int { return strings.Compare(a.Pod, b.Pod) }
	for _, e := range slices.SortedFunc(slices.Values(b.Events), byName) {
		if w.seen != nil {
			w.seen[e.Pod] = true
		}
		w.event(now, e)
	}
	if !b.Synced || w.seen == nil {
		return
	}
	for _, pod := range sortedKeys(w.known) {
		if !w.seen[pod] {
			w.gone(now, pod)
		}
	}
	w.seen = nil
	if w.first {
		w.first = false
		w.say("watching %s, %s", w.name, plural(len(w.known), "Pod"))
	}
	w.emit(syncedItem{w.head("synced"), now.UTC().Format(time.RFC3339Nano), len(w.known)})
}

// event prints what is new in one Pod.
func (w *watching) event(now time.Time, e store.Event) {
	was := w.known[e.Pod]
	switch {
	case e.Err != nil && e.Pod == "":
		w.damaged("", e.Err)
	case e.Err != nil:
		if !w.broken[e.Pod] {
			w.broken[e.Pod] = true
			w.unread(e.Err)
		}
		delete(w.known, e.Pod)
	case e.Metadata == nil:
		delete(w.broken, e.Pod)
		if was != nil {
			w.gone(now, e.Pod)
		}
	default:
		delete(w.broken, e.Pod)
		is := *e.Metadata // all receivers share it
		doc := is.Manifest
		if doc != nil {
			sum := sha256.Sum256(doc)
			is.Manifest = sum[:]
		}
		w.known[e.Pod] = &is
		switch {
		case was != nil && is.Version.Revision == was.Version.Revision:
		case was == nil:
			w.line(now, "created", e.Metadata, nil, shownPod(&is, len(doc)))
		default:
			w.line(now, "changed", e.Metadata, changedFields(was, &is), shownChange(was, &is, len(doc)))
		}
	}
}

func (w *watching) gone(now time.Time, pod string) {
	delete(w.known, pod)
	w.sum.Changes++
	w.emit(watchItem{head: w.head("gone"), Time: now.UTC().Format(time.RFC3339Nano), Pod: pod})
	w.row(now, "gone", pod, "")
}

// line prints a Pod that exists. In the first list it prints it as "pod", and only with
// --list.
func (w *watching) line(now time.Time, what string, m *store.Metadata, fields []string, text string) {
	switch {
	case w.first && !w.list:
		return
	case w.first:
		what = "pod"
	default:
		w.sum.Changes++
	}
	w.emit(watchItem{w.head(what), now.UTC().Format(time.RFC3339Nano), m.PodName, fields, m.Version.Revision.String(),
		knownTime(m.Version.Created), knownTime(m.Version.Changed), podjson.AppendLine(nil, m)})
	w.row(now, what, m.PodName, text)
}

// row prints one line of text.
func (w *watching) row(now time.Time, what, pod, text string) {
	if w.terminal {
		w.print("%s\n", strings.TrimRight(fmt.Sprintf("%s  %-7s  %s  %s", now.Format(time.TimeOnly), what, quoteName(pod), text), " "))
		return
	}
	w.print("%s\t%s\t%s\t%s\n", now.UTC().Format(time.RFC3339), what, quoteName(pod), orDash(text))
}

// shownPod is a summary of a Pod.
func shownPod(m *store.Metadata, manifest int) string {
	var parts []string
	if m.Active != nil {
		parts = append(parts, shownActive(m.Active))
	}
	if n := len(m.Children); n == 1 {
		parts = append(parts, "1 child")
	} else if n > 1 {
		parts = append(parts, fmt.Sprintf("%d children", n))
	}
	if n := len(m.Peers); n > 0 {
		parts = append(parts, plural(n, "peer"))
	}
	if manifest > 0 {
		parts = append(parts, "manifest of "+humanBytes(int64(manifest)))
	}
	return strings.Join(parts, "; ")
}

func shownActive(a *store.ActiveSegment) string {
	session, segment := ids(a)
	switch {
	case session == "":
		return "not active"
	case segment == "":
		return "session " + session
	}
	return "session " + session + " segment " + segment
}

// shownChange is a summary of what is new in a Pod.
func shownChange(was, is *store.Metadata, manifest int) string {
	var parts []string
	for _, field := range changedFields(was, is) {
		switch field {
		case "active":
			switch {
			case was.Active != nil && is.Active != nil && was.Active.SessionID == is.Active.SessionID && is.Active.SegmentID != nil:
				parts = append(parts, "segment "+is.Active.SegmentID.String())
			default:
				parts = append(parts, shownActive(is.Active))
			}
		case "spawned_children":
			parts = append(parts, strings.TrimSpace("children "+shownDifference(childNames(was), childNames(is))))
		case "peers":
			parts = append(parts, strings.TrimSpace("peers "+shownDifference(peerNames(was), peerNames(is))))
		case "resolved_manifest_snapshot":
			if manifest == 0 {
				parts = append(parts, "no manifest")
			} else {
				parts = append(parts, "manifest of "+humanBytes(int64(manifest)))
			}
		default:
			parts = append(parts, shownFields([]string{field}))
		}
	}
	if len(parts) == 0 {
		return "history"
	}
	return strings.Join(parts, "; ")
}

// shownDifference lists the names that were added and removed.
func shownDifference(was, is []string) string {
	var parts []string
	for _, name := range is {
		if !slices.Contains(was, name) {
			parts = append(parts, "+"+quoteName(name))
		}
	}
	for _, name := range was {
		if !slices.Contains(is, name) {
			parts = append(parts, "-"+quoteName(name))
		}
	}
	return strings.Join(parts, " ")
}

func childNames(m *store.Metadata) (names []string) {
	for _, child := range m.Children {
		names = append(names, child.PodName)
	}
	return names
}

func peerNames(m *store.Metadata) (names []string) {
	for _, peer := range m.Peers {
		names = append(names, peer.PodName)
	}
	return names
}
