package cli

import (
	"bytes"
	"context"
	"errors"
	"io"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"podstore/store"
	"podstore/store/jsonexport"
)

// busyDir is a directory in which somebody else is at work: whenever all of it is
// read, one Pod has just been changed, one removed, and one file cut.
type busyDir struct{ *jsonexport.Dir }

func (d busyDir) All(ctx context.Context, opts store.ReadOptions) iter.Seq2[*store.Metadata, error] {
	return func(yield func(*store.Metadata, error) bool) {
		_, err := d.Update(ctx, "changed", func(m *store.Metadata) error {
			m.Manifest = []byte("2")
			return nil
		})
		file := func(pod string) string { return filepath.Join(d.RootDir(), pod, "metadata.json") }
		if err := errors.Join(err, os.Remove(file("removed")), os.Truncate(file("cut"), 5)); err != nil {
			yield(nil, err)
			return
		}
		d.Dir.All(ctx, opts)(yield)
	}
}

// TestCopyReadsBack: what is not in the destination in the end as it was read from
// the source is told, Pod by Pod.
func TestCopyReadsBack(t *testing.T) {
	from, err := jsonexport.OpenDir(filepath.Join(t.TempDir(), "from"), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"changed", "removed", "cut", "kept"} {
		if err := store.Write(context.Background(), from, &store.Metadata{PodName: name, Manifest: []byte("1")}); err != nil {
			t.Fatal(err)
		}
	}
	for _, json := range []string{"--json=false", "--json"} {
		to := filepath.Join(t.TempDir(), "to")
		busy := Scheme{Name: "busy", Open: func(context.Context, string, bool) (store.MetadataStore, io.Closer, error) {
			d, err := jsonexport.OpenDir(to, nil)
			return busyDir{d}, io.NopCloser(nil), err
		}}
		var out, errs bytes.Buffer
		c := newConsole(&out, &errs)
		c.schemes = []Scheme{busy}
		if code := c.execute(context.Background(), []string{"copy", json, "dir:" + from.RootDir(), "busy://x"}); code != exitDamage {
			t.Errorf("exit code %d\n%s%s", code, &out, &errs)
		}
		wanted := []string{
			"differs changed: read back from busy://x, it has other content than was read from dir:",
			"missing removed: read back from busy://x, it is not there; ",
			"damaged cut: read back from busy://x, ",
			"copy: 4 copied, 0 unchanged, 0 conflict, 0 refused; 1 verified, 3 not as copied",
		}
		if json == "--json" {
			wanted = []string{`"difference":"differs"`, `"difference":"missing"`, `"difference":"damaged"`, `"verified":1,"differences":3`}
			checkShapes(t, "copy", out.String())
		}
		for _, text := range wanted {
			if !strings.Contains(out.String()+errs.String(), text) {
				t.Errorf("%q is missing in\n%s%s", text, &out, &errs)
			}
		}
	}
}

// TestSchemes: what a build adds is used by the commands that read, and refused
// where pages are meant; what is wrong with an address is wrong usage.
func TestSchemes(t *testing.T) {
	tree := filepath.Join(t.TempDir(), "tree")
	migrate(t, exitDone, "export", chain(t, 3), tree)
	closed := 0
	scheme := Scheme{Name: "tree", Help: "tree:// is what this test has.", Open: func(_ context.Context, address string, _ bool) (store.MetadataStore, io.Closer, error) {
		switch address {
		case "tree://bad":
			return nil, nil, &store.Error{Op: "open", Kind: store.ErrInvalid, Err: errors.New("that is bad")}
		case "tree://gone":
			return nil, nil, &store.Error{Op: "open", Kind: store.ErrUnavailable}
		}
		d, err := jsonexport.OpenDir(tree, nil)
		return d, closer(func() error { closed++; return nil }), err
	}}
	for _, test := range []struct {
		exit int
		text string
		args []string
	}{
		{0, "pod-002\t", []string{"list", "tree://x"}},
		{0, `"pod-001"`, []string{"show", "tree://x", "pod-001"}},
		{0, "└── pod-001", []string{"tree", "tree://x"}},
		{0, "3 same", []string{"verify", "tree://x", tree}},
		{0, "3 exported", []string{"export", "tree://x", filepath.Join(t.TempDir(), "out")}},
		{0, "3 unchanged", []string{"copy", "dir:" + tree, "tree://x"}},
		{0, "3 copied", []string{"copy", "tree://x", filepath.Join(t.TempDir(), "new.db")}},
		{2, "are the same", []string{"copy", "tree://x", "tree://x/"}},
		{0, "check: 3 Pods, no damage", []string{"check", "tree://x"}},
		{0, "pods\t3\n", []string{"stats", "tree://x"}},
		{2, "tree://x is kept by servers", []string{"snapshot", "tree://x", "new.db"}},
		{2, "tree://x is kept by servers", []string{"import", "tree://x", tree}},
		{2, "that is bad; see podstore-migrate list --help", []string{"list", "tree://bad"}},
		{1, "hint: see that it runs", []string{"list", "tree://gone"}},
		{2, "wood:// is not known here", []string{"list", "wood://x"}},
		{0, "tree:// is what this test has.", []string{"help"}},
	} {
		var out, errs bytes.Buffer
		c := newConsole(&out, &errs)
		c.schemes = []Scheme{scheme}
		if code := c.execute(context.Background(), test.args); code != test.exit || !strings.Contains(out.String()+errs.String(), test.text) {
			t.Errorf("%q: exit code %d, want %d and %q\n%s%s", test.args, code, test.exit, test.text, &out, &errs)
		}
	}
	if closed != 9 {
		t.Errorf("closed %d times", closed)
	}
}

type closer func() error

func (c closer) Close() error { return c() }
