package cli

import (
	"context"
	"crypto/sha256"
	"errors"
	"iter"

	"github.com/spf13/cobra"

	"podstore/store"
	"podstore/store/jsonexport"
	"podstore/store/podjson"
)

const copyHelp = `Copy reads every Pod of SRC and writes it to DST; both may be of any kind, as in
  copy dir:pods pods.db                         as import does
  copy pods.db unix:/run/supervisor.sock        into the store of a supervisor
  copy pods.db etcd://10.0.0.1:2379/podstore    to servers
Copy only reads SRC, at one moment; a directory, which may be in use meanwhile, it reads
file by file. It creates DST if that is a missing file or directory. Other Pods of DST
stay. To write through a socket, a supervisor must serve its store for changing:
docs/socket.md.

Bad Pods do not stop the others. Each is one line on standard error,
  refused PATH:LINE:COL: reason, or refused pod NAME: reason
  conflict PATH: reason, or conflict pod NAME: reason
A conflict is a Pod that DST already has with other content. It is kept, unless
--overwrite is given. The exit code is then 3, or 5 if a Pod is damaged.

At the end copy reads every Pod that it copied back from DST and compares it with what it
read from SRC. Each that differs is one line on standard output, and the exit code is 4.
--verify=false leaves this out.

If copy is interrupted, both places are intact: run the same command again, and the result
is the same as without the interruption.

A dry run only compares Pods. It does not find obstacles to writing one, such as a link
in the place of its directory.`

// copyOptions are the flags of copy.
type copyOptions struct {
	overwrite, strict, dryRun, verify bool
	maxFileSize                       int64
}

func copyCmd(c *console) *cobra.Command {
	opts := copyOptions{maxFileSize: jsonexport.DefaultMaxFileSize}
	cmd := command(c, "copy [flags] SRC DST", "Copy Pods between files, directories, sockets and servers", copyHelp,
		`  podstore-migrate copy pods.db dir:/var/lib/pods
  podstore-migrate copy --dry-run dir:/var/lib/pods unix:/run/supervisor.sock
  podstore-migrate copy --strict unix:/run/supervisor.sock copy.db`,
		func(ctx context.Context, args []string) error { return runCopy(ctx, c, args[0], args[1], opts) })
	f := cmd.Flags()
	f.BoolVar(&opts.overwrite, "overwrite", false, "replace Pods that DST has with other content")
	f.BoolVar(&opts.strict, "strict", false, "copy all Pods in one transaction, or none if any is refused or in conflict")
	allowNetworkFlag(f, c)
	f.BoolVar(&opts.dryRun, "dry-run", false, "print what would happen and change nothing")
	f.BoolVar(&opts.verify, "verify", true, "read back what was copied, and compare it")
	maxFileSizeFlag(f, &opts.maxFileSize)
	return cmd
}

// copying is one run of copy.
type copying struct {
	*console
	opts     copyOptions
	from, to location
	src      store.MetadataStore // not used for a directory, which jsonexport reads
	dst      store.MetadataStore

	sums map[string][sha256.Size]byte // hashes of the Pods that were read, by name
	left map[string]bool              // the Pods that were refused or in conflict

	counts             map[copyOutcome]int
	files, directories int
	verified, unequal  *int // nil before the copy is verified
}

func runCopy(ctx context.Context, c *console, src, dst string, opts copyOptions) (err error) {
	cp := &copying{console: c, opts: opts, sums: map[string][sha256.Size]byte{}, left: map[string]bool{}, counts: map[copyOutcome]int{}}
	if err := cp.parse(src, dst); err != nil {
		return err
	}
	c.resume = "what was copied so far is safe; run the same command again to copy the rest"
	switch {
	case opts.dryRun:
		c.resume = "a dry run changes nothing"
	case opts.strict:
		c.resume = "nothing was copied; run the same command again"
	}
	// A source that is not there must not leave an empty destination behind.
	source, err := c.readLocation(ctx, cp.from, opts.maxFileSize)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	target, err := c.openTarget(ctx, cp.to, opts.dryRun, opts.maxFileSize)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, target.Close()) }()
	cp.src, cp.dst, c.db = source.MetadataStore, target.MetadataStore, cp.from
	err = cp.copy(ctx)
	whole := err == nil && !opts.dryRun && (!opts.strict || cp.counts[copyRefused]+cp.counts[copyConflict] == 0)
	if opts.strict && cp.counts[copyCopied] > 0 || whole {
		c.resume = "all Pods were copied" // a commit that has begun is finished
	}
	if whole && opts.verify {
		c.nextBar("verify")
		err = cp.verify(ctx)
	}
	cp.sumUp(err)
	return err
}

// parse parses the two places and refuses pairs that cannot be copied.
func (cp *copying) parse(src, dst string) (err error) {
	if cp.from, err = cp.parseLocation(src); err != nil {
		return err
	}
	if cp.to, err = cp.parseLocation(dst); err != nil {
		return err
	}
	for _, s := range []location{cp.from, cp.to} {
		if s.isDirectory() {
			return cp.misuse("%s is a directory; as a directory of Pods write it %s", s.name(), place(nil, dirPrefix+s.arg))
		}
	}
	switch {
	case cp.from.same(cp.to):
		return cp.misuse("%s and %s are the same", cp.from.name(), cp.to.name())
	case cp.from.within(cp.to):
		return cp.misuse("of %s and %s one is inside the other", cp.from.name(), cp.to.name())
	case cp.opts.strict && cp.to.kind == kindDirectory:
		return cp.misuse("a directory does not take all Pods in one transaction, as --strict demands; copy without it")
	}
	return nil
}

// copy copies all Pods, and prints the result of each.
func (cp *copying) copy(ctx context.Context) error {
	if cp.from.kind == kindDirectory {
		report, err := jsonexport.Import(ctx, cp.dst, cp.from.path, jsonexport.ImportOptions{
			Overwrite: cp.opts.overwrite, Strict: cp.opts.strict, DryRun: cp.opts.dryRun, MaxFileSize: cp.opts.maxFileSize,
			Found: cp.read,
			Progress: func(r jsonexport.Result, done, total int) {
				outcome := copyOutcome(r.Outcome)
				if r.Outcome == jsonexport.Imported {
					outcome = copyCopied
				}
				cp.result(copyResult{r.Pod, r.Path, outcome, r.Field, r.Err})
				cp.progress(done, total)
			},
		})
		cp.files, cp.directories = report.Files, report.Directories
		if err == nil {
			cp.noPods(cp.from.path, report.Counts)
		}
		return err
	}
	total, done := 0, 0
	if cp.showsProgress() {
		names, _ := cp.src.List(ctx) // an error will come again from All
		total = len(names)
	}
	_, err := store.Copy(ctx, cp.dst, cp.all(ctx), store.CopyOptions{
		Overwrite: cp.opts.overwrite, Atomic: cp.opts.strict, DryRun: cp.opts.dryRun,
		Progress: func(r store.CopyResult) {
			outcome := copyOutcome(r.Outcome)
			if r.Outcome == store.Written {
				outcome = copyCopied
			}
			cp.result(copyResult{r.Pod, "", outcome, r.Field, r.Err})
			done++
			cp.progress(done, max(total, done))
		},
	})
	return err
}

// all yields the Pods of the source.
func (cp *copying) all(ctx context.Context) iter.Seq2[*store.Metadata, error] {
	return func(yield func(*store.Metadata, error) bool) {
		for m, err := range store.All(ctx, cp.src, store.ReadOptions{}) {
			if err == nil {
				cp.read(m)
			}
			if !yield(m, err) {
				return
			}
		}
	}
}

// read keeps the hash of a Pod that was read, for verify.
func (cp *copying) read(m *store.Metadata) {
	if cp.opts.verify && !cp.opts.dryRun {
		cp.sums[m.PodName] = sha256.Sum256(podjson.Append(nil, m))
	}
}

// verify reads back the Pods that the destination should have now.
func (cp *copying) verify(ctx context.Context) error {
	for name := range cp.left {
		delete(cp.sums, name)
	}
	cp.verified, cp.unequal = new(int), new(int)
	total := len(cp.sums)
	for m, err := range store.All(ctx, cp.dst, store.ReadOptions{}) {
		name := ""
		var e *store.Error
		switch {
		case err == nil:
			name = m.PodName
		case errors.As(err, &e) && e.Pod != "":
			name = e.Pod
		default:
			return err
		}
		want, wanted := cp.sums[name]
		if !wanted {
			continue
		}
		delete(cp.sums, name)
		switch {
		case err != nil:
			cp.differs(name, "damaged", reason(err))
			cp.note(exitDamage)
		case sha256.Sum256(podjson.Append(nil, m)) != want:
			cp.differs(name, "differs", "it has other content than was read from "+cp.from.name())
		default:
			*cp.verified++
		}
		cp.progress(total-len(cp.sums), total)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	for _, name := range sortedKeys(cp.sums) {
		cp.differs(name, "missing", "it is not there")
	}
	return nil
}
