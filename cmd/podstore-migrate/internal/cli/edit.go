package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"podstore/store"
	"podstore/store/jsonexport"
	"podstore/store/podjson"
)

const editHelp = `Edit opens one Pod, as canonical JSON, in the editor that VISUAL or EDITOR names, and
writes your text: all of it, in one transaction, or nothing. DB is a database file, or
unix:SOCKET while a supervisor runs. Nothing is locked while the editor is open.

Edit writes only if the Pod is still as it was shown. If somebody changed it meanwhile,
or your text is refused, edit prints one line on standard error,
  conflict pod NAME: reason, or refused PATH:LINE:COL: reason
and the exit code is 3. It keeps your text in a file, with what the store has now beside
it, and prints the path. On a terminal it asks you how to go on. --from writes such a
file later.

--set changes single fields without an editor: active, children, reclaimed, peers,
manifest, or another field of the Pod, to a JSON value; null removes it. --from takes the
whole document from a file, or with "-" from standard input. It also replaces a damaged
Pod. With --revision, which show --json prints, either is refused if the Pod has another
revision by now.

A Pod's name cannot be changed. To create a Pod use import or copy, to delete one use
remove.`

// editOptions are the flags of edit.
type editOptions struct {
	set         []string
	from        string
	revision    string
	dryRun      bool
	maxFileSize int64
}

func editCmd(c *console) *cobra.Command {
	opts := editOptions{maxFileSize: jsonexport.DefaultMaxFileSize}
	cmd := command(c, "edit [flags] DB POD", "Change one Pod, in an editor or by flags", editHelp,
		`  podstore-migrate edit pods.db reviewer
  EDITOR=nano podstore-migrate edit unix:/run/supervisor.sock reviewer
  podstore-migrate edit --set active=null --set 'peers=[{"pod_name": "indexer"}]' pods.db reviewer
  podstore-migrate show pods.db reviewer | sed s/Review/Read/ | podstore-migrate edit --from - pods.db reviewer`,
		func(ctx context.Context, args []string) error { return runEdit(ctx, c, args[0], args[1], opts) })
	f := cmd.Flags()
	f.StringArrayVar(&opts.set, "set", nil, "set this `FIELD=JSON` and open no editor; may be repeated")
	f.StringVar(&opts.from, "from", "", "take the document from this `FILE`, - for standard input, and open no editor")
	f.StringVar(&opts.revision, "revision", "", "change the Pod only if this is its `REVISION`")
	f.BoolVar(&opts.dryRun, "dry-run", false, "print what would change and change nothing")
	allowNetworkFlag(f, c)
	maxFileSizeFlag(f, &opts.maxFileSize)
	completeFlag(cmd, "set", "active=", "children=", "reclaimed=", "peers=", "manifest=")
	cmd.MarkFlagsMutuallyExclusive("set", "from")
	return cmd
}

// editing is one run of edit.
type editing struct {
	*console
	location location
	pod      string
	opts     editOptions
	base     *store.Metadata // the Pod as it was read; nil if it is damaged
	draft    *draft          // nil without an editor
	kept     bool            // the draft must not be removed
	// beside is the file with the Pod as others changed it meanwhile, or "".
	beside string
}

// howToRename ends the message that a name cannot be changed.
const howToRename = "to have it under another name, export it, change pod_name and the directory's name, import that, and remove this Pod"

// errMoved: the Pod is not at the revision that was shown.
var errMoved = errors.New("the Pod was changed meanwhile")

func runEdit(ctx context.Context, c *console, db, pod string, opts editOptions) (err error) {
	e := &editing{console: c, pod: pod, opts: opts}
	c.resume = "nothing was changed; run the same command again"
	if e.location, err = c.parseLocation(db); err != nil {
		return err
	}
	if opts.revision != "" {
		if _, err := store.ParseRevision(opts.revision); err != nil {
			return c.misuse("--revision %w", err)
		}
	}
	for _, s := range opts.set {
		field, value, ok := strings.Cut(s, "=")
		switch {
		case !ok || field == "" || value == "":
			return c.misuse("--set %q: expected FIELD=JSON, where FIELD is active, children, reclaimed, peers, manifest or one that the Pod has besides", s)
		case slices.Contains([]string{"name", "pod_name", "worker_name"}, field):
			return c.misuse("--set %q: a Pod's name cannot be changed; %s", s, howToRename)
		case slices.Contains([]string{"session", "session_id", "segment", "segment_id"}, field):
			return c.misuse("--set %q: session and segment are set together, with active", s)
		}
	}
	var text []byte
	if opts.from != "" {
		if text, err = readInput(c.stdin, opts.from, opts.maxFileSize); err != nil {
			return err
		}
	}
	if err := e.read(ctx); err != nil {
		return err
	}
	c.summary = editSummary{opts.dryRun}
	switch {
	case opts.revision != "" && (e.base == nil || e.base.Version.Revision.String() != opts.revision):
		e.conflict(errors.New("it does not have the revision that --revision names; nothing was changed"), "")
		return nil
	case opts.from != "":
		return e.once(ctx, text)
	case len(opts.set) > 0:
		return e.set(ctx)
	}
	return e.inEditor(ctx)
}

// readInput reads a file, or standard input.
func readInput(stdin *os.File, path string, limit int64) (text []byte, err error) {
	f := stdin
	if path != "-" {
		if f, err = os.Open(path); err != nil {
			return nil, err
		}
		defer f.Close()
	}
	text, err = io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(text)) > limit {
		err = &store.Error{Op: "read", Path: path, Kind: store.ErrTooLarge, Err: fmt.Errorf("it is larger, the limit is %d", limit)}
	}
	return text, err
}

// read reads the Pod as it is.
func (e *editing) read(ctx context.Context) error {
	s, err := e.openLive(ctx, e.location)
	if err != nil {
		return err
	}
	e.base, err = e.readNamed(ctx, s, e.pod)
	if e.opts.from != "" && e.opts.revision == "" && errors.Is(err, store.ErrCorrupt) && !transient(err) {
		e.base, err = nil, nil
	}
	return errors.Join(err, s.Close())
}

// once writes the text of --from.
func (e *editing) once(ctx context.Context, text []byte) error {
	m, refused := e.parse(text, e.opts.from)
	if refused != nil {
		e.refuse(refused)
		return nil
	}
	err := e.write(ctx, m)
	if errors.Is(err, errMoved) {
		e.conflict(errors.New("it was changed meanwhile; nothing was written; run the same command again"), "")
		return nil
	}
	return err
}

// parse reads a text as the Pod's document. The error has the file's path.
func (e *editing) parse(text []byte, path string) (*store.Metadata, *store.Error) {
	m, _, err := podjson.Read(text, "")
	if err == nil && m.PodName != e.pod {
		err = &store.Error{Kind: store.ErrInvalid, Err: fmt.Errorf("pod_name is %.300q, and this Pod is %q; its name cannot be changed; %s", m.PodName, e.pod, howToRename)}
	}
	if err == nil {
		err = m.Clone().Normalize()
	}
	var bad *store.Error
	switch {
	case err == nil:
		return m, nil
	case !errors.As(err, &bad):
		bad = &store.Error{Kind: store.ErrInvalid, Err: err}
	}
	named := *bad
	named.Op, named.Path = "", path
	return nil, &named
}

// write replaces the Pod by m, if the Pod is still as it was shown.
func (e *editing) write(ctx context.Context, m *store.Metadata) (err error) {
	var fields []string
	if e.base != nil {
		fields = changedFields(e.base, m)
	}
	result := editItem{head: e.head("result"), Pod: e.pod, Outcome: "edited", DryRun: e.opts.dryRun, Fields: fields}
	if e.base != nil && len(fields) == 0 {
		result.Outcome, result.Fields = "unchanged", []string{}
		e.emit(result)
		e.say("unchanged pod %s", quoteName(e.pod))
		return nil
	}
	what := shownFields(fields)
	if e.base == nil {
		what, result.Fields = "all of it, which was damaged", []string{}
	}
	if e.opts.dryRun {
		e.emit(result)
		e.print("%s\tedited\t%s\n", quoteName(e.pod), what)
		e.warn(m)
		e.say("edit: 1 Pod would be changed (dry run, nothing was changed)")
		return nil
	}
	s, err := e.openChange(ctx, e.location, e.opts.maxFileSize)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if e.base == nil {
		err = store.Write(ctx, s, m)
	} else {
		var pods []*store.Metadata
		pods, err = store.EditByRevision(ctx, s, []string{e.pod}, func(pods []*store.Metadata) error {
			if pods[0] == nil || pods[0].Version.Revision != e.base.Version.Revision {
				return errMoved
			}
			pods[0] = m.Clone()
			return nil
		})
		if err == nil {
			result.Revision = pods[0].Version.Revision.String()
		}
	}
	if err != nil {
		return err
	}
	e.emit(result)
	e.say("edited pod %s: %s", quoteName(e.pod), what)
	e.warn(m)
	return nil
}
