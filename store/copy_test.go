package store_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"podstore/store"
	"podstore/store/memstore"
)

// item is one thing that a source yields.
type item struct {
	m   *store.Metadata
	err error
}

func source(items ...item) iter.Seq2[*store.Metadata, error] {
	return func(yield func(*store.Metadata, error) bool) {
		for _, it := range items {
			if !yield(it.m, it.err) {
				return
			}
		}
	}
}

func pod(name, manifest string) item {
	m := &store.Metadata{PodName: name}
	if manifest != "" {
		m.Manifest = []byte(manifest)
	}
	return item{m: m}
}

func unreadable(name string) item {
	return item{err: &store.Error{Op: "read", Pod: name, Kind: store.ErrCorrupt}}
}

// targets are stores with and without the ability to edit several Pods at once.
// spoil damages one Pod.
var targets = map[string]func(t *testing.T) (s store.MetadataStore, spoil func(pod string)){
	"transactions": func(*testing.T) (store.MetadataStore, func(string)) {
		s := memstore.New()
		return &counting{Store: s, limit: math.MaxInt}, func(pod string) { s.Damage(pod) }
	},
	"one by one": func(*testing.T) (store.MetadataStore, func(string)) {
		s := memstore.New()
		return onePod{s}, func(pod string) { s.Damage(pod) }
	},
	"in batches": func(*testing.T) (store.MetadataStore, func(string)) {
		s := memstore.New()
		return batched{onePod{s}}, func(pod string) { s.Damage(pod) }
	},
}

// counting is a store that takes only so many Pods in one edit.
type counting struct {
	*memstore.Store
	limit int
	edits []int // how many Pods each edit that was taken had
}

func (s *counting) UpdatePods(ctx context.Context, names []string, edit func([]*store.Metadata) error) ([]*store.Metadata, error) {
	if len(names) > s.limit {
		return nil, &store.Error{Op: "update", Kind: store.ErrTooLarge, Err: fmt.Errorf("%d Pods", len(names))}
	}
	s.edits = append(s.edits, len(names))
	return s.Store.UpdatePods(ctx, names, edit)
}

// copyAll copies and returns the outcomes in order, as "pod outcome".
func copyAll(t *testing.T, dst store.MetadataStore, src iter.Seq2[*store.Metadata, error], opts store.CopyOptions) ([]string, []store.CopyResult, store.CopySummary, error) {
	t.Helper()
	var got []string
	var results []store.CopyResult
	opts.Progress = func(r store.CopyResult) {
		if (r.Err != nil) != (r.Outcome == store.Refused || r.Outcome == store.Conflict) {
			t.Errorf("%+v", r)
		}
		got = append(got, fmt.Sprintf("%s %s", r.Pod, r.Outcome))
		results = append(results, r)
	}
	summary, err := store.Copy(t.Context(), dst, src, opts)
	if n := summary.Written + summary.Unchanged + summary.Conflicts + summary.Refused; n != len(got) {
		t.Errorf("the summary counts %d, reported were %q", n, got)
	}
	return got, results, summary, err
}

func list(t *testing.T, s store.MetadataStore) []string {
	t.Helper()
	names, err := s.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestCopyOutcomes(t *testing.T) {
	for name, open := range targets {
		t.Run(name, func(t *testing.T) {
			dst, _ := open(t)
			for _, it := range []item{pod("b", "1"), pod("c", "2")} {
				if err := store.Write(t.Context(), dst, it.m); err != nil {
					t.Fatal(err)
				}
			}
			general := errors.New("the source is not whole")
			items := []item{pod("a", "0"), pod("b", "1"), {err: general}, pod("c", "3"), unreadable("d"), pod("e", ""), pod("bad/name", "")}
			want := []string{"a written", "b unchanged", "c conflict", "d refused", "e written", "bad/name refused"}
			for _, dry := range []bool{true, false} {
				got, results, _, err := copyAll(t, dst, source(items...), store.CopyOptions{DryRun: dry})
				if !errors.Is(err, general) || !reflect.DeepEqual(got, want) {
					t.Errorf("dry %v: got %q, %v", dry, got, err)
				}
				if c := results[2]; c.Field != "resolved_manifest_snapshot" || !errors.Is(c.Err, store.ErrExists) {
					t.Errorf("conflict %+v", c)
				}
				if !errors.Is(results[3].Err, store.ErrCorrupt) || !errors.Is(results[5].Err, store.ErrInvalidName) {
					t.Errorf("refused %+v %+v", results[3], results[5])
				}
				if dry && len(list(t, dst)) != 2 {
					t.Error("a dry run wrote something")
				}
			}
			if m, err := dst.Read(t.Context(), "c"); err != nil || string(m.Manifest) != "2" {
				t.Errorf("a conflict was not kept: %v, %v", m, err)
			}
			got, _, _, err := copyAll(t, dst, source(items...), store.CopyOptions{Overwrite: true})
			want = []string{"a unchanged", "b unchanged", "c written", "d refused", "e unchanged", "bad/name refused"}
			if !errors.Is(err, general) || !reflect.DeepEqual(got, want) {
				t.Errorf("overwrite: got %q, %v", got, err)
			}
			if m, err := dst.Read(t.Context(), "c"); err != nil || string(m.Manifest) != "3" {
				t.Errorf("not overwritten: %v, %v", m, err)
			}
		})
	}
}

// TestCopyAroundDamage: a Pod that dst holds damaged does not stop its batch.
func TestCopyAroundDamage(t *testing.T) {
	for name, open := range targets {
		t.Run(name, func(t *testing.T) {
			dst, spoil := open(t)
			if err := store.Write(t.Context(), dst, &store.Metadata{PodName: "m"}); err != nil {
				t.Fatal(err)
			}
			spoil("m")
			items := []item{unreadable("a"), pod("b", ""), pod("m", "1"), pod("x", ""), pod("y", "")}
			got, results, _, err := copyAll(t, dst, source(items...), store.CopyOptions{})
			if want := []string{"a refused", "b written", "m refused", "x written", "y written"}; err != nil || !reflect.DeepEqual(got, want) {
				t.Fatalf("got %q, %v", got, err)
			}
			if !errors.Is(results[2].Err, store.ErrCorrupt) {
				t.Errorf("refused %+v", results[2])
			}
			if d, ok := dst.(*counting); ok && len(d.edits) > 4 {
				t.Errorf("%d edits for one batch", len(d.edits))
			}
			for _, dry := range []bool{true, false} {
				got, _, _, err = copyAll(t, dst, source(items...), store.CopyOptions{Overwrite: true, DryRun: dry})
				if want := []string{"a refused", "b unchanged", "m written", "x unchanged", "y unchanged"}; err != nil || !reflect.DeepEqual(got, want) {
					t.Errorf("dry %v: got %q, %v", dry, got, err)
				}
			}
			if m, err := dst.Read(t.Context(), "m"); err != nil || string(m.Manifest) != "1" {
				t.Errorf("not healed: %v, %v", m, err)
			}
		})
	}
}

// TestCopyRefusesWhatTargetDoesNotTake: what breaks a rule is refused alone.
func TestCopyRefusesWhatTargetDoesNotTake(t *testing.T) {
	for name, open := range targets {
		t.Run(name, func(t *testing.T) {
			dst, _ := open(t)
			got, _, _, err := copyAll(t, dst, source(pod("a", ""), pod("b", "{"), pod("c", "")), store.CopyOptions{})
			if want := []string{"a written", "b refused", "c written"}; err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

func TestCopyAtomic(t *testing.T) {
	dst, _ := targets["transactions"](t)
	spoiled, spoil := targets["transactions"](t)
	for _, s := range []store.MetadataStore{dst, spoiled} {
		if err := store.Write(t.Context(), s, pod("c", "2").m); err != nil {
			t.Fatal(err)
		}
	}
	spoil("c")
	for name, c := range map[string]struct {
		dst   store.MetadataStore
		items []item
		opts  store.CopyOptions
		want  []string
		names int
	}{
		"refused":    {dst, []item{pod("a", ""), unreadable("b")}, store.CopyOptions{}, []string{"b refused"}, 1},
		"conflict":   {dst, []item{pod("a", ""), pod("c", "3")}, store.CopyOptions{}, []string{"c conflict"}, 1},
		"damaged":    {spoiled, []item{pod("a", ""), pod("c", "3")}, store.CopyOptions{Overwrite: true}, []string{"c refused"}, 1},
		"dry":        {dst, []item{pod("a", ""), pod("c", "3")}, store.CopyOptions{Overwrite: true, DryRun: true}, []string{"a written", "c written"}, 1},
		"no Pods":    {dst, nil, store.CopyOptions{}, nil, 1},
		"only wrong": {dst, []item{unreadable("x")}, store.CopyOptions{}, []string{"x refused"}, 1},
	} {
		c.opts.Atomic = true
		got, _, _, err := copyAll(t, c.dst, source(c.items...), c.opts)
		if err != nil || !reflect.DeepEqual(got, c.want) || len(list(t, c.dst)) != c.names {
			t.Errorf("%s: got %q, %v, stored %q", name, got, err, list(t, c.dst))
		}
	}
	var many []item
	for i := range 2500 {
		many = append(many, pod(fmt.Sprintf("pod-%04d", i), ""))
	}
	got, _, _, err := copyAll(t, dst, source(many...), store.CopyOptions{Atomic: true})
	if err != nil || len(got) != 2500 || len(list(t, dst)) != 2501 {
		t.Errorf("more than a batch: %d, %v", len(got), err)
	}
	one, _ := targets["one by one"](t)
	if _, _, _, err := copyAll(t, one, source(pod("a", "")), store.CopyOptions{Atomic: true}); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("without transactions: %v", err)
	}
}

// failing is a store in which everything fails in one way.
type failing struct {
	store.MetadataStore
	err error
}

func (s failing) Read(context.Context, string) (*store.Metadata, error) { return nil, s.err }
func (s failing) Apply(context.Context, []store.Change, *store.ApplyOptions) ([]store.Applied, error) {
	return nil, s.err
}

// writing is a store that can be read but not written.
type writing struct{ failing }

func (s writing) Read(ctx context.Context, name string) (*store.Metadata, error) {
	return s.MetadataStore.Read(ctx, name)
}

// TestCopyStops: an error that concerns the whole target ends the copy, one that
// concerns a Pod does not.
func TestCopyStops(t *testing.T) {
	dst, _ := targets["one by one"](t)
	for _, kind := range []error{store.ErrNoSpace, store.ErrReadOnly, store.ErrClosed, store.ErrLocked, store.ErrUnusable} {
		for _, s := range []store.MetadataStore{failing{dst, kind}, writing{failing{dst, kind}}} {
			got, _, _, err := copyAll(t, s, source(pod("a", ""), pod("b", "")), store.CopyOptions{})
			if !errors.Is(err, kind) || len(got) != 0 {
				t.Errorf("%T %v: got %q, %v", s, kind, got, err)
			}
		}
	}
	denied := errors.New("permission denied")
	for _, s := range []store.MetadataStore{failing{dst, denied}, writing{failing{dst, denied}}} {
		got, _, _, err := copyAll(t, s, source(pod("a", ""), pod("b", "")), store.CopyOptions{})
		if err != nil || !reflect.DeepEqual(got, []string{"a refused", "b refused"}) {
			t.Errorf("%T: got %q, %v", s, got, err)
		}
	}
	if _, _, _, err := copyAll(t, failingEdits{failing{dst, store.ErrClosed}}, source(pod("a", "")), store.CopyOptions{}); !errors.Is(err, store.ErrClosed) {
		t.Errorf("a store that edits several Pods: %v", err)
	}
}

// failingEdits is a failing store that edits several Pods at once.
type failingEdits struct{ failing }

func (s failingEdits) UpdatePods(context.Context, []string, func([]*store.Metadata) error) ([]*store.Metadata, error) {
	return nil, s.err
}

// TestCopyCancelled: the source is left, what was reported is stored, and the
// rest is not.
func TestCopyCancelled(t *testing.T) {
	for name, open := range targets {
		t.Run(name, func(t *testing.T) {
			dst, _ := open(t)
			ctx, cancel := context.WithCancel(t.Context())
			yielded, ended := 0, false
			src := func(yield func(*store.Metadata, error) bool) {
				defer func() { ended = true }()
				for i := 0; ; i++ {
					yielded++
					if !yield(pod(fmt.Sprintf("pod-%06d", i), "").m, nil) {
						return
					}
				}
			}
			reported := 0
			_, err := store.Copy(ctx, dst, src, store.CopyOptions{Progress: func(store.CopyResult) {
				if reported++; reported == 1 {
					cancel()
				}
			}})
			if !errors.Is(err, context.Canceled) || !ended || reported != len(list(t, dst)) || reported == yielded {
				t.Errorf("%v, ended %v, %d yielded, %d reported, %d stored", err, ended, yielded, reported, len(list(t, dst)))
			}
			before := reported
			if _, err := store.Copy(ctx, dst, source(pod("z", "")), store.CopyOptions{}); !errors.Is(err, context.Canceled) || before != len(list(t, dst)) {
				t.Errorf("with a context that has ended: %v", err)
			}
		})
	}
}

// TestCopyBoundsBatches: large Pods are written before a thousand have come.
func TestCopyBoundsBatches(t *testing.T) {
	dst, _ := targets["transactions"](t)
	large := `"` + strings.Repeat("x", 20<<20) + `"`
	first := make(chan struct{})
	src := func(yield func(*store.Metadata, error) bool) {
		for i := range 2 {
			if !yield(pod(fmt.Sprint(i), large).m, nil) {
				return
			}
		}
		<-first // ends only when the first batch is written
		yield(pod("last", "").m, nil)
	}
	reported := 0
	_, err := store.Copy(t.Context(), dst, src, store.CopyOptions{Progress: func(store.CopyResult) {
		if reported++; reported == 1 {
			close(first)
		}
	}})
	if err != nil || reported != 3 {
		t.Errorf("%d reported, %v", reported, err)
	}
}

// TestCopyHalvesWhatIsTooLarge: a target with narrow limits gets smaller batches,
// in order, unless the copy must be one change.
func TestCopyHalvesWhatIsTooLarge(t *testing.T) {
	dst, _ := targets["transactions"](t)
	s := dst.(*counting)
	s.limit = 3
	var items []item
	var want []string
	for i := range 10 {
		items = append(items, pod(fmt.Sprint(i), ""))
		want = append(want, fmt.Sprintf("%d written", i))
	}
	items = append(items, unreadable("x"))
	if _, _, _, err := copyAll(t, s, source(items[:10]...), store.CopyOptions{Atomic: true}); !errors.Is(err, store.ErrTooLarge) {
		t.Errorf("an atomic copy that is too large: %v", err)
	}
	if names := list(t, s); len(names) != 0 {
		t.Errorf("an atomic copy that failed wrote %q", names)
	}
	got, _, _, err := copyAll(t, s, source(items...), store.CopyOptions{})
	if want = append(want, "x refused"); err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v", got, err)
	}
	if len(list(t, s)) != 10 || slices.Max(s.edits) > 3 {
		t.Errorf("edits had %v Pods, stored are %q", s.edits, list(t, s))
	}
}
